"""Host memory for dumps: made once, touched once, used again and again."""

from __future__ import annotations

import mmap
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .writing import BLOCK

#: Some room for a batch that is larger than the last.
_SLACK = 1.05


class Buffer:
    """Bytes that begin at a page; pinned where a GPU copies into them."""

    def __init__(self, size: int, pinned: bool) -> None:
        size = max(1, -(-size // BLOCK)) * BLOCK
        self.pinned = pinned
        self.bytes: Tensor  # uint8 (size,)
        if pinned:
            self.bytes = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        else:
            pages = mmap.mmap(-1, size)
            if hasattr(mmap, "MADV_HUGEPAGE"):
                pages.madvise(mmap.MADV_HUGEPAGE)
            self.bytes = torch.frombuffer(pages, dtype=torch.uint8)
        self.memory = self.bytes.numpy().data
        self.views: dict[int, Any] = {}  # tensors over it, by the layout that they belong to

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.memory)

    def touch(self) -> None:
        """Have the kernel hand out all pages now."""
        np.frombuffer(self.memory, np.uint8)[::BLOCK] = 0

    def view(self, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """A tensor over some of the bytes."""
        elements = 1
        for length in shape:
            elements *= length
        return self.bytes[offset : offset + elements * dtype.itemsize].view(dtype).view(shape)


class Pool:
    """At most ``limit`` buffers; who wants one more waits until one is given back."""

    def __init__(self, limit: int) -> None:
        self._limit, self._made = limit, 0
        self._free: list[Buffer] = []
        self._change = threading.Condition()

    def take(self, size: int, pinned: bool) -> Buffer:
        """A buffer of at least this size; waits while all are in use."""
        with self._change:
            self._change.wait_for(lambda: self._free or self._made < self._limit)
            fitting = [b for b in self._free if b.size >= size and b.pinned == pinned]
            if fitting:
                self._free.remove(fitting[-1])
                return fitting[-1]
            if self._made == self._limit:
                self._free.pop()  # too small: made anew
                self._made -= 1
            self._made += 1
        return self._new(size, pinned)

    def give(self, buffer: Buffer) -> None:
        """Back for the next dump."""
        with self._change:
            self._free.append(buffer)
            self._change.notify()

    def warm(self, size: int, pinned: bool) -> None:
        """Make a spare one ready if there is none, so that no training step pays for its pages."""
        with self._change:
            if self._free or self._made == self._limit:
                return
            self._made += 1
        buffer = self._new(size, pinned)
        buffer.touch()
        self.give(buffer)

    def _new(self, size: int, pinned: bool) -> Buffer:
        try:
            return Buffer(int(size * _SLACK), pinned)
        except (OSError, RuntimeError, ValueError) as error:
            with self._change:
                self._made -= 1
                self._change.notify()
            raise MemoryError(f"no memory for a copy of {size} bytes") from error
