"""Data of the map of differences: one row a tensor or layer, one column a pair of dumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from ...diffing.records import KINDS, Kind, RunDiff
from ...diffing.sums import Sums
from ..diff_series import series
from ..diff_words import COMPARABLE, place_words, what_words

Grid = np.ndarray[tuple[int, int], np.dtype[np.float64]]
#: What a cell is besides a figure.
FIGURE, EQUAL, UNKNOWN, BROKEN = range(4)
#: More rows than can be read are put together by layer; more columns than there are pixels, by their worst.
MOST_ROWS, MOST_COLUMNS = 160, 600
_ADDED = ("dd", "aa", "bb", "measured", "elements", "broken")
WORDS: dict[Kind, str] = {"weight": "weights", "grad": "gradients", "optimizer": "optimizer state",
                          "buffer": "buffers"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Relative L2 in log10, or the ratio of norms in log2 where weights are not comparable; shape (rows, columns)."""

    names: tuple[str, ...]  # without what all of them begin with, where they are long
    steps: tuple[int, ...]  # of each column, the first where several are one
    values: Grid
    states: np.ndarray[tuple[int, int], np.dtype[np.uint8]]
    norms: bool  # ratios of norms, since weights are not comparable
    what: str  # "weights"
    first: tuple[int, int, str] | None  # row, column and words of where it started
    words: tuple[str, ...]
    stepless: bool


def heat_map(diff: RunDiff) -> HeatMap:
    """Every weight (or gradient, where dumps hold no weights) in the model's order, over the pairs."""
    over = series(diff)
    kind: Kind = "weight" if "weight" in over.kinds or not over.kinds else over.kinds[0]
    tensors = _names(diff, kind)
    rows, layers = layered(list(tensors.values()))
    sums = _added(diff, kind, dict(zip(tensors, layers, strict=True)), len(rows))
    norms = diff.verdict.status not in COMPARABLE
    values, states = _cells(sums, norms)
    parts = _columns(len(diff.pairs))
    values, states = _worst(values, states, parts)
    steps = tuple(diff.pairs[part[0]].step for part in parts)
    prefix = common_prefix(rows)
    return HeatMap(
        tuple(row.removeprefix(prefix) for row in rows), steps, values, states, norms, WORDS[kind],
        _first(diff, tensors, layers, parts), _captions(diff, len(tensors), len(rows), len(steps), prefix),
        stepless=len(diff.pairs) == 1 and diff.pairs[0].a.step is None,
    )  # fmt: skip


def _captions(diff: RunDiff, tensors: int, rows: int, columns: int, prefix: str) -> tuple[str, ...]:
    parts = [f"A: {diff.a}   B: {diff.b}"]
    if prefix:
        parts.append(f"All names begin with {prefix}")
    if rows < tensors:
        parts.append(
            f"{tensors} tensors in {rows} rows, each of several tensors as one vector; +1: and the next layer."
        )
    if columns < len(diff.pairs):
        parts.append(f"{len(diff.pairs)} pairs of dumps in {columns} columns: each shows the largest of its pairs.")
    return tuple(parts)


# -- rows -----------------------------------------------------------------------------------------


def _names(diff: RunDiff, kind: Kind) -> dict[tuple[str, str], str]:
    """Tensors of a kind in order of appearance, by both of their names."""
    found: dict[tuple[str, str], str] = {}
    for tensors in {id(p.tensors): p.tensors for p in diff.pairs}.values():
        found |= {(t.name, t.name_b): t.name for t in tensors if t.kind == kind}
    return found


def layered(names: Sequence[str], most: int = MOST_ROWS) -> tuple[list[str], list[int]]:
    """Names of rows, and the row of each tensor: itself, or what it is part of where there are too many.

    >>> layered(["a.weight", "a.bias", "b.0.weight", "b.1.weight"], most=3)
    (['a', 'b.0', 'b.1'], [0, 0, 1, 2])
    """
    if len(names) <= most:
        return list(names), list(range(len(names)))
    finer = keys = list(names)
    depth = max(n.count(".") for n in names)
    while len(set(keys)) > most and depth > 0:
        finer, keys = keys, [".".join(n.split(".")[: min(depth, max(n.count("."), 1))]) for n in names]
        depth -= 1
    if len(set(keys)) > most or 4 * len(set(keys)) < most:
        keys = _neighbours(keys if len(set(keys)) > most else finer, most)
    places = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return list(places), [places[key] for key in keys]


def common_prefix(names: Sequence[str], longest: int = 40) -> str:
    """What all names begin with, up to a dot; "" where they are short anyway.

    >>> common_prefix(["a.b.c.weight", "a.b.d.weight"], longest=5), common_prefix(["a.b", "a.c"])
    ('a.b.', '')
    """
    if len(names) < 2 or max(map(len, names)) <= longest:
        return ""
    ends = zip(min(names), max(names), strict=False)
    same = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return same[: same.rfind(".") + 1]


