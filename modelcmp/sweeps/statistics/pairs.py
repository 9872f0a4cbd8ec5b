"""One figure of two groups of runs: by seed where possible, else group against group, single runs by example."""

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
from .records import CONFIGURED
from .resampling import ends, least_p, resampled_figure, two_sided_p
from .student import Estimate, mean_std, paired_t, rounded, welch_t

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
    settled: bool | None = None  # whether they are told apart, where that does not hang on p

    @property
    def over_seeds(self) -> bool:
        """Whether both groups have several runs, and so a spread between seeds."""
        return min(len(self.runs_a), len(self.runs_b)) > 1

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
    """A minus B, the better mean first, by the method that the runs allow."""
    if not a.values or not b.values:
        return Compared(a, b, _NOTHING, a.runs, b.runs)
    if reader.entry.key in CONFIGURED:
        difference = of_means(a, b)
        return Compared(a, b, Estimate("none", difference), a.runs, b.runs, settled=bool(difference))
    if len(a.values) == len(b.values) == 1:
        return _single(a, b, confidence, reader)
    if len(a.values) == 1 or len(b.values) == 1:
        return _alone(a, b, confidence, reader)
    seeds = () if other_examples(a, b, reader.entry) else shared_seeds(a, b)
    if not seeds:
        estimate = welch_t(a.values, b.values, confidence)
        return Compared(a, b, estimate, a.runs, b.runs, hedges_g(a.values, b.values, paired=False))
    (runs_a, values_a), (runs_b, values_b) = a.at(seeds), b.at(seeds)
    estimate = paired_t(values_a, values_b, confidence)
    left = [f"{s.name} {len(s.values) - len(seeds)}" for s in (a, b) if len(s.values) > len(seeds)]
    notes = [f"paired at {len(seeds)} seeds; runs of other seeds left out: {', '.join(left)}"] if left else []
    turned = bool(left) and _turned(estimate.difference or 0.0, of_means(a, b))
    if turned:
        over_all = f"over all runs {a.name}" if of_means(a, b) else "over all runs both are equal"
        notes.append(f"at these seeds {_ahead(a, b, estimate, reader.entry)} is ahead, {over_all}: not separable")
    effect = hedges_g(values_a, values_b, paired=True)
    return Compared(a, b, estimate, runs_a, runs_b, effect, tuple(notes), False if turned else None)


def of_means(a: Sample, b: Sample) -> float:
    """Mean of A less mean of B over all their runs; exactly 0 where it is no more than rounding."""
    mean_a, mean_b = mean_std(a.values)[0], mean_std(b.values)[0]
    return rounded(mean_a - mean_b, max(abs(mean_a), abs(mean_b)))


def _turned(at_seeds: float, over_all: float) -> bool:
    """Whether a difference at some of the seeds contradicts the order of the means."""
    return bool(at_seeds) and at_seeds * over_all <= 0


def _ahead(a: Sample, b: Sample, estimate: Estimate, entry: RankKey) -> str:
    return a.name if ((estimate.difference or 0.0) > 0) == (entry.better == "high") else b.name


def other_examples(a: Sample, b: Sample, entry: RankKey) -> bool:
    """Whether the runs recorded different examples of the figure's split."""
    if entry.split is None:
        return False
    key = f"data_digest_{entry.split}"
    digests = [{run.result.settings.get(key) for run in s.runs} - {None, ""} for s in (a, b)]
    return all(digests) and digests[0] != digests[1]


# -- single runs ----------------------------------------------------------------------------------


def _single(a: Sample, b: Sample, confidence: float, reader: Reader) -> Compared:
    """One run of each on the same examples."""
    try:
        return Compared(a, b, _by_examples(a, b, (0, 0), confidence, reader), a.runs, b.runs)
    except ModelcmpError as error:
        note = f"no test of single runs: {error}"
        return Compared(a, b, Estimate("none", of_means(a, b)), a.runs, b.runs, None, (note,))


def _alone(a: Sample, b: Sample, confidence: float, reader: Reader) -> Compared:
    """A single run against several, which is never told apart: one run says nothing of its seeds.

    What the examples say of it and one run of the others, of its seed where they have it, is a note.
    """
    alone, others = (a, b) if len(a.values) == 1 else (b, a)
    seed = next((seed for seed in a.seeds if seed in b.seeds), None)
    places = (0, 0) if seed is None else (a.seeds.index(seed), b.seeds.index(seed))
    notes = [f"a single run of {alone.name} is not told apart from several"]
    try:
        estimate = _by_examples(a, b, places, confidence, reader)
        one = f"one run of {others.name}" if seed is None else f"the run of {others.name} with its seed {seed}"
        notes.append(f"it and {one}, by example: {_said(a, b, estimate, confidence, reader.entry)}")
    except ModelcmpError as error:
        notes.append(f"no test of single runs either: {error}")
    return Compared(a, b, Estimate("none", of_means(a, b)), a.runs, b.runs, None, tuple(notes), False)


def _said(a: Sample, b: Sample, e: Estimate, confidence: float, entry: RankKey) -> str:
    """An estimate of single runs in a note: ``cnn less mlp -37.2 points, 95 % interval -42.7 to -31.1, p < 0.0001``."""

    def written(value: float | None) -> str:
        return "?" if value is None else f"{100 * value:.1f}" if entry.unit == "share" else f"{value:.4g}"

    points = " points" if entry.unit == "share" else ""
    p = "p = ?" if e.p is None else "p < 0.0001" if e.p < 1e-4 else f"p = {e.p:.2g}"
    return (
        f"{a.name} less {b.name} {written(e.difference)}{points}, {100 * confidence:g} % interval {written(e.low)} to "
        f"{written(e.high)}, {p} ({e.method}, unadjusted)"
    )


def _by_examples(a: Sample, b: Sample, places: tuple[int, int], confidence: float, reader: Reader) -> Estimate:
    """Of one run of each; raises ModelcmpError without predictions of the same examples, or any for this figure."""
    (i, j), entry = places, reader.entry
    if other_examples(a, b, entry):
        raise ModelcmpError(f"both were judged on different {entry.split} splits")
    return _of_runs(a.runs[i], b.runs[j], a.values[i] - b.values[j], confidence, reader)


def _of_runs(a: Run, b: Run, difference: float, confidence: float, reader: Reader) -> Estimate:
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
