"""The summary of trained models as JSON and CSV: base units, unrounded, conventions stamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..environment import environment
from ..files import write_whole
from ..training.fairness import FairnessRow, fairness, unequal
from ..training.results import RunResult
from ..training.summary import Row, chosen_key, rank_runs, run_medals, run_places, summary_rows, unique_names
from .export import SCHEMA, csv_text, json_text, plain

CSV_NAME = "model_comparison_summary.csv"
JSON_NAME = "model_comparison_summary.json"
CONVENTIONS = {
    "shares": "accuracy, top5, precision, recall, f1, auc, average_precision and calibration_error from 0 to 1",
    "loss": "mean cross-entropy in nats",
    "averages": "of the positive class where a task has one, else the mean over the classes that the split holds",
    "intervals": "percentile bootstrap over the examples of a split; they leave out the spread between seeds",
    "flops_per_epoch": "forward and backward over the training split",
    "latency_ms": "median of one forward pass at batch 1",
}
_CURVES = ("roc", "pr")  # large; they stay in each run's result.json


def summary_json(
    results: Sequence[RunResult], by: str | None = "val_accuracy", top: int | None = None
) -> dict[str, Any]:
    """The JSON document: the ranking, what was equal, and every run without its curves; ``top``: the first ones.

    Raises UnknownName.
    """
    entry = chosen_key(results, by)
    by, everyone = entry.key, rank_runs(results, by)
    places, prizes = run_places(everyone, by)[:top], run_medals(everyone, by)
    ordered = everyone[:top]
    names = unique_names(everyone)[:top]
    ranking = [
        {"place": place, "name": name, "value": entry.value(r), "medal": prizes.get(i), "status": r.status}
        for i, (place, name, r) in enumerate(zip(places, names, ordered, strict=True))
    ]
    found: dict[str, Any] = plain({
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "conventions": CONVENTIONS,
        "selected_by": ", ".join(sorted({r.selected_by for r in ordered})),
        "ranked_by": entry.key,
        "ranking": ranking,
        "fairness": [_fairness_row(row) for row in fairness(ordered)],
        "unequal": list(unequal(ordered)),
        "runs": [_run(row, r) for row, r in zip(summary_rows(everyone, by)[:top], ordered, strict=True)],
    })  # fmt: skip
    return found


def summary_csv(results: Sequence[RunResult], by: str | None = "val_accuracy", top: int | None = None) -> str:
    """One line a run, best first, under the keys of the JSON's runs; ``top``: the first ones. Raises UnknownName."""
    return csv_text(summary_rows(results, by)[:top])


def write_summary(results: Sequence[RunResult], folder: Path, by: str | None = "val_accuracy") -> list[Path]:
    """Write both files into a folder, each whole or not at all; raises OutputError or UnknownName."""
    texts = {CSV_NAME: summary_csv(results, by), JSON_NAME: json_text(summary_json(results, by))}
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]


def _run(row: Row, result: RunResult) -> Row:
    """A row of figures, and what the run's own file holds beside them."""
    rest = {k: v for k, v in asdict(result).items() if k not in row}
    return row | rest | {"val": _without_curves(result.val), "test": _without_curves(result.test)}


def _without_curves(evaluated: Mapping[str, Any] | None) -> Row | None:
    return None if evaluated is None else {k: v for k, v in evaluated.items() if k not in _CURVES}


def _fairness_row(row: FairnessRow) -> Row:
    values = dict(zip(row.names, row.values, strict=True))
    return {"key": row.key, "label": row.label, "equal": row.equal, "by_nature": row.by_nature, "values": values}
