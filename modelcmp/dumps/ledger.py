"""How much a run's dumps take, which are to go, and what an earlier run left in the folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ..units import scaled
from .options import DumpOptions
from .thinning import holds
from .writing import leftovers, written_dumps

#: Writes the small file that stays where a full dump goes.
Rest = Callable[[], int]


class Ledger:
    """The dumps of a run's folder: how many bytes, and which of them are full ones, oldest first.

    ``thinned`` rewrites a dump that was found there to its statistics, and says how many bytes these are.
    """

    def __init__(self, folder: Path, options: DumpOptions, thinned: Callable[[Path], int]) -> None:
        self._folder, self._options, self._thinned = folder, options, thinned
        self._sizes: dict[Path, int] = {}
        self._full: list[tuple[Path, Rest | None]] = []

    @property
    def total(self) -> int:
        """Bytes of all dumps."""
        return sum(self._sizes.values())

    def begin(self, epoch: int, batch: int) -> None:
        """Remove what lies at this place and later, of a run that went on or one before; count the rest."""
        for path in leftovers(self._folder):
            path.unlink(missing_ok=True)
        for at, number, path in sorted(written_dumps(self._folder)):
            if (at, number) >= (epoch, batch):
                path.unlink(missing_ok=True)
                continue
            self._sizes[path] = path.stat().st_size
            if number and self._options.keep_last is not None:
                tensors, stats = holds(path)
                if tensors:
                    self._full.append((path, partial(self._thinned, path) if stats else None))

    def refusal(self, path: Path, size: int, full: bool) -> str:
        """Why no dump of this size can be written, or nothing; an old one goes first where that makes room."""
        budget = self._options.disk_budget_bytes
        if budget is None:
            return ""
        before = self._sizes.pop(path, 0)  # it is replaced
        if full and self._options.keep_last is not None and self.total + size > budget:
            self._drop_until(self._options.keep_last - 1)
        if self.total + size <= budget:
            return ""
        self._sizes[path] = before
        return (
            f"dumping has stopped: the next dump of {scaled(size, 'B')} would take more than the disk budget of "
            f"{scaled(budget, 'B')} ({scaled(self.total, 'B')} are written); training goes on"
        )

    def add(self, path: Path, size: int, rest: Rest | None, full: bool) -> None:
        """Note a dump, and remove the oldest full one where there are more than are kept.

        The state before training stays. ``rest`` writes what is kept of it then. Raises OutputError.
        """
        self._sizes[path] = size
        if not full or self._options.keep_last is None:
            return
        self._full = [(p, r) for p, r in self._full if p != path] + [(path, rest)]
        self._drop_until(self._options.keep_last)

    def _drop_until(self, count: int) -> None:
        while len(self._full) > count:
            oldest, keep = self._full.pop(0)
            if keep is not None:
                self._sizes[oldest] = keep()
            else:
                self._sizes.pop(oldest, None)
                with suppress(FileNotFoundError):
                    oldest.unlink()
