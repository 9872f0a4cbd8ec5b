"""Several models of a comparison at once, each in a process of an engine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines import ENGINES, Job, Options, Task
from ..files import write_whole
from .entrants import Entrant
from .one import train_one
from .plan import Plan, make_plan
from .progress import Listener, Silent
from .results import RunResult, load_result, save_result
from .runtime import configured
from .stopping import Interrupted, StopSign
from .workspace import Workspace

_NEWS = ".progress.json"
_NEWS_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Means:
    """How the models of a comparison are trained: one after the other, or side by side in an engine."""

    jobs: int = 1
    engine: str = "local"
    address: str | None = None

    @property
    def alone(self) -> bool:
        """Whether everything happens in this process."""
        return self.jobs == 1 and self.engine == "local"


def train_side_by_side(
    plan: Plan, left: Sequence[Entrant], workspace: Workspace, means: Means, listener: Listener, sign: StopSign
) -> Mapping[str, RunResult]:
    """Train models in the processes of an engine; raises Interrupted when a signal has stopped them."""
    if not left:
        return {}
    workspace.stop_file.unlink(missing_ok=True)  # of a run that was killed while it stopped
    sign.check("stopped before training")
    listener.phase("starting processes")
    positions = {label: i for i, label in enumerate(plan.config.labels)}
    jobs = [Job(e.label, {"workspace": str(workspace.path), "model": positions[e.label]}) for e in left]
    task = Task("modelcmp.training.side_by_side:train_in_job")
    options = Options(workers=means.jobs, batch_size=1, address=means.address)
    results = {}
    with ENGINES[means.engine](task, options) as engine, _hearing(workspace, [e.label for e in left], listener):
        engine.submit(jobs)
        for outcome in engine.results():
            entrant = next(e for e in left if e.label == outcome.job.name)
            result = _result(plan, entrant, workspace, outcome.error.message if outcome.error else None)
            results[entrant.label] = result
            listener.ended(result)
    if any(result.status == "stopped" for result in results.values()):
        sign.check("the models at hand were stopped after their step and saved")
    return results


def train_in_job(payload: Mapping[str, Any]) -> str:
    """Train one model of a workspace until it is done, or the stop file appears; the status that its result has."""
    workspace = Workspace(Path(payload["workspace"]))
    config = workspace.config()
    with configured(config):
        plan = make_plan(config, [payload["model"]])
        entrant = plan.entrants[0]
        news = _News(workspace.run(entrant.label) / _NEWS)
        try:
            return train_one(plan, entrant, workspace, news, StopSign(workspace.stop_file)).status
        except Interrupted:
            return "stopped"
        finally:
            news.forget()


def _result(plan: Plan, entrant: Entrant, workspace: Workspace, error: str | None) -> RunResult:
    """What a job has written, or that it could not."""
    folder = workspace.run(entrant.label)
    if error is None:
        return load_result(folder)
    result = RunResult(entrant.label, entrant.spec, "failed", error, entrant.params, entrant.trainable_params)
    folder.mkdir(exist_ok=True)
    save_result(result, folder)
    return result


class _News(Silent):
    """Writes where training stands into a file, for the process that shows it."""

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, 0.0

    def stepped(self, name: str, step: int, loss: float, accuracy: float, rate: float) -> None:
        """Now and then."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _NEWS_EVERY_S
            write_whole(self._path, json.dumps({"step": [step, loss, accuracy, rate]}))

    def ended_epoch(self, name: str, row: Mapping[str, float], epochs: int) -> None:
        """Each epoch."""
        write_whole(self._path, json.dumps({"epoch": [dict(row), epochs]}))
        self._next = time.monotonic() + _NEWS_EVERY_S

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


@contextmanager
def _hearing(workspace: Workspace, labels: Sequence[str], listener: Listener) -> Iterator[None]:
    """Tell a listener what the jobs write of themselves."""
    over = threading.Event()

    def hear() -> None:
        last: dict[str, Any] = {}
        while not over.wait(_NEWS_EVERY_S):
            for label in labels:
                _tell(label, _read(workspace.run(label) / _NEWS), last, listener)

    thread = threading.Thread(target=hear, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        news = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # not begun, over, or just being replaced
    return news if isinstance(news, dict) else None


def _tell(label: str, news: dict[str, Any] | None, last: dict[str, Any], listener: Listener) -> None:
    if news is None or news == last.get(label):
        return
    if label not in last:
        listener.started(label, 0)
    last[label] = news
    if "step" in news:
        listener.stepped(label, *news["step"])
    else:
        listener.ended_epoch(label, *news["epoch"])
