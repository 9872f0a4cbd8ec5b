"""From what Optuna keeps of a trial to our record: read through its API or from its tables, the same comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import ModelcmpError
from .records import Trial, TrialState
from .space import Space

#: The study attribute that says which search it is of.
IDENTITY = "modelcmp"
#: The study attribute with the budget of the last session: it may grow.
BUDGET = "modelcmp budget"
#: The study attribute with the folder that searches it.
HOME = "modelcmp home"
#: The trial attribute that holds what is not Optuna's.
FACTS = "modelcmp"
#: The trial attribute that says which point of a grid it is.
POINT = "point"
_STATES: dict[str, TrialState] = {
    "WAITING": "waiting", "RUNNING": "unfinished", "COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed",
}  # fmt: skip
#: Our state in Optuna's words. A diverged trial counts as pruned, so that a search keeps away from its place.
OPTUNA_STATES: dict[TrialState, str] = {
    "finished": "COMPLETE", "pruned": "PRUNED", "diverged": "PRUNED", "failed": "FAIL",
}  # fmt: skip


@dataclass(slots=True)
class Raw:
    """A trial as Optuna keeps it, with parameters as it writes them."""

    number: int
    state: str  # Optuna's name: "COMPLETE"
    params: dict[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)  # given before it began
    values: Sequence[float] | None = None
    facts: Any = None  # our attribute
    intermediate: Iterable[tuple[int, float]] = ()
    started: datetime | None = None  # with its time zone
    ended: datetime | None = None


#: From parameters as Optuna has them to their real values.
Decode = Callable[[dict[str, Any]], dict[str, Any]]


def decoder(identity: Mapping[str, Any]) -> Decode:
    """By the ``space`` of a study's identity, where there is one and the keys are its; else they stay as they are."""
    try:
        space = Space.from_plain(identity["space"])
    except (KeyError, TypeError, ValueError, AttributeError, ModelcmpError):
        return dict

    def decode(params: dict[str, Any]) -> dict[str, Any]:
        return space.from_optuna(params) if params.keys() <= known else dict(params)

    known = set(space.paths)
    return decode


def trial_record(model: str, raw: Raw, decode: Decode = dict) -> Trial:
    """The record; what is not known stays at its default. Only finished trials have values."""
    facts = raw.facts if isinstance(raw.facts, Mapping) else {}
    state = _STATES[raw.state]
    if state == "pruned" and facts.get("status") == "diverged":
        state = "diverged"
    ended = state not in ("waiting", "unfinished")
    return Trial(
        model=model, number=raw.number, state=state, params=decode(raw.params or dict(raw.fixed)),
        values=tuple(raw.values) if state == "finished" and raw.values is not None else None,
        message=_text(facts.get("message")) if ended else "",
        epochs=_whole(facts.get("epochs")) or 0, steps=_whole(facts.get("steps")) or 0,
        train_seconds=float(_number(facts.get("train_seconds")) or 0.0), flops=_whole(facts.get("flops")),
        intermediate=tuple(sorted((s, v) for s, v in raw.intermediate if math.isfinite(v))),
        folder=_text(facts.get("folder")), started=raw.started, ended=raw.ended,
    )  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def _whole(value: Any) -> int | None:
    found = _number(value)
    return None if found is None else int(found)


def from_frozen(trial: Any, intermediate: bool = True) -> Raw:
    """What one of Optuna's ``FrozenTrial`` holds."""
    return Raw(
        trial.number, trial.state.name, dict(trial.params), trial.system_attrs.get("fixed_params") or {},
        trial.values, trial.user_attrs.get(FACTS), trial.intermediate_values.items() if intermediate else (),
        _aware(trial.datetime_start), _aware(trial.datetime_complete),
    )  # fmt: skip


def _aware(moment: datetime | None) -> datetime | None:
    """With its time zone: Optuna's API tells local time without one."""
    return None if moment is None else moment.astimezone()
