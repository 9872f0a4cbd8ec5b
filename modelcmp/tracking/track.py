"""Tracks: rows of numbers over time, buffered in memory and appended to a file in whole blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import RLock
from time import monotonic, time
from typing import Any

from ..errors import BadInput, OutputError
from ..files import write_whole
from .appending import Appender
from .blocks import MOST_ROWS, Row, packed, unpacked
from .layout import TRACK_DATA, TRACK_RECORD, make_folder, now, read_object, write_object
from .values import PLAIN, Scalar, scalar, step_of

#: Rows wait at most this long for the disk while others are being logged.
LONGEST_WAIT_S = 5.0
_SMALLEST, _LARGEST = -(2**63), 2**63


class Pace:
    """When buffered rows are due; one for all tracks of a session."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self.lock = RLock()
        self.writable = False
        self.due = monotonic() + LONGEST_WAIT_S
        self._flush = flush

    def flush(self) -> None:
        """Write what is buffered; the next time is counted from now, also when it fails."""
        self.due = monotonic() + LONGEST_WAIT_S
        self._flush()

    def check(self) -> None:
        """Raise BadInput when nothing can be written."""
        if not self.writable:
            raise BadInput("the session is not open: use `with Session(...) as s:`, or s.open() first")


class Track:
    """One named sequence of rows; made by ``session.track(name)``.

    ``told`` is called with the rows that were written and the place of the first, ``rewound`` with the smallest
    step of the rows that were dropped.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        pace: Pace,
        told: Callable[[str, list[Row], int], None],
        rewound: Callable[[str, int], None],
    ) -> None:
        self.name = name
        self.problems: tuple[str, ...] = ()
        self._folder, self._pace, self._told, self._rewound = folder, pace, told, rewound
        self._file = Appender(folder / TRACK_DATA)
        self._buffer: list[Row] = []
        self._stored = 0
        self._recorded: int | None = 0  # the count that metadata.json says
        self._record: dict[str, Any] = {}
        self._load()

    def append(self, /, **row: Any) -> Track:
        """Add a row of numbers, text and None, with the time as ``_ts`` (seconds since 1970) unless it is given.

        It is on its way to the disk after at most 5 s of further logging, or with ``flush``. Scalars of numpy and
        torch are taken by value, now. Raises BadInput for other values, OutputError when the disk is full.
        """
        for key, value in row.items():
            kind = type(value)
            if kind not in PLAIN and not (kind is int and _SMALLEST <= value < _LARGEST):
                row[key] = scalar(key, value)
        if "_ts" in row:
            _check_time(row["_ts"])
        pace = self._pace
        with pace.lock:
            pace.check()
            self._buffer.append({"_ts": time(), **row})
            if len(self._buffer) >= MOST_ROWS or monotonic() >= pace.due:
                pace.flush()
        return self

    @property
    def count(self) -> int:
        """How many rows there are, written or not."""
        return self._stored + len(self._buffer)

    def rows(self) -> list[Row]:
        """Every row in its order, those that are not written yet too; each has its ``_ts``."""
        with self._pace.lock:
            return [*self._read(), *(dict(row) for row in self._buffer)]

    def flush(self) -> None:
        """Put all rows on the disk, so that they survive a power cut; raises OutputError and keeps what it has."""
        with self._pace.lock:
            self.write()
            self._file.sync()

    def write(self) -> None:
        """Hand the buffered rows to the operating system, so that they survive this process; raises OutputError."""
        if self._buffer:
            make_folder(self._folder)
            rows, first = self._buffer, self._stored
            self._file.append(packed(rows))
            self._buffer, self._stored = [], first + len(rows)
            self._told(self.name, rows, first)
        self._write_record()

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` rows only, written or not; raises BadInput below 0, OutputError."""
        if count < 0:
            raise BadInput(f"track {self.name!r} cannot keep {count} rows: count from 0")
        with self._pace.lock:
            self._pace.check()
            kept = max(count - self._stored, 0)
            if count < self._stored:
                self._drop_stored(count)
            del self._buffer[kept:]

    def _drop_stored(self, count: int) -> None:
        rows = self._read()
        write_whole(self._file.path, packed(rows[:count]))
        self._stored = count
        self._write_record()
        self._rewound(self.name, min(step_of(row, count + i) for i, row in enumerate(rows[count:])))

    def _read(self) -> list[Row]:
        return unpacked(self._file.path.read_bytes()).rows[: self._stored] if self._stored else []

    def _load(self) -> None:
        """Count what is there, and cut an unfinished end."""
        path = self._file.path
        if not path.exists():
            return
        data = _content(path)
        stream = unpacked(data)
        if stream.good_bytes < len(data):
            self._file.cut(stream.good_bytes)
        record, problem = read_object(self._folder / TRACK_RECORD)
        self._stored = len(stream.rows)
        self._record = record or {}
        self._recorded = self._record.get("totalDataPoints")
        self.problems = tuple(f"track {self.name!r}: {p}" for p in (*stream.problems, problem) if p)

    def _write_record(self) -> None:
        if self._recorded == self._stored:
            return
        at = now()
        record = {
            "trackId": f"local-track-{self.name}", "name": self.name, "description": None, "tags": [],
            "metadata": None, "createdAt": at, **self._record,
            "totalDataPoints": self._stored, "nextIndex": self._stored, "updatedAt": at,
        }  # fmt: skip
        write_object(self._folder / TRACK_RECORD, record)
        self._record, self._recorded = record, self._stored


def _check_time(value: Scalar) -> None:
    if isinstance(value, str | bool) or value is None or not 0 <= value < float("inf"):
        raise BadInput(f"'_ts' is {value!r}: it is the time of the row, in seconds since 1970")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
