"""Fitting the latency model's coefficients to measured times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .columns import Array, Columns
from .device import Device
from .efficiency import COEFFICIENTS
from .latency import timed

#: A residual beyond this (of the logarithm of predicted over measured) counts linearly: outliers do not steer.
_OUTLIER = 0.05
_MOST_EVALUATIONS = 40


@dataclass(frozen=True, slots=True)
class Measured:
    """Models' kernels, one device, and the seconds that each model took there."""

    columns: Columns
    device: Device
    seconds: Array
    compiled: bool = False


def predicted_seconds(measured: Measured, coefficients: Mapping[str, float]) -> Array:
    """Seconds of each model."""
    times = timed(measured.columns, measured.device, coefficients, measured.compiled)
    return measured.columns.per_model(times.total)


def fit(
    data: Sequence[Measured], *, prior: Mapping[str, float] | None = None, stiffness: float = 0.3,
    names: Iterable[str] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Coefficients under which predictions meet the measured times best.

    Robust least squares on log(predicted / measured), each coefficient's logarithm held near that of ``prior`` (by
    default its start) with ``stiffness``: what the data say nothing about stays. Only ``names`` are fitted.
    """
    from scipy.optimize import least_squares

    start = {c.name: c.start for c in COEFFICIENTS.values()} | dict(prior or {})
    chosen = [COEFFICIENTS[name] for name in names or COEFFICIENTS]
    low = np.log([c.low for c in chosen])
    high = np.log([c.high for c in chosen])
    middle = np.clip(np.log([max(start[c.name], c.low) for c in chosen]), low + 1e-6, high - 1e-6)
    models = sum(len(d.seconds) for d in data)

    def coefficients(x: Array) -> dict[str, float]:
        return start | {c.name: math.exp(v) for c, v in zip(chosen, x, strict=True)}

    def residuals(x: Array) -> Array:
        now = coefficients(x)
        missed = [np.log(predicted_seconds(d, now) / d.seconds) * _weight(d, models, len(data)) for d in data]
        held: Array = stiffness * (x - middle)
        return np.concatenate([*missed, held])

    found = least_squares(residuals, middle, bounds=(low, high), loss="soft_l1", f_scale=_OUTLIER,
                          max_nfev=_MOST_EVALUATIONS)  # fmt: skip
    return coefficients(found.x)


def _weight(data: Measured, models: int, sets: int) -> float:
    """So that each set counts alike, however many models it has."""
    return math.sqrt(models / (sets * max(1, len(data.seconds))))
