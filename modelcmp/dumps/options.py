"""What is dumped, when and how: checked before training begins. Loaded without torch."""

from __future__ import annotations

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
    **numbers: int | None,
) -> DumpOptions:  # fmt: skip
    """Check what a user gave; raises BadInput or UnknownName."""
    parts = (include,) if isinstance(include, str) else tuple(include)
    if not parts:
        raise BadInput(f"include names nothing to dump: {', '.join(PARTS)}")
    for part in parts:
        _known("include", part, PARTS)
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise BadInput(f"{name} is a whole number of at least 1, not {value!r}")
    precision = None if dtype is None else str(dtype).removeprefix("torch.")
    if precision is not None:
        _known("dtype", precision, PRECISIONS)
    _known("format", format, FORMATS)
    budget = parse_bytes(disk_budget_bytes) if isinstance(disk_budget_bytes, str) else disk_budget_bytes
    if budget is not None and budget <= 0:
        raise BadInput(f"disk_budget_bytes is a number of bytes, or text such as '10GB', not {budget}")
    chosen: dict[str, Any] = {
        "include": tuple(part for part in PARTS if part in parts), "dtype": precision, "format": format,
        "disk_budget_bytes": budget, **numbers,
    }  # fmt: skip
    return DumpOptions(**chosen)


def _known(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"{what}: no {value!r}: {suggest(str(value), known)}")
