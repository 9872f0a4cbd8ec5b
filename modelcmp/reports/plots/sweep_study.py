"""Data of the pictures of one architecture's search, from an Optuna study. Knows nothing of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ...pareto import unbeaten
from ...sweeps.records import Objective, Trial
from ...sweeps.storage import quiet
from ...sweeps.study_trial import from_frozen, trial_record

if TYPE_CHECKING:
    import optuna

#: Up to this many choices those that no trial drew have a place too.
_ALL_CHOICES = 12
_IMPORTANT_FROM = 4  # finished trials: with fewer, what is important is chance


@dataclass(frozen=True, slots=True)
class Parameter:
    """One dimension of the space."""

    name: str
    log: bool = False
    choices: tuple[str, ...] | None = None  # as text, in their order; None for a number

    def place(self, value: Any) -> float:
        """Where a value lies on its axis: the number, or the position of the choice."""
        return float(value) if self.choices is None else float(self.choices.index(str(value)))


@dataclass(frozen=True, slots=True)
class StudyData:
    """One architecture's search."""

    label: str
    objectives: tuple[Objective, ...]
    parameters: tuple[Parameter, ...]  # in the order in which trials drew them
    trials: tuple[Trial, ...]  # by number

    @property
    def finished(self) -> tuple[Trial, ...]:
        """Trials of which every objective is a finite number."""
        return tuple(t for t in self.trials if t.state == "finished" and _finite(t.values))

    @property
    def lost(self) -> Mapping[str, tuple[int, ...]]:
        """Numbers of the trials that ended without a figure to draw, by what became of them."""
        found: dict[str, tuple[int, ...]] = {}
        for trial in self.trials:
            broken = trial.state == "finished" and not _finite(trial.values)
            state = "not finite" if broken else trial.state
            if state not in ("finished", "waiting", "unfinished"):
                found[state] = (*found.get(state, ()), trial.number)
        return found


def _finite(values: Sequence[float] | None) -> bool:
    return values is not None and all(math.isfinite(v) for v in values)


# -- from Optuna ----------------------------------------------------------------------------------


def study_data(label: str, study: optuna.Study, objectives: Sequence[Objective]) -> StudyData:
    """What a study holds: every trial, and the parameters that any of them drew."""
    trials = study.get_trials(deepcopy=False)
    drawn: dict[str, Any] = {}
    for trial in trials:
        drawn |= {name: d for name, d in trial.distributions.items() if name not in drawn}
    parameters = (_parameter(name, kind, trials) for name, kind in drawn.items())
    records = tuple(trial_record(label, from_frozen(t, intermediate=False)) for t in trials)
    return StudyData(label, tuple(objectives), tuple(parameters), records)


def _parameter(name: str, distribution: Any, trials: Sequence[Any]) -> Parameter:
    choices = getattr(distribution, "choices", None)
    if choices is None:
        return Parameter(name, bool(distribution.log))
    tried = {str(t.params[name]) for t in trials if name in t.params}
    words = dict.fromkeys(map(str, choices))
    return Parameter(name, choices=tuple(w for w in words if len(words) <= _ALL_CHOICES or w in tried))


# -- over trials ----------------------------------------------------------------------------------


def best_so_far(values: Sequence[float | None], better: str) -> tuple[float | None, ...]:
    """The best of each beginning of a list; None before the first value.

    >>> best_so_far([None, 0.5, 0.7, None, 0.4], "low")
    (None, 0.5, 0.5, 0.5, 0.4)
    """
    chosen = max if better == "high" else min

    def pick(a: float | None, b: float | None) -> float | None:
        return b if a is None else a if b is None else chosen(a, b)

    return tuple(accumulate(values, pick))


@dataclass(frozen=True, slots=True)
class History:
    """One objective over the trials of a search."""

    points: tuple[tuple[int, float], ...]  # number and value of the finished
    best: tuple[tuple[int, float], ...]  # the best so far at each trial from the first finished one on
    lost: Mapping[str, tuple[int, ...]]


def history(data: StudyData) -> History:
    """The first objective by number of trial."""
    figures = {t.number: t.values[0] for t in data.finished if t.values}
    ended = [t.number for t in data.trials if t.state not in ("waiting", "unfinished")]
    best = best_so_far([figures.get(n) for n in ended], data.objectives[0].better)
    known = tuple((n, b) for n, b in zip(ended, best, strict=True) if b is not None)
    return History(tuple(figures.items()), known, data.lost)


@dataclass(frozen=True, slots=True)
class Slice:
    """One objective over one parameter: place, value and number of each finished trial that drew it."""

    parameter: Parameter
    points: tuple[tuple[float, float, int], ...]


def slices(data: StudyData, objective: int = 0) -> tuple[Slice, ...]:
    """One slice a parameter that a finished trial drew."""
    found = (Slice(p, _slice(data, p, objective)) for p in data.parameters)
    return tuple(s for s in found if s.points)


def _slice(data: StudyData, parameter: Parameter, objective: int) -> tuple[tuple[float, float, int], ...]:
    name = parameter.name
    return tuple(
        (parameter.place(t.params[name]), t.values[objective], t.number)
        for t in data.finished
        if t.values and name in t.params
    )


