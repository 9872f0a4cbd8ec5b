"""Drawing one architecture's search: its history, slices, importances and Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from .style import COLOURS, GRID, INK, MUTED, PAPER, log_ticks, new_figure, short_name
from .sweep_axis import arrowed, ends_of, tick_text, value_text, wants_log
from .sweep_study import History, Importances, Parameter, Slice, StudyData, front_of

#: From pale to dark: early to late, worst to best.
SHADES = LinearSegmentedColormap.from_list("shades", ["#c9dcec", "#56a0d3", "#0a4f8a", "#082a4d"])
_LOST = {"pruned": ("|", MUTED), "diverged": ("x", COLOURS[1]), "failed": ("X", COLOURS[8]),
         "not finite": ("1", COLOURS[1])}  # fmt: skip
_COLUMNS = 4
_NAME = 25  # characters of a parameter's name over a panel
_CHOICE = 16


def shortened(text: str, most: int) -> str:
    """A text's beginning and end.

    >>> shortened("optimizer.momentum", 12), shortened("lr", 12)
    ('optim…mentum', 'lr')
    """
    text = short_name(text)
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[len(text) - (most - 1 - half) :]}"


def counted(data: StudyData) -> str:
    """A caption that says of how many trials the picture is."""
    others = ", ".join(f"{len(numbers)} {state}" for state, numbers in data.lost.items())
    return f"{len(data.finished)} of {len(data.trials)} trials finished" + (f"; {others}" if others else "") + "."


def dress_figure(ax: Axes, which: Literal["x", "y"], key: str, values: Sequence[float], margin: float = 0.06) -> bool:
    """Scale an axis for values of a figure, with ticks as it is written; whether it is logarithmic."""
    log = wants_log(values, key)
    ends = ends_of(values, log, margin)
    if not log and min(values) >= 0:
        ends = max(ends[0], -0.02 * (ends[1] - ends[0])), ends[1]
    getattr(ax, f"set_{which}scale")("log" if log else "linear")
    getattr(ax, f"set_{which}lim")(*ends)
    lines = ax.xaxis if which == "x" else ax.yaxis
    lines.set_major_locator(
        FixedLocator(log_ticks(*ends, 7)) if log else MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2)
    )
    lines.set_minor_locator(NullLocator())
    lines.set_major_formatter(FuncFormatter(lambda value, _: tick_text(key, value)))
    ax.grid(axis=which, color=GRID)
    ax.tick_params(axis=which, length=3)
    return log


# -- history --------------------------------------------------------------------------------------


def draw_history(data: StudyData, made: History, title: str) -> Figure:
    """Each trial's objective, the best so far as stairs, and at the foot the trials that have no figure."""
    objective = data.objectives[0]
    figure = new_figure(title, (counted(data), "Line: the best so far."), 8.6, 4.8)
    ax = figure.add_subplot()
    size, alpha = (10, 0.5) if len(made.points) > 200 else (26, 0.85)
    ax.scatter([n for n, _ in made.points], [v for _, v in made.points], s=size, color=COLOURS[0], alpha=alpha,
               linewidths=0, zorder=3, gid="trials")  # fmt: skip
    ax.plot(*zip(*made.best, strict=True), drawstyle="steps-post", color=INK, linewidth=1.4, zorder=4, gid="best")
    top = next(p for p in made.points if p[1] == made.best[-1][1])
    ax.plot(*top, marker="o", markersize=10, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.3, zorder=5,
            gid="winner")  # fmt: skip
    ax.annotate(f"trial {top[0]}: {value_text(objective.key, top[1])}", xy=top, xycoords="data",
                xytext=(8, 9 if objective.better == "high" else -9), textcoords="offset points", fontsize=8.5,
                va="bottom" if objective.better == "high" else "top", ha="left" if _early(data, top[0]) else "right",
                gid="winner-name")  # fmt: skip
    dress_figure(ax, "y", objective.key, [v for _, v in made.points], 0.12)
    draw_lost(ax, made.lost)
    last = max(t.number for t in data.trials)
    ax.set_xlim(-0.5 - 0.02 * last, last + 0.5 + 0.02 * last)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    ax.set_xlabel("Trial")
    ax.set_ylabel(arrowed(objective.key, ("↓", "↑")))
    return figure


def _early(data: StudyData, number: int) -> bool:
    return number <= len(data.trials) * 0.6


