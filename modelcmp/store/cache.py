"""One SQLite file of profiles, safe for many processes; a cache that fails costs time, never a result."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

from ..environment import stamp
from ..errors import OutputError
from .entry import KERNELS, Entry, as_text, from_text

#: A new layout gets a new file: older and newer versions of us leave each other alone.
FILE = "profiles-2.sqlite"
_OURS = 0x6D636D70  # "mcmp", SQLite's application id of the file
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WAIT_S = 10.0
_CHUNK = 500  # keys in one query
_TABLE = """create table if not exists profiles (
    key text primary key, stamp text not null, source text not null, name text not null,
    made_s real not null, checksum integer not null, entry text not null,
    kernels_checksum integer not null, kernels text not null)"""
_NO_KERNELS = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A digest of all that decides a profile, and what people call it."""

    digest: str
    source: str
    name: str


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache file holds; ``stale`` profiles were made by other versions."""

    path: Path
    size_bytes: int
    profiles: int
    stale: int
    by_source: dict[str, int]
    oldest_s: float | None
    newest_s: float | None


class Cache:
    """Profiles in ``folder``; ``remark`` is told once when the file had to be set aside or cannot be used."""

    def __init__(self, folder: Path, remark: Callable[[str], None]) -> None:
        self.path = folder / FILE
        self._remark = remark
        self._connection: sqlite3.Connection | None = None
        self._usable = True
        self._writable = True
        self._inode: int | None = None

    def get(self, keys: Sequence[Key], with_kernels: bool = False) -> dict[Key, Entry]:
        """The entries that are there; ``with_kernels`` those that have their kernels, and with these."""
        found: dict[str, Entry] = {}
        by_digest = {key.digest: key for key in keys}
        digests = list(by_digest)
        for i in range(0, len(digests), _CHUNK):
            part = digests[i : i + _CHUNK]
            marks = ",".join("?" * len(part))
            more = ", kernels_checksum, cast(kernels as blob)" if with_kernels else ""
            query = f"select key, checksum, cast(entry as blob){more} from profiles where key in ({marks})"
            for digest, *kept in self._run(query, part):
                with suppress(ValueError):  # a damaged entry is made anew
                    found[digest] = _read(*kept)
        return {by_digest[digest]: entry for digest, entry in found.items()}

    def put(self, key: Key, entry: Entry) -> None:
        """Keep an entry; it is on its way to the disk when this returns, whatever happens to the process."""
        if self._writable:
            text = as_text({name: part for name, part in entry.items() if name != KERNELS})
            kernels = as_text(entry[KERNELS]) if KERNELS in entry else _NO_KERNELS
            row = (key.digest, stamp(), key.source, key.name, time.time(), crc32(text.encode()), text,
                   crc32(kernels.encode()), kernels)  # fmt: skip
            self._run("insert or replace into profiles values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def info(self) -> CacheInfo:
        """Count what is there."""
        if not self.path.exists():
            return CacheInfo(self.path, 0, 0, 0, {}, None, None)
        by_source = dict(self._run("select source, count(*) from profiles group by source order by source"))
        stale = self._run("select count(*) from profiles where stamp != ?", (stamp(),))
        times = self._run("select min(made_s), max(made_s) from profiles")
        oldest, newest = times[0] if times else (None, None)
        size = sum(p.stat().st_size for p in _with_siblings(self.path) if p.is_file())
        return CacheInfo(
            self.path, size, sum(by_source.values()), stale[0][0] if stale else 0, by_source, oldest, newest
        )

    def clear(self, *, stale_only: bool = False) -> int:
        """Forget all profiles, or only those of other versions; how many they were. Raises OutputError."""
        if not self.path.exists():
            return 0
        self._run("select count(*) from profiles")
        if not self._writable:
            raise OutputError(f"cannot clear {self.path}: it cannot be written; make it writable, or delete the file")
        before = self._run("select count(*) from profiles")
        if stale_only:
            self._run("delete from profiles where stamp != ?", (stamp(),))
        else:
            self._run("delete from profiles")
        after = self._run("select count(*) from profiles")
        self._run("vacuum")
        if not self._writable:
            raise OutputError(
                f"{self.path} could not be cleared: try again when no other process uses it, or delete the file"
            )
        return int(before[0][0] - after[0][0]) if before and after else 0

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """Run one statement and commit; nothing where the cache cannot be used. A broken file is set aside."""
        values = tuple(values)
        try:
            try:
                return self._executed(statement, values)
            except sqlite3.Error as error:
                if not _is_broken(error):
                    raise
                self._set_aside(str(error))
                return self._executed(statement, values)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return []

    def _executed(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        if not self._usable:
            return []
        if self._connection is None:
            self._connection = self._opened()
        return list(self._connection.execute(statement, values))

    def _opened(self) -> sqlite3.Connection:
        """The file, made if need be; only for reading where it can't be written."""
        self._inode = _inode(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = _prepared(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None))
        except (OSError, sqlite3.OperationalError) as error:
            if isinstance(error, sqlite3.Error) and _is_broken(error):
                raise
            if not self.path.is_file() or _is_held(error):
                raise
            self._writable = False
            connection = sqlite3.connect(f"{self.path.resolve().as_uri()}?immutable=1", uri=True)
        self._inode = self._inode or _inode(self.path)
        return connection

    def _set_aside(self, reason: str) -> None:
        """Rename a file that is damaged or not ours, unless another process has done that already."""
        self.close()
        if _inode(self.path) != self._inode:
            return
        aside = f".broken-{time.strftime('%Y%m%d-%H%M%S')}"
        for path in _with_siblings(self.path):
            if path.is_file():
                path.replace(f"{path}{aside}")
        self._remark(f"the profile cache was unusable ({reason}): kept as {self.path}{aside}, a new one is begun")

    def _give_up(self, error: Exception) -> None:
        """Go on without the cache, or without writing to it."""
        if self._usable and self._writable:
            self._remark(
                f"profiles are not kept: {self.path} cannot be used ({getattr(error, 'strerror', None) or error}); "
                "--cache-dir names another folder"
            )
        self._writable = False
        self._usable = self._connection is not None


