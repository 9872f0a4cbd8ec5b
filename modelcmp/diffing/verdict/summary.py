"""The verdict in one or two sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import KINDS, Alignment, Status, Tolerance
from . import batches
from .beyond import beyond_words
from .clues import Clue
from .distance import distance_series, last_distance
from .floors import Noise, excess_words
from .gaps import Gaps, unknown_words
from .views import View
from .words import brief, figure, listed, many, place, sentence

#: Independent causes named beside the first.
ALSO_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Told:
    """All that words are made from."""

    views: tuple[View, ...]
    clues: tuple[Clue, ...]
    first: Clue | None
    noise: Noise | None
    tolerance: Tolerance
    gaps: Gaps


def nothing_words(alignment: Alignment, paired: bool, gaps: Gaps) -> str:
    """For runs that share no dump, or no tensor."""
    more = "".join(f" {sentence(part)}" for part in gaps.told())
    if not paired:
        return f"Nothing in common: no dump of A has a partner in B. Pair them otherwise with `--align step`.{more}"
    a = {m.name for m in alignment.matches} | {name for name, _ in alignment.ambiguous} | {*alignment.only_a}
    b = {m.name_b for m in alignment.matches} | {n for _, names in alignment.ambiguous for n in names}
    count = f" (A has {many(len(a), 'tensor')}, B {len(b | {*alignment.only_b})})"
    return (
        f"Nothing in common: no tensor of A has a partner in B{count}. Write a map of names with `--write-map`.{more}"
    )


def identical_words(told: Told) -> str:
    """What was equal, over how much, and what was not compared."""
    views, gaps = told.views, told.gaps
    how = "0 ULP" if not any(v.by_hash.any() for v in views) else "equal elements or hashes"
    if any(v.unknown.any() for v in views):
        how = "as far as recorded"
    dumps = f" over {many(len(views), 'dump')}" if len(views) > 1 or gaps.left_out else ""
    left = "".join(f"; {part}" for part in gaps.told())
    silent = {c.clause for c in (*gaps.clues(), *(told.noise.remarks if told.noise else ()))}
    missing = [c.clause for c in told.clues if c.what in ("missing", "unknown", "shape") and c.clause not in silent]
    remarks = [c.clause for c in told.clues if c.what in ("settings", "batch") and c.serious]
    start = (
        f"Identical ({how}){dumps}: {listed(_counted(views), 4)}" if _learnt(views) else _without_tensors(views, dumps)
    )
    parts = [f"{start}{left}."]
    parts += [f"Though {'; '.join(remarks)}."] if remarks else []
    parts += [f"Not all was compared: {'; '.join(missing[:3])}."] if missing else []
    return _joined([*parts, unknown_words(views)])


def _counted(views: Sequence[View]) -> list[str]:
    """What was compared: tensors, losses, accuracies where there are no losses, batches."""
    found = [_tensors(views)] if _tensors(views) else []
    scalars = next((word for key, word in (("loss", "losses"), ("acc", "accuracies")) if _have(views, key)), "")
    found += [scalars] if scalars else []
    return found + (["batches"] if any(batches.same(v) for v in views) else [])


def _have(views: Sequence[View], key: str) -> bool:
    return any(v.scalars(key) for v in views)


def _learnt(views: Sequence[View]) -> bool:
    """Whether any weight, gradient or optimizer state was compared."""
    kinds = ("weight", "grad", "optimizer")
    return any((v.compared & v.layout.kinds[k]).any() for v in views for k in kinds)  # type: ignore[index]


def _without_tensors(views: Sequence[View], dumps: str) -> str:
    """That equal losses, batches and buffers are all there is: it does not make two runs the same."""
    what = "weight, gradient or optimizer state" if any(v.compared.any() for v in views) else "tensor"
    counted = listed(_counted(views), 4)
    if not counted:
        return f"Identical in nothing{dumps}: no {what} could be compared"
    return f"Identical {counted}{dumps}; no {what} could be compared"


def _joined(parts: Sequence[str]) -> str:
    return " ".join(part for part in parts if part)


def _ending(told: Told) -> list[str]:
    """What was left out, and what is not known."""
    return [*map(sentence, told.gaps.told()), unknown_words(told.views)]


def _tensors(views: Sequence[View]) -> str:
    """How many tensors of each kind: "12 weights, 24 optimizer states"."""
    names = {"weight": "weight", "buffer": "buffer", "grad": "gradient", "optimizer": "optimizer state"}
    most = {k: max(int((v.layout.kinds[k] & v.compared).sum()) for v in views) for k in KINDS}
    told = [many(most[k], names[k]) for k in ("weight", "buffer", "grad", "optimizer") if most[k]]
    return ", ".join(told)


def unrelated_words(told: Told, left: str) -> str:
    """That weights cannot be compared, and what can."""
    assert told.first is not None
    words = f"Weights not comparable: {told.first.clause}. Comparable are {left or 'no other numbers in these dumps'}."
    also = [c.clause for c in told.clues if c.what in ("settings", "batch", "nan") and c.serious][:ALSO_SHOWN]
    words += f" Also: {'; '.join(also)}." if also else ""
    if told.noise and told.noise.judged:
        words += f" {sentence(_noise(told.noise))}"
    return _joined([words, *_ending(told)])


def within_words(told: Told, status: Status) -> str:
    """How far apart the runs get, and that it does not matter."""
    views, first = told.views, told.first
    series = distance_series(views)
    words = f"{status.capitalize()} ({_limit(told, status)})"
    if len(series.values):
        top = int(np.argmax(series.values))
        words += f": the weights' relative L2 is at most {figure(float(series.values[top]))}"
        words += f", at {brief(series.views[top].pair)}" if len(views) > 1 else ""
    return _joined([f"{words}.", _differs(views, first) if first else "", *_ending(told)])


def _limit(told: Told, status: Status) -> str:
    """What the differences keep to."""
    noise, every = told.noise, many(len(told.views), "dump")
    if status == "within noise" and noise:
        late = f", {noise.late} of them past its end" if noise.late else ""
        return f"at most {figure(noise.largest)} times the floor in {noise.judged} of {every}{late}"
    if told.tolerance == Tolerance():
        return "as far as the coarser of two stored types tells"
    return f"rtol {figure(told.tolerance.rtol)}, atol {figure(told.tolerance.atol)}"


def _differs(views: Sequence[View], first: Clue) -> str:
    assert first.view is not None
    return f"The runs first differ {_where(views, first.view)}: {first.clause}."


def diverged_words(told: Told) -> str:
    """Where and with what it started; what agreed until then; where it led."""
    views, first, clues, noise = told.views, told.first, told.clues, told.noise
    parts = []
    if noise and noise.excesses:
        parts.append(f"Diverged: {excess_words(noise.excesses[0])}.")
    if first is not None and first.view is not None:
        start = f"Diverged {_where(views, first.view)}: {first.clause}." if not parts else _differs(views, first)
        parts.append(start)
    parts += [sentence(noise.gap)] if noise and noise.gap and not noise.excesses else []
    parts += [beyond_words(views, told.tolerance)] if told.tolerance != Tolerance() else []
    also = [c.clause for c in sorted(clues, key=lambda c: c.key) if _beside(c, first)]
    parts += [f"Also: {'; '.join(also[:ALSO_SHOWN])}."] if also else []
    parts += _course(views, first, clues)
    if noise is None and told.tolerance == Tolerance() and first is not None:
        parts += _advice(first, clues, len(views))
    return _joined([*parts, *_ending(told)])


def _beside(clue: Clue, first: Clue | None) -> bool:
    """A cause of its own, or what must not be missed."""
    return clue.serious and clue is not first and clue.what in ("settings", "frozen", "swap", "nan", "batch", "shape")


def _where(views: Sequence[View], view: View) -> str:
    """ "at step 12 (epoch 1, batch 12)"; "between step 10 (identical) and step 20"; "already at the first dump"."""
    before = views[view.index - 1] if view.index else None
    if before is None and len(views) == 1:
        return "in the only pair of dumps" if view.placeless or view.initial else f"at {place(view.pair)}"
    if before is None:
        return f"from the {'start' if view.initial else 'first dump'} on, {place(view.pair)}"
    if view.pair.a.step is None or before.pair.a.step is None or view.pair.step - before.pair.step <= 1:
        return f"at {place(view.pair)}"
    state = "identical" if view.tolerance == Tolerance() else "within tolerance"
    return f"between {brief(before.pair)} ({state}) and {place(view.pair)}"


def _course(views: Sequence[View], first: Clue | None, clues: Sequence[Clue]) -> list[str]:
    """What agreed before the first difference, and how the distance between the weights went on."""
    agreed = _agreed(views, first)
    trend = next((c.clause for c in clues if c.what == "trend"), "")
    course = trend.partition("relative L2 ")[2] if trend.startswith("the weights' relative L2 ") else ""
    last = last_distance(views) if first is None or first.view is not views[-1] else ""
    if last and course:
        last += f" and {course}"
    told = "; ".join(part for part in (agreed or _parting(first, clues), last) if part)
    return [sentence(told)] if told else []


def _agreed(views: Sequence[View], first: Clue | None) -> str:
    if first is None or first.view is None or first.view.index == 0:
        return ""
    until = views[: first.view.index + 1]  # what comes before it within the step agreed there too
    told = ["tensors"] if any(v.layout.usable.any() for v in until[:-1]) else []
    told += ["batches"] if any(batches.same(v) for v in until) else []
    told += ["losses"] if any(v.scalars("loss") and not v.scalar_differs("loss") for v in until) else []
    return f"{listed(told)} agreed until then" if told else ""


def _parting(first: Clue | None, clues: Sequence[Clue]) -> str:
    """Where tensors begin to differ, after settings that did from the start."""
    if first is None or first.what not in ("settings", "batch", "dtype"):
        return ""
    kinds = ("grad", "optimizer", "weight", "update", "frozen", "swap")
    part = min((c for c in clues if c.what in kinds and c.view), key=lambda c: c.key, default=None)
    if part is None or part.view is None or part.view is first.view:
        return ""
    return f"tensors part at {brief(part.view.pair)}"


def _noise(noise: Noise) -> str:
    if noise.excesses:
        return excess_words(noise.excesses[0])
    factor = "" if math.isnan(noise.largest) else f" (at most {figure(noise.largest)} times the floor)"
    return f"losses differ within noise{factor}"


def _advice(first: Clue, clues: Sequence[Clue], dumps: int) -> list[str]:
    """What the size of a first difference says that nothing explains, and how to learn what is noise."""
    if first.explained or first.what not in ("loss", "acc", "grad", "optimizer", "weight", "buffer"):
        return []
    hint = next((c.clause for c in clues if c.what == "noise"), "")
    asked = (
        "" if "--floor" in hint or dumps == 1 else "No noise floor was given: see `--floor` (a same-seed rerun of A)"
    )
    return [sentence(part) for part in (hint, asked) if part]
