"""Tables of the documentation that derive from the code: metrics, formulas, coefficients, measures, the config."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ..metrics import METRICS
from .export import markdown_table
from .tables import SECTIONS

_BETTER = {"low": "lower", "high": "higher", None: "–"}


def metric_table() -> str:
    """Every metric: key, sort alias, direction, meaning, how to read it."""
    parts = []
    for section, title in SECTIONS.items():
        rows = [
            [f"`{m.key}`" + (f" (`{m.alias}`)" if m.alias else ""), _BETTER[m.better], m.meaning, m.reading]
            for m in METRICS.values()
            if m.section == section
        ]
        parts.append(
            f"### {title}\n\n"
            + markdown_table(["Key", "Better", "Meaning", "How to read it"], rows, left=4, markup=True)
        )
    return "\n".join(parts)


def formula_table() -> str:
    """Every formula: the ops that it serves, their kind, and what it counts."""
    from ..profiling.formulas.base import FORMULAS

    ops: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, formula in FORMULAS.items():
        ops[(formula.kind, _first_sentence(formula.function.__doc__))].append(name.removeprefix("aten."))
    rows = [[kind, ", ".join(f"`{n}`" for n in names), text] for (kind, text), names in ops.items()]
    return markdown_table(["Kind", "Operations", "Cost"], rows, left=3, markup=True)


def coefficient_table() -> str:
    """Every coefficient of the latency model: without fitting, as shipped for each kind of machine, its meaning."""
    from ..hardware.efficiency import COEFFICIENTS, DATASHEET, calibrated

    shipped = [fitted if (fitted := calibrated(kind)) != DATASHEET else {} for kind in ("gpu", "cpu")]
    rows = [
        [
            f"`{c.name}`",
            f"{c.datasheet:g}",
            *(f"{fitted[c.name]:g}" if fitted else "–" for fitted in shipped),
            f"{c.low:g} – {c.high:g}",
            c.meaning,
        ]
        for c in COEFFICIENTS.values()
    ]
    return markdown_table(
        ["Coefficient", "Data sheet", "GPUs", "CPUs", "Fitted within", "Meaning"], rows, left=1, markup=True
    )


def _first_sentence(doc: str | None) -> str:
    """The docstring's first paragraph on one line."""
    return " ".join((doc or "").strip().split("\n\n")[0].split())


def config_table() -> str:
    """The keys of a training config, from its schema."""
    from ..training.config import Config

    rows = [
        [f"`{name}`", _standard(field.is_required(), field.default), field.description or ""]
        for name, field in Config.model_fields.items()
    ]
    return markdown_table(["Key", "Default", "Meaning"], rows, left=3, markup=True)


def measure_table() -> str:
    """What a diff measures of each pair of tensors."""
    from ..diffing.measures import MEASURES

    return markdown_table(["Key", "Meaning"], [[f"`{m.key}`", m.meaning] for m in MEASURES], left=2, markup=True)


def _standard(required: bool, value: Any) -> str:
    """A key's default as YAML has it."""
    if required:
        return "must be given"
    if hasattr(value, "model_dump"):
        keys = value.model_dump(exclude_unset=True)
        value = keys["name"] if set(keys) == {"name"} else "{" + ", ".join(f"{k}: {v}" for k, v in keys.items()) + "}"
    if value is None or value in ("", []):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
