"""Where in a buffer each tensor of a dump goes, so that the buffer is the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch

#: Tensors begin at multiples of it, as in torch's own files.
ALIGNMENT = 64
#: The kind of a tensor: type and shape.
Kind = tuple[torch.dtype, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor's place."""

    number: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int  # in the buffer, bytes

    @property
    def elements(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes."""
        return self.elements * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of a dump's tensors: first those that are stored, then those that are only looked at."""

    slots: tuple[Slot, ...]
    stored: int  # how many of them are stored
    body: int  # bytes of the buffer that are part of the file
    size: int  # bytes of the buffer


#: Offsets of tensors in their order, and the bytes up to the end of the last.
Arrange = Callable[[Sequence[Kind]], tuple[list[int], int]]


def laid_out(stored: Sequence[Kind], seen: Sequence[Kind], arrange: Arrange) -> Layout:
    """Stored tensors as a file format arranges them, the others behind them."""
    offsets, body = arrange(stored)
    behind, size = in_a_row(seen, aligned(body))
    kinds = [*stored, *seen]
    slots = tuple(Slot(i, *kind, offset) for i, (kind, offset) in enumerate(zip(kinds, offsets + behind, strict=True)))
    return Layout(slots, len(stored), body, size)


def in_a_row(kinds: Sequence[Kind], start: int = 0) -> tuple[list[int], int]:
    """One after the other, aligned."""
    offsets = []
    for dtype, shape in kinds:
        offsets.append(aligned(start))
        start = offsets[-1] + prod(shape) * dtype.itemsize
    return offsets, start


def aligned(offset: int) -> int:
    """The next multiple of ALIGNMENT."""
    return -(-offset // ALIGNMENT) * ALIGNMENT
