"""Records as rows with plain keys: what CSV, JSON, pandas and notebooks share. Base units, unrounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from .errors import UnknownName
from .metrics import METRICS
from .records import LayerRecord, ModelFailure, ModelProfile, OpRecord
from .reductions import classify
from .units import shape as shape_text

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]

#: Columns of the compact table.
COMPACT = ("params", "macs", "flops", "traffic_bytes", "ai", "bound")
#: The same with a machine named.
COMPACT_ON_MACHINE = ("params", "macs", "ai", "latency_ms", "throughput", "limited_by", "fits", "bound")


def profile_row(profile: ModelProfile) -> Row:
    """One model: what it is, then every metric under its key."""
    shapes = [list(s) for s in profile.input_shape]
    return {
        "name": profile.name,
        "source": profile.source,
        "input_shape": shapes[0] if len(shapes) == 1 else shapes,
        "batch_size": profile.batch_size,
        "dtype": profile.dtype,
        "mode": profile.mode,
        "convention": profile.convention,
        **_machine(profile),
        **profile.values,
        "uncounted": dict(profile.uncounted),
    }


def _machine(profile: ModelProfile) -> Row:
    """What predicted figures hold for."""
    on = profile.machine
    return {"hardware": on.name, "level": on.level, "compiled": on.compiled} if on else {}


def layer_row(layer: LayerRecord, total: LayerRecord) -> Row:
    """One layer, with its share of the model's MACs, FLOPs and traffic in percent."""
    return {
        "module": layer.module,
        "type": layer.module_type,
        "calls": layer.calls,
        "input_shapes": [list(s) for s in layer.input_shapes],
        "output_shapes": [list(s) for s in layer.output_shapes],
        **{key: getattr(layer, key) for key in _LAYER_FIGURES},
        **_shares(layer, total),
    }


_LAYER_FIGURES = (
    "params",
    "macs",
    "flops",
    "input_bytes",
    "output_bytes",
    "weight_bytes",
    "traffic_bytes",
    "ai",
    "bound",
)


def op_row(op: OpRecord, total: LayerRecord, convention: str = "total") -> Row:
    """One operation, with its share of the model's MACs, FLOPs and traffic in percent."""
    figures = {"macs": op.macs, "flops": op.cost(convention), "traffic_bytes": op.traffic_bytes}
    return {
        "module": op.module,
        "type": op.module_type,
        "call": op.call,
        "op": op.op,
        "kind": op.kind,
        "dtype": op.dtype,
        "input_shapes": [list(s) for s in op.input_shapes],
        "output_shapes": [list(s) for s in op.output_shapes],
        "macs": op.macs,
        "flops": op.cost(convention),
        "input_bytes": op.input_bytes,
        "output_bytes": op.output_bytes,
        "weight_bytes": op.weight_bytes,
        "traffic_bytes": op.traffic_bytes,
        "ai": op.ai(convention),
        "bound": classify(op.ai(convention)) if op.computes else None,
        **_shares_of(figures, total),
    }


def _shares(layer: LayerRecord, total: LayerRecord) -> Row:
    return _shares_of({"macs": layer.macs, "flops": layer.flops, "traffic_bytes": layer.traffic_bytes}, total)


def _shares_of(figures: dict[str, int | None], total: LayerRecord) -> Row:
    def share(key: str) -> float | None:
        part, whole = figures[key], getattr(total, key)
        return 100 * part / whole if part is not None and whole else None

    return {"macs_pct": share("macs"), "flops_pct": share("flops"), "traffic_pct": share("traffic_bytes")}


def profile_rows(profile: ModelProfile, what: str) -> list[Row]:
    """Rows of a profile's "metrics", "layers" or "ops"."""
    if what == "metrics":
        return [profile_row(profile)]
    total = whole(profile)
    if what == "layers":
        return [layer_row(layer, total) for layer in profile.layers]
    if what == "ops":
        return [op_row(op, total, profile.convention) for op in profile.ops]
    raise UnknownName("table", what, "use 'metrics', 'layers' or 'ops'")


def whole(profile: ModelProfile) -> LayerRecord:
    """The whole model as one row; MACs and FLOPs are what is known of them."""
    v = profile.values
    return LayerRecord(
        module="", module_type="total", calls=1, params=int(v["params"] or 0), input_shapes=profile.input_shape,
        output_shapes=(), macs=int(v["macs"] or 0), flops=int(v["flops"] or 0), input_bytes=int(v["input_bytes"] or 0),
        output_bytes=int(v["output_bytes"] or 0), weight_bytes=int(v["weight_bytes"] or 0),
        traffic_bytes=int(v["traffic_bytes"] or 0), ai=v["ai"] if isinstance(v["ai"], float) else None,
        bound=v["bound"] if isinstance(v["bound"], str) else None, ops=int(v["layers"] or 0),
    )  # fmt: skip


def flat(row: Row) -> Row:
    """A row whose lists and mappings are text, for CSV and frames."""
    return {key: _flat_value(value) for key, value in row.items()}


def _flat_value(value: Any) -> Any:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {v}" for k, v in value.items())
    if isinstance(value, list):
        shapes = value if value and isinstance(value[0], list) else [value] if value else []
        return " ".join(shape_text(tuple(s)) for s in shapes)
    return value


def frame(rows: Iterable[Row], columns: Sequence[str] = ()) -> pandas.DataFrame:
    """Rows as a pandas frame; with no rows an empty one of these columns."""
    import pandas

    found = [flat(row) for row in rows]
    return pandas.DataFrame(found) if found else pandas.DataFrame(columns=list(columns))


def notebook_table(profiles: Sequence[ModelProfile], failures: Sequence[ModelFailure]) -> str:
    """The compact table as HTML; names from outside are escaped."""
    heads = "".join(f"<th>{escape(METRICS[key].short)}</th>" for key in COMPACT)
    body = "".join(_notebook_row(p) for p in profiles)
    body += "".join(
        f"<tr><th>{escape(f.name)}</th><td colspan={len(COMPACT)}>{escape(f.message)}</td></tr>" for f in failures
    )
    first = profiles[0] if profiles else None
    note = f"batch {first.batch_size}, {first.dtype}, {first.mode}, convention {first.convention}" if first else ""
    return f"<table><caption>{escape(note)}</caption><tr><th>Model</th>{heads}</tr>{body}</table>"


def _notebook_row(profile: ModelProfile) -> str:
    cells = (METRICS[key].text(profile.values[key], profile.partial) for key in COMPACT)
    return f"<tr><th>{escape(profile.name)}</th>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"
