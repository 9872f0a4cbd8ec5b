"""One architecture's search: an Optuna study that only its coordinator writes to, and that a kill cannot spoil.

Nothing here imports Optuna before a study is opened.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..errors import BadInput
from .best import best, front
from .records import Objective, Trial, TrialState
from .storage import file_of, quiet, shown, told, url_of
from .study_reporter import Reporter
from .study_trial import BUDGET, FACTS, HOME, IDENTITY, OPTUNA_STATES, POINT, decoder, from_frozen, trial_record

__all__ = ["Asked", "Reporter", "Study", "changed", "open_study"]


class Suggests(Protocol):
    """What a study needs of a search space."""

    def suggest(self, trial: Any) -> Mapping[str, Any]:
        """Draw every parameter from Optuna's trial; real values by path in the config."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A trial to be run."""

    number: int
    params: Mapping[str, Any]  # real values, by path in the config
    trial: Any  # Optuna's


def open_study(
    storage: Any,
    name: str,
    objectives: Sequence[Objective],
    identity: Mapping[str, Any],
    budget: Mapping[str, Any] | None = None,
) -> Study:
    """Create the study of a name, or load it if it is of the same search.

    ``identity`` is plain JSON; ``budget`` is ``{"unit": "trials", "amount": 20}``, kept for listings and no part of
    the identity. Raises BadInput where the study is somebody else's, or of another search (what changed).
    """
    import optuna

    place = url_of(storage)
    identity = _plain(identity)
    directions = [o.direction for o in objectives]
    with quiet(), told(place):
        opened = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        known = opened.user_attrs
        if IDENTITY not in known and not known and not opened.get_trials(deepcopy=False):
            _check_directions(opened, directions, f"{shown(place)}: the study {name!r}")
            opened.set_user_attr(IDENTITY, identity)
        else:
            _check_identity(opened, known.get(IDENTITY), identity, f"{shown(place)}: the study {name!r}")
            _check_directions(opened, directions, f"{shown(place)}: the study {name!r}")
        if budget is not None and known.get(BUDGET) != _plain(budget):
            opened.set_user_attr(BUDGET, _plain(budget))
    return Study(opened, place, name, tuple(objectives), identity)


def _check_identity(opened: Any, found: Any, identity: Mapping[str, Any], what: str) -> None:
    if not isinstance(found, Mapping):
        raise BadInput(f"{what} was not made by `compare-models sweep`: choose another name for this search")
    differences = changed(found, identity)
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise BadInput(
            f"{what} is of another search: {'; '.join(differences[:5])}{more}; give this search another name, or put "
            "back what changed"
        )


