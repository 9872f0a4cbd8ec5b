"""Drawing models over their epochs, and their figures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from ... import units
from .style import COLOURS, GRID, INK, MARKERS, MUTED, limits, log_ticks, new_figure, short_name
from .training import SPLIT_WORDS, Bar, Lines, MetricBars, TrainingCurves

_DOTTED_UP_TO = 3  # epochs that are drawn as points too: a line of one has no length
_ROOM = 1.42  # a panel is this much longer than the longest bar: its value stands behind it


def missing_words(missing: Sequence[str], what: str) -> str:
    """A caption that names models a picture cannot show; "" for none."""
    return f"No {what}: {', '.join(short_name(n) for n in missing)}." if missing else ""


def empty_picture(title: str, captions: Sequence[str], words: str) -> Figure:
    """A picture that says why it shows nothing."""
    figure = new_figure(title, captions, 8, 2.4)
    ax = figure.add_subplot()
    ax.set_axis_off()
    ax.annotate(words, xy=(0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=MUTED, fontsize=11)
    return figure


# -- over epochs ----------------------------------------------------------------------------------


def draw_training_curves(data: TrainingCurves, title: str) -> Figure:
    """Loss and accuracy over epochs: dashed in training, solid in validation, the kept epoch ringed."""
    missing = missing_words(data.missing, "history")
    if not data.lines:
        return empty_picture(title, (missing,), "no model finished an epoch")
    words = "Dashed or hollow: training. Solid: validation. Ring: the epoch that was kept."
    if any(line.status in ("diverged", "failed") for line in data.lines):
        words += " Cross: the last finite figure of a model that diverged or failed."
    figure = new_figure(title, (words, missing), 11.6, max(4.6, 1.6 + 0.2 * len(data.lines)))
    for i, kind in enumerate(("loss", "accuracy"), 1):
        ax = figure.add_subplot(1, 2, i)
        for line in data.lines:
            _draw_line(ax, line, "loss" if kind == "loss" else "accuracy")
        _dress_epochs(ax, data, "loss" if kind == "loss" else "accuracy")
    keys = [_key(line) for line in data.lines]
    figure.axes[-1].legend(handles=keys, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
    return figure


def _key(line: Lines) -> Line2D:
    state = f" ({line.status})" if line.status != "finished" else ""
    label = short_name(line.name) + state
    return Line2D([], [], color=_colour(line), linewidth=1.8, marker=_marker(line), markersize=5, label=label)


def _colour(line: Lines) -> str:
    return COLOURS[line.colour % len(COLOURS)]


def _marker(line: Lines) -> str:
    """A shape for models that share a colour with an earlier one, none for the first of each."""
    again = line.colour // len(COLOURS)
    return MARKERS[again % len(MARKERS)] if again else ""


def _draw_line(ax: Axes, line: Lines, kind: Literal["loss", "accuracy"]) -> None:
    for split, dash, width in (("train", (0, (4, 2.5)), 1.0), ("val", "solid", 1.8)):
        points = line.points(f"{split}_{kind}")
        if not points:
            continue
        dots = _marker(line) if len(points) > _DOTTED_UP_TO else _marker(line) or "o"
        filled = _colour(line) if split == "val" else "white"
        every = max(1, len(points) // 8)
        ax.plot(*zip(*points, strict=True), color=_colour(line), linestyle=dash, linewidth=width, marker=dots,
                markersize=4.5, markevery=every, markerfacecolor=filled, gid=f"{split}-{kind}", zorder=3)  # fmt: skip
        if split == "val":
            _draw_marks(ax, line, points)


def _draw_marks(ax: Axes, line: Lines, points: Sequence[tuple[float, float]]) -> None:
    """A ring around the epoch that was kept, a cross where a model broke."""
    if line.status in ("diverged", "failed"):
        ax.plot(*points[-1], marker="X", color=_colour(line), markersize=8, markeredgecolor="white", zorder=5,
                gid="broken")  # fmt: skip
    for epoch, value in points:
        if epoch == line.best_epoch:
            ax.plot(epoch, value, marker="o", markersize=8.5, markerfacecolor="none", markeredgecolor=_colour(line),
                    markeredgewidth=1.6, zorder=4, gid="best")  # fmt: skip


def _dress_epochs(ax: Axes, data: TrainingCurves, kind: Literal["loss", "accuracy"]) -> None:
    epochs = [e for line in data.lines for e in line.epochs]
    ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    ax.set_xlabel("Epoch")
    ax.set_title(kind.capitalize(), loc="left", fontweight="bold")
    ax.grid(color=GRID)
    ax.tick_params(length=3)
    values = data.values(kind)
    if not values:
        return
    low, high = limits(values, kind == "loss" and data.log_loss, (0.06, 0.06))
    if kind == "accuracy":
        ax.set_ylim(max(low, -0.02), min(high, 1.02))
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    elif data.log_loss:
        ax.set_yscale("log")
        ax.set_ylim(low, high)
        ax.set_yticks(log_ticks(low, high, 7))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.set_ylabel("logarithmic", color=MUTED, fontsize=8)
    else:
        ax.set_ylim(max(0.0, low) if min(values) >= 0 else low, high)


# -- figures --------------------------------------------------------------------------------------


def draw_metric_bars(data: MetricBars, title: str) -> Figure:
    """One panel a figure; a model has the same place and colour in each, and a whisker over its interval."""
    words = f"On the {SPLIT_WORDS[data.split]}. Whiskers: 95 % bootstrap intervals over its examples. Longer is better."
    missing = missing_words(data.missing, "figures")
    if len(data.missing) == len(data.names):
        return empty_picture(title, (missing,), "no model was evaluated")
    figure = new_figure(title, (words, missing), 13.0, 1.7 + 0.34 * len(data.names))
    for k, (label, bars) in enumerate(data.panels):
        ax = figure.add_subplot(1, len(data.panels), k + 1)
        _draw_panel(ax, bars)
        ax.set_title(label, loc="left", fontweight="bold")
        ax.set_yticks(range(len(bars)), [short_name(n) for n in data.names] if k == 0 else [""] * len(bars))
        ax.invert_yaxis()
    return figure


def _draw_panel(ax: Axes, bars: Sequence[Bar]) -> None:
    best = max((b.value for b in bars if b.value is not None), default=None)
    for i, bar in enumerate(bars):
        ax.barh(i, bar.value or 0.0, height=0.66, color=COLOURS[i % len(COLOURS)], alpha=0.85, gid="bar")
        end = max(bar.value or 0.0, bar.high or 0.0)
        if bar.low is not None and bar.high is not None and bar.value is not None:
            ax.plot([bar.low, bar.high], [i, i], color=INK, linewidth=1.1, marker="|", markersize=6, gid="interval")
        first = bar.value is not None and bar.value == best and len(bars) > 1
        ax.annotate(units.share(bar.value) if bar.value is not None else "–", xy=(end, i), xytext=(5, 0),
                    textcoords="offset points", va="center_baseline", fontsize=8.5, color=INK if first else MUTED,
                    fontweight="bold" if first else "normal", gid="value")  # fmt: skip
    ax.set_xlim(0, _ROOM)
    ax.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    ax.set_ylim(-0.5, len(bars) - 0.5)
    ax.grid(axis="x", color=GRID)
    ax.tick_params(axis="y", length=0)
    ax.tick_params(axis="x", length=3)
    ax.spines["bottom"].set_bounds(0, 1)
