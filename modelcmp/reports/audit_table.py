"""Audits as terminal tables, JSON, CSV and Markdown rows.

Repeats are collapsed on the terminal: twelve encoder blocks that differ for the same reason are one
row with summed figures. Files keep every row.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .. import units
from ..profiling.audit import AuditRow, EngineTotal, ModelAudit
from ..records import ModelFailure
from ..tabular import Row
from .export import document, markdown_table

_MACS_MEANING = "contractions only; FlopCounterMode's FLOPs are halved, fvcore's flops are without its extra_flops"


@dataclass(frozen=True, slots=True)
class AuditGroup:
    """Rows that differ in the same op for the same reason, summed."""

    engine: str
    modules: str  # "encoder.layers.*.self_attention"
    times: int
    op: str
    ours_macs: int
    theirs_macs: int | None
    cause: str
    reason: str


def grouped(rows: Iterable[AuditRow]) -> list[AuditGroup]:
    """Collapse repeats: paths alike but for numbers, or any paths where only a convention differs."""
    groups: defaultdict[tuple[str, ...], list[AuditRow]] = defaultdict(list)
    for row in rows:
        place = "" if row.cause == "convention" else re.sub(r"\d+", "*", row.module)
        groups[row.engine, row.cause, row.reason, row.op, place].append(row)
    return [_group(members) for members in groups.values()]


def _group(rows: Sequence[AuditRow]) -> AuditGroup:
    first = rows[0]
    known = [r.theirs_macs for r in rows if r.theirs_macs is not None]
    return AuditGroup(
        first.engine, pattern([r.module for r in rows]), len(rows), first.op, sum(r.ours_macs for r in rows),
        sum(known) if known else None, first.cause, first.reason,
    )  # fmt: skip


def pattern(paths: Sequence[str]) -> str:
    """One text for several paths: the numbers that vary become ``*``; unlike paths are counted.

    >>> pattern(["h.0.attn1", "h.1.attn1"]), pattern(["bn1", "layer1.0.bn1"]), pattern([""])
    ('h.*.attn1', '2 modules', '(root)')
    """
    split = [re.split(r"(\d+)", path) for path in paths]
    shapes = {tuple(parts[::2]) for parts in split}
    if len(shapes) > 1:
        return f"{len(paths)} modules"
    merged = (part[0] if len(set(part)) == 1 else "*" for part in zip(*split, strict=True))
    return "".join(merged) or "(root)"


# -- terminal -------------------------------------------------------------------------------------


def audit_tables(audit: ModelAudit) -> list[RenderableType]:
    """The totals, one table of differences for each engine that has any, and notes; fits 80 columns."""
    shown: list[RenderableType] = [_totals_table(audit)]
    shown += (_verdict(total, grouped(audit.rows_of(total.engine))) for total in audit.totals[1:])
    return [*shown, *(Text(f"note: {note}", style="dim") for note in audit.notes)]


def _verdict(total: EngineTotal, groups: Sequence[AuditGroup]) -> RenderableType:
    if total.error is not None:
        return Text(f"{total.engine} failed: {total.error}", style="red", overflow="fold")
    if not groups:
        return Text(f"{total.engine} agrees everywhere.", style="green")
    return _difference_table(total.engine, groups)


def _totals_table(audit: ModelAudit) -> Table:
    shapes = ", ".join(units.shape(s) for s in audit.input_shape)
    title = Text(audit.name, style="bold").append(f"  {shapes}, {audit.dtype}, {audit.device}", style="not bold")
    table = _table(title)
    table.add_column("Engine", no_wrap=True)
    for head in ("Reports", "MACs", "to ours", "Norms etc.", "Seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    ours = audit.totals[0].macs
    for total in audit.totals:
        table.add_row(*(Text(cell) for cell in _total_cells(total, ours)))
    return table


def _total_cells(total: EngineTotal, ours: int | None) -> list[str]:
    relative = f"x{units.ratio(total.macs / ours)}" if total.macs is not None and ours else units.UNKNOWN
    reports = "failed" if total.reported is None else f"{units.scaled(total.reported)} {total.unit}"
    return [
        total.engine, reports, units.scaled(total.macs), relative,
        units.scaled(total.extra_flops), units.ratio(total.seconds),
    ]  # fmt: skip


def _difference_table(engine: str, groups: Sequence[AuditGroup]) -> Table:
    table = _table(Text(f"{engine} differs", style="bold"))
    table.add_column("Module", overflow="fold", min_width=14)
    table.add_column("Op", overflow="fold", min_width=12)
    table.add_column("Ours", justify="right", no_wrap=True)
    table.add_column("Theirs", justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold", min_width=18)
    for group in groups:
        table.add_row(*(Text(cell) for cell in _group_cells(group)))
    return table


def _group_cells(group: AuditGroup) -> list[str]:
    counted = group.times > 1 and "*" in group.modules
    module = f"{group.modules} ×{group.times}" if counted else group.modules
    theirs = "failed" if group.theirs_macs is None else units.scaled(group.theirs_macs)
    return [module, group.op, units.scaled(group.ours_macs), theirs, group.reason]


def _table(title: Text) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)


# -- files ----------------------------------------------------------------------------------------


def audit_json(audits: Sequence[ModelAudit], errors: Sequence[ModelFailure] = ()) -> dict[str, Any]:
    """The JSON document: every model with its totals and every single difference, unrounded."""
    made = document("contraction", [_model_row(a) for a in audits], errors)
    made["environment"]["fvcore"] = version("fvcore")
    made["conventions"]["macs"] = _MACS_MEANING
    return made


def _model_row(audit: ModelAudit) -> Row:
    row = asdict(audit)
    shapes = [list(s) for s in audit.input_shape]
    row["input_shape"] = shapes[0] if len(shapes) == 1 else shapes
    return row | {"mode": "eval"}


def audit_csv_rows(audits: Iterable[ModelAudit]) -> list[Row]:
    """One row an engine with ``cause`` "total", then one a difference, for ``export.csv_text``."""
    rows: list[Row] = []
    for audit in audits:
        ours = audit.totals[0].macs
        for total in audit.totals:
            place = {"name": audit.name, "engine": total.engine, "module": "", "module_type": "", "op": ""}
            figures = {"ours_macs": ours, "theirs_macs": total.macs}
            rows.append(place | figures | {"cause": "total", "reason": total.error or ""})
        rows += ({"name": audit.name} | asdict(row) for row in audit.rows)
    return rows


def audit_markdown(audits: Iterable[ModelAudit]) -> str:
    """For each model the totals and the collapsed differences as GitHub tables."""
    return "\n".join(_markdown(audit) for audit in audits)


def _markdown(audit: ModelAudit) -> str:
    heads = ["Engine", "Reports", "MACs", "to ours", "Norms etc.", "Seconds"]
    totals = [[f"{audit.name}: {c[0]}", *c[1:]] for c in (_total_cells(t, audit.totals[0].macs) for t in audit.totals)]
    text = markdown_table(heads, totals)
    cells = [(group.engine, *_group_cells(group)) for group in grouped(audit.rows)]
    rows = [[engine, module, op, why, ours, theirs] for engine, module, op, ours, theirs, why in cells]
    if rows:
        text += "\n" + markdown_table(["Engine", "Module", "Op", "Why", "Ours", "Theirs"], rows, left=4)
    return text
