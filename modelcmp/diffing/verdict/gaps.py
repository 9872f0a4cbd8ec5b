"""What was not compared, or is not known: files, dumps without a partner, tensors, batches, settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import batches, settings
from .clues import Clue
from .views import View
from .words import many

#: Dumps without a partner belong in the verdict's words from this share of the compared pairs on.
MANY_ALONE = 0.1
_NOTE = re.compile(r"not compared, .*?: (?P<names>.*?)(?: and (?P<more>\d+) more)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Counts of what was left out before anything was measured."""

    compared: int
    left_out: int = 0  # pairs of dumps, of which a file could not be read
    alone: tuple[int, int] = (0, 0)  # dumps of A and of B without a partner
    tensors: int = 0  # what the dumps hold besides plain tensors

    @property
    def pairs(self) -> str:
        """ "26 of 31 pairs could not be compared (skipped files)", or nothing."""
        if not self.left_out:
            return ""
        return f"{self.left_out} of {self._all} could not be compared (skipped files)"

    @property
    def _all(self) -> str:
        return many(self.compared + self.left_out, "pair")

    @property
    def partners(self) -> str:
        """ "29 dumps of A and 2 dumps of B have no partner", or nothing."""
        told = [f"{many(n, 'dump')} of {x}" for n, x in zip(self.alone, "AB", strict=True) if n]
        return f"{' and '.join(told)} {'has' if sum(self.alone) == 1 else 'have'} no partner" if told else ""

    @property
    def unread(self) -> str:
        """ "4 tensors could not be compared", or nothing."""
        return f"{many(self.tensors, 'tensor')} could not be compared" if self.tensors else ""

    def told(self) -> list[str]:
        """What no verdict may leave unsaid."""
        often = sum(self.alone) >= MANY_ALONE * max(1, self.compared)
        return [part for part in (self.pairs, self.unread, self.partners if often else "") if part]

    def clues(self) -> list[Clue]:
        """The same as remarks."""
        found = [
            (self.pairs, {"pairs": float(self.left_out)}),
            (self.partners, {"dumps_a": float(self.alone[0]), "dumps_b": float(self.alone[1])}),
        ]
        return [Clue("missing", words, numbers=numbers, serious=False) for words, numbers in found if words]


def unread_tensors(views: Sequence[View]) -> int:
    """How many tensors the dumps hold that are not plain, as their notes tell; of the dumps with most."""
    notes = {(v.pair.a.notes, v.pair.b.notes) for v in views}
    return max((_unread([*a, *b]) for a, b in notes), default=0)


def _unread(notes: Iterable[str]) -> int:
    """Different names; what is only counted is taken to be the same in both runs."""
    found = [m for m in map(_NOTE.fullmatch, notes) if m]
    names = {name for m in found for name in m["names"].removesuffix(")").split("), ")}
    return len(names) + max((int(m["more"] or 0) for m in found), default=0)


def unknown_words(views: Sequence[View]) -> str:
    """Of batches and settings, what the dumps do not tell; nothing for a pair of plain state dicts."""
    if len(views) == 1 and _bare(views[0]):
        return ""
    parts = [part for part in (batches.unknown(views), settings.unknown(views)) if part]
    return f"Unknown: {', '.join(parts)}." if parts else ""


def _bare(view: View) -> bool:
    """Whether neither file says anything of training."""
    return all(
        (s.loss, s.acc, s.step, s.epoch, s.batch) == (None,) * 5 and not (s.optimizer or s.settings or s.fingerprint)
        for s in (view.pair.a, view.pair.b)
    )
