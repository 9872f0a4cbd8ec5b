"""How many seeds would be needed."""

from __future__ import annotations

import math

from .exact import rank_sum_p, sign_p

MOST_SEEDS = 1000


def power_of(n: int, effect: float, alpha: float, *, paired: bool) -> float:
    """Chance that a two-sided t test finds a difference of ``effect`` deviations with n seeds of each group.

    By the noncentral t (Cohen, *Statistical Power Analysis*, 1988, chapter 2). ``effect`` is the difference over
    the deviation of the differences where paired, else over that of each group, equal in both.
    """
    from scipy.special import nctdtr, stdtrit

    df = n - 1 if paired else 2 * n - 2
    shift = abs(effect) * math.sqrt(n if paired else n / 2)
    limit = float(stdtrit(df, 1 - alpha / 2))
    missed, other_side = float(nctdtr(df, shift, limit)), float(nctdtr(df, shift, -limit))
    if math.isnan(missed):  # so far from 0 that it cannot be computed: there it is missed never, or always
        missed = float(shift < limit)
    return 1 - missed + (0.0 if math.isnan(other_side) else other_side)


def seeds_needed(
    difference: float, spread: float, alpha: float = 0.05, power: float = 0.8, *, paired: bool
) -> int | None:
    """Seeds of each group with which a difference is found with that power; at least 2, None above MOST_SEEDS.

    ``spread``: standard deviation of the differences where paired, else the root mean square of both groups'.
    Without spread the exact test decides that takes the place of t. None for no difference at all.
    """
    if not difference:
        return None
    if not spread:
        return _exact(alpha, paired)
    effect = abs(difference) / spread
    n = _normal(effect, alpha, power, paired)
    if n > 1.1 * MOST_SEEDS:
        return None
    while n > 2 and power_of(n - 1, effect, alpha, paired=paired) >= power:
        n -= 1
    while n <= MOST_SEEDS and power_of(n, effect, alpha, paired=paired) < power:
        n += 1
    return n if n <= MOST_SEEDS else None


def _normal(effect: float, alpha: float, power: float, paired: bool) -> int:
    """Where to begin: the number by the normal distribution, which is a few too small (Guenther, 1981)."""
    from scipy.special import ndtri

    limit = -float(ndtri(alpha / 2))
    n = (1 if paired else 2) * ((limit + float(ndtri(power))) / effect) ** 2 + limit**2 / (2 if paired else 4)
    return max(2, math.ceil(min(n, 2.0 * MOST_SEEDS)))


def _exact(alpha: float, paired: bool) -> int | None:
    """The fewest seeds with which an exact test can fall to alpha."""
    least = sign_p if paired else lambda n: rank_sum_p(n, n)
    return next((n for n in range(2, MOST_SEEDS + 1) if least(n) <= alpha), None)
