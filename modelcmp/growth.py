"""How one model's figures grow with its batch or input size, and where its roofline class turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .errors import BadInput
from .records import ModelProfile

_MOST_VALUES = 256


@dataclass(frozen=True, slots=True)
class Turn:
    """Where the roofline class changes: between two sizes that were profiled."""

    before: ModelProfile
    after: ModelProfile

    @property
    def text(self) -> str:
        """The classes on both sides."""
        return f"{self.before.values['bound']} to {self.after.values['bound']}"


def parse_values(text: str, option: str) -> tuple[int, ...]:
    """Read ``1,2,4,8`` or a series that is to be continued: ``1,2,4,...,256``, ``128,160,...,512``.

    What stands before the dots says how it goes on: by a constant step, else by a constant factor.
    Raises BadInput.

    >>> parse_values("1,2,4,...,64", "--batch"), parse_values("128,160,…,256", "--input-size")
    ((1, 2, 4, 8, 16, 32, 64), (128, 160, 192, 224, 256))
    """
    parts = [part.strip() for part in text.replace("…", "...").split(",") if part.strip()]
    values: list[int] = []
    for i, part in enumerate(parts):
        if part != "...":
            values.append(_whole(part, text, option))
            continue
        if i < 2 or i + 1 >= len(parts):
            raise BadInput(f"{option} {text!r}: dots stand between a series and its end: 1,2,4,...,256")
        values += _continued(values, _whole(parts[i + 1], text, option), text, option)
    if not values:
        raise BadInput(f"{option} names no value: write {option} 1,2,4,...,256")
    if len(values) > _MOST_VALUES:
        raise BadInput(f"{option} {text!r} has {len(values)} values: {_MOST_VALUES} are the most")
    return tuple(dict.fromkeys(values))


def _whole(part: str, text: str, option: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", part):
        raise BadInput(f"{option} {text!r}: {part!r} is no whole number from 1 up")
    return int(part)


def _continued(given: Sequence[int], end: int, text: str, option: str) -> list[int]:
    """What lies between the last given value and the end."""
    step, factor = given[-1] - given[-2], given[-1] / given[-2]
    pairs = list(pairwise(given))
    if step > 0 and all(b - a == step for a, b in pairs) and (end - given[-1]) % step == 0 and end > given[-1]:
        return list(range(given[-1] + step, min(end, given[-1] + _MOST_VALUES * step + 1), step))
    if factor > 1 and all(b == a * factor for a, b in pairs):
        found: list[int] = []
        value = given[-1] * factor
        while value < end and value.is_integer():
            found.append(int(value))
            value *= factor
        if value == end:
            return found
    raise BadInput(f"{option} {text!r}: cannot tell how the series goes on to {end}; write all its values")


def turns(profiles: Sequence[ModelProfile]) -> tuple[Turn, ...]:
    """Each change of class between neighbours."""
    return tuple(Turn(a, b) for a, b in pairwise(profiles) if a.values["bound"] != b.values["bound"])


def narrowed(turn: Turn, profile_at: Callable[[int], ModelProfile]) -> Turn:
    """The same turn between two neighbouring batch sizes, found by halving."""
    before, after = turn.before, turn.after
    while after.batch_size - before.batch_size > 1:
        middle = profile_at((before.batch_size + after.batch_size) // 2)
        if middle.values["bound"] == before.values["bound"]:
            before = middle
        else:
            after = middle
    return Turn(before, after)
