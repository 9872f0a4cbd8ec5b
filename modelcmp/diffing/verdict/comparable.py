"""Whether weights can be compared at all: independent initialisations are as far apart as any two vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .clues import Clue
from .views import Bools, View
from .words import figure, listed, many

#: |cosine| of a weight matrix below which two of them are unrelated; more for few elements, as chance goes with
#: 1 / sqrt(n) and four standard deviations are allowed.
UNRELATED = 0.1
CHANCE_SIGMAS = 4.0
#: A matrix with fewer elements tells nothing.
FEWEST_ELEMENTS = 64
#: Share of the weight matrices that must be unrelated.
MOST = 0.9


@dataclass(frozen=True, slots=True)
class Relation:
    """Which weight matrices of the first dump are unrelated."""

    view: View
    decided: Bools
    unrelated: Bools

    @property
    def share(self) -> float:
        """Unrelated ones among those that can be told."""
        return float(self.unrelated.sum() / self.decided.sum()) if self.decided.any() else 0.0


def relation(view: View) -> Relation:
    """Look at weights with two dimensions or more: norms' ones and biases' zeros agree in any two models."""
    s = view.pair.sums
    matrix = np.array([sum(d > 1 for d in t.shape) >= 2 for t in view.layout.tensors], dtype=bool)
    with np.errstate(all="ignore"):
        decided = view.layout.kinds["weight"] & matrix & (s["elements"] >= FEWEST_ELEMENTS)
        decided &= (s["aa"] > 0) & (s["bb"] > 0) & ~np.isnan(s["ab"])
        cosine = np.abs(s["ab"]) / np.sqrt(s["aa"] * s["bb"])
        chance = np.minimum(CHANCE_SIGMAS / np.sqrt(s["elements"]), 0.5)
        unrelated = decided & (cosine < np.maximum(UNRELATED, chance))
    return Relation(view, decided, unrelated)


def not_comparable(views: Sequence[View]) -> Clue | None:
    """That the runs start from independent initialisations, or None."""
    view = next((v for v in views if v.layout.kinds["weight"].any()), None)
    if view is None:
        return None
    found = relation(view)
    if found.share < MOST:
        return None
    size, cosine = view.relative_l2(found.unrelated), _cosine(view, found.unrelated)
    clause = (
        f"the weights are unrelated: relative L2 {figure(size)} and cosine {figure(cosine)} over "
        f"{int(found.unrelated.sum())} of {many(int(found.decided.sum()), 'weight matrix')} "
        "already in the first dump, as between independent initialisations"
    )
    numbers = {"relative_l2": size, "cosine": cosine, "matrices": float(found.unrelated.sum())}
    return Clue("initialisation", clause, view, numbers=numbers)


def _cosine(view: View, rows: Bools) -> float:
    ab, aa, bb = (float(view.pair.sums[key][rows].sum()) for key in ("ab", "aa", "bb"))
    return ab / math.sqrt(aa * bb)


def partly_shared(view: View) -> tuple[str, dict[str, float]] | None:
    """That some weights are initialised independently and others are shared: words and numbers, or None."""
    found = relation(view)
    if not 0 < found.share < MOST:
        return None
    rows = np.flatnonzero(found.unrelated)
    groups = {view.layout.tensors[i].group for i in rows}
    shared = found.decided & ~found.unrelated
    equal = "equal" if not (view.differs & shared).any() else "related"
    part = " (the head)" if groups == {"mlp"} else ""
    clause = (
        f"{listed(view.layout.names(rows.tolist()))}{part} {'is' if len(rows) == 1 else 'are'} initialised "
        f"independently (relative L2 {figure(view.relative_l2(found.unrelated))}), the other "
        f"{many(int(shared.sum()), 'weight matrix')} {equal}"
    )
    return clause, {"unrelated": float(len(rows)), "shared": float(shared.sum())}


def what_is_left(views: Sequence[View]) -> str:
    """What can be compared instead, with the last values: losses, accuracies, norms of weights."""
    told = []
    for key, word in (("loss", "losses"), ("acc", "accuracies")):
        last = next((v for v in reversed(views) if v.scalars(key)), None)
        a, b = (last.scalars(key) if last else None) or (0, 0)
        if last is not None:
            told.append(f"{word} ({figure(a)} and {figure(b)}{last.at})")
    weights = views[-1].layout.kinds["weight"]
    if weights.any():
        a, b = (float(np.sqrt(views[-1].pair.sums[key][weights].sum())) for key in ("aa", "bb"))
        told.append(f"norms of layers (of all weights: {figure(a)} and {figure(b)})")
    return listed(told)
