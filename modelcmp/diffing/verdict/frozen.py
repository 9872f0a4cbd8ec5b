"""Tensors that never move in one run and do in the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..sums import Array
from .clues import Clue
from .views import View
from .words import listed, many


def frozen_clues(views: Sequence[View]) -> list[Clue]:
    """Weights that are where they were in the first dump through all dumps of one run, and move in the other."""
    later = views[1:]
    everywhere = [set(layout.weight_names) for layout in {id(v.layout): v.layout for v in later}.values()]
    names = [n for n in views[0].layout.weight_names if all(n in known for known in everywhere)]
    if not later or not names:
        return []
    moved = {"A": _distances(later, names, "uu"), "B": _distances(later, names, "vv")}
    clues = []
    for still, moving in (("B", "A"), ("A", "B")):
        stuck = _never(moved[still]) & (moved[moving] > 0).any(axis=0)
        if stuck.any():
            found = [n for n, s in zip(names, stuck, strict=True) if s]
            view = later[int(np.argmax((moved[moving][:, stuck] > 0).any(axis=1)))]
            clause = (
                f"{listed(found)} {'moves' if len(found) == 1 else 'move'} in {moving} and never in {still} "
                f"({many(len(later), 'dump')}): frozen, or not in the optimizer"
            )
            clues.append(Clue("frozen", clause, view, found[0], {"tensors": float(len(found))}))
    return clues


def _never(moved: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tensors that are known to be at distance 0 wherever their distance is known, which is somewhere."""
    known = ~np.isnan(moved)
    still: np.ndarray[tuple[int], np.dtype[np.bool_]] = (~known | (moved == 0)).all(axis=0) & known.any(axis=0)
    return still


def _distances(views: Sequence[View], names: Sequence[str], key: str) -> Array:
    """Squared distances since the first dump, shape (dumps, tensors)."""
    rows: dict[int, list[int]] = {}
    for view in views:
        if id(view.layout) not in rows:
            rows[id(view.layout)] = [view.layout.places["weight", n] for n in names]
    return np.array([v.pair.sums[key][rows[id(v.layout)]] for v in views])
