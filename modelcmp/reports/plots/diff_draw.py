"""Drawing two runs over steps: six panels on one time axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .diff import Array, DiffCurves, Line, Panel, Role, thinned
from .draw_training import empty_picture
from .style import COLOURS, GRID, INK, MUTED, PAPER, log_ticks, new_figure, printable

_BROKEN = "#b00020"
_DOTTED_UP_TO = 40  # dumps that are drawn as points too
_DENSE_FROM, _STRETCHES = 500, 120  # from so many dumps on, losses of single batches hide their own course
_LOG_FROM = 30.0
_EPOCHS_NAMED = 10
# Colour, width, layer. B is thin on a thick A, so that both are seen where they agree.
_LOOKS: dict[Role, tuple[str, float, int]] = {
    "a": ("#6fb1dd", 2.8, 3), "b": (COLOURS[1], 1.1, 4), "all": (INK, 1.8, 5), "mlp": (COLOURS[3], 1.2, 4),
    "backbone": (COLOURS[2], 1.2, 3), "update": (COLOURS[0], 1.2, 4), "difference": (INK, 1.4, 4),
    "floor": (MUTED, 0.8, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Scale:
    """How values become heights, and what is written on the axis."""

    height: Callable[[Array], Array]
    ends: tuple[float, float]
    ticks: tuple[tuple[float, str], ...] = ()  # empty: matplotlib's own
    zero: float | None = None  # the height of zeros on a logarithmic axis
    best: float = -np.inf  # the end at which both are equal


def draw_diff_curves(data: DiffCurves, title: str) -> Figure:
    """Six panels; dashed where it started, light lines where epochs begin, red where numbers are NaN or infinite."""
    if not len(data.steps):
        return empty_picture(title, data.words, "no pair of dumps to compare")
    shares = _row_shares(data)
    dense = " Light: each dump; heavy: running median." if len(data.steps) > _DENSE_FROM else ""
    figure = new_figure(title, [*data.words[:-1], data.words[-1] + dense], 12.8, 1.5 + 2.95 * sum(shares))
    grid = figure.subplots(3, 2, sharex=True, height_ratios=shares)
    for ax, panel in zip(grid.flat, data.panels, strict=True):
        _draw_panel(ax, panel, data)
    for ax in grid.flat:
        _draw_time(ax, data, named=ax in grid[-1])
    _name_first(grid.flat[0], data)
    return figure


def _row_shares(data: DiffCurves) -> list[float]:
    """Heights of the three rows: one with nothing to show is low."""
    rows = [data.panels[i : i + 2] for i in (0, 2, 4)]
    return [1.0 if any(len(p.values) or p.broken for p in row) else 0.25 for row in rows]


# -- panels ---------------------------------------------------------------------------------------


def _draw_panel(ax: Axes, panel: Panel, data: DiffCurves) -> None:
    ax.set_title(panel.title, loc="left", fontweight="bold")
    ax.tick_params(length=3)
    _draw_broken(ax, panel)
    if not len(panel.values):
        _say(ax, "every number is NaN or infinite" if panel.broken else panel.missing)
    elif panel.all_zero and panel.equal:
        _draw_equal(ax, panel, len(data.steps))
    else:
        _draw_lines(ax, panel, _scale(panel))


def _draw_lines(ax: Axes, panel: Panel, scale: _Scale) -> None:
    ax.set_ylim(*scale.ends)
    ax.grid(color=GRID, axis="y")
    if scale.ticks:
        ax.set_yticks([at for at, _ in scale.ticks], [text for _, text in scale.ticks])
    else:
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if panel.scale == "ratio":
        ax.axhline(float(scale.height(np.ones(1))[0]), color=MUTED, linewidth=0.9, zorder=1, gid="one")
    if scale.zero is not None:
        _draw_zero_row(ax, scale)
    for line in panel.lines:
        _draw_line(ax, line, scale)
    if len(panel.lines) > 1 or panel.lines[0].role in ("a", "b"):
        _legend(ax)


def _legend(ax: Axes) -> None:
    ax.legend(loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=4, borderaxespad=0, handlelength=1.6,
              columnspacing=1.2)  # fmt: skip


def _say(ax: Axes, words: str) -> None:
    ax.annotate(printable(words), xy=(0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=MUTED,
                fontsize=10.5, gid="words", zorder=8,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 3})  # fmt: skip
    if not ax.lines:
        ax.set_yticks([])


def _draw_equal(ax: Axes, panel: Panel, pairs: int) -> None:
    """Nothing but zeros: a line, and the words for it."""
    for line in panel.lines:
        if line.role != "floor":
            _draw_line(ax, line, _Scale(lambda y: y, (-1, 1)))
    ax.set_ylim(-1, 1)
    ax.set_yticks([0], ["1" if panel.scale == "cosine" else "0"])
    ax.grid(color=GRID, axis="y")
    gaps = any(np.isnan(line.y).any() for line in panel.lines if line.role not in ("floor", "update"))
    words = panel.equal.replace(
        " in all dumps", "" if pairs == 1 else " wherever it is known" if gaps else " in all dumps"
    )
    ax.annotate(words, xy=(0.5, 0.5), xytext=(0, 12), xycoords="axes fraction", textcoords="offset points",
                ha="center", va="bottom", color=COLOURS[2], fontsize=11, gid="equal", zorder=8,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2})  # fmt: skip


def _draw_zero_row(ax: Axes, scale: _Scale) -> None:
    """Zeros have no logarithm: a row of their own beyond the axis' last figure."""
    zero = scale.zero or 0.0
    low, high = scale.ends
    outer = low if abs(zero - low) < abs(zero - high) else high
    ax.axhspan(outer, 2 * zero - outer, color="#eef3f1", zorder=0, gid="zero-row")


