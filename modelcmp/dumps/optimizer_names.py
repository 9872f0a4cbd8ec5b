"""Which parameter an optimizer's state belongs to: ``state_dict()`` knows parameters by number only.

The names are those that were written with the state, else inferred from order and shapes. An inference is used only
where no other one fits; it rests on the optimizer having been given the parameters of each group in the model's order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Shape = tuple[int, ...]

#: Ends of names of tensors that belong to a model but that no optimizer changes.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "position_ids", "inv_freq", "attn_mask")


class Naming(NamedTuple):
    """Index in the optimizer's state -> parameter name, and what is to be said about it."""

    names: Mapping[Any, str]
    notes: tuple[str, ...] = ()


class Groups(NamedTuple):
    """The parameters' indices in each group, in order, and their names where the file has them."""

    indices: list[list[Any]]
    names: list[list[Any]] | None


def read_groups(optimizer: Mapping[str, Any], written: Any = None) -> Groups:
    """The groups of an optimizer's state dict; ``written`` are names for them (a list a group) or None.

    torch itself writes "param_names" into a group when the optimizer was made from ``named_parameters()``.
    Raises ValueError where a parameter is in two groups.
    """
    groups = [g for g in optimizer.get("param_groups", ()) if isinstance(g, Mapping)]
    given = [g["params"] if isinstance(g.get("params"), (list, tuple)) else [] for g in groups]
    full = [params for params in given if params]
    if len(set(map(id, full))) < len(full) or max(Counter(_flat(given)).values(), default=1) > 1:
        raise ValueError("a parameter is in two of the optimizer's groups")
    indices = [list(params) for params in given]
    for names in (written, [g.get("param_names") for g in groups]):
        if isinstance(names, (list, tuple)) and _fit(names, indices):
            return Groups(indices, [list(n) for n in names])
    return Groups(indices, None)


def _fit(names: Sequence[Any], indices: list[list[Any]]) -> bool:
    same = len(names) == len(indices) and all(isinstance(n, (list, tuple)) for n in names)
    return same and all(len(n) == len(i) for n, i in zip(names, indices, strict=True))


def name_parameters(groups: Groups, shapes: Mapping[Any, Shape], weights: Mapping[str, Shape]) -> Naming:
    """Names for the indices: the written ones, else those that order and shapes leave no doubt about.

    ``shapes``: of the state of each index, where known. ``weights``: of the model's floating-point tensors, in order.
    """
    if groups.names is not None:
        pairs = zip(_flat(groups.indices), _flat(groups.names), strict=True)
        return Naming({index: name for index, name in pairs if isinstance(name, str) and name})
    if not weights or not any(groups.indices):
        return Naming({})
    names = _infer(groups.indices, shapes, weights)
    return Naming(names, _remarks(len(_flat(groups.indices)), len(names)))


def _remarks(wanted: int, found: int) -> tuple[str, ...]:
    notes = []
    if found:
        notes.append("the optimizer's parameters have no names in the file: assumed from order and shapes")
    if found < wanted:
        notes.append(
            f"several assignments fit {wanted - found} of {wanted} parameters of the optimizer, or none does: "
            "their state is left as #0, #1, ..."
        )
    return tuple(notes)


def _infer(indices: list[list[Any]], shapes: Mapping[Any, Shape], weights: Mapping[str, Shape]) -> dict[Any, str]:
    """Try the likely parameters first; if they do not fit, all tensors."""
    likely = {n: s for n, s in weights.items() if not n.endswith(_BUFFERS)}
    for candidates in (likely, weights):
        order = _flat(indices)
        if len(order) == len(candidates) and len(indices) == 1:
            if all(shapes.get(i, s) == s for i, s in zip(order, candidates.values(), strict=True)):
                return dict(zip(order, candidates, strict=True))
            continue
        found = _settle(indices, shapes, candidates)
        if found:
            return found
    return {}


def _settle(indices: list[list[Any]], shapes: Mapping[Any, Shape], candidates: Mapping[str, Shape]) -> dict[Any, str]:
    """Name what has one place only, take those names away from the other groups, and so on."""
    found: dict[Any, str] = {}
    while True:
        new: dict[Any, str] = {}
        taken = set(found.values())
        for group in indices:
            mine = {found[i] for i in group if i in found}
            free = {n: s for n, s in candidates.items() if n in mine or n not in taken}
            new |= {
                i: n for i, n in _only_places([shapes.get(i) for i in group], group, free).items() if i not in found
            }
        claims = Counter(new.values())
        new = {i: n for i, n in new.items() if claims[n] == 1}
        if not new:
            return found
        found |= new


def _only_places(wanted: list[Shape | None], group: list[Any], candidates: Mapping[str, Shape]) -> dict[Any, str]:
    """The indices that have the same name in every order-preserving assignment of a group's shapes to candidates.

    An index can be anywhere between its place when all are matched as early, and as late, as possible.
    """
    names, have = list(candidates), list(candidates.values())
    early = _earliest(wanted, have)
    late = _earliest(wanted[::-1], have[::-1])
    if early is None or late is None:
        return {}
    last = [len(have) - 1 - place for place in reversed(late)]
    return {i: names[first] for i, first, end in zip(group, early, last, strict=True) if first == end}


def _earliest(wanted: list[Shape | None], have: list[Shape]) -> list[int] | None:
    """The first place in ``have`` for each shape, in order; None where they do not fit. An unknown shape fits any."""
    places, at = [], 0
    for shape in wanted:
        while at < len(have) and shape is not None and have[at] != shape:
            at += 1
        if at >= len(have):
            return None
        places.append(at)
        at += 1
    return places


def _flat(lists: Iterable[Iterable[Any]]) -> list[Any]:
    return [item for inner in lists for item in inner]
