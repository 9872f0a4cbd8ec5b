"""The two pictures of a diff. matplotlib is imported only when they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...diffing.records import RunDiff
from ...files import write_whole
from ..diff_words import COMPARABLE
from .diff import diff_curves
from .diff_heat import heat_map
from .saving import rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES_NAME, HEAT_NAME = "model_comparison.png", "layer_heatmap.png"


def draw_diff(diff: RunDiff, folder: Path) -> list[Path]:
    """Draw both into a folder, each written whole or not at all; what is missing is said in the picture.

    Raises OutputError where a file cannot be written.
    """
    from .style import house_style

    written = []
    for name, make in _makers(diff).items():
        with house_style():
            write_whole(folder / name, rendered(make(), "png"))
        written.append(folder / name)
    return written


def _makers(diff: RunDiff) -> dict[str, Callable[[], Figure]]:
    """What draws each picture."""
    from .diff_draw import draw_diff_curves
    from .diff_heat_draw import draw_heat_map

    heat = heat_map(diff)
    comparable = diff.verdict.status in COMPARABLE
    title = "Comparison of two runs"
    if not comparable:
        title += f": {'nothing in common' if not diff.pairs else 'the weights are not comparable'}"
    per = "Norm ratio" if heat.norms else "Relative L2"
    return {
        CURVES_NAME: lambda: draw_diff_curves(diff_curves(diff), title),
        HEAT_NAME: lambda: draw_heat_map(heat, f"{per} of the {heat.what}, tensor by tensor"),
    }
