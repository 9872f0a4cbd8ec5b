"""How far a model has come, and who wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .results import RunResult


@dataclass(slots=True)
class Progress:
    """Where a model's training stands; plain data, so that a checkpoint can hold it.

    ``epoch`` counts from 1 and is the one at hand, ``batch`` how many of its steps are done, ``step`` how many of all.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0  # of the epoch at hand, over its samples
    correct: float = 0.0
    weight: float = 0.0  # by which the loss's mean divides: samples, unless classes have weights
    seen: int = 0
    rate: float = 0.0  # learning rate of the last step
    samples: int = 0  # of all epochs
    seconds: float = 0.0  # in steps, over all epochs
    epoch_seconds: float = 0.0
    best: float | None = None
    best_epoch: int | None = None
    stop_best: float | None = None  # early stopping watches a metric of its own
    waited: int = 0
    order_digest: str = ""  # of the order of all samples seen
    peak_memory_bytes: int | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)  # of each track when the checkpoint was made

    def begin_epoch(self, epoch: int) -> None:
        """Forget the sums of the epoch before."""
        self.epoch, self.batch, self.seen = epoch, 0, 0
        self.loss_sum = self.weight = self.correct = self.epoch_seconds = 0.0

    def plain(self) -> dict[str, Any]:
        """All of it as plain data."""
        return asdict(self)


class Listener(Protocol):
    """Who is told how training goes; each call returns at once."""

    def planned(self, steps: Mapping[str, int]) -> None:
        """Which models will be trained, and how many steps each at most."""

    def started(self, name: str, done: int) -> None:
        """A model's training begins, or goes on after some steps."""

    def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None:
        """A step is done: its loss, the accuracy of the epoch so far, and samples a second."""

    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None:
        """An epoch is done."""

    def ended(self, result: RunResult) -> None:
        """A model's training is over, well or not."""

    def phase(self, words: str) -> None:
        """What is done now, beside training."""

    def warned(self, words: str) -> None:
        """Something that the user should know."""


class Silent:
    """A listener that does not care."""

    def planned(self, steps: Mapping[str, int]) -> None: ...
    def started(self, name: str, done: int) -> None: ...
    def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None: ...
    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None: ...
    def ended(self, result: RunResult) -> None: ...
    def phase(self, words: str) -> None: ...
    def warned(self, words: str) -> None: ...