def front_of(data: StudyData) -> tuple[bool, ...]:
    """Which of the finished trials no other one beats: as good in every objective and better in one."""
    signs = [1.0 if o.better == "low" else -1.0 for o in data.objectives]
    costs = {i: tuple(s * v for s, v in zip(signs, t.values or (), strict=True)) for i, t in enumerate(data.finished)}
    kept = unbeaten(costs)
    return tuple(i in kept for i in costs)


# -- importance -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Importances:
    """Share of each parameter in what decides each objective, the most important first."""

    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]  # a row an objective, in the order of ``names``
    trials: int  # that it rests on


def importances(data: StudyData, study: optuna.Study) -> Importances | str:
    """Optuna's importances of all parameters; words that say why where there are none."""
    varied = [p.name for p in data.parameters if len({str(t.params.get(p.name)) for t in data.finished}) > 1]
    if len(varied) < 2:
        what = f"only {varied[0]} varied" if varied else "no parameter varied"
        return f"no importance of parameters: {what} in the finished trials"
    if len(data.finished) < _IMPORTANT_FROM:
        return (
            f"no importance of parameters: it takes {_IMPORTANT_FROM} finished trials, there are {len(data.finished)}"
        )
    found = [_importances(study, k if len(data.objectives) > 1 else None, o) for k, o in enumerate(data.objectives)]
    if not all(any(row.values()) for row in found):
        return "no importance of parameters: Optuna finds none in these trials"
    names = sorted(found[0], key=lambda n: -sum(row.get(n, 0.0) for row in found))
    rows = tuple(tuple(row.get(n, 0.0) / sum(row.values()) for n in names) for row in found)
    return Importances(tuple(names), rows, len(data.finished))


def _importances(study: optuna.Study, k: int | None, objective: Objective) -> Mapping[str, float]:
    """Not normalised: Optuna's own norm turns "none is important" into "all are equally"; {} where it refuses."""
    from optuna.importance import get_param_importances

    sign = -1.0 if objective.better == "high" else 1.0  # with a target Optuna takes lower as better
    target = None if k is None else lambda trial: sign * trial.values[k]
    with quiet():
        try:
            found: dict[str, float] = get_param_importances(study, target=target, normalize=False)
        except (ValueError, RuntimeError):
            return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


# -- parallel coordinates -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One upright axis: where each finished trial crosses it, from 0 to 1; None where it did not draw it."""

    label: str
    places: tuple[float | None, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Objectives first, then parameters; ``quality`` of each trial from 0, the worst, to 1."""

    axes: tuple[Coordinate, ...]
    quality: tuple[float, ...]  # by place among all; with several objectives 1 on the front, else 0


def coordinates(data: StudyData) -> Coordinates:
    """All finished trials over all parameters that any of them drew."""
    done = data.finished
    axes = [_objective_axis(o.key, [t.values[k] for t in done if t.values]) for k, o in enumerate(data.objectives)]
    axes += [_axis(p, done) for p in data.parameters if any(p.name in t.params for t in done)]
    several = len(data.objectives) > 1
    return Coordinates(tuple(axes), tuple(map(float, front_of(data))) if several else _quality(data))


def _quality(data: StudyData) -> tuple[float, ...]:
    """Place among all trials: one far off does not take the colours of all others."""
    values = [t.values[0] for t in data.finished if t.values]
    sign = 1 if data.objectives[0].better == "high" else -1
    order = sorted({sign * v for v in values})
    return tuple(order.index(sign * v) / (len(order) - 1) if len(order) > 1 else 1.0 for v in values)


def _objective_axis(key: str, values: Sequence[float]) -> Coordinate:
    from .sweep_axis import label_of, tick_text, wants_log

    return _scaled(label_of(key), values, wants_log(values, key), lambda v: tick_text(key, v))


def _axis(parameter: Parameter, trials: Sequence[Trial]) -> Coordinate:
    name = parameter.name
    drawn = [parameter.place(t.params[name]) if name in t.params else None for t in trials]
    if parameter.choices is None:
        return _scaled(name, drawn, parameter.log, lambda v: f"{v:.4g}")
    last = len(parameter.choices) - 1

    def share(place: float) -> float:
        return place / last if last else 0.5

    ticks = tuple((share(i), text) for i, text in enumerate(parameter.choices))
    return Coordinate(name, tuple(None if v is None else share(v) for v in drawn), ticks)


def _scaled(label: str, values: Sequence[float | None], log: bool, write: Callable[[float], str]) -> Coordinate:
    """An axis from the least to the largest value that was drawn, with round numbers between them."""
    known = [math.log10(v) if log else float(v) for v in values if v is not None]
    low, high = min(known), max(known)
    if low == high:
        ticks: tuple[tuple[float, str], ...] = ((0.5, write(10**low if log else low)),)
        return Coordinate(label, tuple(None if v is None else 0.5 for v in values), ticks)

    def place(value: float) -> float:
        return ((math.log10(value) if log else value) - low) / (high - low)

    marks = _marks(10**low if log else low, 10**high if log else high, log)
    places = tuple(None if v is None else place(v) for v in values)
    return Coordinate(label, places, tuple((place(m), write(m)) for m in marks))


def _marks(low: float, high: float, log: bool) -> list[float]:
    """Round values between two; the ends themselves where there is but one."""
    from matplotlib.ticker import MaxNLocator

    from .style import log_ticks

    wanted = log_ticks(low, high, 6) if log else MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    inside = [float(v) for v in wanted if low - slack <= v <= high + slack]
    return inside if len(inside) > 1 else [low, high]
