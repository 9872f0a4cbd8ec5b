"""Drawing groups of runs over their seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .draw_training import empty_picture, missing_words
from .seeds import BOX_FROM, Band, BandPoint, LearningBands, SeedStrips, Strip
from .style import COLOURS, GRID, INK, MARKERS, MUTED, new_figure, short_name
from .sweep_axis import arrowed, label_of, value_text
from .sweep_draw import dress_figure

_TALL = 0.28  # of the rows that points of one group spread over
_SHARE_BESIDE = 0.6  # of an epoch that groups of one epoch spread over
_DOTTED_UP_TO = 3  # epochs that are drawn as points too: a line of one has no length


# -- each run a point -----------------------------------------------------------------------------


def draw_strips(data: SeedStrips, title: str) -> Figure:
    """One row a group: runs as points, their mean ± one standard deviation, a box where seeds are many."""
    strips = [s for _, row in data.panels for s in row]
    if not any(s.points for s in strips):
        return empty_picture(title, (_lost_words(strips),), "no run has these figures")
    words = "Points: runs."
    if any(s.std is not None for s in strips):
        words += " Diamond and bar: their mean ± one standard deviation (n - 1)."
    if any(len(s.points) == 1 for s in strips):
        words += " A single run has no spread: that needs two seeds."
    if any(s.quartiles for s in strips):
        words += f" Box: quartiles, from {BOX_FROM} runs on."
    height = 1.8 + 0.44 * len(data.names)
    figure = new_figure(title, (words, _lost_words(strips)), 2.6 + 4.4 * len(data.panels), height)
    for k, (key, row) in enumerate(data.panels):
        ax = figure.add_subplot(1, len(data.panels), k + 1)
        _draw_rows(ax, key, row)
        names = [f"{short_name(s.name)}\n{_count(s)}" for s in row]
        ax.set_yticks(range(len(row)), names if k == 0 else [""] * len(row))
    return figure


def _count(strip: Strip) -> str:
    """``4 runs``, or ``1 of 4 runs`` where others have no figure."""
    runs = len(strip.points) + sum(strip.missing.values())
    of = f"{len(strip.points)} of " if strip.missing else ""
    return f"{of}{runs} run" + "s" * (runs != 1)


def _lost_words(strips: Sequence[Strip]) -> str:
    """A caption that counts what has no point."""
    found = {s.name: s.missing for s in reversed(strips) if s.missing}
    parts = [f"{short_name(n)} ({', '.join(f'{c} {state}' for state, c in m.items())})" for n, m in found.items()]
    return f"Without a figure: {', '.join(reversed(parts))}." if parts else ""


def _draw_rows(ax: Axes, key: str, row: Sequence[Strip]) -> None:
    values = [v for s in row for _, v in s.points]
    ends = [s.mean + sign * s.std for s in row if s.mean is not None and s.std for sign in (-1, 1)]
    if values:
        dress_figure(ax, "x", key, values + ([e for e in ends if e > 0] if min(values) > 0 else ends))
    for i, strip in enumerate(row):
        _draw_strip(ax, key, i, strip)
    ax.set_ylim(len(row) - 0.5, -0.5)
    ax.set_title(label_of(key), loc="left", fontweight="bold")
    ax.set_xlabel(arrowed(key))
    ax.tick_params(axis="y", length=0)


def _draw_strip(ax: Axes, key: str, i: int, strip: Strip) -> None:
    colour = COLOURS[i % len(COLOURS)]
    spread = np.linspace(-_TALL, _TALL, len(strip.points)) if len(strip.points) > 1 else [0.0]
    if strip.quartiles:
        _draw_box(ax, i, strip.quartiles)
    values = [v for _, v in strip.points]
    size, alpha = (20, 0.65) if len(values) > 1 else (44, 1.0)
    ax.scatter(values, [i + s for s in spread[: len(values)]], s=size, color=colour, alpha=alpha, linewidths=0,
               zorder=3, gid="runs")  # fmt: skip
    if strip.mean is None:
        ax.annotate("no figure", xy=(0.02, i), xycoords=("axes fraction", "data"), va="center", color=MUTED, fontsize=8)
        return
    ax.annotate(value_text(key, strip.mean, strip.std), xy=(1.0, i), xycoords=("axes fraction", "data"),
                xytext=(6, 0), textcoords="offset points", va="center", fontsize=8.5, gid="value",
                annotation_clip=False)  # fmt: skip
    if strip.std is not None:
        _draw_mean(ax, i, colour, strip.mean, strip.std)


def _draw_mean(ax: Axes, i: int, colour: str, mean: float, std: float) -> None:
    """A diamond on a bar of one standard deviation to each side."""
    ax.plot([mean - std, mean + std], [i, i], color=INK, linewidth=1.4, marker="|", markersize=8, zorder=4,
            gid="std")  # fmt: skip
    ax.plot(mean, i, marker="D", markersize=5.5, color=colour, markeredgecolor=INK, markeredgewidth=1.0, zorder=5,
            gid="mean")  # fmt: skip


def _draw_box(ax: Axes, i: int, quartiles: tuple[float, float, float]) -> None:
    low, middle, high = quartiles
    ax.barh(i, high - low, left=low, height=2.5 * _TALL, facecolor=GRID, edgecolor=MUTED, linewidth=0.8, zorder=1.5,
            gid="box")  # fmt: skip
    ax.plot([middle] * 2, [i - 1.25 * _TALL, i + 1.25 * _TALL], color=MUTED, linewidth=1.2, zorder=2, gid="median")


# -- over epochs ----------------------------------------------------------------------------------


def draw_bands(data: LearningBands, title: str) -> Figure:
    """One panel a figure: the mean over seeds, in a band of one standard deviation."""
    bands = [b for _, row in data.panels for b in row]
    broken = ", ".join(f"{short_name(name)} ({count})" for name, count in data.broken.items())
    said = f"Left out, because they diverged or failed: {broken}." if broken else ""
    missing = missing_words(data.missing, "history")
    if not bands:
        return empty_picture(title, (said, missing), "no run finished an epoch")
    words = _band_words(bands)
    if any(len(b.whole) < len(b.points) for b in bands):
        words += " Dotted: over the seeds that were still training, others had stopped."
    tall = max(4.6, 1.8 + 0.2 * len({b.name for b in bands}))
    figure = new_figure(title, (words, said, missing), 2.4 + 4.1 * len(data.panels), tall)
    for k, (key, row) in enumerate(data.panels):
        _draw_panel(figure.add_subplot(1, len(data.panels), k + 1), key, row)
    seen = {b.name: b for b in reversed(bands)}
    keys = [_key(b) for b in sorted(seen.values(), key=lambda b: b.colour)]
    figure.axes[-1].legend(handles=keys, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0)
    return figure


def _band_words(bands: Sequence[Band]) -> str:
    """What is drawn: lines or single points, bands or bars."""
    means = _either("Lines", "points", [len(b.points) for b in bands])
    spreads = _either("Bands", "bars", [len(_spread(b)) for b in bands])
    seeds = "mean over seeds" if any(b.runs > 1 for b in bands) else "one seed each, so that there is no spread"
    return f"{means}: {seeds}." + (f" {spreads}: ± one standard deviation (n - 1)." if spreads else "")


def _either(many: str, one: str, epochs: Sequence[int]) -> str:
    """The word for several epochs, for a single one, or both; "" for none."""
    found = [many] * any(n > 1 for n in epochs) + [one] * any(n == 1 for n in epochs)
    return " and ".join(found).capitalize()


def _spread(band: Band) -> list[BandPoint]:
    return [p for p in band.points if p.std is not None]


def _draw_panel(ax: Axes, key: str, row: Sequence[Band]) -> None:
    ax.set_title(_title(key), loc="left", fontweight="bold")
    ax.set_xlabel("Epoch")
    ax.grid(color=GRID)
    if not row:
        ax.annotate("not measured", xy=(0.5, 0.5), xycoords="axes fraction", ha="center", color=MUTED)
        return
    means = [p.mean for b in row for p in b.points]
    edges = [p.mean + sign * (p.std or 0.0) for b in row for p in b.points for sign in (-1, 1)]
    log = dress_figure(ax, "y", key, means)
    if not log:
        share = key.endswith("accuracy")
        dress_figure(ax, "y", "val_accuracy" if share else "val_loss", [min(1.0, e) for e in edges] if share else edges)
    epochs = [p.epoch for b in row for p in b.points]
    beside = _SHARE_BESIDE / len(row) if len(set(epochs)) == 1 else 0.0
    for i, band in enumerate(row):
        _draw_band(ax, band, ax.get_ylim()[0] if log else None, beside * (i - (len(row) - 1) / 2))
    ax.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def _title(key: str) -> str:
    split, _, what = key.partition("_")
    return f"{ {'train': 'Training', 'val': 'Validation'}.get(split, split) } {what}" if what else key


def _colour(band: Band) -> str:
    return COLOURS[band.colour % len(COLOURS)]


def _marker(band: Band) -> str:
    """A shape for groups that share a colour with an earlier one."""
    again = band.colour // len(COLOURS)
    return MARKERS[again % len(MARKERS)] if again else ""


def _draw_band(ax: Axes, band: Band, floor: float | None, beside: float) -> None:
    """The band, the line over all runs, and dotted what is of fewer; of one epoch a bar and a point.

    ``floor``: what a logarithmic axis begins at; ``beside``: by how many epochs it is moved.
    """
    spread = _spread(band)
    lows = [p.mean - (p.std or 0.0) for p in spread]
    highs = [p.mean + (p.std or 0.0) for p in spread]
    lows = lows if floor is None else [max(low, floor) for low in lows]
    if len(spread) == 1:  # a band of one epoch has no width
        ax.plot([spread[0].epoch + beside] * 2, [lows[0], highs[0]], color=_colour(band), linewidth=1.4, marker="_",
                markersize=8, zorder=2.5, gid="bar")  # fmt: skip
    elif spread:
        ax.fill_between([p.epoch + beside for p in spread], lows, highs, color=_colour(band), alpha=0.16, linewidth=0,
                        zorder=2, gid="band")  # fmt: skip
    whole = band.whole
    dots = _marker(band) or ("o" if len(band.points) <= _DOTTED_UP_TO else "")
    parts = ((whole, "solid"), (band.points[max(0, len(whole) - 1) :] if len(whole) < len(band.points) else (), ":"))
    for points, dash in parts:
        if points:
            ax.plot([p.epoch + beside for p in points], [p.mean for p in points], color=_colour(band), linewidth=1.7,
                    linestyle=dash, marker=dots, markersize=4.5, markevery=max(1, len(points) // 8), zorder=3,
                    gid="mean")  # fmt: skip


def _key(band: Band) -> Line2D:
    left = band.points[-1].runs
    fewer = f", {left} to the end" if left < band.runs else ""
    words = f"{short_name(band.name)} ({band.runs} seed{'s' * (band.runs != 1)}{fewer})"
    single = len(band.points) == 1
    return Line2D([], [], color=_colour(band), linewidth=0 if single else 1.8,
                  marker=_marker(band) or ("o" if single else ""), markersize=5, label=words)  # fmt: skip
