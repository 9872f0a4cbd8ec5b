"""Which tensors of two dumps are measured against each other, and how each is brought into the same form."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..dumps.dump import Dump
from ..dumps.stats import tensor_stats
from ..dumps.tensor import TensorRef
from .aligning.transforms import Transform, parse_transform
from .records import Alignment, Group, Kind, TensorPair
from .stat_rows import stat_row
from .sums import FIELDS

Change = Callable[[torch.Tensor], torch.Tensor]
Row = Mapping[str, Any]

#: What modules call their running statistics and fixed tables; integers are never trained either.
_BUFFERS = (
    "running_mean", "running_var", "num_batches_tracked", "relative_position_index", "position_ids", "attn_mask"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """A pair of tensors, and what is done to each before they are measured."""

    pair: TensorPair
    key_a: str  # where they are in their dumps
    key_b: str
    change_a: Change | None = None
    change_b: Change | None = None


class Plan:
    """The pairs of tensors of two runs; made for each kind of dump that they hold."""

    def __init__(self, alignment: Alignment, groups: Mapping[str, Group], chosen: Collection[str]) -> None:
        self.groups, self.chosen = groups, chosen
        self.matches = [(m, parse_transform(m.transform)) for m in alignment.matches]
        self.to_b = {m.name: m.name_b for m in alignment.matches}
        self.to_a = {m.name_b: m.name for m in alignment.matches}
        self._known: dict[object, tuple[Planned, ...]] = {}

    def of(self, a: Dump, b: Dump) -> tuple[Planned, ...]:
        """What to measure of two dumps, in the order of A's model; the same object for dumps of the same make."""
        make = (_make(a), _make(b))
        if make not in self._known:
            self._known[make] = tuple(self._planned(a, b))
        return self._known[make]

    def _planned(self, a: Dump, b: Dump) -> list[Planned]:
        found = [*self._kind("weight", a.weights, b.weights), *self._kind("grad", a.grads, b.grads)]
        return found + self._states(a, b)

    def _kind(self, kind: Kind, a: Mapping[str, TensorRef], b: Mapping[str, TensorRef]) -> list[Planned]:
        found = []
        for match, transform in self.matches:
            group = self.groups.get(match.name, "backbone")
            if match.name in a and match.name_b in b and match.name in self.chosen:
                ref_a, ref_b = a[match.name], b[match.name_b]
                real = "buffer" if kind == "weight" and is_buffer(match.name, ref_a) else kind
                found.append(_plan(real, group, (match.name, ref_a), (match.name_b, ref_b), transform))
        return found

    def statistics(self, a: Dump, b: Dump, known: Collection[tuple[Kind, str]]) -> list[tuple[TensorPair, Row]]:
        """Tensors that only statistics are there of, in both dumps, and are not known already."""
        found = []
        for kind, key in (("grad", "grads"), ("optimizer", "optimizer"), ("weight", "weights")):
            told_a, told_b = Told(a, key), Told(b, key)
            for name in told_a.names if a.stats or b.stats else ():
                owner, state = name.partition("/")[::2] if kind == "optimizer" else (name, "")
                other = self.to_b.get(owner, "") + (f"/{state}" if state else "")
                real: Kind = "buffer" if kind == "weight" and is_buffer(name) else kind  # type: ignore[assignment]
                if owner in self.chosen and other in told_b.names and (real, name) not in known:
                    group, rows = self.groups.get(owner, "backbone"), (told_a[name], told_b[other])
                    found.append(_told(name, other, real, group, *rows))
        return found

    def _states(self, a: Dump, b: Dump) -> list[Planned]:
        """Optimizer state of each parameter, whatever its place in the optimizer."""
        keys: dict[str, list[str]] = {}
        for name in a.optimizer_state:
            owner, _, key = name.partition("/")
            keys.setdefault(owner, []).append(key)
        found = []
        for match, transform in self.matches:
            group = self.groups.get(match.name, "backbone")
            if match.name not in self.chosen:
                continue
            for key in keys.get(match.name, ()):
                name, name_b = f"{match.name}/{key}", f"{match.name_b}/{key}"
                if name_b not in b.optimizer_state:
                    continue
                ref_a, ref_b = a.optimizer_state[name], b.optimizer_state[name_b]
                shaped = ref_a.shape == a.weights[match.name].shape if match.name in a.weights else True
                change = transform if shaped else parse_transform("")
                found.append(_plan("optimizer", group, (name, ref_a), (name_b, ref_b), change))
        return found


def is_buffer(name: str, ref: TensorRef | None = None) -> bool:
    """Whether a tensor of a state dict is a buffer, as far as its name and type tell."""
    whole = ref is not None and not (ref.dtype.is_floating_point or ref.dtype.is_complex)
    return whole or name.rpartition(".")[2] in _BUFFERS


def _make(dump: Dump) -> object:
    """What two dumps of the same make have in common."""
    sides = (dump.weights, dump.grads, dump.optimizer_state)
    return tuple(tuple((name, r.shape, r.dtype) for name, r in side.items()) for side in sides)


def _plan(kind: Kind, group: Group, a: tuple[str, TensorRef], b: tuple[str, TensorRef], t: Transform) -> Planned:
    (name_a, ref_a), (name_b, ref_b) = a, b
    shape_a, shape_b = t.shapes(ref_a.shape, ref_b.shape)
    problem = "" if shape_a == shape_b else f"shapes differ: {shape_a} and {shape_b}"
    if ref_a.dtype.is_complex != ref_b.dtype.is_complex:
        problem = f"types differ: {_type(ref_a.dtype)} and {_type(ref_b.dtype)}"
    pair = TensorPair(
        name_a + _rows(t.rows_a), name_b + _rows(t.rows_b), kind, group, shape_a,
        _type(ref_a.dtype), _type(ref_b.dtype), problem,
    )  # fmt: skip
    turned_a, turned_b = t.transpose and bool(t.rows_a), t.transpose and not t.rows_a
    return Planned(pair, name_a, name_b, _change(t.rows_a, turned_a), _change(t.rows_b, turned_b))


class Told:
    """The statistics of a dump's tensors of a kind: as they stand in it, or of the tensors themselves."""

    def __init__(self, dump: Dump, key: str) -> None:
        self._stats = dump.stats.get(key, {})
        held = {"weights": dump.weights, "grads": dump.grads, "optimizer": dump.optimizer_state}
        self._tensors = held[key]
        self.names = dict.fromkeys((*self._stats, *self._tensors))

    def __getitem__(self, name: str) -> Row:
        return self._stats[name] if name in self._stats else tensor_stats(self._tensors[name].load())


def _told(name_a: str, name_b: str, kind: Kind, group: Group, a: Row, b: Row) -> tuple[TensorPair, Row]:
    """A pair of tensors that only statistics are known of."""
    sizes = (int(a["elements"]),), (int(b["elements"]),)
    problem = "" if sizes[0] == sizes[1] else f"sizes differ: {sizes[0][0]} and {sizes[1][0]} numbers"
    pair = TensorPair(name_a, name_b, kind, group, sizes[0], "", "", problem)
    return pair, dict.fromkeys(FIELDS, float("nan")) if problem else stat_row(a, b)


def _change(rows: slice | None, turned: bool) -> Change | None:
    """What brings a tensor into the form that both share; a new shape needs nothing, the numbers keep their order."""
    if rows is None and not turned:
        return None

    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.T if turned else tensor
        return tensor if rows is None else tensor[rows]

    return change


def _rows(rows: slice | None) -> str:
    return "" if rows is None else f"[{rows.start}:{rows.stop}]"


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
