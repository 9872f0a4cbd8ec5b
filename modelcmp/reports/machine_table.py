"""Machines as terminal tables, JSON, CSV and Markdown rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .. import __version__, units
from ..errors import UnknownName
from ..hardware.device import DTYPES, Device
from ..registry import suggest
from ..tabular import Row
from .export import SCHEMA, markdown_table

NONE = "-"
#: What the table's peaks mean when no type is asked for: the faster of the two.
HALF = ("fp16", "bf16")
PEAKS = "Dense peaks in FLOP/s, for matrix products; ridge: FLOP/byte from which arithmetic is the limit."


def check_dtype(dtype: str | None) -> tuple[str, ...]:
    """The types whose peak the table shows; raises UnknownName."""
    if dtype is None:
        return HALF
    if dtype not in DTYPES:
        raise UnknownName("dtype", dtype, suggest(dtype, DTYPES, f"known: {', '.join(DTYPES)}"))
    return (dtype,)


def best_of(device: Device, dtypes: Sequence[str]) -> str | None:
    """The fastest of some types, None where the machine has none of them."""
    found = [dtype for dtype in dtypes if dtype in device.matrix_flops]
    return max(found, key=device.peak_flops, default=None)


# -- terminal -------------------------------------------------------------------------------------


def machine_tables(devices: Sequence[Device], dtypes: Sequence[str]) -> list[RenderableType]:
    """One row a machine; fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    heads = _heads(dtypes)
    table.add_column(heads[0], overflow="fold", min_width=13)
    table.add_column(heads[1])
    for head in heads[2:]:
        table.add_column(head.replace("/", "/\n"), justify="right", no_wrap=True)
    for device in devices:
        table.add_row(*(Text(cell) for cell in _cells(device, dtypes)))
    return [table, Text(PEAKS, style="dim")]


def _heads(dtypes: Sequence[str]) -> list[str]:
    peaks = ["/".join(dtypes), *(["fp32"] if dtypes != ("fp32",) else [])]
    return ["Machine", "Kind", *peaks, "Bandwidth", "Cache", "Memory", "Ridge"]


def _cells(device: Device, dtypes: Sequence[str]) -> list[str]:
    best = best_of(device, dtypes)
    peaks = [units.scaled(device.peak_flops(best)) if best else NONE]
    if dtypes != ("fp32",):
        peaks.append(units.scaled(device.peak_flops("fp32")))
    ridge = units.scaled(device.ridge_flop_per_byte(best)) if best else NONE
    kind = f"{device.kind}, measured" if device.measured else device.kind
    return [
        device.name, kind, *peaks, units.scaled(device.bandwidth_bytes_s, "B/s"),
        _binary(device.cache_bytes), _binary(device.memory_bytes), ridge,
    ]  # fmt: skip


def _binary(size: int) -> str:
    """A size in powers of 1024, as chips have it.

    >>> _binary(5632 * 1024), _binary(80 * 2**30), _binary(6144 * 2**30)
    ('5.5 MiB', '80 GiB', '6 TiB')
    """
    power = max(power for power in (2, 3, 4) if size >= 1024**power or power == 2)
    return f"{units.plain(round(size / 1024**power, 1))} {'KMGT'[power - 1]}iB"


def machine_details(device: Device) -> list[RenderableType]:
    """Everything about one machine, with its sources."""
    title = Text(device.name, style="bold").append(f"  {device.title}", style="not bold")
    peaks = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    peaks.add_column("Type")
    for head in ("Matrix FLOP/s", "Vector FLOP/s", "Ridge FLOP/byte"):
        peaks.add_column(head, justify="right", no_wrap=True)
    for dtype in device.dtypes:
        vector = device.vector_flops.get(dtype)
        ridge = units.scaled(device.ridge_flop_per_byte(dtype))
        matrix = units.scaled(device.matrix_flops[dtype])
        peaks.add_row(dtype, matrix, NONE if vector is None else units.scaled(vector), ridge)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for label, text in _facts(device):
        facts.add_row(label, Text(text))
    return [title, peaks, facts]


def _facts(device: Device) -> list[tuple[str, str]]:
    """Label and text of each line below the peaks."""
    cache = _binary(device.cache_bytes)
    if device.cache_bandwidth_bytes_s is not None:
        cache += f", {units.scaled(device.cache_bandwidth_bytes_s, 'B/s')}"
    host, kernel = (f"{units.plain(round(1e6 * s, 3))} µs" for s in (device.launch_s, device.kernel_s))
    facts = [
        ("kind", device.kind + (f", {device.year}" if device.year else "")),
        ("peaks", "measured" if device.measured else "of the data sheet, dense"),
        ("bandwidth", units.scaled(device.bandwidth_bytes_s, "B/s")),
        ("cache", f"{cache} (last level)"),
        ("memory", _binary(device.memory_bytes)),
        ("units", f"{device.units} {'cores' if device.kind == 'cpu' else 'multiprocessors'}"),
        ("launch", f"{host} on the host for one more operation, {kernel} for an empty one on the device"),
    ]
    facts += [("efficiency", f"{name} {units.plain(value)}") for name, value in device.efficiencies.items()]
    facts += [("made with", f"{name} {value}") for name, value in device.environment.items()]
    return facts + [("source", source) for source in device.sources]


# -- files ----------------------------------------------------------------------------------------


def machine_json(devices: Sequence[Device]) -> dict[str, Any]:
    """The JSON document: every field in base units, and each type's ridge point."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "conventions": {
            "matrix_flops": "dense peak for matrix products, FLOP/s; an FMA is two; fp16, bf16 and fp8 accumulate fp32",
            "vector_flops": "peak of the ordinary FMA units, FLOP/s",
            "ridge_flop_per_byte": "matrix_flops over bandwidth_bytes_s",
        },
        "machines": [_row(d) | {"ridge_flop_per_byte": _ridges(d)} for d in devices],
    }


def _row(device: Device) -> Row:
    return asdict(device) | {"sources": list(device.sources)}


def _ridges(device: Device) -> dict[str, float]:
    return {dtype: device.ridge_flop_per_byte(dtype) for dtype in device.dtypes}


def machine_csv_rows(devices: Sequence[Device], dtypes: Sequence[str]) -> list[Row]:
    """One row a machine, one column a type's peak, for ``export.csv_text``."""
    return [_csv_row(device, dtypes) for device in devices]


def _csv_row(device: Device, dtypes: Sequence[str]) -> Row:
    best = best_of(device, dtypes)
    row = _row(device) | {"sources": "; ".join(device.sources)}
    for table in ("matrix_flops", "vector_flops"):
        peaks = row.pop(table)
        row |= {f"{table}_{dtype}": peaks.get(dtype) for dtype in DTYPES}
    ridge = {"ridge_dtype": best, "ridge_flop_per_byte": device.ridge_flop_per_byte(best) if best else None}
    return row | ridge


def machine_markdown(devices: Sequence[Device], dtypes: Sequence[str]) -> str:
    """The table as GitHub Markdown."""
    return markdown_table(_heads(dtypes), [_cells(d, dtypes) for d in devices], left=2) + f"\n{PEAKS}\n"
