"""A diff as columns over its pairs of dumps: what its files, tables and pictures share. NaN is unknown, never zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..diffing.measures import Columns, derive
from ..diffing.records import KINDS, DumpPair, Group, Kind, RunDiff, Side
from ..diffing.sums import FIELDS, Array, Sums

Scalar = Literal["loss", "acc"]
#: All tensors of a kind, and the two groups of them.
GROUPS: tuple[Group | None, ...] = (None, "mlp", "backbone")


def group_word(group: Group | None) -> str:
    """What files call a group."""
    return group or "total"


def broken_places(columns: Columns) -> Array:
    """How many numbers are NaN or infinite in A and B together; shape (rows,)."""
    return columns["nan_a"] + columns["nan_b"] + columns["inf_a"] + columns["inf_b"]


@dataclass(frozen=True)
class Series:
    """All pairs of dumps in order of time; every array has shape (pairs,)."""

    pairs: tuple[DumpPair, ...]

    @cached_property
    def steps(self) -> Array:
        """Where on the time axis the pairs are."""
        return np.array([p.step for p in self.pairs], dtype=float)

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of tensors that any pair holds, in the order of their causes."""
        found = {t.kind for tensors in {id(p.tensors): p.tensors for p in self.pairs}.values() for t in tensors}
        return tuple(k for k in KINDS if k in found)

    @cached_property
    def _totals(self) -> dict[tuple[Kind, Group | None], Columns]:
        return {}

    def totals(self, kind: Kind = "weight", group: Group | None = None) -> Columns:
        """The measures of all tensors of a kind (and group) as one vector, over the pairs."""
        key = (kind, group)
        if key not in self._totals:
            self._totals[key] = _totals(self.pairs, kind, group)
        return self._totals[key]

    def scalar(self, what: Scalar, side: Literal["a", "b"]) -> Array:
        """Loss or accuracy of a side as it was recorded; NaN where it is unknown, or was NaN."""
        values = [getattr(getattr(p, side), what) for p in self.pairs]
        return np.array([math.nan if v is None else float(v) for v in values])

    def difference(self, what: Scalar) -> Array:
        """How far B's loss or accuracy is above A's."""
        with np.errstate(invalid="ignore"):
            return self.scalar(what, "b") - self.scalar(what, "a")

    def recorded(self, what: Scalar) -> bool:
        """Whether any dump says it, be it NaN."""
        return any(getattr(s, what) is not None for p in self.pairs for s in (p.a, p.b))

    def broken(self, what: Scalar, side: Literal["a", "b"]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Where a loss or accuracy was recorded as NaN or infinite."""
        values = [getattr(getattr(p, side), what) for p in self.pairs]
        return np.array([v is not None and not math.isfinite(v) for v in values], dtype=bool)


def series(diff: RunDiff) -> Series:
    """The pairs of a diff over time."""
    return Series(diff.pairs)


def _totals(pairs: Sequence[DumpPair], kind: Kind, group: Group | None) -> Columns:
    chosen: dict[int, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    rows = []
    for pair in pairs:
        if id(pair.tensors) not in chosen:
            chosen[id(pair.tensors)] = pair.rows(kind, group)
        rows.append(pair.sums.summed(chosen[id(pair.tensors)]))
    return derive(Sums({key: np.array([r[key][0] for r in rows]) for key in FIELDS}))


def batch_agreement(a: Side, b: Side) -> str | None:
    """Whether both saw the same batch: "same", "other order", "other targets" or "other"; None where it is unknown."""
    x, y = a.fingerprint or {}, b.fingerprint or {}
    if not x.get("inputs") or not y.get("inputs"):
        return None
    if x["inputs"] == y["inputs"]:
        both = x.get("targets"), y.get("targets")
        return "other targets" if all(both) and both[0] != both[1] else "same"
    return "other order" if x.get("samples") and x["samples"] == y.get("samples") else "other"
