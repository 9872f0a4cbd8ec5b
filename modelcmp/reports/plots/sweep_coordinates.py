"""Drawing the parallel coordinates of one architecture's search."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from .style import INK, MUTED, PAPER, new_figure
from .sweep_draw import SHADES, counted, shortened
from .sweep_study import Coordinate, Coordinates, StudyData

_ABSENT = -0.13  # where a line passes that did not draw a parameter
_CROWD = 200
_MOST = 8  # parameters in a row
_BACKED = {"boxstyle": "square,pad=0.12", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8}


def draw_coordinates(data: StudyData, made: Coordinates, title: str) -> Figure:
    """One line a trial through all its parameters, the best last and darkest; rows where parameters are many."""
    several = len(data.objectives) > 1
    words = "Dark: on the Pareto front." if several else "Pale to dark: worst to best, by place."
    absent = any(p is None for axis in made.axes for p in axis.places)
    more = "A line that passes below an axis belongs to a trial without that parameter." if absent else ""
    rows = _rows(made.axes, len(data.objectives))
    width = max(6.5, 1.2 + 1.35 * len(rows[0]))
    figure = new_figure(title, (f"{counted(data)} {words} {more}".strip(),), width, 0.9 + 3.9 * len(rows))
    for k, axes in enumerate(rows):
        ax = figure.add_subplot(len(rows), 1, k + 1)
        _draw_row(ax, axes, made.quality, len(rows[0]))
    if not several and len(set(made.quality)) > 1:
        bar = figure.colorbar(ScalarMappable(cmap=SHADES), ax=figure.axes, shrink=0.6 / len(rows), pad=0.01, aspect=28)
        bar.set_ticks([0.0, 1.0], labels=["worst", "best"])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    return figure


def _rows(axes: Sequence[Coordinate], objectives: int) -> list[tuple[Coordinate, ...]]:
    """Parameters in rows of about the same length; each row begins with the objectives."""
    first, others = tuple(axes[:objectives]), axes[objectives:]
    count = math.ceil(len(others) / _MOST) or 1
    length = math.ceil(len(others) / count)
    return [first + tuple(others[i * length : (i + 1) * length]) for i in range(count)]


def _draw_row(ax: Axes, axes: Sequence[Coordinate], quality: Sequence[float], width: int) -> None:
    _draw_lines(ax, axes, quality)
    for i, axis in enumerate(axes):
        _draw_axis(ax, i, axis, len(axes))
    absent = any(p is None for axis in axes for p in axis.places)
    ax.set_xlim(-0.35, width - 0.55)
    ax.set_ylim((_ABSENT if absent else 0.0) - 0.04, 1.04)
    ax.set_axis_off()


def _draw_lines(ax: Axes, axes: Sequence[Coordinate], shades: Sequence[float]) -> None:
    order = np.argsort(shades, kind="stable")
    heights = np.array([[_ABSENT if p is None else p for p in axis.places] for axis in axes]).T[order]
    across = np.broadcast_to(np.arange(len(axes), dtype=float), heights.shape)
    quality = np.asarray(shades)[order]
    colours = np.array(SHADES(quality))
    colours[:, 3] = np.clip((0.35 if len(order) > _CROWD else 0.6) + 0.5 * quality**4, 0, 1)
    lines = np.stack([across, heights], axis=2)
    ax.add_collection(
        LineCollection(list(lines), colors=colours, linewidths=0.9 + 0.9 * quality**4, zorder=2, gid="trials")
    )


def _draw_axis(ax: Axes, i: int, axis: Coordinate, count: int) -> None:
    """The upright, its ticks written over the lines, its name above; of many choices some are named."""
    ax.plot([i, i], [0, 1], color=MUTED, linewidth=1.0, zorder=3, gid="axis")
    step = max(1, round(len(axis.ticks) / 14))
    for height, text in axis.ticks[::step]:
        ax.plot([i - 0.02, i + 0.02], [height, height], color=MUTED, linewidth=0.8, zorder=3)
        ax.annotate(shortened(text, 13), xy=(i, height), xytext=(-4, 0), textcoords="offset points", ha="right",
                    va="center", fontsize=8, color=INK, zorder=4, gid="tick",
                    bbox=_BACKED)  # fmt: skip
    if any(p is None for p in axis.places):
        ax.annotate("not drawn", xy=(i, _ABSENT), xytext=(-4, 0), textcoords="offset points", ha="right", va="center",
                    fontsize=7.5, color=MUTED, zorder=4,
                    bbox=_BACKED)  # fmt: skip
    ax.annotate(shortened(axis.label, 22), xy=(i, 1.0), xytext=(0, 10 + 12 * (i % 2) * (count > 4)),
                textcoords="offset points", ha="center", va="bottom", fontsize=9, fontweight="bold", gid="name",
                annotation_clip=False)  # fmt: skip