def _read(checksum: int, text: bytes, *kernels: Any) -> Entry:
    """An entry with its kernels, if these were asked for; raises ValueError where one is damaged or missing."""
    if crc32(text) != checksum:
        raise ValueError("damaged")
    entry = from_text(text.decode())
    if not kernels:
        return entry
    kernels_checksum, kept = kernels
    if not kept or crc32(kept) != kernels_checksum:
        raise ValueError("damaged, or without kernels")
    return {**entry, KERNELS: json.loads(kept)}


class _Foreign(sqlite3.DatabaseError):
    """An SQLite file of somebody else."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Check that the file is ours, or begin it; raises sqlite3.Error."""
    try:
        if not _is_ours(connection):
            connection.execute("begin immediate")
            if not _is_ours(connection):  # no other process has begun it meanwhile
                connection.execute(_TABLE)
                connection.execute(f"pragma application_id = {_OURS}")
            connection.execute("commit")
        connection.execute("select key, checksum, entry, kernels from profiles limit 0")
        with suppress(sqlite3.OperationalError):  # some disks cannot: slower, but right
            connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the file is ours; not while it is empty. Raises _Foreign for somebody else's."""
    (owner,) = connection.execute("pragma application_id").fetchone()
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if owner != _OURS and (owner or tables):
        raise _Foreign("it belongs to another program")
    return bool(owner == _OURS)


def _is_broken(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN or str(error).startswith("no such ")


def _is_held(error: Exception) -> bool:
    """Whether another process keeps the file locked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.is_file() else None


def _with_siblings(path: Path) -> list[Path]:
    """The file and what SQLite keeps beside it."""
    return [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
