"""Whether a difference is more than noise: against runs that differ by noise only, or against rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..sums import Array
from .clues import Clue
from .growth import unlike_rounding
from .views import COARSE, EPS32, View
from .words import brief, figure, many

#: A difference is more than noise above this many times the floor ...
FACTOR = 3.0
#: ... for as many dumps in a row.
IN_A_ROW = 3
#: The floor at a step is the largest of as many dumps of the floor up to it.
WINDOW = 10
#: Past its end the floor's last value holds if there are as many dumps of it, and it covers this share of the dumps.
FEWEST = 3
COVERED = 0.5
#: How large, in epsilons of the stored type, a first difference may be to come from rounding alone. Gradients are sums
#: with cancellation, and so is what is made of them.
ROUNDING_EPS = {"weight": 16.0, "buffer": 64.0, "optimizer": 256.0, "grad": 256.0, "loss": 64.0}

KINDS_WORDS = {"weight": "weights", "buffer": "buffers", "optimizer": "optimizer states", "grad": "gradients"}

Measure = Callable[[View], float]


@dataclass(frozen=True, slots=True)
class Excess:
    """Where a measure rises above the floor for good enough."""

    measure: str
    view: View  # the first of IN_A_ROW
    factor: float  # the largest of value over floor from there on; infinite over a floor of 0
    value: float  # at the first
    floor: float


@dataclass(frozen=True, slots=True)
class Noise:
    """A run against the floor: what exceeds it, how many dumps were judged, and remarks."""

    judged: int
    excesses: tuple[Excess, ...]
    largest: float  # value over floor, of all judged
    remarks: tuple[Clue, ...] = ()
    late: int = 0  # judged by the floor's last value, past its end
    gap: str = ""  # why differences remain that nothing was held against


@dataclass(frozen=True, slots=True)
class _Limits:
    """The floor at each view; NaN where there is none."""

    values: Array
    covered: int  # views that it has values for
    late: int = 0  # views past its end, that its last value is taken for


def weights(view: View) -> float:
    """Relative L2 of all weights."""
    return view.relative_l2(view.layout.kinds["weight"])


def losses(view: View) -> float:
    """|difference of the losses|."""
    both = view.scalars("loss")
    return math.nan if both is None else abs(both[0] - both[1])


MEASURES: dict[str, Measure] = {"the weights' relative L2": weights, "the difference of the losses": losses}


def against(views: Sequence[View], floor: Sequence[View], only: Sequence[str] = tuple(MEASURES)) -> Noise:
    """Hold each measure against the floor's at the same place."""
    if not floor:
        clause = "the noise floor has no dump in common with A: it judges nothing"
        return Noise(0, (), math.nan, (Clue("unknown", clause, serious=False),), 0, clause)
    excesses, judged, largest, late, gaps = [], 0, 0.0, 0, []
    for name in only:
        values, limits = _values(views, MEASURES[name]), _limits(views, floor, MEASURES[name])
        gaps += [gap for gap in [_gap(name, values, limits)] if gap]
        known = ~np.isnan(values) & ~np.isnan(limits.values)
        if not known.any():
            continue
        judged, late = max(judged, int(known.sum())), max(late, limits.late)
        factors = _factors(values, limits.values)
        largest = max(largest, float(np.nanmax(factors)))
        excess = _excess(name, views, factors, values, limits.values)
        excesses += [excess] if excess else []
    gaps = gaps[:1]
    remarks = [Clue("unknown", words, serious=False) for words in [*gaps, *_late(floor, late)]]
    return Noise(judged, tuple(excesses), largest, tuple(remarks), late, "".join(gaps))


def _values(views: Sequence[View], measure: Measure) -> Array:
    return np.array([measure(v) for v in views], dtype=np.float64)


def _limits(views: Sequence[View], floor: Sequence[View], measure: Measure) -> _Limits:
    """The floor where each view is: the largest of the last WINDOW dumps of the floor; past its end its last value."""
    steps = np.array([v.pair.step for v in floor], dtype=np.float64)
    order = np.argsort(steps, kind="stable")
    steps, sizes = steps[order], _values([floor[i] for i in order], measure)
    steps, sizes = steps[~np.isnan(sizes)], sizes[~np.isnan(sizes)]
    places = np.unique(steps)
    at = np.array([v.pair.step for v in views], dtype=np.float64)
    late = at > places[-1] if len(places) else np.ones(len(at), dtype=bool)
    limits = np.array([_limit(places, steps, sizes, step) for step in at])
    covered = int((~late & ~np.isnan(limits)).sum())
    if len(places) >= FEWEST and covered >= COVERED * len(views):
        return _Limits(limits, covered, int(late.sum()))
    return _Limits(np.where(late, math.nan, limits), covered)


def _limit(places: Array, steps: Array, sizes: Array, step: float) -> float:
    """The largest value of the last WINDOW places up to a step; NaN before the first."""
    until = int(np.searchsorted(places, step, side="right"))
    if until == 0:
        return math.nan
    return float(sizes[(steps >= places[max(0, until - WINDOW)]) & (steps <= step)].max())


