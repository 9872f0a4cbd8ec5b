"""How far apart the weights are over time: sudden jumps, steady growth, saturation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Group
from ..sums import Array
from .views import Clue, View
from .words import brief, figure, listed

#: Steps to look back on for what growth is usual, and how many there must be.
WINDOW = 10
FEWEST_BEFORE = 5
#: A jump is more than this many robust standard deviations above usual growth, and at least a doubling.
JUMP_SIGMAS = 6.0
JUMP_DECADES = math.log10(2)
#: Jumps named one by one.
JUMPS_SHOWN = 5
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
MAD_TO_SIGMA = 1.4826


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
        clues.append(Clue("jump", clause, after, name, {"factor": factor, "relative_l2": float(series.values[i])}))
    return clues


def _moved_most(before: View, after: View) -> str:
    """The weight whose squared distance rose most."""
    now = {n: float(after.pair.sums["dd"][after.layout.places["weight", n]]) for n in after.layout.weight_names}
    then = {n: float(before.pair.sums["dd"][before.layout.places["weight", n]]) for n in before.layout.weight_names}
    return max(now, key=lambda n: now[n] - then.get(n, 0.0))


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
        first, last = (figure(10 ** float(x)) for x in (decades[0], decades[-1]))
        return Trend("growing", f"keeps growing, from {first} to {last}", {})
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
    return {"mlp", "backbone"} <= {t.group for t in views[-1].layout.tensors if t.kind == "weight"}


def _trend_clue(of: str, found: Trend) -> Clue:
    return Clue("trend", f"the weights' relative L2{of} {found.words}", numbers=found.numbers, serious=False)


def bias_clues(views: Sequence[View]) -> list[Clue]:
    """A loss that is lower in one run too often for chance."""
    both = [(v, v.scalars("loss")) for v in views]
    known = [(v, s[0] - s[1]) for v, s in both if s is not None and all(map(math.isfinite, s)) and s[0] != s[1]]
    if len(known) < FEWEST_POINTS:
        return []
    gaps = np.array([d for _, d in known])
    share, p, effective = sign_test(gaps)
    if p >= 0.01 or share == 0.5:
        return []
    lower = "B" if share > 0.5 else "A"
    often, middle = max(share, 1 - share), float(np.median(np.abs(gaps)))
    level = float(np.median([abs(s[0]) for _, s in both if s is not None and math.isfinite(s[0])]))
    clause = (
        f"the loss is lower in {lower} in {100 * often:.0f} % of {len(gaps)} dumps where it differs (sign test "
        f"p = {figure(p)}, counted as {figure(effective)} independent ones), by {figure(middle)} in the median"
        + (f" ({figure(100 * middle / level)} %)" if level else "")
    )
    numbers = {"share": often, "p": p, "effective_dumps": effective, "median_gap": middle}
    return [Clue("bias", clause, numbers=numbers, serious=False)]


def sign_test(gaps: Array) -> tuple[float, float, float]:
    """Share of positive gaps, two-sided p, and the number of independent gaps that they amount to.

    Gaps of neighbouring dumps go together: their number is shrunk by (1 - r) / (1 + r), r the correlation of
    neighbours (of signs or of ranks, the larger, and not below 0; Bayley and Hammersley, 1946, for a first-order
    process).
    """
    from scipy.stats import binomtest, rankdata

    signs = np.sign(gaps)
    share = float((signs > 0).mean())
    r = max(0.0, _neighbours(signs), _neighbours(rankdata(gaps)))
    n = max(1, math.floor(len(gaps) * (1 - r) / (1 + r)))
    return share, float(binomtest(round(share * n), n).pvalue), float(n)


def _neighbours(values: Array) -> float:
    """Correlation of each value with the next; 0 where all are the same."""
    centred = values - values.mean()
    spread = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum()) / spread if spread else 0.0


def last_distance(views: Sequence[View]) -> str:
    """Where the weights ended: "by step 90 relative L2 is 3.1e-3", or nothing."""
    series = distance_series(views)
    if not len(series.values) or series.views[-1].index != len(views) - 1:
        return ""
    return f"by {listed([brief(series.views[-1].pair)])} the weights' relative L2 is {figure(float(series.values[-1]))}"
