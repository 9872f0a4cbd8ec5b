"""Paired bootstrap: the same examples drawn anew for both models (Efron, Tibshirani, 1993)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...training.evaluation.bootstrap import rank_figures, resampled, simple_figures
from ...training.evaluation.predictions import Predictions
from .answers import Answers

Floats = NDArray[np.float64]

#: Samples drawn with replacement; fewer on large splits, so that no more than WORK examples are drawn in all.
RESAMPLES, FEWEST, WORK = 5_000, 1_000, 100_000_000
#: The same for figures that sort the examples of each class.
_RANKED, _FEWEST_RANKED, _RANK_WORK = ("auc", "average_precision"), 200, 150_000_000
_SEED = 0


def resamples_of(examples: int) -> int:
    """How often a split of that size is drawn anew."""
    return min(RESAMPLES, max(FEWEST, WORK // examples))


def resampled_means(columns: Floats) -> Floats:
    """Means over examples of each column (N, C), of each sample: (R, C)."""
    n = len(columns)
    rows = np.ascontiguousarray(columns.T)
    parts = [np.einsum("cn,nr->rc", rows, counts.astype(np.float64)) for counts in resampled(n, resamples_of(n), _SEED)]
    return np.concatenate(parts) / n


def resampled_figure(p: Predictions, figure: str) -> Floats:
    """Any figure that ``evaluate`` gives intervals of, of each sample: (R,); NaN where a sample does not define it.

    The samples are the same for all predictions of as many examples and classes.
    """
    n, k = len(p), len(p.classes)
    ranked = figure in _RANKED
    wanted = min(resamples_of(n), max(_FEWEST_RANKED, _RANK_WORK // (n * k))) if ranked else resamples_of(n)
    figures = rank_figures(p) if ranked else simple_figures(p)
    return np.concatenate([figures(counts)[figure] for counts in resampled(n, wanted, _SEED)])


def ends(differences: Floats, confidence: float) -> tuple[float, float] | None:
    """Ends between which the middle share of the defined differences lies; None where fewer than half are defined."""
    defined = differences[~np.isnan(differences)]
    if 2 * len(defined) < len(differences) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def two_sided_p(differences: Floats) -> float:
    """The level at which the percentile interval begins to hold 0; never below ``least_p``.

    Davison, Hinkley, *Bootstrap Methods and their Application*, 1997, section 4.4: the sample itself counts as one.
    """
    defined = differences[~np.isnan(differences)]
    fewer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (1 + len(defined)))


def least_p(differences: Floats) -> float:
    """The smallest p that so many samples can give."""
    return 2 / (1 + int((~np.isnan(differences)).sum()))


Side = tuple[Answers, ...]


def doubts_of_test(pairs: Iterable[tuple[Side, Side]], confidence: float) -> list[tuple[float, float] | None]:
    """For each pair of sides the interval of their difference over examples, their runs as they are.

    The figure is a mean over examples; that of a side is the mean over its runs. None where the runs of a pair did
    not all predict the same examples.
    """
    found = list(pairs)
    sides = dict.fromkeys(side for pair in found for side in pair if len({a.asked for a in side}) == 1)
    draws: dict[Side, Floats] = {}
    for asked in dict.fromkeys(side[0].asked for side in sides):
        same = [side for side in sides if side[0].asked == asked]
        means = resampled_means(np.stack([_mean(side) for side in same], axis=1))
        draws |= {side: means[:, i] for i, side in enumerate(same)}
    return [
        ends(draws[a] - draws[b], confidence) if a in draws and b in draws and a[0].asked == b[0].asked else None
        for a, b in found
    ]


def _mean(side: Side) -> Floats:
    """Of each example the mean over runs, (N,)."""
    return np.asarray(np.mean([a.each for a in side if a.each is not None], axis=0), np.float64)
