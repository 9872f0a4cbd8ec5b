"""Terminal tables. Text from models and files is never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from ..comparison import Comparison
from ..metrics import METRICS, Metric
from ..ranking import MEDALS, medals, rankings
from ..records import ModelProfile
from ..units import shape as shape_text

SECTIONS = {
    "size": "Model size",
    "cost": "Computational cost",
    "traffic": "Memory traffic",
    "intensity": "Arithmetic intensity",
    "latency": "Predicted on the machine",
    "accuracy": "Published accuracy",
}
NAME_WIDTH = 16  # a name is folded, never cut; no narrower than this
_FOLDED_WIDTH = 24  # least width of a column whose text is folded
_LEFT_OUT_FOR_NAMES = 2  # spare columns that give way before a name is folded
_LABELS = {"traffic_bytes": "Traffic"}  # its label is "Total" under the heading of its section
_STYLES = {"memory-bound": "yellow", "balanced": "cyan", "compute-bound": "green", "diverged": "red", "failed": "red"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of cells that are text already."""

    head: str
    cells: tuple[str, ...]
    justify: Literal["left", "right"] = "right"
    best: int | None = None  # the row to emphasise
    folded: bool = False  # whether its text may stand in several lines

    @property
    def width(self) -> int:
        """Terminal cells that it needs, padding and separator included."""
        if self.folded:
            return 3 + max(cell_len(self.head), _FOLDED_WIDTH)
        return 3 + max(cell_len(self.head), *(cell_len(c) for c in self.cells), 1)


def metric_columns(profiles: Sequence[ModelProfile], entries: Sequence[Metric]) -> list[Column]:
    """One column a metric, the best value emphasised."""
    columns = []
    for entry in entries:
        cells = tuple(entry.text(p.values[entry.key], p.partial) for p in profiles)
        gold = [i for i, medal in medals(profiles, entry).items() if medal == MEDALS[0]]
        justify: Literal["left", "right"] = "left" if entry.unit == "text" else "right"
        columns.append(Column(entry.short, cells, justify, gold[0] if len(gold) == 1 else None))
    return columns


def comparison_table(
    comparison: Comparison,
    columns: Sequence[Metric],
    sort_by: Metric | None,
    width: int,
    spare: Sequence[Metric] = (),
    among: Comparison | None = None,
) -> list[Table]:
    """The compact table: one row a model.

    Where names or columns do not fit the width, ``spare`` metrics are left out one by one; then names are
    folded, and at last the table is split. Medals are those ``among`` more models than are shown.
    """
    profiles = comparison.profiles
    prizes = _prizes(comparison, among or comparison, sort_by) if sort_by else {}
    failed = [f.name for f in comparison.failures]
    marks = [prizes.get(i, "") for i in range(len(profiles))] if prizes else None
    names = [p.name for p in profiles]
    every = range(len(spare) + 1)
    few = min(_LEFT_OUT_FOR_NAMES, len(spare))
    longest = max((cell_len(n) for n in [*names, *failed]), default=0)
    tries = [*((n, longest) for n in range(few + 1)), (few, 2 * NAME_WIDTH - 10), *((n, NAME_WIDTH - 3) for n in every)]
    for left_out, name_width in tries:
        shown = [m for m in columns if m not in spare[:left_out]]
        made = [*_front_column(profiles), *_input_column(profiles), *metric_columns(profiles, shown)]
        found = split_tables(names, made, width, name_width=name_width, failed=failed, marks=marks)
        if len(found) == 1:
            return found
    return found


def _prizes(shown: Comparison, among: Comparison, by: Metric) -> dict[int, str]:
    """Medals of the models shown, by position."""
    won = {among.profiles[i].name: medal for i, medal in medals(among.profiles, by).items()}
    return {i: won[p.name] for i, p in enumerate(shown) if p.name in won}


def _front_column(profiles: Sequence[ModelProfile]) -> list[Column]:
    """Who is on the Pareto front, where one was asked for."""
    if not any("pareto" in p.values for p in profiles):
        return []
    return [Column("◆", tuple("◆" if p.values.get("pareto") else "" for p in profiles), "left")]


def _input_column(profiles: Sequence[ModelProfile]) -> list[Column]:
    """The input size, where models differ in it."""
    shapes = [p.input_shape[0][1:] if p.input_shape else () for p in profiles]
    if len(set(shapes)) < 2:
        return []
    return [Column("Input", tuple(_short_size(s) for s in shapes))]


