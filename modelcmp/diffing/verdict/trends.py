"""The steady course of the distance between the weights: a doubling time, a power of the steps, a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..sums import Array
from .clues import Clue
from .distance import Series, distance_series
from .views import View
from .words import figure

#: A trend needs as many points; its rank correlation with time must reach STEADY, its change as many decades.
FEWEST_POINTS = 8
STEADY = 0.6
CHANGE_DECADES = math.log10(2)
#: Points that it takes to say that growth has ended.
FEWEST_SETTLED = 24
#: Theil and Sen's slope looks at all pairs of points: a long series is thinned.
MOST_POINTS = 300
#: A law of growth must leave no more than this, in the median.
FIT_DECADES = 0.15
#: What goes as the steps to a smaller power, over the last third, has settled; if it had grown by so much before.
FLAT_EXPONENT = 0.15
GREW_DECADES = 0.3


@dataclass(frozen=True, slots=True)
class Trend:
    """How a measure goes on: its words follow "relative L2"."""

    shape: str  # "exponential", "linear", "power", "saturated", "shrinking"
    words: str
    numbers: dict[str, float]


def trend(series: Series) -> Trend | None:
    """The steady course of a measure, or None where there is none."""
    if len(series.values) < FEWEST_POINTS:
        return None
    from scipy.stats import kendalltau

    steps, decades = _thinned(series.steps), _thinned(series.decades)
    settled = _settled(steps, decades)
    if settled is not None:
        return _saturation(steps, decades, settled)
    steadiness = float(kendalltau(steps, decades).statistic)
    if not abs(steadiness) >= STEADY or abs(decades[-1] - decades[0]) < CHANGE_DECADES:
        return None
    if steadiness < 0:
        return _exponential(steps, decades, "shrinking")
    return _growth(steps, decades)


def _thinned(values: Array) -> Array:
    """At most MOST_POINTS, evenly."""
    if len(values) <= MOST_POINTS:
        return values
    kept: Array = values[np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int)]
    return kept


def _line(x: Array, y: Array) -> tuple[float, float, float, float]:
    """Slope with its 95 % interval, and the median size of what it leaves (Theil 1950, Sen 1968)."""
    from scipy.stats import theilslopes

    slope, start, low, high = theilslopes(y, x)
    return float(slope), float(low), float(high), float(np.median(np.abs(y - start - slope * x)))


def _settled(steps: Array, decades: Array) -> int | None:
    """The index from which on the measure stays, after it grew; None where it goes on or never grew."""
    if len(steps) < FEWEST_SETTLED:
        return None
    third = len(steps) - len(steps) // 3
    exponent = _line(_since(steps)[third:], decades[third:])[0]
    level = float(np.median(decades[third:]))
    if abs(exponent) > FLAT_EXPONENT or level - float(np.median(decades[:3])) < GREW_DECADES:
        return None
    return int(np.argmax(decades >= level - GREW_DECADES / 3))


def _since(steps: Array) -> Array:
    """log10 of the steps since one dump before the first."""
    since: Array = np.log10(steps - steps[0] + float(np.median(np.diff(steps))))
    return since


def _saturation(steps: Array, decades: Array, settled: int) -> Trend:
    level = 10 ** float(np.median(decades[settled:]))
    numbers = {"level": level, "settled_at_step": float(steps[settled])}
    grown = _growth(steps[: settled + 1], decades[: settled + 1]) if settled + 1 >= FEWEST_POINTS else None
    words = f"stays near {figure(level)} from about step {steps[settled]:.0f} on"
    if grown is not None and grown.shape == "exponential":
        numbers |= grown.numbers
        words = f"doubled every {figure(grown.numbers['doubling_steps'])} steps at first and {words}"
    return Trend("saturated", words, numbers)


def _growth(steps: Array, decades: Array) -> Trend:
    """Exponential or a power of the steps since the start, whichever leaves less."""
    exponential = _line(steps, decades)
    power = _line(_since(steps), decades)
    if min(exponential[3], power[3]) > FIT_DECADES:
        return Trend("growing", f"keeps growing, from {figure(10 ** float(decades[0]))} on", {})
    if exponential[3] <= power[3] and exponential[1] > 0:
        return _exponential(steps, decades, "exponential")
    exponent, numbers = power[0], {"exponent": power[0], "exponent_low": power[1], "exponent_high": power[2]}
    if power[1] <= 1 <= power[2] or abs(exponent - 1) < 0.15:
        return Trend("linear", "grows about linearly with the steps", numbers)
    if abs(exponent - 0.5) < 0.1:
        return Trend("power", "grows about as the square root of the steps", numbers)
    return Trend("power", f"grows as the steps to the power {exponent:.1f}", numbers)


def _exponential(steps: Array, decades: Array, shape: str) -> Trend:
    slope, low, high, _ = _line(steps, decades)
    doubling = math.log10(2) / abs(slope) if slope else math.inf
    numbers = {"doubling_steps": doubling, "decades_per_step": slope, "decades_per_step_low": low,
               "decades_per_step_high": high}  # fmt: skip
    verb = "doubles" if shape == "exponential" else "halves"
    return Trend(shape, f"{verb} every {figure(doubling)} steps", numbers)


def trend_clues(views: Sequence[View]) -> list[Clue]:
    """The course of the weights' distance, of all together and of each group that goes another way."""
    whole = trend(distance_series(views))
    clues = [_trend_clue("", whole)] if whole else []
    for group, name in (("mlp", " of the head"), ("backbone", " of the backbone")):
        part = trend(distance_series(views, group)) if _both_groups(views) else None  # type: ignore[arg-type]
        if part and (whole is None or part.shape != whole.shape):
            clues.append(_trend_clue(name, part))
    return clues


def _both_groups(views: Sequence[View]) -> bool:
    if len(views) < FEWEST_SETTLED:
        return False
    return {"mlp", "backbone"} <= {t.group for t in views[-1].layout.tensors if t.kind == "weight"}


def _trend_clue(of: str, found: Trend) -> Clue:
    return Clue("trend", f"the weights' relative L2{of} {found.words}", numbers=found.numbers, serious=False)
