"""A tensor that lies in a file: where it is and how to read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from isal import isal_zlib

from ..errors import DamagedDump
from ..units import shape as shape_words

_CHUNK = 1 << 20
_REPEATED = 1 << 28  # bytes; an expanded tensor takes its full size in memory


@dataclass(frozen=True, slots=True)
class Record:
    """A run of bytes in a file, and the checksum over it where the file carries one."""

    offset: int
    nbytes: int
    crc32: int | None = None


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor in a file; nothing of its data is read before :meth:`load` or :meth:`read_into`.

    ``dense`` ones can be streamed: their ``nbytes`` bytes from ``offset`` on are their elements in C order and in this
    machine's byte order. ``crc32`` is set where those bytes are all that a checksum of the file covers.
    """

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]  # in elements
    offset: int  # bytes in the file before its first element
    nbytes: int  # elements times their size
    crc32: int | None
    dense: bool
    record: Record  # what it is a part of; several tensors may share one
    swapped: bool = False  # written in the other byte order

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def packed(self) -> bool:
        """Whether its elements fill ``nbytes`` bytes without holes, in whatever order (channels-last, transposed)."""
        return not self.swapped and span(self.shape, self.stride) == self.elements and not overlaps(self)

    def read_into(self, file: BinaryIO, start: int, buffer: memoryview) -> None:
        """Fill a buffer of bytes from its byte ``start`` on; raises DamagedDump where the file ends before that."""
        read_exactly(file, self.offset + start, buffer, self.path)

    def load(self, file: BinaryIO | None = None) -> torch.Tensor:
        """The whole tensor, contiguous; raises DamagedDump where its record does not have the checksum it should."""
        if file is None:
            with open_file(self.path) as opened:
                return self.load(opened)
        size = self.dtype.itemsize
        data = bytearray(span(self.shape, self.stride) * size)
        if self.record.crc32 is not None:
            self._check(file, data)
        else:
            self.read_into(file, 0, memoryview(data))
        if not data:
            return torch.empty(self.shape, dtype=self.dtype)
        flat = torch.frombuffer(_swap(data, self.dtype) if self.swapped else data, dtype=self.dtype)
        return flat.as_strided(self.shape, self.stride).contiguous()

    def _check(self, file: BinaryIO, data: bytearray) -> None:
        """Read its record once, in pieces: all of it into the checksum, its own part into ``data``."""
        record, crc, piece = self.record, 0, bytearray(min(_CHUNK, self.record.nbytes))
        first = self.offset - record.offset
        for start in range(0, record.nbytes, _CHUNK):
            view = memoryview(piece)[: min(_CHUNK, record.nbytes - start)]
            read_exactly(file, record.offset + start, view, self.path)
            crc = isal_zlib.crc32(view, crc)
            low, high = max(first, start), min(first + len(data), start + len(view))
            if low < high:
                data[low - first : high - first] = view[low - start : high - start]
        if crc != record.crc32:
            raise self.damaged()

    def damaged(self) -> DamagedDump:
        """The error to raise when its bytes do not give ``crc32``."""
        return DamagedDump(
            f"{self.path} is damaged: its {shape_words(self.shape)} tensor at byte {self.offset} does not have the "
            "checksum that was written with it; copy the file again or leave it out"
        )


def locate(
    path: Path,
    record: Record,
    dtype: torch.dtype,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    swapped: bool = False,
) -> TensorRef:
    """The tensor at an element offset in a record; raises ValueError where it would reach beyond the record."""
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or any(type(n) is not int or n < 0 for n in numbers) or len(shape) > 64:
        raise ValueError("a tensor of an impossible shape")
    size, elements = dtype.itemsize, math.prod(shape)
    needed = span(shape, stride)
    if (offset + needed) * size > record.nbytes or elements * size >= 1 << 63:
        raise ValueError(f"a {shape_words(shape)} tensor that reaches beyond its data")
    if elements > needed and elements * size > _REPEATED:
        raise ValueError(f"a {shape_words(shape)} tensor that repeats {needed} numbers")
    swapped = swapped and size > 1
    whole = offset == 0 and needed == elements and needed * size == record.nbytes
    dense = not swapped and is_contiguous(shape, stride)
    crc = record.crc32 if whole else None
    return TensorRef(
        path, dtype, shape, stride, record.offset + offset * size, elements * size, crc, dense, record, swapped
    )


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """Elements from the first to the last one.

    >>> span((2, 3), (3, 1)), span((2, 3), (10, 1)), span((0, 3), (3, 1)), span((), ())
    (6, 13, 0, 1)
    """
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))


def is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether the elements follow each other in C order.

    >>> is_contiguous((2, 1, 3), (3, 99, 1)), is_contiguous((2, 3), (1, 2)), is_contiguous((0, 2), (7, 7))
    (True, False, True)
    """
    expected = 1
    for n, s in zip(reversed(shape), reversed(stride), strict=True):
        if n != 1 and s != expected and 0 not in shape:
            return False
        expected *= n
    return True


def overlaps(ref: TensorRef) -> bool:
    """Whether some of its elements may share a place (an expanded tensor)."""
    expected = 1
    for s, n in sorted((s, n) for n, s in zip(ref.shape, ref.stride, strict=True) if n != 1):
        if s != expected:
            return True
        expected *= n
    return False


def open_file(path: Path) -> BinaryIO:
    """A file to read without a buffer; raises DamagedDump where it cannot be opened."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise DamagedDump(f"{path} cannot be read: {error.strerror or error}") from error


def file_size(file: BinaryIO) -> int:
    """Bytes of an open file."""
    return file.seek(0, 2)


def read_exactly(file: BinaryIO, offset: int, buffer: memoryview, path: Path) -> None:
    """Fill a buffer from a place in a file; raises DamagedDump where the file ends before that."""
    try:
        file.seek(offset)
        done = 0
        while done < len(buffer):
            count = file.readinto(buffer[done:])  # type: ignore[attr-defined]
            if not count:
                raise DamagedDump(f"{path} is damaged: it ends at byte {offset + done}, inside a tensor")
            done += count
    except OSError as error:
        raise DamagedDump(f"{path} cannot be read: {error.strerror or error}") from error


def _swap(data: bytearray, dtype: torch.dtype) -> bytearray:
    """The bytes of each number (of each part, for complex ones) the other way round."""
    size = dtype.itemsize // (2 if dtype.is_complex else 1)
    swapped = bytearray(len(data))
    for i in range(size):
        swapped[i::size] = data[size - 1 - i :: size]
    return swapped
