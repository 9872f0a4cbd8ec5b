"""Which seeds are meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import BadInput


def parse_seeds(text: str, first: int) -> tuple[int, ...]:
    """``5`` is five seeds from ``first`` on, ``1,2,7`` is a list; raises BadInput.

    >>> parse_seeds("3", 123), parse_seeds("7, 1", 123)
    ((123, 124, 125), (7, 1))
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise BadInput(f"--seeds {text}: write how many, such as 5, or the seeds themselves, such as 1,2,3")
    numbers = [int(word) for word in words]
    if "," not in text:
        if not 1 <= numbers[0] <= 10_000:
            raise BadInput(f"--seeds {text}: between 1 and 10000 seeds; one seed of that number is written {text},")
        numbers = [first + i for i in range(numbers[0])]
    return check_seeds(numbers, f"--seeds {text}")


def check_seeds(seeds: Iterable[Any], told: str = "seeds") -> tuple[int, ...]:
    """Refuse seeds that are none, or given twice; ``told`` is how they were given. Raises BadInput."""
    numbers = tuple(seeds)
    if not numbers:
        raise BadInput(f"{told}: give at least one")
    if wrong := [n for n in numbers if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < 2**63]:
        raise BadInput(f"{told}: {wrong[0]!r} is no seed: give whole numbers from 0 to 2**63 - 1")
    if twice := sorted({n for n in numbers if numbers.count(n) > 1}):
        raise BadInput(
            f"{told}: seed {twice[0]} is given twice, and the same seed gives the same run: leave it out once"
        )
    return numbers
