"""What a search has recorded, as plain data: no Optuna and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

#: ``waiting``: drawn or listed, not begun. ``unfinished``: begun, and at work or left by a
#: coordinator that is no more; the next one goes on with it.
TrialState = Literal["waiting", "unfinished", "finished", "pruned", "diverged", "failed"]
#: In what the tuning of architectures is made equal.
BudgetUnit = Literal["trials", "steps", "minutes", "flops"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a search improves: a figure of the validation split, or a cost."""

    key: str  # in training.summary.RANK_KEYS
    better: Literal["high", "low"]

    @property
    def direction(self) -> str:
        """In Optuna's words."""
        return "maximize" if self.better == "high" else "minimize"


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration of one architecture, tried once."""

    model: str  # label of the architecture
    number: int  # counts from 0 in the architecture's study
    state: TrialState
    params: Mapping[str, Any]  # by path in the config: {"lr": 0.001, "kwargs.hidden": 64}
    values: tuple[float, ...] | None = None  # one an objective, in their order; None where it has none
    message: str = ""  # why it is not finished
    epochs: int = 0
    steps: int = 0
    train_seconds: float = 0.0
    flops: int | None = None  # of its training, forward and backward
    intermediate: tuple[tuple[int, float], ...] = ()  # (epoch, objective), for pruning and pictures
    folder: str = ""  # of its run, from the sweep's folder: "runs/cnn-0003"
    started: datetime | None = None
    ended: datetime | None = None

    @property
    def name(self) -> str:
        """What it is called in tables and folders: ``cnn-0003``."""
        return f"{self.model}-{self.number:04}"


@dataclass(frozen=True, slots=True)
class Sweep:
    """A search and all that it has recorded; one Optuna study an architecture."""

    name: str
    storage: str  # an URL that Optuna opens
    method: str  # "grid", "tpe"
    objectives: tuple[Objective, ...]
    models: tuple[str, ...]  # labels, in the order of the config
    trials: tuple[Trial, ...]  # by model and number
    budget_unit: BudgetUnit = "trials"
    budget: Mapping[str, float | None] = field(default_factory=dict)  # by model, in that unit
    folder: Path | None = None

    def of(self, model: str) -> tuple[Trial, ...]:
        """The trials of one architecture."""
        return tuple(t for t in self.trials if t.model == model)


def params_text(params: Mapping[str, object]) -> str:
    """A configuration in one line.

    >>> params_text({"lr": 0.000123456, "optimizer.name": "adam"})
    'lr=0.0001235 optimizer.name=adam'
    """
    return " ".join(f"{k}={param_value(v)}" for k, v in params.items())


def param_value(value: object) -> str:
    """One value of a configuration as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