def _neighbours(keys: Sequence[str], most: int) -> list[str]:
    """Rows put together with those after them: "blocks.4 +1" is two."""
    rows = list(dict.fromkeys(keys))
    each = -(-len(rows) // most)
    named: dict[str, str] = {}
    for start in range(0, len(rows), each):
        part = rows[start : start + each]
        named |= dict.fromkeys(part, f"{part[0]} +{len(part) - 1}" if len(part) > 1 else part[0])
    return [named[key] for key in keys]


# -- cells ----------------------------------------------------------------------------------------


def _added(diff: RunDiff, kind: Kind, rows: dict[tuple[str, str], int], count: int) -> dict[str, Grid]:
    """Sums of the tensors of each row; NaN where one of them is unknown, or none is there."""
    shape = (count, len(diff.pairs))
    sums = {key: np.zeros(shape) for key in _ADDED}
    present = np.zeros(shape, dtype=bool)
    chosen: dict[int, tuple[Any, Any]] = {}
    for column, pair in enumerate(diff.pairs):
        if id(pair.tensors) not in chosen:
            which = [i for i, t in enumerate(pair.tensors) if t.kind == kind]
            at = [rows[(pair.tensors[i].name, pair.tensors[i].name_b)] for i in which]
            chosen[id(pair.tensors)] = np.array(which, dtype=int), np.array(at, dtype=int)
        which, at = chosen[id(pair.tensors)]
        present[at, column] = True
        for key, values in _figures(pair.sums).items():
            np.add.at(sums[key][:, column], at, values[which])
    return {key: np.where(present, values, np.nan) for key, values in sums.items()}


def _figures(sums: Sums) -> dict[str, Any]:
    """What is added up of one pair; equal hashes are a difference of zero."""
    same = sums["hash_equal"] == 1
    found = {key: sums[key] for key in ("dd", "aa", "bb", "measured", "elements")}
    found["dd"] = np.where(same & np.isnan(found["dd"]), 0.0, found["dd"])
    found["broken"] = np.nan_to_num(sums["nan_a"] + sums["nan_b"] + sums["inf_a"] + sums["inf_b"])
    return found


def _cells(sums: dict[str, Grid], norms: bool) -> tuple[Grid, np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    larger = np.sqrt(np.fmax(sums["aa"], sums["bb"]))
    with np.errstate(all="ignore"):
        values = np.log2(sums["bb"] / sums["aa"]) / 2 if norms else np.log10(np.sqrt(sums["dd"]) / larger)
    states = np.where(np.isfinite(values), FIGURE, UNKNOWN).astype(np.uint8)
    if not norms:
        states[(sums["dd"] == 0) & ~((sums["measured"] == 0) & (sums["elements"] > 0))] = EQUAL
    states[sums["broken"] > 0] = BROKEN
    return np.where(states == FIGURE, values, np.nan), states


def _columns(pairs: int) -> list[list[int]]:
    return [part.tolist() for part in np.array_split(np.arange(pairs), min(pairs, MOST_COLUMNS) or 1) if len(part)]


def _worst(
    values: Grid, states: np.ndarray[tuple[int, int], np.dtype[np.uint8]], parts: list[list[int]]
) -> tuple[Grid, np.ndarray[tuple[int, int], np.dtype[np.uint8]]]:
    """The same with several pairs in a column: the largest figure, and the state that says most."""
    if len(parts) == values.shape[1]:
        return values, states
    says = np.array([2, 1, 0, 3])  # a figure more than equal, that more than unknown, NaN more than all
    found_values, found_states = [], []
    for part in parts:
        ranked = states[:, part][np.arange(len(states)), says[states[:, part]].argmax(axis=1)]
        largest = np.where(np.isnan(values[:, part]), -np.inf, values[:, part]).max(axis=1)
        found_states.append(ranked)
        found_values.append(np.where(ranked == FIGURE, largest, np.nan))
    return np.stack(found_values, axis=1), np.stack(found_states, axis=1)


def _first(
    diff: RunDiff, tensors: dict[tuple[str, str], str], layers: Sequence[int], parts: list[list[int]]
) -> tuple[int, int, str] | None:
    """The cell of the first tensor (or of the weight that it belongs to) that the verdict says differs."""
    named = (f for f in (diff.verdict.first, *diff.verdict.findings) if f is not None and f.what in KINDS)
    found = next(named, None)
    if found is None or found.tensor is None or not diff.pairs:
        return None
    owner = found.tensor if found.tensor in tensors.values() else found.tensor.partition("/")[0]
    rows = [row for row, name in zip(layers, tensors.values(), strict=True) if name == owner]
    if not rows:
        return None
    pairs = range(len(diff.pairs))
    at = 0 if found.step is None else next((i for i in pairs if diff.pairs[i].step >= found.step), len(diff.pairs) - 1)
    column = next(i for i, part in enumerate(parts) if at in part)
    return rows[0], column, f"{what_words(found)}, {place_words(found, tensor=False)}".strip(", ")
