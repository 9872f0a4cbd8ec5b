"""Sums over pairs of tensors that add up: of chunks to tensors, of tensors to groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
#: Products of float64 numbers need more room than float64 has: these are kept in the machine's longest type.
PRODUCTS = ("aa", "bb", "ab", "dd", "ss", "ds", "uu", "vv", "uv")

#: What is added up, in float64, over the places where both numbers are finite: with d = a - b and s = a + b.
ADDED = (
    "elements", "measured",  # all places; those where both are finite
    "equal",  # places with the same number (+0 = -0), or NaN in both
    "nan_a", "nan_b", "inf_a", "inf_b",
    "aa", "bb", "ab", "dd", "ss", "ds",
    # since the first dump, u = a - a_0 and v = b - b_0; NaN where there is no first dump to measure from
    "uu", "vv", "uv",
)  # fmt: skip
#: What the largest is kept of: |a - b| (and below, its place), ULPs between a and b.
LARGEST = ("max_abs", "ulp_max")
#: What belongs to one tensor alone and is unknown for a group.
SINGLE = ("max_index", "ulp_median", "hash_equal")
FIELDS = ADDED + LARGEST + SINGLE


@dataclass(frozen=True)
class Sums:
    """A column for each of FIELDS, shape (rows,): float64, or long double for products."""

    columns: dict[str, Array]

    def __getitem__(self, key: str) -> Array:
        return self.columns[key]

    @property
    def rows(self) -> int:
        """How many tensor pairs there are."""
        return len(self.columns["elements"])

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Sums:
        """Sums out of one mapping a row, each with all of FIELDS."""
        return cls({key: np.array([row[key] for row in rows], _type(key)) for key in FIELDS})

    @classmethod
    def unknown(cls, rows: int) -> Sums:
        """Rows where nothing is known yet: NaN everywhere."""
        return cls({key: np.full(rows, np.nan, _type(key)) for key in FIELDS})

    def summed(self, rows: np.ndarray[Any, np.dtype[np.bool_]]) -> Sums:
        """One row: the chosen rows as one vector; NaN where one of them is unknown."""
        if not rows.any():
            return Sums.unknown(1)
        added = {key: np.array([self.columns[key][rows].sum()]) for key in ADDED}
        largest = {key: np.array([_largest(self.columns[key][rows])]) for key in LARGEST}
        return Sums(added | largest | {key: np.full(1, np.nan) for key in SINGLE})


def _type(key: str) -> type[np.floating[Any]]:
    return np.longdouble if key in PRODUCTS else np.float64


def _largest(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if len(known) else float("nan")
