"""Drawing the map of differences."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from .diff_draw import tick
from .diff_heat import BROKEN, EQUAL, FIGURE, UNKNOWN, HeatMap
from .draw_training import empty_picture
from .style import INK, MUTED, PAPER, new_figure, printable, short_name

_EQUAL, _HATCH = "#dcebf5", "#c2c8ce"
_NUMBERED_UP_TO = 6  # columns with room for a figure in each cell
_TICKS = 12


def draw_heat_map(data: HeatMap, title: str) -> Figure:
    """Colour says how far apart; equal, unknown and NaN have colours of their own; a ring is where it started."""
    if not data.names or not data.steps:
        return empty_picture(title, data.words, "no tensor was compared")
    tall = _row_height(len(data.names))
    figure = new_figure(title, data.words, 12.8, max(3.2, 1.9 + tall * len(data.names)))
    ax = figure.add_subplot()
    norm, shades = _colouring(data)
    cells = shades(norm(np.nan_to_num(data.values)))
    cells[data.states == EQUAL] = _rgba(_EQUAL)
    cells[data.states == BROKEN] = _rgba(INK)
    cells[data.states == UNKNOWN] = (0, 0, 0, 0)
    ax.patch.set(hatch="////", facecolor=PAPER, edgecolor=_HATCH, linewidth=0)
    ax.imshow(cells, aspect="auto", interpolation="nearest")
    _dress(ax, data, tall)
    if len(data.steps) <= _NUMBERED_UP_TO:
        _write_figures(ax, data, norm, tall)
    _mark_first(ax, data)
    if (data.states == FIGURE).any():
        _draw_bar(figure, ax, data, norm, shades)
    _legend(ax, data)
    return figure


def _row_height(rows: int) -> float:
    """Inches; the more rows, the lower, down to what can just be read."""
    return float(np.clip(9.0 / rows, 0.11, 0.26))


def _rgba(colour: str) -> tuple[float, float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b, 1.0


def _colouring(data: HeatMap) -> tuple[Normalize, Colormap]:
    known = data.values[data.states == FIGURE]
    if data.norms:
        reach = max(float(np.abs(known).max(initial=0.0)), 0.1)
        return Normalize(-reach, reach), colormaps["PuOr"]
    low, high = (np.floor(known.min()), np.ceil(known.max())) if len(known) else (-8.0, 0.0)
    return Normalize(low, max(high, low + 1)), colormaps["YlOrRd"]


def _dress(ax: Axes, data: HeatMap, tall: float) -> None:
    ax.set_yticks(range(len(data.names)), [short_name(n) for n in data.names], fontsize=min(8.5, 72 * tall * 0.78))
    count = len(data.steps)
    every = next(n for k in range(9) for n in (10**k, 2 * 10**k, 5 * 10**k) if count <= n * _TICKS)
    at = range(0, count, every)
    ax.set_xticks(at, ["" if data.stepless else f"{data.steps[i]}" for i in at])
    ax.set_xlabel("one pair of files" if data.stepless else "Step")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _write_figures(ax: Axes, data: HeatMap, norm: Normalize, tall: float) -> None:
    for (i, j), value in np.ndenumerate(data.values):
        if data.states[i, j] != FIGURE:
            continue
        text = f"× {2**value:.3g}" if data.norms else f"{10**value:.1e}"
        dark = abs(norm(value) - 0.5) > 0.36 if data.norms else norm(value) > 0.6
        ax.annotate(text, xy=(j, i), ha="center", va="center", fontsize=min(8.0, 72 * tall * 0.7), gid="figure",
                    color=PAPER if dark else INK)  # fmt: skip


def _mark_first(ax: Axes, data: HeatMap) -> None:
    """A frame around the cell, and what started there."""
    if data.first is None:
        return
    row, column, words = data.first
    wide = max(1.0, len(data.steps) / 90)  # a column may be a pixel: the frame is not
    ax.add_patch(Rectangle((column - wide / 2, row - 0.5), wide, 1, fill=False, edgecolor="#0050a0", linewidth=1.8,
                           zorder=5, gid="first", clip_on=False))  # fmt: skip
    if len(data.steps) <= _NUMBERED_UP_TO:
        ax.annotate("first", xy=(column - 0.49, row), va="center", fontsize=8, color="#0050a0", fontweight="bold",
                    gid="first", xytext=(3, 0), textcoords="offset points")  # fmt: skip
        return
    left = column > len(data.steps) / 2
    below = row < len(data.names) / 2
    ax.annotate(printable(f"first tensor: {words}"), xy=(column, row), zorder=6, fontsize=8.5, color="#0050a0",
                gid="first",
                xytext=(-22 if left else 22, -20 if below else 20), textcoords="offset points",
                ha="right" if left else "left", va="center", fontweight="bold",
                bbox={"facecolor": PAPER, "edgecolor": "#0050a0", "linewidth": 0.7, "pad": 2.5},
                arrowprops={"arrowstyle": "-", "color": "#0050a0", "linewidth": 0.9, "shrinkB": 5})  # fmt: skip


def _draw_bar(figure: Figure, ax: Axes, data: HeatMap, norm: Normalize, shades: Colormap) -> None:
    bar = figure.colorbar(ScalarMappable(norm, shades), ax=ax, pad=0.015, fraction=0.025, aspect=28)
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    if data.norms:
        ticks = np.linspace(low, high, 5)
        bar.set_ticks(list(ticks), labels=[f"× {2**t:.2f}" for t in ticks])
        bar.set_label("norm in B / norm in A", fontsize=8.5, color=MUTED)
    else:
        ticks = np.arange(low, high + 0.5, max(1, np.ceil((high - low) / 8)))
        bar.set_ticks(list(ticks), labels=[tick(10.0**t) for t in ticks])
        bar.set_label("relative L2", fontsize=8.5, color=MUTED)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)


def _legend(ax: Axes, data: HeatMap) -> None:
    """The colours of cells without a figure that there are."""
    keys = [
        (EQUAL, Patch(facecolor=_EQUAL, label="identical")),
        (UNKNOWN, Patch(facecolor=PAPER, edgecolor=_HATCH, hatch="////", label="unknown")),
        (BROKEN, Patch(facecolor=INK, label="NaN or Inf in it")),
    ]
    shown = [patch for state, patch in keys if (data.states == state).any()]
    if shown:
        ax.legend(handles=shown, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.3)
