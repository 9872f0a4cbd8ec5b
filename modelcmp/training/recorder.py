"""What a model's training leaves in its session: parameters, log lines, a row for each step and each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..tracking.exporters import exporter
from ..tracking.provenance import provenance
from ..tracking.session import Session
from .config import Config
from .config_file import as_data
from .names import folder_name

#: The tracks of a session: each step, each epoch's validation, and each epoch's figures together.
TRACKS = ("train", "val", "metrics")


class Recorder:
    """Writes a model's session; the processes that only help to train have none, and every call does nothing."""

    def __init__(self, session: Session | None) -> None:
        self._session = session

    @classmethod
    def open(cls, workspace: Path, label: str, spec: str, config: Config, settings: Mapping[str, Any]) -> Recorder:
        """Begin a model's session, or go on with it."""
        trackers = [exporter(t.name, **t.keywords) for t in config.trackers]
        session = Session(
            name=folder_name(label),
            workspace=workspace.name,
            readme=config.description or f"Training {label} on {config.data.name}",
            tags=[*dict.fromkeys(["comparison", label, config.data.name, *config.tags])],
            local_path=str(workspace.parent),
            exporters=trackers,
            resume=True,
        )
        session.open()
        data = as_data(config)
        session.params.set(
            architecture=spec, dataset=config.data.name, config={**data, "models": None}, settings=dict(settings),
            environment=provenance(),
        )  # fmt: skip
        return cls(session)

    def step(self, epoch: int, number: int, loss: float, accuracy: float, rate: float) -> None:
        """A step's row."""
        if self._session is not None:
            self._session.track("train").append(loss=loss, accuracy=accuracy, lr=rate, epoch=epoch, step=number)

    def epoch(self, row: Mapping[str, float], step: int) -> None:
        """An epoch's rows."""
        if self._session is not None:
            values = dict(row)
            self._session.track("val").append(
                loss=values["val_loss"], accuracy=values["val_accuracy"], epoch=values["epoch"], step=step
            )
            self._session.track("metrics").append(**values, step=step)

    def log(self, message: str, level: str = "info", facts: Mapping[str, Any] | None = None) -> None:
        """A line of the log."""
        if self._session is not None:
            self._session.log(message, level, **(facts or {}))

    def results(self, values: Mapping[str, Any]) -> None:
        """Figures that are known at the end, as parameters."""
        if self._session is not None:
            self._session.params.set(**values)

    def upload(self, path: Path, prefix: str, description: str) -> None:
        """Keep a copy of a file in the session."""
        if self._session is not None:
            self._session.files.upload(str(path), path=prefix, description=description)

    def saved(self) -> dict[str, int]:
        """Have everything on disk; how many rows each track has."""
        if self._session is None:
            return {}
        self._session.flush()
        return {name: self._session.track(name).count for name in TRACKS}

    def rewind(self, rows: Mapping[str, int]) -> None:
        """Drop what was recorded after a checkpoint."""
        if self._session is not None:
            for name in TRACKS:
                self._session.track(name).truncate(rows.get(name, 0))

    @property
    def problems(self) -> Sequence[str]:
        """What went wrong with trackers."""
        return tuple(self._session.problems) if self._session is not None else ()

    def close(self) -> None:
        """Finish the session."""
        if self._session is not None:
            self._session.close()
