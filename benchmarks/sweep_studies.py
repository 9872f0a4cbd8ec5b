"""The searches that are measured: their config, and a storage with as many recorded trials as wanted.

python benchmarks/sweep_studies.py FOLDER 10000
"""

from __future__ import annotations

import random
import sqlite3
import sys
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

EPOCHS = 5

#: Log range, choices and a conditional: what a search has to draw and to write for each trial.
TEXT = """
models: [cnn, mlp]
data: {{name: digits, kwargs: {{size: 8}}}}
epochs: {epochs}
threads: 1
name: measured
method: {method}
objective: val_loss
{amount}
space:
  lr: {lr}
  batch_size: [256, 512, 1024]
  optimizer.name: [adam, sgd]
  optimizer.momentum: {{values: [0.0, 0.9], when: {{optimizer.name: sgd}}}}
"""


def config(method: str, trials: int, epochs: int = EPOCHS) -> Any:
    """The config of a search; a grid has at least as many points."""
    from modelcmp.sweeps.config import read_sweep
    from modelcmp.training.yaml_text import parse

    points = -(-trials // 9)  # batch sizes times optimizers, one of them with two momenta
    lr = f"{{min: 1.0e-4, max: 0.1, log: true{f', points: {max(2, points)}' if method == 'grid' else ''}}}"
    amount = "" if method == "grid" else f"trials: {trials}"
    return read_sweep(parse(TEXT.format(method=method, lr=lr, amount=amount, epochs=epochs), "benchmark"))


def opened(chosen: Any, label: str, folder: Path) -> Any:
    """The study of one architecture in a folder, as a search opens it."""
    from modelcmp.sweeps.search import identity
    from modelcmp.sweeps.storage import open_storage, storage_url
    from modelcmp.sweeps.study import open_study

    storage = open_storage(storage_url(None, folder), create=True)
    budget = {"unit": chosen.budget.unit, "amount": chosen.budget.amount}
    return open_study(storage, f"{chosen.name}/{label}", chosen.objectives, identity(chosen, label), budget)


def facts(name: str) -> dict[str, Any]:
    """What is noted of a trial beside its values."""
    return {
        "message": "", "epochs": EPOCHS, "steps": 50, "train_seconds": 1.234, "flops": 123_456_789,
        "folder": f"runs/{name}",
    }  # fmt: skip


def fill(folder: Path, trials: int) -> None:
    """Record a search with this many trials, by the search's own code for the first and by SQL for the others."""
    from modelcmp.sweeps.folder import keep_config
    from modelcmp.sweeps.methods import sampler_of

    chosen = config("tpe", trials)
    folder.mkdir(parents=True, exist_ok=True)
    keep_config(folder, chosen)
    labels = chosen.base.labels
    for label in labels:
        study = opened(chosen, label, folder)
        asked = study.ask(chosen.spaces[label], sampler_of(chosen.method, 0))
        for epoch in range(1, EPOCHS + 1):
            asked.trial.report(1 / epoch, epoch)
        study.tell(asked.number, "finished", [0.5], facts(f"{label}-0000"))
    with closing(sqlite3.connect(folder / "study.db")) as connection, connection:
        templates = connection.execute("SELECT trial_id, study_id FROM trials ORDER BY trial_id").fetchall()
        for (template, study_id), label in zip(templates, labels, strict=True):
            _copy(connection, template, study_id, label, trials // len(labels))


def _copy(connection: sqlite3.Connection, template: int, study_id: int, label: str, count: int) -> None:
    """Trials like the first of a study: their numbers, times, folders, rates and figures are others."""
    first = connection.execute("SELECT max(trial_id) FROM trials").fetchone()[0] + 1
    began, deal = datetime(2026, 1, 1), random.Random(0)
    ids = range(first, first + count - 1)
    times = [(str(began + timedelta(seconds=2 * n)), str(began + timedelta(seconds=2 * n + 1))) for n in range(count)]
    connection.executemany(
        "INSERT INTO trials (trial_id, number, study_id, state, datetime_start, datetime_complete) "
        "VALUES (?, ?, ?, 'COMPLETE', ?, ?)",
        ((i, n, study_id, *times[n]) for n, i in enumerate(ids, 1)),
    )
    figure = {"param_value": lambda v: 10 ** deal.uniform(-4, -1), "value": lambda v: deal.random(),
              "intermediate_value": lambda v: deal.random()}  # fmt: skip
    for table in ("trial_user_attributes", "trial_system_attributes", "trial_params", "trial_values",
                  "trial_intermediate_values"):  # fmt: skip
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")][1:]
        names = ", ".join(f'"{c}"' for c in columns)
        rows = connection.execute(f"SELECT {names} FROM {table} WHERE trial_id = ?", (template,)).fetchall()
        made = []
        for n, i in enumerate(ids, 1):
            for row in rows:
                values = dict(zip(columns, row, strict=True)) | {"trial_id": i}
                for column in figure.keys() & values.keys():
                    if values.get("param_name", "lr") in ("lr", "optimizer.lr"):
                        values[column] = figure[column](values[column])
                if isinstance(values.get("value_json"), str):
                    values["value_json"] = values["value_json"].replace(f"{label}-0000", f"{label}-{n:04}")
                made.append(tuple(values.values()))
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})", made)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
