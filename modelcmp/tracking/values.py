"""From what people log to plain values that every format holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from enum import Enum
from typing import Any, TypeAlias

from ..errors import BadInput

Scalar: TypeAlias = int | float | bool | str | None
#: Types that are stored as they are; ``type(x) in PLAIN`` leaves out subclasses such as numpy's float64.
PLAIN = frozenset({float, str, bool, type(None)})
_INTEGERS = range(-(2**63), 2**64)  # what msgpack holds


def scalar(key: str, value: Any) -> Scalar:
    """A number, text or None of a row; numpy and torch scalars by their ``item()``. Raises BadInput.

    >>> scalar("loss", float("inf")), scalar("epoch", 3)
    (inf, 3)
    >>> scalar("loss", [1, 2])
    Traceback (most recent call last):
    ...
    modelcmp.errors.BadInput: 'loss' is [1, 2] (list): a row holds numbers, text and None, one of each name
    """
    if type(value) in PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, int) and value in _INTEGERS:
        return int(value)
    item = _item(value)
    if isinstance(item, float):
        return float(item)
    if isinstance(item, str | bool) or (isinstance(item, int) and item in _INTEGERS):
        return item
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise BadInput(f"{key!r} is {shown} ({type(value).__name__}): a row holds numbers, text and None, one of each name")


def _item(value: Any) -> Any:
    """The Python scalar in an array or tensor of one element, else the value itself."""
    if hasattr(value, "item"):
        try:
            return value.item()
        except (RuntimeError, ValueError, TypeError):  # more than one element, or none
            return None
    return value


def flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys, with values that JSON holds.

    >>> flat({"lr": 0.1, "model": {"depth": 2, "sizes": (1, 2)}})
    {'lr': 0.1, 'model.depth': 2, 'model.sizes': [1, 2]}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = storable(value)
    return found


def storable(value: Any) -> Any:
    """A value that JSON holds: scalars, lists and mappings as such, anything else as its text."""
    if isinstance(value, Enum):
        return storable(value.value)
    if isinstance(value, Mapping):
        return {str(k): storable(v) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((storable(v) for v in value), key=repr)
    if isinstance(value, list | tuple):
        return [storable(v) for v in value]
    item = _item(value)
    if isinstance(item, str | bool | int | float):
        return _exact(item)
    return str(value) if value is not None else None


def _exact(value: str | int | float) -> Scalar:
    """Without the subclass (numpy's float64, an IntEnum's member, ...)."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def step_of(row: Mapping[str, Any], index: int) -> int:
    """The step of a row: its ``step`` where it has one, else its ``epoch``, else its place in the track.

    >>> step_of({"step": 7, "epoch": 1}, 3), step_of({"epoch": 1}, 3), step_of({"loss": 0.5}, 3)
    (7, 1, 3)
    """
    for key in ("step", "epoch"):
        value = row.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return int(value)
    return index


def numbers(row: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """The numbers of a row, without its time: what trackers draw; NaN and infinity are among them.

    >>> list(numbers({"_ts": 1.0, "loss": 0.5, "ok": True, "note": "x", "lr": None}))
    [('loss', 0.5), ('ok', 1.0)]
    """
    for key, value in row.items():
        if key != "_ts" and isinstance(value, int | float):
            yield key, float(value)
