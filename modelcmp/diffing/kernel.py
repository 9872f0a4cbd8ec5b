"""Compiled loops over pairs of chunks that are in the processor's cache; nothing here allocates.

Each adds to ``acc`` (float64, by the positions below) and, of ULP distances, to ``bins``. They run without Python's
lock, so that several chunks are measured at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

#: Positions in ``acc``.
EQUAL, AA, BB, AB, DD, SS, DS, MAX_ABS, MAX_INDEX, ULP_MAX, UU, VV, UV = range(13)
WIDTH = 13
#: ULP distances are binned by the leading bits of their float32 form: one by one below 64, by 1/32 above.
_SHIFT = 18
ONE = 127 << (23 - _SHIFT)  # the bin of distance 1; bin 0 holds 0, those between hold nothing
BINS = ONE + (65 << (23 - _SHIFT))  # up to 2^64
#: Places that are measured in one go: three arrays of them fit into the first level of cache.
BLOCK = 2048
#: Squares of float64 that are smaller than this have lost digits.
_TINY = 1e-270
#: Sums may be added up in any order; NaN and infinities keep their meaning.
_ANY_ORDER = {"reassoc", "contract", "nsz"}


def _compiled(fastmath: Any = False) -> Callable[[F], F]:
    """Compile at the first call, and keep the machine code for the next process where a folder can be written."""

    def compile_(function: F) -> F:
        options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
        try:
            return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
        except RuntimeError:  # neither the package's folder nor the user's cache is writable
            return numba.njit(**options)(function)  # type: ignore[no-any-return]

    return compile_


@_compiled(_ANY_ORDER)
def _products(a: Any, b: Any, acc: Any) -> bool:
    """Add the sums of products; whether all of them are finite (else nothing was added)."""
    aa = bb = ab = dd = ss = ds = 0.0
    for i in range(a.size):
        x, y = np.float64(a[i]), np.float64(b[i])
        d, s = x - y, x + y
        aa += x * x
        bb += y * y
        ab += x * y
        dd += d * d
        ss += s * s
        ds += d * s
    return _add_products(a, b, acc, aa, bb, ab, dd, ss, ds)


@_compiled()
def _vanished(a: Any, b: Any, aa: float, bb: float, dd: float) -> bool:
    """Whether squares were lost below what float64 can hold."""
    for i in range(a.size):
        if (aa < _TINY and a[i] != 0) or (bb < _TINY and b[i] != 0) or (dd < _TINY and a[i] != b[i]):
            return True
    return False


@_compiled()
def _add_products(a: Any, b: Any, acc: Any, aa: float, bb: float, ab: float, dd: float, ss: float, ds: float) -> bool:
    if not (np.isfinite(aa) and np.isfinite(bb) and np.isfinite(ss) and np.isfinite(dd)):
        return False
    if a.itemsize == 8 and min(aa, bb, dd) < _TINY and _vanished(a, b, aa, bb, dd):
        return False
    acc[AA] += aa
    acc[BB] += bb
    acc[AB] += ab
    acc[DD] += dd
    acc[SS] += ss
    acc[DS] += ds
    return True


@_compiled()
def _largest(a: Any, b: Any, away: Any) -> float:
    """The largest |a - b| as float32 has it, by its bit patterns, which are ordered alike and quicker to compare."""
    for i in range(a.size):
        away[i] = abs(a[i] - b[i])
    bits = away[: a.size].view(np.int32)
    top = np.int32(0)
    for i in range(bits.size):
        top = max(top, bits[i])
    bits[0] = top
    return np.float64(away[0])


@_compiled()
def _farthest(a: Any, b: Any, start: int, acc: Any, away: Any) -> None:
    """Keep the largest |a - b| and the first place where it is; all are finite."""
    if a.itemsize == 4 and acc[MAX_INDEX] >= 0 and _largest(a, b, away) * (1 + 1e-6) < acc[MAX_ABS]:
        return
    for i in range(a.size):
        apart = abs(np.float64(a[i]) - np.float64(b[i]))
        if apart > acc[MAX_ABS] or acc[MAX_INDEX] < 0:
            acc[MAX_ABS] = apart
            acc[MAX_INDEX] = start + i


@_compiled()
def _steps_apart(a: Any, b: Any, lowest: int, away: Any, acc: Any) -> int:
    """ULP distances of finite numbers of up to 32 bits into ``away``, as float32; how many of them are zero.

    Bit patterns become integers in the order of the numbers, both zeros 0 (``lowest`` is the pattern of -0).
    """
    equal = 0
    top: Any = 0
    for i in range(a.size):
        x, y = np.int64(a[i]), np.int64(b[i])
        x = x if x >= 0 else lowest - x
        y = y if y >= 0 else lowest - y
        d = abs(x - y)
        equal += d == 0
        top = max(top, d)
        away[i] = np.float32(d)
    acc[ULP_MAX] = max(acc[ULP_MAX], np.float64(top))
    return equal


@_compiled()
def _steps_apart_wide(a: Any, b: Any, away: Any, acc: Any) -> int:
    """The same for 64 bits, where a distance may need all of them."""
    equal = 0
    top = np.uint64(0)
    zero = np.uint64(1) << np.uint64(63)
    for i in range(a.size):
        x = zero + np.uint64(a[i]) if a[i] >= 0 else np.uint64(0) - np.uint64(a[i])
        y = zero + np.uint64(b[i]) if b[i] >= 0 else np.uint64(0) - np.uint64(b[i])
        d = x - y if x >= y else y - x
        equal += d == 0
        top = max(top, d)
        away[i] = np.float32(d)
    acc[ULP_MAX] = max(acc[ULP_MAX], np.float64(top))
    return equal


@_compiled()
def _tally(away: Any, bins: Any) -> None:
    for i in range(away.size):
        bins[np.uint64(away[i] >> np.uint32(_SHIFT))] += 1  # unsigned: no look for indices from the end


@_compiled()
def ulps(bits_a: Any, bits_b: Any, lowest: int, acc: Any, bins: Any, away: Any) -> int:
    """ULP distances of at most a block of finite numbers; how many are zero."""
    scratch = away[: bits_a.size]
    if lowest != 0:
        equal = _steps_apart(bits_a, bits_b, lowest, scratch, acc)
    else:
        equal = _steps_apart_wide(bits_a, bits_b, scratch, acc)
    if equal == bits_a.size:
        bins[0] += equal
    else:
        _tally(scratch.view(np.uint32), bins)
    return int(equal)


@_compiled()
def measure(a: Any, b: Any, bits_a: Any, bits_b: Any, lowest: int, start: int, acc: Any, bins: Any, away: Any) -> int:
    """Measure two chunks block by block; the places before the first block that float64 sums can't hold.

    ``a``, ``b``: floats, shape (n,); ``bits_a``, ``bits_b``: their bit patterns as signed integers; ``lowest``: the
    pattern of -0, or 0 for 64 bits; ``start``: the chunk's place in its tensor; ``away``: float32 scratch of a block.
    """
    for low in range(0, a.size, BLOCK):
        high = min(low + BLOCK, a.size)
        x, y = a[low:high], b[low:high]
        if not _products(x, y, acc):
            return low
        equal = ulps(bits_a[low:high], bits_b[low:high], lowest, acc, bins, away)
        acc[EQUAL] += equal
        if equal < high - low or acc[MAX_INDEX] < 0:
            _farthest(x, y, start + low, acc, away)
    return int(a.size)


@_compiled(_ANY_ORDER)
def moved(a: Any, b: Any, a0: Any, b0: Any, acc: Any) -> None:
    """Add the products of the ways u = a - a0 and v = b - b0 that two chunks have gone."""
    uu = vv = uv = 0.0
    for i in range(a.size):
        u, v = np.float64(a[i]) - np.float64(a0[i]), np.float64(b[i]) - np.float64(b0[i])
        uu += u * u
        vv += v * v
        uv += u * v
    acc[UU] += uu
    acc[VV] += vv
    acc[UV] += uv


def middle_of(place: int) -> float:
    """The middle of the whole distances that fall into a bin.

    >>> [middle_of(place) for place in (0, 4064, 4096, 4256)]
    [0.0, 1.0, 2.0, 64.5]
    """
    low, high = np.array([place << _SHIFT, (place + 1) << _SHIFT], np.int32).view(np.float32).tolist()
    return float(low if high - low <= 1 else (low + high - 1) / 2)
