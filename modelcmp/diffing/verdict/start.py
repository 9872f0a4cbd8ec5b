"""The first thing that differs: the earliest pair of dumps, and within it what comes first in a step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..records import KINDS
from . import batches, settings
from .views import View

#: A step: the batch is drawn, the loss computed, the gradient, then the optimizer moves itself and the weights.
WITHIN_STEP = ("batch", "loss", "acc", "grad", "settings", "optimizer", "weight", "buffer")
#: Before training there is a state and nothing has happened yet.
BEFORE_TRAINING = ("weight", "buffer", "acc", "grad", "optimizer", "settings")


@dataclass(frozen=True, slots=True)
class Start:
    """Where something first differs: its view, what it is, and the rows of that kind in causal order."""

    view: View
    what: str
    rows: tuple[int, ...] = ()


def starts(view: View, known: Collection[str] = ()) -> list[Start]:
    """All that differs in one pair of dumps, in causal order; but what is known to differ already."""
    found = []
    for what in BEFORE_TRAINING if view.initial else WITHIN_STEP:
        if what in known:
            continue
        rows = _rows(view, what)
        if rows or _differs(view, what):
            found.append(Start(view, what, rows))
    return found


def _rows(view: View, what: str) -> tuple[int, ...]:
    """The differing rows of a kind of tensor, in causal order; faint ones, which rounding decides, last."""
    kind = next((k for k in KINDS if k == what), None)
    return () if kind is None else tuple(sorted(view.layout.causal(kind, view.differs), key=lambda i: view.faint[i]))


def _differs(view: View, what: str) -> bool:
    if what == "batch":
        return batches.differ(view)
    if what == "settings":
        return settings.differ(view)
    return what in ("loss", "acc") and view.scalar_differs(what)


def firsts(views: Sequence[View]) -> list[Start]:
    """For each kind of thing, where it first differs; in order of time and cause."""
    seen: set[str] = set()
    found = []
    for view in views:
        new = starts(view, seen)
        seen |= {s.what for s in new}
        found += new
        if len(seen) == len(WITHIN_STEP):
            break
    return found
