"""Task functions of the engine tests: a worker process imports them by name."""

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from modelcmp.errors import ModelcmpError

prepared = []
kept = []


class Unreadable:
    """Pickles, but does not unpickle in the parent."""

    def __reduce__(self):
        return _refuse, (os.getpid(),)


def _refuse(pid):
    if os.getpid() != pid:
        raise ValueError("not here")


def prepare(*words):
    prepared.append(words)


def prepare_raises():
    raise ModelcmpError("the weights are gone")


def prepare_exits():
    os._exit(7)


def prepare_and_die_soon():
    threading.Thread(target=lambda: (time.sleep(0.02), os._exit(9)), daemon=True).start()


def act(payload):
    """Do what the payload's first word says with the rest of it."""
    verb, *rest = payload
    return globals()[f"do_{verb}"](*rest)


def do_echo(value):
    return value


def do_sleep(seconds):
    time.sleep(seconds)
    return seconds


def do_about():
    return {
        "pid": os.getpid(),
        "prepared": list(prepared),
        "cwd": os.getcwd(),
        "path": list(sys.path),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "argv": sys.argv,
        "main": getattr(sys.modules["__main__"], "__file__", None),
    }


def do_print(text):
    print(text)
    sys.stdout.flush()
    os.write(1, text.encode())


def do_exit(code):
    os._exit(code)


def do_signal(name):
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(5)


def do_raise(kind, text):
    raise {"ModelcmpError": ModelcmpError, "ValueError": ValueError, "SystemExit": SystemExit}[kind](text)


def do_unpicklable():
    return lambda: None


def do_unreadable():
    return Unreadable()


def do_hold(megabytes, seconds):
    """Memory that is gone when the job is."""
    block = bytearray(megabytes * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    time.sleep(seconds)
    return len(block)


def do_leak(megabytes):
    """Memory that stays."""
    kept.append(b"x" * (megabytes * 2**20))


def do_hog_the_lock(path):
    """Busy in C, without ever letting another thread run."""
    Path(path).write_text(str(os.getpid()))
    return sum(range(10**11))


def do_note(path, seconds):
    """Leave our process id behind and stay."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(seconds)


def do_kill_parent_once(path):
    """The first time, kill the process that started ours; say afterwards that there was a first time."""
    if Path(path).exists():
        return "again"
    Path(path).write_text("")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return None


def do_kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def do_call(place, *arguments):
    """Call a function that only some machines have."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)(*arguments)


def do_count(path):
    """Add a line to a file."""
    with Path(path).open("a") as file:
        file.write("x\n")


def do_device(seconds):
    """Which GPUs this job sees, and from when to when."""
    began = time.time()
    time.sleep(seconds)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), began, time.time()
