"""Drawing confusion matrices, and ROC and precision-recall curves."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ... import units
from .draw_training import empty_picture, missing_words
from .style import COLOURS, GRID, INK, MUTED, PAPER, new_figure, printable, short_name
from .training import SPLIT_WORDS, Confusion, Confusions, ScoreCurve, ScoreCurves

_NUMBERED_UP_TO = 15  # classes whose counts can be read in their cells
_NAMED_UP_TO = 25
_LONGEST_CLASS = 14
_SHADES = LinearSegmentedColormap.from_list("shares", [PAPER, "#c9dff0", COLOURS[0], "#00304d"])
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))  # for more models than colours


# -- confusion ------------------------------------------------------------------------------------


def draw_confusions(data: Confusions, title: str) -> Figure:
    """One panel a model: the count in each cell, its share of the true class as colour."""
    missing = missing_words(data.missing, "confusion matrix")
    if not data.panels:
        return empty_picture(title, (missing,), "no model has a confusion matrix")
    columns = _columns(len(data.panels))
    rows = math.ceil(len(data.panels) / columns)
    side = _side(max(len(p.classes) for p in data.panels))
    words = f"On the {SPLIT_WORDS[data.split]}: rows are true, columns predicted. Colour: share of the true class."
    figure = new_figure(title, (words, missing), max(1.4 + columns * (side + 0.3), 6.5), 1.3 + rows * (side + 0.45))
    grid = figure.subplots(rows, columns, squeeze=False)
    for k, ax in enumerate(grid.flat):
        if k < len(data.panels):
            _draw_matrix(ax, data.panels[k], side)
        else:
            ax.set_axis_off()
    bar = figure.colorbar(
        grid.flat[0].images[0], ax=grid, shrink=0.85 if rows == 1 else 1.3 / rows, aspect=24, pad=0.02
    )
    bar.set_ticks([0, 0.25, 0.5, 0.75, 1], labels=["0 %", "25 %", "50 %", "75 %", "100 %"])
    bar.outline.set_visible(False)
    return figure


def _columns(panels: int) -> int:
    """Panels side by side: at most four, and no lonely one in the last row if three do as well."""
    return panels if panels <= 3 else 2 if panels == 4 else 3 if panels in (5, 6, 9) else 4


def _side(classes: int) -> float:
    """Inches of a panel: room for the numbers of its cells."""
    if classes <= 3:
        return 2.5
    return min(4.4, 2.5 + 0.13 * (classes - 3)) if classes <= _NUMBERED_UP_TO else 3.2


def _draw_matrix(ax: Axes, data: Confusion, side: float) -> None:
    shares, k = data.shares(), len(data.classes)
    ax.imshow(shares, cmap=_SHADES, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    ax.set_title(short_name(data.name), loc="left", fontweight="bold", fontsize=9 if len(data.name) <= 30 else 7)
    if k <= _NUMBERED_UP_TO:
        _write_counts(ax, data, shares, side)
    if k <= _NAMED_UP_TO:
        names = [_short_class(c) for c in data.classes]
        upright = max(map(len, names)) * k > 34
        ax.set_xticks(range(k), names, rotation=90 if upright else 0, fontsize=7.5 if k > 8 else 8.5)
        ax.set_yticks(range(k), names, fontsize=7.5 if k > 8 else 8.5)
    else:
        ax.set_xlabel(f"{k} classes, in their order", fontsize=8, color=MUTED)
        ax.set_xticks([])
        ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(True)
    ax.spines[:].set_color(GRID)


def _write_counts(ax: Axes, data: Confusion, shares: list[list[float]], side: float) -> None:
    """Numbers as large as the cells allow; zeros beside the diagonal are left out where there are many cells."""
    k = len(data.classes)
    digits = max(len(str(c)) for row in data.counts for c in row)
    size = min(11.0, 72 * side / k / max(1.9, 0.74 * digits))
    for i, row in enumerate(data.counts):
        for j, count in enumerate(row):
            if count or k <= 3:
                ax.annotate(str(count), xy=(j, i), ha="center", va="center", fontsize=size, gid="count",
                            color=PAPER if shares[i][j] > 0.5 else INK)  # fmt: skip


def _short_class(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _LONGEST_CLASS else f"{name[: _LONGEST_CLASS - 1]}…"


# -- ROC and PR -----------------------------------------------------------------------------------


def draw_score_curves(data: ScoreCurves, title: str) -> Figure:
    """ROC and precision-recall curves side by side, with the areas in the legend."""
    missing = missing_words(data.missing, "curves")
    if not data.curves:
        return empty_picture(title, (missing,), "no model has a curve")
    of = "mean over classes, each against the rest" if data.average == "macro" else f"of {printable(data.average)}"
    words = f"On the {SPLIT_WORDS[data.split]}; curves are {of}. Grey: a model that knows nothing."
    if data.positives is None:
        words = words.replace("Grey: a", "Grey, ROC only: a")
    figure = new_figure(title, (words, missing), 12.4, max(5.2, 1.6 + 0.4 * len(data.curves)))
    roc, pr = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2)
    for curve in data.curves:
        _draw_curve(roc, curve, curve.roc)
        _draw_curve(pr, curve, curve.pr)
    roc.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1, gid="chance")
    if data.positives is not None:
        pr.axhline(data.positives, color=MUTED, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1, gid="chance")
    _dress_square(roc, "ROC", "False positive rate", "True positive rate (recall)")
    _dress_square(pr, "Precision and recall", "Recall", "Precision")
    lines = [line for line in roc.lines if line.get_gid() == "curve"]
    keys = [_areas(curve) for curve in data.curves]
    pr.legend(lines, keys, loc="upper left", bbox_to_anchor=(1.03, 1.0), borderaxespad=0, labelspacing=0.7)
    return figure


def _areas(curve: ScoreCurve) -> str:
    return f"{short_name(curve.name)}\nAUC {units.share(curve.auc)}, AP {units.share(curve.average_precision)}"


def _draw_curve(ax: Axes, curve: ScoreCurve, points: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    ax.plot(*points, color=COLOURS[curve.colour % len(COLOURS)], linewidth=1.6, gid="curve", zorder=3, clip_on=False,
            linestyle=_DASHES[curve.colour // len(COLOURS) % len(_DASHES)])  # fmt: skip


def _dress_square(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontweight="bold")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    ax.set_aspect("equal")
    ax.grid(color=GRID)
    ax.tick_params(length=3)
