"""Student's t for one mean, for paired differences and, as Welch's, for two groups of their own spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .exact import rank_sum_p, sign_p
from .records import Method

#: Values closer than this, for their size, are the same but for rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference with the ends of its interval and its two-sided p; None where the method gives none."""

    method: Method
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    least: float = 0.0  # the smallest p that the method can give here
    std: float | None = None  # what its doubt rests on: of the differences where paired, else root mean square of both


def mean_std(values: Sequence[float], scale: float = 0.0) -> tuple[float, float | None]:
    """Mean and standard deviation (n - 1) of one value or more; None for the latter of a single one.

    The deviation is exactly 0 where values differ by no more than rounding of numbers as large as themselves or
    ``scale``; their mean is then the first of them.

    >>> mean_std([1.0, 2.0, 3.0]), mean_std([0.1, 0.1, 0.1]), mean_std([5.0])
    ((2.0, 1.0), (0.1, 0.0), (5.0, None))
    """
    n = len(values)
    if n == 1:
        return values[0], None
    if max(values) - min(values) <= _ROUNDING * max(scale, *map(abs, values)):
        return values[0], 0.0
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))


def half_width(std: float, n: int, confidence: float) -> float:
    """Half of Student's interval of a mean over n values."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + confidence) / 2)) * std / math.sqrt(n)


def paired_t(a: Sequence[float], b: Sequence[float], confidence: float) -> Estimate:
    """Mean of the differences a - b of two values or more, by Student's t with n - 1 degrees of freedom.

    Where all differences are equal t is undefined: the exact sign test takes its place.
    """
    scale = max(map(abs, (*a, *b)))
    mean, std = mean_std([x - y for x, y in zip(a, b, strict=True)], scale)
    if not std:
        return _level_pairs(rounded(mean, scale), len(a), confidence)
    return _student("paired t", mean, std / math.sqrt(len(a)), len(a) - 1, confidence, std)


def welch_t(a: Sequence[float], b: Sequence[float], confidence: float) -> Estimate:
    """Difference of two means, of two values or more each, whose spreads need not be equal.

    Degrees of freedom by Welch and Satterthwaite (Welch, Biometrika 34, 1947). Where neither group varies t is
    undefined: the exact rank sum test (Wilcoxon, Mann, Whitney) takes its place.
    """
    scale = max(map(abs, (*a, *b)))
    (mean_a, std_a), (mean_b, std_b) = mean_std(a, scale), mean_std(b, scale)
    share_a, share_b = (std_a or 0.0) ** 2 / len(a), (std_b or 0.0) ** 2 / len(b)
    if not share_a + share_b:
        difference = rounded(mean_a - mean_b, scale)
        least = rank_sum_p(len(a), len(b))
        return Estimate("rank sum", difference, None, None, least if difference else 1.0, least, 0.0)
    df = (share_a + share_b) ** 2 / (share_a**2 / (len(a) - 1) + share_b**2 / (len(b) - 1))
    std = math.sqrt(((std_a or 0.0) ** 2 + (std_b or 0.0) ** 2) / 2)
    return _student("Welch t", mean_a - mean_b, math.sqrt(share_a + share_b), df, confidence, std)


def _student(method: Method, mean: float, error: float, df: float, confidence: float, std: float) -> Estimate:
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(df, (1 + confidence) / 2)) * error
    return Estimate(method, mean, mean - half, mean + half, 2 * float(stdtr(df, -abs(mean / error))), std=std)


def _level_pairs(mean: float, n: int, confidence: float) -> Estimate:
    """n equal differences: the interval of their median is that value, where n is enough for the confidence."""
    least = sign_p(n)
    end = mean if least <= (1 - confidence) * (1 + _ROUNDING) else None
    return Estimate("sign", mean, end, end, least if mean else 1.0, least, 0.0)


def rounded(difference: float, scale: float) -> float:
    """A difference of numbers as large as ``scale``: exactly 0 where it is no more than their rounding."""
    return 0.0 if abs(difference) <= _ROUNDING * scale else difference
