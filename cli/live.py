"""Training as it goes: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from . import screen

if TYPE_CHECKING:
    from modelcmp.training.progress import Listener
    from modelcmp.training.results import RunResult

T = TypeVar("T")
#: Steps are told more often than anyone can read.
_SHOW_EVERY_S = 0.1


@contextmanager
def listening(quiet: bool = False) -> Iterator[Listener]:
    """Who shows training on stderr."""
    from modelcmp.training.progress import Silent

    with shown(quiet, Silent, Bars, Lines) as listener:
        yield listener


@contextmanager
def shown(quiet: bool, silent: Callable[[], T], bars: Callable[[], Any], lines: Callable[[], T]) -> Iterator[T]:
    """One of three listeners: none, moving bars on a terminal, else lines."""
    if quiet:
        yield silent()
    elif sys.stderr.isatty():
        with bars() as moving:
            yield moving
    else:
        yield lines()


@contextmanager
def paused(listener: Listener) -> Iterator[None]:
    """No moving bars meanwhile."""
    if not isinstance(listener, Bars):
        yield
        return
    listener.__exit__()
    try:
        yield
    finally:
        listener.resume()


class Lines:
    """One line a model and an epoch."""

    def planned(self, steps: Mapping[str, int]) -> None:
        """Say what there is to do."""
        waiting = [name for name, count in steps.items() if count]
        if waiting:
            self._say(f"training {', '.join(waiting)}: at most {max(steps.values())} steps each")

    def started(self, name: str, done: int) -> None:
        """Say so where it goes on."""
        if done:
            self._say(f"{name}: going on after step {done}")

    def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None:
        """Steps are too many for lines."""

    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None:
        """An epoch's figures."""
        self._say(f"{name}: {epoch_line(row, epochs)}")

    def ended(self, result: RunResult) -> None:
        """How a model's training ended."""
        if result.message or result.status != "finished":
            self._say(f"{result.name}: {result.status}{': ' if result.message else ''}{result.message}")

    def phase(self, words: str) -> None:
        """What is done now."""

    def warned(self, words: str) -> None:
        """A warning."""
        screen.warn(words)

    def _say(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)


class Bars:
    """A bar for each model and one for all, with loss, accuracy, samples a second and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True, highlight=False, emoji=False)
        width = max(6, min(24, console.width - 66))
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=width), TaskProgressColumn(),
            TextColumn("{task.fields[facts]:<33}", markup=False),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console, refresh_per_second=8,
        )  # fmt: skip
        self._tasks: dict[str, Any] = {}
        self._all: Any = None
        self._shown = 0.0
        self._name_width = 12

    def __enter__(self) -> Bars:
        self._bar.start()
        self._phase = self._bar.add_task("starting", total=None, facts="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def resume(self) -> None:
        """Show the bars again."""
        self._bar.start()

    def planned(self, steps: Mapping[str, int]) -> None:
        """A bar for each model that is left, and one for all."""
        self._bar.remove_task(self._phase)
        self._name_width = min(22, max(map(len, [*steps, "all"])))
        for name, count in steps.items():
            if count:
                self._tasks[name] = self._bar.add_task(self._short(name), total=count, facts="", start=False)
        self._all = self._bar.add_task(self._short("all"), total=sum(steps.values()), facts="")

    def started(self, name: str, done: int) -> None:
        """Its clock runs."""
        self._bar.start_task(self._tasks[name])
        self._bar.update(self._tasks[name], completed=done)
        self._update_all()

    def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None:
        """Move the bars, at most ten times a second."""
        if time.monotonic() - self._shown < _SHOW_EVERY_S:
            return
        self._shown = time.monotonic()
        facts = f"loss {loss:.3f}  acc {accuracy * 100:5.1f} %  {rate:5.0f}/s"
        self._bar.update(self._tasks[name], completed=step, facts=facts)
        self._update_all()

    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None:
        """Show validation's figures until the next step."""
        facts = f"epoch {row['epoch']:.0f}/{epochs}  val {row['val_accuracy'] * 100:5.1f} %"
        self._bar.update(self._tasks[name], facts=facts)

    def ended(self, result: RunResult) -> None:
        """A full bar, or the reason for none."""
        task = self._tasks[result.name]
        best = max((row["val_accuracy"] for row in result.history), default=None)
        facts = result.status if best is None or result.status != "finished" else f"best val {best * 100:.1f} %"
        self._bar.update(task, completed=result.steps, total=max(1, result.steps), facts=facts)
        self._bar.stop_task(task)
        self._update_all()
        if result.message:
            self._bar.console.print(f"{result.name}: {result.status}: {result.message}", markup=False, soft_wrap=True)

    def phase(self, words: str) -> None:
        """What is done now, beside the bar of all."""
        if self._all is not None:
            self._bar.update(self._all, facts=words)
        else:
            self._bar.update(self._phase, description=words)

    def warned(self, words: str) -> None:
        """A warning above the bars."""
        self._bar.console.print(f"warning: {words}", markup=False, soft_wrap=True)

    def _short(self, name: str) -> str:
        kept = name if len(name) <= self._name_width else name[: self._name_width - 1] + "…"
        return kept.ljust(self._name_width)

    def _update_all(self) -> None:
        tasks = [task for task in self._bar.tasks if task.id in self._tasks.values()]
        self._bar.update(self._all, completed=sum(t.completed for t in tasks), total=sum(t.total or 0 for t in tasks))


def epoch_line(row: Mapping[str, float], epochs: int) -> str:
    """An epoch in one line."""
    return (
        f"epoch {row['epoch']:.0f}/{epochs}  loss {row['train_loss']:.4f}  acc {row['train_accuracy'] * 100:.1f} %  "
        f"val loss {row['val_loss']:.4f}  val acc {row['val_accuracy'] * 100:.1f} %  {row['seconds']:.1f} s"
    )
