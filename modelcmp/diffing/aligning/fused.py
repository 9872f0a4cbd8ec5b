"""Fused projections: q, k and v in one tensor on one side, in three on the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .units import Leaf, Unit

#: The fused role, and the roles of its rows from the top.
FUSED = {
    "qkv": ("q", "k", "v"),
    "cross_qkv": ("cross_q", "cross_k", "cross_v"),
    "kv": ("k", "v"),
    "cross_kv": ("cross_k", "cross_v"),
}


def fused_alike(a: list[Unit], b: list[Unit]) -> tuple[list[Unit], list[Unit]]:
    """Both with the same projections fused: parts become one unit where the other side has more fused ones."""
    for role in FUSED:
        have_a, have_b = _count(a, role), _count(b, role)
        if have_a != have_b:
            a, b = fuse(a, role), fuse(b, role)
    return a, b


def _count(units: Iterable[Unit], role: str) -> int:
    return sum(unit.role == role for unit in units)


def fuse(units: list[Unit], role: str) -> list[Unit]:
    """The units with the parts of a fused role, where all are there and fit, as one unit in place of the first."""
    places: dict[str, dict[str, Unit]] = defaultdict(dict)
    for unit in units:
        if unit.role in FUSED[role]:
            places[unit.place][unit.role] = unit
    whole = {place: fusedup for place, parts in places.items() if (fusedup := _whole(parts, role)) is not None}
    first, rest = FUSED[role][0], FUSED[role][1:]
    made: list[Unit] = []
    for unit in units:
        if unit.place in whole and unit.role == first:
            made.append(whole[unit.place])
        elif unit.place not in whole or unit.role not in rest:
            made.append(unit)
    return made


def _whole(parts: Mapping[str, Unit], role: str) -> Unit | None:
    if set(parts) != set(FUSED[role]):
        return None
    ordered = [parts[name] for name in FUSED[role]]
    shared = [leaf for leaf in ordered[0].leaves if all(leaf in unit.leaves for unit in ordered)]
    leaves = {leaf: _stacked([unit.leaves[leaf] for unit in ordered]) for leaf in shared}
    fitting = {name: leaf for name, leaf in leaves.items() if leaf is not None}
    if "weight" not in fitting:
        return None
    place = ordered[0].place
    return replace(ordered[0], key=f"{place}.{role}".strip("."), role=role, leaves=fitting)


def _stacked(parts: list[Leaf]) -> Leaf | None:
    """One tensor below the other; None where they don't fit."""
    widths = {part.shape[1:] for part in parts}
    if len(widths) != 1 or any(not part.shape or len(part.names) > 1 or part.kernel for part in parts):
        return None
    rows = tuple(part.shape[0] for part in parts)
    return Leaf((sum(rows), *widths.pop()), tuple(part.names[0] for part in parts), rows)
