"""Running commands in processes of their own and measuring them: seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from speed_environment import without_folders

ROOT = Path(__file__).resolve().parents[1]
#: A peer that hangs is ended after this; what it measured until then counts.
LIMIT_S = 3600.0

#: No downloads, no accelerators, no kernels to compile.
_QUIET = {
    "CUDA_VISIBLE_DEVICES": "",
    "DS_ACCELERATOR": "cpu",
    "DS_BUILD_OPS": "0",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """What a process did and took."""

    returncode: int
    seconds: float
    peak_bytes: int
    stderr: str

    @property
    def last_words(self) -> str:
        """The last line on stderr, or how it ended."""
        lines = self.stderr.strip().splitlines()
        return without_folders(lines[-1])[:120] if lines else f"ended with status {self.returncode}"


def environment(**extra: str) -> dict[str, str]:
    """The environment of every measured process: this checkout is what `modelcmp` means there."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **_QUIET, "PYTHONPATH": os.pathsep.join(paths), **extra}


def run_measured(command: list[str], on_line: Callable[[str], None] = lambda _line: None, **extra: str) -> Finished:
    """Run a command to its end, handing over each line of its output as it comes.

    Raises FileNotFoundError when there is no such command.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(**extra),
        )
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line)
            process.stdout.close()
            # wait4 tells this one child's peak; resource.getrusage would tell the largest of all.
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            limit.cancel()
        errors.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return Finished(process.returncode, seconds, usage.ru_maxrss * unit, errors.read())
