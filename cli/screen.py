"""Where output goes: results to stdout or a file, everything else to stderr."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from modelcmp.records import ModelFailure, ModelProfile

Progress = Callable[[str, int], None]

#: Set by Ctrl-C.
interrupted = threading.Event()


def stdout() -> Console:
    """The console for results: no markup, so that names print as they are."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


def show(renderables: Iterable[RenderableType], output: Path | None) -> None:
    """Print tables, or write them to a file as plain text."""
    if output is None:
        console = stdout()
        for item in renderables:
            console.print(item)
        return
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120, markup=False, highlight=False, emoji=False, no_color=True)
    for item in renderables:
        console.print(item)
    write_text(console.file.getvalue(), output)  # type: ignore[attr-defined]


def write_text(text: str, output: Path | None) -> None:
    """Write machine-readable text to stdout or a file."""
    from modelcmp.files import write_whole

    if output is None:
        sys.stdout.write(text)
        return
    write_whole(output, text)
    note(f"wrote {output}")


def read_input() -> str:
    """Standard input as text, for the model list '-'."""
    if sys.stdin.isatty():
        note("reading models from the terminal, one a line; Ctrl-D ends the list")
    return sys.stdin.buffer.read().decode("utf-8-sig")


def caption(profiles: Iterable[ModelProfile], without_batch: bool = False) -> str:
    """What the figures of a picture hold for."""
    first = next(iter(profiles), None)
    if first is None:
        return ""
    batch = "" if without_batch else f"batch {first.batch_size}, "
    on = first.machine
    where = f", on {on.title} ({on.level}, {'compiled' if on.compiled else 'eager'})" if on else ""
    return f"{batch}{first.dtype}, {first.mode} mode, convention {first.convention}{where}"


def note(message: str) -> None:
    """A remark beside the result."""
    from rich.console import Console

    Console(stderr=True, markup=False, highlight=False, emoji=False, style="dim").print(message, soft_wrap=True)


def warn(message: str) -> None:
    """Something that the user should know before trusting the result."""
    print(f"warning: {' '.join(message.split())}", file=sys.stderr)


def error(message: str) -> None:
    """A failure beside a result that is shown all the same."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)


def report_failures(failures: Iterable[ModelFailure]) -> None:
    """Each failed model's own error."""
    for failure in failures:
        error(failure.message)


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """A bar on stderr while models are profiled; nothing when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _name, _done: _stop_if_interrupted()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=20),
               MofNCompleteColumn(), TimeElapsedColumn())  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading PyTorch", total=total)

        def advance(name: str, done: int) -> None:
            _stop_if_interrupted()
            bar.update(task, description=name, completed=done)

        yield advance


def _stop_if_interrupted() -> None:
    if interrupted.is_set():
        raise KeyboardInterrupt
