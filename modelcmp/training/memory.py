"""The most memory that training needs.

On CUDA what torch's allocator held at most. On Linux the growth of the process's resident memory, by the kernel's own
high-water mark, over what it was before the model was built. Elsewhere unknown.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryMark:
    """Remembers how much was in use when it was made; ``before`` is a peak from an earlier process."""

    def __init__(self, device: torch.device, before: int | None = None) -> None:
        self._device, self._before = device, before
        self._start: int | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif device.type == "cpu":
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
