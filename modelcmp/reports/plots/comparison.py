"""The four pictures of a comparison of trained models. matplotlib is imported only when they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BadInput
from ...files import write_whole
from ...training.results import RunResult
from .saving import rendered
from .training import confusions, metric_bars, score_curves, training_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = (
    "comparison_training_curves.png", "comparison_metrics.png", "comparison_confusion_matrices.png",
    "comparison_roc_curves.png",
)  # fmt: skip
_HEADINGS = ("Training", "Evaluation", "Confusion matrices", "ROC and precision-recall curves")


def draw_comparison(results: Sequence[RunResult], folder: Path, title: str = "") -> list[Path]:
    """Draw all four pictures into a folder, each written whole or not at all.

    ``title`` stands behind each heading. What a model lacks (a history, a curve) is said in the picture.
    Raises BadInput without results and OutputError where a file cannot be written.
    """
    if not results:
        raise BadInput("there is no trained model to draw")
    from .style import house_style

    written = []
    for name, heading, make in zip(NAMES, _HEADINGS, _makers(results), strict=True):
        with house_style():
            figure = make(f"{heading}: {title}" if title else heading)
            write_whole(folder / name, rendered(figure, "png"))
        written.append(folder / name)
    return written


def _makers(results: Sequence[RunResult]) -> tuple[Callable[[str], Figure], ...]:
    """What draws each picture under a heading."""
    from .draw_evaluation import draw_confusions, draw_score_curves
    from .draw_training import draw_metric_bars, draw_training_curves

    return (
        lambda heading: draw_training_curves(training_curves(results), heading),
        lambda heading: draw_metric_bars(metric_bars(results), heading),
        lambda heading: draw_confusions(confusions(results), heading),
        lambda heading: draw_score_curves(score_curves(results), heading),
    )
