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
        self._floors = [Series(a, place, request) for place in request.floors]

    def update(self, watcher: Watcher) -> RunDiff:
        """The diff of all dumps that are there now."""
        for series in (self._main, *self._floors):
            series.update(watcher)
        main, request, pairs = self._main, self.request, tuple(self._main.pairs)
        noise = sorted((p for series in self._floors for p in series.pairs), key=lambda pair: pair.step)
        floor = tuple(noise) if self._floors else None
        pairing = main.pairing
        judged = judge(
            pairs, alignment=main.alignment, tolerance=request.tolerance, floor=floor,
            left_out=max(0, len(pairing.pairs) - len(pairs)), unmatched=(len(pairing.only_a), len(pairing.only_b)),
        )  # fmt: skip
        skipped = [s for series in (main, *self._floors) for s in series.skipped.values()]
        return RunDiff(
            str(self.a), str(self.b), ", ".join(request.filters), main.pairing.how, pairs, main.alignment, judged,
            tuple(str(f.path) for f in main.pairing.only_a), tuple(str(f.path) for f in main.pairing.only_b),
            tuple(dict.fromkeys(skipped)), floor, request.tolerance,
            tuple(dict.fromkeys(notes(pairs))),
        )  # fmt: skip


def notes(pairs: Sequence[DumpPair]) -> Iterator[str]:
    """What was found odd about the dumps of each run."""
    for pair in pairs:
        for name, side in (("A", pair.a), ("B", pair.b)):
            yield from (f"{name}: {note}" for note in side.notes)
