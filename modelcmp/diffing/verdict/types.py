"""Two runs that train in different floating-point types: what that alone explains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .batches import SAME_TARGETS
from .clues import Clue
from .views import EPS, STORED, View

#: The relative difference of the first losses, in epsilons of the coarser type, that the types explain.
LOSS_EPS = 1.0


def type_clue(views: Sequence[View]) -> Clue | None:
    """That the runs train in two types, or None: types may also differ by how dumps are stored.

    The first loss tells: that of a float32 model does not change with the type that its weights are stored in.
    """
    view = next((v for v in views if (v.layout.mixed & v.layout.kinds["weight"]).any()), None)
    types = _types(view) if view is not None else None
    if view is None or types is None or not _in_loss(views, max(EPS[t] for t in types)):
        return None
    a, b = types
    return Clue("dtype", f"A trains in {a}, B in {b}", view, explained=True)


def _types(view: View) -> tuple[str, str] | None:
    """The types of most weights that differ in it, where both are known floating-point types."""
    rows = np.flatnonzero(view.layout.mixed & view.layout.kinds["weight"])
    found = Counter((view.layout.tensors[i].dtype, view.layout.tensors[i].dtype_b) for i in rows)
    (a, b), _ = found.most_common(1)[0]
    return (a, b) if a in EPS and b in EPS else None


def _in_loss(views: Sequence[View], eps: float) -> bool:
    """Whether the first losses differ, by no more than rounding to the coarser type gives."""
    view = next((v for v in views if v.scalars("loss")), None)
    a, b = (view.scalars("loss") if view else None) or (math.nan, math.nan)
    return bool(0 < abs(a - b) <= LOSS_EPS * eps * max(abs(a), abs(b)))


def explain(views: Sequence[View], clues: Sequence[Clue]) -> list[Clue]:
    """The clues with what the types explain as remarks: inputs that were cast, updates below a number's spacing."""
    cause = next((c for c in clues if c.what == "dtype" and c.serious), None)
    if cause is None or cause.view is None:
        return list(clues)
    found = [_explained(views, cause.view, c) for c in clues]
    if not any(c.what == "batch" and not c.serious for c in found):
        return found
    hidden = "with it their inputs (targets agree; other augmentation or preprocessing would be hidden)"
    return [replace(c, clause=f"{c.clause}, and {hidden}") if c is cause else c for c in found]


def _explained(views: Sequence[View], typed: View, clue: Clue) -> Clue:
    if clue.what == "batch" and clue.clause.startswith(SAME_TARGETS) and _every(clue):
        count = clue.clause[clue.clause.rindex("(") :]
        return replace(clue, clause=f"{SAME_TARGETS}, as inputs of another type are {count}", serious=False)
    if clue.what == "frozen":
        told = clue.clause.partition(": frozen")[0]
        if _below_spacing(views, typed, clue):
            return replace(clue, clause=f"{told}: updates below its type's spacing round to nothing", serious=False)
    return clue


def _every(clue: Clue) -> bool:
    return clue.numbers.get("batches_differing") == clue.numbers.get("batches_compared")


def _below_spacing(views: Sequence[View], typed: View, clue: Clue) -> bool:
    """Whether all that stays in the coarser run moves, in the other, by less a step than half its spacing."""
    last, s = views[-1], views[-1].pair.sums
    steps = max(1, last.pair.step - views[0].pair.step)
    stays = "B" if " never in B " in clue.clause else "A"
    still, moves, size = ("vv", "uu", "bb") if stays == "B" else ("uu", "vv", "aa")
    coarse = _coarser(typed) == stays
    rows = np.flatnonzero(last.layout.kinds["weight"] & last.layout.mixed)
    stuck = [int(i) for i in rows if s[still][i] == 0 and s[moves][i] > 0]
    if not coarse or len(stuck) < clue.numbers.get("tensors", 0):
        return False
    eps = last.layout.eps[stuck]
    return bool((np.sqrt(s[moves][stuck]) <= STORED * eps * np.sqrt(s[size][stuck]) * steps).all())


def _coarser(view: View) -> str:
    a, b = _types(view) or ("float32", "float32")
    return "A" if EPS[a] > EPS[b] else "B"
