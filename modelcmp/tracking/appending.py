"""Files that only grow: what was written stays readable whatever happens to the next write."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from ..errors import OutputError


class Appender:
    """Appends whole pieces to a file; a piece that could not be written whole leaves nothing behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._good_bytes: int | None = None  # set when a failed write could not be undone
        self._unsynced = False

    def append(self, piece: bytes) -> None:
        """Hand a piece to the operating system, so that it survives the end of this process; raises OutputError."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                self._undo(file)
                self._good_bytes = file.tell()
                try:
                    _write(file, piece)
                except BaseException:  # an interrupt too: half a piece would hide those after it
                    with suppress(OSError):
                        self._undo(file)
                    raise
                self._good_bytes = None
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}; what was there is kept") from error
        self._unsynced = True

    def _undo(self, file: FileIO) -> None:
        """Cut what a failed write left; stays due when that fails too."""
        if self._good_bytes is not None:
            file.truncate(self._good_bytes)
            self._good_bytes = None

    def sync(self) -> None:
        """Wait until all of it is on the disk, so that it survives a power cut; raises OutputError."""
        if not self._unsynced:
            return
        try:
            for path in (self.path, self.path.parent):
                _sync(path)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._unsynced = False

    def cut(self, size: int) -> None:
        """Drop everything after ``size`` bytes; raises OutputError."""
        try:
            os.truncate(self.path, size)
        except OSError as error:
            raise OutputError(f"cannot cut {self.path}: {error.strerror or error}") from error


def _write(file: FileIO, piece: bytes) -> None:
    """All of a piece: a full disk takes a part first and refuses the rest."""
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
