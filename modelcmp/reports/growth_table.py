"""How a model grows with its batch or input size, as a terminal table and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from rich.table import Table

from ..growth import Turn
from ..metrics import METRICS, Metric
from ..records import ModelProfile
from .export import markdown_table
from .tables import metric_columns, split_tables

#: Columns of the table, those that may be left out first at the end.
COLUMNS = ("macs", "traffic_bytes", "ai", "peak_activation_bytes", "bound")
HEADS = {"batch_size": "Batch", "input_size": "Input"}
Over = Literal["batch_size", "input_size"]


def size_of(profile: ModelProfile, over: Over) -> int:
    """The batch size, or the last dimension of the input."""
    return profile.batch_size if over == "batch_size" else profile.input_shape[0][-1]


def growth_tables(
    profiles: Sequence[ModelProfile], over: Over, width: int, columns: Sequence[Metric] | None = None
) -> list[Table]:
    """One row a size."""
    shown = columns or [METRICS[key] for key in COLUMNS]
    cells = [replace(c, best=None) for c in metric_columns(profiles, shown)]
    names = [str(size_of(p, over)) for p in profiles]
    return split_tables(names, cells, width, head=HEADS[over], name_width=5)


def growth_markdown(profiles: Sequence[ModelProfile], over: Over, columns: Sequence[Metric] | None = None) -> str:
    """The same as a GitHub table."""
    shown = columns or [METRICS[key] for key in COLUMNS]
    rows = [[str(size_of(p, over)), *(m.text(p.values[m.key], p.partial) for m in shown)] for p in profiles]
    return markdown_table(
        [HEADS[over], *(m.short for m in shown)], rows, left=0, text=[m.short for m in shown if m.unit == "text"]
    )


def turn_lines(profiles: Sequence[ModelProfile], turns: Sequence[Turn], over: Over) -> list[str]:
    """Where the class changes, in words."""
    word = {"batch_size": "batch", "input_size": "input size"}[over]
    lines = []
    for turn in turns:
        low, high = size_of(turn.before, over), size_of(turn.after, over)
        where = f"from {word} {high} on" if over == "batch_size" and high == low + 1 else f"between {low} and {high}"
        ais = f"AI {_ai(turn.before)} at {low}, {_ai(turn.after)} at {high} FLOP/byte"
        lines.append(f"{turn.after.values['bound']} {where}: {ais}")
    if len(profiles) == 1:
        only = profiles[0]
        return [f"{only.values['bound']} at {word} {size_of(only, over)}: AI {_ai(only)} FLOP/byte"]
    if not lines:
        first, last = profiles[0], profiles[-1]
        lines.append(
            f"{first.values['bound']} throughout: AI {_ai(first)} at {word} {size_of(first, over)}, "
            f"{_ai(last)} at {size_of(last, over)} FLOP/byte"
        )
    return lines


def _ai(profile: ModelProfile) -> str:
    return METRICS["ai"].text(profile.values["ai"], profile.partial)
