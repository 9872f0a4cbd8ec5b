"""A worker process from within: runs the jobs that its parent sends, and dies with it."""

from __future__ import annotations

import importlib
import os
import pickle
import select
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ..errors import ModelcmpError
from .jobs import Failure, Task

#: What a worker says after its start and after each job: the pickled value, or why there is none.
Reply = tuple[bytes | None, Failure | None]


def serve(descriptor: int) -> None:
    """Answer the parent at the other end of a descriptor until it hangs up: once ready, then once for each job."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.argv[1:] = []  # the user's code may read them when it is imported
    connection = Connection(descriptor)
    try:
        function = _begin(connection)
        while function is not None:
            for payload in pickle.loads(connection.recv_bytes()):
                _send(connection, attempt(function, payload))
    except (EOFError, OSError):  # the parent is gone
        return


def _begin(connection: Connection) -> Callable[[Any], Any] | None:
    """The function that jobs call; None after telling the parent why there is none."""
    try:
        function = start(pickle.loads(connection.recv_bytes()))
    except (Exception, SystemExit) as error:
        _send(connection, (None, failure(error)))
        return None
    _send(connection, (b"", None))
    return function


def start(task: Task) -> Callable[[Any], Any]:
    """Prepare this process for a task; the task's function."""
    if task.prepare is not None:
        find(task.prepare)(*task.prepare_args)
    return find(task.function)


def find(place: str) -> Callable[..., Any]:
    """The function of ``package.module:function``.

    >>> find("os.path:basename")("a/b")
    'b'
    """
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def attempt(function: Callable[[Any], Any], payload: bytes) -> Reply:
    """Call a function with a pickled payload; whatever it raises is the reply."""
    try:
        return pickle.dumps(function(pickle.loads(payload)), pickle.HIGHEST_PROTOCOL), None
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: the next job wants its turn
        return None, failure(error)


def failure(error: BaseException) -> Failure:
    """An exception as a job's failure; ours speak for themselves.

    >>> failure(ValueError("no such luck")).message, failure(ModelcmpError("give --seed")).message
    ('ValueError: no such luck', 'give --seed')
    """
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown)"
    if isinstance(error, ModelcmpError):
        return Failure(kind, text)
    return Failure(kind, f"{kind}: {text}" if text else kind)


def _send(connection: Connection, reply: Reply) -> None:
    connection.send_bytes(pickle.dumps(reply, pickle.HIGHEST_PROTOCOL))


def _die_with_parent() -> None:
    """End this process group when the parent does, whatever a job is busy with.

    The parent holds the other end of our stdin. The kernel itself sends SIGIO, which kills, when that
    end closes: a thread would wait for a job that keeps the interpreter's lock. The thread is for
    systems that ignore SIGIO, and for a parent whose own children hold the end open.
    """
    import fcntl

    lifeline = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_watch, args=(lifeline, os.getppid()), daemon=True).start()
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def _watch(lifeline: int, parent: int) -> None:
    while os.getppid() == parent and not select.select([lifeline], [], [], 1.0)[0]:
        pass
    os.killpg(0, signal.SIGKILL)
