"""What was equal between trained models and what was not, as a terminal table and Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from ..training.fairness import FairnessRow, fairness, unequal
from ..training.results import RunResult
from .export import markdown_table
from .training_table import markdown_lines

_SIGNS = {"equal": "=", "nature": "·", "unfair": "≠"}
_STYLES = {"equal": "", "nature": "dim", "unfair": "bold yellow"}


def fairness_table(results: Sequence[RunResult], width: int) -> Table:
    """A row a setting: what all had, or who had what. ``=`` equal, ``≠`` unequal, ``·`` differs by nature."""
    table = Table(title=Text("What was equal", style="bold"), title_justify="left", box=box.SIMPLE_HEAD,
                  header_style="bold", pad_edge=False, width=None, caption_justify="left")  # fmt: skip
    rows = fairness(results)
    label = min(max((len(row.label) for row in rows), default=7), max(12, width // 3))
    table.add_column("Setting", overflow="fold", max_width=label)
    table.add_column("", no_wrap=True)
    table.add_column("Value", overflow="fold", max_width=max(20, width - label - 9))
    for row in rows:
        style = _STYLES[_kind(row)]
        table.add_row(
            Text(row.label, style=style), Text(_SIGNS[_kind(row)], style=style), Text(_values(row), style=style)
        )
    return table


def fairness_lines(results: Sequence[RunResult]) -> list[str]:
    """Unequal things said aloud, or that there are none; nothing for a single model."""
    if len(results) < 2:
        return []
    found = list(unequal(results))
    return found or ["All models had the same settings, data and number of steps."]


def fairness_markdown(results: Sequence[RunResult]) -> str:
    """The same as a GitHub table, unequal things below it."""
    rows = [[row.label, _SIGNS[_kind(row)], _values(row)] for row in fairness(results)]
    table = markdown_table(["Setting", "", "Value"], rows, left=3)
    return table + "".join(f"\n{line}\n" for line in markdown_lines(fairness_lines(results)))


def _kind(row: FairnessRow) -> str:
    return "equal" if row.equal else "nature" if row.by_nature else "unfair"


def _values(row: FairnessRow) -> str:
    """One value where all are equal, else who had what."""
    texts = row.texts()
    if row.equal:
        return texts[0]
    groups = {text: [n for n, t in zip(row.names, texts, strict=True) if t == text] for text in texts}
    return "; ".join(text if names == [text] else f"{text} ({', '.join(names)})" for text, names in groups.items())
