"""Drawing the scatter plot."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from .data import Point, Scatter
from .drawing import Drawing
from .labels import Array, Label, Scene, place
from .naming import write_name
from .style import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    direction,
    dress,
    limits,
    new_figure,
    printable,
    short_name,
    wrapped,
)

#: Up to this many points every name is written where there is room; beyond, only the front's.
FEW = 40
_CROWD = 250  # from this many points on they are drawn smaller and more translucent
_FRONT_RADIUS = 3.6  # in points, as are all sizes below
_ON_FRONT = "of them on the Pareto front"


def draw_scatter(data: Scatter, title: str, caption: str) -> Drawing:
    """Points, the front's line, and names that overlap neither each other nor the front's markers."""
    figure = new_figure(title, (caption, _remark(data)), 10, 6.5)
    ax = figure.add_subplot()
    for which, axis in (("x", data.x), ("y", data.y)):
        values = [p.x if which == "x" else p.y for p in data.points]
        # Names stand on the better side of the front: it gets more of the margin.
        margins = {"low": (0.12, 0.05), "high": (0.05, 0.12), None: (0.07, 0.07)}[axis.better]
        dress(ax, which, axis, limits(values, axis.log, margins))  # type: ignore[arg-type]
    ax.set_xlabel(direction(data.x))
    ax.set_ylabel(direction(data.y))
    if data.line:
        _draw_line(ax, data)
    tips = _draw_points(ax, data)
    if len(data.groups) > 1:
        _draw_legend(ax, data)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed in the final frame
    _draw_names(figure, ax, data)
    return Drawing(figure, tips)


def _remark(data: Scatter) -> str:
    front = sum(p.front for p in data.points)
    parts = [f"{len(data.points)} models" + (f", {front} {_ON_FRONT}" if front else "")]
    if data.left_out:
        some = ", ".join(short_name(n) for n in data.left_out[:3])
        more = f" and {len(data.left_out) - 3} more" if len(data.left_out) > 3 else ""
        parts.append(f"left out, because a value is unknown: {some}{more}")
    return "; ".join(parts)


def _draw_line(ax: Axes, data: Scatter) -> None:
    """Stairs: what is reached between two members is what the cheaper one reaches."""
    x, y = zip(*data.line, strict=True)
    where = "steps-post" if data.x.better == "low" else "steps-pre"
    ax.plot(x, y, drawstyle=where, color=INK, linewidth=1.0, alpha=0.55, zorder=2, gid="front-line")


def _radius(data: Scatter, front: bool) -> float:
    if front:
        return _FRONT_RADIUS
    return 1.9 if len(data.points) >= _CROWD else 3.0


def _draw_points(ax: Axes, data: Scatter) -> dict[str, tuple[str, ...]]:
    tips: dict[str, tuple[str, ...]] = {}
    some_front = any(p.front for p in data.points)
    for k, group in enumerate(data.groups):
        for front in (False, True):
            points = [p for p in data.points if p.group == group and p.front is front]
            if points:
                gid = f"points-{k}-{'front' if front else 'other'}"
                _draw_group(ax, data, points, k, front, some_front, gid)
                tips[gid] = tuple(_tip(data, p) for p in points)
    return tips


def _draw_group(
    ax: Axes, data: Scatter, points: Sequence[Point], k: int, front: bool, some_front: bool, gid: str
) -> None:
    # With one source the front alone has a colour; with several, colour is the source.
    grey = some_front and not front and len(data.groups) == 1
    ax.scatter(
        [p.x for p in points],
        [p.y for p in points],
        s=(2 * _radius(data, front)) ** 2 * (0.8 if k == 1 else 1.0),  # a square of that width looks larger
        marker=MARKERS[k % len(MARKERS)],
        color=MUTED if grey else COLOURS[k % len(COLOURS)],
        alpha=1.0 if front else (0.28 if len(data.points) >= _CROWD else 0.5 if some_front else 0.85),
        linewidths=0.8 if front else 0,
        edgecolors=PAPER if front else "none",
        zorder=5 if front else 3,
        gid=gid,
    )


def _tip(data: Scatter, point: Point) -> str:
    front = "\non the Pareto front" if point.front else ""
    return f"{point.name}\n{data.x.label}: {point.x_text}\n{data.y.label}: {point.y_text}{front}"


def _draw_legend(ax: Axes, data: Scatter) -> None:
    """Sources, above the plot: no corner of it is sure to be free."""
    keys = [
        ax.scatter([], [], s=36, marker=MARKERS[k % len(MARKERS)], color=COLOURS[k % len(COLOURS)], linewidths=0)
        for k in range(len(data.groups))
    ]
    ax.legend(keys, [printable(g) for g in data.groups], loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=6,
              handletextpad=0.2, columnspacing=1.4, borderaxespad=0.2)  # fmt: skip


def _draw_names(figure: Figure, ax: Axes, data: Scatter) -> None:
    named = [p for p in data.points if p.front or len(data.points) <= FEW]
    unit = figure.dpi / 72
    size = 8.5 if len(named) <= 16 else 7.5 if len(named) <= FEW else 6.5
    renderer = cast(FigureCanvasAgg, figure.canvas).get_renderer()  # type: ignore[no-untyped-call]
    font = FontProperties(size=size)
    at = ax.transData.transform(np.array([(p.x, p.y) for p in named]).reshape(-1, 2))
    shown = _shown_names(data)
    labels = []
    for point, anchor in zip(named, at, strict=True):
        width, height, _ = renderer.get_text_width_height_descent(shown[point.name], font, False)
        labels.append(Label((anchor[0], anchor[1]), (width + 2 * unit, height + unit), point.front))
    boxes = place(labels, _scene(ax, data, unit))
    some_front = any(p.front for p in named)
    for point, label, box in zip(named, labels, boxes, strict=True):
        if box is not None:
            ink = INK if point.front or not some_front else MUTED
            write_name(ax, shown[point.name], (point.x, point.y), label.anchor, box, unit=unit, size=size,
                       radius=_radius(data, point.front), ink=ink)  # fmt: skip
    _tell_nameless(figure, sum(p.front and box is None for p, box in zip(named, boxes, strict=True)))


def _shown_names(data: Scatter) -> dict[str, str]:
    """Names as they are written: without the source, where all have the same."""
    shared = f"{data.points[0].group}:" if data.points else ""
    prefix = shared if all(p.name.startswith(shared) for p in data.points) else ""
    return {p.name: short_name(p.name.removeprefix(prefix)) for p in data.points}


def _tell_nameless(figure: Figure, count: int) -> None:
    for text in figure.texts:
        if count and text.get_gid() == "caption":
            told = f"{_ON_FRONT} (no room for {count} of their names)"
            conditions, _, remark = text.get_text().partition("\n")
            remark = wrapped(remark.replace("\n", " ").replace(_ON_FRONT, told), figure.get_figwidth())
            text.set_text(f"{conditions}\n{remark}")


def _scene(ax: Axes, data: Scatter, unit: float) -> Scene:
    """Obstacles in pixels: the front's markers are hard, other markers and the front's line soft."""
    at = ax.transData.transform(np.array([(p.x, p.y) for p in data.points]))
    front = np.array([p.front for p in data.points])
    hard = np.hstack([at[front], np.full((front.sum(), 1), (_FRONT_RADIUS + 0.8) * unit)])
    weight = 0.6 if len(data.points) >= _CROWD else 8.0
    rim = (_radius(data, False) + 0.5) * unit * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    spots = (at[~front][:, None, :] + rim).reshape(-1, 2)
    dots = np.hstack([spots, np.full((len(spots), 1), weight)])
    frame = ax.get_window_extent()
    toward = tuple({"low": -1.0, "high": 1.0, None: 0.0}[axis.better] for axis in (data.x, data.y))
    room = (frame.x0 + unit, frame.y0 + unit, frame.x1, frame.y1)
    soft = np.vstack([dots, _line_dots(ax, data, 4 * unit)])
    return Scene(room, hard, soft, (toward[0], toward[1]) if front.any() else (0.3, 0.2), unit)


def _line_dots(ax: Axes, data: Scatter, step: float) -> Array:
    """Points along the front's line, for names to keep off it."""
    corners: list[tuple[float, float]] = []
    for here, after in pairwise(data.line):
        corners += [here, (after[0], here[1]) if data.x.better == "low" else (here[0], after[1]), after]
    at = ax.transData.transform(np.array(corners).reshape(-1, 2))
    dots = [np.linspace(a, b, max(2, int(np.abs(b - a).max() / step))) for a, b in pairwise(at)]
    found = np.vstack(dots) if dots else np.empty((0, 2))
    return np.hstack([found, np.full((len(found), 1), 10.0)])