def _check_directions(opened: Any, directions: Sequence[str], what: str) -> None:
    found = [d.name.lower() for d in opened.directions]
    if found != list(directions):
        raise BadInput(f"{what} wants to {', '.join(found)}, and not to {', '.join(directions)}: choose another name")


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples as lists."""
    found: dict[str, Any] = json.loads(json.dumps(value))
    return found


def changed(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two plain documents, one sentence a key, in the order of the keys.

    >>> changed({"lr": {"max": 0.1}, "a": 1}, {"lr": {"max": 0.5}, "b": [2]})
    ['lr.max was 0.1 and is 0.5', 'a was 1 and is gone', 'b is new: [2]']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in dict.fromkeys([*old, *new]):
            inner = f"{path}.{key}" if path else str(key)
            if key not in new:
                found.append(f"{inner} was {_short(old[key])} and is gone")
            elif key not in old:
                found.append(f"{inner} is new: {_short(new[key])}")
            else:
                found += changed(old[key], new[key], inner)
        return found
    return [] if _same(old, new) else [f"{path or 'it'} was {_short(old)} and is {_short(new)}"]


def _same(old: Any, new: Any) -> bool:
    """Equal, also in kind: 1 is not true, and 1 is 1.0."""
    if _number(old) and _number(new):
        return bool(old == new)
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


class Study:
    """The trials of one architecture. All methods raise BadInput or OutputError for a storage that fails."""

    def __init__(
        self, opened: Any, url: str, name: str, objectives: tuple[Objective, ...], identity: Mapping[str, Any]
    ) -> None:
        self.optuna = opened  # Optuna's own study, for its plots
        self.url, self.name, self.objectives = url, name, objectives
        self.model = name.rpartition("/")[2]
        self._decode = decoder(identity)
        self._ended: dict[int, Trial] = {}
        self._points: deque[tuple[int, dict[str, Any]]] = deque()
        self._waiting: deque[int] = deque()  # trials that others enqueued, by Optuna's id

    def claim(self, folder: Path) -> None:
        """Say in which folder the search goes on; raises BadInput where another one has it, which may be at work.

        A study in the folder itself goes with it; one in another file may follow a folder that was moved.
        """
        file = file_of(self.url)
        if file is not None and file.parent == folder:
            return
        with quiet(), told(self.url):
            found = self.optuna.user_attrs.get(HOME)
            if found not in (None, str(folder)) and (file is None or Path(found).is_dir()):
                raise BadInput(
                    f"{shown(self.url)}: the study {self.name!r} is searched from {found}: go on there, or give this "
                    "search another name"
                )
            if found != str(folder):
                self.optuna.set_user_attr(HOME, str(folder))

    def enqueue(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Have the points of a grid asked for, each once; doing it again, or after a kill, adds none twice.

        ``points`` are parameters as Optuna takes them, in an order that stays: a point is known by its position.
        """
        with quiet(), told(self.url):
            there = {t.user_attrs.get(POINT) for t in self.optuna.get_trials(deepcopy=False)}
            self._points = deque((k, dict(point)) for k, point in enumerate(points) if k not in there)
            self._waiting = deque(t._trial_id for t in self._in("WAITING"))

    def ask(self, space: Suggests, sampler: Any, pruner: Any = None) -> Asked | None:
        """Begin the next trial, one that waits before a new one; None where ``sampler`` is (a grid) and none waits."""
        with quiet(), told(self.url):
            self._use(sampler, pruner)
            trial = self._next_point() if sampler is None else self.optuna.ask()
            return None if trial is None else Asked(trial.number, space.suggest(trial), trial)

    def unfinished(self, space: Suggests, sampler: Any = None, pruner: Any = None) -> list[Asked]:
        """Trials that a coordinator before this one had begun, by number; what they had not drawn yet is drawn now."""
        with quiet(), told(self.url):
            self._use(sampler, pruner)
            begun = [self._trial(t._trial_id) for t in self._in("RUNNING")]
            return [Asked(trial.number, space.suggest(trial), trial) for trial in begun]

    def _use(self, sampler: Any, pruner: Any) -> None:
        """What the next draws are made by; a grid draws nothing."""
        from optuna.pruners import NopPruner

        from .study_sampler import drawing

        self.optuna.sampler = drawing(0) if sampler is None else sampler
        self.optuna.pruner = pruner or NopPruner()

    def _in(self, state: str) -> list[Any]:
        from optuna.trial import TrialState as States

        found: list[Any] = self.optuna.get_trials(deepcopy=False, states=(States[state],))
        return found

    def _trial(self, trial_id: int) -> Any:
        from optuna.trial import Trial as OptunaTrial

        return OptunaTrial(self.optuna, trial_id)

    def _next_point(self) -> Any:
        """The first trial that waits, or one of the next point, begun in one write."""
        from optuna.trial import TrialState as States
        from optuna.trial import create_trial

        storage = self.optuna._storage
        while self._waiting:
            trial_id = self._waiting.popleft()
            if storage.set_trial_state_values(trial_id, States.RUNNING):
                return self._trial(trial_id)
        if not self._points:
            return None
        k, point = self._points.popleft()
        begun = create_trial(state=States.RUNNING, system_attrs={"fixed_params": point}, user_attrs={POINT: k})
        return self._trial(storage.create_new_trial(self.optuna._study_id, template_trial=begun))

    def tell(
        self, number: int, state: TrialState, values: Sequence[float | None] | None, facts: Mapping[str, Any]
    ) -> TrialState:
        """Record how a trial ended, and return it: a value that is not finite, or unknown, makes it a failed one.

        ``facts``: message, epochs, steps, train_seconds, flops, folder. They are written before the state, so that a
        kill between the two leaves a trial that is told again; telling twice changes nothing.
        """
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState as States

        state, problem = self._judged(state, values)
        kept = {**facts, "status": state, "message": problem or facts.get("message", "")}
        storage = self.optuna._storage
        with quiet(), told(self.url), suppress(UpdateFinishedTrialError):
            trial_id = storage.get_trial_id_from_study_id_trial_number(self.optuna._study_id, number)
            storage.set_trial_user_attr(trial_id, FACTS, _finite(kept))
            given = [float(v) for v in values or () if v is not None] if state == "finished" else None
            self.optuna.tell(number, given, States[OPTUNA_STATES[state]], skip_if_finished=True)
        return state

    def _judged(self, state: TrialState, values: Sequence[float | None] | None) -> tuple[TrialState, str]:
        """The state to record, and what is wrong with the values."""
        if state != "finished":
            return state, ""
        values = values or ()
        if len(values) != len(self.objectives):
            return "failed", f"it ended with {len(values)} values, and the objectives are {len(self.objectives)}"
        for objective, value in zip(self.objectives, values, strict=True):
            if value is None:
                return "failed", f"{objective.key} was not measured"
            if not math.isfinite(value):
                return "failed", f"{objective.key} is {value}"
        return state, ""

    def trials(self, intermediate: bool = False) -> tuple[Trial, ...]:
        """All trials by number; figures by epoch only when asked for."""
        with quiet(), told(self.url):
            found = self.optuna.get_trials(deepcopy=False)
        return tuple(self._record(t, intermediate) for t in found)

    def _record(self, trial: Any, intermediate: bool) -> Trial:
        """What has ended stays as it is, and is asked for again and again."""
        if not intermediate and trial.number in self._ended:
            return self._ended[trial.number]
        record = trial_record(self.model, from_frozen(trial, intermediate), self._decode)
        if not intermediate and trial.state.is_finished():
            self._ended[trial.number] = record
        return record

    def best(self) -> tuple[Trial, ...]:
        """The best trial, of equal ones the first; with several objectives the Pareto front. Empty without any."""
        trials = self.trials()
        if len(self.objectives) > 1:
            return tuple(front(trials, self.objectives))
        found = best(trials, self.objectives)
        return () if found is None else (found,)


def _finite(value: Any) -> Any:
    """The same without numbers that JSON does not have: they are unknown."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
