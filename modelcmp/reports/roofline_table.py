"""Rooflines as terminal tables, Markdown and rows for files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .. import units
from ..tabular import Row
from .export import markdown_table
from .plots.roofline import LIMITS, By, Machine, ModelTime, Place, Roofline, duration
from .tables import Column, split_tables

_SHORT_CLASS = {"memory-bound": "memory", "compute-bound": "compute"}
_WIDEST = 34  # a longer path is folded
_NARROWEST = 16
_CELLS: dict[str, Callable[[Place], str]] = {
    "Kind": lambda p: p.kind,
    "FLOPs": lambda p: _flops(p),
    "Bytes": lambda p: units.scaled(round(p.traffic_bytes), "B"),
    "AI": lambda p: units.ratio(p.ai) if p.ai is not None else units.UNKNOWN if p.uncounted else "",
    "Class": lambda p: _SHORT_CLASS.get(p.roofline_class or "", ""),
    "FLOP/s ≤": lambda p: units.scaled(p.attainable_flop_s) if p.attainable_flop_s is not None else "",
    "Time": lambda p: duration(p.seconds),
    "Share": lambda p: units.percent(p.share_pct),
    "Bound by": lambda p: p.bound,
}
_HEADS: dict[By, str] = {"op": "Operation", "layer": "Place", "model": "Model"}
_LEFT = ("Kind", "Op", "Class", "Bound by")
_OPTIONAL = ("Kind", "Bytes", "FLOPs", "Class")  # left out in this order on a narrow terminal


def _flops(place: Place) -> str:
    """A lower bound, or unknown, where an operation has no formula."""
    if place.uncounted and not place.flops:
        return units.UNKNOWN
    return ("≥" if place.uncounted else "") + units.scaled(round(place.flops))


def machine_lines(machine: Machine) -> list[str]:
    """Peak, bandwidth and ridge of the machine."""
    vector = f" ({units.scaled(machine.vector_flop_s)}FLOP/s without matrix units)" if machine.vector_flop_s else ""
    cache = f", cache {units.scaled(machine.cache_bandwidth_bytes_s)}B/s" if machine.cache_bandwidth_bytes_s else ""
    lines = [
        f"{machine.title}, {machine.dtype}: peak {units.scaled(machine.matrix_flop_s)}FLOP/s{vector}",
        f"memory {units.scaled(machine.bandwidth_bytes_s)}B/s{cache}; "
        f"ridge {units.ratio(machine.ridge)} FLOP/byte: below it memory-bound, above it compute-bound",
    ]
    if machine.convolution_flop_s is not None:
        ridge = machine.convolution_flop_s / machine.bandwidth_bytes_s
        lines.append(f"convolutions run in tf32: peak {units.scaled(machine.convolution_flop_s)}FLOP/s, "
                     f"ridge {units.ratio(ridge)} FLOP/byte")  # fmt: skip
    return lines


def model_line(found: ModelTime) -> str:
    """One model's time and class in a sentence."""
    parts = ", ".join(f"{limit} {units.percent(found.shares_pct[limit])}" for limit in LIMITS)
    against = ""
    if found.total.ai is not None:
        against = f"; {found.total.roofline_class} (AI {units.ratio(found.total.ai)})"
    return f"{found.model}: {duration(found.seconds)} predicted, bound by {found.bound} ({parts}){against}"


def roofline_tables(data: Roofline, width: int, top: int | None = None) -> list[RenderableType]:
    """The machine, then for each model its time and its places, most time first."""
    found: list[RenderableType] = [Text(line) for line in machine_lines(data.machine)]
    if data.by == "model":
        return [*found, *_tables([p for m in data.models for p in m.places], None, width, data.by)]
    for model in data.models:
        found += [Text(""), Text(model_line(model), style="bold")]
        found += _tables(model.places[:top], model.total, width, data.by)
        if top is not None and top < len(model.places):
            found.append(Text(f"{top} of {len(model.places)} shown", style="dim"))
    return found


def _tables(places: Sequence[Place], total: Place | None, width: int, by: By) -> list[Table]:
    names, columns = _columns(places, total, by)
    longest = min(max(len(n) for n in names), _WIDEST)
    for left_out in range(len(_OPTIONAL) + 1):
        shown = [c for c in columns if c.head not in _OPTIONAL[:left_out]]
        room = width - 3 - sum(c.width for c in shown)
        if room >= min(longest, _NARROWEST):
            break
    return split_tables(names, shown, width, head=_HEADS[by], name_width=min(longest, max(room, 8)))


def _columns(places: Sequence[Place], total: Place | None, by: By) -> tuple[list[str], list[Column]]:
    """Names and every column, the total in the last row."""
    names = [_name(p, by) for p in places] + (["Total"] if total else [])
    columns = []
    for title, cell in _CELLS.items():
        if title == "Kind" and by == "model":  # a model is of no kind
            continue
        cells = [cell(p) for p in places] + (["" if title == "Kind" else cell(total)] if total else [])
        columns.append(Column(title, tuple(cells), "left" if title in _LEFT else "right"))
    return names, columns


def _name(place: Place, by: By) -> str:
    if by == "model":
        return place.model
    op = f" {place.op.replace('aten.', '')}" if by == "op" else ""
    return (place.module or "(model)") + op


def roofline_markdown(data: Roofline, top: int | None = None) -> str:
    """The same as GitHub tables with every column."""
    text = "".join(f"{line}\n" for line in machine_lines(data.machine))
    if data.by == "model":
        return text + "\n" + _markdown([p for m in data.models for p in m.places], None, data.by)
    for model in data.models:
        text += f"\n{model_line(model)}\n\n" + _markdown(model.places[:top], model.total, data.by)
    return text


def _markdown(places: Sequence[Place], total: Place | None, by: By) -> str:
    names, columns = _columns(places, total, by)
    cells = [[name, *(c.cells[i] for c in columns)] for i, name in enumerate(names)]
    return markdown_table([_HEADS[by], *(c.head for c in columns)], cells, text=_LEFT)


# -- files ----------------------------------------------------------------------------------------


def place_row(place: Place) -> Row:
    """One place in base units, unrounded."""
    row = asdict(place)
    return {**row, "ai": place.ai, "flop_s": place.flop_s}


def roofline_rows(data: Roofline, top: int | None = None) -> list[Row]:
    """Every place of every model, for CSV."""
    return [place_row(p) for m in data.models for p in m.places[:top]]


def model_rows(data: Roofline, top: int | None = None) -> list[Row]:
    """One entry a model with its ``places``, for JSON."""
    return [
        {
            "name": m.model, "batch_size": m.batch_size, "dtype": data.machine.dtype, "hardware": data.machine.name,
            "latency_ms": 1e3 * m.seconds, "limited_by": m.bound, "roofline_class": m.total.roofline_class,
            "ai": m.total.ai, "attainable_flop_s": m.total.attainable_flop_s,
            **{f"{limit}_pct": m.shares_pct[limit] for limit in LIMITS},
            "places": [place_row(p) for p in m.places[:top]],
        }
        for m in data.models
    ]  # fmt: skip


def machine_row(machine: Machine) -> Row:
    """The machine's roofs, for JSON."""
    return asdict(machine) | {"ridge_flop_per_byte": machine.ridge}
