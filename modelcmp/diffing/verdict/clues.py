"""What was noticed, before it is put into words with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..records import Finding
from .views import View
from .words import place, sentence

#: The order of findings within one pair of dumps: what causes what.
ORDER = (
    "initialisation", "shape", "dtype", "batch", "loss", "acc", "grad", "settings", "frozen", "swap",
    "optimizer", "weight", "update", "buffer", "nan", "jump", "floor", "tolerance", "noise", "trend", "bias",
    "missing", "unknown",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clue:
    """A finding before its place is put into words."""

    what: str
    clause: str  # without its place: "B's weight decay is 0, A's 0.01"
    view: View | None = None
    tensor: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    serious: bool = True
    explained: bool = False  # its clause says why, not only what
    holder: str = ""  # of "nan": the kind of thing that holds it, which it comes before

    @property
    def key(self) -> tuple[int, int, float]:
        """Sorts by time, then cause; what has no place comes last.

        Before training the weights cause all else. Settings that differ steps after the dump before, or in the first
        one, did before the loss. NaN and infinity explain whatever else differs in what holds them.
        """
        rank = ORDER.index(self.holder) - 0.5 if self.holder else float(ORDER.index(self.what))
        if self.view is None:
            return 1 << 60, 1, rank
        if self.view.index == 0 and self.what == "nan" and self.serious:
            return 0, -1, rank
        if self.view.initial and self.what in ("initialisation", "shape", "dtype", "weight", "buffer"):
            return self.view.index, 0, rank
        early = self.what in ORDER[: ORDER.index("loss")] or (self.what == "settings" and not self.view.near)
        return self.view.index, 1 if early else 2, rank

    def finding(self) -> Finding:
        """With its place."""
        if self.view is None:
            named = self.tensor is not None and self.clause.startswith(self.tensor)  # names keep their case
            words = f"{self.clause.rstrip('.')}." if named else sentence(self.clause)
            return Finding(self.what, words, tensor=self.tensor, numbers=self.numbers,
                           serious=self.serious)  # fmt: skip
        if self.view.placeless:
            return replace(self, view=None).finding()
        side = self.view.pair.a
        words = f"{sentence(place(self.view.pair)).rstrip('.')}: {self.clause.rstrip('.')}."
        return Finding(self.what, words, self.view.pair.step, side.epoch, side.batch, self.tensor, self.numbers,
                       self.serious)  # fmt: skip
