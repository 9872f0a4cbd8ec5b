"""The verdict: status, where it started and why, how large it is, and whether it is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..records import Alignment, DumpPair, Status, Tolerance, Verdict
from .batches import batch_clues
from .causes import cause_clues
from .clues import Clue
from .comparable import not_comparable, what_is_left
from .floors import Noise, against, floor_clues, rounding_clues
from .frozen import frozen_clues
from .gaps import Gaps, unread_tensors
from .jumps import jump_clues
from .losses import bias_clues
from .nonfinite import nonfinite_clues
from .pairing import pairing_clues
from .settings import counter_clues, setting_clues
from .summary import Told, diverged_words, identical_words, nothing_words, unrelated_words, within_words
from .trends import trend_clues
from .types import explain, type_clue
from .views import View, look

#: Kinds of findings that a verdict can start with.
CAUSES = (
    "initialisation", "shape", "dtype", "batch", "loss", "acc", "grad", "settings", "frozen", "swap", "optimizer",
    "weight", "update", "buffer", "nan",
)  # fmt: skip


#: Those that only say what differs.
MEASURABLE = ("loss", "grad", "optimizer", "weight", "buffer")


@dataclass(frozen=True)
class Case:
    """All that a verdict is made from."""

    views: tuple[View, ...]
    floor: tuple[View, ...] | None
    alignment: Alignment
    tolerance: Tolerance
    gaps: Gaps


def judge(
    pairs: Sequence[DumpPair], *, alignment: Alignment, tolerance: Tolerance, floor: Sequence[DumpPair] | None = None,
    left_out: int = 0, unmatched: tuple[int, int] = (0, 0),
) -> Verdict:  # fmt: skip
    """What the differences of two runs mean; ``pairs`` and ``floor`` in order of time.

    ``floor`` holds the pairs of A and one or more runs that differ from it by noise only; ``left_out`` counts pairs
    that could not be read, ``unmatched`` dumps of A and of B without a partner. Rules, thresholds and
    sources: docs/verdicts.md.
    """
    views = look(pairs, tolerance)
    gaps = Gaps(len(pairs), left_out, unmatched, unread_tensors(views))
    case = Case(views, look(floor, Tolerance()) if floor is not None else None, alignment, tolerance, gaps)
    if not _common(case.views):
        return Verdict("nothing in common", nothing_words(alignment, bool(pairs), gaps))
    unrelated = not_comparable(case.views)
    if unrelated is not None:
        if any(m.confidence < 1 for m in alignment.matches):
            unrelated = replace(unrelated, clause=f"{unrelated.clause} (or between tensors that names pair wrongly)")
        return _unrelated(case, unrelated)
    return _compared(case)


def _common(views: Sequence[View]) -> bool:
    """Whether anything of both runs could be compared, if only to find that shapes differ."""
    return any(
        v.layout.tensors or v.scalars("loss") or v.scalars("acc") or (v.pair.a.fingerprint and v.pair.b.fingerprint)
        for v in views
    )


def _unrelated(case: Case, unrelated: Clue) -> Verdict:
    """Weights say nothing: batches, settings, losses and NaN still do."""
    views = case.views
    clues = [unrelated, *batch_clues(views), *setting_clues(views), *nonfinite_clues(views), *bias_clues(views),
             *pairing_clues(views, case.alignment), *case.gaps.clues()]  # fmt: skip
    noise = against(views, case.floor, ["the difference of the losses"]) if case.floor is not None else None
    clues += [*floor_clues(noise), *noise.remarks] if noise else []
    return _verdict(
        "not comparable", unrelated_words(_told(case, clues, unrelated, noise), what_is_left(views)), clues, unrelated
    )


def _compared(case: Case) -> Verdict:
    views = case.views
    clues = _clues(case)
    noise = against(views, case.floor) if case.floor is not None else None
    if noise:
        clues += [*floor_clues(noise), *noise.remarks]
    status = _status(case, noise, clues)
    first = _first(clues)
    told = _told(case, clues, first, noise)
    if status == "diverged":
        return _verdict(status, diverged_words(told), clues, first)
    if status == "identical":
        return _verdict(status, identical_words(told), clues, first)
    return _verdict(status, within_words(told, status), clues, first)


def _told(case: Case, clues: Sequence[Clue], first: Clue | None, noise: Noise | None) -> Told:
    return Told(case.views, tuple(clues), first, noise, case.tolerance, case.gaps)


def _clues(case: Case) -> list[Clue]:
    """All findings that need no floor."""
    views = case.views
    causes = cause_clues(views)
    trends = trend_clues(views)
    clues = [*pairing_clues(views, case.alignment), *batch_clues(views), *setting_clues(views),
             *counter_clues(views), *causes, *case.gaps.clues(),
             *nonfinite_clues(views), *jump_clues(views), *trends, *bias_clues(views)]  # fmt: skip
    if any(v.differs.any() for v in views):
        clues += [*frozen_clues(views), *([typed] if (typed := type_clue(views)) else [])]
    clues = _without_doubles(explain(views, clues))
    first = _first(clues)
    if case.floor is None and first is not None and first.view is not None and len(views) > 1:
        growing = next((str(c.clause.partition("relative L2 ")[2]) for c in trends if "doubl" in c.clause), "")
        if first.what in MEASURABLE and not first.explained:
            clues += rounding_clues(views, first.view, first.what, growing)
    return clues


def _without_doubles(clues: Sequence[Clue]) -> list[Clue]:
    """A tensor that differs where it is frozen, or by NaN, is said once: what says more stays serious.

    A tensor that stays where it is for want of what moves others (weight decay) is not frozen.
    """
    telling = {(c.view.index, c.tensor) for c in clues if c.what in ("nan", "frozen") and c.serious and c.view}
    return [replace(c, serious=False) if _plain(c, telling) or _side_effect(c, clues) else c for c in clues]


def _plain(clue: Clue, telling: set[tuple[int, str | None]]) -> bool:
    """Whether it only says what another clue explains."""
    if clue.what not in MEASURABLE or clue.explained or clue.view is None:
        return False
    return (clue.view.index, clue.tensor) in telling


def _side_effect(clue: Clue, clues: Sequence[Clue]) -> bool:
    """Whether a reason that holds for more tensors was found in the dump where something looks frozen."""
    if clue.what != "frozen":
        return False
    return any(
        c.explained and c.view is clue.view and c.numbers.get("tensors", 0) > clue.numbers["tensors"] for c in clues
    )


def _first(clues: Sequence[Clue]) -> Clue | None:
    """The earliest serious cause."""
    return min((c for c in clues if c.serious and c.what in CAUSES and c.view), key=lambda c: c.key, default=None)


def _status(case: Case, noise: Noise | None, clues: Sequence[Clue]) -> Status:
    """Any difference counts, unless a tolerance or a floor says how much does."""
    unequal = any(v.any_number_unequal() for v in case.views)
    beyond = any(v.any_number_differs() for v in case.views)
    shapes = any(c.what == "shape" for c in clues)
    judged = case.tolerance != Tolerance() or (noise is not None and noise.judged > 0)
    if not unequal and not shapes:
        return "diverged" if not judged and _first(clues) else "identical"
    if shapes:
        return "diverged"
    if not beyond and (judged or _first(clues) is None):
        return "within tolerance"
    if not judged:
        return "diverged"
    if (
        noise is None
        or not noise.judged
        or noise.gap
        or noise.excesses
        or any(c.what == "nan" and c.serious for c in clues)
    ):
        return "diverged"
    return "within noise"


def _verdict(status: Status, words: str, clues: Sequence[Clue], first: Clue | None) -> Verdict:
    ordered = sorted(clues, key=lambda c: c.key)
    return Verdict(status, words, first.finding() if first else None, tuple(c.finding() for c in ordered))
