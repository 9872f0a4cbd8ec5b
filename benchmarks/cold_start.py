"""The second half of `profile_speed.py`: what a person waits for and how much memory it takes.

Everything is a process of its own, compared with one that only imports torch and torchvision.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from speed_processes import Finished, run_measured

MODELS = ("resnet18", "mobilenet_v2")
LARGEST_TORCHVISION = "vit_h_14"
LARGEST_TIMM = "timm:vit_7b_patch16_dinov3"  # 6.7e9 parameters, the most of any in timm 1.0

BASE = "import torch, torchvision"
WITH_TIMM = "import torch, torchvision, timm"


@dataclass(frozen=True, slots=True)
class Waited:
    """A command's repeated runs."""

    label: str
    seconds: tuple[float, ...] = ()
    peak_bytes: int = 0
    error: str = ""

    @property
    def median_s(self) -> float | None:
        """The middle of all runs; None when the command failed."""
        return median(self.seconds) if self.seconds and not self.error else None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Times of the interleaved commands, whether help imports torch, and peaks of single runs."""

    times: tuple[Waited, ...]
    help_imports_torch: bool | None
    peaks: tuple[Waited, ...]

    def ratio(self, label: str, over: str) -> float | None:
        """One command's median over another's."""
        found = {w.label: w.median_s for w in self.times}
        mine, theirs = found.get(label), found.get(over)
        return mine / theirs if mine and theirs else None

    def above(self, label: str, base: str) -> int | None:
        """How much higher one process's peak is than another's, in bytes."""
        found = {w.label: w for w in self.peaks if not w.error}
        return found[label].peak_bytes - found[base].peak_bytes if label in found and base in found else None


def commands(command: str) -> dict[str, list[str]]:
    """What is timed, by label; ``command`` starts the tool's command line."""
    tool = resolved(command)
    return {
        f'python -c "{BASE}"': [sys.executable, "-c", BASE],
        f"compare-models {' '.join(MODELS)}": [*tool, *MODELS],
        "compare-models --help": [*tool, "--help"],
    }


def resolved(command: str) -> list[str]:
    """The words of a command, its program looked up beside this interpreter first."""
    program, *rest = shlex.split(command)
    beside = Path(sys.executable).parent
    return [shutil.which(program, path=str(beside)) or shutil.which(program) or program, *rest]


def measure(command: str, repeats: int, progress: Callable[[str], None]) -> ColdStart:
    """Time the commands in turn, ``repeats`` times, then the peaks of the largest models."""
    timed = commands(command)
    rounds: dict[str, list[Finished | str]] = {label: [] for label in timed}
    for words in timed.values():
        progress("cold start: warming up")  # files into the page cache, bytecode written
        _run(words)
    for i in range(repeats):
        for label, words in timed.items():
            progress(f"cold start {i + 1}/{repeats}: {label}")
            rounds[label].append(_run(words))
    return ColdStart(
        tuple(_waited(label, runs) for label, runs in rounds.items()),
        _imports_torch([*resolved(command), "--help"]),
        _peaks(command, progress),
    )


def _peaks(command: str, progress: Callable[[str], None]) -> tuple[Waited, ...]:
    tool = resolved(command)
    wanted = {
        f'python -c "{BASE}"': [sys.executable, "-c", BASE],
        f'python -c "{WITH_TIMM}"': [sys.executable, "-c", WITH_TIMM],
        f"compare-models {LARGEST_TORCHVISION}": [*tool, LARGEST_TORCHVISION],
        f"compare-models {LARGEST_TIMM}": [*tool, LARGEST_TIMM],
    }
    found = []
    for label, words in wanted.items():
        progress(f"peak memory: {label}")
        found.append(_waited(label, [_run(words)]))
    return tuple(found)


def _run(words: list[str], **extra: str) -> Finished | str:
    """The finished process, or why it did not work."""
    try:
        done = run_measured(words, **extra)
    except FileNotFoundError:
        return f"no command {Path(words[0]).name}"
    except OSError as error:
        return f"{Path(words[0]).name}: {error.strerror}"
    return done.last_words if done.returncode else done


def _waited(label: str, runs: list[Finished | str]) -> Waited:
    errors = [run for run in runs if isinstance(run, str)]
    if errors:
        return Waited(label, error=errors[0])
    done = [run for run in runs if isinstance(run, Finished)]
    return Waited(label, tuple(run.seconds for run in done), max(run.peak_bytes for run in done))


def _imports_torch(words: list[str]) -> bool | None:
    """Whether a command imports torch; None when it fails, or is no Python that tells."""
    done = _run(words, PYTHONPROFILEIMPORTTIME="1")
    if isinstance(done, str) or "import time:" not in done.stderr:
        return None
    return re.search(r"\| +torch$", done.stderr, re.MULTILINE) is not None
