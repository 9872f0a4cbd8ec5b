"""Files of a session: copied into its folder, with their digests in one JSON file."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any, TypeAlias

from ..errors import BadInput, OutputError
from .layout import FILES, FILES_RECORD, make_folder, now, read_object, set_aside, write_object
from .names import check_prefix
from .values import storable

Entry: TypeAlias = dict[str, Any]
_CHUNK = 1 << 20


class Files:
    """What ``session.files`` is; a file is whole and on the disk when ``upload`` returns."""

    def __init__(self, folder: Path, lock: RLock, check: Callable[[], None], told: Callable[[Path, str], None]) -> None:
        self._folder, self._lock, self._check, self._told = folder, lock, check, told
        self.problems: tuple[str, ...] = ()
        record, problem = read_object(folder / FILES_RECORD)
        if problem:
            self.problems = (f"{problem}; kept as {FILES_RECORD}.damaged",)
            set_aside(folder / FILES_RECORD)
        self._entries: list[Entry] = entries_of(record)

    def upload(
        self,
        file: str | os.PathLike[str],
        *,
        path: str = "/",
        description: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Copy a file into the session at ``path``; one of the same name there is replaced. Its entry.

        Raises BadInput for a file that is not there or a path that leads out of the session, OutputError.
        """
        source = Path(file)
        if not source.is_file():
            raise BadInput(f"cannot upload {source}: there is no such file")
        if isinstance(tags, str):
            tags = (tags,)
        with self._lock:
            self._check()
            at = now()
            entry: Entry = {
                "id": _new_id(), "sessionId": f"{self._folder.parent.name}/{self._folder.name}",
                "path": check_prefix(path), "filename": source.name, "description": description, "tags": list(tags),
                "contentType": mimetypes.guess_type(source.name)[0] or "application/octet-stream",
                "metadata": storable(metadata), "uploadedAt": at, "updatedAt": at, "deletedAt": None,
            }  # fmt: skip
            copy = stored_file(self._folder, entry)
            entry["sizeBytes"], entry["checksum"] = _copied(source, copy)
            self._enter(entry)
            self._told(copy, entry["path"])
        return dict(entry)

    def _enter(self, entry: Entry) -> None:
        """Add to the record; what the file replaces is removed once the record no longer names it."""
        same = [e for e in self.list() if (e.get("path"), e["filename"]) == (entry["path"], entry["filename"])]
        gone = {e["id"] for e in same}
        entries = [*(e for e in self._entries if e.get("id") not in gone), entry]
        write_object(self._folder / FILES_RECORD, {"files": entries})
        self._entries = entries
        for old in same:
            shutil.rmtree(stored_file(self._folder, old).parent, ignore_errors=True)

    def list(self) -> list[Entry]:
        """The entries of the files that are there."""
        return [dict(e) for e in self._entries if e.get("deletedAt") is None]


def entries_of(record: Mapping[str, Any] | None) -> list[Entry]:
    """The entries of a record of files; those that name no place in the session are left out."""
    found = (record or {}).get("files")
    return [e for e in found if _is_entry(e)] if isinstance(found, list) else []


def _is_entry(entry: object) -> bool:
    """Whether an entry leads to a file in the session, also when the record came from elsewhere."""
    if not isinstance(entry, dict):
        return False
    names = [entry.get("id"), entry.get("filename")]
    if not all(isinstance(n, str) and n not in ("", ".", "..") and "/" not in n for n in names):
        return False
    return ".." not in str(entry.get("path") or "").split("/")


def stored_file(folder: Path, entry: Mapping[str, Any]) -> Path:
    """Where a file of a session lies."""
    prefix = str(entry.get("path") or "").strip("/")
    return folder / FILES / prefix / str(entry["id"]) / str(entry["filename"])


def _new_id() -> str:
    """A number that grows with time: milliseconds, then 12 random bits."""
    return str(time.time_ns() // 1_000_000 << 12 | random.getrandbits(12))


def _copied(source: Path, target: Path) -> tuple[int, str]:
    """Copy whole or not at all; the size in bytes and the SHA-256. Raises OutputError."""
    make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as read, part.open("wb") as write:
            while chunk := read.read(_CHUNK):
                digest.update(chunk)
                size += write.write(chunk)
            write.flush()
            os.fsync(write.fileno())
        part.replace(target)
    except OSError as error:
        shutil.rmtree(target.parent, ignore_errors=True)
        raise OutputError(f"cannot copy {source} to {target}: {error.strerror or error}") from error
    return size, digest.hexdigest()
