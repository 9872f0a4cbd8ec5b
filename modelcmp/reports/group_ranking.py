"""Groups of runs in order of the mean over their seeds, with places and medals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ranking import MEDALS
from ..training.grouping import Group
from ..training.summary import BROKEN, RankKey, chosen_key
from .group_rows import spreads

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Significance, Spread


@dataclass(frozen=True, slots=True)
class RankedGroup:
    """A group and where it stands by one figure."""

    group: Group
    spread: Spread  # of that figure
    among: int  # groups that were ranked together, whether or not all are shown
    place: int | None  # from 1; None without the figure
    medal: str = ""
    letters: str = ""  # two groups that share one cannot be told apart


def group_key(groups: Sequence[Group], by: str | None) -> RankKey:
    """The entry of ``by``; without it what selected the epochs of all runs, else val_accuracy. Raises UnknownName."""
    return chosen_key([r for group in groups for r in group.results], by)


def rank_groups(
    groups: Sequence[Group], by: str | None = None, significance: Significance | None = None
) -> list[RankedGroup]:
    """Best mean first, then what has no such figure, then what diverged or failed in every run: nothing is dropped.

    With ``significance``, groups that cannot be told apart from the best of a place share it. Raises UnknownName.
    """
    entry = group_key(groups, by)
    found = sorted(
        zip(groups, spreads(groups, entry.key), strict=True), key=lambda pair: _order(pair[0], pair[1], entry)
    )
    places = _places([s for _, s in found], significance)
    medals = (
        {p: MEDALS[p - 1] for p in places if p is not None and p <= len(MEDALS)} if len({*places} - {None}) > 1 else {}
    )
    letters = significance.letters if significance is not None else {}
    return [
        RankedGroup(group, spread, len(found), place, medals.get(place or 0, ""), letters.get(group.name, ""))
        for (group, spread), place in zip(found, places, strict=True)
    ]


def _order(group: Group, spread: Spread, entry: RankKey) -> tuple[int, float]:
    if spread.mean is None:
        return (2 if all(r.status in BROKEN for r in group.results) else 1), 0.0
    return 0, -spread.mean if entry.better == "high" else spread.mean


def _places(ordered: Sequence[Spread], significance: Significance | None) -> list[int | None]:
    """From 1, best first; equal means share a place, and so do those inseparable from the first one of it."""
    apart = {frozenset((d.a, d.b)) for d in significance.differences if d.separable} if significance else set()
    places: list[int | None] = []
    first: Spread | None = None
    place = 0
    for i, spread in enumerate(ordered):
        if spread.mean is None:
            places.append(None)
            continue
        alike = significance is not None and first is not None and frozenset((first.name, spread.name)) not in apart
        if first is None or not (alike or spread.mean == first.mean):
            first, place = spread, i + 1
        places.append(place)
    return places
