"""Drawing which groups can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, blended_transform_factory

from ...sweeps.statistics.records import CONFIGURED, Spread
from ...training.summary import RANK_KEYS
from ..significance_words import possible
from .draw_training import empty_picture
from .significance import Bar, Diagram
from .style import COLOURS, INK, MUTED, new_figure, short_name, wrapped
from .sweep_axis import arrowed, is_share, label_of, value_text, wants_log
from .sweep_draw import dress_figure

_GAP = 0.16  # inches between the plot and the first bar
_STEP = 0.2  # and between bars


def draw_diagram(data: Diagram, title: str = "") -> Figure:
    """Means with their intervals, one row a group, and beside them bars over what cannot be told apart."""
    made = data.significance
    title = title or f"{label_of(made.metric)}: what can be told apart"
    known = [s for s in data.rows if s.mean is not None]
    if not known:
        return empty_picture(title, (), "no group has this figure")
    whiskers = f"Whiskers: {100 * made.confidence:g} % intervals of the mean over seeds."
    bars = f"Bars on the right join groups that cannot be told apart (Holm-adjusted p > {made.alpha:g})."
    none = f"All groups can be told apart (Holm-adjusted p ≤ {made.alpha:g})." if len(known) > 1 else ""
    if made.metric in CONFIGURED:
        whiskers, bars, none = "", "Bars on the right join groups that are equal.", ""
    notes = (*_cut_note(data), *made.notes)
    words = tuple(w for w in (f"{whiskers} {bars if data.bars else none}".strip(), *notes) if w)
    width = 8.4 + _STEP * len(data.bars)
    lines = sum(1 + wrapped(word, width).count("\n") for word in words)
    figure = new_figure(title, words, width, 1.4 + 0.34 * len(data.rows) + 0.16 * lines)
    ax = figure.add_subplot()
    _draw_means(ax, data)
    _draw_bars(ax, data)
    return figure


def _draw_means(ax: Axes, data: Diagram) -> None:
    metric = data.significance.metric
    known = [s for s in data.rows if s.mean is not None]
    shown = [v for s in known for v in (s.mean, *_whisker(s)) if v is not None]
    positive = [v for v in shown if v > 0] if min(s.mean or 0 for s in known) > 0 else []
    log = dress_figure(ax, "x", metric, positive if wants_log(positive, metric) else shown)
    if is_share(metric):
        ax.set_xlim(possible(*ax.get_xlim(), RANK_KEYS[metric]))
    floor = ax.get_xlim()[0] if log else None
    for i, spread in enumerate(data.rows):
        if spread.mean is None:
            lost = ", ".join(f"{n} {state}" for state, n in spread.missing.items())
            ax.annotate(f"no figure ({lost})" if lost else "no figure", xy=(0.02, i), va="center", color=MUTED,
                        xycoords=("axes fraction", "data"), fontsize=8.5, gid="missing")  # fmt: skip
            continue
        if ends := _whisker(spread):
            low = ends[0] if floor is None else max(ends[0], floor)
            ax.plot([low, ends[1]], [i, i], color=INK, linewidth=1.3, marker="|", markersize=7, zorder=3,
                    clip_on=False, gid="interval")  # fmt: skip
        ax.plot(spread.mean, i, marker="o", markersize=7, color=COLOURS[0], markeredgecolor="white",
                markeredgewidth=0.8, zorder=4, clip_on=False, gid="mean")  # fmt: skip
    ax.set_yticks(range(len(data.rows)), [short_name(s.name) for s in data.rows])
    ax.set_ylim(len(data.rows) - 0.5, -0.5)
    ax.set_xlabel(arrowed(metric))
    ax.tick_params(axis="y", length=0)


def _whisker(spread: Spread) -> tuple[()] | tuple[float, float]:
    """The interval of a mean as far as the figure can be; none of what no seed moves."""
    if spread.low is None or spread.high is None or spread.metric in CONFIGURED:
        return ()
    return possible(spread.low, spread.high, RANK_KEYS[spread.metric])


def _cut_note(data: Diagram) -> tuple[str, ...]:
    if all(_whisker(s) in ((), (s.low, s.high)) for s in data.rows):
        return ()
    return ("Cut at 0 and 100 %: after few seeds Student's intervals can be wider than a share can be.",)


def _draw_bars(ax: Axes, data: Diagram) -> None:
    """One column a bar right of the plot, then the means as text."""
    for k, bar in enumerate(data.bars):
        _draw_bar(ax, bar, k)
    for i, spread in enumerate(data.rows):
        if spread.mean is not None:
            words = value_text(data.significance.metric, spread.mean, spread.std)
            runs = f"  (n = {len(spread.values)})" if spread.values else ""
            ax.annotate(words + runs, xy=(1.0, i), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
                        xytext=(72 * (_GAP + _STEP * len(data.bars)), 0), textcoords="offset points", gid="value",
                        annotation_clip=False)  # fmt: skip


def _draw_bar(ax: Axes, bar: Bar, k: int) -> None:
    """Thick over its groups, a thin line past one that is none of them, its letter above."""
    colour = INK if k % 2 == 0 else MUTED
    shift = ScaledTranslation(_GAP + _STEP * k, 0, ax.figure.dpi_scale_trans)
    place = blended_transform_factory(ax.transAxes + shift, ax.transData)
    first, last = bar.rows[0], bar.rows[-1]
    ax.plot([1, 1], [first, last], color=colour, linewidth=0.9, transform=place, clip_on=False, gid="bar-line")
    for start, end in _stretches(bar.rows):
        ax.plot([1, 1], [start - 0.22, end + 0.22], color=colour, linewidth=4.2, transform=place, clip_on=False,
                solid_capstyle="round", gid="bar")  # fmt: skip
    ax.annotate(bar.letter, xy=(1.0, first - 0.3), xycoords=place, xytext=(0, 2), textcoords="offset points",
                ha="center", va="bottom", fontsize=8, color=colour, gid="letter", annotation_clip=False)  # fmt: skip


def _stretches(rows: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours.

    >>> _stretches([0, 1, 3, 5, 6])
    [(0, 1), (3, 3), (5, 6)]
    """
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and found[-1][1] == row - 1:
            found[-1] = found[-1][0], row
        else:
            found.append((row, row))
    return found
