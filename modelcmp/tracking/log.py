"""The log of a session: one JSON object a line, written at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import UnknownName
from ..files import write_whole
from ..registry import suggest
from .appending import Appender
from .layout import LOG, LOG_SEQUENCE, now
from .values import storable

LEVELS = ("debug", "info", "warn", "error", "fatal")
_ALIASES = {"warning": "warn", "critical": "fatal"}


def check_level(level: str) -> str:
    """The level in the layout's words; raises UnknownName.

    >>> check_level("WARNING")
    'warn'
    """
    found = _ALIASES.get(level.lower(), level.lower())
    if found not in LEVELS:
        raise UnknownName("log level", level, suggest(level, LEVELS))
    return found


def read_lines(data: bytes) -> tuple[list[dict[str, Any]], int, tuple[str, ...]]:
    """The entries of a log, the bytes up to the end of the last good line, and what could not be read."""
    entries: list[dict[str, Any]] = []
    problems: list[str] = []
    at = good = 0
    for number, line in enumerate(BytesIO(data), 1):
        at += len(line)
        entry = _entry(line)
        if entry is not None:
            entries.append(entry)
            good = at
        elif line.strip():
            problems.append(f"log: line {number} cannot be read")
    return entries, good, tuple(problems)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None for half a one."""
    if not line.endswith(b"\n"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


class Log:
    """Appends to the log of a session folder; an unfinished last line is cut when it is opened."""

    def __init__(self, folder: Path) -> None:
        self._file = Appender(folder / LOG)
        self._sequence_file = folder / LOG_SEQUENCE
        self._sequence = 0
        self._kept: int | None = None  # what the sequence file says
        self.problems: tuple[str, ...] = ()
        if self._file.path.exists():
            self._load()

    def _load(self) -> None:
        data = self._file.path.read_bytes()
        entries, good, self.problems = read_lines(data)
        if good < len(data):
            self._file.cut(good)
        numbers = [entry.get("sequenceNumber") for entry in entries]
        self._sequence = max((n for n in numbers if isinstance(n, int)), default=-1) + 1

    def write(self, message: str, level: str, metadata: Mapping[str, Any]) -> None:
        """Append an entry, so that it survives the end of this process; raises OutputError."""
        entry = {"sequenceNumber": self._sequence, "timestamp": now(), "level": level, "message": message}
        if metadata:
            entry["metadata"] = storable(metadata)
        self._file.append(json.dumps(entry).encode() + b"\n")
        self._sequence += 1

    def flush(self) -> None:
        """Put the log on the disk; raises OutputError."""
        self._file.sync()
        if self._kept != self._sequence and self._file.path.exists():
            write_whole(self._sequence_file, str(self._sequence))
            self._kept = self._sequence
