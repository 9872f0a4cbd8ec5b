"""Data of the diagram of groups that can or cannot be told apart, in the manner of critical-difference diagrams.

After Demšar, *Statistical Comparisons of Classifiers over Multiple Data Sets*, JMLR 2006: groups by their mean, and a
bar over each set of groups between which no difference was found. Rows in place of a line have room for long names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import BadInput
from ...files import write_whole
from ...sweeps.statistics.records import Significance, Spread
from .saving import rendered


@dataclass(frozen=True, slots=True)
class Bar:
    """Groups that share a letter: none of them can be told from another."""

    letter: str
    rows: tuple[int, ...]  # of its groups, from the top


@dataclass(frozen=True, slots=True)
class Diagram:
    """Groups from the best down, and the bars that join them."""

    significance: Significance
    rows: tuple[Spread, ...]  # best first, those without the figure last
    bars: tuple[Bar, ...]  # of two groups and more


def diagram(significance: Significance) -> Diagram:
    """Rows and bars of the diagram."""
    rows = tuple(sorted(significance.spreads, key=lambda s: _place(s, significance.better)))
    bars = (Bar(letter, members) for letter, members in _members(rows, significance.letters).items())
    return Diagram(significance, rows, tuple(sorted((b for b in bars if len(b.rows) > 1), key=lambda b: b.rows)))


def _place(spread: Spread, better: str) -> tuple[bool, float]:
    mean = spread.mean
    return mean is None, 0.0 if mean is None else -mean if better == "high" else mean


def _members(rows: tuple[Spread, ...], letters: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    """Rows of each letter; a group without the figure belongs to none."""
    found: dict[str, tuple[int, ...]] = {}
    for i, spread in enumerate(rows):
        for letter in letters.get(spread.name, "") if spread.mean is not None else "":
            found[letter] = (*found.get(letter, ()), i)
    return found


def save_diagram(significance: Significance, path: Path, title: str = "") -> None:
    """Draw the diagram into a png or svg file; raises BadInput for another suffix or without groups, OutputError."""
    kind = path.suffix.lower()[1:]
    if kind not in ("png", "svg"):
        raise BadInput(f"cannot draw into {path}: end its name in .png or .svg")
    if not significance.spreads:
        raise BadInput("there is no group of runs to draw")
    from .significance_draw import draw_diagram
    from .style import house_style

    with house_style():
        write_whole(path, rendered(draw_diagram(diagram(significance), title), kind))
