"""How far apart the weights are, dump by dump."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Group
from ..sums import Array
from .views import View
from .words import brief, figure


@dataclass(frozen=True)
class Series:
    """A positive measure over steps; the places where it was zero or unknown left out."""

    views: tuple[View, ...]
    steps: Array
    values: Array

    @property
    def decades(self) -> Array:
        """log10 of the values."""
        return np.log10(self.values)


def distance_series(views: Sequence[View], group: Group | None = None) -> Series:
    """The relative L2 of all weights (of a group) where it is known and not zero."""
    found = []
    chosen: dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    for view in views:
        key = id(view.layout)
        if key not in chosen:
            of_group = np.array([group in (None, t.group) for t in view.layout.tensors], dtype=bool)
            chosen[key] = view.layout.kinds["weight"] & of_group
        value = view.relative_l2(chosen[key])
        if value > 0 and math.isfinite(value):
            found.append((view, value))
    steps = np.array([float(v.pair.step) for v, _ in found])
    return Series(tuple(v for v, _ in found), steps, np.array([x for _, x in found], dtype=np.float64))


def last_distance(views: Sequence[View]) -> str:
    """Where the weights ended: "by step 90 relative L2 is 3.1e-3", or nothing."""
    series = distance_series(views)
    if not len(series.values) or series.views[-1].index != len(views) - 1:
        return ""
    return f"by {brief(series.views[-1].pair)} the weights' relative L2 is {figure(float(series.values[-1]))}"
