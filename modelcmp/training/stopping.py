"""Ways to stop: a signal, a file that asks for it, a budget, no more improvement, a loss that is no number."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ..errors import ModelcmpError
from .config import EarlyStopping
from .progress import Progress

_LOOK_EVERY_S = 0.5


class Interrupted(ModelcmpError):
    """A signal ended the run after the step at hand was finished and saved; the exit code says which."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number, self.exit_code = number, 128 + number


class Diverged(ModelcmpError):
    """A loss is not a finite number."""


class Pruned(ModelcmpError):
    """A search gives a model up; raised by its listener at the end of an epoch."""


class StopSign:
    """Whether a signal, or a file, has asked to stop."""

    def __init__(self, file: Path | None = None) -> None:
        self.number: int | None = None
        self._file, self._next_look = file, 0.0

    @property
    def up(self) -> bool:
        """Whether to stop after the step at hand."""
        if self.number is None and self._file is not None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_EVERY_S
            if self._file.exists():
                words = self._file.read_text("ascii", "replace")
                self.number = int(words) if words.isdigit() else int(signal.SIGTERM)
        return self.number is not None

    def check(self, message: str) -> None:
        """Raise Interrupted if a signal has asked to stop."""
        if self.up:
            assert self.number is not None
            raise Interrupted(self.number, message)


@contextmanager
def watching_signals(sign: StopSign, hand_on: Path | None = None) -> Iterator[StopSign]:
    """Let SIGINT and SIGTERM raise the sign; a second one stops at once. Handlers are put back afterwards.

    ``hand_on`` is a file through which other processes are asked to stop, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield sign
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if sign.number is not None:
            raise KeyboardInterrupt
        sign.number = number
        if hand_on is not None:
            with suppress(OSError):  # nobody listens yet, or there is no room: those who train here know
                hand_on.write_text(str(number), "ascii")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield sign
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if hand_on is not None:
            hand_on.unlink(missing_ok=True)


def improved(value: float, best: float | None, metric: str, min_delta: float = 0.0) -> bool:
    """Whether a value of ``val_loss`` or ``val_accuracy`` is better than the best so far."""
    if best is None or best != best:
        return True
    return value < best - min_delta if metric == "val_loss" else value > best + min_delta


def watch(progress: Progress, rule: EarlyStopping | None) -> None:
    """Note whether the last epoch of the history was better than those before, for early stopping."""
    if rule is None:
        return
    value = progress.history[-1][rule.metric]
    if improved(value, progress.stop_best, rule.metric, rule.min_delta):
        progress.stop_best, progress.waited = value, 0
    else:
        progress.waited += 1
