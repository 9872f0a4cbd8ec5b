"""A batch of jobs on a Ray worker, which leaves each to a process that may die of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .devices import VISIBLE
from .jobs import Job, Limits, Options, Task
from .local import LocalEngine
from .process import Place
from .worker import Reply, attempt, start


@dataclass(frozen=True, slots=True)
class Setup:
    """What all batches of an engine have in common."""

    task: Task
    limits: Limits
    folder: str | None  # the driver's; None where the cluster brings its own
    path: tuple[str, ...]


#: The engine of this Ray worker, kept from batch to batch because its process has imported torch, and the GPUs that
#: Ray had lent to that process.
_kept: tuple[Setup, str | None, LocalEngine] | None = None
#: In that engine's process: the task's function.
_function: Callable[[Any], Any] | None = None


def run_batch(setup: Setup, jobs: list[tuple[str, bytes]]) -> Iterator[Reply]:
    """The reply of each job, in order, so that a second attempt says the same at the same place."""
    engine = _engine(setup)
    try:
        engine.submit(Job(name, payload) for name, payload in jobs)
        for outcome in engine.results():
            yield outcome.value if outcome.error is None else (None, outcome.error)
    except BaseException:  # an interrupted batch must not speak in the next one
        _drop()
        raise


def run_whole_batch(setup: Setup, jobs: list[tuple[str, bytes]]) -> list[Reply]:
    """The replies of all jobs at once, for Ray clients, to which nothing streams."""
    return list(run_batch(setup, jobs))


def prepare(task: Task) -> None:
    """Prepare a process for packed jobs of a task."""
    global _function
    _function = start(task)


def call(payload: bytes) -> Reply:
    """Run a packed job: only this process needs to be able to unpack what goes in and out."""
    assert _function is not None
    return attempt(_function, payload)


def _engine(setup: Setup) -> LocalEngine:
    global _kept
    gpus = os.environ.get(VISIBLE)
    if _kept is None or _kept[:2] != (setup, gpus):
        _drop()
        packed = Task(f"{__name__}:{call.__name__}", f"{__name__}:{prepare.__name__}", (setup.task,))
        _kept = setup, gpus, LocalEngine(packed, Options(workers=1, limits=setup.limits), _place(setup))
    return _kept[2]


def _drop() -> None:
    global _kept
    if _kept is not None:
        _kept[2].cancel()
    _kept = None


def _place(setup: Setup) -> Place:
    """The driver's folder and path as far as this machine has them; first what the cluster itself brings."""
    import ray

    path = [*setup.path, *sys.path] if setup.folder is not None else [*sys.path, *setup.path]
    inside_ray = os.path.dirname(ray.__file__) + os.sep  # on the path lies what Ray has copied from others
    path = [entry for entry in dict.fromkeys(path) if not entry.startswith(inside_ray)]
    folder = setup.folder if setup.folder is not None and os.path.isdir(setup.folder) else os.getcwd()
    return Place(folder, tuple(path), {"OMP_NUM_THREADS": "1", **os.environ})
