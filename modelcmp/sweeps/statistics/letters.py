"""Groups that cannot be told apart: as letters, and as sets of names."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence

from .records import Significance

_ALPHABET = string.ascii_lowercase + string.ascii_uppercase


def alike(names: Sequence[str], separable: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """The largest sets of names of which no two are separable, each in the order of ``names``, the first ones first.

    By insertion and absorption (Piepho, *An algorithm for a letter-based representation of all-pairwise
    comparisons*, Journal of Computational and Graphical Statistics 13, 2004).

    >>> alike(["a", "b", "c"], [("a", "c")])
    [('a', 'b'), ('b', 'c')]
    """
    columns = [frozenset(names)] if names else []
    for pair in separable:
        columns = _absorbed(_split(columns, *pair))
    place = {name: i for i, name in enumerate(names)}
    rows = [tuple(sorted(column, key=place.__getitem__)) for column in columns]
    return sorted(rows, key=lambda row: [place[name] for name in row])


def _split(columns: Iterable[frozenset[str]], a: str, b: str) -> list[frozenset[str]]:
    """A set that holds both becomes two, each without one of them."""
    found = []
    for column in columns:
        found += [column - {a}, column - {b}] if {a, b} <= column else [column]
    return found


def _absorbed(columns: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """Without what lies in another."""
    kept: list[frozenset[str]] = []
    for column in sorted(columns, key=len, reverse=True):
        if not any(column <= other for other in kept):
            kept.append(column)
    return kept


def letters(names: Sequence[str], sets: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """A letter for each set: two names that share one cannot be told apart.

    >>> letters(["a", "b", "c"], [("a", "b"), ("b", "c")])
    {'a': 'a', 'b': 'ab', 'c': 'b'}
    """
    return {name: "".join(_letter(i) for i, row in enumerate(sets) if name in row) for name in names}


def _letter(i: int) -> str:
    """One character each: Latin letters, then the Greek ones and what follows them."""
    return _ALPHABET[i] if i < len(_ALPHABET) else chr(ord("α") + i - len(_ALPHABET))


def inseparable(significance: Significance) -> list[tuple[str, ...]]:
    """The largest sets of two groups or more that cannot be told apart, the best first: bars of a diagram."""
    lettered: Mapping[str, str] = {n: ls for n, ls in significance.letters.items() if ls}
    apart = [(d.a, d.b) for d in significance.differences if d.separable]
    return [row for row in alike(list(lettered), apart) if len(row) > 1]
