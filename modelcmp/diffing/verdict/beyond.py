"""Which quantity is first beyond a tolerance, and by how much."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..records import Tolerance
from .start import Start, starts
from .views import View
from .words import figure

_THINGS = {"grad": "the gradient of ", "optimizer": "the optimizer's ", "buffer": "buffer ", "weight": ""}
_NUMBERS = ("loss", "acc", *_THINGS)


def beyond_words(views: Sequence[View], tolerance: Tolerance) -> str:
    """ "Beyond the tolerance at step 2: fc.weight, where ||a - b|| is 0.02 and 0.001 allowed."; or nothing."""
    view = next((v for v in views if v.any_number_differs()), None)
    if view is None:
        return ""
    start = next((s for s in starts(view) if s.what in _NUMBERS), None)
    if start is None:
        return ""
    what, size, allowed = _scalar(start, tolerance) if start.what in ("loss", "acc") else _tensor(start, tolerance)
    figures = f"is {figure(size)} and {figure(allowed)} allowed" if math.isfinite(size) else "is NaN or infinite"
    return f"Beyond the tolerance{view.at}: {what} {figures}."


def _scalar(start: Start, tolerance: Tolerance) -> tuple[str, float, float]:
    a, b = start.view.scalars(start.what) or (math.nan, math.nan)
    name = "loss" if start.what == "loss" else "accuracy"
    return f"the {name}, whose difference", abs(a - b), tolerance.atol + tolerance.rtol * max(abs(a), abs(b))


def _tensor(start: Start, tolerance: Tolerance) -> tuple[str, float, float]:
    """Of the tensor that comes first: the length of the difference, or of both norms' where only they are known."""
    row, s = start.rows[0], start.view.pair.sums
    tensor = start.view.layout.tensors[row]
    a, b = math.sqrt(s["aa"][row]), math.sqrt(s["bb"][row])
    by_norm = math.isnan(s["dd"][row])
    size = abs(a - b) if by_norm else math.sqrt(s["dd"][row])
    if not start.view.finite[row]:
        size = math.nan
    which = "‖a‖ − ‖b‖" if by_norm else "‖a − b‖"
    allowed = tolerance.atol + tolerance.rtol * max(a, b)
    return f"{_THINGS[tensor.kind]}{tensor.name}, where {which}", size, allowed
