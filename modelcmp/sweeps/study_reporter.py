"""How a worker tells the figures of each epoch, and hears whether its trial is worth going on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelcmpError, first_line
from .methods import PRUNERS
from .storage import open_storage, quiet, told


@dataclass(slots=True)
class Reporter:
    """Reports one trial through a connection of its own, opened with the first report; may be sent to a process.

    ``key`` is the figure's in the history. A storage that fails ends neither the trial nor the search: the trial goes
    on without pruning, and ``problem`` says why.
    """

    url: str
    study: str
    number: int
    key: str
    pruner: str = "none"  # in PRUNERS
    keywords: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    _trial: Any = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> tuple[Any, ...]:
        """All but the connection."""
        return self.url, self.study, self.number, self.key, self.pruner, dict(self.keywords), self.problem

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.url, self.study, self.number, self.key, self.pruner, self.keywords, self.problem = state
        self._trial = None

    def report(self, epoch: int, value: float) -> bool:
        """Note the figure of an epoch; whether the trial is to be given up. Never raises."""
        if self.problem or not math.isfinite(value):
            return False
        try:
            with quiet(), told(self.url):
                trial = self._opened()
                trial.report(value, epoch)
                return bool(trial.should_prune())
        except ModelcmpError as error:
            self.problem = f"trial {self.number} goes on without pruning: {error}"
        except Exception as error:  # whatever it is: what has been trained matters more
            self.problem = f"trial {self.number} goes on without pruning: {first_line(error)}"
        return False

    def _opened(self) -> Any:
        if self._trial is None:
            from optuna import load_study
            from optuna.samplers import RandomSampler
            from optuna.trial import Trial

            # The coordinator has looked at the tables' version.
            storage = open_storage(self.url, create=False, checked=False)
            pruner = PRUNERS[self.pruner].make(self.keywords)
            study = load_study(study_name=self.study, storage=storage, sampler=RandomSampler(), pruner=pruner)
            trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, self.number)
            self._trial = Trial(study, trial_id)
        return self._trial
