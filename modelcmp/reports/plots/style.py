"""Colours, fonts, axes: what all pictures share. Imported only when something is drawn."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from matplotlib import style, ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .data import Axis

INK, MUTED, GRID, PAPER = "#1f2328", "#6a7178", "#e4e7ea", "#ffffff"
# Okabe and Ito's palette, colour-blind safe, then four of Paul Tol's.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288",
           "#999933", "#882255", "#44aa99", "#b5a642", "#777777")  # fmt: skip
ZONE_COLOURS = ("#fbeee6", PAPER, "#e6f3ee")  # memory-bound, balanced, compute-bound
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
DPI = 160
LONGEST_NAME = 46

_RC: dict[str, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
    "font.size": 9,
    "text.color": INK,
    "text.usetex": False,
    "text.parse_math": False,  # a model's name may hold dollars
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.unicode_minus": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "modelcmp",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Our settings over matplotlib's own defaults, whatever the user's; undone at the end."""
    with style.context(["default", _RC]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in a png; a browser has other fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(title: str, captions: Sequence[str], width: float, height: float) -> Figure:
    """An empty figure with its title above and its captions below, all on the left."""
    frame = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=frame, facecolor=PAPER)
    FigureCanvasAgg(figure)
    if title:
        text = textwrap.fill(printable(title), round(width * 8.5))
        figure.suptitle(text, x=0.012, ha="left", fontsize=13, fontweight="bold")
    text = "\n".join(wrapped(c, width) for c in captions if c)
    if text:
        figure.supxlabel(text, x=0.012, ha="left", fontsize=8.5, color=MUTED, gid="caption")
    return figure


def wrapped(text: str, width: float) -> str:
    """A caption in lines that fit a figure of so many inches."""
    return textwrap.fill(printable(text), round(width * 13.5))


def printable(text: str) -> str:
    """Text without the control characters and lone surrogates that no file format can hold."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def short_name(name: str) -> str:
    """A name that fits: its middle left out where it is too long.

    >>> short_name("a/very/long/path/to/the/folder/with/the/models/net.py:build")
    'a/very/long/path/to/the…th/the/models/net.py:build'
    """
    name = printable(name)
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME + 4 else f"{name[:half]}…{name[-half - 3 :]}"


def limits(values: Sequence[float], log: bool, margins: tuple[float, float]) -> tuple[float, float]:
    """Ends of an axis that leave ``margins`` (shares of the span) free below and above the values."""
    low, high = (math.log(min(values)), math.log(max(values))) if log else (min(values), max(values))
    # Three digits a tick: a narrower span would write the same text on each.
    span = max(high - low, 0.0 if log else 0.08 * max(abs(low), abs(high))) or 1.0
    middle, (below, above) = (low + high) / 2, margins
    ends = middle - span * (0.5 + below), middle + span * (0.5 + above)
    return (math.exp(ends[0]), math.exp(ends[1])) if log else ends


def log_ticks(low: float, high: float, most: int = 9) -> list[float]:
    """Round values on a logarithmic axis: as many of 1, 2, 5 in each decade as stay readable.

    >>> log_ticks(30, 700), log_ticks(1, 1e6)
    ([50.0, 100.0, 200.0, 500.0], [1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0, 1000000.0])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{s}e{d}") for d in decades for s in steps if low <= float(f"{s}e{d}") <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def dress(ax: Axes, which: Literal["x", "y"], axis: Axis, ends: tuple[float, float]) -> None:
    """Scale one axis of a plot, with ticks in the product's own units and a light grid."""
    getattr(ax, f"set_{which}scale")("log" if axis.log else "linear")
    getattr(ax, f"set_{which}lim")(*ends)
    lines = ax.xaxis if which == "x" else ax.yaxis
    if axis.log:
        lines.set_major_locator(ticker.FixedLocator(log_ticks(*ends)))
    else:
        lines.set_major_locator(ticker.MaxNLocator(7, steps=[1, 2, 2.5, 5, 10], integer=axis.metric.unit == "count"))
    lines.set_minor_locator(ticker.NullLocator())
    lines.set_major_formatter(ticker.FuncFormatter(lambda value, _: axis.tick(value)))
    ax.grid(axis=which)
    ax.tick_params(axis=which, length=3)


def direction(axis: Axis, arrows: tuple[str, str] = ("←", "→")) -> str:
    """The axis label, with an arrow to the better end."""
    if axis.better is None:
        return printable(axis.label)
    words = f"{printable(axis.label)} ({axis.better}er is better)"
    return f"{arrows[0]} {words}" if axis.better == "low" else f"{words} {arrows[1]}"
