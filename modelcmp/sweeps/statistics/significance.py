"""Which of several groups of runs can be told apart in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ...errors import BadInput, ModelcmpError
from ...training.grouping import Group
from ...training.summary import RankKey, check_key
from .answers import MEANS, Reader
from .describe import Sample, sample, spread_of
from .holm import holm
from .letters import alike, letters
from .notes import notes
from .pairs import Compared, compare, other_examples
from .power import MOST_SEEDS, seeds_needed
from .records import Difference, Significance
from .resampling import Side, doubts_of_test

Ends = tuple[float, float] | None


def significance(
    groups: Sequence[Group], key: str = "test_accuracy", *, confidence: float = 0.95, alpha: float = 0.05
) -> Significance:
    """What a figure of several groups says about their order, and what it cannot say.

    Each pair of groups is compared at the seeds that both have (paired t) or group against group (Welch's t); a single
    run of each example by example (McNemar's exact test of accuracy, the paired bootstrap of any other figure); a
    single run is never told apart from several. Figures that follow from the configuration simply differ or not.
    p-values are adjusted over all pairs (Holm), intervals are of each pair alone. What is separable agrees with the
    order of the means. Runs without the figure are counted and say nothing. Raises UnknownName for a key by which
    nothing is ranked, BadInput for fewer than two groups, two of one name, or a confidence or alpha outside of (0, 1).
    """
    entry = check_key(key)
    _check(groups, confidence, alpha)
    ordered = _best_first([sample(group, entry) for group in groups], entry, confidence)
    reader = Reader(entry)
    compared = [compare(a, b, confidence, reader) for a, b in combinations(ordered, 2)]
    doubts, untested = _test_doubts(compared, reader, confidence)
    differences = _differences(compared, doubts, entry.key, alpha)
    known = [s.name for s in ordered if s.values]
    sets = alike(known, [(d.a, d.b) for d in differences if d.separable])
    return Significance(
        entry.key, entry.better or "high", confidence, alpha,
        tuple(spread_of(s, entry.key, confidence) for s in ordered), tuple(differences),
        {s.name: "" for s in ordered} | letters(known, sets), notes(ordered, compared, entry, alpha) + untested,
    )  # fmt: skip


def _check(groups: Sequence[Group], confidence: float, alpha: float) -> None:
    if len(groups) < 2:
        found = f"only {groups[0].name}" if groups else "none"
        raise BadInput(f"telling models apart needs two models or more, and there is {found}")
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two groups of runs are called {name!r}: give each its own name")
    for what, value in (("confidence", confidence), ("alpha", alpha)):
        if not 0 < value < 1:
            raise BadInput(f"{what} is a share between 0 and 1, not {value:g}")


def _best_first(samples: Sequence[Sample], entry: RankKey, confidence: float) -> list[Sample]:
    """By mean; groups without the figure last."""

    def place(s: Sample) -> tuple[bool, float]:
        mean = spread_of(s, entry.key, confidence).mean
        return mean is None, 0.0 if mean is None else -mean if entry.better == "high" else mean

    return sorted(samples, key=place)


# -- pairs ----------------------------------------------------------------------------------------


def _differences(compared: Sequence[Compared], doubts: Sequence[Ends], key: str, alpha: float) -> list[Difference]:
    """A record a pair; power is asked for at the level that Holm sets for the next pair to be told apart."""
    adjusted = holm([c.estimate.p for c in compared])
    separable = [_apart(c, p, alpha) for c, p in zip(compared, adjusted, strict=True)]
    waiting = sum(p is not None and not apart for p, apart in zip(adjusted, separable, strict=True))
    found = []
    for c, p, apart, doubt in zip(compared, adjusted, separable, doubts, strict=True):
        needed, words = (None, ()) if apart else _needed(c, alpha / max(1, waiting))
        e, (low, high) = c.estimate, doubt or (None, None)
        found.append(
            Difference(
                c.a.name, c.b.name, key, e.method, len(c.runs_a), len(c.runs_b), e.difference, e.low, e.high, e.p, p,
                c.effect, apart, needed, low, high, c.notes + words,
            )
        )  # fmt: skip
    return found


def _apart(c: Compared, p: float | None, alpha: float) -> bool:
    return p is not None and p <= alpha if c.settled is None else c.settled


def _needed(c: Compared, alpha: float) -> tuple[int | None, tuple[str, ...]]:
    """Seeds of each group that would be needed, or why that cannot be said."""
    if c.settled is not None or not c.over_seeds or c.estimate.difference is None or c.estimate.std is None:
        return None, ()
    if not c.estimate.difference:
        return None, ("no difference at all was seen, which no number of seeds would separate",)
    needed = seeds_needed(c.estimate.difference, c.estimate.std, alpha, paired=c.paired)
    if needed is None:
        return None, (f"more than {MOST_SEEDS} seeds would be needed",)
    return max(needed, 1 + min(len(c.runs_a), len(c.runs_b))), ()


def _test_doubts(compared: Sequence[Compared], reader: Reader, confidence: float) -> tuple[list[Ends], tuple[str, ...]]:
    """Intervals over examples for pairs with several seeds, None where unknown; and why there are none."""
    if reader.entry.figure not in MEANS or reader.entry.split is None:
        return [None] * len(compared), ()
    sides: dict[int, tuple[Side, Side]] = {}
    problem = ""
    for i, c in enumerate(compared):
        if not c.over_seeds or c.estimate.method == "none" or other_examples(c.a, c.b, reader.entry):
            continue
        try:
            sides[i] = (tuple(map(reader.answers, c.runs_a)), tuple(map(reader.answers, c.runs_b)))
        except ModelcmpError as error:
            problem = problem or str(error)
    found = dict(zip(sides, doubts_of_test(sides.values(), confidence), strict=True))
    words = (f"The doubt that comes from the examples of the split is unknown for some pairs: {problem}.",)
    return [found.get(i) for i in range(len(compared))], words if problem else ()
