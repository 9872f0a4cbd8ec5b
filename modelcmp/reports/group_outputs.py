"""A ranking of groups as a terminal shows it and as files hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ..training.grouping import SEEDED, Group
from ..training.results import RunResult
from .export import csv_text, json_text, markdown_text
from .fairness_table import fairness_table
from .group_ranking import group_key, rank_groups
from .group_rows import document, flat_row, json_row, known_keys
from .group_table import best_line, group_lines, group_markdown, group_tables, unsaid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..sweeps.statistics.records import Significance


def screens(
    groups: Sequence[Group], width: int, by: str | None = None, significance: Significance | None = None,
    top: int | None = None, fairness: bool = False,
) -> list[RenderableType]:  # fmt: skip
    """The ranked table, what it cannot say, and the winner in words; ``top`` shows the first ones of all groups.

    ``fairness`` puts the whole table of settings before them. Raises UnknownName.
    """
    entry = group_key(groups, by)
    everyone = rank_groups(groups, by, significance)
    shown = everyone[:top]
    before = [fairness_table([_first(r.group) for r in shown], width)] if fairness and len(shown) > 1 else []
    lines = group_lines(shown, entry, *unsaid(shown, width, entry))
    return [*before, *group_tables(shown, width, entry), *lines, *_verdict(groups, by, significance)]


def _first(group: Group) -> RunResult:
    """A group's first run under the group's name, without what its seed decides."""
    result = group.runs[0].result
    settings = {key: value for key, value in result.settings.items() if key not in SEEDED}
    return replace(result, name=group.name, settings=settings)


def _verdict(groups: Sequence[Group], by: str | None, significance: Significance | None) -> list[str]:
    if significance is None:
        line = best_line(rank_groups(groups, by), group_key(groups, by))
        return [line] if line else []
    from .significance_table import sentences

    return list(sentences(significance))


def text(
    groups: Sequence[Group], style: str, by: str | None = None, significance: Significance | None = None,
    top: int | None = None,
) -> str:  # fmt: skip
    """The same as json, csv or markdown, with all settings and every seed's value. Raises UnknownName."""
    entry = group_key(groups, by)
    ranked = rank_groups(groups, by, significance)[:top]
    if style == "markdown":
        said = "".join(f"\n{markdown_text(line)}\n" for line in _verdict(groups, by, significance))
        return group_markdown(ranked, entry) + said
    keys = list(dict.fromkeys([entry.key, *known_keys(groups)]))
    places = [{"place": r.place, "medal": r.medal or None, "letters": r.letters or None} for r in ranked]
    if style == "csv":
        return csv_text(p | flat_row(r.group, keys) for p, r in zip(places, ranked, strict=True))
    rows = [p | json_row(r.group, keys) for p, r in zip(places, ranked, strict=True)]
    more = {"ranked_by": entry.key, "significance": asdict(significance) if significance else None}
    return json_text(document([r.group for r in ranked], rows, more))
