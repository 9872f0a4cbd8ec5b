"""Where a dump lies, and writing it: whole or not at all, past the page cache where the disk takes it so."""

from __future__ import annotations

import mmap
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import OutputError

SCHEMA = 2
FOLDER = "batch_dumps"
#: What disks read and write at once; memory and places in the file are multiples of it.
BLOCK = 4096
#: Files smaller than this go through the page cache.
_LARGE = 1 << 20
#: Bytes of one call: the kernel takes at most 2 GiB.
_CHUNK = 64 << 20
_NAME = re.compile(r"batch_(\d{4,})\.(pt|safetensors)")
_EPOCH = re.compile(r"epoch_(\d{3,})")


def dump_path(folder: Path, epoch: int, batch: int, format: str = "pt") -> Path:
    """The file of a dump; epochs and batches count from 1, batch 0 is the state before the first step.

    >>> dump_path(Path("run"), 1, 10).as_posix()
    'run/batch_dumps/epoch_001/batch_0010.pt'
    """
    return folder / FOLDER / f"epoch_{epoch:03d}" / f"batch_{batch:04d}.{format}"


def written_dumps(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Epoch, batch and path of each dump in a run's folder, in no order."""
    for place in sorted((folder / FOLDER).glob("epoch_*")):
        for path in place.iterdir() if place.is_dir() else ():
            epoch, name = _EPOCH.fullmatch(place.name), _NAME.fullmatch(path.name)
            if epoch and name:
                yield int(epoch[1]), int(name[1]), path


def leftovers(folder: Path) -> Iterator[Path]:
    """Files that a killed process was writing."""
    return (folder / FOLDER).glob("epoch_*/.batch_*")


def write_file(path: Path, head: bytes, body: memoryview, tail: bytes, mode: int) -> int:
    """Write three pieces, ``head`` a multiple of BLOCK and ``body`` in aligned memory; bytes of the file.

    Through a temporary file beside the target. Raises OutputError and leaves nothing but what was there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(number, "wb", buffering=0) as file:
            size = _fill(file.fileno(), head, body, tail)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
        return size
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _fill(file: int, head: bytes, body: memoryview, tail: bytes) -> int:
    """Whole blocks as they lie in memory; the rest, padded, from a block of its own, and cut to size."""
    size = len(head) + len(body) + len(tail)
    direct = size >= _LARGE and _past_cache(file, True)
    whole = len(body) // BLOCK * BLOCK
    last = bytes(body[whole:]) + tail
    try:
        for piece in (_aligned(head), body[:whole], _aligned(last)):
            direct = _put(file, piece, direct)
    finally:
        if direct:
            _past_cache(file, False)
    os.ftruncate(file, size)
    return size


def _put(file: int, piece: memoryview, direct: bool) -> bool:
    """Write all of a piece; whether that went past the page cache, which not every file system can."""
    done = 0
    while done < len(piece):
        try:
            done += os.write(file, piece[done : done + _CHUNK])
        except OSError:
            if not direct:
                raise
            direct = _past_cache(file, False)
    return direct


def _past_cache(file: int, on: bool) -> bool:
    """Let writes go to the disk straight from our memory: no copy, and nothing that is in use is displaced."""
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        flags = fcntl.fcntl(file, fcntl.F_GETFL)
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT if on else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return on


def _aligned(data: bytes) -> memoryview:
    """A copy in memory that begins at a page, padded to whole blocks."""
    size = -(-len(data) // BLOCK) * BLOCK
    if not size:
        return memoryview(b"")
    pages = mmap.mmap(-1, size)
    pages[: len(data)] = data
    return memoryview(pages)
