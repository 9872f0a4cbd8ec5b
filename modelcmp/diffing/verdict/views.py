"""Pairs of dumps as the verdict looks at them: which tensors differ, and by how much in total."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..records import KINDS, DumpPair, Kind, Side, TensorPair, Tolerance
from ..sums import Array
from .words import brief

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.int64]]  # places in a pair's tensors

#: The distance from 1 to the next number of a type; integers have none.
EPS = {
    "float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3, "float8_e5m2": 2.0**-2, "complex64": 2.0**-23, "complex128": 2.0**-52,
}  # fmt: skip
EPS32 = EPS["float32"]
#: Rounding to nearest is off by at most half the spacing, relative to the number.
STORED = 0.5
#: Spacing of types that hide small differences: what is stored in them may have been computed in others.
COARSE = 1e-4
#: A gradient below this share of all gradients' norm is what rounding leaves of a zero (a bias before a norm).
FAINT = 1e-5
#: Roundings that a recovered gradient may carry from each of its terms.
RECOVERY_EPS = 2.0


@dataclass(frozen=True)
class Layout:
    """What the tensor pairs of a pair of dumps are; shared by all pairs that hold the same tensors."""

    tensors: tuple[TensorPair, ...]
    usable: Bools
    kinds: Mapping[Kind, Bools]
    eps: Array  # of the coarser of both types; NaN for integers
    places: Mapping[tuple[Kind, str], int]
    recovered: Bools

    @classmethod
    def of(cls, tensors: tuple[TensorPair, ...]) -> Layout:
        """Look at the tensors once."""
        usable = np.array([not t.problem for t in tensors], dtype=bool)
        kinds = {k: usable & np.array([t.kind == k for t in tensors], dtype=bool) for k in KINDS}
        eps = np.array([_eps(t) for t in tensors], dtype=np.float64)
        places = {(t.kind, t.name): i for i, t in enumerate(tensors)}
        recovered = usable & np.array([t.recovered for t in tensors], dtype=bool)
        return cls(tensors, usable, kinds, eps, places, recovered)

    def causal(self, kind: Kind, chosen: Bools) -> list[int]:
        """Rows in the order in which they came about: backward passes gradients from the last layer to the first."""
        rows = [int(i) for i in np.flatnonzero(chosen & self.kinds[kind])]
        if kind != "grad":
            return rows
        return sorted(rows, key=lambda i: self.places.get(("weight", self.tensors[i].name), i), reverse=True)

    @cached_property
    def mixed(self) -> Bools:
        """Tensors that both runs store in another type."""
        other: Bools = np.array([t.dtype != t.dtype_b for t in self.tensors], dtype=bool)
        return other & self.usable

    @cached_property
    def owned(self) -> Mapping[tuple[Kind, str], list[int]]:
        """The rows of each kind that belong to a parameter."""
        found: dict[tuple[Kind, str], list[int]] = {}
        for i in np.flatnonzero(self.usable):
            found.setdefault((self.tensors[i].kind, self.tensors[i].owner), []).append(int(i))
        return found

    @cached_property
    def weight_names(self) -> tuple[str, ...]:
        """The weights that were compared, in the order of the model."""
        return tuple(self.tensors[i].name for i in np.flatnonzero(self.kinds["weight"]))

    @cached_property
    def scales(self) -> tuple[tuple[Bools, float], ...]:
        """Rows that share one scale (all gradients, all of one moment), and below which share of it one is faint."""
        keys = {t.name.rpartition("/")[2] for t in self.tensors if t.kind == "optimizer"}
        moments = [(np.array([t.name.endswith(f"/{key}") for t in self.tensors], dtype=bool), key) for key in keys]
        found = [(rows & self.kinds["optimizer"], FAINT**2 if "sq" in key else FAINT) for rows, key in moments]
        return ((self.kinds["grad"], FAINT), *found)

    def names(self, rows: Sequence[int]) -> list[str]:
        """Names in A."""
        return [self.tensors[i].name for i in rows]


def _eps(tensor: TensorPair) -> float:
    return float(np.fmax(EPS.get(tensor.dtype, math.nan), EPS.get(tensor.dtype_b, math.nan)))


@dataclass(frozen=True)
class View:
    """One pair of dumps: which rows differ beyond the tolerance (0 by default), and of which nothing is known."""

    index: int
    pair: DumpPair
    layout: Layout
    tolerance: Tolerance
    near: bool = False  # one step after the pair of dumps before, in both runs
    placeless: bool = False  # the only pair, of files that do not say where in training they are

    @cached_property
    def unequal(self) -> Bools:
        """Rows with any place that is not equal; by hash, or else by norm, where there were no tensors to compare."""
        s = self.pair.sums
        with np.errstate(invalid="ignore"):
            by_norm = np.where(np.isnan(s["aa"]) | np.isnan(s["bb"]), 0.0, s["aa"] != s["bb"])
            by_hash = np.where(np.isnan(s["hash_equal"]), by_norm, s["hash_equal"] == 0)
            found = np.where(np.isnan(s["equal"]), by_hash, s["equal"] < s["elements"])
        unequal: Bools = self.layout.usable & found.astype(bool) & ~self._recovery_rounding
        return unequal

    @cached_property
    def _recovery_rounding(self) -> Bools:
        """Gradients recovered from moments, no further apart than the subtraction rounds: not a difference.

        g = (m_t - keep m_(t-1)) / take loses eps (|m_t| + |keep m_(t-1)|) / take, and |keep m_(t-1)| is at most
        |m_t| + take |g|.
        """
        within = np.zeros(len(self.layout.tensors), dtype=bool)
        s = self.pair.sums
        finite = (s["nan_a"] == s["nan_b"]) & (s["inf_a"] == s["inf_b"])
        for row in np.flatnonzero(self.layout.recovered & finite):
            within[row] = self._lost(int(row)) >= math.sqrt(max(0.0, float(np.nan_to_num(self.pair.sums["dd"][row]))))
        return within

    def _lost(self, row: int) -> float:
        """The largest length that rounding gives a recovered gradient's difference."""
        s, owner = self.pair.sums, self.layout.tensors[row].owner
        moments = [self.row("optimizer", f"{owner}/{key}") for key in ("exp_avg", "momentum_buffer")]
        moment = next((i for i in moments if i is not None), row)
        betas = self.pair.a.settings.get(owner, {}).get("betas") or (0.0,)
        sizes = [2 * math.sqrt(s[x][moment]) / (1 - float(betas[0])) + math.sqrt(s[x][row]) for x in ("aa", "bb")]
        return float(RECOVERY_EPS * self.layout.eps[row] * max(sizes))

    @cached_property
    def differs(self) -> Bools:
        """Rows that differ by more than the tolerance: of the norms alone, where only those are known.

        What storing in the coarser of two types rounds is no difference, and with a tolerance nothing faint is.
        """
        if self.tolerance == Tolerance() and not self.layout.mixed.any():
            return self.unequal
        s = self.pair.sums
        with np.errstate(invalid="ignore"):
            a, b = np.sqrt(s["aa"]), np.sqrt(s["bb"])
            allowed = self.tolerance.atol + self.tolerance.rtol * np.fmax(a, b)
            allowed += np.where(self.layout.mixed, STORED * np.nan_to_num(self.layout.eps) * np.fmax(a, b), 0)
            size = np.where(np.isnan(s["dd"]), np.abs(a - b), np.sqrt(s["dd"]))
            outside = ~(size <= allowed)
        for key in ("nan", "inf"):
            there = s[f"{key}_a"], s[f"{key}_b"]
            outside |= (there[0] != there[1]) & ~np.isnan(there[0] + there[1])
        return self.unequal & (outside if self.tolerance == Tolerance() else outside & ~self.faint)

    @cached_property
    def faint(self) -> Bools:
        """Gradients and moments so small beside the others of the model, in both runs, that they are rounding."""
        s = self.pair.sums
        found = np.zeros(len(self.layout.tensors), dtype=bool)
        for rows, share in self.layout.scales:
            whole = max(float(np.nansum(s[key][rows])) for key in ("aa", "bb"))
            with np.errstate(invalid="ignore"):
                found |= rows & (np.maximum(s["aa"], s["bb"]) < share**2 * whole)
        return found & self.finite

    @cached_property
    def finite(self) -> Bools:
        """Rows without NaN and infinity in either run, as far as is known."""
        s = self.pair.sums
        bad = sum(np.nan_to_num(s[key]) for key in ("nan_a", "nan_b", "inf_a", "inf_b"))
        return np.asarray(bad == 0, dtype=bool)

    @cached_property
    def _changed(self) -> Bools:
        """Rows that are known not to be the same; a tolerance proves no equality."""
        return self.differs if self.tolerance == Tolerance() else self.unequal

    @cached_property
    def unknown(self) -> Bools:
        """Rows of which neither elements nor a hash were compared."""
        s = self.pair.sums
        return self.layout.usable & np.isnan(s["equal"]) & np.isnan(s["hash_equal"])

    @cached_property
    def compared(self) -> Bools:
        """Rows of which anything was compared: elements, a hash, or at least norms."""
        s = self.pair.sums
        found: Bools = self.layout.usable & ~(self.unknown & np.isnan(s["aa"] + s["bb"]))
        return found

    @cached_property
    def by_hash(self) -> Bools:
        """Rows compared by hash alone."""
        s = self.pair.sums
        return self.layout.usable & np.isnan(s["equal"]) & ~np.isnan(s["hash_equal"])

    def scalars(self, key: str) -> tuple[float, float] | None:
        """The loss (or acc) of both, where both are known."""
        a, b = getattr(self.pair.a, key), getattr(self.pair.b, key)
        return None if a is None or b is None else (float(a), float(b))

    def scalar_unequal(self, key: str) -> bool:
        """Whether both have a loss (or acc) and not the same; NaN is the same as NaN."""
        both = self.scalars(key)
        return both is not None and both[0] != both[1] and not (math.isnan(both[0]) and math.isnan(both[1]))

    def scalar_differs(self, key: str) -> bool:
        """Whether they differ by more than the tolerance."""
        both = self.scalars(key)
        if both is None or not self.scalar_unequal(key):
            return False
        allowed = self.tolerance.atol + self.tolerance.rtol * max(map(abs, both))
        return not (all(map(math.isfinite, both)) and abs(both[0] - both[1]) <= allowed)

    def any_number_differs(self) -> bool:
        """Whether a tensor, a loss or an accuracy differs by more than the tolerance."""
        return bool(self.differs.any()) or self.scalar_differs("loss") or self.scalar_differs("acc")

    def any_number_unequal(self) -> bool:
        """The same with no tolerance."""
        return bool(self.unequal.any()) or self.scalar_unequal("loss") or self.scalar_unequal("acc")

    @property
    def initial(self) -> bool:
        """Whether it is the state before any step (or a file that knows of no step, loss and batch)."""
        a = self.pair.a
        return self.index == 0 and a.step in (0, None) and a.loss is None and a.fingerprint is None

    @property
    def at(self) -> str:
        """Its place in words, " at step 10"; nothing where it has none."""
        return "" if self.placeless else f" at {brief(self.pair)}"

    def same(self, *kinds: Kind) -> bool:
        """Whether there are tensors of the first kind, and none of these kinds differs at all or is unknown."""
        chosen = np.logical_or.reduce([self.layout.kinds[k] for k in kinds])
        open_rows = chosen & (self._changed | self.unknown)
        return bool(self.layout.kinds[kinds[0]].any() and not open_rows.any())

    def relative_l2(self, rows: Bools) -> float:
        """||a - b|| / max(||a||, ||b||) over the rows together; NaN where there are none or one is unknown."""
        s = self.pair.sums
        if not rows.any():
            return math.nan
        dd, aa, bb = (float(s[key][rows].sum()) for key in ("dd", "aa", "bb"))
        whole = max(aa, bb)
        return math.sqrt(dd / whole) if whole > 0 else math.nan if math.isnan(dd + aa + bb) else 0.0

    def agree(self, kind: Kind, owners: Sequence[str]) -> bool:
        """Whether each of these parameters has a gradient (or optimizer state); none differs at all or is unknown."""
        rows = [i for owner in owners for i in self.layout.owned.get((kind, owner), [-1])]
        return bool(rows) and all(i >= 0 and not self._changed[i] and not self.unknown[i] for i in rows)

    def row(self, kind: Kind, name: str) -> int | None:
        """The row of a tensor, where it is there and was compared."""
        i = self.layout.places.get((kind, name))
        return i if i is not None and self.layout.usable[i] else None


def look(pairs: Sequence[DumpPair], tolerance: Tolerance) -> tuple[View, ...]:
    """Views of all pairs; layouts are made once for each set of tensors."""
    layouts: dict[int, Layout] = {}
    views = []
    for i, pair in enumerate(pairs):
        key = id(pair.tensors)
        if key not in layouts:
            layouts[key] = Layout.of(pair.tensors)
        near = i > 0 and consecutive(pairs[i - 1], pair)
        placeless = len(pairs) == 1 and (pair.a.step, pair.a.epoch, pair.a.batch) == (None, None, None)
        views.append(View(i, pair, layouts[key], tolerance, near, placeless))
    return tuple(views)


def consecutive(before: DumpPair, after: DumpPair) -> bool:
    """Whether one optimizer step (or batch, where steps are not known) lies between two dumps, in both runs."""
    return all(_next(x, y) for x, y in ((before.a, after.a), (before.b, after.b)))


def _next(x: Side, y: Side) -> bool:
    if x.step is not None and y.step is not None:
        return y.step - x.step == 1
    return x.epoch == y.epoch and x.batch is not None and y.batch is not None and y.batch - x.batch == 1
