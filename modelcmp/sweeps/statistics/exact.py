"""Exact tests: of equal differences, of two groups without spread, and of two models on the same examples."""

from __future__ import annotations

import math


def sign_p(n: int) -> float:
    """Two-sided p of the sign test where all n differences have one sign.

    >>> sign_p(5), sign_p(6)
    (0.0625, 0.03125)
    """
    return 2.0 ** (1 - n)


def rank_sum_p(n_a: int, n_b: int) -> float:
    """Two-sided p of the rank sum test where every value of one group is above every value of the other.

    >>> rank_sum_p(3, 3), rank_sum_p(5, 5) == 2 / 252
    (0.1, True)
    """
    return 2 / math.comb(n_a + n_b, n_a)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided p of the exact McNemar test from the examples that only one of two models has right.

    Under equal accuracy each is as likely right alone: a binomial test (McNemar, Psychometrika 12, 1947).

    >>> mcnemar_p(0, 6), mcnemar_p(3, 3), mcnemar_p(0, 0)
    (0.03125, 1.0, 1.0)
    """
    from scipy.special import bdtr

    n = only_a + only_b
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), n, 0.5))) if n else 1.0


def newcombe(both: int, only_a: int, only_b: int, neither: int, confidence: float) -> tuple[float, float]:
    """Ends of the interval of the difference of two shares of the same examples: A's less B's.

    Wilson's score intervals of both shares, squared and added with the correlation between them (Newcombe,
    *Improved confidence intervals for the difference between binomial proportions based on paired data*,
    Statistics in Medicine 17, 1998, method 10).
    """
    n = both + only_a + only_b + neither
    a, b = (both + only_a) / n, (both + only_b) / n
    (low_a, high_a), (low_b, high_b) = _wilson(a, n, confidence), _wilson(b, n, confidence)
    phi = _phi(both, only_a, only_b, neither)
    low = a - b - _added(a - low_a, high_b - b, phi)
    return low, a - b + _added(high_a - a, b - low_b, phi)


def _added(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))


def _phi(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Correlation of being right, a positive one corrected for continuity as method 10 does."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if not margins:
        return 0.0
    cross: float = both * neither - only_a * only_b
    return (cross if cross < 0 else max(0.0, cross - n / 2)) / math.sqrt(margins)


def _wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Score interval of a share (Wilson, JASA 22, 1927)."""
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
