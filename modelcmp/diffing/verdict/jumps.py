"""Sudden rises of the distance between the weights, on top of whatever growth is usual."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .clues import Clue
from .distance import Series, distance_series
from .views import View
from .words import brief, figure

#: Steps to look back on for what growth is usual, and how many there must be.
WINDOW = 10
FEWEST_BEFORE = 5
#: A jump is more than this many robust standard deviations above usual growth, and at least a doubling.
JUMP_SIGMAS = 6.0
JUMP_DECADES = math.log10(2)
#: Jumps named one by one.
JUMPS_SHOWN = 5
MAD_TO_SIGMA = 1.4826


def jumps(series: Series) -> list[int]:
    """Where log10 of the measure rises by much more than it did in the steps before.

    The first difference is held against median and MAD of up to WINDOW before it, so that steady exponential growth
    (equal differences) never is a jump; the first FEWEST_BEFORE differences are not judged.
    """
    if len(series.values) < FEWEST_BEFORE + 2:
        return []
    rise, time = np.diff(series.decades), np.diff(series.steps)
    rate = rise / np.where(time > 0, time, 1)
    found = []
    for i in range(FEWEST_BEFORE, len(rise)):
        usual = rate[max(0, i - WINDOW) : i]
        middle = float(np.median(usual))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(usual - middle))) * time[i]
        if rise[i] - middle * time[i] > max(JUMP_SIGMAS * spread, JUMP_DECADES):
            found.append(i + 1)
    return found


def jump_clues(views: Sequence[View]) -> list[Clue]:
    """Each sudden rise of the distance between the weights, with the tensor that moved most."""
    series = distance_series(views)
    clues = []
    for i in jumps(series)[:JUMPS_SHOWN]:
        before, after = series.views[i - 1], series.views[i]
        factor = float(series.values[i] / series.values[i - 1])
        name = _moved_most(before, after)
        clause = (
            f"the weights' relative L2 jumps from {figure(float(series.values[i - 1]))} to "
            f"{figure(float(series.values[i]))} ({figure(factor)} times since {brief(before.pair)}), most in {name}"
        )
        clues.append(
            Clue("jump", clause, after, name, {"factor": factor, "total_relative_l2": float(series.values[i])})
        )
    return clues


def _moved_most(before: View, after: View) -> str:
    """The weight whose squared distance rose most."""
    now = {n: float(after.pair.sums["dd"][after.layout.places["weight", n]]) for n in after.layout.weight_names}
    then = {n: float(before.pair.sums["dd"][before.layout.places["weight", n]]) for n in before.layout.weight_names}
    return max(now, key=lambda n: now[n] - then.get(n, 0.0))
