"""Drawing the roofline: roofs, the ridge, and points whose area is their predicted time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ... import units
from ...metrics import METRICS
from .data import Axis
from .drawing import Drawing
from .framing import Frame, Spot, frame, picture_remark
from .labels import Array, Label, Scene, place
from .naming import write_name
from .roofline import Machine, Roofline, duration
from .style import COLOURS, INK, MARKERS, MUTED, PAPER, dress, new_figure, printable, short_name

_LARGEST, _SMALLEST = 460.0, 6.0  # square points of the slowest and the quickest point
# What a marker's area must be multiplied with so that all shapes look as large as a circle.
_SHAPES = dict(zip(MARKERS, (1.0, 0.79, 1.57, 0.79, 1.57, 1.2, 1.2, 1.1), strict=True))
_NAMED = 12  # points that get a name, where there is room
_NAMED_FROM_PCT = 1.5
_SIZE = 8.0
_PATH = 26  # characters of a path


@dataclass(frozen=True, slots=True)
class _Line:
    """One roof as it is drawn."""

    start: tuple[float, float]
    end: tuple[float, float]
    text: str
    style: str
    width: float
    diagonal: bool


def draw_roofline(data: Roofline, title: str, caption: str) -> Drawing:
    """Roofs and their names, points, and the names of the largest that overlap nothing."""
    shown = frame(data)
    figure = new_figure(title, (caption, picture_remark(data, shown)), 10, 7)
    ax = figure.add_subplot()
    dress(ax, "x", Axis(METRICS["ai"], True), shown.x)
    dress(ax, "y", Axis(METRICS["flops"], True), shown.y)
    ax.set_xlabel("Arithmetic intensity, FLOP/byte")
    ax.set_ylabel("FLOP/s")
    lines = _roofs(data.machine, shown)
    for line in lines:
        ax.plot(*zip(line.start, line.end, strict=True), color=INK, linestyle=line.style, linewidth=line.width,
                zorder=2.5, gid="roof", solid_capstyle="round")  # fmt: skip
    _draw_ridge(ax, data.machine, shown)
    tips = _draw_spots(ax, data, shown)
    _draw_legend(ax, data)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed in the final frame
    busy = [_name_roof(ax, figure, line) for line in lines]
    _draw_names(figure, ax, shown, np.vstack(busy))
    return Drawing(figure, tips)


def _roofs(machine: Machine, shown: Frame) -> list[_Line]:
    """The roofs inside the frame: memory and matrix peak thick, the others thin."""
    found = []
    ceilings = [(machine.matrix_flop_s, f"{machine.dtype} peak", "-", 1.7)]
    if machine.vector_flop_s is not None:
        ceilings.append((machine.vector_flop_s, f"{machine.dtype} without matrix units", "--", 1.0))
    if machine.convolution_flop_s is not None:
        ceilings.append((machine.convolution_flop_s, "tf32 peak, convolutions", "-", 1.7))
    for flop_s, text, style, width in ceilings:
        start = max(shown.x[0], flop_s / machine.bandwidth_bytes_s)
        text = f"{text}, {units.scaled(flop_s)}FLOP/s"
        found.append(_Line((start, flop_s), (shown.x[1], flop_s), text, style, width, False))
    slopes = [(machine.bandwidth_bytes_s, "memory", "-", 1.7)]
    if machine.cache_bandwidth_bytes_s is not None:
        slopes.append((machine.cache_bandwidth_bytes_s, "cache", "-.", 1.0))
    for bytes_s, text, style, width in slopes:
        start, end = max(shown.x[0], shown.y[0] / bytes_s), machine.highest_flop_s / bytes_s
        if start < end:
            line = (start, start * bytes_s), (end, end * bytes_s)
            found.append(_Line(*line, f"{text}, {units.scaled(bytes_s)}B/s", style, width, True))
    return found


def _draw_ridge(ax: Axes, machine: Machine, shown: Frame) -> None:
    """The line down from where the roofs meet, with its number at the foot; one for each peak of matrix units."""
    for peak in filter(None, (machine.matrix_flop_s, machine.convolution_flop_s)):
        ridge = peak / machine.bandwidth_bytes_s
        ax.plot([ridge] * 2, [shown.y[0], peak], color=MUTED, linestyle=":", linewidth=1.0, zorder=2, gid="ridge")
        ax.plot([ridge], [peak], marker="o", markersize=5, markerfacecolor=PAPER, markeredgecolor=INK,
                markeredgewidth=1.2, zorder=4)  # fmt: skip
        ax.annotate(f"ridge {units.ratio(ridge)} FLOP/byte", xy=(ridge, shown.y[0]), xytext=(4, 5),
                    textcoords="offset points", fontsize=_SIZE, color=INK, gid="ridge-name",
                    bbox={"boxstyle": "square,pad=0.05", "facecolor": PAPER, "edgecolor": "none"})  # fmt: skip
    if machine.convolution_flop_s is not None:
        return
    for words, side, shift in (("← memory-bound", "right", -4), ("compute-bound →", "left", 4)):
        ax.annotate(words, xy=(machine.ridge, shown.y[1]), xytext=(shift, -4), textcoords="offset points", va="top",
                    ha=side, fontsize=_SIZE, color=MUTED)  # fmt: skip


def _area(spot: Spot, shown: Frame) -> float:
    return max(_SMALLEST, _LARGEST * spot.seconds / shown.spots[0].seconds)


def _radius(spot: Spot, shown: Frame) -> float:
    return math.sqrt(_area(spot, shown)) / 2


def _draw_spots(ax: Axes, data: Roofline, shown: Frame) -> dict[str, tuple[str, ...]]:
    """One colour and one marker a model, the large points behind."""
    tips = {}
    for k in range(len(data.models)):
        mine = [s for s in shown.spots if s.model == k]
        marker, colour = MARKERS[k % len(MARKERS)], COLOURS[k % len(COLOURS)]
        if mine:
            ax.scatter(
                [s.ai for s in mine], [s.flop_s for s in mine],
                s=[_area(s, shown) * _SHAPES[marker] for s in mine], marker=marker,
                facecolors=[to_rgba(colour, 0.45)], edgecolors=colour, linewidths=0.8, zorder=3 + 0.01 * k,
                gid=f"points-{k}",
            )  # fmt: skip
            tips[f"points-{k}"] = tuple(_tip(data, s) for s in mine)
    return tips


def _tip(data: Roofline, spot: Spot) -> str:
    return (
        f"{data.models[spot.model].model}\n{spot.name}\n{units.ratio(spot.ai)} FLOP/byte, "
        f"{units.scaled(spot.flop_s)}FLOP/s\n{duration(spot.seconds)}, {units.percent(spot.share_pct)} of the time, "
        f"bound by {spot.bound}"
    )


def _draw_legend(ax: Axes, data: Roofline) -> None:
    """Each model's predicted time, above the plot: no corner of it is sure to be free."""
    keys = [
        ax.scatter([], [], s=44 * _SHAPES[MARKERS[k]], marker=MARKERS[k], facecolors=[to_rgba(COLOURS[k], 0.45)],
                   edgecolors=COLOURS[k], linewidths=0.8)
        for k in range(len(data.models))
    ]  # fmt: skip
    words = [f"{short_name(m.model)}: {duration(m.seconds)}, bound by {m.bound}" for m in data.models]
    columns = max(1, min(3, 130 // (8 + max(len(w) for w in words))))
    ax.legend(keys, words, loc="lower left", bbox_to_anchor=(-0.012, 1.0), ncols=columns, handletextpad=0.3,
              columnspacing=1.6, borderaxespad=0.2)  # fmt: skip


# -- names ----------------------------------------------------------------------------------------


def _name_roof(ax: Axes, figure: Figure, line: _Line) -> Array:
    """Write a roof's name along it; spots that it and its line cover, for other names to keep off."""
    unit = figure.dpi / 72
    start, end = ax.transData.transform([line.start, line.end])
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    side = "center" if line.diagonal else "right"
    anchor = (start + end) / 2 if line.diagonal else end
    across, up = ax.transData.inverted().transform(anchor)
    along = np.array([math.cos(angle), math.sin(angle)])
    off = np.array([-along[1], along[0]])
    shift = (0 if line.diagonal else -4) * along + 3 * off
    ax.annotate(line.text, xy=(across, up), xytext=(shift[0], shift[1]), textcoords="offset points",
                rotation=math.degrees(angle), rotation_mode="anchor", ha=side, va="bottom", fontsize=_SIZE, color=INK,
                gid="roof-name", zorder=2.6, annotation_clip=False)  # fmt: skip
    steps = np.arange(0.0, float(np.hypot(*(end - start))), 4 * unit)[:, None]
    trail = np.hstack([start + steps * along, np.full((len(steps), 1), 12.0)])
    long = _width(figure, line.text, _SIZE)
    steps = np.arange(-long, 0.0, 4 * unit)[:, None] + (long / 2 if line.diagonal else 0.0)
    words = [anchor + shift * unit + steps * along + lift * unit * off for lift in (2, 6)]
    return np.vstack([trail, *(np.hstack([w, np.full((len(w), 1), 60.0)]) for w in words)])


def _width(figure: Figure, text: str, size: float) -> float:
    renderer = cast(FigureCanvasAgg, figure.canvas).get_renderer()  # type: ignore[no-untyped-call]
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=size), False)
    return float(width)


