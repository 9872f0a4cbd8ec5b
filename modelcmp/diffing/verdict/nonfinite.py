"""Where NaN or infinity first appears, in which run and what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import KINDS
from .clues import Clue
from .views import Bools, View
from .words import figure, many

_NAMES = {"grad": "the gradient of ", "optimizer": "the optimizer's ", "buffer": "buffer ", "weight": ""}


@dataclass(frozen=True, slots=True)
class Seen:
    """The first appearance in one run."""

    view: View
    thing: str  # "the loss", "the gradient of fc.weight"
    tensor: str | None
    places: float
    kind: str  # "NaN", "Inf"
    holder: str  # "loss", or the kind of tensor


def nonfinite_clues(views: Sequence[View]) -> list[Clue]:
    """The first NaN or infinity of either run; both runs in one finding where both have some."""
    a, b = _first(views, "a"), _first(views, "b")
    if a is None and b is None:
        return []
    if a and b:
        return [_both(a, b)]
    one, side, other = (a, "A", "B") if a else (b, "B", "A")
    assert one is not None
    return [_clue(one, f"{one.kind} appears in {side} first in {_told(one)}; {other} stays finite", True)]


def _both(a: Seen, b: Seen) -> Clue:
    if (a.view.index, a.thing, a.kind) == (b.view.index, b.thing, b.kind):
        return _clue(a, f"{a.kind} appears in both runs at once, first in {_told(a)}", False)
    first, side, second, other = (a, "A", b, "B") if a.view.index <= b.view.index else (b, "B", a, "A")
    then = f"in {other}{second.view.at} in {_told(second)}"
    return _clue(first, f"{first.kind} appears in {side} first in {_told(first)}, {then}", True)


def _told(seen: Seen) -> str:
    return seen.thing + (f" ({many(int(seen.places), 'place')})" if seen.tensor else "")


def _clue(seen: Seen, clause: str, serious: bool) -> Clue:
    return Clue("nan", clause, seen.view, seen.tensor, {"places": seen.places}, serious, holder=seen.holder)


def _first(views: Sequence[View], side: str) -> Seen | None:
    """In causal order: loss, gradients, optimizer, weights, buffers. What a buffer holds from the start is meant."""
    born = _infinite(views[0], side) & views[0].layout.kinds["buffer"]
    meant = set(views[0].layout.names(np.flatnonzero(born).tolist()))
    for view in views:
        found = _in_loss(view, side) or _in_tensors(view, side, meant)
        if found:
            return found
    return None


def _in_loss(view: View, side: str) -> Seen | None:
    loss = getattr(view.pair, side).loss
    if loss is None or math.isfinite(loss):
        return None
    return Seen(view, f"the loss ({figure(loss)})", None, 1.0, "NaN" if math.isnan(loss) else "Inf", "loss")


def _infinite(view: View, side: str) -> Bools:
    s = view.pair.sums
    there: Bools = np.nan_to_num(s[f"nan_{side}"]) + np.nan_to_num(s[f"inf_{side}"]) > 0
    return there & view.layout.usable


def _in_tensors(view: View, side: str, meant: set[str]) -> Seen | None:
    there = _infinite(view, side)
    if not there.any():
        return None
    for kind in KINDS:
        for row in view.layout.causal(kind, there):
            tensor = view.layout.tensors[row]
            if kind == "buffer" and tensor.name in meant:
                continue
            nan = float(np.nan_to_num(view.pair.sums[f"nan_{side}"][row]))
            places = nan or float(view.pair.sums[f"inf_{side}"][row])
            thing = _NAMES[kind] + (tensor.name if side == "a" else tensor.name_b)
            return Seen(view, thing, tensor.name, places, "NaN" if nan else "Inf", kind)
    return None
