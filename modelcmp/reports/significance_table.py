"""Groups of runs and their differences as terminal tables, Markdown and LaTeX. Names are never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from .. import units
from ..sweeps.statistics.records import CONFIGURED
from ..training.summary import RANK_KEYS
from .export import markdown_table
from .significance_lines import blocks, compared, pair_name, shown
from .significance_words import difference_text, effect_text, interval_text, p_text, possible, verdict_text
from .significance_words import sentences as sentences
from .spreads import NOTHING, latex, mean_latex, mean_text
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import markdown_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..sweeps.statistics.records import Difference, Significance, Spread


def screens(found: Sequence[Significance], width: int) -> list[RenderableType]:
    """Of each figure the groups, the pairs, both kinds of doubt where both are known, and the sentences."""
    below, at_end = blocks(found, every_pair=False)
    parts: list[RenderableType] = []
    for significance, lines in zip(found, below, strict=True):
        parts += [*_figure_tables(significance, width), *(Text(line) for line in lines)]
    return parts + ([Text(""), *(Text(line) for line in at_end)] if at_end else [])


def markdown(found: Sequence[Significance]) -> str:
    """The same as GitHub tables, of all pairs."""
    below, at_end = blocks(found, every_pair=True)
    texts = [
        _markdown_tables(s) + "".join(f"\n{line}\n" for line in markdown_lines(lines))
        for s, lines in zip(found, below, strict=True)
    ]
    return "\n".join([*texts, *(f"{line}\n" for line in markdown_lines(at_end))])


def latex_tables(found: Sequence[Significance]) -> str:
    """Both tables of each figure for LaTeX with the package booktabs, the sentences as comments."""
    below, at_end = blocks(found, every_pair=True)
    texts = [_latex_tables(s) + _comments(lines) for s, lines in zip(found, below, strict=True)]
    return "\n".join([*texts, *([_comments(at_end)] if at_end else [])])


def _figure_tables(significance: Significance, width: int) -> list[Table]:
    """Groups and pairs; where names of pairs have no room groups are numbered, and pairs are written ``1 - 2``."""
    entry, names = RANK_KEYS[significance.metric], [s.name for s in significance.spreads]
    pairs, columns = shown(significance), _group_columns(significance)
    written = [pair_name(d) for d in pairs]
    if pairs and not _has_room(written, _pair_columns(pairs, significance), width):
        written = [f"{names.index(d.a) + 1} - {names.index(d.b) + 1}" for d in pairs]
        columns.insert(0, Column("No.", tuple(str(i) for i, _ in enumerate(names, 1))))
    parts = _tables(names, columns, width, entry.label, "Model")
    return parts + (_pair_tables(written, pairs, significance, width) if pairs else [])


def _markdown_tables(significance: Significance) -> str:
    entry = RANK_KEYS[significance.metric]
    text = f"### {entry.label}\n\n" + _markdown_table(
        "Model", [s.name for s in significance.spreads], _group_columns(significance)
    )
    pairs = compared(significance)
    if pairs:
        columns = [*_pair_columns(pairs, significance), *_effect_column(pairs)]
        columns += _doubt_columns(pairs, significance)[1:]
        text += "\n" + _markdown_table("A - B", [pair_name(d) for d in pairs], columns)
    return text


def _latex_tables(significance: Significance) -> str:
    entry = RANK_KEYS[significance.metric]
    groups = _group_columns(significance)
    means = tuple(mean_latex(s, entry) for s in significance.spreads)
    text = _tabular("Model", [s.name for s in significance.spreads], groups, {0: means})
    pairs = compared(significance)
    if pairs:
        text += "\n" + _tabular(
            "A $-$ B", [pair_name(d) for d in pairs], [*_pair_columns(pairs, significance), *_effect_column(pairs)], {}
        )
    return text


def _comments(lines: Sequence[str]) -> str:
    return "".join(f"% {' '.join(line.split())}\n" for line in lines)


# -- columns --------------------------------------------------------------------------------------


def _group_columns(significance: Significance) -> list[Column]:
    entry, found = RANK_KEYS[significance.metric], significance.spreads
    intervals = tuple(_mean_interval(s, significance) for s in found)
    columns = [
        Column(
            f"{entry.short} ± std" if _has_spread(significance) else entry.short,
            tuple(mean_text(s, entry) for s in found),
        ),
        Column(_interval_head(significance), intervals),
        Column("Runs", tuple(_count(s) for s in found)),
        Column("Alike", tuple(significance.letters.get(s.name, "") or NOTHING for s in found), "left"),
    ]
    return [c for c in columns if c.cells != (NOTHING,) * len(found) or c.head == columns[0].head]


def _has_spread(significance: Significance) -> bool:
    return significance.metric not in CONFIGURED and any(s.std is not None for s in significance.spreads)


def _mean_interval(s: Spread, significance: Significance) -> str:
    """Of the mean, with its digits."""
    entry = RANK_KEYS[significance.metric]
    if s.low is None or s.high is None or s.mean is None or entry.key in CONFIGURED:
        return NOTHING
    low, high = possible(s.low, s.high, entry)
    if entry.unit not in ("share", "loss"):
        return f"{entry.written(low)} to {entry.written(high)}"
    scale = 100 if entry.unit == "share" else 1
    head = mean_text(s, entry).split(" ")[0]
    digits = len(head.partition(".")[2])
    return f"{scale * low:.{digits}f} to {scale * high:.{digits}f}"


def _count(s: Spread) -> str:
    """How many runs the mean is of; of how many, where some have no figure."""
    missing = sum(s.missing.values())
    return f"{len(s.values)} of {len(s.values) + missing}" if missing else str(len(s.values))


def _interval_head(significance: Significance) -> str:
    return f"{units.plain(100 * significance.confidence)} % interval"


def _pair_columns(pairs: Sequence[Difference], significance: Significance) -> list[Column]:
    entry = RANK_KEYS[significance.metric]
    columns = [
        Column("Points" if entry.unit == "share" else "Differs by", tuple(difference_text(d, entry) for d in pairs)),
        Column(_interval_head(significance), tuple(interval_text(d.low, d.high, d, entry) for d in pairs)),
        Column("p (Holm)" if len(pairs) > 1 else "p", tuple(p_text(d.p_adjusted) for d in pairs)),
        Column("Verdict", tuple(verdict_text(d) for d in pairs), "left"),
        Column("Seeds", tuple(NOTHING if d.seeds_needed is None else str(d.seeds_needed) for d in pairs)),
    ]
    if significance.metric in CONFIGURED:
        return [columns[0], columns[3]]
    return [c for c in columns if c.head != "Seeds" or any(cell != NOTHING for cell in c.cells)]


def _effect_column(pairs: Sequence[Difference]) -> list[Column]:
    found = tuple(effect_text(d) for d in pairs)
    return [Column("g", found)] if any(cell != NOTHING for cell in found) else []


def _doubt_columns(pairs: Sequence[Difference], significance: Significance) -> list[Column]:
    """The interval over seeds beside the one over examples, where any pair has the latter."""
    entry = RANK_KEYS[significance.metric]
    if all(d.test_low is None for d in pairs):
        return []
    return [
        Column("Other seeds", tuple(interval_text(d.low, d.high, d, entry) for d in pairs)),
        Column("Other examples", tuple(interval_text(d.test_low, d.test_high, d, entry) for d in pairs)),
    ]


# -- drawing --------------------------------------------------------------------------------------


def _pair_tables(
    names: Sequence[str], pairs: Sequence[Difference], significance: Significance, width: int
) -> list[Table]:
    """One table, and a second one of what does not fit: the effect, and both kinds of doubt."""
    columns, effect = _pair_columns(pairs, significance), _effect_column(pairs)
    doubts = _doubt_columns(pairs, significance)
    first = _tables(names, [*columns, *effect], width, "Differences", "A - B")
    if len(first) > 1:
        first, doubts = _tables(names, columns, width, "Differences", "A - B"), [*effect, *doubts]
    title = "Where the doubt comes from" if len(doubts) > 1 else "Effects"
    return first + (_tables(names, doubts, width, title, "A - B") if doubts else [])


def _two_lines(names: Sequence[str]) -> list[str]:
    return [name.replace(" - ", " -\n") for name in names]


def _longest(names: Sequence[str]) -> int:
    return max(cell_len(line) for name in names for line in name.split("\n"))


def _has_room(names: Sequence[str], columns: Sequence[Column], width: int) -> bool:
    """Whether names of pairs stand whole beside these columns, at worst on two lines."""
    return _longest(_two_lines(names)) <= max(width - 3 - sum(c.width for c in columns), NAME_WIDTH - 5)


def _tables(names: Sequence[str], columns: Sequence[Column], width: int, title: str, head: str) -> list[Table]:
    """One table with whole names where that fits, else with pairs on two lines, else with folded names."""
    room = width - 3 - sum(c.width for c in columns)
    for written in (names, _two_lines(names)):
        longest = _longest(written)
        if longest <= room:
            return split_tables(written, columns, width, title=title, head=head, name_width=longest)
    return split_tables(names, columns, width, title=title, head=head, name_width=max(room, NAME_WIDTH - 5))


def _markdown_table(head: str, names: Sequence[str], columns: Sequence[Column]) -> str:
    rows = [[name, *(c.cells[i] for c in columns)] for i, name in enumerate(names)]
    words = [c.head for c in columns if c.justify == "left"]
    return markdown_table([head, *(c.head for c in columns)], rows, text=words)


def _tabular(head: str, names: Sequence[str], columns: Sequence[Column], ready: dict[int, tuple[str, ...]]) -> str:
    """A booktabs table; columns in ``ready`` are LaTeX already."""
    cells = [ready.get(i) or tuple(latex(cell) for cell in c.cells) for i, c in enumerate(columns)]
    layout = "l" + "".join("l" if c.justify == "left" else "r" for c in columns)
    rows = [[latex(name), *(column[i] for column in cells)] for i, name in enumerate(names)]
    body = "".join(" & ".join(row) + r" \\" + "\n" for row in [[head, *(latex(c.head) for c in columns)]])
    lines_ = "".join(" & ".join(row) + r" \\" + "\n" for row in rows)
    return f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{body}\\midrule\n{lines_}\\bottomrule\n\\end{{tabular}}\n"
