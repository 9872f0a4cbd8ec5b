"""Recording a run into a session folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..errors import BadInput, OutputError
from .exporters import Exporter, Run
from .feed import Feed
from .layout import FILES, LOG, RECORDS, TRACK_DATA, TRACKS, make_folder, now, read_record, set_aside, write_object
from .locking import WriterLock
from .log import Log, check_level
from .names import check_name, check_track_name
from .params import Params
from .track import Pace, Track
from .uploads import Files
from .values import storable


class Session:
    """Records a run in ``<local_path>/<workspace>/<name>``: parameters, logs, tracks of numbers, files.

    ::

        with Session("first", workspace="digits", readme="why", tags=["cnn"], local_path="runs") as s:
            s.params.set(lr=1e-3, model={"depth": 2})
            s.log("training starts", device="cpu")
            s.track("train").append(loss=0.7, epoch=0)
            s.files.upload("weights.pth", path="/models")

    A session that is there already is gone on with: rows and logs are appended, parameters merged. ``resume`` has the
    trackers of ``exporters`` (names, or objects of ``exporter(...)``) go on with their runs too, else they begin new
    ones. What was flushed survives the end of the process and stays readable when the disk is full.
    Raises BadInput for names that cannot be folders, OutputError when the folder cannot be written.
    """

    def __init__(
        self,
        name: str,
        workspace: str = "default",
        *,
        readme: str = "",
        tags: Iterable[str] = (),
        local_path: str | os.PathLike[str] = ".modelcmp",
        exporters: Iterable[Exporter | str] = (),
        resume: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.workspace = check_name("session", name), check_name("workspace", workspace)
        self.folder = Path(local_path).absolute() / workspace / name
        self.readme, self.resume = readme, resume
        self.tags = (tags,) if isinstance(tags, str) else tuple(tags)
        #: What was damaged when the session was opened, and trackers that failed since.
        self.problems: list[str] = []
        self._metadata = metadata
        self._pace = Pace(self._write)
        exporters = (exporters,) if isinstance(exporters, str) else exporters
        self._feed = Feed(exporters, self._tracker_failed)
        self._lock = WriterLock(self.folder / ".lock")
        self._tracks: dict[str, Track] = {}
        self._log: Log | None = None

    def open(self) -> Self:
        """Make the folder, or go on with what is in it after mending what a crash left; does nothing when open.

        Raises BadInput when another process writes it or it is write-protected, OutputError.
        """
        if self._pace.writable:
            return self
        for part in ("", TRACKS, FILES, os.path.dirname(LOG)):
            make_folder(self.folder / part)
        self._lock.take()
        try:
            self._write_record()
            self._load()
        except BaseException:
            self._lock.release()
            raise
        self._pace.writable = True
        for problem in tuple(self.problems):
            self.log(f"mended: {problem}", level="warn")
        self._feed.open(Run(self.name, self.workspace, self.folder, self.tags, self.readme, self.resume))
        return self

    def _write_record(self) -> None:
        """Write session.json and its twin; what is there and is not given anew stays."""
        old, problems = read_record(self.folder)
        self.problems += problems
        for name in RECORDS:
            if old is None and (self.folder / name).exists():
                set_aside(self.folder / name)
        if old is not None and old.get("write_protected"):
            raise BadInput(f"{self.folder} is write-protected; choose another name")
        record = {
            "name": self.name, "workspace": self.workspace, "description": None, "tags": [], "folder": None,
            "metadata": None, "created_at": now(), "write_protected": False, **(old or {}),
        }  # fmt: skip
        given = {"description": self.readme, "tags": list(self.tags), "metadata": storable(self._metadata)}
        record |= {key: value for key, value in given.items() if value}
        if old is not None:
            record["updated_at"] = now()
        for name in RECORDS:
            write_object(self.folder / name, record)

    def _load(self) -> None:
        pace, feed = self._pace, self._feed
        self._log = Log(self.folder)
        self._params = Params(self.folder, pace.lock, pace.check, feed.params)
        self._files = Files(self.folder, pace.lock, pace.check, feed.file)
        data = sorted((self.folder / TRACKS).rglob(TRACK_DATA))
        self._tracks = {t.name: t for t in (self._make_track(_track_name(self.folder, path)) for path in data)}
        self.problems += (*self._log.problems, *self._params.problems, *self._files.problems)
        self.problems += (problem for track in self._tracks.values() for problem in track.problems)

    def _make_track(self, name: str) -> Track:
        return Track(self.folder / TRACKS / name, name, self._pace, self._feed.rows, self._feed.rewind)

    @property
    def params(self) -> Params:
        """The parameters: ``set(...)`` and ``get()``. Raises BadInput before the session is opened."""
        self._opened()
        return self._params

    @property
    def files(self) -> Files:
        """The files: ``upload(...)`` and ``list()``. Raises BadInput before the session is opened."""
        self._opened()
        return self._files

    def track(self, name: str) -> Track:
        """A track by name, made when it is new; ``val/top5`` lies in a folder. Raises BadInput."""
        found = self._tracks.get(name)
        if found is None:
            self._opened()
            with self._pace.lock:
                found = self._tracks.setdefault(name, self._make_track(check_track_name(name)))
        return found

    def log(self, message: object, level: str = "info", metadata: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Write a line of the log at once, with metadata; levels are debug, info, warn, error and fatal.

        Raises UnknownName for another level, BadInput when the session is closed, OutputError.
        """
        level = check_level(level)
        with self._pace.lock:
            self._pace.check()
            self._opened().write(str(message), level, {**(metadata or {}), **more})
            self._feed.log(level, str(message))

    def _opened(self) -> Log:
        if self._log is None:
            self._pace.check()
        assert self._log is not None
        return self._log

    def flush(self) -> None:
        """Put everything on the disk; raises OutputError, and keeps what could not be written for the next time."""
        with self._pace.lock:
            self._pace.flush()
            for track in self._tracks.values():
                track.flush()
            self._opened().flush()

    def _write(self) -> None:
        for track in self._tracks.values():
            track.write()
        self._feed.flush()

    def _tracker_failed(self, message: str) -> None:
        self.problems.append(message)
        self.log(message, level="warn")

    def close(self, failed: bool = False) -> None:
        """Flush and end; trackers show a run that failed as such. Raises OutputError, closed all the same."""
        if not self._pace.writable:
            return
        with self._pace.lock:
            try:
                self.flush()
                self._feed.close(failed)
                self._opened().flush()  # what was said of trackers that failed at their end
            finally:
                self._pace.writable = False
                self._feed.close(failed=True)
                self._lock.release()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(OutputError):  # the run's own error says more than that its end could not be written
            if self._pace.writable:
                self.log(f"ended by {type(error).__name__}: {error}", level="error")
        with suppress(OutputError):
            self.close(failed=True)


def _track_name(folder: Path, data: Path) -> str:
    return data.parent.relative_to(folder / TRACKS).as_posix()
