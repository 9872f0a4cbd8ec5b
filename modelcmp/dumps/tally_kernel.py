"""The compiled loop of :mod:`.stats`: one pass over a tensor, without Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

#: Positions in ``acc``.
SUM, SQUARES, MIN, MAX, ZEROS, NAN, INF = range(7)
WIDTH = 7


def _compiled(function: F) -> F:
    """Compile at the first call, and keep the machine code for the next process where a folder can be written."""
    try:
        compiled = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        compiled = numba.njit(nogil=True)(function)
    return cast("F", compiled)


@_compiled
def tally(values: Any, bits: Any, shift: int, mask: int, first: int, acc: Any, bins: Any) -> None:
    """Add floats (n,) with their bit patterns (n,) to ``acc`` and, by their exponents, to ``bins``.

    ``shift``, ``mask``: where a pattern has its exponent; ``first``: the exponent, as stored, of the lowest bin.
    """
    total = squares = 0.0
    low, high = np.inf, -np.inf
    zeros = nan = inf = 0
    last = bins.size - 1
    for i in range(values.size):
        value = np.float64(values[i])
        exponent = (bits[i] >> shift) & mask
        if exponent == mask:
            if value != value:
                nan += 1
            else:
                inf += 1
            continue
        total += value
        squares += value * value
        low, high = min(low, value), max(high, value)
        if value == 0.0:
            zeros += 1
        else:
            bins[min(max(exponent - first, 0), last)] += 1
    acc[SUM], acc[SQUARES], acc[MIN], acc[MAX] = total, squares, low, high
    acc[ZEROS], acc[NAN], acc[INF] = zeros, nan, inf
