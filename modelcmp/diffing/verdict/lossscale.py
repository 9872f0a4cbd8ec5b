"""A loss that is a multiple of the other run's: summed instead of averaged, or scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from . import batches
from .moments import common_factor
from .updates import Reason
from .views import View
from .words import figure

#: Relative error of a ratio of two losses that were each summed in float32 in another order.
CLEAN = 1e-5
#: A ratio is constant if all are so near their median, in as many dumps; and it is one if it is as far from 1.
CONSTANT = 1e-3
FEWEST = 3
APART = 0.01
#: How far the ratio of gradients may be from that of losses.
SAME = 0.01


def scaled_loss(views: Sequence[View], view: View) -> Reason | None:
    """Why losses differ on the same batch with equal weights: one is a multiple of the other, or None.

    Known from gradients that are parallel with the same ratio; or from equal accuracies and a ratio that is a whole
    number (or one over it), or constant over dumps.
    """
    ratio = _ratio(view)
    if not batches.same(view) or ratio is None or abs(ratio - 1) < APART:
        return None
    gradients = _gradients(view)
    alike = gradients is not None and abs(gradients / ratio - 1) <= SAME
    clean = _equal_accuracy(view) and (_whole(ratio) or _constant(views, view, ratio))
    if not alike and not (clean and (gradients is not None or _unknown(view) or view.same("grad"))):
        return None
    side, other, times = ("B", "A", ratio) if ratio > 1 else ("A", "B", 1 / ratio)
    told = _told(view, times, ratio, gradients, alike)
    return Reason(f"{side}'s loss is {figure(times)} times {other}'s{told}", {"loss_ratio": ratio})


def _told(view: View, times: float, ratio: float, gradients: float | None, alike: bool) -> str:
    """What gradients say, and what it means."""
    size = (view.pair.a.fingerprint or {}).get("size")
    summed = f"summed instead of averaged{_over(size, times)}, or scaled"
    if alike:
        return f", gradients too: {summed}"
    if gradients is not None:
        factor = gradients if ratio > 1 else 1 / gradients
        return f", gradients are {figure(factor)} times as long: {summed}, then clipped or scaled"
    if view.same("grad"):
        return f", gradients agree: only what was recorded is {summed}"
    return f", with equal accuracy: {summed}"


def _over(size: object, times: float) -> str:
    return f" over the {size} examples" if isinstance(size, int) and abs(times / max(size, 1) - 1) <= CLEAN else ""


def _ratio(view: View) -> float | None:
    a, b = view.scalars("loss") or (math.nan, math.nan)
    return b / a if a and b and math.isfinite(a * b) and a * b > 0 else None


def _equal_accuracy(view: View) -> bool:
    return view.scalars("acc") is not None and not view.scalar_unequal("acc")


def _whole(ratio: float) -> bool:
    """Whether it is a whole number from 2 on, or one over it."""
    times = max(ratio, 1 / ratio)
    return round(times) >= 2 and abs(times / round(times) - 1) <= CLEAN


def _constant(views: Sequence[View], view: View, ratio: float) -> bool:
    found = [_ratio(v) for v in views[view.index :] if v.scalars("loss")]
    known = np.array([math.nan if r is None else r for r in found])
    return len(known) >= FEWEST and bool((np.abs(known / ratio - 1) <= CONSTANT).all())


def _unknown(view: View) -> bool:
    """Whether no gradient was compared."""
    return not (view.compared & view.layout.kinds["grad"]).any()


def _gradients(view: View) -> float | None:
    """The one ratio of B's gradients to A's, where they are parallel; those at the level of rounding left out."""
    rows = np.flatnonzero(view.layout.kinds["grad"] & view.differs & ~view.faint).tolist()
    found = common_factor(view, rows, "gradients", "") if rows else None
    return None if found is None else found.numbers["ratio"]
