"""Data of the picture of two runs over steps. A figure that is unknown or not finite is NaN: a gap in its line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ...diffing.measures import Columns
from ...diffing.records import DumpPair, Group, RunDiff
from ..diff_series import Scalar, Series, series
from ..diff_words import COMPARABLE, place_words, status_line, what_words

Array = np.ndarray[tuple[int], np.dtype[np.float64]]
#: What a line is of; the drawing gives each its colour.
Role = Literal["a", "b", "all", "mlp", "backbone", "update", "difference", "floor"]
#: "log": not negative, zeros have a place of their own; "cosine": 1 - cosine, the same upside down; "auto": log only
#: where values span a lot; "ratio": logarithmic around 1.
Scale = Literal["log", "cosine", "auto", "ratio", "linear"]
#: Points a line is drawn with; more are thinned out, extremes kept.
DRAWN = 1500
_COSINE_NOISE = 1e-15  # cosines of updates are known to this


@dataclass(frozen=True, slots=True)
class Line:
    """One line over steps."""

    label: str
    role: Role
    x: Array
    y: Array


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot: lines, or why there are none."""

    title: str
    lines: tuple[Line, ...]
    scale: Scale
    missing: str = ""  # what to say where no line has a point
    equal: str = ""  # what to say where all points are zero
    broken: tuple[tuple[str, Array], ...] = ()  # whose numbers are NaN or infinite, and at which steps
    of: str = ""  # what those numbers are: said once, not for differences of them

    @property
    def values(self) -> Array:
        """Every finite figure, that of the floor included."""
        every: Array = np.concatenate([line.y for line in self.lines]) if self.lines else np.zeros(0)
        finite: Array = every[np.isfinite(every)]
        return finite

    @property
    def all_zero(self) -> bool:
        """Whether there is nothing but zeros."""
        return bool(len(self.values)) and not self.values.any()


@dataclass(frozen=True, slots=True)
class DiffCurves:
    """Six panels over the same steps."""

    panels: tuple[Panel, ...]
    steps: Array
    words: tuple[str, ...]  # captions
    first: tuple[float, str] | None = None  # where it started: step and what to write there
    epochs: tuple[tuple[float, int], ...] = ()  # where they begin, and their numbers
    stepless: bool = False  # one pair of files that say no step


def diff_curves(diff: RunDiff) -> DiffCurves:
    """What the six panels show: weights, losses, accuracies; what is comparable where the weights are not."""
    over = series(diff)
    floor = Series(diff.floor) if diff.floor else None
    comparable = diff.verdict.status in COMPARABLE
    weights = (_weight_l2, _cosine) if comparable else (_norms, _travelled)
    panels = [*(make(over, floor) for make in weights)]
    scalars: tuple[Scalar, ...] = ("loss", "acc")
    for what in scalars:
        panels += [_both(over, what), _apart(over, floor, what)]
    order = panels if comparable else [*panels[2:], *panels[:2]]
    first = _first(diff)
    return DiffCurves(tuple(order), over.steps, _captions(diff, first, order), first, epochs(diff.pairs),
                      len(diff.pairs) == 1 and diff.pairs[0].a.step is None)  # fmt: skip


def _captions(diff: RunDiff, first: tuple[float, str] | None, panels: Sequence[Panel]) -> tuple[str, ...]:
    """Whose runs they are, what the verdict says, and what is not finite."""
    marked = " Dashed line: where it started." if first else ""
    words = [f"A: {diff.a}   B: {diff.b}", f"{status_line(diff.verdict)}{marked}"]
    broken = [
        f"{panel.of} of {side} from step {steps[0]:.0f}" for panel in panels if panel.of for side, steps in panel.broken
    ]
    return (*words, f"Red crosses, NaN or infinite: {', '.join(broken)}.") if broken else tuple(words)


def _first(diff: RunDiff) -> tuple[float, str] | None:
    """Where the verdict says that it started, if that is a step of the picture."""
    found = diff.verdict.first
    if found is None or found.step is None or diff.verdict.status == "identical" or len(diff.pairs) < 2:
        return None
    return float(found.step), f"{what_words(found)}, {place_words(found, tensor=False)}"


# -- panels ---------------------------------------------------------------------------------------

_NO_WEIGHTS = "no weights to compare"
_WORDS: dict[Scalar, str] = {"loss": "loss", "acc": "accuracy"}


def _weight_l2(over: Series, floor: Series | None) -> Panel:
    lines = _grouped(over, lambda columns: columns["l2"])
    if floor:
        lines = [Line("noise floor", "floor", floor.steps, floor.totals()["l2"]), *lines]
    return Panel("Weight L2", tuple(lines), "log", _NO_WEIGHTS, "identical: 0 in all dumps", _broken_weights(over),
                 "weights")  # fmt: skip


