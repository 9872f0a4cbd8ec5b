"""One training of one architecture in a workspace of its own: a trial of a search, or a seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..training.batches import batch_count
from ..training.config import Config
from ..training.data.base import DataSet
from ..training.names import CONFIG
from ..training.one import test_one, train_one
from ..training.plan import Plan, make_plan, open_data
from ..training.progress import Listener, Silent
from ..training.results import RunResult
from ..training.run import finished
from ..training.runtime import configured
from ..training.stopping import Interrupted, Pruned, StopSign
from ..training.workspace import Workspace, begin, check_unchanged


class Reports(Protocol):
    """Who hears the figures of each epoch, and may give a run up."""

    key: str  # of the history: "val_loss"

    def report(self, epoch: int, value: float) -> bool:
        """Note a figure; whether others did so much better that the run is given up."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A training that can be done in any process; its config names one architecture."""

    name: str  # "cnn-0003"
    folder: Path
    config: Config
    test: bool = False  # whether the test split is opened at its end
    reports: Reports | None = None
    stop_file: Path | None = None  # by which a run in another process is asked to stop

    @property
    def label(self) -> str:
        """What the architecture is called."""
        return self.config.labels[0]

    @property
    def run(self) -> Path:
        """Where its result lies."""
        return Workspace(self.folder).run(self.label)


def run_unit(unit: Unit, listener: Listener, sign: StopSign) -> RunResult:
    """Train until there is nothing left to do, from its checkpoint if it was begun; what it reached is kept.

    Raises Interrupted after a signal, with all saved; BadInput for what cannot be trained; OutputError.
    """
    workspace = Workspace(unit.folder)
    with configured(unit.config):
        plan = make_plan(unit.config, data=data_of(unit.config))
        entrant = plan.entrants[0]
        with workspace.locked():
            _enter(workspace, unit, plan)
            heard = listener if unit.reports is None else _Pruning(listener, unit.reports)
            result = finished(workspace, unit.label, listener) or train_one(plan, entrant, workspace, heard, sign)
            if unit.test and result.status == "finished" and result.test is None:
                result = test_one(plan, entrant, workspace, result)
        return result


def run_in_job(unit: Unit) -> str:
    """The same in a process of an engine; the status that its result has."""
    try:
        return run_unit(unit, Silent(), StopSign(unit.stop_file)).status
    except Interrupted:
        return "stopped"


def training_flops(result: RunResult) -> int | None:
    """FLOPs of the steps that were trained, forward and backward; None where they are not known."""
    examples, size = result.settings.get("train_examples"), result.settings.get("batch_size")
    if result.flops_per_epoch is None or not isinstance(examples, int) or not isinstance(size, int):
        return None
    return round(result.flops_per_epoch * result.steps / batch_count(examples, size))


def _enter(workspace: Workspace, unit: Unit, plan: Plan) -> None:
    """Begin a workspace, or go on with one if it is of the same config and data; raises BadInput."""
    if (workspace.path / CONFIG).is_file():
        check_unchanged(workspace, workspace.config(), plan.data.digests)
    else:
        begin(workspace, unit.config, plan.data.digests, tests=unit.test)


#: The data of the last unit of this process: the next one mostly has the same.
_kept: tuple[str, DataSet] | None = None


def data_of(config: Config) -> DataSet:
    """The data set of a config; the last one is kept. Raises ModelcmpError."""
    global _kept
    key = json.dumps(config.data.model_dump(mode="json"), sort_keys=True)
    if _kept is None or _kept[0] != key:
        _kept = None  # both at once may be too much
        _kept = key, open_data(config)
    return _kept[1]


def data_words(config: Config) -> str:
    """Which data these are, where their name does not say it; "" where it does. Raises ModelcmpError."""
    data = data_of(config)
    return f"data {data.name}: {'; '.join(data.notes)}" if data.notes else ""


class _Pruning:
    """Hands all on, and reports each epoch's figure."""

    def __init__(self, listener: Listener, reports: Reports) -> None:
        self._listener, self._reports = listener, reports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None:
        """Report; raises Pruned."""
        self._listener.ended_epoch(name, row, epochs)
        epoch, value = int(row["epoch"]), row[self._reports.key]
        if self._reports.report(epoch, value) and epoch < epochs:
            raise Pruned(f"given up after epoch {epoch} of {epochs} at {self._reports.key} {value:.4g}")