def _short_size(shape: tuple[int, ...]) -> str:
    """As in ``--input-size``: channels are left out of an image's size, a square is one number."""
    size = shape[1:] if len(shape) > 2 else shape
    return str(size[0]) if len(size) == 2 and size[0] == size[1] else shape_text(size)


def full_tables(comparison: Comparison, width: int) -> list[Table]:
    """Every section, then the rankings."""
    tables: list[Table] = []
    names = [p.name for p in comparison.profiles]
    for key, title in SECTIONS.items():
        entries = [m for m in METRICS.values() if m.section == key]
        if key in ("accuracy", "latency") and not any(p.values[m.key] is not None for p in comparison for m in entries):
            continue
        made = metric_columns(comparison.profiles, entries)
        tables += split_tables(names, made, width, title=title)
    if len(names) > 1:
        tables.append(rankings_table(comparison.profiles))
    return tables


def rankings_table(profiles: Sequence[ModelProfile]) -> Table:
    """Best and worst of each ranked metric, with medals."""
    table = _table("Efficiency rankings")
    table.add_column("Metric", no_wrap=True)
    places = min(3, len(profiles))
    for medal in MEDALS[:places]:
        table.add_column(medal, overflow="fold")
    if len(profiles) > places:
        table.add_column("Worst", overflow="fold", style="dim")
    for ranking in rankings(profiles):
        entry = ranking.metric
        shown = [*ranking.order[:places], *([ranking.worst] if len(profiles) > places else [])]
        table.add_row(_LABELS.get(entry.key, entry.label), *(_winner(p, entry) for p in shown))
    return table


def _winner(profile: ModelProfile, entry: Metric) -> Text:
    text = Text(profile.name)
    return text.append(f"\n{entry.text(profile.values[entry.key], profile.partial)}", style="dim")


def split_tables(
    names: Sequence[str], columns: Sequence[Column], width: int, *, title: str = "", head: str = "Model",
    name_width: int = NAME_WIDTH, failed: Sequence[str] = (), marks: Sequence[str] | None = None,
) -> list[Table]:  # fmt: skip
    """As many tables as the width asks for, each with the names (and ``marks`` before them) in front."""
    longest = max((cell_len(n) for n in [*names, *failed]), default=0)
    room = width - 3 - min(longest, name_width) - (5 if marks else 0)
    needed = len(_grouped(columns, room))
    evenly = sum(c.width for c in columns) / max(needed, 1) + max((c.width for c in columns), default=0) / 2
    groups = _grouped(columns, min(room, round(evenly)))
    if len(groups) > needed:
        groups = _grouped(columns, room)
    return [
        _one_table(names, g, title if i == 0 else "", head, name_width, failed, marks) for i, g in enumerate(groups)
    ]


def _grouped(columns: Sequence[Column], room: int) -> list[list[Column]]:
    """Columns in order, in groups that fit."""
    groups: list[list[Column]] = [[]]
    for column in columns:
        if groups[-1] and sum(c.width for c in groups[-1]) + column.width > room:
            groups.append([])
        groups[-1].append(column)
    return groups


def _one_table(
    names: Sequence[str], columns: Sequence[Column], title: str, head: str, name_width: int, failed: Sequence[str],
    marks: Sequence[str] | None,
) -> Table:  # fmt: skip
    table = _table(title)
    if marks:
        table.add_column("", width=2)
    table.add_column(head, overflow="fold", min_width=min(name_width, max((cell_len(n) for n in names), default=5)))
    for column in columns:
        table.add_column(column.head, justify=column.justify, no_wrap=not column.folded)
    for i, name in enumerate(names):
        first = [marks[i]] if marks else []
        table.add_row(*first, Text(name), *(_styled(c.cells[i], c.best == i) for c in columns))
    for name in failed:
        first = [""] if marks else []
        table.add_row(*first, Text(name), *([Text("failed", style="red")] + [Text("")] * (len(columns) - 1)))
    return table


def _styled(cell: str, best: bool) -> Text:
    return Text(cell, style="bold green" if best else _STYLES.get(cell, ""))


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD,
                 header_style="bold", pad_edge=False)  # fmt: skip
