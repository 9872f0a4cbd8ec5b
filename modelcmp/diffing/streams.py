"""Tensors as streams of chunks: of a file, of a loaded tensor, or computed from two others on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from isal import isal_zlib

from ..dumps.tensor import Record, TensorRef, open_file, read_exactly
from ..errors import DamagedDump

NDArray = np.ndarray[Any, Any]

#: Numbers that are read at once: few calls for each, and still in the processor's last level of cache.
CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Chunk:
    """Numbers as floats, shape (n,), and their bit patterns as signed integers where they are floating point."""

    values: NDArray
    bits: NDArray | None


class Stream(Protocol):
    """A tensor whose numbers come in C order."""

    elements: int

    def read(self, count: int) -> Chunk:
        """The next ``count`` numbers; valid until the next call. Raises DamagedDump."""
        ...


class Buffers:
    """One thread's buffers and open files."""

    def __init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._memory: dict[int, NDArray] = {}

    def file(self, path: Path) -> BinaryIO:
        """The file, opened once; raises DamagedDump."""
        if path not in self._files:
            self._files[path] = open_file(path)
        return self._files[path]

    def memory(self, slot: int, count: int) -> NDArray:
        """``count`` bytes, the same for the same slot; slots count from 0."""
        if slot not in self._memory or len(self._memory[slot]) < count:
            self._memory[slot] = np.empty(max(count, CHUNK * 4), np.uint8)
        return self._memory[slot][:count]

    def close(self, keep: set[Path]) -> None:
        """Close all files but some."""
        for path in set(self._files) - keep:
            self._files.pop(path).close()


class FileStream:
    """A tensor's bytes from its file, with the checksum of the whole where the file has one."""

    def __init__(self, ref: TensorRef, buffers: Buffers, slot: int, check: bool = True) -> None:
        self.ref, self.buffers, self.slot = ref, buffers, slot
        self.file = buffers.file(ref.path)
        self.place, self.left = 0, ref.nbytes
        self.itemsize = ref.dtype.itemsize
        self.elements = ref.nbytes // self.itemsize
        self.expected, self.crc = ref.crc32 if check else None, 0
        self.convert = converter(ref.dtype)

    def read(self, count: int) -> Chunk:
        """The next numbers; raises DamagedDump where the file ends early or its checksum is wrong."""
        raw = self.buffers.memory(self.slot, count * self.itemsize)
        self.ref.read_into(self.file, self.place, raw.data)
        self.place, self.left = self.place + len(raw), self.left - len(raw)
        if self.expected is not None:
            self.crc = isal_zlib.crc32(raw.data, self.crc)
            if self.left == 0 and self.crc != self.expected:
                raise self.ref.damaged()
        return self.convert(raw)


def check_record(path: Path, record: Record, buffers: Buffers) -> None:
    """Verify the checksum of a stretch of a file that several tensors share; raises DamagedDump."""
    crc = 0
    for start in range(0, record.nbytes, 4 * CHUNK):
        raw = buffers.memory(0, min(4 * CHUNK, record.nbytes - start))
        read_exactly(buffers.file(path), record.offset + start, raw.data, path)
        crc = isal_zlib.crc32(raw.data, crc)
    if crc != record.crc32:
        raise DamagedDump(f"{path} is damaged: data at byte {record.offset} does not have its checksum; copy it again")


class TensorStream:
    """A tensor in memory."""

    def __init__(self, tensor: torch.Tensor) -> None:
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor)
        self.raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        self.itemsize, self.place = tensor.element_size(), 0
        self.elements = tensor.numel()
        self.convert = converter(tensor.dtype)

    def read(self, count: int) -> Chunk:
        """The next numbers."""
        start, self.place = self.place, self.place + count * self.itemsize
        return self.convert(self.raw[start : self.place])


class GradientStream:
    """Gradients from a moment m and the one a step before: g = (m_t - keep m_(t-1)) / take.

    Adam: keep = beta1, take = 1 - beta1 (Kingma and Ba, 2015); SGD: keep = momentum, take = 1 - dampening. Rounding
    of m is magnified by 1 / take, so that ULPs have no meaning.
    """

    def __init__(self, now: Stream, before: Stream | None, keep: float, take: float) -> None:
        self.now, self.before, self.keep, self.take = now, before, keep, take
        self.elements = now.elements

    def read(self, count: int) -> Chunk:
        """The next numbers."""
        values = self.now.read(count).values.astype(np.float64)
        if self.before is not None:
            values -= self.keep * self.before.read(count).values
        return Chunk(values / self.take, None)


def tensor_stream(
    ref: TensorRef, buffers: Buffers, slot: int, change: Callable[[torch.Tensor], torch.Tensor] | None, check: bool
) -> Stream:
    """A tensor as stored, or changed (transposed, cut) after it was loaded whole; raises DamagedDump."""
    if change is None and ref.dense and not ref.dtype.is_complex:
        return FileStream(ref, buffers, slot, check)
    tensor = ref.load()
    return TensorStream(tensor if change is None else change(tensor))


def converter(dtype: torch.dtype) -> Callable[[NDArray], Chunk]:
    """From bytes (uint8, in this machine's order) to numbers of a type."""
    if dtype in _FLOATS:
        values, bits = _FLOATS[dtype]
        return lambda raw: Chunk(raw.view(values), raw.view(bits))
    if dtype == torch.bfloat16:  # the upper half of a float32
        return lambda raw: Chunk((raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32), raw.view(np.int16))
    if dtype == torch.float16:
        return lambda raw: Chunk(raw.view(np.float16).astype(np.float32), raw.view(np.int16))
    if dtype.is_floating_point:  # 8 bits
        return lambda raw: Chunk(torch.from_numpy(raw).view(dtype).float().numpy(), raw.view(np.int8))
    return lambda raw: Chunk(torch.from_numpy(raw).view(dtype).double().numpy(), None)


_FLOATS: dict[torch.dtype, tuple[type, type]] = {
    torch.float32: (np.float32, np.int32),
    torch.float64: (np.float64, np.int64),
}
