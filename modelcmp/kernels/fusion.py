"""What a compiler makes of the kernels: chains of pointwise ops, norms, reductions and copies become one.

Matrix products and convolutions stay the library's kernels, with nothing folded in: so does
TorchInductor by default (Ansel et al., *PyTorch 2*, ASPLOS 2024, section 5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..records import Trace
from .kernel import PRODUCTS, Kernel

if TYPE_CHECKING:
    from .launched import Launch

_ALONE = frozenset({*PRODUCTS, "pool", "lookup", "other"})
_Value = tuple[int, int]


def fused(launches: list[Launch], trace: Trace) -> Iterator[Kernel]:
    """The kernels that are left, in the order of the first op of each."""
    groups = _groups(launches)
    members: dict[int, list[Launch]] = {}
    for mine, launch in zip(groups, launches, strict=True):
        members.setdefault(mine, []).append(launch)
    moved = _moved(launches, groups, trace)
    for mine, launched in members.items():
        kernel = launched[0].kernel
        if len(launched) == 1:
            yield kernel
            continue
        read, write = moved.get(mine, (0.0, 0.0))
        yield Kernel(
            kernel.module, " + ".join(dict.fromkeys(k.op for k, _ in launched)), _kind(launched), kernel.dtype,
            sum(k.flops for k, _ in launched), 0.0, read, write, sum(k.weight_bytes for k, _ in launched),
            n=max(k.n for k, _ in launched), layout=kernel.layout, distance_bytes=kernel.distance_bytes,
        )  # fmt: skip


def _kind(launched: list[Launch]) -> str:
    kinds = {k.kind for k, _ in launched}
    return next((kind for kind in ("softmax", "row_norm", "group_norm", "reduction") if kind in kinds), "fused")


def _groups(launches: list[Launch]) -> list[int]:
    """Group of each launch: it joins the one that made its latest input, where that goes on."""
    group: dict[_Value, int] = {}
    head: dict[int, _Value] = {}
    alone: set[int] = set()
    found: list[int] = []
    for i, (kernel, op) in enumerate(launches):
        mine = i
        if op is None:  # a copy or cast before an op: reads what the op reads
            op = next((later for _, later in launches[i + 1 : i + 12] if later is not None), None)
        if kernel.kind in _ALONE:
            alone.add(i)
        elif op is not None:
            made = [group[r[:2]] for r in op.reads if r[:2] in group and head.get(group[r[:2]]) == r[:2]]
            mine = max((g for g in made if g not in alone), default=i)
        found.append(mine)
        made_by = launches[i].op
        if made_by is not None:
            for w in made_by.writes:
                group[w[:2]] = mine
                head[mine] = w[:2]
    return found


def _moved(launches: list[Launch], groups: list[int], trace: Trace) -> dict[int, tuple[float, float]]:
    """Bytes that each group reads from others, and writes for others or for the end."""
    made_by: dict[_Value, int] = {}
    size: dict[_Value, int] = {}
    read: dict[tuple[_Value, int], int] = {}
    used: set[_Value] = {value[:2] for value in trace.outputs}
    for mine, (_, op) in zip(groups, launches, strict=True):
        if op is None:
            continue
        for buffer, version, nbytes in op.reads:
            value = (buffer, version)
            if made_by.get(value) != mine:
                whole = trace.buffer_bytes.get(buffer, math.inf)
                read[value, mine] = int(min(read.get((value, mine), 0) + nbytes, whole))
                used.add(value)
        for w in op.writes:
            made_by[w[:2]] = mine
            size[w[:2]] = w.nbytes
    reads: Counter[int] = Counter()
    for (_, mine), nbytes in read.items():
        reads[mine] += nbytes
    writes: Counter[int] = Counter()
    for value, nbytes in size.items():
        if value in used:
            writes[made_by[value]] += nbytes
    return {mine: (float(reads[mine]), float(writes[mine])) for mine in {*reads, *writes}}
