"""The memory of training: the most that a model needs, and what the C library does with it.

On CUDA what torch's allocator held at most. On Linux the growth of the process's resident memory, by the kernel's own
high-water mark, over what it was before the model was built. Elsewhere unknown.
"""

from __future__ import annotations

import ctypes
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch

#: Parameters of mallopt; blocks up to 32 MiB may come from the heap, the most that it takes on 64 bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _LARGEST_THRESHOLD = -1, -3, 32 << 20
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryMark:
    """Remembers how much was in use when it was made; ``before`` is a peak from an earlier process."""

    def __init__(self, device: torch.device, before: int | None = None) -> None:
        self._device, self._before = device, before
        self._start: int | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif device.type == "cpu":
            _give_back()
            self._start = _resident() if _reset() else None

    def peak(self) -> int | None:
        """Bytes at most since then, None where nothing tells."""
        if self._device.type == "cuda":
            now: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            most = _field("VmHWM")
            now = None if self._start is None or most is None else max(0, most - self._start)
        known = [v for v in (self._before, now) if v is not None]
        return max(known) if known else None


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: each step asks for the same sizes again (mallopt(3); glibc only).

    Otherwise it gives large blocks back to the kernel, which hands out the next ones page by page, zeroed.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _give_back() -> None:
    """Return what was freed, so that the next model starts from what is really in use."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library where it is GNU's, else None."""
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)


def _reset() -> bool:
    """Have the kernel begin its high-water mark anew (proc(5), clear_refs)."""
    try:
        _CLEAR.write_text("5", "ascii")
    except OSError:
        return False
    return True


def _resident() -> int | None:
    return _field("VmRSS")


def _field(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
