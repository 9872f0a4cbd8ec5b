"""Sequences of modules, aligned in order by shape: the longest common subsequence, and where it is not the only one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .names import family, numbers
from .transforms import Shape, flattened, squeezed
from .units import Unit

Scores = np.ndarray[Any, np.dtype[np.int32]]
#: More cells than this are not searched: two models of 4,000 modules each without a name in common.
LARGEST = 16_000_000
_MOST_CANDIDATES = 20
#: What a pair is worth: one pair more counts more than a nicer one.
_PAIR, _ANCHOR = 10, 40


@dataclass(frozen=True, slots=True)
class Aligned:
    """Pairs that every best alignment holds, and for other rows the columns that some best alignment gives them."""

    pairs: list[tuple[int, int]]
    open: dict[int, list[int]]
    complete: bool  # every row and every column has its partner


def monotone(scores: Scores) -> Aligned:
    """The best alignments in order of rows and columns; a score of 0 is no pair. Shape (rows, columns)."""
    if scores.size == 0 or scores.size > LARGEST:
        return Aligned([], {}, False)
    before, after = _best(scores), _best(scores[::-1, ::-1])[::-1, ::-1]
    total = before[-1, -1]
    on_path = (scores > 0) & (before[:-1, :-1] + scores + after[1:, 1:] == total)
    can_skip = (before[:-1] + after[1:] == total).any(axis=1)
    single = (on_path.sum(axis=1) == 1) & ~can_skip
    single_column = on_path.sum(axis=0) == 1
    pairs: list[tuple[int, int]] = []
    others: dict[int, list[int]] = {}
    for row in np.flatnonzero(on_path.any(axis=1)):
        columns = np.flatnonzero(on_path[row])
        if single[row] and single_column[columns[0]]:
            pairs.append((int(row), int(columns[0])))
        else:
            others[int(row)] = [int(c) for c in columns[:_MOST_CANDIDATES]]
    return Aligned(pairs, others, len(pairs) == scores.shape[0] == scores.shape[1])


def _best(scores: Scores) -> Scores:
    """The best total over the first i rows and j columns, at [i, j]."""
    rows, columns = scores.shape
    best = np.zeros((rows + 1, columns + 1), dtype=np.int32)
    for i in range(rows):
        taken = np.where(scores[i] > 0, best[i, :-1] + scores[i], 0)
        best[i + 1, 1:] = np.maximum.accumulate(np.maximum(best[i, 1:], taken))
    return best


def scores(a: Sequence[Unit], b: Sequence[Unit], transposed: bool) -> Scores:
    """How well modules go together, from shapes and roles; 0 where they don't."""
    exact = _same([u.shape for u in a], [u.shape for u in b])
    loose = _same([squeezed(u.shape) for u in a], [squeezed(u.shape) for u in b])
    loose |= _same([flattened(u.shape) for u in a], [flattened(u.shape) for u in b])
    if transposed:
        loose |= _same([_turned(u.shape) for u in a], [u.shape for u in b])
    if any(u.statistics for u in a) and any(u.statistics for u in b):
        alike = _same([u.statistics for u in a], [u.statistics for u in b])
        exact, loose = exact & alike, loose & alike
    unknown_a, unknown_b = _has(a, ""), _has(b, "")
    roles = _same([u.role for u in a], [u.role for u in b])
    possible = (exact | loose) & (roles | unknown_a[:, None] | unknown_b[None, :])
    bias = _same(["bias" in u.leaves for u in a], ["bias" in u.leaves for u in b])
    worth = _PAIR + 2 * exact + bias + roles + (roles & ~unknown_a[:, None])
    return np.where(possible, worth, 0).astype(np.int32)


def with_anchors(scored: Scores, anchors: Iterable[tuple[int, int]]) -> Scores:
    """The scores where some rows and columns are given to each other already."""
    scored = scored.copy()
    anchors = list(anchors)
    for row, column in anchors:
        scored[row, :] = 0
        scored[:, column] = 0
    for row, column in anchors:
        scored[row, column] = _ANCHOR
    return scored


def _has(units: Sequence[Unit], role: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([u.role == role for u in units], dtype=bool)


def _turned(shape: Shape) -> Shape | None:
    return shape[::-1] if len(shape) == 2 else None


def _same(a: Sequence[Hashable], b: Sequence[Hashable]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where two lists hold the same; shape (a, b)."""
    codes: dict[Hashable, int] = {}
    left = np.array([codes.setdefault(x, len(codes)) for x in a], dtype=np.int64)
    right = np.array([codes.setdefault(x, len(codes)) for x in b], dtype=np.int64)
    return np.asarray(left[:, None] == right[None, :])


def contradicted(pairs: Sequence[tuple[Unit, Unit]]) -> set[int]:
    """Pairs, by number, that order puts together and names don't: ``fc1, fc2`` in A and ``lin2, lin1`` in B."""
    stacks: dict[Hashable, list[int]] = defaultdict(list)
    shapes: dict[Hashable, list[int]] = defaultdict(list)
    for i, (a, b) in enumerate(pairs):
        stacks[a.shape, family(a.path), family(b.path)].append(i)
        shapes[a.shape].append(i)
    wrong = {i for members in stacks.values() if _out_of_order([pairs[i] for i in members]) for i in members}
    return wrong | {i for members in shapes.values() for i in _crossed(members, pairs)}


def _out_of_order(stack: Sequence[tuple[Unit, Unit]]) -> bool:
    ordered = sorted((numbers(a.path), numbers(b.path)) for a, b in stack)
    return any(one[1] > other[1] for one, other in pairwise(ordered))


def _crossed(members: Sequence[int], pairs: Sequence[tuple[Unit, Unit]]) -> list[int]:
    words = [(_word(pairs[i][0].path), _word(pairs[i][1].path)) for i in members]
    in_a, in_b = {a for a, _ in words}, {b for _, b in words}
    return [i for i, (a, b) in zip(members, words, strict=True) if a != b and a in in_b and b in in_a]


def _word(path: str) -> str:
    """The last component that has letters, without its number."""
    named = [part for part in path.lower().split(".") if any(c.isalpha() for c in part)]
    return family(named[-1]).strip("#_") if named else ""
