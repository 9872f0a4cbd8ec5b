"""What a tracker is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class Run:
    """The session that is shown."""

    name: str
    workspace: str
    folder: Path
    tags: tuple[str, ...] = ()
    readme: str = ""
    resume: bool = False  # go on with the run that this tracker showed of the folder before


class Exporter(Protocol):
    """Shows a session in another tool; one object serves one session at a time.

    Whatever it raises disables it and is reported; the session goes on.
    """

    name: str

    def open(self, run: Run) -> None:
        """Begin, or go on with what was shown of the same folder when ``run.resume``."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Take new or changed parameters, flat."""

    def row(self, track: str, row: Mapping[str, Any], step: int) -> None:
        """Take a row that is on its way to the disk; ``_ts`` in it is its time in seconds since 1970."""

    def log(self, level: str, message: str) -> None:
        """Take a line of the log."""

    def file(self, path: Path, prefix: str) -> None:
        """Take a file that was copied to ``path``, which belongs at ``prefix`` (``/models``)."""

    def rewind(self, track: str, step: int) -> None:
        """Forget the rows of a track from a step on, where the tool can: they'll come again."""

    def flush(self) -> None:
        """Write what is buffered."""

    def close(self, failed: bool = False) -> None:
        """End the run."""


ExporterFactory: TypeAlias = Callable[..., Exporter]
