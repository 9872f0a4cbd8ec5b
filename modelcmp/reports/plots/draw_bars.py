"""Drawing models side by side."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from .drawing import Drawing
from .panels import BarPanel, Bars
from .style import COLOURS, INK, MUTED, new_figure, printable, short_name

_ROOM = 1.34  # the axis is this much longer than the longest bar: its value stands behind it


def draw_bars(data: Bars, title: str, caption: str) -> Drawing:
    """One panel a metric; a model has the same place and colour in each."""
    columns = min(3, len(data.panels))
    rows = math.ceil(len(data.panels) / columns)
    height = rows * (0.62 + 0.27 * len(data.names)) + 0.9
    figure = new_figure(title, (caption,), 4.6 + 2.2 * columns if columns > 1 else 8.0, height)
    grid = figure.subplots(rows, columns, squeeze=False)
    tips: dict[str, tuple[str, ...]] = {}
    for k, ax in enumerate(grid.flat):
        if k < len(data.panels):
            _draw_panel(ax, data, k, first=k % columns == 0)
            bars = data.panels[k].bars
            tips |= {f"bar-{k}-{i}": (_tip(data, k, i),) for i in range(len(bars))}
        else:
            ax.set_axis_off()
    return Drawing(figure, tips)


def _tip(data: Bars, k: int, i: int) -> str:
    return f"{data.names[i]}\n{data.panels[k].label}: {data.panels[k].bars[i].text}"


def _draw_panel(ax: Axes, data: Bars, k: int, first: bool) -> None:
    panel = data.panels[k]
    lengths = [b.value or 0.0 for b in panel.bars]
    places = range(len(lengths))
    for i, patch in enumerate(ax.barh(places, lengths, height=0.66, color=COLOURS[: len(lengths)])):
        patch.set_gid(f"bar-{k}-{i}")
        patch.set_alpha(1.0 if panel.bars[i].best or not any(b.best for b in panel.bars) else 0.62)
    _frame(ax, panel, max(lengths), min(lengths))
    for i, bar in enumerate(panel.bars):
        ax.annotate(
            bar.text,
            xy=(max(bar.value or 0.0, 0.0), i),
            xytext=(3, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=8.5,
            color=INK if bar.best else MUTED,
            fontweight="bold" if bar.best else "normal",
            gid="value",
        )
    ax.set_yticks(list(places), [short_name(n) for n in data.names] if first else [])
    ax.invert_yaxis()


def _frame(ax: Axes, panel: BarPanel, longest: float, shortest: float) -> None:
    """Title, direction and scale."""
    ax.set_title(printable(panel.label), loc="left", fontweight="bold", fontsize=9.5)
    if panel.metric.better is not None:
        words = "shorter is better" if panel.metric.better == "low" else "longer is better"
        ax.annotate(words, xy=(0, 0), xycoords="axes fraction", xytext=(0, -3), textcoords="offset points", ha="left",
                    va="top", fontsize=7.5, color=MUTED)  # fmt: skip
    right = max(longest, 0.0) or -0.3 * shortest or 1.0
    ax.set_xlim(min(shortest * 1.1, 0.0), right * _ROOM)
    ax.set_xticks([])  # each bar carries its value
    ax.tick_params(axis="y", length=0)
    ax.spines["bottom"].set_visible(False)
