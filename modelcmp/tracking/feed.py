"""From a session to its trackers: one that fails is left out, and the session goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .blocks import Row
from .exporters import Exporter, Run, exporter
from .values import step_of


class Feed:
    """Passes everything on to each tracker; ``warn`` is told once of one that fails."""

    def __init__(self, exporters: Iterable[Exporter | str], warn: Callable[[str], None]) -> None:
        self._all = [exporter(e) if isinstance(e, str) else e for e in exporters]
        self._live: list[Exporter] = []
        self._warn = warn

    def _each(self, call: Callable[[Exporter], None]) -> None:
        for one in list(self._live):
            self._try(one, call)

    def _try(self, one: Exporter, call: Callable[[Exporter], None]) -> None:
        try:
            call(one)
        except Exception as error:  # another tool's failure is never the run's
            self._drop(one, error)

    def _drop(self, one: Exporter, error: Exception) -> None:
        if one not in self._live:  # it failed while the others were told
            return
        self._live.remove(one)
        with suppress(Exception):
            one.close(failed=True)
        self._warn(f"tracker {one.name} is off: {type(error).__name__}: {error}")

    def open(self, run: Run) -> None:
        """Begin in every tracker."""
        for one in self._all:
            self._live.append(one)
            self._try(one, lambda e: e.open(run))

    def params(self, values: Mapping[str, Any]) -> None:
        """Pass parameters on."""
        self._each(lambda e: e.params(values))

    def rows(self, track: str, rows: list[Row], first: int) -> None:
        """Pass rows on; ``first`` is the place of the first of them in the track."""

        def call(one: Exporter) -> None:
            for place, row in enumerate(rows, first):
                one.row(track, row, step_of(row, place))

        self._each(call)

    def log(self, level: str, message: str) -> None:
        """Pass a line of the log on."""
        self._each(lambda e: e.log(level, message))

    def file(self, path: Path, prefix: str) -> None:
        """Pass a file on."""
        self._each(lambda e: e.file(path, prefix))

    def rewind(self, track: str, step: int) -> None:
        """Say that rows from a step on come again."""
        self._each(lambda e: e.rewind(track, step))

    def flush(self) -> None:
        """Have every tracker write what it buffers."""
        self._each(lambda e: e.flush())

    def close(self, failed: bool) -> None:
        """End in every tracker."""
        self._each(lambda e: e.close(failed))
        self._live = []
