"""A worker process as its parent sees it.

A plain child with a fresh interpreter, not a multiprocessing.Process: that one imports the user's
``__main__`` again, lets it print on our stdout, has our environment from the start and leaves a
resource tracker behind.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from typing import Any

from ..errors import ModelcmpError, UsageError
from .devices import VISIBLE, devices, jobs_at_once, shares
from .jobs import Job, Options, Task, processors
from .worker import Reply

_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from modelcmp.engines.worker import serve; serve(int(sys.argv[1]))"

#: How long a process that hung up may take to end by itself, so that its own exit code is seen.
_LAST_WORDS_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker finds itself: the same wherever and whenever it is started."""

    folder: str
    path: tuple[str, ...]
    environment: Mapping[str, str]


def places(options: Options) -> list[Place]:
    """Where each worker of this machine finds itself: this process's own place, with its share of CPUs and GPUs.

    As many as may run at once. Raises UsageError where not even one gets what it asks for.
    """
    most = _room(options)
    seen = shares(devices(), options.gpus) if options.gpus is not None else None
    workers = options.workers or most or len(seen or ())
    workers = workers if seen is None else min(workers, len(seen))
    threads = options.cpus or processors() / workers
    environment = {"OMP_NUM_THREADS": str(max(1, int(threads))), **os.environ}
    own: list[dict[str, str]] = [{}] * workers if seen is None else [{VISIBLE: value} for value in seen[:workers]]
    return [Place(os.getcwd(), tuple(map(str, sys.path)), environment | one) for one in own]


def _room(options: Options) -> int | None:
    """How many workers the CPUs are enough for; None where GPUs alone decide."""
    if options.cpus is None:
        return processors() if options.gpus is None else None
    if options.cpus > processors():
        there = processors()
        raise UsageError(f"each job asks for {options.cpus:g} CPUs, and this process may use {there}: ask for fewer")
    return jobs_at_once(processors(), options.cpus)


class Worker:
    """One process, the jobs that it has been handed, and since when it has been at the first of them."""

    def __init__(self, task: Task, place: Place) -> None:
        self.place = place
        self.connection, theirs = Pipe()
        self.ready = False
        self.batch: deque[Job] = deque()
        self.done = 0
        self.since = 0.0
        with theirs:
            self._process = _spawn(theirs.fileno(), place)
        self._memory: Any = None
        self._send(task)

    def hand(self, jobs: list[Job], payloads: list[bytes]) -> None:
        """Give it jobs to run one after the other."""
        self.batch.extend(jobs)
        self.since = time.monotonic()
        self._send(payloads)

    def _send(self, message: Any) -> None:
        with suppress(ConnectionError):  # it has died: reading will say so
            self.connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> Reply:
        """What it says next; EOFError or OSError when it has died."""
        reply: Reply = pickle.loads(self.connection.recv_bytes())
        return reply

    def finish(self) -> Job:
        """The job that it has just replied to; the next one's time begins."""
        self.done += 1
        self.since = time.monotonic()
        return self.batch.popleft()

    def resident_bytes(self) -> int:
        """Memory that it holds now, 0 when it has died."""
        import psutil

        with suppress(psutil.Error):
            self._memory = self._memory or psutil.Process(self._process.pid)
            return int(self._memory.memory_info().rss)
        return 0

    def stop(self) -> int:
        """Kill it with all that it has started; its exit code."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        self.connection.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return code

    def cause_of_death(self) -> str:
        """After it hung up: how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS_S)
        return exit_in_words(self.stop())


def _spawn(descriptor: int, place: Place) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(descriptor), *place.path],
            stdin=subprocess.PIPE,  # never written to: it closes when we die
            stdout=2,  # what jobs print is not our output
            cwd=place.folder,
            env=place.environment,
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is ours to handle; a kill takes what the job has started with it
        )
    except OSError as error:
        raise ModelcmpError(f"cannot start a worker process in {place.folder}: {error.strerror or error}") from error


def exit_in_words(code: int) -> str:
    """An exit code as the signal that it stands for.

    >>> exit_in_words(3), exit_in_words(-11)
    ('exit code 3', 'SIGSEGV')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"{name}: killed from outside, often for want of memory" if -code == signal.SIGKILL else name
