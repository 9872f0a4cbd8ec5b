"""Layers and operations of one model as a terminal table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rich.table import Table

from .. import units
from ..tabular import Row
from .export import markdown_table
from .tables import Column, split_tables

_SHORT_CLASS = {"memory-bound": "memory", "balanced": "balanced", "compute-bound": "compute"}


def _last_shape(row: Row) -> str:
    shapes = row["output_shapes"]
    return units.shape(tuple(shapes[-1])) if shapes else ""


def _first_shape(row: Row) -> str:
    shapes = row["input_shapes"]
    return units.shape(tuple(shapes[0])) if shapes else ""


#: heading -> cell of a row; the first that don't fit the terminal are left out from the end of OPTIONAL.
_CELLS: dict[str, Callable[[Row], str]] = {
    "Type": lambda r: str(r["type"]),
    "Op": lambda r: str(r.get("op", "")).removeprefix("aten."),
    "Input": _first_shape,
    "Output": _last_shape,
    "Params": lambda r: units.scaled(r["params"]) if r.get("params") else "",
    "MACs": lambda r: units.scaled(r["macs"]),
    "FLOPs": lambda r: units.scaled(r["flops"]),
    "Bytes": lambda r: units.scaled(r["traffic_bytes"], "B"),
    "AI": lambda r: units.ratio(r["ai"]) if r["ai"] is not None else "",
    "Class": lambda r: _SHORT_CLASS.get(str(r["bound"]), ""),
    "Share": lambda r: units.percent(r["share"]) if r["share"] is not None else "",
}
_PLACE_WIDTH = 34  # a longer path is folded
_LEFT = ("Type", "Op", "Class")
_OPTIONAL = ("Input", "Type", "FLOPs", "Params", "Class", "Output")  # left out in this order on a narrow terminal


def layer_tables(rows: Sequence[Row], total: Row, width: int, by: str, ops: bool, title: str) -> list[Table]:
    """One row a layer (or op), and the total; columns that do not fit are left out, never the name."""
    names, columns = _columns(rows, total, by, ops)
    longest = min(max(len(n) for n in names), _PLACE_WIDTH)
    return split_tables(names, _fit(columns, width - 3 - longest), width, title=title, head="Place", name_width=longest)


def _column(head: str, rows: Sequence[dict[str, Any]]) -> Column:
    cells = tuple(
        "" if head in ("Type", "Op", "Class") and row["module"] == "Total" else _CELLS[head](row) for row in rows
    )
    return Column(head, cells, "left" if head in _LEFT else "right")


def _fit(columns: list[Column], room: int) -> list[Column]:
    for head in _OPTIONAL:
        if sum(c.width for c in columns) <= room:
            break
        columns = [c for c in columns if c.head != head]
    return columns


def _place(row: Row) -> str:
    calls = row.get("calls", 1)
    name = str(row["module"]) or "(model)"
    return f"{name} ×{calls}" if calls > 1 else name


def layer_markdown(rows: Sequence[Row], total: Row, by: str, ops: bool) -> str:
    """The same rows as a GitHub table with every column."""
    names, columns = _columns(rows, total, by, ops)
    cells = [[name, *(c.cells[i] for c in columns)] for i, name in enumerate(names)]
    return markdown_table(["Place", *(c.head for c in columns)], cells, text=(*_LEFT, "Input", "Output"))


def _columns(rows: Sequence[Row], total: Row, by: str, ops: bool) -> tuple[list[str], list[Column]]:
    """Places and every column, the total in the last row."""
    share, head = {"traffic_bytes": ("traffic_pct", "% bytes"), "flops": ("flops_pct", "% FLOPs")}.get(
        by, ("macs_pct", "% MACs")
    )
    everything = [{**row, "share": row[share]} for row in [*rows, total]]
    heads = [h for h in _CELLS if (h != "Params" or not ops) and (h != "Op" or ops)]
    columns = [_column(h, everything) for h in heads]
    return [_place(row) for row in everything], [replace(c, head=head) if c.head == "Share" else c for c in columns]
