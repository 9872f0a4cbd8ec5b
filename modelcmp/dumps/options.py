"""What is dumped, when and how: checked before training begins. Loaded without torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import BadInput
from ..registry import suggest
from ..units import parse_bytes

Part = Literal["weights", "optimizer", "grads", "stats"]
Format = Literal["pt", "safetensors"]
Precision = Literal["float64", "float32", "bfloat16", "float16"]
PARTS: tuple[Part, ...] = get_args(Part)
FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
#: May be None: without an end.
_OPEN = ("epochs", "keep_last")


@dataclass(frozen=True, slots=True)
class DumpOptions:
    """What is dumped, when and how; :func:`dump_options` checks it."""

    interval: int = 10
    epochs: int | None = None
    include: tuple[Part, ...] = ("weights", "optimizer")
    dtype: Precision | None = None
    format: Format = "pt"
    keep_last: int | None = None
    disk_budget_bytes: int | None = None
    stats_interval: int = 1
    queue_size: int = 2

    @property
    def stored(self) -> tuple[Part, ...]:
        """The parts whose tensors are stored."""
        return tuple(part for part in self.include if part != "stats")

    def due(self, epoch: int, batch: int, before: int | None = None) -> Literal["full", "stats"] | None:
        """What is to be dumped after a batch; ``before`` is the batch of the epoch's step before, one less by default.

        >>> options = DumpOptions(interval=10, include=("weights", "stats"), stats_interval=5)
        >>> [options.due(1, batch) for batch in (1, 5, 10)], options.due(1, 12, before=8)
        ([None, 'stats', 'full'], 'full')
        """
        before = batch - 1 if before is None else before
        if self.epochs is not None and epoch > self.epochs:
            return None
        if self.stored and batch // self.interval > before // self.interval:
            return "full"
        passed = batch // self.stats_interval > before // self.stats_interval
        return "stats" if "stats" in self.include and passed else None


def dump_options(
    *, include: Iterable[str] | str, dtype: Any = None, format: str = "pt", disk_budget_bytes: int | str | None = None,
    **numbers: Any,
) -> DumpOptions:  # fmt: skip
    """Check what a user gave; raises BadInput or UnknownName."""
    precision = None if dtype is None else str(dtype).removeprefix("torch.")
    if precision is not None:
        _known("dtype", precision, PRECISIONS)
    _known("format", format, FORMATS)
    chosen: dict[str, Any] = {
        name: None if value is None and name in _OPEN else whole(name, value, 1) for name, value in numbers.items()
    }
    chosen |= {"include": _parts(include), "dtype": precision, "format": format}
    return DumpOptions(**chosen, disk_budget_bytes=_budget(disk_budget_bytes))


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of Python, NumPy or a tensor of one element; raises BadInput.

    >>> whole("interval", 3, 1)
    3
    """
    try:
        truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
        number = least - 1 if truth else operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        number = least - 1
    if number < least:
        raise BadInput(f"{name} is a whole number of at least {least}, not {value!r:.80}")
    return number


def _parts(include: Iterable[str] | str) -> tuple[Part, ...]:
    parts = include if isinstance(include, Iterable) and not isinstance(include, str) else (include,)
    parts = tuple(parts)
    if not parts or None in parts:
        raise BadInput(f"include names nothing to dump: {', '.join(PARTS)}")
    for part in parts:
        _known("include", part, PARTS)
    return tuple(part for part in PARTS if part in parts)


def _budget(given: Any) -> int | None:
    """Bytes of a number or text."""
    if given is None:
        return None
    if isinstance(given, str):
        return parse_bytes(given)
    try:
        return whole("disk_budget_bytes", int(given) if isinstance(given, float) else given, 1)
    except (BadInput, ValueError, OverflowError):
        words = f"disk_budget_bytes is a number of bytes, or text such as '10GB', not {given!r:.80}"
        raise BadInput(words) from None


def _known(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"{what}: no {value!r}: {suggest(str(value), known)}")
