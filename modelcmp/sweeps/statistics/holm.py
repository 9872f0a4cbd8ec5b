"""Holm's adjustment of several p-values."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Each p as the smallest level at which Holm's procedure would reject it; None stays and does not count.

    Rejecting what is at most alpha keeps the chance of any false rejection at alpha or below, whatever the tests
    have to do with each other (Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian
    Journal of Statistics 6, 1979).

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    known = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    least = 0.0
    for rank, (p, i) in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p))
        adjusted[i] = least
    return adjusted
