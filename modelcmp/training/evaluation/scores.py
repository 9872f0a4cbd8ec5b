"""Every figure of a model's predictions, with intervals, as plain data. docs/evaluation.md defines each key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from .bootstrap import bootstrap
from .calibration import brier_terms, calibration_error
from .curves import ClassCurves, class_curves, macro_pr, macro_roc, points_per_class, thinned
from .predictions import Predictions

#: Figures of the whole split; each is a number or None.
FIGURES = (
    "loss", "accuracy", "top5", "precision", "recall", "f1", "auc", "average_precision", "calibration_error", "brier",
)  # fmt: skip
#: Figures of one class against the rest; ``support`` is how many examples it has.
CLASS_FIGURES = ("precision", "recall", "f1", "auc", "average_precision", "support")
#: With more classes than this the confusion matrix and the curves of single classes are left out.
MOST_CLASSES = 256
_TOP = 5

Row = dict[str, Any]


def evaluate(p: Predictions, *, resamples: int = 1000, seed: int = 0, confidence: float = 0.95) -> dict[str, Any]:
    """Every figure of a split as data that JSON holds: shares from 0 to 1, loss in nats, None for undefined.

    Keys: ``examples``; ``binary``; ``classes``; the FIGURES (of the positive class at p > 0.5 where binary, else
    the mean over the classes that the targets hold); ``per_class`` (name: CLASS_FIGURES); ``confusion`` (rows are
    true); ``roc`` (``fpr``, ``tpr``, ``per_class``) and ``pr`` (``recall``, ``precision``, ``per_class``);
    ``intervals`` (figure: [low, high] or None); ``bootstrap`` (how they were made); ``notes``.
    With logits that are not finite every figure is None, and a note says so.

    Raises BadInput without examples, for a confidence outside of (0, 1) or fewer than 0 resamples.
    """
    if not len(p):
        raise BadInput("there are no examples to evaluate: the split is empty")
    if not 0 < confidence < 1 or resamples < 0:
        raise BadInput(f"intervals want a confidence between 0 and 1 and resamples, not {confidence} and {resamples}")
    head = {"examples": len(p), "binary": p.binary, "classes": list(p.classes)}
    if p.unusable().any():
        return head | _unusable(p)
    curves = _curves(p)
    classes = _per_class(p, curves)
    figures = _figures(p, list(classes.values()))
    made = _intervals(p, resamples, seed, confidence)
    kept = curves if len(p.classes) <= MOST_CLASSES else []
    found: Row = _plain(
        {**head, **figures, "per_class": classes, "confusion": _confusion(p), "roc": _roc(p, curves, kept),
         "pr": _pr(p, curves, kept), **made, "notes": _notes(p, figures)}
    )  # fmt: skip
    return found


def _unusable(p: Predictions) -> Row:
    """The answer where logits are NaN or infinite: no figure, since any would hide it."""
    bad = np.flatnonzero(p.unusable())
    note = (
        f"{len(bad)} of {len(p)} examples have logits that are not finite, the first at position "
        f"{p.positions[bad[0]]}: no figure is given"
    )
    empty: Row = {"per_class": {}, "confusion": None, "roc": None, "pr": None, "intervals": {}, "bootstrap": None}
    return dict.fromkeys(FIGURES) | empty | {"notes": [note]}


# -- figures --------------------------------------------------------------------------------------


def _figures(p: Predictions, classes: Sequence[Row]) -> Row:
    """The FIGURES."""
    averaged = {key: _over_classes(p, [c[key] for c in classes]) for key in CLASS_FIGURES if key != "support"}
    return {
        "loss": float(p.losses().mean()),
        "accuracy": float((p.labels() == p.targets).mean()),
        "top5": _top5(p),
        **averaged,
        "calibration_error": calibration_error(p),
        "brier": float(brier_terms(p).mean()),
    }


def _over_classes(p: Predictions, values: Sequence[float | None]) -> float | None:
    """The positive class's where binary, else the mean of those that are defined."""
    if p.binary:
        return values[1]
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _top5(p: Predictions) -> float | None:
    """Share of examples whose class is among the five likeliest; None with five classes or fewer."""
    if len(p.classes) <= _TOP:
        return None
    first = np.argsort(-p.logits, axis=1, kind="stable")[:, :_TOP]  # of equal logits the first, as the label is
    return float((first == p.targets[:, None]).any(axis=1).mean())


def _curves(p: Predictions) -> list[ClassCurves | None]:
    """Curves of each class; None where it has no example, or all."""
    scores = p.rank_scores()
    return [class_curves(scores[:, c], p.targets == c) for c in range(len(p.classes))]


