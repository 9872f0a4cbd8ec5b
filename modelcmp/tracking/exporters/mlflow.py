"""MLflow: a SQLite file in the workspace by default, so that no server is needed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..layout import make_folder, read_object, write_object
from ..values import numbers
from .exporter import Run

_MOST_METRICS, _MOST_PARAMS = 1000, 100  # of one request, as MLflow limits them
_LONGEST_VALUE = 6000
_CHATTY = ("mlflow", "alembic")


class MLflow:
    """Writes ``<workspace>/mlflow.db`` and ``<workspace>/mlartifacts/``, or to the server of ``tracking_uri``.

    The experiment is the workspace; metrics are ``<track>/<column>``. A parameter that changes is kept as a tag,
    since MLflow's parameters cannot.
    """

    name = "mlflow"
    packages = ("mlflow",)

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        self._uri, self._experiment = tracking_uri, experiment
        self._client: Any = None
        self._run_id = ""
        self._metrics: list[Any] = []
        self._params: dict[str, str] = {}
        self._lines: list[str] = []

    def open(self, run: Run) -> None:
        """Begin a run; on resume go on with the one whose id the folder keeps."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before its first import
        with _quiet():
            from mlflow.tracking import MlflowClient

            workspace = run.folder.parent
            uri = self._uri or f"sqlite:///{workspace / 'mlflow.db'}"
            self._client = MlflowClient(tracking_uri=uri)
            self._metrics, self._params, self._lines = [], {}, []
            kept = read_object(run.folder / "mlflow" / "run.json")[0] or {}
            if run.resume and kept.get("tracking_uri") == uri:
                self._continue(str(kept.get("run_id")))
            else:
                self._begin(run, uri, workspace)

    def _continue(self, run_id: str) -> None:
        self._params = dict(self._client.get_run(run_id).data.params)
        self._client.set_terminated(run_id, "RUNNING")
        self._run_id = run_id

    def _begin(self, run: Run, uri: str, workspace: Path) -> None:
        name = self._experiment or run.workspace
        experiment = self._client.get_experiment_by_name(name)
        # Without a place MLflow puts files into the working directory.
        place = (workspace / "mlartifacts").as_uri() if self._uri is None else None
        key = experiment.experiment_id if experiment else self._client.create_experiment(name, artifact_location=place)
        tags = {"mlflow.note.content": run.readme} | {f"tag.{tag}": "true" for tag in run.tags}
        self._run_id = self._client.create_run(key, run_name=run.name, tags=tags).info.run_id
        make_folder(run.folder / "mlflow")
        write_object(run.folder / "mlflow" / "run.json", {"tracking_uri": uri, "run_id": self._run_id})

    def params(self, values: Mapping[str, Any]) -> None:
        """Add parameters; values are cut to what MLflow holds."""
        from mlflow.entities import Param

        texts = {key: str(value)[:_LONGEST_VALUE] for key, value in values.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in self._params]
        for i in range(0, len(new), _MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[i : i + _MOST_PARAMS])
        for key, text in texts.items():
            if self._params.setdefault(key, text) != text:
                self._client.set_tag(self._run_id, f"param.{key}", text)

    def row(self, track: str, row: Mapping[str, Any], step: int) -> None:
        """Buffer the numbers of a row: one request holds many."""
        from mlflow.entities import Metric

        at_ms = round(1000 * row.get("_ts", 0))
        self._metrics += [Metric(f"{track}/{key}", value, at_ms, step) for key, value in numbers(row)]

    def log(self, level: str, message: str) -> None:
        """Keep a line for ``log.txt``, which is written at the end."""
        self._lines.append(f"{level}: {message}")

    def file(self, path: Path, prefix: str) -> None:
        """Copy a file to the artifacts."""
        self._client.log_artifact(self._run_id, str(path), prefix.strip("/") or None)

    def rewind(self, track: str, step: int) -> None:
        """Nothing: metrics can't be deleted. A row that comes again is a second value of its step."""

    def flush(self) -> None:
        """Send what is buffered."""
        while self._metrics:
            self._client.log_batch(self._run_id, metrics=self._metrics[:_MOST_METRICS])
            del self._metrics[:_MOST_METRICS]

    def close(self, failed: bool = False) -> None:
        """Send what is left and end the run."""
        if self._client is None:
            return
        self.flush()
        if self._lines:
            self._client.log_text(self._run_id, "\n".join(self._lines) + "\n", "log.txt")
        self._client.set_terminated(self._run_id, "FAILED" if failed else "FINISHED")
        self._client = None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without its messages about making tables."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        import mlflow  # noqa: F401  (sets its logger's level when it is imported)

        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
