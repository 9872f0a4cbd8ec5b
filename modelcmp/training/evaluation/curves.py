"""ROC and precision-recall curves: of one class, averaged over classes, and thinned for keeping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_POINTS = 200
_FEWEST_POINTS = 20
_ALL_POINTS = 4_000  # of all classes of one kind of curve together


@dataclass(frozen=True, eq=False)
class ClassCurves:
    """One class against the rest, with both areas: fpr and tpr rise, recall falls and precision goes with it."""

    fpr: Floats
    tpr: Floats
    recall: Floats
    precision: Floats
    auc: float
    average_precision: float


def class_curves(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> ClassCurves | None:
    """Curves of scores (N,) for a truth (N,), by scikit-learn; None where all are positive, or none is."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    if positive.all() or not positive.any():
        return None
    fpr, tpr, _ = roc_curve(positive, scores)
    precision, recall, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
    area = float(average_precision_score(positive, scores))
    return ClassCurves(fpr, tpr, recall, precision, float(auc(fpr, tpr)), area)


def points_per_class(classes: int) -> int:
    """How many points a class's curve keeps: fewer where there are many classes."""
    return max(_FEWEST_POINTS, min(MOST_POINTS, _ALL_POINTS // classes))


def thinned(x: Floats, y: Floats, most: int = MOST_POINTS) -> tuple[list[float], list[float]]:
    """At most so many points of a curve, both ends among them, evenly spaced along it."""
    if len(x) > most:
        along = np.r_[0.0, np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))]
        nearest = np.searchsorted(along, np.linspace(0.0, along[-1], most))
        keep = np.unique(np.r_[0, np.minimum(nearest, len(x) - 1), len(x) - 1])
        keep = keep if len(keep) <= most else np.r_[keep[: most - 1], keep[-1]]
        x, y = x[keep], y[keep]
    return x.tolist(), y.tolist()


def macro_roc(curves: Sequence[ClassCurves]) -> tuple[list[float], list[float]]:
    """The mean true positive rate at each false positive rate (Fawcett, 2006, section 10.1)."""
    grid = np.linspace(0.0, 1.0, MOST_POINTS - 1)
    mean = np.mean([np.interp(grid, c.fpr, c.tpr) for c in curves], axis=0)
    return [0.0, *grid.tolist()], [0.0, *mean.tolist()]


def macro_pr(curves: Sequence[ClassCurves]) -> tuple[list[float], list[float]]:
    """The mean precision at each recall, in steps as average precision sums them: recall rises here too."""
    grid = np.linspace(0.0, 1.0, MOST_POINTS)
    mean = np.mean([_precision_at(c, grid) for c in curves], axis=0)
    return grid.tolist(), mean.tolist()


def _precision_at(curve: ClassCurves, recalls: Floats) -> Floats:
    """Precision where each recall is first reached."""
    rising, precision = curve.recall[::-1], curve.precision[::-1]
    first = np.searchsorted(rising, np.maximum(recalls, np.nextafter(0.0, 1.0)))
    return np.asarray(precision[np.minimum(first, len(rising) - 1)], np.float64)
