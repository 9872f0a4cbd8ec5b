"""What stands below the tables of a comparison over seeds, each sentence once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ..training.summary import RANK_KEYS
from .significance_words import cut_line, verdict_lines

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Difference, Significance

_ALL_PAIRS, _MOST_PAIRS = 10, 45
_MOST_NOTES = 8


def compared(significance: Significance) -> list[Difference]:
    """Pairs of which both have the figure."""
    return [d for d in significance.differences if d.difference is not None]


def shown(significance: Significance) -> list[Difference]:
    """The pairs of a terminal: all where they are few, else those with the best group and neighbours."""
    pairs = compared(significance)
    if len(pairs) <= _ALL_PAIRS:
        return pairs
    names = [s.name for s in significance.spreads]
    near = {*pairwise(names)}
    return [d for d in pairs if d.a == names[0] or (d.a, d.b) in near][:_MOST_PAIRS]


def pair_name(d: Difference) -> str:
    """``cnn - mlp``."""
    return f"{d.a} - {d.b}"


def blocks(found: Sequence[Significance], *, every_pair: bool) -> tuple[list[list[str]], list[str]]:
    """Lines below each figure, and those that belong to all: what columns are, and what several figures would repeat.

    ``every_pair``: whether the tables have all pairs, else those of ``shown``.
    """
    if len(found) == 1:
        return [[*_verdicts(found[0], every_pair), *_columns(found[0]), *_notes(found[0])]], []
    times = Counter(line for s in found for line in dict.fromkeys(_notes(s)))
    own = [[*_verdicts(s, every_pair), *(line for line in dict.fromkeys(_notes(s)) if times[line] == 1)] for s in found]
    repeated = [line for line, n in times.items() if n > 1]
    return own, list(dict.fromkeys([*(line for s in found for line in _columns(s)), *repeated]))


def _verdicts(significance: Significance, every_pair: bool) -> list[str]:
    lines = verdict_lines(significance)
    pairs = len(compared(significance))
    if not every_pair and len(shown(significance)) < pairs:
        lines.append(f"Shown are pairs with the best and neighbours: --format csv for all {pairs} pairs.")
    return lines


def _notes(significance: Significance) -> list[str]:
    """On single pairs, then on all."""
    noted = [f"{pair_name(d)}: {'; '.join(d.notes)}." for d in compared(significance) if d.notes]
    hidden = len(noted) - _MOST_NOTES
    more = [f"Notes on {hidden} more pairs are in the files."] if hidden > 0 else []
    return [*noted[:_MOST_NOTES], *more, *significance.notes]


def _columns(significance: Significance) -> list[str]:
    """What the columns are, where they need it."""
    pairs = compared(significance)
    entry = RANK_KEYS[significance.metric]
    found = cut_line(significance)
    if sum(d.p is not None for d in pairs) > 1:
        found.append(
            "p-values are adjusted for all pairs that were tested (Holm); intervals are of each pair alone, so that "
            "one may leave out 0 where the pair is not separable."
        )
    if any(d.seeds_needed is not None for d in pairs):
        found.append(
            "Seeds: how many of each model in all would separate a difference of this size and spread in 4 of 5 "
            "attempts; after few seeds that is a rough guess."
        )
    if any(d.test_low is not None for d in pairs):
        found.append(
            f"Other examples: the interval over the examples of the {entry.split} split for these very weights (paired "
            f"bootstrap); neither interval holds the other's doubt."
        )
    return found
