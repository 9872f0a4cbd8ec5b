"""Comparisons and layer tables as JSON, CSV and Markdown: base units, unrounded, conventions stamped."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..comparison import Comparison
from ..environment import environment
from ..metrics import METRICS, Metric
from ..records import Machine, ModelFailure, ModelProfile
from ..reductions import COMPUTE_BOUND_ABOVE, MEMORY_BOUND_BELOW
from ..tabular import Row, flat, profile_row
from ..units import scaled

SCHEMA = 1

CONVENTION_TEXT = {
    "total": "FLOPs = 2·MACs + every other op at its documented cost",
    "contraction": "FLOPs = 2·MACs of contractions only",
    "fvcore": "fvcore's flops: MACs plus its normalisation and pooling handlers",
}


def machine_of(profiles: Sequence[ModelProfile]) -> Machine | None:
    """The machine that profiles were placed on."""
    return next((p.machine for p in profiles), None)


def conventions(convention: str, machine: Machine | None = None) -> dict[str, Any]:
    """What the figures mean."""
    ridge = machine.ridge_flop_per_byte if machine else None
    return {
        "flops": convention,
        "flops_meaning": CONVENTION_TEXT[convention],
        "traffic": "eager: each kernel reads each distinct input once and writes each output once; views are free",
        "ai": "sum of FLOPs over sum of eager traffic bytes",
        "memory_bound_below_flop_per_byte": ridge or MEMORY_BOUND_BELOW,
        "compute_bound_above_flop_per_byte": ridge or COMPUTE_BOUND_ABOVE,
        "units": "elements, FLOPs and bytes in base units, shares in percent",
        **({"machine": asdict(machine) | {"ridge_flop_per_byte": ridge}} if machine else {}),
    }


def document(
    convention: str, models: list[Row], errors: Sequence[ModelFailure] = (), machine: Machine | None = None
) -> dict[str, Any]:
    """The JSON document around rows."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "conventions": conventions(convention, machine),
        "models": models,
        "errors": [{"name": e.name, "error": e.kind, "message": e.message} for e in errors],
    }


def comparison_rows(comparison: Comparison, columns: Sequence[Metric] | None = None) -> list[Row]:
    """One row a model: all metrics, or the chosen ones beside the model's identity."""
    rows = []
    for profile in comparison.profiles:
        row = profile_row(profile)
        figures = {*METRICS, *(m.key for m in comparison.joined)}
        chosen = {m.key for m in columns} if columns else figures
        rows.append({k: v for k, v in row.items() if k not in figures or k in chosen} | {"notes": list(profile.notes)})
    return rows


def json_text(payload: Any) -> str:
    """JSON as people read it."""
    return json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(rows: Iterable[Row], errors: Sequence[ModelFailure] = ()) -> str:
    """CSV with a header; failed models are rows with the column ``error`` filled."""
    plain = [flat({k: v for k, v in row.items() if k != "notes"}) for row in rows]
    if errors:
        plain = [row | {"error": ""} for row in plain]
        plain += [{"name": e.name, "error": e.message} for e in errors]
    fields = list(dict.fromkeys(key for row in plain for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return out.getvalue()


def markdown_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, text: Sequence[str] = (), markup: bool = False
) -> str:
    """A GitHub table; the first ``left`` columns and those headed ``text`` are text, the others figures.

    Cells are shown as they are; ``markup`` leaves them the marks of Markdown (code spans, emphasis).
    """
    rule = ["---" if i < left or head in text else "---:" for i, head in enumerate(heads)]
    written = _marked_up if markup else _cell
    lines = [[written(c) for c in heads], rule, *([written(c) for c in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _marked_up(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _cell(text: str) -> str:
    return markdown_text(text).replace("|", "\\|")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> print(markdown_text("*a* val_loss _b_ `c`"))
    \\*a\\* val_loss \\_b\\_ \\`c\\`
    """
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("\\", "\\\\").replace("<", "&lt;")
    text = re.sub(r"[*`~]", r"\\\g<0>", text).replace("](", "]\\(").replace("\n", " ")
    return re.sub(r"_+", _underscores, text)


def _underscores(found: re.Match[str]) -> str:
    """Within a word they are no emphasis."""
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    return found[0] if before.isalnum() and after.isalnum() else found[0].replace("_", "\\_")


def comparison_markdown(comparison: Comparison, columns: Sequence[Metric], summary: Sequence[str] = ()) -> str:
    """The comparison as a GitHub table with its conventions below."""
    rows = [[_marked(p), *(m.text(p.values[m.key], p.partial) for m in columns)] for p in comparison.profiles]
    rows += [[f.name, "failed", *[""] * (len(columns) - 1)] for f in comparison.failures]
    words = [m.short for m in columns if m.unit == "text"]
    table = markdown_table(["Model", *(m.short for m in columns)], rows, text=words)
    lines = [*summary, *settings_lines(comparison.profiles), *(_cell(f.message) for f in comparison.failures)]
    return table + "".join(f"\n{line}\n" for line in lines)


def _marked(profile: ModelProfile) -> str:
    return f"◆ {profile.name}" if profile.values.get("pareto") else profile.name


def settings_lines(profiles: Sequence[ModelProfile]) -> list[str]:
    """What the figures hold for: batch, dtype, mode, convention; input sizes; what was not counted."""
    if not profiles:
        return []
    first = profiles[0]
    batches = sorted({p.batch_size for p in profiles})
    batch = f"{batches[0]}" if len(batches) == 1 else f"{batches[0]} to {batches[-1]}"
    lines = [
        f"batch {batch}, {first.dtype}, {first.mode} mode; convention {first.convention}: "
        f"{CONVENTION_TEXT[first.convention]}; traffic eager, AI in FLOP/byte."
    ]
    return lines + machine_lines(profiles) + uncounted_lines(profiles)


def machine_lines(profiles: Sequence[ModelProfile]) -> list[str]:
    """The machine that latency was predicted for: its roofs and ridge, and the level of the prediction."""
    on = machine_of(profiles)
    if on is None:
        return []
    return [
        f"{on.title} ({on.name}), {on.dtype}: peak {scaled(on.peak_flops, 'FLOP/s')}, "
        f"{scaled(on.bandwidth_bytes_s, 'B/s')}, {on.memory_bytes / 2**30:.3g} GiB; ridge point "
        f"{on.ridge_flop_per_byte:.3g} FLOP/byte{_convolutions(on)}. Latency for the whole batch, "
        f"{'compiled' if on.compiled else 'eager'}, predicted at the level: {on.level}."
    ]


def _convolutions(on: Machine) -> str:
    if on.convolution_flops is None:
        return ""
    ridge = on.convolution_flops / on.bandwidth_bytes_s
    return f" (convolutions in tf32: {scaled(on.convolution_flops, 'FLOP/s')}, ridge {ridge:.3g})"


def uncounted_lines(profiles: Sequence[ModelProfile]) -> list[str]:
    """One line for each model whose totals are lower bounds."""
    return [
        f"{p.name}: at least; no formula for " + ", ".join(f"{op} (x{n})" for op, n in p.uncounted.items())
        for p in profiles
        if p.uncounted
    ]


def plain(value: Any) -> Any:
    """Data that JSON holds: what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