def _draw_line(ax: Axes, line: Line, scale: _Scale) -> None:
    colour, width, layer = _LOOKS[line.role]
    x, y = thinned(line.x, line.y)
    heights = scale.height(y)
    if line.role == "floor":
        edge = scale.ends[1] if scale.best > 0 else scale.ends[0]
        ax.fill_between(x, edge, heights, color=MUTED, alpha=0.16, linewidth=0, zorder=1, gid="floor")
    known = np.isfinite(heights)
    dots = "o" if len(line.x) <= _DOTTED_UP_TO and line.role != "floor" else ""
    small = 7.0 if len(line.x) == 1 else 2 + width
    if len(line.x) > _DENSE_FROM and line.role in ("a", "b", "difference"):
        ax.plot(x, heights, color=colour, linewidth=0.5, alpha=0.3, zorder=layer - 1, gid="each")
        x, heights = _medians(line.x, scale.height(line.y))
        known = np.isfinite(heights)
    ax.plot(x, heights, color=colour, linewidth=width, marker=dots, markersize=small, zorder=layer, label=line.label,
            gid=line.role, solid_capstyle="round")  # fmt: skip
    alone = known & ~np.r_[False, known[:-1]] & ~np.r_[known[1:], False]
    if alone.any() and not dots:
        ax.plot(x[alone], heights[alone], color=colour, linestyle="", marker="o", markersize=3, zorder=layer)
    if len(line.x) == 1 and known.all() and line.role != "floor":
        left = line.role in ("a", "mlp", "update")  # on both sides, as values may be the same
        ax.annotate(f"{line.label}: {_value(line, scale)}", xy=(x[0], heights[0]), xytext=(-8 if left else 8, 0),
                    textcoords="offset points", ha="right" if left else "left", va="center", fontsize=8.5, color=INK,
                    gid="value")  # fmt: skip


def _medians(x: Array, heights: Array) -> tuple[Array, Array]:
    """The medians of short stretches; a stretch with nothing known in it is a gap."""
    parts = np.array_split(np.arange(len(x)), _STRETCHES)
    known = [heights[part][np.isfinite(heights[part])] for part in parts]
    middles = [float(np.median(values)) if len(values) else np.nan for values in known]
    return np.array([float(np.median(x[part])) for part in parts]), np.array(middles)


def _value(line: Line, scale: _Scale) -> str:
    value = float(line.y[0])
    if scale.best > 0:  # the axis holds 1 - cosine
        return f"1 − {value:.2g}" if 0 < value < 1e-3 else f"{1 - value:.4g}"
    return f"{value:.6g}" if line.role in ("a", "b") else f"{value:.3g}"


def _draw_broken(ax: Axes, panel: Panel) -> None:
    """Crosses along the upper edge, and from which step on."""
    for k, (_, steps) in enumerate(panel.broken):
        at = thinned(steps, np.zeros(len(steps)), 60)[0]
        ax.plot(at, np.full(len(at), 0.985 - 0.03 * k), transform=ax.get_xaxis_transform(), linestyle="", marker="x",
                markersize=4, color=_BROKEN, zorder=6, gid="broken")  # fmt: skip


# -- heights --------------------------------------------------------------------------------------


