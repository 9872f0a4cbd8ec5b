"""Why something could not be measured, in one line that keeps no tensor alive."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import ModelcmpError
from .results import NO_COMPILER, OUT_OF_MEMORY

#: How torch's CPU allocators say it, in a plain RuntimeError.
_ALLOCATION = ("can't allocate memory", "not enough memory", "cannot allocate memory", "out of memory")
#: What torch.compile's generated code needs and may not find.
_COMPILER = (
    "InvalidCxxCompiler",
    "No working C++ compiler",
    "Failed to find C compiler",
    "Python.h",
    "CppCompileError",
)


@dataclass(frozen=True, slots=True)
class Reason:
    """A kind of failure and its message."""

    kind: str
    message: str


def reason_of(error: BaseException) -> Reason:
    """The reason in an error; its traceback, which holds tensors, is let go."""
    text = _words(error)
    chain = " ".join(f"{type(e).__name__} {e}" for e in _causes(error))
    error.__traceback__ = error.__context__ = error.__cause__ = None
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text.lower() for words in _ALLOCATION)
    ):
        return Reason(OUT_OF_MEMORY, f"out of memory ({text}): use a smaller batch or a narrower dtype")
    if any(words in chain for words in _COMPILER):
        return Reason(
            NO_COMPILER,
            "torch.compile found no working C++ compiler with Python's headers: install g++ (or set CXX), "
            f"or measure without compile ({text})",
        )
    return Reason(type(error).__name__, text)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it."""
    found: list[BaseException] = []
    here: BaseException | None = error
    while here is not None and here not in found:
        found.append(here)
        here = here.__cause__ or here.__context__ or getattr(here, "inner_exception", None)
    return found


def _words(error: BaseException) -> str:
    """The type and first line of an error; of our own only the message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[0] if isinstance(error, ModelcmpError) else f"{type(error).__name__}: {lines[0]}"
