"""Drawing how one model's cost grows with the batch or input size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from ...reductions import COMPUTE_BOUND_ABOVE, MEMORY_BOUND_BELOW
from .drawing import Drawing
from .labels import spread
from .panels import OVER_LABELS, Growth, GrowthPanel
from .style import COLOURS, INK, MUTED, ZONE_COLOURS, dress, limits, new_figure, printable

_ZONES = (
    (0.0, MEMORY_BOUND_BELOW, "memory-bound", ZONE_COLOURS[0]),
    (MEMORY_BOUND_BELOW, COMPUTE_BOUND_ABOVE, "balanced", ZONE_COLOURS[1]),
    (COMPUTE_BOUND_ABOVE, math.inf, "compute-bound", ZONE_COLOURS[2]),
)
_LINE_COLOURS = (COLOURS[0], COLOURS[2], COLOURS[1])


def draw_growth(data: Growth, title: str, caption: str) -> Drawing:
    """Two by two panels over the same x, the changes of roofline class marked in each."""
    figure = new_figure(title, (caption,), 10, 7.2)
    tips: dict[str, tuple[str, ...]] = {}
    panels = list(zip(figure.subplots(2, 2).flat, data.panels, strict=True))
    for k, (ax, panel) in enumerate(panels):
        _frame(ax, data, panel)
        for j, series in enumerate(panel.series):
            gid = f"series-{k}-{j}"
            known = [(x, v, t) for x, v, t in zip(data.xs, series.values, series.texts, strict=True) if v is not None]
            _draw_line(ax, [x for x, _, _ in known], [v for _, v, _ in known], j, series.main, gid)
            if known:
                tips[gid] = tuple(_tip(data, f"{panel.label}, {series.label}", x, t) for x, _, t in known)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax, panel in panels:
        _name_lines(figure, ax, panel, data.xs[-1])
    return Drawing(figure, tips)


def _tip(data: Growth, what: str, x: int, text: str) -> str:
    return f"{OVER_LABELS[data.over]} {x}\n{what}: {text}"


def _frame(ax: Axes, data: Growth, panel: GrowthPanel) -> None:
    """Scales, ticks at the sizes that were profiled, zones, and where the class changes."""
    ax.set_title(printable(panel.label), loc="left", fontweight="bold", fontsize=9.5)
    dress(ax, "y", panel.axis, _ends(panel))
    ax.set_xscale("log", base=2)
    ax.set_xlim(*limits(data.xs, True, (0.05, 0.28)))  # lines are named at their right end
    ax.xaxis.set_major_locator(FixedLocator(_thinned(data.xs)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    ax.tick_params(axis="x", length=3)
    ax.set_xlabel(OVER_LABELS[data.over])
    for x, _ in data.changes:
        ax.axvline(x, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.5, gid="change")
    if panel.zones:
        _draw_zones(ax)
        _name_changes(ax, data, panel)


def _ends(panel: GrowthPanel) -> tuple[float, float]:
    values = [v for s in panel.series for v in s.values if v is not None]
    if panel.axis.log:
        return limits(values, True, (0.06, 0.08))
    top = 1.12 * max(values, default=1.0) or 1.0
    near = [b for b in (MEMORY_BOUND_BELOW, COMPUTE_BOUND_ABOVE) if panel.zones and 0.65 * b < top < 1.15 * b]
    return 0.0, 1.15 * near[0] if near else top


def _thinned(xs: Sequence[int], most: int = 12) -> list[int]:
    """Sizes to write on the axis: none so near to the one before that their texts would touch."""
    if len(xs) < 2:
        return list(xs)
    apart = math.log(xs[-1] / xs[0]) / most
    kept = [xs[0]]
    for x in xs[1:]:
        if math.log(x / kept[-1]) >= apart:
            kept.append(x)
    return kept


def _draw_line(ax: Axes, xs: Sequence[int], values: Sequence[float], j: int, main: bool, gid: str) -> None:
    ax.plot(
        xs,
        values,
        color=_LINE_COLOURS[j % len(_LINE_COLOURS)],
        linewidth=2.0 if main else 1.1,
        marker="o",
        markersize=5.0 if main else 3.0,
        markeredgewidth=0,
        zorder=4 if main else 3,
        gid=gid,
    )


def _draw_zones(ax: Axes) -> None:
    bottom, top = ax.get_ylim()
    for low, high, name, colour in _ZONES:
        low, high = max(low, bottom), min(high, top)
        if low < high:
            ax.axhspan(low, high, color=colour, linewidth=0, zorder=0, gid=f"zone-{name}")
        at = ax.transAxes.inverted().transform(ax.transData.transform([[1, max(low, bottom)], [1, max(high, low)]]))
        if at[1][1] - at[0][1] > 0.07:
            ax.text(0.985, (at[0][1] + at[1][1]) / 2, name, transform=ax.transAxes, ha="right", va="center",
                    fontsize=7.5, color=MUTED,
                    bbox={"boxstyle": "square,pad=0.1", "facecolor": colour, "edgecolor": "none"})  # fmt: skip


def _name_changes(ax: Axes, data: Growth, panel: GrowthPanel) -> None:
    """Along each line that marks a change, at the end of it where the curve is not."""
    values = dict(zip(data.xs, panel.series[0].values, strict=True))
    to_axes = ax.transData + ax.transAxes.inverted()
    for x, name in data.changes:
        below = to_axes.transform((x, values[x] or 0.0))[1] > 0.5
        ax.annotate(
            f"{name} from {x}",
            xy=(x, 0 if below else 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 5 if below else -5),
            textcoords="offset points",
            rotation=90,
            ha="right",
            va="bottom" if below else "top",
            fontsize=8,
            color=INK,
            gid="change-name",
        )


def _name_lines(figure: Figure, ax: Axes, panel: GrowthPanel, right: int) -> None:
    """The name of each line at its right end, moved apart where lines meet."""
    if len(panel.series) < 2:
        return
    unit = figure.dpi / 72
    known = [(j, s) for j, s in enumerate(panel.series) if s.values[-1] is not None]
    ends = [float(ax.transData.transform((right, s.values[-1] or 0.0))[1]) for _, s in known]
    for (j, series), end, y in zip(known, ends, spread(ends, 11 * unit), strict=True):
        ax.annotate(
            series.label,
            xy=(right, series.values[-1] or 0.0),
            xytext=(7, (y - end) / unit),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=_LINE_COLOURS[j % len(_LINE_COLOURS)],
            fontweight="bold" if series.main else "normal",
            gid="line-name",
        )
