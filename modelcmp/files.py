"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .errors import OutputError


def check_writable(path: Path) -> None:
    """Refuse a destination that can't be written, before any work; raises OutputError."""
    if path.exists() and not path.is_dir() and not path.is_file():
        return  # a pipe or a device: written straight into
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a directory; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"cannot write {path}: the folder {path.parent} is not writable")


def check_folder(path: Path) -> None:
    """Refuse a folder that cannot be written or made, before any work; raises OutputError."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"cannot write into {path}: {there} is no folder")
    if not os.access(there, os.W_OK):
        raise OutputError(f"cannot write into {path}: the folder {there} is not writable")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are not there; raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write into {path}: {error.strerror or error}") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write through a temporary file beside the target; raises OutputError and leaves the target as it was."""
    write_parts(path, (content,))


def write_parts(path: Path, parts: Iterable[str | bytes]) -> None:
    """The same for content that comes piece by piece, so that it is never in memory as one.

    Raises OutputError; the target stays as it was, also where making the parts raises.
    """
    check_writable(path)
    temporary = None
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                stream.writelines(map(_bytes, parts))
            return
        path = path.resolve()  # a link stays a link: its target is replaced
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.writelines(map(_bytes, parts))
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_mode(path))
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _bytes(part: str | bytes) -> bytes:
    return part if isinstance(part, bytes) else part.encode("utf-8")


def _mode(path: Path) -> int:
    """The permissions that the file has, or that a new one would get."""
    if path.exists():
        return path.stat().st_mode & 0o777
    return new_file_mode()


def new_file_mode() -> int:
    """The permissions that a new file gets."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
