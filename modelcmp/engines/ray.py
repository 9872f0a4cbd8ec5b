"""Jobs on a Ray cluster, or on this machine's own Ray."""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ..errors import ModelcmpError
from .jobs import Failure, Job, Options, Outcome, Task, batch_size
from .local import outcome
from .ray_cluster import check_room, connect, import_ray, one_line, room
from .ray_worker import Setup, run_batch, run_whole_batch
from .worker import Reply, failure

_RETRIES = 3


@dataclass(frozen=True, slots=True)
class _Flight:
    """A batch under way, and its jobs that have no outcome yet, in order."""

    handle: Any  # a Ray generator of replies, or over ray:// the reference to all of them
    jobs: deque[Job]


class RayEngine:
    """Runs batches of jobs as Ray tasks; inside, a LocalEngine keeps a job from taking others down.

    Outcomes stream back one by one (over ``ray://`` batch by batch: Ray's client cannot stream). Ray
    runs the rest of a batch again elsewhere when its worker or its machine dies.
    """

    def __init__(self, task: Task, options: Options = Options()) -> None:  # noqa: B008
        self._ray = import_ray()
        self._options = options
        carried = options.runtime_env is not None and "working_dir" in options.runtime_env
        self._setup = Setup(task, options.limits, None if carried else os.getcwd(), tuple(map(str, sys.path)))
        self._queue: deque[Job] = deque()
        self._flights: list[_Flight] = []
        self._finished: deque[Outcome] = deque()
        self._ours = False
        self._room = 1

    def __enter__(self) -> Self:
        self._ours = connect(self._options)
        try:
            check_room(self._options)
        except BaseException:
            self.__exit__()
            raise
        self._streams = not self._ray.util.client.ray.is_connected()
        function = run_batch if self._streams else run_whole_batch
        returns = "streaming" if self._streams else 1
        asked = {"num_cpus": self._options.cpus or 1}
        if self._options.gpus is not None:  # Ray then ends the worker after its batch, which frees the GPU's memory
            asked["num_gpus"] = self._options.gpus
        self._remote = self._ray.remote(**asked, max_retries=_RETRIES, num_returns=returns)(function)
        self._room = room(self._options)
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()
        if self._ours:
            self._ray.shutdown()

    @property
    def slots(self) -> int:
        """How many jobs run at once, as the cluster is now."""
        return min(self._room, self._options.workers or self._room)

    def submit(self, jobs: Iterable[Job]) -> None:
        """Add jobs, and send off as many as the cluster has room for."""
        self._queue.extend(jobs)
        self._launch()

    def results(self) -> Iterator[Outcome]:
        """Each job's outcome as it is known; raises ModelcmpError when the cluster cannot run the task."""
        while self._finished or self._queue or self._flights:
            if self._finished:
                yield self._finished.popleft()
            else:
                self._advance()

    def cancel(self) -> None:
        """Drop the jobs that have no outcome yet, and stop those under way."""
        self._queue.clear()
        for flight in self._flights:
            with suppress(Exception):  # it may have ended by itself, or the cluster may be gone
                self._ray.cancel(flight.handle, force=True)
        self._flights.clear()

    def _launch(self) -> None:
        """Keep the cluster busy with twice what it can run, never with all there is."""
        most = self._options.workers or 2 * self._room
        while self._queue and len(self._flights) < most:
            size = batch_size(len(self._queue), most, self._options.batch_size)
            batch = [self._queue.popleft() for _ in range(size)]
            packed = [(job, data) for job in batch if (data := self._packed(job)) is not None]
            if packed:
                handle = self._remote.remote(self._setup, [(job.name, data) for job, data in packed])
                self._flights.append(_Flight(handle, deque(job for job, _ in packed)))

    def _packed(self, job: Job) -> bytes | None:
        """A job's payload to send; None, and the job has failed, when it cannot be sent."""
        try:
            return pickle.dumps(job.payload, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            self._finished.append(Outcome(job, error=failure(error)))
            return None

    def _advance(self) -> None:
        """Wait until something happens, and deal with it."""
        self._launch()
        if self._finished:
            return
        ready, _ = self._ray.wait([f.handle for f in self._flights])
        for flight in [f for f in self._flights if f.handle in ready]:
            self._hear(flight)
            if not flight.jobs:
                self._flights.remove(flight)
                self._room = room(self._options)  # clusters grow and shrink

    def _hear(self, flight: _Flight) -> None:
        """Deal with what a batch has to say, or with its end."""
        errors = self._ray.exceptions
        try:
            for reply in self._next(flight):
                self._finished.append(outcome(flight.jobs.popleft(), reply))
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            self.cancel()
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, ModelcmpError):
                raise cause from error
            raise ModelcmpError(f"the cluster cannot run modelcmp: {one_line(cause)}") from error
        except (errors.RayError, StopIteration) as error:
            self._give_up(flight, one_line(error))

    def _next(self, flight: _Flight) -> list[Reply]:
        """The replies that have arrived; StopIteration when there are no more."""
        if self._streams:
            return [self._ray.get(next(flight.handle))]
        replies: list[Reply] = self._ray.get(flight.handle)
        return replies

    def _give_up(self, flight: _Flight, reason: str) -> None:
        """Ray will not run a batch again: its next job is the suspect, the others may try elsewhere."""
        job = flight.jobs.popleft()
        message = f"{job.name} was given up by Ray after {_RETRIES} retries: {reason}"
        self._finished.append(Outcome(job, error=Failure("Crashed", message)))
        self._queue.extendleft(reversed(flight.jobs))
        flight.jobs.clear()
