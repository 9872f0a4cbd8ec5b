"""Jobs in processes of this machine, where no job can take another down."""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any, Self

from ..errors import ModelcmpError, UsageError
from ..units import scaled
from .jobs import Failure, Job, Options, Outcome, Task, batch_size
from .process import Place, Worker, places
from .worker import Reply, failure

_LOOK_EVERY_S = 0.05
_MOST_STILLBORN = 3


class LocalEngine:
    """Runs jobs in child processes, each a fresh interpreter that is kept for many jobs.

    A job that crashes, hangs or needs too much memory costs its process, never another job: what it
    was handed besides goes back to the head of the queue. With one worker, outcomes come in order.
    """

    def __init__(self, task: Task, options: Options = Options(), place: Place | None = None) -> None:  # noqa: B008
        if options.address is not None or options.runtime_env is not None:
            raise UsageError("the local engine has no cluster: leave the address out, or choose the engine 'ray'")
        if os.name != "posix":
            raise UsageError("worker processes need Linux or macOS: run the jobs one after the other instead")
        self._task, self._limits, self._asked_size = task, options.limits, options.batch_size
        self._free = places(options) if place is None else [place] * (options.workers or 1)
        self._slots = len(self._free)
        self._queue: deque[Job] = deque()
        self._retries: deque[Job] = deque()  # each wants a process of its own
        self._workers: list[Worker] = []
        self._finished: deque[Outcome] = deque()
        self._stillborn = 0
        self._next_look = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.cancel()

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        return self._slots

    def submit(self, jobs: Iterable[Job]) -> None:
        """Add jobs, and start the processes for them."""
        self._queue.extend(jobs)
        self._staff()

    def results(self) -> Iterator[Outcome]:
        """Each job's outcome as it is known; raises ModelcmpError when no process can be started."""
        while self._finished or self._pending():
            if self._finished:
                yield self._finished.popleft()
            else:
                self._advance()

    def cancel(self) -> None:
        """Drop the jobs that have no outcome yet, and stop the processes."""
        self._queue.clear()
        self._retries.clear()
        while self._workers:
            self._workers[-1].stop()
            self._forget(self._workers[-1])

    def _pending(self) -> bool:
        return bool(self._queue or self._retries or any(w.batch for w in self._workers))

    def _advance(self) -> None:
        """Wait until something happens, and deal with it."""
        self._staff()
        if self._finished:
            return
        speaking = set(wait([w.connection for w in self._workers], self._patience()))
        for worker in [w for w in self._workers if w.connection in speaking]:
            self._hear(worker)
        self._enforce_limits()

    def _staff(self) -> None:
        """Give every idle worker a batch, and start workers for what is left."""
        for worker in self._workers:
            if worker.ready and not worker.batch:
                self._hand_out(worker)
        starting = sum(not w.ready for w in self._workers)
        wanted = len(self._queue) + len(self._retries) - starting
        for _ in range(min(wanted, len(self._free))):
            self._workers.append(Worker(self._task, self._free[0]))
            del self._free[0]  # not before: starting it may raise

    def _hand_out(self, worker: Worker) -> None:
        if self._retries and not worker.done:
            batch = [self._retries.popleft()]
        else:
            size = batch_size(len(self._queue), self._slots, self._asked_size)
            batch = [self._queue.popleft() for _ in range(min(size, len(self._queue)))]
        packed = [(job, data) for job in batch if (data := self._packed(job)) is not None]
        if packed:
            worker.hand([job for job, _ in packed], [data for _, data in packed])

    def _packed(self, job: Job) -> bytes | None:
        """A job's payload to send; None, and the job has failed, when it cannot be sent."""
        try:
            return pickle.dumps(job.payload, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            self._finished.append(Outcome(job, error=failure(error)))
            return None

    def _hear(self, worker: Worker) -> None:
        """Deal with one message of a worker, or with its end."""
        try:
            reply = worker.receive()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if worker.ready:
            self._stillborn = 0
            self._finished.append(outcome(worker.finish(), reply))
        else:
            self._admit(worker, reply)

    def _admit(self, worker: Worker, reply: Reply) -> None:
        """A worker has prepared itself; raises when it could not, or has no room for a job."""
        if reply[1] is not None:
            self.cancel()
            raise ModelcmpError(f"no worker process can start: {reply[1].message}")
        limit = self._limits.memory_bytes
        if limit is not None and (used := worker.resident_bytes()) > limit:
            self.cancel()
            raise UsageError(
                f"--memory-limit {scaled(limit, 'B')} is less than a worker needs to start ({scaled(used, 'B')})"
            )
        worker.ready = True

    def _bury(self, worker: Worker) -> None:
        """A worker has died: its job is the suspect, unless it had none yet."""
        cause = worker.cause_of_death()
        if worker.batch or worker.done:
            self._dismiss(worker, "Crashed", f"crashed its process ({cause})")
            return
        self._forget(worker)
        self._stillborn += 1
        if self._stillborn >= _MOST_STILLBORN:
            self.cancel()
            raise ModelcmpError(f"no worker process can start: {self._stillborn} in a row died on the way ({cause})")

    def _dismiss(self, worker: Worker, kind: str, reason: str) -> None:
        """Stop a worker and blame the job at hand."""
        job = self._release(worker)
        if job is not None:
            self._finished.append(Outcome(job, error=Failure(kind, f"{job.name} {reason}")))

    def _release(self, worker: Worker) -> Job | None:
        """Stop a worker and put back what it had not begun; the job at hand."""
        worker.stop()
        self._forget(worker)
        job = worker.batch.popleft() if worker.batch else None
        self._queue.extendleft(reversed(worker.batch))
        return job

    def _forget(self, worker: Worker) -> None:
        """Leave a stopped worker's place to another."""
        self._workers.remove(worker)
        self._free.append(worker.place)

    def _patience(self) -> float | None:
        """How long nothing needs to be done without a message."""
        busy = [w.since for w in self._workers if w.batch]
        if not busy:
            return None
        if self._limits.memory_bytes is not None:
            return _LOOK_EVERY_S
        if self._limits.timeout_s is None:
            return None
        return max(0.0, min(busy) + self._limits.timeout_s - time.monotonic())

    def _enforce_limits(self) -> None:
        """Stop who is over a limit; not who has something to say, for its job may be another by now."""
        now, timeout_s = time.monotonic(), self._limits.timeout_s
        if timeout_s is not None:
            for worker in [w for w in self._workers if w.batch and now >= w.since + timeout_s]:
                if not worker.connection.poll():
                    self._dismiss(worker, "TimedOut", f"was stopped after {timeout_s:g} s (--timeout)")
        limit = self._limits.memory_bytes
        if limit is not None and now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_S
            for worker in [w for w in self._workers if w.batch and w.resident_bytes() > limit]:
                if not worker.connection.poll():
                    self._over_memory(worker, limit)

    def _over_memory(self, worker: Worker, limit: int) -> None:
        """Blame a job only if no earlier one can have left the memory behind."""
        if not worker.done:
            self._dismiss(worker, "OutOfMemory", f"needed more than {scaled(limit, 'B')} (--memory-limit)")
        elif (job := self._release(worker)) is not None:
            self._retries.append(job)


def outcome(job: Job, reply: Reply) -> Outcome:
    """What a reply says of a job."""
    data, error = reply
    if error is not None or data is None:
        return Outcome(job, error=error)
    try:
        value: Any = pickle.loads(data)
    except Exception as unreadable:
        return Outcome(job, error=failure(unreadable))
    return Outcome(job, value)
