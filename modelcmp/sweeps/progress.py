"""Who wants to know how a search goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..training import progress as training


class Listener(Protocol):
    """Who is told how a search, or a series of seeds, goes; each call returns at once."""

    def planned(self, units: Mapping[str, int | None], done: Mapping[str, int]) -> None:
        """How many units there are of each architecture, None where only the budget says, and how many are done."""

    def began(self, model: str, name: str, words: str) -> None:
        """A unit begins: its architecture, its name and its configuration in words."""

    def ended(self, model: str, name: str, words: str, best: str) -> None:
        """A unit is over: how it went, and the best of its architecture so far."""

    def training(self, name: str) -> training.Listener:
        """Who is told how one unit's training goes, where that is in this process."""

    def phase(self, words: str) -> None:
        """What is done now, beside training."""

    def noted(self, words: str) -> None:
        """A remark beside the work."""

    def warned(self, words: str) -> None:
        """Something that the user should know."""


class Silent:
    """A listener that does not care."""

    def planned(self, units: Mapping[str, int | None], done: Mapping[str, int]) -> None: ...
    def began(self, model: str, name: str, words: str) -> None: ...
    def ended(self, model: str, name: str, words: str, best: str) -> None: ...
    def training(self, name: str) -> training.Listener:
        """Nobody."""
        return training.Silent()

    def phase(self, words: str) -> None: ...
    def noted(self, words: str) -> None: ...
    def warned(self, words: str) -> None: ...
