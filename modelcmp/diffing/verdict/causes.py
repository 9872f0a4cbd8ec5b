"""What first differs in each kind of thing, and why, as precisely as the dumps tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..records import Kind
from . import batches
from .clues import Clue
from .comparable import partly_shared
from .lossscale import scaled_loss
from .moments import gradient_reason, optimizer_reason
from .start import Start, firsts
from .updates import Reason, weight_reason
from .views import COARSE, EPS32, FAINT, View
from .words import apart, figure, listed, many

#: The relative difference of losses, in epsilons of float32, that another order of summation explains.
LOSS_ROUNDING_EPS = 64.0
_FORWARD = "(dropout or other random numbers, train or eval mode, precision)"
THINGS = {"grad": "gradient", "optimizer": "optimizer state", "weight": "weight", "buffer": "buffer"}


def cause_clues(views: Sequence[View]) -> list[Clue]:
    """The first difference of each kind of tensor and of the loss; only what differs first of all is serious.

    Batches and settings speak for themselves elsewhere.
    """
    found = firsts(views)
    clues = []
    for start in found:
        if start.what not in ("batch", "settings"):
            clues.append(_clue(views, start, _leads(start, found), _between(views, start, found)))
    return clues


def _leads(start: Start, found: Sequence[Start]) -> bool:
    """Whether nothing but settings differed before: what it says is then a cause, not a consequence."""
    index = found.index(start)
    return all(s.what == "settings" for s in found[:index])


def _between(views: Sequence[View], start: Start, found: Sequence[Start]) -> bool:
    """Whether it is among the first differences, steps after the last dump: any of them may be what came first."""
    if start.view.index == 0 or any(s.what == "batch" for s in found):
        return False
    beginning = next((s.view for s in found if s.what != "settings"), None)
    return start.view is beginning and not start.view.near


def _clue(views: Sequence[View], start: Start, leading: bool, between: bool) -> Clue:
    if start.what in ("loss", "acc"):
        return _scalar_clue(views, start, leading)
    reason = _reason(views, start) if leading or between else None
    name = start.view.layout.tensors[start.rows[0]].name
    numbers = sizes(start)
    if reason is None:
        return Clue(start.what, f"{extent(start)}{_context(views, start, leading)}", start.view, name, numbers, leading)
    what = reason.what or start.what
    return Clue(what, reason.clause, start.view, name, numbers | reason.numbers, True, True)


def _before(views: Sequence[View], view: View) -> View | None:
    """The pair of dumps one step before, where it is known to hold equal weights.

    Types like bfloat16 may hide that they differ: dumps can be stored coarser than what was trained.
    """
    before = views[view.index - 1] if view.near else None
    if before is None or not before.same("weight", "buffer"):
        return None
    eps = before.layout.eps[before.layout.kinds["weight"]]
    return before if not (eps > COARSE).any() else None


def _reason(views: Sequence[View], start: Start) -> Reason | None:
    view, before = start.view, _before(views, start.view)
    if view.faint[list(start.rows)].all():
        return None
    if start.what == "weight":
        return _initial(start) if view.initial else _moved(views, start)
    if start.what == "grad" and before:
        return gradient_reason(view, before, start.rows)
    if start.what == "optimizer":
        return optimizer_reason(view, before, start.rows)
    return None


def _moved(views: Sequence[View], start: Start) -> Reason | None:
    before = views[start.view.index - 1] if start.view.index else None
    return weight_reason(views, start.view, start.rows) if before and before.same("weight") else None


def _initial(start: Start) -> Reason | None:
    """Weights that differ before training: by how many representable numbers, or in which part."""
    view, rows = start.view, list(start.rows)
    shared = partly_shared(view)
    if shared:
        return Reason(*shared)
    ulps = view.pair.sums["ulp_max"][rows]
    if np.isnan(ulps).any() or ulps.max() > 1000 or not view.finite[rows].all():
        return None
    names = listed(view.layout.names(rows))
    clause = f"the runs start from weights that differ by at most {figure(ulps.max())} ULP in {names}"
    return Reason(f"{clause} ({_share(start)})", {"ulp_max": float(ulps.max())})


def sizes(start: Start) -> dict[str, float]:
    """How many of a kind differ, how much the first, which is the one that is named, and how much all together."""
    found = {"relative_l2": _size(start.view, start.rows[:1]), "total_relative_l2": _size(start.view, start.rows)}
    return {"tensors": float(len(start.rows))} | {key: size for key, size in found.items() if not math.isnan(size)}


def _size(view: View, rows: Sequence[int]) -> float:
    """The relative L2 of some rows together; unknown where only NaN and infinities differ."""
    mask = np.zeros(len(view.layout.tensors), dtype=bool)
    mask[list(rows)] = True
    size = view.relative_l2(mask)
    return size if size > 0 or view.finite[mask].all() else math.nan


def _share(start: Start) -> str:
    kind: Kind = start.view.layout.tensors[start.rows[0]].kind
    return f"{len(start.rows)} of {many(int(start.view.layout.kinds[kind].sum()), 'tensor')}"


def extent(start: Start) -> str:
    """The first tensor, how many more, how far apart: "the gradient of fc.weight differs first (...)"."""
    view, row = start.view, start.rows[0]
    size, ulps = _size(view, [row]), view.pair.sums["ulp_max"][row]
    told = [f"relative L2 {figure(size)}"] if size > 0 else []
    told += [f"up to {figure(ulps)} ULP"] if 0 < ulps <= 1000 and view.finite[row] else []
    told += [f"below {figure(FAINT)} of the norm of all, as rounding leaves it"] if view.faint[row] else []
    told += [word for word in (_places(view, row, "nan", "NaN"), _places(view, row, "inf", "infinite")) if word]
    tensor = view.layout.tensors[row]
    thing = {"grad": "the gradient of ", "optimizer": "the optimizer's ", "buffer": "buffer "}.get(tensor.kind, "")
    recovered = " (recovered from the optimizer's moments)" if tensor.recovered else ""
    first = "differs" if len(start.rows) == 1 else "differs first"
    return f"{thing}{tensor.name}{recovered} {first} ({'; '.join([*told, _share(start)])})"


def _places(view: View, row: int, key: str, word: str) -> str:
    """How many places are NaN (or infinite) in each, where that is not the same."""
    a, b = (view.pair.sums[f"{key}_{side}"][row] for side in ("a", "b"))
    return "" if a == b or math.isnan(a + b) else f"{word} in {a:.0f} places of A, {b:.0f} of B"


def _context(views: Sequence[View], start: Start, leading: bool) -> str:
    """What is known to agree, and so where the reason must lie."""
    view, before = start.view, _before(views, start.view)
    if not leading or view.initial or before is None:
        return ""
    loss = view.scalars("loss") or (math.nan, math.nan)
    losses = loss[0] == loss[1]
    if view.faint[list(start.rows)].all():
        return ""
    if start.what == "grad":
        told = "equal loss on the same batch" if losses and batches.same(view) else "equal loss" if losses else ""
        return f", with {told}: the backward pass or what is done to gradients differs" if told else ""
    names = view.layout.names(start.rows)
    state, gradients = view.agree("optimizer", names), view.agree("grad", names)
    if start.what == "weight" and state:
        both = "gradients and optimizer state" if gradients else "optimizer state"
        return f", while {both} agree: the update rule differs (learning rate, decoupled weight decay)"
    if start.what == "weight" and gradients:
        return ", while gradients agree: the optimizer differs (learning rate, weight decay, momentum, betas)"
    if start.what == "buffer":
        return ", with equal weights: what the forward pass records differs (train or eval mode, momentum of norms)"
    return ""


def _scalar_clue(views: Sequence[View], start: Start, leading: bool) -> Clue:
    """A loss (or accuracy) that differs, and whether the forward pass alone explains it."""
    view, before = start.view, _before(views, start.view)
    a, b = getattr(view.pair.a, start.what), getattr(view.pair.b, start.what)
    x, y = apart(a, b)
    known = all(map(math.isfinite, (a, b, *(view.scalars("loss") or ()))))  # after NaN an accuracy means nothing
    relative = abs(a - b) / max(abs(a), abs(b)) if known else math.nan
    name = "loss" if start.what == "loss" else "accuracy"
    told = f"; relative difference {figure(relative)}" if known else ""
    clause = f"the {name} differs ({x} in A, {y} in B{told})"
    if leading and before and known:
        scaled = scaled_loss(views, view) if start.what == "loss" else None
        if scaled:
            return Clue("loss", f"{scaled.clause} ({x} in A, {y} in B)", view, None, scaled.numbers, True, True)
        clause += _forward(view, relative)
    numbers = {f"{start.what}_a": a, f"{start.what}_b": b} | ({"relative": relative} if known else {})
    return Clue(start.what, clause, view, numbers=numbers, serious=leading)


def _forward(view: View, relative: float) -> str:
    if not batches.same(view):
        return " with equal weights before: the batch (not recorded) or the forward pass differs"
    if relative <= LOSS_ROUNDING_EPS * EPS32:
        return " by rounding, on the same batch with equal weights: other kernels, or another order of summation"
    accuracies = view.scalars("acc")
    if accuracies and not view.scalar_unequal("acc"):
        return (
            ", the accuracy does not, on the same batch with equal weights: the loss function differs (label "
            f"smoothing, weights of classes, mean or sum, a penalty), or the forward pass {_FORWARD}"
        )
    return f" on the same batch with equal weights: the forward pass differs {_FORWARD}"