def draw_lost(ax: Axes, lost: Mapping[str, Sequence[float]]) -> None:
    """Marks along the foot of a plot for trials without a figure, with a key above it."""
    foot = blended_transform_factory(ax.transData, ax.transAxes)
    for state, places in lost.items():
        marker, colour = _LOST.get(state, ("|", MUTED))
        ax.plot(places, [0.018] * len(places), linestyle="", marker=marker, color=colour, markersize=6, transform=foot,
                label=f"{state} ({len(places)})", clip_on=False, zorder=6, gid=f"lost-{state}")  # fmt: skip
    if lost:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=4, handletextpad=0.3, borderaxespad=0.2)


# -- slices ---------------------------------------------------------------------------------------


def draw_slices(data: StudyData, made: Sequence[Slice], objective: int, title: str) -> Figure:
    """One panel a parameter; late trials are darker, the best one is ringed."""
    key = data.objectives[objective].key
    columns = min(_COLUMNS, len(made))
    rows = math.ceil(len(made) / columns)
    words = "Pale to dark: early to late trials. Ring: the best one."
    if any(cut.parameter.choices for cut in made):
        words += " Choices are spread sideways to be seen."
    figure = new_figure(title, (counted(data), words), max(6.4, 0.7 + 2.9 * columns), 1.3 + 2.7 * rows)
    values = [t.values[objective] for t in data.finished if t.values]
    best = (max if data.objectives[objective].better == "high" else min)(values)
    last = max(t.number for t in data.finished) or 1
    for k, cut in enumerate(made):
        ax = figure.add_subplot(rows, columns, k + 1)
        _draw_slice(ax, cut, best, last)
        dress_figure(ax, "y", key, values, 0.09)
        if k % columns == 0:
            ax.set_ylabel(arrowed(key, ("↓", "↑")), fontsize=8.5)
        else:
            ax.tick_params(labelleft=False)
    return figure


def _draw_slice(ax: Axes, cut: Slice, best: float, last: int) -> None:
    spread = [_jitter(n) if cut.parameter.choices is not None else 0.0 for _, _, n in cut.points]
    xs = [x + s for (x, _, _), s in zip(cut.points, spread, strict=True)]
    colours = [SHADES(n / last) for _, _, n in cut.points]
    ax.scatter(xs, [y for _, y, _ in cut.points], s=9 if len(xs) > 200 else 22, c=colours, edgecolors=PAPER,
               linewidths=0.3, zorder=3, gid="slice")  # fmt: skip
    top = [(x, y) for x, (_, y, _) in zip(xs, cut.points, strict=True) if y == best]
    ax.plot(*zip(*top, strict=True) if top else ((), ()), linestyle="", marker="o", markersize=9,
            markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.2, zorder=4, gid="winner")  # fmt: skip
    ax.set_title(shortened(cut.parameter.name, _NAME), loc="left", fontsize=9.5, fontweight="bold")
    _dress_parameter(ax, cut.parameter, [x for x, _, _ in cut.points])


def _jitter(number: int) -> float:
    """Sideways within a choice, the same in every picture."""
    return ((number * 0.6180339887) % 1.0 - 0.5) * 0.5


def _dress_parameter(ax: Axes, parameter: Parameter, values: Sequence[float]) -> None:
    ax.grid(axis="x", color=GRID)
    ax.tick_params(axis="x", length=3)
    if parameter.choices is not None:
        few = len(parameter.choices) <= 4 and sum(map(len, parameter.choices)) <= 22
        words = [c if few else shortened(c, _CHOICE) for c in parameter.choices]
        ax.set_xticks(range(len(words)), words, rotation=0 if few else 35, ha="center" if few else "right",
                      rotation_mode="anchor" if not few else "default", fontsize=8)  # fmt: skip
        ax.set_xlim(-0.6, len(words) - 0.4)
        return
    ends = ends_of(values, parameter.log)
    ax.set_xscale("log" if parameter.log else "linear")
    ax.set_xlim(*ends)
    ax.xaxis.set_major_locator(FixedLocator(log_ticks(*ends, 5)) if parameter.log else MaxNLocator(4, min_n_ticks=1))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))


# -- importance -----------------------------------------------------------------------------------