def _cosine(over: Series, floor: Series | None) -> Panel:
    """1 - cosine, from the angle for what it can be had of; what is left of a rounding error is no difference."""
    columns = over.totals()
    update = np.maximum(1 - columns["update_cosine"], 0)
    update = np.where(update < _COSINE_NOISE, 0, update)
    lines = [
        Line("weights", "all", over.steps, 2 * np.sin(columns["angle_rad"] / 2) ** 2),
        Line("updates since the first dump", "update", over.steps, update),
    ]
    if floor:
        rest = 2 * np.sin(floor.totals()["angle_rad"] / 2) ** 2
        lines = [Line("noise floor", "floor", floor.steps, rest), *lines]
    return Panel("Cosine similarity", _drawable(lines), "cosine", _NO_WEIGHTS, "identical: 1 in all dumps")


def _norms(over: Series, _: Series | None) -> Panel:
    with np.errstate(all="ignore"):
        lines = _grouped(over, lambda columns: columns["b_norm"] / columns["a_norm"])
    return Panel("Norm of the weights, B / A", tuple(lines), "ratio", _NO_WEIGHTS, "", _broken_weights(over),
                 "weights")  # fmt: skip


def _travelled(over: Series, _: Series | None) -> Panel:
    columns = over.totals()
    lines = [Line("A", "a", over.steps, columns["distance_a"]), Line("B", "b", over.steps, columns["distance_b"])]
    none = "unknown: no first dump to measure from" if "weight" in over.kinds else _NO_WEIGHTS
    return Panel("Distance from the first dump", _drawable(lines), "linear", none, "neither moved")


def _both(over: Series, what: Scalar) -> Panel:
    sides: tuple[Literal["a", "b"], ...] = ("a", "b")
    lines = [Line(side.upper(), side, over.steps, _finite(over.scalar(what, side))) for side in sides]
    scale: Scale = "auto" if what == "loss" else "linear"
    return Panel(_WORDS[what].capitalize(), _drawable(lines), scale, _none_of(what), "", _broken(over, what),
                 _WORDS[what])  # fmt: skip


def _broken(over: Series, what: Scalar) -> tuple[tuple[str, Array], ...]:
    """Whose loss or accuracy was NaN or infinite, and when."""
    sides: tuple[Literal["a", "b"], ...] = ("a", "b")
    where = {side.upper(): over.broken(what, side) for side in sides}
    return tuple((side, over.steps[at]) for side, at in where.items() if at.any())


def _apart(over: Series, floor: Series | None, what: Scalar) -> Panel:
    word = _WORDS[what]
    lines = [Line("|A − B|", "difference", over.steps, _finite(np.abs(over.difference(what))))]
    if floor:
        lines = [Line("noise floor", "floor", floor.steps, _finite(np.abs(floor.difference(what)))), *lines]
    missing = f"no pair of dumps has a finite {word} in both" if over.recorded(what) else _none_of(what)
    scale: Scale = "log" if what == "loss" else "auto"
    return Panel(f"{word.capitalize()} difference", _drawable(lines), scale, missing, f"the same {word} in all dumps",
                 _broken(over, what))  # fmt: skip


def _none_of(what: Scalar) -> str:
    return f"no {_WORDS[what]} in the dumps"


def _grouped(over: Series, of: Callable[[Columns], Array]) -> list[Line]:
    """A measure of all weights, and of the two groups where there are both."""
    groups: tuple[Group, ...] = ("mlp", "backbone")
    found = [(name, of(over.totals("weight", name))) for name in groups]
    known = [(name, y) for name, y in found if np.isfinite(y).any()]
    lines = [Line("all", "all", over.steps, of(over.totals()))]
    if len(known) == 2:
        lines += [Line(name, name, over.steps, y) for name, y in known]
    return [line for line in lines if np.isfinite(line.y).any()]


def _drawable(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if np.isfinite(line.y).any())


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _broken_weights(over: Series) -> tuple[tuple[str, Array], ...]:
    columns = over.totals()
    sides = {s.upper(): (columns[f"nan_{s}"] + columns[f"inf_{s}"]) > 0 for s in ("a", "b")}
    return tuple((side, over.steps[where]) for side, where in sides.items() if where.any())


# -- the time axis --------------------------------------------------------------------------------


def epochs(pairs: Sequence[DumpPair]) -> tuple[tuple[float, int], ...]:
    """Where epochs of A begin: after the last step of the one before, as batches count from 1 in each."""
    starts = []
    for before, after in pairwise(pairs):
        old, new = before.a.epoch, after.a.epoch
        if old is None or new is None or new <= old:
            continue
        exact = after.step - (after.a.batch or 0)
        inside = before.step <= exact < after.step and after.a.step is not None
        starts.append((float(exact if inside else (before.step + after.step) / 2), new))
    return tuple(starts)


def thinned(x: Array, y: Array, most: int = DRAWN) -> tuple[Array, Array]:
    """Points to draw: of each stretch its first, lowest, highest and last one, and its first gap."""
    if len(x) <= most:
        return x, y
    kept: set[int] = set()
    for part in np.array_split(np.arange(len(x)), most // 5):
        values = y[part]
        gaps = part[~np.isfinite(values)]
        kept |= {int(part[0]), int(part[-1]), *map(int, gaps[:1])}
        if len(gaps) < len(part):
            kept |= {int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])}
    order = np.array(sorted(kept))
    return x[order], y[order]
