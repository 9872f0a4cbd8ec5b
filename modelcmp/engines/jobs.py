"""What an engine is given and what it gives back."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias

from ..errors import UsageError
from .devices import check_share

#: The most jobs that are handed out at once, unless asked otherwise.
_LARGEST_BATCH = 16


@dataclass(frozen=True, slots=True)
class Task:
    """What every job of an engine runs, by importable name, so that it means the same in every process."""

    function: str  # "package.module:function", called as function(payload); payload and value are plain picklable data
    prepare: str | None = None  # called once per process before its first job, as prepare(*prepare_args)
    prepare_args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use; a job over a limit is stopped and reported, the rest go on."""

    timeout_s: float | None = None  # of one job, without what `prepare` takes
    memory_bytes: int | None = None  # resident memory of the process it runs in, imports included


@dataclass(frozen=True, slots=True)
class Options:
    """How an engine runs; None leaves the choice to the engine."""

    workers: int | None = None
    limits: Limits = field(default_factory=Limits)
    batch_size: int | None = None  # consecutive jobs handed to a process at once
    address: str | None = None  # of a cluster
    runtime_env: Mapping[str, Any] | None = None  # what a cluster's machines need first, in Ray's words
    gpus: float | None = None  # of one job: a part of one (0.25), or whole ones; it sees no others
    cpus: float | None = None  # of one job: its threads, and how many jobs fit

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}: it must be at least 1")
        if self.cpus is not None and not (math.isfinite(self.cpus) and self.cpus > 0):
            raise UsageError(f"cpus is {self.cpus:g}: it must be above 0")
        check_share(self.gpus)


@dataclass(frozen=True, slots=True)
class Job:
    """One call of the task's function."""

    name: str  # how messages call it
    payload: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no value."""

    kind: str  # the exception's type, or "Crashed", "TimedOut", "OutOfMemory"
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: a value, or why there is none."""

    job: Job
    value: Any = None
    error: Failure | None = None


class Engine(Protocol):
    """Runs jobs; used as a context, which cancels what is left and leaves no process behind."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    @property
    def slots(self) -> int:
        """How many jobs run at once; on a cluster as far as it is known now."""

    def submit(self, jobs: Iterable[Job]) -> None:
        """Add jobs, also while results are being read; related jobs next to each other share caches."""

    def results(self) -> Iterator[Outcome]:
        """Each job's outcome as it is known, in any order, until nothing is pending.

        Raises ModelcmpError when no process can be started. Limits are enforced while results are read.
        """

    def cancel(self) -> None:
        """Drop the jobs that have no outcome yet, and stop the processes."""


EngineFactory: TypeAlias = Callable[[Task, Options], Engine]


def batch_size(left: int, workers: int, asked: int | None = None) -> int:
    """How many of the jobs that are left to hand out at once: fewer toward the end, so that all finish together.

    >>> [batch_size(left, workers=4) for left in (1000, 100, 5)]
    [16, 6, 1]
    >>> batch_size(100, 4, asked=10), batch_size(8, 4, asked=10)
    (10, 2)
    """
    if asked is not None:
        return min(asked, -(-left // workers))
    return max(1, min(_LARGEST_BATCH, left // (4 * workers)))


def processors() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