def _scale(panel: Panel) -> _Scale:
    values = panel.values
    positive = values[values > 0]
    if panel.scale == "cosine":
        return _cosines(positive, values)
    wide = len(positive) == len(values) and positive.max() > _LOG_FROM * positive.min()
    ratios = panel.scale == "ratio" and len(positive) == len(values) and positive.max() > 10 * positive.min()
    if (panel.scale == "log" and len(positive)) or (panel.scale == "auto" and wide) or ratios:
        return _logarithmic(positive, zeros=len(positive) < len(values))
    return _linear(panel, values)


def _linear(panel: Panel, values: Array) -> _Scale:
    low, high = float(values.min()), float(values.max())
    if panel.scale == "ratio":
        low, high = min(low, 0.99), max(high, 1.01)
    elif low >= 0 and low < high / 2:
        low = 0.0  # what is nearly all of the axis anyway
    span = (high - low) or max(abs(high), 1.0) * 0.2
    return _Scale(lambda y: y, (low - (0.04 if low else 0.02) * span, high + 0.06 * span))


def _logarithmic(positive: Array, zeros: bool) -> _Scale:
    low, high = np.log10(positive.min()), np.log10(positive.max())
    low, high = low - max(0.5 - (high - low) / 2, 0), high + max(0.5 - (high - low) / 2, 0)
    room = 0.05 * (high - low)
    zero = low - 2.4 * room if zeros else None
    bottom = low - room if zero is None else zero - room
    ticks = [(float(np.log10(t)), tick(t)) for t in log_ticks(10**low, 10**high, 7)]
    if zero is not None:
        ticks = [(zero, "0"), *ticks]
    fill = np.nan if zero is None else zero
    return _Scale(lambda y: _log(y, fill), (bottom, high + 1.4 * room), tuple(ticks), zero)


def _cosines(positive: Array, values: Array) -> _Scale:
    """Of 1 - cosine; the further up, the more alike."""
    if not len(positive) or positive.max() < 0.5 or positive.min() < 0.01:
        inner = _logarithmic(positive, zeros=len(positive) < len(values))
        ticks = tuple((-at, "1" if text == "0" else _cosine_tick(10**at)) for at, text in inner.ticks)
        zero = None if inner.zero is None else -inner.zero
        return _Scale(lambda y: -inner.height(y), (-inner.ends[1], -inner.ends[0]), ticks, zero, best=np.inf)
    low = min(0.0, float((1 - values).min()))
    span = 1 - low
    return _Scale(lambda y: 1 - y, (low - 0.05 * span, 1 + 0.05 * span), best=np.inf)


def _log(values: Array, zero: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log10(values), np.where(values == 0, zero, np.nan))


def tick(value: float) -> str:
    """A round number on a logarithmic axis."""
    return f"{value:g}" if 1e-3 <= value < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e+")


def _cosine_tick(rest: float) -> str:
    return f"1 − {tick(rest)}" if rest < 9e-4 else f"{1 - rest:.3g}"


# -- the time axis --------------------------------------------------------------------------------


def _draw_time(ax: Axes, data: DiffCurves, named: bool) -> None:
    steps = data.steps
    low, high = float(steps.min()), float(steps.max())
    room = 0.02 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)
    if len(steps) == 1:
        ax.set_xticks([low], [""] if data.stepless else [f"{low:.0f}"])
    else:
        ax.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    if named:
        ax.set_xlabel("one pair of files" if data.stepless else "Step")
    _draw_epochs(ax, data, named)
    if data.first is not None:
        ax.axvline(data.first[0], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=6, gid="first")


def _draw_epochs(ax: Axes, data: DiffCurves, named: bool) -> None:
    every = -(-len(data.epochs) // _EPOCHS_NAMED)
    for at, number in data.epochs[:: every or 1]:
        ax.axvline(at, color="#c9ced3", linewidth=0.7, zorder=0.5, gid="epoch")
        if named:
            ax.annotate(f"epoch {number}", xy=(at, 0.96), xycoords=("data", "axes fraction"), xytext=(2, 0),
                        textcoords="offset points", fontsize=6.5, color=MUTED, va="top", gid="epoch",
                        zorder=1)  # fmt: skip


def _name_first(ax: Axes, data: DiffCurves) -> None:
    """What started, beside its line, on the side where there is more room."""
    if data.first is None:
        return
    at, words = data.first
    left = at > (data.steps.min() + data.steps.max()) / 2
    ax.annotate(printable(f"first: {words}"), xy=(at, 0.97), xycoords=("data", "axes fraction"),
                xytext=(-5 if left else 5, 0), textcoords="offset points", ha="right" if left else "left", va="top",
                fontsize=8, color=INK, zorder=1.5, gid="first",  # below the curves: it hides no point of them
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5})  # fmt: skip
