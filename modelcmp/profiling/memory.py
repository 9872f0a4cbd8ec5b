"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import sys


def give_back() -> None:
    """Return what was freed: glibc keeps it for later, and a process that has run a detector stays large."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)
