"""What a diff is asked to do, and who hears how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .records import Tolerance


@dataclass(frozen=True, slots=True)
class Request:
    """How two runs are to be compared."""

    filters: tuple[str, ...] = ("all",)
    align: str = "batch"
    head: str | None = None  # a regular expression for the classifier head, where structure does not tell
    given: Mapping[str, Any] | None = None  # what a map file says
    floors: tuple[Path, ...] = ()  # runs that differ from A by noise only
    tolerance: Tolerance = field(default_factory=Tolerance)
    strict: bool = False  # a file that cannot be read ends it all
    threads: int | None = None


class Watcher(Protocol):
    """Whoever wants to know how far it is."""

    def planned(self, pairs: int) -> None:
        """So many pairs of dumps are to be compared."""

    def advanced(self) -> None:
        """One more is done."""


class Nobody:
    """Does not want to know."""

    def planned(self, pairs: int) -> None:
        """Nothing."""

    def advanced(self) -> None:
        """Nothing."""
