"""Several seeds of each model: mean ± one standard deviation as terminal tables, Markdown, LaTeX, CSV and JSON.

Text from configs and models is never read as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.table import Table

from ..errors import UnknownName
from ..registry import suggest
from ..training.grouping import Group, group_notes, listed
from ..training.summary import RANK_KEYS, RankKey
from .export import csv_text, json_text, markdown_table
from .group_rows import by_seed, document, flat_row, json_row, spreads
from .group_table import missing_lines
from .spreads import NOTHING, count_text, latex, mean_latex, mean_text
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import markdown_lines

KEYS = ("test_loss", "test_accuracy")
STYLES = ("csv", "json", "markdown", "latex")
#: What a document needs in its preamble to hold the LaTeX table.
PACKAGES = ("booktabs", "textcomp")
Style = Literal["csv", "json", "markdown", "latex"]


def trials_table(groups: Sequence[Group], width: int, keys: Sequence[str] = KEYS) -> list[Table]:
    """A row a group: each figure as mean ± one standard deviation over seeds, and how many runs it is of.

    Raises UnknownName for a figure that there is not.
    """
    entries = _entries(keys)
    columns = [*(_column(groups, entry) for entry in entries), Column("n", tuple(_counts(groups, entries)))]
    names = [g.name for g in groups]
    longest = max((cell_len(n) for n in names), default=0)
    whole = split_tables(names, columns, width, name_width=longest)
    folded = split_tables(names, columns, width, name_width=NAME_WIDTH - 3)
    return folded if len(folded) < len(whole) else whole


def trials_lines(groups: Sequence[Group], keys: Sequence[str] = KEYS) -> list[str]:
    """What the table cannot say: what ± is, which runs have no figures and why, what may mislead."""
    entries = _entries(keys)
    return [
        *_spread_lines(groups, entries), *missing_lines(groups, [entry.key for entry in entries]), *group_notes(groups)
    ]  # fmt: skip


def _spread_lines(groups: Sequence[Group], entries: Sequence[RankKey]) -> list[str]:
    """What ± is, where any is shown, and why others have none."""
    found = [(s, mean_text(s, entry)) for entry in entries for s in spreads(groups, entry.key)]
    single = list(dict.fromkeys(s.name for s, _ in found if len(s.values) == 1))
    if any("±" in text for _, text in found):
        lines = ["Mean ± one standard deviation over n seeds (n - 1)."]
        return [*lines, f"No spread: {listed(single)}; that needs two seeds."] if single else lines
    if single:
        return ["Figures of a single seed each: a spread over seeds needs two (--seeds 2)."]
    return ["Means over n seeds."] if any(s.values for s, _ in found) else ["No run has any of these figures."]


def trials_text(groups: Sequence[Group], style: str, keys: Sequence[str] = KEYS) -> str:
    """The same as csv, json, markdown or latex, with every seed's value (in LaTeX as comments); raises UnknownName.

    LaTeX is a tabular for ``\\\\input``; the document needs PACKAGES.
    """
    entries = _entries(keys)
    names = [entry.key for entry in entries]
    if style == "csv":
        return csv_text([flat_row(group, names) for group in groups])
    if style == "json":
        return json_text(document(groups, [json_row(group, names) for group in groups], {"figures": names}))
    if style == "markdown":
        return _markdown(groups, entries)
    if style == "latex":
        return _latex(groups, entries)
    raise UnknownName("format", style, suggest(style, STYLES))


def _entries(keys: Sequence[str]) -> list[RankKey]:
    return [RANK_KEYS[key] for key in keys]


def _column(groups: Sequence[Group], entry: RankKey) -> Column:
    found = spreads(groups, entry.key)
    known = [s.mean for s in found if s.mean is not None]
    best = (max if entry.better == "high" else min)(known) if entry.better and len(set(known)) > 1 else None
    at = [i for i, s in enumerate(found) if best is not None and s.mean == best]
    return Column(entry.short, tuple(mean_text(s, entry) for s in found), best=at[0] if len(at) == 1 else None)


def _counts(groups: Sequence[Group], entries: Sequence[RankKey]) -> list[str]:
    """Of each group, how many runs its means are of."""
    per_key = [spreads(groups, entry.key) for entry in entries]
    return [count_text([row[i] for row in per_key]) for i in range(len(groups))]


# -- Markdown -------------------------------------------------------------------------------------


def _markdown(groups: Sequence[Group], entries: Sequence[RankKey]) -> str:
    """The means, then a table of every seed's value."""
    columns = [*(_column(groups, entry) for entry in entries), Column("n", tuple(_counts(groups, entries)))]
    rows = [[g.name, *(c.cells[i] for c in columns)] for i, g in enumerate(groups)]
    table = markdown_table(["Model", *(c.head for c in columns)], rows)
    lines = markdown_lines(trials_lines(groups, [entry.key for entry in entries]))
    return table + "".join(f"\n{line}\n" for line in lines) + "\n" + _markdown_seeds(groups, entries)


def _markdown_seeds(groups: Sequence[Group], entries: Sequence[RankKey]) -> str:
    rows = []
    for group in groups:
        values = [by_seed(group, entry) for entry in entries]
        states = [r.status for r in group.results]
        for i, seed in enumerate(values[0] if values else ()):
            figures = [_cell(found[seed], entry) for found, entry in zip(values, entries, strict=True)]
            rows.append([group.name, seed, *figures, states[i]])
    return markdown_table(["Model", "Seed", *(entry.short for entry in entries), "Status"], rows, text=["Status"])


def _cell(value: float | None, entry: RankKey) -> str:
    """A single run's figure, with more digits than a summary has."""
    if value is None:
        return NOTHING
    return f"{100 * value:.2f} %" if entry.unit == "share" else entry.written(value)


# -- LaTeX ----------------------------------------------------------------------------------------


def _latex(groups: Sequence[Group], entries: Sequence[RankKey]) -> str:
    r"""A booktabs tabular; what the means leave out stands in comments above it."""
    heads = ["Model", *(latex(entry.short) for entry in entries), "$n$"]
    per_key = [spreads(groups, entry.key) for entry in entries]
    counts = _counts(groups, entries)
    rows = [
        [latex(g.name), *(mean_latex(row[i], entry) for row, entry in zip(per_key, entries, strict=True)), counts[i]]
        for i, g in enumerate(groups)
    ]
    lines = [f"% \\usepackage{{{package}}}" for package in PACKAGES]
    lines += [f"% {' '.join(line.split())}" for line in trials_lines(groups, [entry.key for entry in entries])]
    lines += [f"% {line}" for line in _latex_seeds(groups, entries)]
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(entries) + 1)}}}", r"\toprule"]
    lines += [" & ".join(heads) + r" \\", r"\midrule", *(" & ".join(row) + r" \\" for row in rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex_seeds(groups: Sequence[Group], entries: Sequence[RankKey]) -> list[str]:
    """Every seed's value in a line a group and figure."""
    return [
        f"{' '.join(group.name.split())}, {entry.short}: "
        + ", ".join(f"seed {seed} {_cell(value, entry)}" for seed, value in by_seed(group, entry).items())
        for group in groups
        for entry in entries
    ]
