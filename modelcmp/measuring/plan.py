"""How long things are measured for. Without torch, so that a progress bar can start before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass

#: Steps of a row of bench before its turns: its operations are counted, it is built and run for the first time.
STEPS_BEFORE = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each thing is timed for, in how many turns; a slow one gets at least ``least`` of them."""

    seconds: float = 2.0
    turns: int = 10
    least: int = 5


def steps(rows: int) -> int:
    """How many steps bench's ``progress`` is told for so many rows."""
    return rows * (STEPS_BEFORE + Plan().turns)
