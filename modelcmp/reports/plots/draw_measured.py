"""Drawing measured times: against predictions, or as bars with whiskers."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ...units import ratio as ratio_text
from ..bench_table import ms_text
from .drawing import Drawing
from .measured import BAND, Mark, Measured
from .style import (
    COLOURS,
    GRID,
    INK,
    MARKERS,
    MUTED,
    ZONE_COLOURS,
    limits,
    log_ticks,
    new_figure,
    printable,
    short_name,
)  # fmt: skip

_ROOM = 1.25  # the axis is this much longer than the longest bar: its value stands behind it


def draw_measured(data: Measured, title: str, caption: str) -> Drawing:
    """Predicted against measured where there are predictions, else the times alone."""
    return _draw_versus(data, title, caption) if data.predicted else _draw_times(data, title, caption)


def _tip(data: Measured, mark: Mark) -> str:
    lines = [data.label(mark), f"measured: {ms_text(mark.measured_ms)} ms ({ms_text(mark.p5_ms)} to "
             f"{ms_text(mark.p95_ms)})"]  # fmt: skip
    if mark.predicted_ms is not None and mark.ratio is not None:
        lines.append(f"predicted: {ms_text(mark.predicted_ms)} ms, ratio {ratio_text(mark.ratio)}")
    return "\n".join(lines)


# -- predicted against measured --------------------------------------------------------------------


def _draw_versus(data: Measured, title: str, caption: str) -> Drawing:
    """Both axes alike and logarithmic, the line of equality and the band around it."""
    words = f"{data.in_band} of {len(data.marks)} predictions lie within a factor of {BAND:g} (shaded)."
    figure = new_figure(title, (caption, words), 9.4, 6.6)
    ax = figure.add_subplot()
    _square_axes(ax, data)
    tips: dict[str, tuple[str, ...]] = {}
    for i, mark in enumerate(data.marks):
        _draw_mark(ax, data, mark, f"mark-{i}")
        tips[f"mark-{i}"] = (_tip(data, mark),)
    _draw_legend(ax, data)
    return Drawing(figure, tips)


def _square_axes(ax: Axes, data: Measured) -> None:
    values = [v for m in data.marks for v in (m.p5_ms, m.p95_ms, m.predicted_ms) if v is not None]
    low, high = limits(values, True, (0.12, 0.12))
    low, high = min(low, min(values) / BAND), max(high, max(values) * BAND)
    ax.fill_between([low, high], [low / BAND, high / BAND], [low * BAND, high * BAND], color=ZONE_COLOURS[2],
                    linewidth=0, zorder=1, gid="band")  # fmt: skip
    ax.plot([low, high], [low, high], color=MUTED, linewidth=1.0, linestyle=(0, (5, 3)), zorder=2, gid="equal")
    for which in ("x", "y"):
        getattr(ax, f"set_{which}scale")("log")
        getattr(ax, f"set_{which}lim")(low, high)
        lines = ax.xaxis if which == "x" else ax.yaxis
        lines.set_major_locator(FixedLocator(log_ticks(low, high, 7)))
        lines.set_minor_locator(NullLocator())
        lines.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(color=GRID)
    ax.tick_params(length=3)
    ax.set_aspect("equal")
    ax.set_xlabel("Measured, ms (median; line: p5 to p95)")
    ax.set_ylabel("Predicted, ms")


def _draw_mark(ax: Axes, data: Measured, mark: Mark, gid: str) -> None:
    """A point with the spread of its measurement, and its batch size where several are shown."""
    assert mark.predicted_ms is not None
    colour = COLOURS[data.names.index(mark.name) % len(COLOURS)]
    marker = MARKERS[data.dtypes.index(mark.dtype) % len(MARKERS)]
    ax.plot([mark.p5_ms, mark.p95_ms], [mark.predicted_ms] * 2, color=colour, linewidth=1.2, zorder=3, gid="spread")
    ax.scatter([mark.measured_ms], [mark.predicted_ms], s=46, marker=marker, color=colour, linewidths=0, zorder=4,
               gid=gid)  # fmt: skip
    if len(data.batches) > 1:
        ax.annotate(str(mark.batch_size), xy=(mark.measured_ms, mark.predicted_ms), xytext=(5, 4),
                    textcoords="offset points", fontsize=7.5, color=MUTED, zorder=5, gid="batch")  # fmt: skip


def _draw_legend(ax: Axes, data: Measured) -> None:
    """Models by colour, types by shape where there are several, what the numbers are."""

    def key(label: str, **how: object) -> Line2D:
        return Line2D([], [], linestyle="none", markeredgewidth=0, markersize=7, label=label, **how)  # type: ignore[arg-type]

    keys = [key(short_name(n), marker="o", color=COLOURS[i % len(COLOURS)]) for i, n in enumerate(data.names)]
    if len(data.dtypes) > 1:
        keys += [key(d, marker=MARKERS[i % len(MARKERS)], color=MUTED) for i, d in enumerate(data.dtypes)]
    if len(data.batches) > 1:
        keys.append(key("number: batch size", marker="", color=MUTED))
    ax.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handletextpad=0.3)


# -- times alone -----------------------------------------------------------------------------------


def _draw_times(data: Measured, title: str, caption: str) -> Drawing:
    """A bar for each row, as long as its median, with a whisker from p5 to p95."""
    figure = new_figure(title, (caption, "Bars: median; whiskers: 5th to 95th percentile. Shorter is better."), 9,
                        1.5 + 0.32 * len(data.marks))  # fmt: skip
    ax = figure.add_subplot()
    places = range(len(data.marks))
    colours = [COLOURS[data.names.index(m.name) % len(COLOURS)] for m in data.marks]
    bars = ax.barh(places, [m.measured_ms for m in data.marks], height=0.66, color=colours, alpha=0.8)
    for i, (patch, mark) in enumerate(zip(bars, data.marks, strict=True)):
        patch.set_gid(f"bar-{i}")
        ax.plot([mark.p5_ms, mark.p95_ms], [i, i], color=INK, linewidth=1.1, marker="|", markersize=6, gid="spread")
        end = max(mark.measured_ms, mark.p95_ms)
        ax.annotate(f"{ms_text(mark.measured_ms)} ms", xy=(end, i), xytext=(5, 0), textcoords="offset points",
                    va="center_baseline", fontsize=8.5, color=INK, gid="value")  # fmt: skip
    ax.set_yticks(list(places), [printable(data.label(m)) for m in data.marks])
    ax.invert_yaxis()
    longest = max(max(m.measured_ms, m.p95_ms) for m in data.marks)
    ax.set_xlim(0, _ROOM * longest if math.isfinite(longest) else None)
    ax.set_xticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines["bottom"].set_visible(False)
    return Drawing(figure, {f"bar-{i}": (_tip(data, m),) for i, m in enumerate(data.marks)})
