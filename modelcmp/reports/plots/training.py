"""Data of the pictures of trained models. Figures that are not finite are None: a picture has no place for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...training.results import RunResult
from ...training.summary import BROKEN, unique_names

Split = Literal["val", "test"]
Series = tuple[float | None, ...]
SPLIT_WORDS = {"val": "validation split", "test": "test split"}
#: Panels of the picture of figures: key and title.
FIGURES = (("accuracy", "Accuracy"), ("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("auc", "AUC"))


def number(value: Any) -> float | None:
    """A finite number, else None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def split_of(results: Sequence[RunResult]) -> Split:
    """The split that pictures are of: test where any run was evaluated on it, else validation."""
    return "test" if any(r.test for r in results) else "val"


def found_on(result: RunResult, split: Split) -> Mapping[str, Any]:
    """What was evaluated on a split; nothing where it was not, and for a model that diverged or failed."""
    return {} if result.status in BROKEN else getattr(result, split) or {}


# -- over epochs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lines:
    """One model over its epochs."""

    name: str
    colour: int  # its place among all models: the same in each picture
    status: str
    epochs: tuple[float, ...]
    series: Mapping[str, Series]  # train_loss, val_loss, train_accuracy, val_accuracy
    best_epoch: int | None

    def points(self, key: str) -> list[tuple[float, float]]:
        """Epochs and values that are finite."""
        pairs = zip(self.epochs, self.series[key], strict=True)
        return [(epoch, value) for epoch, value in pairs if value is not None]


@dataclass(frozen=True, slots=True)
class TrainingCurves:
    """All models over their epochs; those without a single finite figure are named instead."""

    lines: tuple[Lines, ...]
    missing: tuple[str, ...]

    def values(self, kind: Literal["loss", "accuracy"]) -> list[float]:
        """Every finite figure of a kind."""
        return [v for line in self.lines for split in ("train", "val") for _, v in line.points(f"{split}_{kind}")]

    @property
    def log_loss(self) -> bool:
        """Whether losses span so much that only logarithms show them."""
        losses = self.values("loss")
        return bool(losses) and min(losses) > 0 and max(losses) > 30 * min(losses)


_SERIES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")


def training_curves(results: Sequence[RunResult]) -> TrainingCurves:
    """Loss and accuracy over epochs."""
    named = zip(unique_names(results), results, strict=True)
    lines = [_lines(name, i, r) for i, (name, r) in enumerate(named)]
    shown = [line for line in lines if any(line.points(key) for key in _SERIES)]
    return TrainingCurves(tuple(shown), tuple(line.name for line in lines if line not in shown))


def _lines(name: str, colour: int, result: RunResult) -> Lines:
    epochs = tuple(float(row.get("epoch", i)) for i, row in enumerate(result.history, 1))
    series = {key: tuple(number(row.get(key)) for row in result.history) for key in _SERIES}
    return Lines(name, colour, result.status, epochs, series, result.best_epoch)


# -- figures --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure of one model, with the ends of its interval; None where it is unknown."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class MetricBars:
    """Figures of all models: ``panels`` has one row of bars a figure, in the order of ``names``."""

    names: tuple[str, ...]
    panels: tuple[tuple[str, tuple[Bar, ...]], ...]
    split: Split
    missing: tuple[str, ...]


def metric_bars(results: Sequence[RunResult]) -> MetricBars:
    """The FIGURES of all models on one split, with their intervals."""
    split, names = split_of(results), unique_names(results)
    found = [found_on(r, split) for r in results]
    panels = tuple((title, tuple(_bar(f, key) for f in found)) for key, title in FIGURES)
    missing = tuple(n for i, n in enumerate(names) if all(bars[i].value is None for _, bars in panels))
    return MetricBars(tuple(names), panels, split, missing)


def _bar(found: Mapping[str, Any], key: str) -> Bar:
    low, high = (found.get("intervals") or {}).get(key) or (None, None)
    return Bar(number(found.get(key)), number(low), number(high))


# -- confusion ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confusion:
    """One model's confusion matrix: rows are true classes."""

    name: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def shares(self) -> list[list[float]]:
        """Each count over its row's sum; 0 in a row without examples."""
        return [[count / (sum(row) or 1) for count in row] for row in self.counts]


@dataclass(frozen=True, slots=True)
class Confusions:
    """One panel a model; those without a matrix are named instead."""

    panels: tuple[Confusion, ...]
    split: Split
    missing: tuple[str, ...]


def confusions(results: Sequence[RunResult]) -> Confusions:
    """Confusion matrices of all models on one split."""
    split, names = split_of(results), unique_names(results)
    matrices = [found_on(r, split).get("confusion") for r in results]
    panels = [
        Confusion(name, tuple(found_on(r, split).get("classes", r.classes)), tuple(map(tuple, matrix)))
        for name, r, matrix in zip(names, results, matrices, strict=True)
        if matrix
    ]
    missing = tuple(name for name, matrix in zip(names, matrices, strict=True) if not matrix)
    return Confusions(tuple(panels), split, missing)


# -- ROC and PR -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScoreCurve:
    """One model's ROC and precision-recall curves with their areas."""

    name: str
    colour: int  # its place among all models: the same in each picture
    roc: tuple[tuple[float, ...], tuple[float, ...]]  # false and true positive rates
    pr: tuple[tuple[float, ...], tuple[float, ...]]  # recall and precision
    auc: float | None
    average_precision: float | None


@dataclass(frozen=True, slots=True)
class ScoreCurves:
    """Curves of all models that have any; the others are named instead."""

    curves: tuple[ScoreCurve, ...]
    split: Split
    average: str  # "macro", or the positive class
    positives: float | None  # its share: what a model without knowledge has as precision
    missing: tuple[str, ...]


def score_curves(results: Sequence[RunResult]) -> ScoreCurves:
    """ROC and precision-recall curves on one split: of the positive class, or averaged over classes."""
    split, names = split_of(results), unique_names(results)
    found = [found_on(r, split) for r in results]
    curves = [_score_curve(name, i, f) for i, (name, f) in enumerate(zip(names, found, strict=True)) if f.get("roc")]
    shown = {c.name for c in curves}
    averages = sorted({f["roc"].get("average", "macro") for f in found if f.get("roc")})
    shares = {_positives(f) for f in found if f.get("roc")}
    return ScoreCurves(
        tuple(curves), split, " and ".join(averages), shares.pop() if len(shares) == 1 else None,
        tuple(n for n in names if n not in shown),
    )  # fmt: skip


def _score_curve(name: str, colour: int, found: Mapping[str, Any]) -> ScoreCurve:
    roc, pr = found["roc"], found.get("pr") or {"recall": (), "precision": ()}
    return ScoreCurve(
        name, colour, (tuple(roc["fpr"]), tuple(roc["tpr"])), (tuple(pr["recall"]), tuple(pr["precision"])),
        number(found.get("auc")), number(found.get("average_precision")),
    )  # fmt: skip


def _positives(found: Mapping[str, Any]) -> float | None:
    """Share of the positive class, None where the task has none."""
    supports = [row.get("support") or 0 for row in (found.get("per_class") or {}).values()]
    return supports[1] / sum(supports) if found.get("binary") and len(supports) == 2 and sum(supports) else None
