"""A search, or a series of seeds, as it goes: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import screen
from .live import shown

if TYPE_CHECKING:
    from modelcmp.sweeps.progress import Listener
    from modelcmp.training.progress import Listener as TrainingListener
    from modelcmp.training.results import RunResult

_SHOW_EVERY_S = 0.1


@contextmanager
def listening(quiet: bool = False) -> Iterator[Listener]:
    """Who shows it on stderr."""
    from modelcmp.sweeps.progress import Silent

    with shown(quiet, Silent, Bars, Lines) as listener:
        yield listener


class Lines:
    """One line a unit."""

    def planned(self, units: Mapping[str, int | None], done: Mapping[str, int]) -> None:
        """Say what there is to do."""
        for model, count in units.items():
            there = f", {done[model]} done" if done.get(model) else ""
            self._say(
                f"{model}: {'as many trials as the budget allows' if count is None else f'{count} to train'}{there}"
            )

    def began(self, model: str, name: str, words: str) -> None:
        """Its end says enough."""

    def ended(self, model: str, name: str, words: str, best: str) -> None:
        """How a unit went."""
        self._say(f"{name}: {words}{f'; best of {model}: {best}' if best else ''}")

    def training(self, name: str) -> TrainingListener:
        """Steps are too many for lines."""
        return _training_listener(None)

    def phase(self, words: str) -> None:
        """What is done now."""

    def noted(self, words: str) -> None:
        """A remark."""
        self._say(words)

    def warned(self, words: str) -> None:
        """A warning."""
        screen.warn(words)

    def _say(self, words: str) -> None:
        print(" ".join(words.split()), file=sys.stderr, flush=True)


class Bars:
    """A bar for each architecture, and what is at hand."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True, highlight=False, emoji=False)
        self._facts_width = max(20, console.width - 58)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=14), MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False), TimeElapsedColumn(),
            console=console, refresh_per_second=8,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._running: dict[str, list[str]] = {}
        self._best: dict[str, str] = {}
        self._phase: Any = None
        self._shown = 0.0

    def __enter__(self) -> Bars:
        self._bar.start()
        self._phase = self._bar.add_task("starting", total=None, facts="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def planned(self, units: Mapping[str, int | None], done: Mapping[str, int]) -> None:
        """A bar for each architecture."""
        self._hide_phase()
        width = min(22, max(map(len, units)))
        for model, count in units.items():
            short = model if len(model) <= width else model[: width - 1] + "…"
            task = self._bar.add_task(short.ljust(width), total=count, completed=done.get(model, 0), facts="")
            self._tasks[model] = task
            self._running[model] = []

    def began(self, model: str, name: str, words: str) -> None:
        """Show what is at hand."""
        self._running[model].append(name)
        self._tell(model, words if len(self._running[model]) == 1 else "")

    def ended(self, model: str, name: str, words: str, best: str) -> None:
        """One more is done."""
        if name in self._running[model]:
            self._running[model].remove(name)
        self._best[model] = best
        self._bar.advance(self._tasks[model])
        self._tell(model, "" if best else words)
        if words.startswith(("failed", "diverged")):
            self._bar.console.print(f"{name}: {words}", markup=False, soft_wrap=True)

    def training(self, name: str) -> TrainingListener:
        """Show its epochs behind its architecture's bar."""
        return _training_listener(self)

    def stepped(self, name: str, step: int, loss: float) -> None:
        """A step of what is at hand, at most ten times a second."""
        if time.monotonic() - self._shown >= _SHOW_EVERY_S and name in self._tasks:
            self._shown = time.monotonic()
            self._tell(name, f"step {step}, loss {loss:.3f}")

    def phase(self, words: str) -> None:
        """What is done now, beside training."""
        if self._phase is not None:
            self._bar.update(self._phase, description=words)

    def noted(self, words: str) -> None:
        """A remark above the bars."""
        self._bar.console.print(words, markup=False, soft_wrap=True)

    def warned(self, words: str) -> None:
        """A warning above the bars."""
        self._bar.console.print(f"warning: {words}", markup=False, soft_wrap=True)

    def _hide_phase(self) -> None:
        if self._phase is not None:
            self._bar.remove_task(self._phase)
            self._phase = None

    def _tell(self, model: str, words: str) -> None:
        best = f"best {self._best[model]}" if self._best.get(model) else ""
        count = len(self._running[model])
        at_hand = words or (f"{count} running" if count > 1 else "")
        facts = "  ".join(part for part in (best, at_hand) if part)
        self._bar.update(self._tasks[model], facts=facts[: self._facts_width])


def _training_listener(bars: Bars | None) -> TrainingListener:
    from modelcmp.training.progress import Silent

    class Training(Silent):
        """Hands on what a single training says."""

        def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None:
            if bars is not None:
                bars.stepped(name, step, loss)

        def ended(self, result: RunResult) -> None:
            """The unit's end says it."""

        def warned(self, words: str) -> None:
            if bars is not None:
                bars.warned(words)
            else:
                screen.warn(words)

    return Training()
