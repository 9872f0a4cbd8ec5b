"""Whether a model is as often right as it is sure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .predictions import Predictions

BINS = 15


def confidence_bins(predictions: Predictions) -> NDArray[np.int64]:
    """The bin of each example's confidence, (N,): bin i of 15 holds (i/15, (i+1)/15]."""
    confidence = predictions.probabilities().max(axis=1)
    return np.asarray(np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1), np.int64)


def confidence_gaps(predictions: Predictions) -> NDArray[np.float64]:
    """1 or 0 for a right or wrong label, less the confidence in it, (N,)."""
    right = predictions.labels() == predictions.targets
    return np.asarray(right - predictions.probabilities().max(axis=1), np.float64)


def calibration_error(predictions: Predictions) -> float:
    """Expected calibration error: the mean over bins of abs(accuracy - confidence), weighted by their examples.

    15 bins of equal width over the probability of the predicted class: Guo, Pleiss, Sun, Weinberger, *On
    Calibration of Modern Neural Networks*, ICML 2017, equation 3. With two classes confidence starts at 1/2.
    """
    gaps = np.bincount(confidence_bins(predictions), weights=confidence_gaps(predictions), minlength=BINS)
    return float(np.abs(gaps).sum() / len(predictions))


def brier_terms(predictions: Predictions) -> NDArray[np.float64]:
    """Squared distance of the probabilities from the truth, (N,): of the positive class where binary, else summed.

    Brier, *Verification of forecasts expressed in terms of probability*, Monthly Weather Review 78, 1950.
    """
    probabilities = predictions.probabilities()
    if predictions.binary:
        return np.asarray(np.square(probabilities[:, 1] - predictions.targets), np.float64)
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(predictions)), predictions.targets] = 1.0
    return np.asarray(np.square(probabilities - truth).sum(axis=1), np.float64)
