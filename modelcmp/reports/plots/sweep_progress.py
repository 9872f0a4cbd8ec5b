"""All architectures of a search over the budget they spent: the data, and how it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ... import units
from ...sweeps.records import BudgetUnit, Objective, Sweep, Trial
from .sweep_study import best_so_far

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_UNIT_WORDS = {
    "trials": "Trials ended", "steps": "Training steps spent", "minutes": "Training minutes spent",
    "flops": "Training FLOPs spent",
}  # fmt: skip
_TAKEN = {"flops": "FLOPs"}


@dataclass(frozen=True, slots=True)
class Course:
    """One architecture: what had been spent and reached as each of its trials ended."""

    name: str
    colour: int  # its place among all architectures
    spent: tuple[float, ...]  # after each trial, in the order in which they ended
    values: tuple[tuple[float | None, ...], ...]  # a row an objective; None where a trial has no figure
    best: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All architectures over the tuning budget that each has spent."""

    name: str
    unit: BudgetUnit
    objectives: tuple[Objective, ...]
    courses: tuple[Course, ...]
    missing: tuple[str, ...]  # without a single figure
    note: str = ""


def sweep_overview(sweep: Sweep) -> Overview:
    """What each architecture had reached after how much tuning.

    In the unit of the budget; in trials where what one of them spent is not known.
    """
    unit, note = sweep.budget_unit, ""
    ended = {m: _in_order(sweep.of(m)) for m in sweep.models}
    if any(_spent(t, unit) is None for trials in ended.values() for t in trials):
        unit, note = "trials", f"Over trials: some do not say how many {_TAKEN.get(unit, unit)} they took."
    courses = [_course(m, i, ended[m], sweep.objectives, unit) for i, m in enumerate(sweep.models)]
    shown = tuple(c for c in courses if any(v is not None for row in c.values for v in row))
    missing = tuple(c.name for c in courses if c not in shown)
    return Overview(sweep.name, unit, sweep.objectives, shown, missing, note)


def _in_order(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that have ended, by when; by number where one does not say."""
    ended = [t for t in trials if t.state not in ("waiting", "unfinished")]
    times = [t.ended for t in ended if t.ended is not None]
    if len(times) < len(ended):
        return sorted(ended, key=lambda t: t.number)
    order = sorted(range(len(ended)), key=lambda i: (times[i], ended[i].number))
    return [ended[i] for i in order]


def _spent(trial: Trial, unit: BudgetUnit) -> float | None:
    if unit == "minutes":
        return trial.train_seconds / 60
    if unit == "flops":
        return trial.flops
    return 1 if unit == "trials" else trial.steps


def _course(name: str, colour: int, trials: list[Trial], objectives: Sequence[Objective], unit: BudgetUnit) -> Course:
    spent = tuple(accumulate(float(_spent(t, unit) or 0) for t in trials))
    rows = tuple(tuple(_value(t, k) for t in trials) for k in range(len(objectives)))
    best = tuple(best_so_far(row, o.better) for row, o in zip(rows, objectives, strict=True))
    return Course(name, colour, spent, rows, best)


def _value(trial: Trial, objective: int) -> float | None:
    known = trial.state == "finished" and trial.values is not None
    value = trial.values[objective] if known and trial.values else None
    return value if value is not None and math.isfinite(value) else None


# -- drawn ----------------------------------------------------------------------------------------


def draw_overview(data: Overview) -> Figure:
    """One panel an objective: trials as points, the best so far of each architecture as stairs."""
    from .draw_training import empty_picture, missing_words
    from .style import new_figure

    title = f"Progress of the search: {data.name}"
    missing = missing_words(data.missing, "finished trial")
    if not data.courses:
        return empty_picture(title, (missing,), "no trial has finished")
    count = len(data.objectives)
    words = "Points: finished trials. Lines: the best so far, to the end of what was spent."
    tall = max(4.6, 1.6 + 0.2 * len(data.courses))
    figure = new_figure(title, (words, data.note, missing), 9.2 if count == 1 else 2.6 + 4.6 * count, tall)
    for k in range(count):
        _draw_panel(figure.add_subplot(1, count, k + 1), data, k)
    figure.axes[-1].legend(handles=_keys(data), loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
    return figure


def _draw_panel(ax: Axes, data: Overview, k: int) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from .style import COLOURS, GRID
    from .sweep_axis import arrowed, short_zeros
    from .sweep_draw import dress_figure

    for course in data.courses:
        colour = COLOURS[course.colour % len(COLOURS)]
        if not any(v is not None for v in course.values[k]):
            continue
        points = [(x, v) for x, v in zip(course.spent, course.values[k], strict=True) if v is not None]
        best = [(x, v) for x, v in zip(course.spent, course.best[k], strict=True) if v is not None]
        ax.scatter(
            [x for x, _ in points],
            [v for _, v in points],
            s=12,
            color=colour,
            alpha=0.3,
            linewidths=0,
            zorder=2,
            gid="trials",
        )
        ax.plot(*zip(*best, strict=True), drawstyle="steps-post", color=colour, linewidth=1.8, zorder=3, gid="best",
                marker=_marker(course) or ("o" if len(best) == 1 else ""), markersize=4.5,
                markevery=max(1, len(best) // 6))  # fmt: skip
    values = [v for c in data.courses for v in c.values[k] if v is not None]
    dress_figure(ax, "y", data.objectives[k].key, values or [0.0])
    ax.set_ylabel(arrowed(data.objectives[k].key, ("↓", "↑")))
    ax.set_xlabel(_UNIT_WORDS[data.unit])
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=data.unit in ("trials", "steps"), min_n_ticks=1))
    if data.unit in ("steps", "flops"):
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_zeros(units.scaled(value))))
    ax.grid(axis="x", color=GRID)


def _marker(course: Course) -> str:
    """A shape for architectures that share a colour with an earlier one."""
    from .style import COLOURS, MARKERS

    again = course.colour // len(COLOURS)
    return MARKERS[again % len(MARKERS)] if again else ""


def _keys(data: Overview) -> list[object]:
    from matplotlib.lines import Line2D

    from .style import COLOURS, short_name

    return [
        Line2D([], [], color=COLOURS[c.colour % len(COLOURS)], linewidth=1.8, marker=_marker(c), markersize=5,
               label=short_name(c.name))
        for c in data.courses
    ]  # fmt: skip
