"""A search: which trials each architecture gets, and that each is recorded exactly once.

The storage is the record. A trial is begun there before it is trained and told when its result lies on the disk; one
that was begun and never told, because its coordinator was killed, is trained on and told by the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import BadInput, ModelcmpError
from ..training.config_file import as_data
from ..training.results import RunResult
from ..training.stopping import StopSign, watching_signals
from ..training.summary import RANK_KEYS
from ..training.workspace import Workspace, found_from_anywhere, near
from .best import best, spent
from .config import SweepConfig, trial_config
from .crew import Crew, Ended, Means, stop_file
from .folder import check_unused, keep_config, try_out
from .listing import list_sweep
from .methods import pruner_of, sampler_of
from .progress import Listener, Silent
from .records import Sweep, Trial, TrialState, params_text
from .space import Space
from .storage import open_storage, storage_url
from .study import Asked, Reporter, Study, open_study
from .units import Unit, data_of, data_words, training_flops

_ALONE = Means()
#: After so many failures in a row an architecture gets no more trials, where its budget would let it go on for ever.
_MOST_FAILURES = 10
#: Settings of the training that are no part of a study's identity: each trial has its own, or they decide nothing.
_NO_IDENTITY = ("models", "workspace", "tags", "trackers", "description", "workers", "checkpoint_interval",
                "dump_interval", "dump", "threads", "device")  # fmt: skip


def search(config: SweepConfig, folder: Path, means: Means = _ALONE, listener: Listener | None = None) -> Sweep:
    """Search the configurations of every architecture of a config, or go on with the search in a folder.

    Raises BadInput for what cannot be trained, or a folder or study of another search, before anything is trained;
    Interrupted after a signal, with all saved.
    """
    listener, folder = listener or Silent(), folder.absolute()
    check_unused(folder, config)
    with watching_signals(StopSign(), stop_file(folder)) as sign:
        listener.phase("loading data and checking models")
        try_out(config)
        if said := data_words(config.base):
            listener.noted(said)
        with Workspace(folder).locked():
            stop_file(folder).unlink(missing_ok=True)
            keep_config(folder, config)
            return _Search(config, folder, means, listener, sign).run()


@dataclass(slots=True)
class _Architecture:
    """How far the search of one architecture is."""

    label: str
    space: Space
    study: Study
    again: deque[Asked]  # begun by a coordinator that is no more
    told: list[Trial]
    running: dict[str, Asked] = field(default_factory=dict)  # by the name of the unit
    exhausted: bool = False  # all points of its grid were begun
    failures: int = 0  # in a row

    @property
    def begun(self) -> int:
        """Trials that were begun, at any time."""
        return len(self.told) + len(self.running) + len(self.again)


class _Search:
    """One session of a search."""

    def __init__(
        self, config: SweepConfig, folder: Path, means: Means, listener: Listener, sign: StopSign
    ) -> None:  # fmt: skip
        self.config, self.folder, self.means = config, folder, means
        self.listener, self.sign = listener, sign
        self.url = storage_url(config.storage, folder)
        parallel = means.jobs not in (None, 1) or means.engine != "local"
        self.sampler = sampler_of(config.method, config.base.seed, len(config.objectives), parallel)
        self.pruner = pruner_of(config.pruning)
        storage = open_storage(self.url, create=True)
        self.architectures = {label: self._opened(label, storage) for label in config.base.labels}

    def _opened(self, label: str, storage: Any) -> _Architecture:
        c = self.config
        space = c.spaces[label]
        amount = c.budget.amount if self.sampler is not None else space.size()
        budget = {"unit": c.budget.unit, "amount": amount}
        study = open_study(storage, f"{c.name}/{label}", c.objectives, identity(c, label), budget)
        study.claim(self.folder)
        if self.sampler is None:
            study.enqueue([space.to_optuna(point) for point in space.points()])
        again = deque(study.unfinished(space, self.sampler, self.pruner))
        told = [t for t in study.trials() if t.state not in ("waiting", "unfinished")]
        return _Architecture(label, space, study, again, told)

    def run(self) -> Sweep:
        """Train what the budgets leave; raises Interrupted after a signal."""
        self.listener.planned(self._plans(), {a.label: len(a.told) for a in self.architectures.values()})
        if any(self._wants(a) for a in self.architectures.values()):
            with Crew(self.means, self.listener, self.sign) as crew:
                crew.work(self._draw, self._note)
        self.sign.check(f"stopped; all trials are saved, the same command goes on with {near(self.folder)}")
        found = list_sweep(self.url, self.config.name, intermediate=True)
        return replace(found, folder=self.folder)

    def _plans(self) -> dict[str, int | None]:
        """How many trials each architecture gets, where that is known."""
        amounts = {a.label: self._amount(a) for a in self.architectures.values()}
        return {k: None if v is None or self.config.budget.unit != "trials" else int(v) for k, v in amounts.items()}

    def _amount(self, a: _Architecture) -> float | None:
        """The budget of an architecture: that of the config, or all points of its grid."""
        c = self.config
        size = a.space.size() if self.sampler is None else None
        return c.budget.amount if c.budget.amount is not None else None if size is None else float(size)

    # -- what comes next ------------------------------------------------------------------------------

    def _draw(self) -> Unit | None:
        """The next unit: of the architecture that has had the fewest trials, those begun before first."""
        while waiting := [a for a in self.architectures.values() if self._wants(a)]:
            a = min(waiting, key=lambda a: (not a.again, a.begun))
            asked = a.again.popleft() if a.again else a.study.ask(a.space, self.sampler, self.pruner)
            if asked is None:
                a.exhausted = True
            elif (unit := self._unit(a, asked)) is not None:
                a.running[unit.name] = asked
                self.listener.began(a.label, unit.name, params_text(asked.params))
                return unit
        return None

    def _wants(self, a: _Architecture) -> bool:
        """Whether an architecture has a trial to be trained."""
        if a.again:
            return True
        if a.exhausted:
            return False
        unit, amount = self.config.budget.unit, self._amount(a)
        if amount is None or unit == "trials":
            return amount is None or a.begun < amount
        if a.failures >= _MOST_FAILURES:
            return False
        return self._spent(a) < amount

    def _spent(self, a: _Architecture) -> float:
        """What an architecture has had of its budget; a trial at hand counts as those before it took on average."""
        unit = self.config.budget.unit
        took = spent(a.told).amount(unit)
        if took is None:
            raise ModelcmpError(f"the FLOPs of {a.label} are not known: set the budget in steps, minutes or trials")
        return took * (1 + len(a.running) / max(1, len(a.told)))

    def _unit(self, a: _Architecture, asked: Asked) -> Unit | None:
        """The training of a trial; None, and the trial has failed, where its parameters cannot go together."""
        name = f"{a.label}-{asked.number:04}"
        try:
            config = trial_config(self.config, a.label, asked.params)
        except BadInput as error:
            self._tell(a, asked, "failed", None, {"message": str(error)})
            return None
        reports = self._reporter(a, asked)
        return Unit(name, self.folder / "runs" / name, config, False, reports, stop_file(self.folder))

    def _reporter(self, a: _Architecture, asked: Asked) -> Reporter | None:
        pruning, key = self.config.pruning, self.config.objectives[0].key
        if pruning is None:
            return None
        return Reporter(self.url, a.study.name, asked.number, key, pruning.name, pruning.keywords)

    # -- what came of it ------------------------------------------------------------------------------

    def _note(self, ended: Ended) -> None:
        """Tell the study how a trial ended; one that was stopped stays begun, and goes on in the next session."""
        a = self.architectures[ended.unit.label]
        asked = a.running.pop(ended.unit.name)
        result = ended.result
        if result is not None and result.status == "stopped":
            return
        if result is None:
            self._tell(a, asked, "failed", None, {"message": ended.error})
            return
        facts = {
            "message": result.message, "epochs": result.epochs, "steps": result.steps,
            "train_seconds": result.train_seconds, "flops": training_flops(result),
            "folder": ended.unit.run.relative_to(self.folder).as_posix(),
        }  # fmt: skip
        self._tell(a, asked, _state(result), self._values(result), facts)

    def _values(self, result: RunResult) -> list[float | None] | None:
        """What the objectives came to; raises BadInput for one that a finished trial has not logged."""
        if result.status != "finished":
            return None
        values = [RANK_KEYS[o.key].value(result) for o in self.config.objectives]
        missing = [o.key for o, v in zip(self.config.objectives, values, strict=True) if v is None]
        if missing and RANK_KEYS[missing[0]].get(result) is None:
            raise BadInput(f"{result.name} has not logged the objective {missing[0]}; it logged {_logged(result)}")
        return values

    def _tell(
        self, a: _Architecture, asked: Asked, state: TrialState, values: list[float | None] | None,
        facts: Mapping[str, Any],
    ) -> None:  # fmt: skip
        state = a.study.tell(asked.number, state, values, facts)
        trial = Trial(
            a.label, asked.number, state, asked.params,
            tuple(v for v in values if v is not None) if values and state == "finished" else None,
            str(facts.get("message") or ""), facts.get("epochs", 0), facts.get("steps", 0),
            facts.get("train_seconds", 0.0), facts.get("flops"), folder=str(facts.get("folder") or ""),
        )  # fmt: skip
        a.told.append(trial)
        a.failures = a.failures + 1 if state == "failed" else 0
        top = best(a.told, self.config.objectives)
        self.listener.ended(a.label, trial.name, self._ending(trial), self._value(top, alone=True) if top else "")

    def _ending(self, trial: Trial) -> str:
        said = f"{self._value(trial)}" if trial.values else f"{trial.state}: {trial.message}"
        return f"{said} ({params_text(trial.params)})"

    def _value(self, trial: Trial, alone: bool = False) -> str:
        named = not alone or len(self.config.objectives) > 1
        return ", ".join(
            f"{o.key + ' ' if named else ''}{RANK_KEYS[o.key].written(v)}"
            for o, v in zip(self.config.objectives, trial.values or (), strict=True)
        )


def identity(config: SweepConfig, label: str) -> dict[str, Any]:
    """What makes a study of one architecture this search and no other, as plain data."""
    base = found_from_anywhere(config.base)
    model = as_data(base)["models"][base.labels.index(label)]
    settings = {k: v for k, v in as_data(base).items() if k not in _NO_IDENTITY}
    space = config.spaces[label].plain()
    return {
        "model": model, "space": space, **({"order": list(space)} if config.method.name == "grid" else {}),
        "training": settings, "data": {k: v for k, v in data_of(base).digests.items() if k != "test"},
        "method": {"name": config.method.name, **config.method.keywords},
        "objectives": [o.key for o in config.objectives],
    }  # fmt: skip


def _state(result: RunResult) -> TrialState:
    return result.status if result.status in ("finished", "pruned", "diverged") else "failed"


def _logged(result: RunResult) -> str:
    """The objectives that a run has figures of."""
    return ", ".join(
        k.key for k in RANK_KEYS.values() if k.better and not k.key.startswith("test_") and k.value(result) is not None
    )
