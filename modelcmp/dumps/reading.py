"""Opens a dump or checkpoint, anyone's: what it says and where its tensors lie, without reading their data."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ..errors import DamagedDump, ForeignFile, RefusedDump, own_words
from .dump import Dump
from .finding import DumpFile
from .reading_safetensors import read_safetensors
from .reading_torch import read_unzipped, read_zip
from .tensor import file_size, open_file, read_exactly
from .tree import Reader, build

__all__ = ["Dump", "DumpFile", "check_torch", "open_dump"]

#: Older versions have holes in ``weights_only=True``: CVE-2025-32434, CVE-2026-24747.
SAFE_TORCH = (2, 10)
_KNOWN = {
    b"\xff\xd8\xff": "a JPEG picture", b"\x89PNG": "a PNG picture", b"GIF8": "a GIF picture", b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive: unpack it first", b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it first",
    b"\x89HDF": "an HDF5 file", b"\x93NUMPY": "a NumPy array", b"GGUF": "a GGUF model", b"\x7fELF": "a program",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with `git lfs pull`",
}  # fmt: skip


def open_dump(file: DumpFile | Path) -> Dump:
    """Read the structure of a file; epoch, batch and step come from its name where it does not hold them.

    Formats: torch's zip files and those before torch 1.6, safetensors. Raises a DumpError that names the file: for one
    that is damaged, no checkpoint, of a newer schema, or that would run code if it were unpickled. Nothing in a file is
    ever run.
    """
    import torch

    check_torch(torch.__version__)
    found = file if isinstance(file, DumpFile) else DumpFile(Path(file))
    _check_regular(found.path)
    with open_file(found.path) as opened:
        dump = _read(opened, found.path)
    named = {key: getattr(found, key) for key in ("epoch", "batch", "step") if getattr(dump, key) is None}
    return replace(dump, **named) if named else dump


def check_torch(version: str) -> None:
    """Refuse a torch with known holes in its unpickling; raises RefusedDump.

    >>> check_torch("2.10.0+cpu")
    >>> check_torch("2.9.1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    modelcmp.errors.RefusedDump: torch 2.9.1 can be made to run code from a checkpoint ...
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < SAFE_TORCH:
        raise RefusedDump(
            f"torch {version} can be made to run code from a checkpoint (CVE-2026-24747): nothing was read; "
            "`pip install -U torch` to 2.10 or later"
        )


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DamagedDump(f"{path} cannot be read: {error.strerror or error}") from error
    if not stat.S_ISREG(mode):
        raise ForeignFile(
            f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}: name a file of tensors"
        )


def _read(file: BinaryIO, path: Path) -> Dump:
    """By what the file begins with, not by its name."""
    size = file_size(file)
    if size == 0:
        raise DamagedDump(f"{path} is empty: was its writing cut off, or the disk full?")
    head = bytearray(min(64, size))
    read_exactly(file, 0, memoryview(head), path)
    if head.startswith(b"PK\3\4"):
        tree = read_zip(file, path)
    elif head.startswith(b"\x80"):
        tree = read_unzipped(file, path)
    elif head[8:9] == b"{" or path.suffix == ".safetensors":
        return read_safetensors(file, path)
    else:
        raise _foreign(path, bytes(head))
    try:
        return build(tree.value, Reader(path, file, tree.locate))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedDump(f"{path} is damaged, or no checkpoint that is understood: {own_words(error)}") from error


def _foreign(path: Path, head: bytes) -> ForeignFile | DamagedDump:
    for magic, what in _KNOWN.items():
        if head.startswith(magic):
            return ForeignFile(f"{path} is no checkpoint, but {what}")
    if not head.strip(b"\0"):
        return DamagedDump(f"{path} is damaged: it begins with zeros; was the disk full?")
    if head.isascii() and b"\0" not in head:
        return ForeignFile(f"{path} is no checkpoint, but a text")
    return ForeignFile(f"{path} is no checkpoint: neither torch.save nor safetensors wrote it")
