"""Two runs, compared dump by dump."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .records import DumpPair, RunDiff
from .request import Nobody, Request, Watcher
from .series import Series
from .verdict import judge


def diff(a: Path, b: Path, request: Request | None = None, watcher: Watcher | None = None) -> RunDiff:
    """Compare the dumps of two runs, or two files.

    Raises BadInput where there is nothing to compare, ModelcmpError for a file that cannot be read where the request
    is strict. Files that cannot be read are named in the result otherwise.
    """
    return Differ(a, b, request or Request()).update(watcher or Nobody())


class Differ:
    """Compares two runs that may still grow: each update measures only what is new."""

    def __init__(self, a: Path, b: Path, request: Request) -> None:
        self.a, self.b, self.request = a, b, request
        self._main = Series(a, b, request)
        self._floor = Series(a, request.floor, request) if request.floor is not None else None

    def update(self, watcher: Watcher) -> RunDiff:
        """The diff of all dumps that are there now."""
        for series in filter(None, (self._main, self._floor)):
            series.update(watcher)
        main, floor, request = self._main, self._floor, self.request
        pairs = tuple(main.pairs)
        judged = judge(
            pairs, alignment=main.alignment, tolerance=request.tolerance, floor=tuple(floor.pairs) if floor else None
        )
        skipped = list(main.skipped.values()) + (list(floor.skipped.values()) if floor else [])
        return RunDiff(
            str(self.a), str(self.b), ", ".join(request.filters), main.pairing.how, pairs, main.alignment, judged,
            tuple(str(f.path) for f in main.pairing.only_a), tuple(str(f.path) for f in main.pairing.only_b),
            tuple(dict.fromkeys(skipped)), tuple(floor.pairs) if floor else None, request.tolerance,
            tuple(dict.fromkeys(notes(pairs))),
        )  # fmt: skip


def notes(pairs: Sequence[DumpPair]) -> Iterator[str]:
    """What was found odd about the dumps of each run."""
    for pair in pairs:
        for name, side in (("A", pair.a), ("B", pair.b)):
            yield from (f"{name}: {note}" for note in side.notes)
