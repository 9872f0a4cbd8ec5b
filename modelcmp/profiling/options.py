"""Checking what is asked for, before torch is needed."""

from __future__ import annotations

from typing import Any

from ..errors import BadInput, UnknownName, UsageError
from ..records import CONVENTIONS
from ..registry import suggest
from ..sources import Request
from ..sources.images import DTYPES, parse_size

MODES = ("eval", "train")
Size = int | str | tuple[int, ...] | None


def check_options(mode: str, convention: str, dtype: str, reparam: bool = False) -> None:
    """Refuse unknown modes, conventions and dtypes, and what does not go together, before any work."""
    for kind, value, known in (("mode", mode, MODES), ("convention", convention, CONVENTIONS)):
        if value not in known:
            raise UnknownName(kind, value, suggest(value, known))
    if dtype not in DTYPES:
        raise BadInput(f"unknown dtype {dtype!r}: use fp32, fp16, bf16 or fp64")
    if reparam and mode == "train":
        raise UsageError("the deployed form is for inference: leave reparam or train mode out")


def make_request(
    batch_size: int, input_size: Size, dtype: str, kwargs: dict[str, Any] | None, reparam: bool = False
) -> Request:
    """Check how models are to be fed; raises UsageError."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch size {batch_size!r} is not possible: use a whole number from 1 up")
    if isinstance(input_size, list | tuple):
        input_size = "x".join(map(str, input_size))
    size = None if input_size is None else parse_size(str(input_size))
    return Request(batch_size, size, dtype, kwargs or {}, reparam)
