"""A search as JSON and CSV: base units, unrounded, one row a trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..environment import environment
from ..files import write_whole
from ..sweeps.best import best, front, spent, unfair
from ..sweeps.records import Sweep, Trial
from ..sweeps.storage import shown
from .export import SCHEMA, csv_text, json_text, plain

CSV_NAME = "sweep_summary.csv"
JSON_NAME = "sweep_summary.json"
_CONVENTIONS = {
    "objectives": "of the validation split at the selected epoch; the test split is not opened by a search",
    "flops": "of the steps that were trained, forward and backward",
    "train_seconds": "in steps, without validation and saving",
}


def trial_row(sweep: Sweep, trial: Trial) -> dict[str, Any]:
    """One trial as a flat row: parameters under ``param.``, intermediate figures left out."""
    values = trial.values or (None,) * len(sweep.objectives)
    objectives = {o.key: v for o, v in zip(sweep.objectives, values, strict=False)}
    return {
        "name": trial.name, "model": trial.model, "number": trial.number, "state": trial.state, **objectives,
        **{f"param.{k}": v if isinstance(v, str | int | float | None) else str(v) for k, v in trial.params.items()},
        "epochs": trial.epochs, "steps": trial.steps, "train_seconds": trial.train_seconds, "flops": trial.flops,
        "started": trial.started.isoformat() if trial.started else None,
        "ended": trial.ended.isoformat() if trial.ended else None, "folder": trial.folder, "message": trial.message,
    }  # fmt: skip


def sweep_csv(sweep: Sweep, trials: Sequence[Trial]) -> str:
    """One line a trial; parameters that only some trials have stand beside the others."""
    keys = dict.fromkeys(f"param.{k}" for t in trials for k in t.params)
    rows = [trial_row(sweep, t) for t in trials]
    before = ("name", "model", "number", "state", *(o.key for o in sweep.objectives))
    order = [*before, *keys]
    return csv_text({**{k: row.get(k) for k in order}, **row} for row in rows)


def sweep_json(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any]:
    """The JSON document: the best of each architecture, what its tuning took, and the trials."""
    several = len(sweep.objectives) > 1
    found: dict[str, Any] = plain({
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "conventions": _CONVENTIONS,
        "name": sweep.name,
        "method": sweep.method,
        "storage": shown(sweep.storage),
        "objectives": [{"key": o.key, "better": o.better} for o in sweep.objectives],
        "budget": {"unit": sweep.budget_unit, "amount": dict(sweep.budget)},
        "models": [_model(sweep, m, several) for m in sweep.models],
        "unequal": unfair(sweep),
        "trials": [trial_row(sweep, t) for t in trials],
    })  # fmt: skip
    return found


def _model(sweep: Sweep, model: str, several: bool) -> dict[str, Any]:
    took = spent(sweep.of(model))
    top = best(sweep.of(model), sweep.objectives)
    return {
        "name": model, "trials": took.trials, "states": dict(took.states), "steps": took.steps,
        "minutes": took.minutes, "flops": took.flops,
        "best": None if top is None else {"trial": top.name, "params": dict(top.params), "values": top.values},
        **({"front": [t.name for t in front(sweep.of(model), sweep.objectives)]} if several else {}),
    }  # fmt: skip


def write_sweep(sweep: Sweep, folder: Path) -> list[Path]:
    """Write both files into the sweep's folder, each whole or not at all; raises OutputError."""
    texts = {CSV_NAME: sweep_csv(sweep, sweep.trials), JSON_NAME: json_text(sweep_json(sweep, sweep.trials))}
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]