def _per_class(p: Predictions, curves: Sequence[ClassCurves | None]) -> dict[str, Row]:
    """The CLASS_FIGURES by name; None for those of a class without examples."""
    from sklearn.metrics import precision_recall_fscore_support

    found = precision_recall_fscore_support(p.targets, p.labels(), labels=range(len(p.classes)), zero_division=0)
    rows = {}
    for name, curve, precision, recall, f1, support in zip(p.classes, curves, *found, strict=True):
        shares = (float(precision), float(recall), float(f1)) if support else (None, None, None)
        areas = (curve.auc, curve.average_precision) if curve else (None, None)
        rows[name] = dict(zip(CLASS_FIGURES, (*shares, *areas, int(support)), strict=True))
    return rows


def _confusion(p: Predictions) -> NDArray[np.int64] | None:
    """How often each class (row) was called each class (column), (K, K)."""
    from sklearn.metrics import confusion_matrix

    if len(p.classes) > MOST_CLASSES:
        return None
    return np.asarray(confusion_matrix(p.targets, p.labels(), labels=range(len(p.classes))), np.int64)


# -- curves ---------------------------------------------------------------------------------------


def _roc(p: Predictions, curves: Sequence[ClassCurves | None], kept: Sequence[ClassCurves | None]) -> Row | None:
    """ROC curve of the positive class or averaged, and those of single classes."""
    known = [c for c in curves if c]
    if not known:
        return None
    fpr, tpr = thinned(known[-1].fpr, known[-1].tpr) if p.binary else macro_roc(known)
    most = points_per_class(len(p.classes))
    single = {
        name: _pair("fpr", "tpr", *thinned(c.fpr, c.tpr, most)) for name, c in zip(p.classes, kept, strict=False) if c
    }
    return {**_pair("fpr", "tpr", fpr, tpr), "average": _average(p), "per_class": {} if p.binary else single}


def _pr(p: Predictions, curves: Sequence[ClassCurves | None], kept: Sequence[ClassCurves | None]) -> Row | None:
    """Precision-recall curve of the positive class or averaged, recall rising, and those of single classes."""
    known = [c for c in curves if c]
    if not known:
        return None
    recall, precision = _rising(known[-1]) if p.binary else macro_pr(known)
    most = points_per_class(len(p.classes))
    single = {
        name: _pair("recall", "precision", *_rising(c, most)) for name, c in zip(p.classes, kept, strict=False) if c
    }
    pair = _pair("recall", "precision", recall, precision)
    return {**pair, "average": _average(p), "per_class": {} if p.binary else single}


def _rising(curve: ClassCurves, most: int = 200) -> tuple[list[float], list[float]]:
    return thinned(curve.recall[::-1], curve.precision[::-1], most)


def _pair(x: str, y: str, xs: list[float], ys: list[float]) -> Row:
    return {x: xs, y: ys}


def _average(p: Predictions) -> str:
    return f"class {p.classes[1]}" if p.binary else "macro"


# -- intervals and notes --------------------------------------------------------------------------


def _intervals(p: Predictions, resamples: int, seed: int, confidence: float) -> Row:
    """Intervals of figures, and how they were made; none without resamples or for one example."""
    if not resamples or len(p) < 2:
        return {"intervals": {}, "bootstrap": None}
    found = bootstrap(p, resamples, seed, confidence)
    how = {
        "method": "percentile over examples; calibration_error reflected",
        "confidence": confidence,
        "seed": seed,
        "resamples": found.resamples,
        "rank_resamples": found.rank_resamples,  # of auc and average_precision
    }
    return {"intervals": {k: list(v) if v else None for k, v in found.intervals.items()}, "bootstrap": how}


def _notes(p: Predictions, figures: Row) -> list[str]:
    """What a reader should know before comparing these figures."""
    present, called = set(p.targets.tolist()), set(p.labels().tolist())
    absent = [name for i, name in enumerate(p.classes) if i not in present]
    silent = [name for i, name in enumerate(p.classes) if i in present and i not in called]
    notes = []
    if len(present) == 1:
        notes.append(f"all examples are of class {p.classes[min(present)]}: AUC and average precision are undefined")
    elif absent:
        notes.append(f"no examples of {_named(absent)}: means are over the other {len(present)} classes")
    if silent:
        notes.append(f"never predicted: {_named(silent)}; the precision of such a class counts as 0")
    if len(p) < 2:
        notes.append("one example has no intervals")
    elif figures["accuracy"] in (0.0, 1.0):
        bound = 1 - 0.05 ** (1 / len(p))
        word = "wrong" if figures["accuracy"] == 1.0 else "right"
        notes.append(
            f"no example is {word}, so that the interval of accuracy has no width: with 95 % confidence fewer than "
            f"{100 * bound:.2g} % of all are {word}"
        )
    if len(p.classes) > MOST_CLASSES:
        notes.append(f"more than {MOST_CLASSES} classes: no confusion matrix and no curves of single classes are kept")
    return notes


def _named(names: Sequence[str], most: int = 5) -> str:
    """A few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _plain(value: Any) -> Any:
    """Data that JSON holds: arrays become lists, what is not finite None."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