def _gap(name: str, values: Array, limits: _Limits) -> str:
    """Why a measure that differs somewhere has no floor there; "" where it has."""
    if not (np.isnan(limits.values) & (values > 0)).any():
        return ""
    if not limits.covered:
        return f"the floor has nothing to hold {name} against at the same steps"
    return (
        f"the noise floor covers only {limits.covered} of {many(len(values), 'dump')}: too few to call the rest noise"
    )


def _factors(values: Array, limits: Array) -> Array:
    """Value over floor; 0 over 0 is 0, anything over 0 infinite."""
    with np.errstate(all="ignore"):
        return np.where((values == 0) & (limits == 0), 0.0, values / limits)


def _excess(name: str, views: Sequence[View], factors: Array, values: Array, limits: Array) -> Excess | None:
    """The first of IN_A_ROW judged dumps above FACTOR; of all of them, where there are fewer."""
    judged = [i for i in range(len(views)) if not math.isnan(factors[i])]
    needed = min(IN_A_ROW, len(judged))
    row = 0
    for n, i in enumerate(judged):
        row = row + 1 if factors[i] > FACTOR else 0
        if row == needed:
            start = judged[n - needed + 1]
            top = float(np.nanmax(factors[start:]))
            return Excess(name, views[start], top, float(values[start]), float(limits[start]))
    return None


def _late(floor: Sequence[View], late: int) -> list[str]:
    """That dumps past the floor's end were held against its last value."""
    if not late:
        return []
    last = max(v.pair.step for v in floor)
    return [
        f"{many(late, 'dump')} past step {last}, where the floor ends, {'is' if late == 1 else 'are'} held against its "
        "last value, though floors grow: a longer one would tell"
    ]


def floor_clues(noise: Noise) -> list[Clue]:
    """A finding for each measure above the floor."""
    return [
        Clue("floor", f"from here on {e.measure} is above the noise floor ({_over(e)})", e.view,
             numbers={"factor": e.factor, "value": e.value, "floor": e.floor})
        for e in noise.excesses
    ]  # fmt: skip


def _over(excess: Excess) -> str:
    if math.isinf(excess.factor):
        return f"{figure(excess.value)}, where the floor is 0"
    return f"up to {figure(excess.factor)} times"


def excess_words(excess: Excess) -> str:
    """For the verdict: "40 times the noise floor from step 30 on"."""
    since = "" if excess.view.placeless else f" from {brief(excess.view.pair)} on"
    if math.isinf(excess.factor):
        return f"{excess.measure} is above a noise floor of 0{since}"
    return f"{excess.measure} is up to {figure(excess.factor)} times the noise floor{since}"


def rounding_clues(views: Sequence[View], view: View, what: str, growing: str) -> list[Clue]:
    """Whether a first difference, of the kind ``what``, is as small as rounding makes it, and grows as rounding does.

    A remark, since small causes look the same. All kinds of the dump must be within their limits; many steps after the
    last dump a larger one tells nothing.
    """
    sizes = {kind: size / eps for kind in ROUNDING_EPS for size, eps in [_size(view, kind)] if size > 0}
    if not sizes or (view.layout.eps > COARSE).any():
        return []
    worst = max(sizes, key=lambda w: sizes[w] / ROUNDING_EPS[w])
    beyond = sizes[worst] > ROUNDING_EPS[worst]
    named = what if what in sizes and (sizes[what] > ROUNDING_EPS[what] or not beyond) else worst
    numbers = {"relative": _size(view, named)[0], "epsilons": sizes[named]}
    told = f"{_named(view, named)} is {figure(sizes[named])} times the spacing of stored numbers"
    if beyond:
        return [Clue("noise", f"{told}: more than rounding", view, None, numbers, False)] if view.near else []
    unlike = unlike_rounding(views, view)
    if unlike:
        return [Clue("noise", f"{told}, but {unlike}", view, None, numbers, False)]
    grown = f" and {growing}" if growing else ""
    clause = (
        f"{told}{grown}, as rounding does: non-deterministic kernels, another number of threads, machine or version; "
        "a rerun with the same seed as `--floor` would tell"
    )
    return [Clue("noise", clause, view, None, numbers, False)]


def _named(view: View, what: str) -> str:
    """Which difference is meant: "the difference of all weights (relative L2 5.3e-9, most in 1.bias)"."""
    size = figure(_size(view, what)[0])
    if what == "loss":
        return f"the difference of the losses (relative {size})"
    rows = np.flatnonzero(view.layout.kinds[what])  # type: ignore[index]
    most = view.layout.tensors[int(rows[np.argmax(view.pair.sums["dd"][rows])])].name
    return f"the difference of all {KINDS_WORDS[what]} (relative L2 {size}, most in {most})"


def _size(view: View, what: str) -> tuple[float, float]:
    """The relative size of a difference, and the epsilon to hold it against."""
    both = view.scalars("loss")
    if what == "loss":
        top = max(map(abs, both)) if both else 0.0
        return (abs(both[0] - both[1]) / top if both and top > 0 else math.nan), EPS32
    rows = view.layout.kinds[what]  # type: ignore[index]
    eps = view.layout.eps[rows & view.differs]
    known = eps[~np.isnan(eps)]
    return view.relative_l2(rows), float(known.max()) if len(known) else math.nan
