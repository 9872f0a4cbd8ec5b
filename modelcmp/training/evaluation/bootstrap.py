"""Percentile intervals of every figure over resampled examples, for all resamples at once.

A resample is a count for each example, so that a figure of it is the figure of weighted examples. Counts lie as
(N, R): one row an example, so that sums over groups of examples run along contiguous memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibration import BINS, brier_terms, calibration_error, confidence_bins, confidence_gaps
from .predictions import Predictions

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
Interval = tuple[float, float]

_CHUNK = 500_000  # counts held at once: they stay in the cache
_RANK_WORK = 150_000_000  # example, class and resample triples for figures that sort examples in each class
_FEWEST = 100
_RANKED = ("auc", "average_precision")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Intervals by figure, None where too few resamples define it, and how many resamples each kind had."""

    intervals: dict[str, Interval | None]
    resamples: int
    rank_resamples: int


def bootstrap(predictions: Predictions, resamples: int, seed: int, confidence: float) -> Bootstrap:
    """Intervals that hold ``confidence`` of the resampled figures (Efron, Tibshirani, 1993, chapter 13).

    The calibration error's is reflected at its estimate (chapter 13.4, "basic"): it is biased upwards, and
    a resample is biased once more. Figures that sort examples get fewer resamples on large splits.
    """
    n, k = len(predictions), len(predictions.classes)
    ranked = min(resamples, max(_FEWEST, _RANK_WORK // (n * k)))
    simple, by_rank = simple_figures(predictions), rank_figures(predictions)
    draws: dict[str, list[Floats]] = {}
    done = 0
    for counts in resampled(n, resamples, seed):
        found = simple(counts)
        if done < ranked:
            found |= by_rank(counts[:, : ranked - done])
        done += counts.shape[1]
        for name, values in found.items():
            draws.setdefault(name, []).append(values)
    joined = {name: np.concatenate(values) for name, values in draws.items()}
    made = {name: _interval(values, confidence) for name, values in joined.items()}
    made["calibration_error"] = _reflected(made["calibration_error"], predictions)
    return Bootstrap(made, resamples, ranked)


def resampled(n: int, resamples: int, seed: int) -> Iterator[Counts]:
    """How often each example is drawn, (N, R) a chunk."""
    random = np.random.default_rng(seed)
    size = max(1, _CHUNK // n)
    for start in range(0, resamples, size):
        r = min(size, resamples - start)
        drawn = random.integers(0, n, (n, r)) * r + np.arange(r)
        yield np.bincount(drawn.ravel(), minlength=n * r).reshape(n, r).astype(np.int32)


def _interval(values: Floats, confidence: float) -> Interval | None:
    """Ends between which the middle share of the defined values lies; None where fewer than half are defined."""
    defined = values[~np.isnan(values)]
    if 2 * len(defined) < len(values) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _reflected(interval: Interval | None, predictions: Predictions) -> Interval | None:
    """An interval mirrored at the estimate, within what the figure can be."""
    if interval is None:
        return None
    twice = 2 * calibration_error(predictions)
    return max(0.0, twice - interval[1]), min(1.0, max(0.0, twice - interval[0]))


# -- figures of sums ------------------------------------------------------------------------------


def simple_figures(p: Predictions) -> Callable[[Counts], dict[str, Floats]]:
    """Means over examples, the calibration error, and what follows from counts of each class."""
    right = p.labels() == p.targets
    terms = np.stack([right.astype(np.float64), p.losses(), brier_terms(p)])  # (3, N)
    gaps = np.zeros((BINS, len(p)))
    gaps[confidence_bins(p), np.arange(len(p))] = confidence_gaps(p)
    counted = _by_class(p, right)

    def figures(counts: Counts) -> dict[str, Floats]:
        weights = counts.astype(np.float64)
        means, off = (
            np.einsum("in,nr->ir", rows, weights) / len(p) for rows in (terms, gaps)
        )  # BLAS waits on busy cores
        named = dict(zip(("accuracy", "loss", "brier"), means, strict=True))
        return {**named, "calibration_error": np.abs(off).sum(axis=0), **counted(counts)}

    return figures


def _by_class(p: Predictions, right: NDArray[np.bool_]) -> Callable[[Counts], dict[str, Floats]]:
    """Precision, recall and F1 of the positive class, or the mean over the classes that a resample holds."""
    k = len(p.classes)
    hits = np.where(right, p.targets, k)  # class k: wrong ones
    truth, said, hit = (_Groups(codes, k + 1) for codes in (p.targets, p.labels(), hits))

    def figures(counts: Counts) -> dict[str, Floats]:
        true, labelled, found = (g.sums(counts)[:k] for g in (truth, said, hit))
        absent = np.where(true > 0, 0.0, np.nan)
        each = {
            "precision": found / np.maximum(labelled, 1) + absent,
            "recall": found / np.maximum(true, 1) + absent,
            "f1": 2 * found / np.maximum(true + labelled, 1) + absent,
        }
        return {name: _averaged(values, p.binary) for name, values in each.items()}

    return figures


class _Groups:
    """Sums of counts over examples of the same code."""

    def __init__(self, codes: NDArray[np.int64], size: int) -> None:
        self.order = np.argsort(codes, kind="stable")
        self.present, self.starts = np.unique(codes[self.order], return_index=True)
        self.size = size

    def sums(self, counts: Counts) -> Floats:
        """One row a code, (size, R)."""
        found = np.zeros((self.size, counts.shape[1]))
        found[self.present] = np.add.reduceat(counts[self.order], self.starts, axis=0)
        return found


def _averaged(values: Floats, binary: bool) -> Floats:
    """(K, R) to (R,): the positive class, or the mean over classes that have a value."""
    if binary:
        return np.asarray(values[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value is NaN
        return np.asarray(np.nanmean(values, axis=0))


# -- figures of ranks -----------------------------------------------------------------------------


def rank_figures(p: Predictions) -> Callable[[Counts], dict[str, Floats]]:
    """AUC and average precision of the positive class, or the mean over classes."""
    scores = p.rank_scores()
    wanted = [1] if p.binary else range(len(p.classes))
    ranked = [_Ranked(scores[:, c], p.targets == c) for c in wanted if 0 < (p.targets == c).sum() < len(p)]

    def figures(counts: Counts) -> dict[str, Floats]:
        if not ranked:
            return {name: np.full(counts.shape[1], np.nan) for name in _RANKED}
        pairs = np.array([one.figures(counts) for one in ranked])  # (K, 2, R)
        return {name: _averaged(pairs[:, i], False) for i, name in enumerate(_RANKED)}

    return figures


class _Ranked:
    """One class against the rest: examples by falling score, in runs with and without positives.

    Both figures only change where positives are; examples of equal score stand in one run.
    """

    def __init__(self, scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        sorted_scores, sorted_positive = scores[self.order], positive[self.order]
        starts = np.flatnonzero(np.r_[True, sorted_scores[1:] != sorted_scores[:-1]])
        holds = np.logical_or.reduceat(sorted_positive, starts)
        bounds = np.unique(np.r_[0, starts[holds], np.r_[starts, len(scores)][1:][holds]])
        self.bounds = bounds[bounds < len(scores)]
        self.holds = np.logical_or.reduceat(sorted_positive, self.bounds)
        self.positives = self.order[sorted_positive]
        self.first = np.searchsorted(np.flatnonzero(sorted_positive), self.bounds[self.holds])

    def figures(self, counts: Counts) -> tuple[Floats, Floats]:
        """AUC and average precision of each resample, (R,) each; NaN where a side is empty."""
        runs = np.add.reduceat(counts[self.order], self.bounds, axis=0)
        within = np.add.reduceat(counts[self.positives], self.first, axis=0).astype(np.float64)
        upto = runs.cumsum(axis=0)[self.holds].astype(np.float64)
        hits = within.cumsum(axis=0)
        positives = hits[-1]
        negatives = counts.sum(axis=0) - positives
        beaten = negatives - (upto - hits) + (runs[self.holds] - within) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = (within * beaten).sum(axis=0) / (positives * negatives)
            precision = within * hits / np.maximum(upto, 1)
            return auc, np.where(negatives > 0, precision.sum(axis=0) / positives, np.nan)
