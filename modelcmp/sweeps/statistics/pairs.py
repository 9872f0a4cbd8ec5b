"""One figure of two groups of runs: by seed where possible, else group against group, else example by example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelcmpError
from ...training.grouping import Run
from ...training.summary import RankKey
from .answers import Answers, Reader
from .describe import Sample
from .effect import hedges_g
from .exact import mcnemar_p, newcombe
from .resampling import ends, least_p, resampled_figure, two_sided_p
from .student import Estimate, paired_t, welch_t

_NOTHING = Estimate("none")


@dataclass(frozen=True, slots=True)
class Compared:
    """What two samples say of the difference between their groups, and the runs that say it."""

    a: Sample
    b: Sample
    estimate: Estimate
    runs_a: tuple[Run, ...]
    runs_b: tuple[Run, ...]
    effect: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def over_seeds(self) -> bool:
        """Whether it rests on the spread between seeds."""
        return len(self.runs_a) > 1

    @property
    def paired(self) -> bool:
        """Whether it is of differences at the same seeds."""
        return self.estimate.method in ("paired t", "sign")


def shared_seeds(a: Sample, b: Sample) -> tuple[int, ...]:
    """The seeds that both have, where comparing at these alone loses little: two or more, half of the larger group.

    () otherwise. The rule looks at seeds and never at values, so that it cannot favour a result.
    """
    both = tuple(seed for seed in a.seeds if seed in b.seeds)
    return both if len(both) >= 2 and 2 * len(both) >= max(len(a.values), len(b.values)) else ()


def compare(a: Sample, b: Sample, confidence: float, reader: Reader) -> Compared:
    """A minus B by the method that the runs allow."""
    if not a.values or not b.values:
        return Compared(a, b, _NOTHING, a.runs, b.runs)
    if len(a.values) < 2 or len(b.values) < 2:
        return _single(a, b, confidence, reader)
    seeds = () if other_examples(a, b, reader.entry) else shared_seeds(a, b)
    if not seeds:
        estimate = welch_t(a.values, b.values, confidence)
        return Compared(a, b, estimate, a.runs, b.runs, hedges_g(a.values, b.values, paired=False))
    (runs_a, values_a), (runs_b, values_b) = a.at(seeds), b.at(seeds)
    estimate = paired_t(values_a, values_b, confidence)
    left = [f"{s.name} {len(s.values) - len(seeds)}" for s in (a, b) if len(s.values) > len(seeds)]
    notes = (f"paired at {len(seeds)} seeds; runs of other seeds left out: {', '.join(left)}",) if left else ()
    return Compared(a, b, estimate, runs_a, runs_b, hedges_g(values_a, values_b, paired=True), notes)


def other_examples(a: Sample, b: Sample, entry: RankKey) -> bool:
    """Whether the runs recorded different examples of the figure's split."""
    if entry.split is None:
        return False
    key = f"data_digest_{entry.split}"
    digests = [{run.result.settings.get(key) for run in s.runs} - {None, ""} for s in (a, b)]
    return all(digests) and digests[0] != digests[1]


# -- single runs ----------------------------------------------------------------------------------


def _single(a: Sample, b: Sample, confidence: float, reader: Reader) -> Compared:
    """One run of each on the same examples: of a seed that both have, else the first."""
    seed = next((seed for seed in a.seeds if seed in b.seeds), None)
    i, j = (0, 0) if seed is None else (a.seeds.index(seed), b.seeds.index(seed))
    notes = [f"of the {len(s.values)} runs of {s.name} only one is compared" for s in (a, b) if len(s.values) > 1]
    one_a, one_b = a.runs[i], b.runs[j]
    try:
        estimate = _by_examples(one_a, one_b, a.values[i] - b.values[j], confidence, reader)
    except ModelcmpError as error:
        estimate = Estimate("none", a.values[i] - b.values[j])
        notes.append(f"no test of single runs: {error}")
    return Compared(a, b, estimate, (one_a,), (one_b,), None, tuple(notes))


def _by_examples(a: Run, b: Run, difference: float, confidence: float, reader: Reader) -> Estimate:
    """Raises ModelcmpError where there are no predictions of the same examples, or none for this figure."""
    if reader.entry.figure == "top5":
        raise ModelcmpError("there is none for top-5 accuracy")
    said_a, said_b = reader.answers(a), reader.answers(b)
    if said_a.asked != said_b.asked:
        raise ModelcmpError(f"both predicted different examples of the {reader.entry.split} split")
    if reader.entry.figure == "accuracy":
        return _mcnemar(said_a, said_b, difference, confidence)
    draws = _draws(said_a, reader) - _draws(said_b, reader)
    found = ends(draws, confidence)
    if found is None:
        raise ModelcmpError(f"{reader.entry.figure} is undefined in most samples of the {reader.entry.split} split")
    return Estimate("paired bootstrap", difference, *found, two_sided_p(draws), least_p(draws))


def _mcnemar(a: Answers, b: Answers, difference: float, confidence: float) -> Estimate:
    assert a.each is not None
    assert b.each is not None
    right_a, right_b = a.each > 0, b.each > 0
    cells = (right_a & right_b, right_a & ~right_b, ~right_a & right_b, ~right_a & ~right_b)
    both, only_a, only_b, neither = (int(cell.sum()) for cell in cells)
    low, high = newcombe(both, only_a, only_b, neither, confidence)
    return Estimate("McNemar", difference, low, high, mcnemar_p(only_a, only_b), mcnemar_p(0, only_a + only_b))


def _draws(said: Answers, reader: Reader) -> NDArray[np.float64]:
    """The figure of each sample of the examples, (R,); drawn once for each run."""
    if said.path not in reader.drawn:
        reader.drawn[said.path] = resampled_figure(said.predictions(), reader.entry.figure)
    return reader.drawn[said.path]
