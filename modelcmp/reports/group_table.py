"""Groups of runs as a ranked table: what differs between them, and means over their seeds.

Text from configs and models is never read as markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table

from ..training.grouping import Group, counted_runs, group_notes, setting_text
from ..training.results import RunResult
from ..training.summary import BROKEN, RANK_KEYS, RankKey
from .export import markdown_table
from .group_ranking import RankedGroup
from .group_rows import spreads
from .spreads import NOTHING, count_text, mean_text
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import cut_words, in_sentence, markdown_lines

#: Figures beside the one that ranks, in the order in which they are given room.
FIGURES = ("test_accuracy", "test_loss", "val_accuracy", "val_loss", "train_seconds", "params")
_REASONS = 3  # that are quoted of a group
_LINES = 12  # of groups that are not complete


def group_tables(ranked: Sequence[RankedGroup], width: int, entry: RankKey) -> list[Table]:
    """One table, best first: as many of the differing settings as fit, then as many figures as fit.

    ``unsaid`` names what is left out.
    """
    columns = _laid_out(ranked, width, entry)[0]
    names = _labels(ranked)
    return split_tables(names, columns, width, name_width=_name_width(names), marks=_marks(ranked))


def unsaid(ranked: Sequence[RankedGroup], width: int, entry: RankKey) -> tuple[list[str], bool]:
    """Differing settings that the table has no room for, and whether any of its cells has a ±."""
    columns, hidden = _laid_out(ranked, width, entry)
    return hidden, _has_spread(columns)


def _has_spread(columns: Sequence[Column]) -> bool:
    return any("±" in cell for column in columns if column.justify == "right" for cell in column.cells)


def _laid_out(ranked: Sequence[RankedGroup], width: int, entry: RankKey) -> tuple[list[Column], list[str]]:
    """The columns that fit, and the settings that do not."""
    main = _figure_column(ranked, entry, state=True)
    runs = Column("Runs", tuple(count_text([r.spread]) for r in ranked))
    letters = [Column("≈", tuple(r.letters for r in ranked), "left")] if any(r.letters for r in ranked) else []
    room = width - 3 - (5 if _marks(ranked) else 0) - _name_width(_labels(ranked))
    room -= sum(c.width for c in (main, runs, *letters))
    settings, hidden = [], []
    for key in _setting_keys(ranked):
        column = _setting_column(ranked, key)
        if column.width <= room:
            settings.append(column)
            room -= column.width
        else:
            hidden.append(key)
    figures = []
    for other in _others(ranked, entry):
        column = _figure_column(ranked, other)
        if column.width > room:
            break
        figures.append(column)
        room -= column.width
    return [*settings, main, *letters, *figures, runs], hidden


def _setting_keys(ranked: Sequence[RankedGroup]) -> list[str]:
    return list(ranked[0].group.settings) if ranked else []


def _setting_column(ranked: Sequence[RankedGroup], key: str) -> Column:
    cells = tuple(setting_text(key, r.group.settings.get(key)) for r in ranked)
    numbers = all(isinstance(r.group.settings.get(key), int | float | None) for r in ranked)
    return Column(key, cells, "right" if numbers else "left")


def _figure_column(ranked: Sequence[RankedGroup], entry: RankKey, state: bool = False) -> Column:
    """Means over seeds; ``state`` says what became of a group without any."""
    found = spreads([r.group for r in ranked], entry.key)
    cells = [mean_text(s, entry) for s in found]
    if state:
        cells = [_state(r.group) if s.mean is None else cell for r, s, cell in zip(ranked, found, cells, strict=True)]
    known = [s.mean for s in found if s.mean is not None]
    best = (max if entry.better == "high" else min)(known) if entry.better and len(set(known)) > 1 else None
    at = [i for i, s in enumerate(found) if best is not None and s.mean == best]
    return Column(entry.short, tuple(cells), best=at[0] if len(at) == 1 else None)


def _state(group: Group) -> str:
    """What became of most runs."""
    counted = Counter(r.status for r in group.results if r.status != "finished")
    return counted.most_common(1)[0][0] if counted else NOTHING


def _others(ranked: Sequence[RankedGroup], entry: RankKey) -> list[RankKey]:
    """Further figures that any run has."""
    results = [r for ranks in ranked for r in ranks.group.results if r.status not in BROKEN]
    entries = [RANK_KEYS[key] for key in FIGURES if key != entry.key]
    return [e for e in entries if any(e.value(r) is not None for r in results)]


def _labels(ranked: Sequence[RankedGroup]) -> list[str]:
    """The models' labels: the settings have columns of their own."""
    return [r.group.label for r in ranked]


def _name_width(names: Sequence[str]) -> int:
    """A name is whole up to twice the least width, else folded to it; the column's head is whole too."""
    longest = max(cell_len(n) for n in ["Model", *names])
    return longest if longest <= 2 * NAME_WIDTH - 10 else NAME_WIDTH - 3


def _marks(ranked: Sequence[RankedGroup]) -> list[str] | None:
    if not ranked or ranked[0].among < 2:
        return None
    return [r.medal or ("" if r.place is None else f"{r.place}") for r in ranked]


# -- what the table cannot say --------------------------------------------------------------------


