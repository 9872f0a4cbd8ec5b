"""What a comparison over few seeds cannot say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ...training.summary import BROKEN, RankKey
from .describe import Sample
from .exact import rank_sum_p, sign_p
from .pairs import Compared, other_examples
from .records import CONFIGURED
from .student import mean_std

_FEW = 3


def notes(samples: Sequence[Sample], compared: Sequence[Compared], entry: RankKey, alpha: float) -> tuple[str, ...]:
    """The sentences that hold for these groups."""
    found = [
        *_missing(samples, entry), *_configured(samples, entry), *_few(samples, entry), *_normal(compared, alpha),
        *_level(compared), *_single(compared), *_alone(compared), *_coarse(compared, alpha),
        *_other_data(samples, entry), *_chosen(samples, entry),
    ]  # fmt: skip
    return tuple(found)


def listed(words: Sequence[str]) -> str:
    """A list in words.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _missing(samples: Sequence[Sample], entry: RankKey) -> list[str]:
    lines = []
    for s in samples:
        counted = [_counted(status, n, entry) for status, n in s.missing.items()]
        total = sum(s.missing.values()) + len(s.values)
        kept = "left out of its mean" if s.values else "there is nothing to compare"
        if counted:
            lines.append(f"Of {total} run{'s' if total > 1 else ''} of {s.name} {listed(counted)}: {kept}.")
        elif not s.values:
            lines.append(f"{s.name} has no runs.")
    return lines


def _counted(status: str, n: int, entry: RankKey) -> str:
    """Runs of one status that have no figure."""
    return f"{n} {status}" if status in BROKEN else f"{n} ({status}) {'has' if n == 1 else 'have'} no {entry.key}"


def _configured(samples: Sequence[Sample], entry: RankKey) -> list[str]:
    """What no seed moves is no sample; that it moved nevertheless is said."""
    if entry.key not in CONFIGURED or not any(s.values for s in samples):
        return []
    lines = [f"{entry.key} follows from the configuration, not from the seed: there is nothing to test."]
    moved = [s.name for s in samples if s.values and mean_std(s.values)[1]]
    if moved:
        lines.append(f"The runs of {listed(moved)} differ in {entry.key} nevertheless: their mean is compared.")
    return lines


def _few(samples: Sequence[Sample], entry: RankKey) -> list[str]:
    few = [s for s in samples if 1 < len(s.values) < _FEW]
    if not few or entry.key in CONFIGURED:
        return []
    return [f"{listed([s.name for s in few])}: two seeds hardly show how far seeds scatter; five or more are better."]


def _normal(compared: Sequence[Compared], alpha: float) -> list[str]:
    """Where a test that assumes nothing of the distribution could not have found anything, t carries it alone."""
    lines = []
    paired = [len(c.runs_a) for c in compared if c.estimate.method == "paired t"]
    if paired and sign_p(min(paired)) > alpha:
        n = min(paired)
        lines.append(
            f"With {n} seeds an exact two-sided Wilcoxon test cannot fall below p = {sign_p(n):.4g}: what is told "
            f"apart here rests on t's assumption that differences between seeds are normally distributed."
        )
    welch = [(len(c.runs_a), len(c.runs_b)) for c in compared if c.estimate.method == "Welch t"]
    fewest = max(welch, key=lambda sizes: rank_sum_p(*sizes), default=None)
    if fewest is not None and rank_sum_p(*fewest) > alpha:
        lines.append(
            f"With {fewest[0]} and {fewest[1]} seeds an exact two-sided rank sum test cannot fall below "
            f"p = {rank_sum_p(*fewest):.4g}: what is told apart here rests on t's assumption that figures of seeds are "
            f"normally distributed."
        )
    return lines


def _level(compared: Sequence[Compared]) -> list[str]:
    lines = []
    if pairs := [f"{c.a.name} and {c.b.name}" for c in compared if c.estimate.method == "sign"]:
        lines.append(
            f"The same difference at every seed ({'; '.join(pairs)}): t is undefined, the exact sign test takes its "
            f"place."
        )
    if pairs := [f"{c.a.name} and {c.b.name}" for c in compared if c.estimate.method == "rank sum"]:
        lines.append(
            f"No spread between seeds ({'; '.join(pairs)}): t is undefined, the exact rank sum test takes its place."
        )
    return lines


def _single(compared: Sequence[Compared]) -> list[str]:
    alone = [c.estimate for c in compared if _both_single(c) and c.settled is None]
    lines = []
    if any(e.method != "none" for e in alone):
        lines.append(
            "Between single runs the test is about the examples of the split and these weights: it says nothing of "
            "other seeds, which often differ by more."
        )
    if any(e.method == "none" for e in alone):
        lines.append("Single runs without a test over examples are not separable, whatever their difference.")
    return lines


def _both_single(c: Compared) -> bool:
    return len(c.a.values) == len(c.b.values) == 1


def _alone(compared: Sequence[Compared]) -> list[str]:
    pairs = [c for c in compared if c.settled is False and not c.over_seeds and not _both_single(c)]
    alone = dict.fromkeys(s.name for c in pairs for s in (c.a, c.b) if len(s.values) == 1)
    if not any(c.estimate.difference for c in pairs):
        return []
    return [
        f"A single run says nothing of its seeds: {listed(list(alone))} cannot be told apart from models of several "
        f"runs before more seeds are trained."
    ]


def _coarse(compared: Sequence[Compared], alpha: float) -> list[str]:
    """Some tests cannot give a small p, which many pairs then lift above alpha."""
    tests = sum(c.estimate.p is not None for c in compared)
    least = max((c.estimate.least for c in compared if c.estimate.method == "paired bootstrap"), default=0.0)
    if least * tests <= alpha:
        return []
    return [
        f"The bootstrap cannot give a p below {least:.2g} here, which {tests} pairs bring to "
        f"{min(1.0, least * tests):.2g}: no pair can be told apart by it."
    ]


def _other_data(samples: Sequence[Sample], entry: RankKey) -> list[str]:
    valued = [s for s in samples if s.values]
    pairs = [(a, b) for i, a in enumerate(valued) for b in valued[i + 1 :] if other_examples(a, b, entry)]
    if not pairs:
        return []
    a, b = pairs[0]
    return [
        f"{a.name} and {b.name} were judged on different {entry.split} splits: nothing is paired between such groups, "
        f"and the difference may be the data's."
    ]


def _chosen(samples: Sequence[Sample], entry: RankKey) -> list[str]:
    if entry.split != "val" or not any(s.values for s in samples):
        return []
    return [
        "The validation split chose each run's epoch, and perhaps its settings: its figures flatter. The last word is "
        "the test split's."
    ]