def draw_importances(data: StudyData, made: Importances, title: str) -> Figure:
    """One bar a parameter and objective, with its share behind it."""
    several = len(data.objectives) > 1
    words = f"Optuna's importances over {made.trials} finished trials: a share in what sets the best trials apart."
    hint = "So few trials give no more than a hint." if made.trials < 10 * len(made.names) else ""
    height = 1.5 + (0.2 + 0.17 * len(data.objectives)) * len(made.names) + 0.2 * several * len(data.objectives)
    figure = new_figure(title, (words, hint), 8.0, height)
    ax = figure.add_subplot()
    thick = 0.72 / len(data.objectives)
    for k, row in enumerate(made.shares):
        places = [i + (k - (len(made.shares) - 1) / 2) * thick for i in range(len(row))]
        ax.barh(places, row, height=thick * 0.94, color=COLOURS[k], alpha=0.88, label=arrowed(data.objectives[k].key),
                gid="importance")  # fmt: skip
        for place, share in zip(places, row, strict=True):
            ax.annotate(f"{100 * share:.0f} %" if share >= 0.005 else "< 0.5 %", xy=(share, place), xytext=(4, 0),
                        textcoords="offset points", va="center_baseline", fontsize=8.5, color=INK)  # fmt: skip
    ax.set_yticks(range(len(made.names)), [short_name(n) for n in made.names])
    ax.invert_yaxis()
    ax.set_xlim(0, max(max(row) for row in made.shares) * 1.14)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    ax.grid(axis="x", color=GRID)
    ax.tick_params(axis="y", length=0)
    if several:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=2, borderaxespad=0.2)
    return figure


# -- several objectives ---------------------------------------------------------------------------


def draw_front(data: StudyData, title: str) -> Figure:
    """Every two objectives against each other; what no other trial beats in all of them is marked."""
    pairs = list(combinations(range(len(data.objectives)), 2))
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    front = front_of(data)
    words = f"{sum(front)} on the Pareto front: no other trial is as good in every objective and better in one."
    figure = new_figure(title, (counted(data), words), 7.4 if columns == 1 else 1 + 4.2 * columns, 1.2 + 4.0 * rows)
    for k, pair in enumerate(pairs):
        _draw_pair(figure.add_subplot(rows, columns, k + 1), data, pair, front)
    return figure


def _draw_pair(ax: Axes, data: StudyData, pair: tuple[int, int], front: Sequence[bool]) -> None:
    points = [(t.values[pair[0]], t.values[pair[1]]) for t in data.finished if t.values]
    for on, colour, size, gid in ((False, MUTED, 16, "beaten"), (True, COLOURS[1], 36, "front")):
        chosen = [p for p, f in zip(points, front, strict=True) if f is on]
        if chosen:
            ax.scatter([x for x, _ in chosen], [y for _, y in chosen], s=size, color=colour, alpha=0.9 if on else 0.45,
                       edgecolors=PAPER if on else "none", linewidths=0.6, zorder=4 if on else 3, gid=gid)  # fmt: skip
    if len(data.objectives) == 2:
        corners = sorted({p for p, f in zip(points, front, strict=True) if f})
        where = "steps-post" if data.objectives[0].better == "low" else "steps-pre"
        ax.plot(*zip(*corners, strict=True), drawstyle=where, color=INK, linewidth=1.0, alpha=0.55, zorder=2,
                gid="front-line")  # fmt: skip
        _name_front(ax, data, pair, front)
    for which, objective, place in (("x", data.objectives[pair[0]], 0), ("y", data.objectives[pair[1]], 1)):
        dress_figure(ax, "x" if which == "x" else "y", objective.key, [p[place] for p in points], 0.1)
    ax.set_xlabel(arrowed(data.objectives[pair[0]].key))
    ax.set_ylabel(arrowed(data.objectives[pair[1]].key, ("↓", "↑")))


def _name_front(ax: Axes, data: StudyData, pair: tuple[int, int], front: Sequence[bool]) -> None:
    """Numbers of the trials on the front, where they are few."""
    members = [t for t, f in zip(data.finished, front, strict=True) if f and t.values]
    for trial in members if len(members) <= 12 else []:
        if trial.values:
            ax.annotate(str(trial.number), xy=(trial.values[pair[0]], trial.values[pair[1]]), xytext=(5, 5),
                        textcoords="offset points", fontsize=8, color=INK, zorder=5, gid="number")  # fmt: skip
