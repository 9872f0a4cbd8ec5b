"""Groups of runs and their differences as terminal tables, Markdown and LaTeX. Names are never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from .. import units
from ..training.summary import RANK_KEYS
from .export import markdown_table
from .significance_words import difference_text, effect_text, interval_text, p_text, verdict_text
from .significance_words import sentences as sentences
from .spreads import NOTHING, latex, mean_latex, mean_text
from .tables import NAME_WIDTH, Column, split_tables
from .training_table import markdown_lines

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..sweeps.statistics.records import Difference, Significance, Spread

_MOST_PAIRS = 45
_MOST_NOTES = 8


def screens(significance: Significance, width: int) -> list[RenderableType]:
    """The groups, the pairs, both kinds of doubt where both are known, and the sentences."""
    entry = RANK_KEYS[significance.metric]
    names = [s.name for s in significance.spreads]
    parts: list[RenderableType] = [*_tables(names, _group_columns(significance), width, entry.label, "Model")]
    pairs = _shown(significance)
    if pairs:
        parts += _pair_tables(pairs, significance, width)
    return [*parts, *(Text(line) for line in lines(significance))]


def lines(significance: Significance) -> list[str]:
    """What stands below the tables: the verdict, what intervals are, notes of single pairs, and what cannot be said."""
    more = len(_compared(significance)) - len(_shown(significance))
    noted = [f"{_pair_name(d)}: {'; '.join(d.notes)}." for d in _compared(significance) if d.notes]
    hidden = len(noted) - _MOST_NOTES
    said = sentences(significance)
    return [
        *said[: len(said) - len(significance.notes)],
        *([f"{more} more pairs are in the files (--format csv)."] if more else []),
        *_explained(significance),
        *noted[:_MOST_NOTES],
        *([f"Notes on {hidden} more pairs are in the files."] if hidden > 0 else []),
        *significance.notes,
    ]


def markdown(significance: Significance) -> str:
    """The same as GitHub tables."""
    entry = RANK_KEYS[significance.metric]
    text = f"### {entry.label}\n\n" + _markdown_table(
        "Model", [s.name for s in significance.spreads], _group_columns(significance)
    )
    pairs = _compared(significance)
    if pairs:
        columns = [*_pair_columns(pairs, significance), *_effect_column(pairs)]
        columns += _doubt_columns(pairs, significance)[1:]
        text += "\n" + _markdown_table("A - B", [_pair_name(d) for d in pairs], columns)
    return text + "".join(f"\n{line}\n" for line in markdown_lines(lines(significance)))


def latex_tables(significance: Significance) -> str:
    """Both tables for LaTeX with the package booktabs, the sentences as comments."""
    entry = RANK_KEYS[significance.metric]
    groups = _group_columns(significance)
    means = tuple(mean_latex(s, entry) for s in significance.spreads)
    text = _tabular("Model", [s.name for s in significance.spreads], groups, {0: means})
    pairs = _compared(significance)
    if pairs:
        text += "\n" + _tabular(
            "A $-$ B", [_pair_name(d) for d in pairs], [*_pair_columns(pairs, significance), *_effect_column(pairs)], {}
        )
    return text + "".join(f"% {' '.join(line.split())}\n" for line in lines(significance))


# -- columns --------------------------------------------------------------------------------------


def _compared(significance: Significance) -> list[Difference]:
    """Pairs of which both have the figure."""
    return [d for d in significance.differences if d.difference is not None]


def _shown(significance: Significance) -> list[Difference]:
    return _compared(significance)[:_MOST_PAIRS]


def _pair_name(d: Difference) -> str:
    return f"{d.a} - {d.b}"


def _group_columns(significance: Significance) -> list[Column]:
    entry, found = RANK_KEYS[significance.metric], significance.spreads
    intervals = tuple(_mean_interval(s, significance) for s in found)
    columns = [
        Column(
            f"{entry.short} ± std" if any(s.std is not None for s in found) else entry.short,
            tuple(mean_text(s, entry) for s in found),
        ),
        Column(_interval_head(significance), intervals),
        Column("Runs", tuple(_count(s) for s in found)),
        Column("Alike", tuple(significance.letters.get(s.name, "") or NOTHING for s in found), "left"),
    ]
    return [c for c in columns if c.cells != (NOTHING,) * len(found) or c.head == columns[0].head]


def _mean_interval(s: Spread, significance: Significance) -> str:
    """Of the mean, with its digits."""
    entry = RANK_KEYS[significance.metric]
    if s.low is None or s.high is None or s.mean is None:
        return NOTHING
    if entry.unit not in ("share", "loss"):
        return f"{entry.written(s.low)} to {entry.written(s.high)}"
    scale = 100 if entry.unit == "share" else 1
    head = mean_text(s, entry).split(" ")[0]
    digits = len(head.partition(".")[2])
    return f"{scale * s.low:.{digits}f} to {scale * s.high:.{digits}f}"


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
        Column("Verdict", tuple(verdict_text(d, entry) for d in pairs), "left"),
        Column("Seeds", tuple(NOTHING if d.seeds_needed is None else str(d.seeds_needed) for d in pairs)),
    ]
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


def _explained(significance: Significance) -> list[str]:
    """What the columns are, where they need it."""
    pairs = _compared(significance)
    entry = RANK_KEYS[significance.metric]
    found = []
    if sum(d.p is not None for d in pairs) > 1:
        found.append(
            f"p-values are adjusted for {sum(d.p is not None for d in pairs)} pairs (Holm); intervals are of each "
            f"pair alone, so that one may leave out 0 where the pair is not separable."
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


# -- drawing --------------------------------------------------------------------------------------


def _pair_tables(pairs: Sequence[Difference], significance: Significance, width: int) -> list[Table]:
    """One table, and a second one of what does not fit: the effect, and both kinds of doubt."""
    names = [_pair_name(d) for d in pairs]
    columns, effect = _pair_columns(pairs, significance), _effect_column(pairs)
    doubts = _doubt_columns(pairs, significance)
    first = _tables(names, [*columns, *effect], width, "Differences", "A - B")
    if len(first) > 1:
        first, doubts = _tables(names, columns, width, "Differences", "A - B"), [*effect, *doubts]
    title = "Where the doubt comes from" if len(doubts) > 1 else "Effects"
    return first + (_tables(names, doubts, width, title, "A - B") if doubts else [])


def _tables(names: Sequence[str], columns: Sequence[Column], width: int, title: str, head: str) -> list[Table]:
    """One table with whole names where that fits, else with pairs on two lines, else with folded names."""
    room = width - 3 - sum(c.width for c in columns)
    for written in (names, [name.replace(" - ", " -\n") for name in names]):
        longest = max(cell_len(line) for name in written for line in name.split("\n"))
        if longest <= room:
            return split_tables(written, columns, width, title=title, head=head, name_width=longest)
    return split_tables(names, columns, width, title=title, head=head, name_width=max(room, NAME_WIDTH - 5))


def _markdown_table(head: str, names: Sequence[str], columns: Sequence[Column]) -> str:
    rows = [[name.replace("*", "\\*"), *(c.cells[i] for c in columns)] for i, name in enumerate(names)]
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
