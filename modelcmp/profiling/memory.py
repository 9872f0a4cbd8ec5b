"""Keeping processes small: glibc's allocator holds on to what was freed."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE_BYTES = 4 << 20


def be_thrifty() -> None:
    """For a process of our own: blocks of 4 MiB and more go back to the system as soon as they are freed."""
    set_option = _glibc("mallopt")
    if set_option is not None:
        set_option(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Return what the allocator keeps: a model that ran for real leaves much."""
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """A function of the C library, None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
