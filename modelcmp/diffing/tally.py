"""What one thread adds up while it reads two tensors side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import kernel

NDArray = np.ndarray[Any, Any]

#: The pattern of -0 in a signed integer of so many bytes; 0: of 64 bits, which have a loop of their own.
_LOWEST = {1: -(1 << 7), 2: -(1 << 15), 4: -(1 << 31), 8: 0}
_PRODUCTS = {
    "aa": kernel.AA, "bb": kernel.BB, "ab": kernel.AB, "dd": kernel.DD, "ss": kernel.SS, "ds": kernel.DS,
    "uu": kernel.UU, "vv": kernel.VV, "uv": kernel.UV,
}  # fmt: skip


class Tally:
    """The sums over one pair of tensors, chunk after chunk.

    A chunk is a pair of float arrays of shape (n,), with their bit patterns as signed integers where both tensors are
    of one floating-point type (None otherwise: ULPs have no meaning then).
    """

    def __init__(self, ulps: bool = True, ways: bool = False) -> None:
        self.ulps, self.ways = ulps, ways  # whether ULPs have a meaning; whether there is a first dump to go from
        self._acc = np.zeros(kernel.WIDTH)
        self._acc[kernel.MAX_INDEX] = -1
        self._long = np.zeros(kernel.WIDTH, np.longdouble)
        self._bins = np.zeros(kernel.BINS, np.int64)
        self._away = np.empty(kernel.BLOCK, np.float32)
        self._odd = dict.fromkeys(("nan_a", "nan_b", "inf_a", "inf_b"), 0)
        self._seen = self._measured = 0

    def add(self, a: NDArray, b: NDArray, bits_a: NDArray | None, bits_b: NDArray | None) -> None:
        """Measure the next chunk."""
        if bits_a is None or bits_b is None:  # equal where the numbers are: -0 and 0 come out alike from adding 0
            a, b = a.astype(np.float64) + 0.0, b.astype(np.float64) + 0.0
            bits_a, bits_b = a.view(np.int64), b.view(np.int64)
        lowest, low = _LOWEST[bits_a.itemsize], 0
        while low < a.size:
            rest = slice(low, None)
            done = kernel.measure(
                a[rest], b[rest], bits_a[rest], bits_b[rest], lowest, self._seen, self._acc, self._bins, self._away
            )
            self._seen, self._measured, low = self._seen + done, self._measured + done, low + done
            if low < a.size:
                block = slice(low, min(low + kernel.BLOCK, a.size))
                self._add_odd(a[block], b[block], bits_a[block], bits_b[block], lowest)
                low = block.stop

    def add_ways(self, a: NDArray, b: NDArray, a0: NDArray, b0: NDArray) -> None:
        """Measure how far both have gone since the first dump."""
        kernel.moved(a, b, a0, b0, self._acc)

    def _add_odd(self, a: NDArray, b: NDArray, bits_a: NDArray, bits_b: NDArray, lowest: int) -> None:
        """A block with NaN or infinities, which are counted apart, or with squares that leave float64."""
        for side, x in (("a", a), ("b", b)):
            self._odd[f"nan_{side}"] += int(np.isnan(x).sum())
            self._odd[f"inf_{side}"] += int(np.isinf(x).sum())
        fine = np.isfinite(a) & np.isfinite(b)
        self._acc[kernel.EQUAL] += int(((a == b) | (np.isnan(a) & np.isnan(b)))[~fine].sum())
        self._acc[kernel.EQUAL] += kernel.ulps(bits_a[fine], bits_b[fine], lowest, self._acc, self._bins, self._away)
        places = np.flatnonzero(fine)
        if len(places):
            self._add_long(a[fine].astype(np.longdouble), b[fine].astype(np.longdouble), self._seen + places)
        self._measured += len(places)
        self._seen += a.size

    def _add_long(self, a: NDArray, b: NDArray, places: NDArray) -> None:
        """Products in the longest type that the machine has; shape (n,), n > 0."""
        with np.errstate(all="ignore"):
            d, s = a - b, a + b
            products = {kernel.AA: a * a, kernel.BB: b * b, kernel.AB: a * b, kernel.DD: d * d, kernel.SS: s * s,
                        kernel.DS: d * s}  # fmt: skip
            for at, values in products.items():
                self._long[at] += values.sum()
            top = np.abs(d)
            at = int(top.argmax())
            if top[at] > self._acc[kernel.MAX_ABS] or self._acc[kernel.MAX_INDEX] < 0:
                self._acc[kernel.MAX_ABS], self._acc[kernel.MAX_INDEX] = top[at], places[at]

    def row(self) -> dict[str, Any]:
        """The sums, by the names of :data:`~modelcmp.diffing.sums.FIELDS`; NaN is unknown."""
        unknown, acc = float("nan"), self._acc
        row: dict[str, Any] = {key: acc[at] + self._long[at] for key, at in _PRODUCTS.items()}
        if not self.ways:
            row |= dict.fromkeys(("uu", "vv", "uv"), unknown)
        none = acc[kernel.MAX_INDEX] < 0
        return row | self._odd | {
            "elements": self._seen, "measured": self._measured, "equal": acc[kernel.EQUAL],
            "max_abs": unknown if none else acc[kernel.MAX_ABS],
            "max_index": unknown if none else acc[kernel.MAX_INDEX],
            "ulp_max": acc[kernel.ULP_MAX] if self.ulps and self._measured else unknown,
            "ulp_median": self._median() if self.ulps and self._measured else unknown,
            "hash_equal": unknown,
        }  # fmt: skip

    def _median(self) -> float:
        """The median distance, by the middles of bins; of an even number of places the mean of the middle two."""
        middle = ((self._measured + 1) // 2, self._measured // 2 + 1)
        equal = int(self._bins[0])
        if middle[1] <= equal:
            return 0.0
        places = np.searchsorted(np.cumsum(self._bins[kernel.ONE :]) + equal, middle)
        found = [kernel.middle_of(kernel.ONE + p) if n > equal else 0.0 for p, n in zip(places, middle, strict=True)]
        return sum(found) / 2
