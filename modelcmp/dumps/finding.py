"""Finds the dumps or checkpoints at a place, in the order in which they were written. Loaded without torch."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .writing import FOLDER

SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors", ".bin")
#: What trainers write beside the model's state.
_BESIDE = re.compile(
    r"(optimizer|scheduler|scaler|training_args|rng_state|random_states|sampler|custom_checkpoint)([_-]?\d+)*", re.I
)
_NUMBERS = {
    "epoch": re.compile(r"(?:epoch|(?<![a-z])ep)[-_=. ]?(\d+)", re.I),
    "step": re.compile(r"(?:step|iteration|(?<![a-z])iter|checkpoint|ckpt)[-_=. ]?(\d+)", re.I),
    "batch": re.compile(r"batch[-_=. ]?(\d+)", re.I),
}
_DEPTH = 6
_UNFINISHED_S = 2.0  # a file that is not whole and changed since then is still being written


@dataclass(frozen=True, slots=True)
class DumpFile:
    """A file that may hold a dump, and what its name says; ``order`` counts from 0 in the order of training."""

    path: Path
    epoch: int | None = None
    batch: int | None = None
    step: int | None = None
    order: int = 0


def find_dumps(place: Path) -> list[DumpFile]:
    """The dumps at a place, in order; raises BadInput where there are none, or those of several runs.

    A place is a run's folder, its batch_dumps, one epoch's folder in it, a workspace with one such run in it, a folder
    of other people's checkpoints, or one file. Hidden and temporary files are left out, and so are checkpoints that are
    being written.
    """
    place = Path(place)
    if place.is_file():
        return [named(place)]
    if not place.exists():
        raise BadInput(f"there is no {place}: name a run's folder, a folder of checkpoints or one file")
    if not place.is_dir():
        raise BadInput(f"{place} is neither a folder nor a file")
    found = _own(place) or ([] if (place / FOLDER).is_dir() else _foreign(place))
    if not found:
        raise BadInput(
            f"no dumps in {place}: `compare-models train --dump-interval 10` or modelcmp.BatchDumper write them; "
            f"checkpoints end in {', '.join(SUFFIXES)}"
        )
    return [replace(file, order=i) for i, file in enumerate(sorted(found, key=_order(found)))]


def named(path: Path) -> DumpFile:
    """A file with the numbers in its name, or in its folder's where its own has none.

    >>> named(Path("checkpoints/epoch=1-step=10.ckpt")).step, named(Path("checkpoint-500/model.safetensors")).step
    (10, 500)
    >>> named(Path("batch_dumps/epoch_002/batch_0010.pt")).epoch
    2
    """
    numbers = _numbers(path.name) or {}
    if not numbers or "batch" in numbers:
        numbers = _numbers(path.parent.name) | numbers
    return DumpFile(path, **numbers)


def _numbers(name: str) -> dict[str, int]:
    return {key: int(match[1][:18]) for key, pattern in _NUMBERS.items() if (match := pattern.search(name))}


def _own(place: Path) -> list[DumpFile]:
    """Dumps in our own layout."""
    folders = [place / FOLDER] if (place / FOLDER).is_dir() else []
    if not folders and (place.name == FOLDER or next(_files(place, "batch_*"), None)):
        folders = [place]
    if not folders:
        folders = [f for f in _folders(place) if f.name == FOLDER and next(_dumps(f), None)]
    if len(folders) > 1:
        runs = [folder.parent for folder in folders]
        raise BadInput(f"{place} holds the dumps of {len(runs)} runs: name one of {_listed(runs)}")
    return [named(path) for folder in folders for path in _dumps(folder)]


def _listed(places: list[Path]) -> str:
    return ", ".join(map(str, places[:10])) + (" ..." if len(places) > 10 else "")


def _dumps(folder: Path) -> Iterator[Path]:
    """The dumps of a run's batch_dumps, or of one epoch."""
    yield from _files(folder, "batch_*")
    for inner in sorted(folder.glob("epoch_*")):
        yield from _files(inner, "batch_*")


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    for path in folder.glob(pattern):
        if path.suffix in SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _folders(place: Path) -> Iterator[Path]:
    """The folders below a place, a few levels deep; links are not followed."""
    for top, inner, _ in os.walk(place):
        depth = len(Path(top).relative_to(place).parts)
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if depth < _DEPTH else []
        yield from (Path(top) / name for name in inner)


def _foreign(place: Path) -> list[DumpFile]:
    """Checkpoints in a folder and in its numbered ones (checkpoint-500/); else in the only folder below with some."""
    found = [*_checkpoints(place), *(path for folder in _numbered(place) for path in _checkpoints(folder))]
    if found:
        return [named(path) for path in found]
    below = {folder: files for folder in _folders(place) if (files := list(_checkpoints(folder)))}
    tops = sorted({folder.parent if _numbers(folder.name) else folder for folder in below})
    if len(tops) > 1:
        raise BadInput(
            f"{place} holds checkpoints in {len(tops)} folders: name one of {', '.join(map(str, tops[:10]))}"
        )
    return [named(path) for files in below.values() for path in files]


def _numbered(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and _numbers(path.name))


def _checkpoints(folder: Path) -> Iterator[Path]:
    for path in _files(folder, "*"):
        if not _BESIDE.fullmatch(path.stem) and not _being_written(path):
            yield path


def _being_written(path: Path) -> bool:
    """Whether a file has just changed and its end is not there yet."""
    try:
        return time.time() - path.stat().st_mtime < _UNFINISHED_S and not _whole(path)
    except OSError:  # gone meanwhile
        return True


def _whole(path: Path) -> bool:
    with path.open("rb") as file:
        head, size = file.read(8), file.seek(0, os.SEEK_END)
        if head.startswith(b"PK"):
            file.seek(max(0, size - 22))
            return file.read(4) == b"PK\5\6"
    return size > 8


def _order(files: list[DumpFile]) -> Any:
    """By step where all names have one, else by epoch and batch; files without numbers come last."""
    counted = [f for f in files if (f.epoch, f.batch, f.step) != (None, None, None)]
    by_step = all(f.step is not None for f in counted)

    def key(file: DumpFile) -> tuple[Any, ...]:
        epoch, batch, step = (-1 if n is None else n for n in (file.epoch, file.batch, file.step))
        without = epoch == batch == step == -1
        return without, step if by_step else 0, epoch, batch, step, natural(str(file.path))

    return key


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in a text by their value.

    >>> sorted(["a10", "a9", "b"], key=natural)
    ['a9', 'a10', 'b']
    """
    parts = re.split(r"(\d+)", text)
    return [(1, int(part[:18]), part) if part.isdecimal() else (0, 0, part) for part in parts]