def _draw_names(figure: Figure, ax: Axes, shown: Frame, busy: Array) -> None:
    """Names of the points that take most of the time; the first of each model is sure to get one."""
    unit = figure.dpi / 72
    named = [s for s in shown.spots if s.share_pct >= _NAMED_FROM_PCT][:_NAMED]
    texts = [_tail(printable(s.name)) for s in named]
    first = {s.model: i for i, s in reversed(list(enumerate(named)))}
    at = ax.transData.transform(np.array([(s.ai, s.flop_s) for s in named]).reshape(-1, 2))
    labels = [
        Label((a[0], a[1]), (_width(figure, t, _SIZE) + 2 * unit, (_SIZE + 3) * unit), first[s.model] == i)
        for i, (s, t, a) in enumerate(zip(named, texts, at, strict=True))
    ]
    boxes = place(labels, _scene(ax, shown, named, busy, unit))
    for spot, text, label, box in zip(named, texts, labels, boxes, strict=True):
        if box is not None:
            write_name(ax, text, (spot.ai, spot.flop_s), label.anchor, box, unit=unit, size=_SIZE,
                       radius=_radius(spot, shown), ink=INK, clear=_radius(spot, shown))  # fmt: skip


def _tail(name: str) -> str:
    """A name whose long path has lost its beginning, which tells less than its end."""
    path, space, rest = name.partition(" ")
    parts = path.split(".")
    while len(parts) > 1 and len(".".join(parts)) > _PATH:
        del parts[0]
    short = ".".join(parts)
    return short_name(("" if short == path else "…") + short) + space + rest


def _scene(ax: Axes, shown: Frame, named: Sequence[Spot], busy: Array, unit: float) -> Scene:
    """Markers with a name are hard obstacles, the others, the roofs and their names soft."""
    places = {id(s): a for s, a in zip(shown.spots, _pixels(ax, shown.spots), strict=True)}
    hard = np.array([[*places[id(s)], (_radius(s, shown) + 1) * unit] for s in named]).reshape(-1, 3)
    rest = [[*places[id(s)], 30.0] for s in shown.spots if s not in named]
    room = ax.get_window_extent()
    soft = np.vstack([busy, np.array(rest).reshape(-1, 3)])
    return Scene((room.x0 + unit, room.y0 + unit, room.x1, room.y1), hard, soft, (0.3, -0.6), unit)


def _pixels(ax: Axes, spots: Sequence[Spot]) -> Array:
    return cast(Array, ax.transData.transform(np.array([(s.ai, s.flop_s) for s in spots]).reshape(-1, 2)))
