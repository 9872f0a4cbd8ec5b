"""How a tensor of A maps onto its counterpart in B where the two are stored differently.

The text of a transform is a list of parts, joined by ", ", each at most once::

    ""              the tensors correspond as they are
    transpose       the 2-D tensor is stored the other way round, (in, out) against (out, in)
    reshape         the same numbers in the same (row-major) order under another shape: (96, 1, 1) and (96,)
    rows 0:64       A's tensor is rows 0 to 63 of B's: B's is a fused tensor, such as q, k and v in one
    rows of A 0:64  rows 0 to 63 of A's tensor are B's: A's is the fused one, and has a match for each part

``transpose`` turns the fused tensor before its rows are taken, or B's where none is fused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ...errors import BadInput

Shape = tuple[int, ...]
_ROWS = re.compile(r"rows (of A )?(\d{1,15}):(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Transform:
    """What is done to two tensors before they are compared; see the module for the meaning."""

    transpose: bool = False
    rows_a: slice | None = None
    rows_b: slice | None = None
    reshape: bool = False

    def __str__(self) -> str:
        parts = ["transpose"] * self.transpose + ["reshape"] * self.reshape
        parts += [f"rows of A {self.rows_a.start}:{self.rows_a.stop}"] if self.rows_a else []
        parts += [f"rows {self.rows_b.start}:{self.rows_b.stop}"] if self.rows_b else []
        return ", ".join(parts)

    def shapes(self, a: Shape, b: Shape) -> tuple[Shape, Shape]:
        """The two shapes after the transform; equal where the tensors can be compared.

        >>> parse_transform("transpose, rows 64:128").shapes((64, 32), (32, 192))
        ((64, 32), (64, 32))
        """
        if self.transpose:
            a, b = (a[::-1], b) if self.rows_a else (a, b[::-1])
        a, b = _cut(a, self.rows_a), _cut(b, self.rows_b)
        return (a, a) if self.reshape and _size(a) == _size(b) else (a, b)

    def apply(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Two tensors (torch or NumPy, with the shapes that the transform is for) as they correspond.

        Views, except that a reshape copies a tensor that is not contiguous.
        """
        if self.transpose:
            a, b = (a.T, b) if self.rows_a else (a, b.T)
        a = a if self.rows_a is None else a[self.rows_a]
        b = b if self.rows_b is None else b[self.rows_b]
        return (a, b.reshape(tuple(a.shape))) if self.reshape else (a, b)


def parse_transform(text: str) -> Transform:
    """Read a transform; raises BadInput.

    >>> parse_transform("transpose, rows 0:64")
    Transform(transpose=True, rows_a=None, rows_b=slice(0, 64, None), reshape=False)
    >>> str(parse_transform("rows of A 0:64"))
    'rows of A 0:64'
    """
    found: dict[str, Any] = {}
    for part in text.split(", ") if text else ():
        key, value = _part(part, text)
        if key in found:
            raise BadInput(f"the transform {text!r} says {part!r} twice")
        found[key] = value
    if "rows_a" in found and "rows_b" in found:
        raise BadInput(f"the transform {text!r} cuts both tensors: give rows of the fused one only")
    return Transform(**found)


def _part(part: str, text: str) -> tuple[str, Any]:
    if part in ("transpose", "reshape"):
        return part, True
    rows = _ROWS.fullmatch(part)
    if rows is None:
        known = "'transpose', 'reshape', 'rows 0:64', 'rows of A 0:64'"
        raise BadInput(f"{part!r} in the transform {text!r} is unknown; known: {known}")
    start, stop = int(rows[2]), int(rows[3])
    if start >= stop:
        raise BadInput(f"{part!r} holds no rows: the first number must be smaller than the second")
    return ("rows_a" if rows[1] else "rows_b"), slice(start, stop)


def _cut(shape: Shape, rows: slice | None) -> Shape:
    return shape if rows is None or not shape else (len(range(shape[0])[rows]), *shape[1:])


def _size(shape: Shape) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def relation(a: Shape, b: Shape) -> str | None:
    """The transform that makes two whole tensors correspond by their shapes alone; None where there is none.

    >>> relation((3, 4), (3, 4)), relation((3, 4), (4, 3)), relation((8, 1, 1), (8,)), relation((3,), (4,))
    ('', 'transpose', 'reshape', None)
    """
    if a == b:
        return ""
    if _size(a) == _size(b) and (squeezed(a) == squeezed(b) or flattened(a) == flattened(b)):
        return "reshape"
    return "transpose" if len(a) == 2 and a == b[::-1] else None


def squeezed(shape: Shape) -> Shape:
    """A shape without its axes of length 1."""
    return tuple(n for n in shape if n != 1)


def flattened(shape: Shape) -> Shape:
    """A shape as (first axis, all else): how a convolution over the whole map is a linear layer."""
    return (shape[0], _size(shape[1:])) if len(shape) > 1 else shape
