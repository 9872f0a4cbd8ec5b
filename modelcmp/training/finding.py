"""Where trained models lie: in workspaces, and in folders of workspaces such as trials and sweeps make them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import BadInput, ModelcmpError
from .config_file import load_config
from .names import CONFIG, folder_name
from .results import FILE as RESULT
from .results import RunResult, load_result

SESSION = "session.json"
#: Folders below the one given; trials and sweeps put a run three down: ``runs/cnn-0003/comparison-cnn``.
DEPTH = 5
#: Folders that hold much and no runs.
_CLOSED = {"trained_models", "batch_dumps", "predictions", "tracks", "logs", "files", "__pycache__", "node_modules"}


@dataclass(frozen=True, slots=True)
class Found:
    """Folders of trained models, and of those that have begun and left no result."""

    runs: tuple[Path, ...]
    begun: tuple[Path, ...] = ()
    closed: tuple[str, ...] = ()  # what could not be looked into, in words


def find_runs(places: Iterable[Path]) -> list[Path]:
    """The folders of trained models among and below those given; raises BadInput for one without any."""
    return list(search(places).runs)


def search(places: Iterable[Path]) -> Found:
    """The same with what has no result yet; each folder once, in order of its name. Raises BadInput."""
    runs: dict[str, Path] = {}
    begun: dict[str, Path] = {}
    closed: list[str] = []
    for place in places:
        before = len(runs)
        seen: set[tuple[int, int]] = set()
        for folder, has_result in _walked(place, DEPTH, closed, seen) if place.is_dir() else ():
            (runs if has_result else begun).setdefault(os.path.realpath(folder), folder)
        if len(runs) == before and not _inside(place, runs):
            raise BadInput(f"{place} {_why_empty(place)}")
    return Found(tuple(runs.values()), tuple(begun.values()), tuple(closed))


def _walked(folder: Path, depth: int, closed: list[str], seen: set[tuple[int, int]]) -> Iterator[tuple[Path, bool]]:
    """Runs below a folder and whether each has a result; links are followed, but no folder is entered twice."""
    try:
        entries = {entry.name: entry for entry in os.scandir(folder)}
    except OSError as error:
        closed.append(f"{folder} cannot be read: {error.strerror or error}")
        return
    if RESULT in entries and entries[RESULT].is_file():
        yield folder, True
    elif SESSION in entries:
        if folder.name.startswith(folder_name("")):
            yield folder, False
    elif depth:
        for name in sorted(entries):
            if name not in _CLOSED and not name.startswith(".") and _new_folder(entries[name], seen):
                yield from _walked(folder / name, depth - 1, closed, seen)


def _new_folder(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> bool:
    try:
        if not entry.is_dir():
            return False
        found = entry.stat()
    except OSError:  # a link to nowhere, or gone by now
        return False
    identity = (found.st_dev, found.st_ino)
    new = identity not in seen
    seen.add(identity)
    return new


def _inside(place: Path, runs: Iterable[str]) -> bool:
    """Whether an earlier place held all that is in this one."""
    real = os.path.realpath(place)
    return any(run == real or run.startswith(real + os.sep) for run in runs)


def _why_empty(place: Path) -> str:
    if not place.exists():
        return "does not exist: name a workspace or a run of `compare-models train`"
    if (place / CONFIG).is_file() or (place / SESSION).is_file():
        return f"holds no result yet: `compare-models train --resume {place}` goes on with it"
    return "holds no trained model: name a workspace or a run of `compare-models train`"


def load_runs(places: Sequence[Path]) -> tuple[list[RunResult], list[str]]:
    """The results of all runs, in the order of their config, and what could not be read.

    Of several workspaces, the names say which. Raises BadInput where there are no runs.
    """
    runs, problems = read_runs(search(places))
    return named(runs), problems


def read_runs(found: Found, *, curves: bool = True) -> tuple[list[tuple[Path, RunResult]], list[str]]:
    """Folders in full with their results, in the order of their config, and what could not be read.

    ``curves``: with the points of ROC and precision-recall curves, nine tenths of a result. Raises ModelcmpError
    where no result can be read.
    """
    folders = [Path(os.path.abspath(run)) for run in found.runs]
    read, problems = [], list(found.closed)
    for folder in _in_order(folders):
        try:
            read.append((folder, load_result(folder, curves=curves)))
        except ModelcmpError as error:
            problems.append(str(error))
    if not read:
        raise ModelcmpError("; ".join(problems[:5]))
    return read, problems


def named(runs: Sequence[tuple[Path, RunResult]]) -> list[RunResult]:
    """Results alone; of several workspaces, the names say which: ``cnn-0003/cnn``."""
    if len({folder.parent for folder, _ in runs}) < 2:
        return [result for _, result in runs]
    return [replace(result, name=f"{folder.parent.name}/{result.name}") for folder, result in runs]


def _in_order(folders: Sequence[Path]) -> list[Path]:
    """Workspaces as they were found, the runs of each in the order of its config."""
    workspaces: dict[Path, list[Path]] = {}
    for folder in folders:
        workspaces.setdefault(folder.parent, []).append(folder)
    ordered: list[Path] = []
    for workspace, runs in workspaces.items():
        place = _order(workspace) if len(runs) > 1 else {}
        ordered += sorted(runs, key=lambda run: place.get(run.name, len(folders)))
    return ordered


def _order(folder: Path) -> dict[str, int]:
    """Where each run of a workspace stands in its config; none where it cannot be read, for it orders and no more."""
    try:
        config = load_config(folder / CONFIG)
    except ModelcmpError:
        return {}
    return {folder_name(label): i for i, label in enumerate(config.labels)}
