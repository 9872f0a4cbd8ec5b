"""A map file applied to two state dicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...errors import BadInput
from ...registry import suggest
from ..records import Alignment, Match
from .map_file import NameMap, Pair, Rule
from .patterns import searched, substituted
from .state import State
from .transforms import Shape, Transform

GIVEN = "map"


def applied(name_map: NameMap, a: Mapping[str, Shape], b: Mapping[str, Shape]) -> tuple[State, dict[str, str]]:
    """The state after a map, and A's own names by the names that the map's rules gave them.

    Raises BadInput for names that are not there, tensors given twice, rows that a tensor does not have, and rules that
    match nothing.
    """
    pairs, new_names, changed = _renamed(name_map, a)
    _check_pairs(pairs, a, b)
    own_names = {new: old for old, new in new_names.items()}
    state = State.of({new_names[name]: shape for name, shape in a.items()}, b)
    state.take(Match(new_names[p.name], p.name_b, 1.0, GIVEN, str(p.transform)) for p in pairs)
    direct = [new_names[name] for name in changed if new_names[name] in state.left_b]
    state.take(Match(name, name, 1.0, GIVEN) for name in direct)
    _set_aside(name_map, state, own_names, new_names)
    return state, own_names


def with_own_names(alignment: Alignment, own_names: Mapping[str, str]) -> Alignment:
    """The alignment under A's own names."""
    return replace(
        alignment,
        matches=tuple(replace(match, name=own_names[match.name]) for match in alignment.matches),
        only_a=tuple(own_names[name] for name in alignment.only_a),
        ambiguous=tuple((own_names[name], others) for name, others in alignment.ambiguous),
    )


def _check_pairs(pairs: Sequence[Pair], a: Mapping[str, Shape], b: Mapping[str, Shape]) -> None:
    taken: dict[tuple[str, str], list[tuple[slice | None, str]]] = {}
    for pair in pairs:
        _check_known(pair.name, a, "A", pair.where)
        _check_known(pair.name_b, b, "B", pair.where)
        _check_rows(pair, a[pair.name], b[pair.name_b])
        for side, name, rows in (("A", pair.name, pair.transform.rows_a), ("B", pair.name_b, pair.transform.rows_b)):
            others = taken.setdefault((side, name), [])
            for other, where in others:
                if _overlap(rows, other):
                    raise BadInput(f"{pair.where}: {name!r} of {side} is given twice; the first time at {where}")
            others.append((rows, pair.where))


def _overlap(a: slice | None, b: slice | None) -> bool:
    return a is None or b is None or (a.start < b.stop and b.start < a.stop)


def _check_known(name: str, known: Mapping[str, object], side: str, where: str) -> None:
    if name not in known:
        example = next(iter(known), "")
        fallback = f"it has {len(known)} tensors, such as {example!r}" if known else "it has no tensors"
        raise BadInput(f"{where}: {side} has no tensor {name!r}: {suggest(name, known, fallback)}")


def _check_rows(pair: Pair, a: Shape, b: Shape) -> None:
    """That a tensor has the rows that the map takes of it, and can be turned where the map says so."""
    transform = pair.transform
    if transform.transpose and len(b if transform.rows_a is None else a) != 2:
        raise BadInput(f"{pair.where}: only matrices are transposed; {pair.name!r} and {pair.name_b!r} are {a} and {b}")
    for name, rows, shape in ((pair.name, transform.rows_a, a), (pair.name_b, transform.rows_b, b)):
        shape = shape[::-1] if transform.transpose else shape
        if rows is not None and (not shape or rows.stop > shape[0]):
            has = f"{shape[0]} rows" if shape else "no rows"
            raise BadInput(f"{pair.where}: {name!r} has {has}, not {rows.start}:{rows.stop}")


def _renamed(name_map: NameMap, a: Mapping[str, Shape]) -> tuple[list[Pair], dict[str, str], dict[str, Rule]]:
    """All pairs that the map gives, new names by old ones, and the last rule that changed each.

    Names that the map gives exactly stay as they are; a rule with a transform gives pairs.
    """
    pairs = list(name_map.pairs)
    settled = {pair.name for pair in pairs}
    names = {name: name for name in a}
    changed: dict[str, Rule] = {}
    for rule in name_map.rules:
        free = [name for name in names if name not in settled]
        hits = [n for n, hit in zip(free, searched(rule.pattern, [names[n] for n in free]), strict=True) if hit]
        if not hits:
            raise BadInput(f"{rule.where}: the pattern {rule.pattern.pattern!r} matches no name of A that is left")
        new = dict(zip(hits, substituted(rule.pattern, rule.to, [names[n] for n in hits]), strict=True))
        if rule.transform == Transform():
            names |= new
            changed |= dict.fromkeys(hits, rule)
        else:
            pairs += [Pair(name, to, rule.transform, rule.where) for name, to in new.items()]
            settled |= set(hits)
    _check_renamed(names, changed)
    return pairs, names, changed


def _check_renamed(names: Mapping[str, str], changed: Mapping[str, Rule]) -> None:
    twice = [new for new, count in Counter(names.values()).items() if count > 1]
    if twice:
        old = [name for name, new in names.items() if new == twice[0]]
        where = next(changed[name].where for name in old if name in changed)
        raise BadInput(f"{where}: {' and '.join(map(repr, old[:2]))} of A are both renamed to {twice[0]!r}")


def _set_aside(name_map: NameMap, state: State, own_names: Mapping[str, str], new_names: Mapping[str, str]) -> None:
    """Leave out what the map ignores, and leave open what it leaves open."""
    names_a, names_b = list(state.left_a), list(state.left_b)
    for pattern, where in name_map.ignore:
        hits_a = searched(pattern, [own_names[name] for name in names_a])
        hits_b = searched(pattern, names_b)
        if not any(hits_a) and not any(hits_b):
            raise BadInput(f"{where}: the pattern {pattern.pattern!r} matches no name of A or B that is left")
        for left, names, hits in ((state.left_a, names_a, hits_a), (state.left_b, names_b, hits_b)):
            for name, hit in zip(names, hits, strict=True):
                if hit:
                    left.pop(name, None)
    for name, (others, where) in name_map.open.items():
        _check_known(name, new_names, "A", where)
        for other in others:
            _check_known(other, state.b, "B", where)
        state.open[new_names[name]] = dict.fromkeys(others)