def group_lines(
    ranked: Sequence[RankedGroup], entry: RankKey, hidden: Sequence[str] = (), spread: bool = False
) -> list[str]:
    """The order, what ± is where a ``spread`` is shown, what has no column, and which runs are missing and why."""
    label = in_sentence(entry.label)
    lines = _order_lines(ranked, label)
    if spread:
        lines.append("± is one standard deviation over seeds (n - 1), not an interval.")
    if any(r.letters for r in ranked):
        lines.append(f"Groups that share a letter (≈) cannot be told apart in {label}.")
    if hidden:
        names = ", ".join(hidden)
        lines.append(f"Without a column of their own: {names} (--format markdown, csv and json have them).")
    groups = [r.group for r in ranked]
    return [*lines, *missing_lines(groups, (entry.key,)), *group_notes(groups)]


def _order_lines(ranked: Sequence[RankedGroup], label: str) -> list[str]:
    """What the order is by, and of how many groups these are the first."""
    if not ranked or ranked[0].among < 2:
        return []
    lines = [f"Ranked by {label}, of one run each."]
    if any(len(r.spread.values) + sum(r.spread.missing.values()) > 1 for r in ranked):
        lines = [f"Ranked by the mean of {label} over seeds."]
    if all(r.place is None for r in ranked):
        lines = [f"Not ranked: no run has a figure for {label}."]
    if len(ranked) < ranked[0].among:
        lines.append(cut_words(len(ranked), ranked[0].among, "groups"))
    return lines


def missing_lines(groups: Sequence[Group], keys: Sequence[str]) -> list[str]:
    """Of each group that is not complete, how many runs diverged, failed, were pruned or stopped, and why."""
    lines = [f"{group.name}: {words}" for group in groups if (words := _missing(group, keys))]
    more = len(lines) - _LINES
    return [*lines[:_LINES], f"{more} more groups are not complete."] if more > 0 else lines


def _missing(group: Group, keys: Sequence[str]) -> str:
    """``2 of 5 diverged (the loss is NaN at step 212)``."""
    results = [run.result for run in counted_runs(group, lambda r: r.status == "finished")]
    total = len(results)
    counted = Counter(r.status for r in results if r.status != "finished")
    words = [f"{n} of {total} {_were(status, n)}{_why(results, status)}" for status, n in counted.items()]
    finished = [r for r in results if r.status == "finished"]
    for key in keys:
        if without := sum(RANK_KEYS[key].value(r) is None for r in finished):
            words.append(f"{without} of {total} finished without {in_sentence(RANK_KEYS[key].label)}")
    return "; ".join(words)


def _were(status: str, n: int) -> str:
    verb = "was" if n == 1 else "were"
    return {"pruned": f"{verb} pruned", "stopped": f"{verb} stopped", "running": "not at an end"}.get(status, status)


def _why(results: Sequence[RunResult], status: str) -> str:
    """The first reasons, each once."""
    reasons = list(dict.fromkeys(r.message for r in results if r.status == status and r.message))
    more = f"; {len(reasons) - _REASONS} further reasons" if len(reasons) > _REASONS else ""
    return f" ({'; '.join(reasons[:_REASONS])}{more})" if reasons else ""


def best_line(ranked: Sequence[RankedGroup], entry: RankKey) -> str:
    """Who has the best mean and who comes next, in words; "" for fewer than two groups with the figure."""
    known = [r for r in ranked if r.spread.mean is not None]
    if len(known) < 2:
        return ""
    first, second = known[:2]
    label, texts = in_sentence(entry.label), [mean_text(r.spread, entry) for r in known[:2]]
    several = first.spread.std is not None and second.spread.std is not None
    best = f"the best mean of {label}" if several else f"the best {label}"
    if first.spread.mean == second.spread.mean:
        return f"{first.group.name} and {second.group.name} share {best}: {texts[0]}"
    line = f"{first.group.name} has {best}: {texts[0]}, {second.group.name} {texts[1]}"
    return f"{line}; --significance says whether they can be told apart" if several else line


def group_markdown(ranked: Sequence[RankedGroup], entry: RankKey) -> str:
    """All settings and figures as one GitHub table, and what it cannot say below."""
    keys = _setting_keys(ranked)
    settings = [_setting_column(ranked, key) for key in keys]
    letters = [Column("≈", tuple(r.letters for r in ranked), "left")] if any(r.letters for r in ranked) else []
    figures = [_figure_column(ranked, e) for e in _others(ranked, entry)]
    runs = Column("Runs", tuple(count_text([r.spread]) for r in ranked))
    columns = [*settings, _figure_column(ranked, entry, state=True), *letters, *figures, runs]
    marks = _marks(ranked) or [""] * len(ranked)
    front = [f"{mark} {name}".strip() for mark, name in zip(marks, _labels(ranked), strict=True)]
    rows = [[name, *(c.cells[i] for c in columns)] for i, name in enumerate(front)]
    text = [c.head for c in columns if c.justify == "left"]
    table = markdown_table(["Model", *(c.head for c in columns)], rows, text=text)
    return table + "".join(
        f"\n{line}\n" for line in markdown_lines(group_lines(ranked, entry, (), _has_spread(columns)))
    )
