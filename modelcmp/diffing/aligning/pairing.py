"""The tensors of two modules that belong together, by what each is in its module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..records import Match
from .transforms import Transform, relation
from .units import Leaf, Unit

_WORDS = (("rows", "fused"), ("transpose", "transposed"), ("reshape", "reshaped"))


def go_together(a: Unit, b: Unit) -> bool:
    """Whether the weights of two modules can be the same numbers."""
    return relation(a.shape, b.shape) is not None


def tensor_matches(a: Unit, b: Unit, confidence: float, how: str) -> list[Match]:
    """A match for each tensor (or part of a fused one) that both modules have and that fits."""
    found = [match for leaf in a.leaves if leaf in b.leaves for match in _leaf(a.leaves[leaf], b.leaves[leaf])]
    return [replace(match, confidence=confidence, how=_words(how, match)) for match in found]


def _words(how: str, match: Match) -> str:
    return ", ".join([how, *(word for part, word in _WORDS if part in match.transform)])


def _leaf(a: Leaf, b: Leaf) -> Iterator[Match]:
    how = relation(a.shape, b.shape)
    if a.kernel != b.kernel and how == "" and len(a.shape) == 2:
        how = "transpose"  # square, and one is stored as (in, out) by its name
    if how is None:
        return
    if len(a.names) != len(b.names):
        yield from _cut(a, b, how)
    elif a.rows == b.rows and (not how or len(a.names) == 1):
        for name, name_b in zip(a.names, b.names, strict=True):
            yield Match(name, name_b, 0, "", how)


def _cut(a: Leaf, b: Leaf, how: str) -> Iterator[Match]:
    """One tensor of one side, and its rows in several of the other."""
    if how == "reshape":
        return
    start, turned = 0, how == "transpose"
    parts, whole = (a, b) if len(a.names) > 1 else (b, a)
    for name, rows in zip(parts.names, parts.rows, strict=True):
        cut, start = slice(start, start + rows), start + rows
        if parts is a:
            yield Match(name, whole.names[0], 0, "", str(Transform(turned, rows_b=cut)))
        else:
            yield Match(whole.names[0], name, 0, "", str(Transform(turned, rows_a=cut)))
