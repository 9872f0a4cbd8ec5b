"""The second half of `train_overhead.py`: how long `compare-models train` takes until the first step begins.

Each run is a process of its own that ends there, without a teardown; so does the one that only imports torch and
torchvision. They run in turn, after one round that warms the file cache.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from speed_processes import run_measured

BASE = "import os, torch, torchvision; os._exit(0)"
#: The real command line; it ends, with a status of its own, when the listener hears that a model's training begins.
BEGUN = 77
TRAIN = f"""
import os
from modelcmp_cli import live
live.Lines.started = lambda *_: os._exit({BEGUN})
from modelcmp_cli.main import run
run()
"""
COMMANDS = (("--model", "mlp"), ("--recipe", "quickstart"))


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds of the processes, run by run."""

    base: list[float]
    train: dict[tuple[str, ...], list[float]]  # by the options of the command

    @property
    def over_s(self) -> float:
        """By how much the medians differ, for the command that takes longest."""
        return max(map(median, self.train.values())) - median(self.base)


def measure(repeats: int, progress: Callable[[str], None]) -> Startup:
    """Time both in turn; ends the program where one of them fails."""
    found = Startup([], {words: [] for words in COMMANDS})
    for i in range(repeats + 1):
        progress(f"start-up {i}/{repeats}")
        found.base.append(_seconds(["-c", BASE], 0))
        for words, seconds in found.train.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(_seconds(["-c", TRAIN, "train", *words, "--out-dir", f"{folder}/run"], BEGUN))
    for seconds in (found.base, *found.train.values()):
        del seconds[0]  # the round that warmed the cache
    return found


def _seconds(arguments: list[str], status: int) -> float:
    done = run_measured([sys.executable, *arguments])
    if done.returncode != status:
        sys.exit(f"start-up: {done.last_words}")
    return done.seconds
