"""How large a difference is beside the spread between seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .student import mean_std


def hedges_g(a: Sequence[float], b: Sequence[float], *, paired: bool) -> float | None:
    """Difference of the means over a standard deviation, corrected for few values; None where undefined.

    Unpaired: over the pooled deviation, n_a + n_b - 2 degrees of freedom (Hedges, *Distribution theory for Glass's
    estimator of effect size*, Journal of Educational Statistics 6, 1981). Paired: over the root mean square of both
    deviations ("average SD", not that of the differences), n - 1 degrees of freedom (Cumming, *Understanding the
    New Statistics*, 2012), so that pairing sharpens the test and leaves the size of the effect what it is.
    Undefined without spread, and with fewer than two degrees of freedom.
    """
    (mean_a, std_a), (mean_b, std_b) = mean_std(a), mean_std(b)
    if std_a is None or std_b is None:
        return None
    df = len(a) - 1 if paired else len(a) + len(b) - 2
    pooled = math.sqrt(((len(a) - 1) * std_a**2 + (len(b) - 1) * std_b**2) / (len(a) + len(b) - 2))
    if df < 2 or not pooled:
        return None
    return (mean_a - mean_b) / pooled * small_sample(df)


def small_sample(df: int) -> float:
    """Hedges' factor J, exactly; close to 1 - 3 / (4 df - 1)."""
    return math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
