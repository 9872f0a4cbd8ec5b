"""The best of what a search has recorded, and what it took: pure functions over records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .. import units
from ..errors import BadInput, ModelcmpError, UnknownName
from ..pareto import unbeaten
from ..registry import suggest
from .records import BudgetUnit, Objective, Sweep, Trial, TrialState
from .storage import shown


def finished(trials: Sequence[Trial]) -> list[Trial]:
    """Those with values."""
    return [t for t in trials if t.state == "finished" and t.values is not None]


def best(trials: Sequence[Trial], objectives: Sequence[Objective], by: str | None = None) -> Trial | None:
    """The best by one objective, the first unless ``by`` names another. None without any.

    Of equal ones the best in the other objectives, so that it is on the front; then the first. Raises UnknownName.
    """
    position = _position(objectives, by)

    def cost(trial: Trial) -> tuple[float, ...]:
        costs = _signed(trial, objectives)
        return costs[position], *costs

    return min(finished(trials), key=cost, default=None)


def _position(objectives: Sequence[Objective], by: str | None) -> int:
    keys = [o.key for o in objectives]
    if by is None:
        return 0
    if by not in keys:
        raise UnknownName("objective", by, suggest(by, keys, f"the search recorded {', '.join(keys)}"))
    return keys.index(by)


def front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Those that no other beats in one objective without losing in another, by the first objective."""
    known = finished(trials)
    costs = {i: _signed(t, objectives) for i, t in enumerate(known)}
    return [known[i] for i in sorted(unbeaten(costs), key=lambda i: costs[i])]


def _signed(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...]:
    assert trial.values is not None
    return tuple(-v if o.better == "high" else v for v, o in zip(trial.values, objectives, strict=True))


def by_rank(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Best first by the first objective, then those without a value in the order of their numbers."""
    rest = [t for t in trials if t.state != "finished" or t.values is None]
    return sorted(finished(trials), key=lambda t: _signed(t, objectives)) + rest


@dataclass(frozen=True, slots=True)
class Spent:
    """What tuning one architecture took."""

    trials: int
    steps: int
    minutes: float
    flops: float | None  # None where it is unknown of a trial
    states: Mapping[TrialState, int]

    def amount(self, unit: BudgetUnit) -> float | None:
        """In the unit of a budget."""
        return {"trials": float(self.trials), "steps": float(self.steps), "minutes": self.minutes, "flops": self.flops}[
            unit
        ]


def missing_trials(sweep: Sweep) -> dict[str, int]:
    """How many trials of its budget each architecture has not had, where the budget is one of trials."""
    if sweep.budget_unit != "trials":
        return {}
    left = {m: int(a) - spent(sweep.of(m)).trials for m, a in sweep.budget.items() if a is not None}
    return {m: n for m, n in left.items() if n > 0}


def spent(trials: Sequence[Trial]) -> Spent:
    """What trials that have ended took: what was pruned, diverged or failed counts, too."""
    begun = [t for t in trials if t.state not in ("waiting", "unfinished")]
    known = [t.flops for t in begun if t.flops is not None]
    states: dict[TrialState, int] = {}
    for t in trials:
        states[t.state] = states.get(t.state, 0) + 1
    counted = len(known) == sum(t.steps > 0 for t in begun)
    return Spent(
        len(begun), sum(t.steps for t in begun), sum(t.train_seconds for t in begun) / 60,
        float(sum(known)) if counted else None, states,
    )  # fmt: skip


#: By how much one architecture's tuning may exceed another's before it is said: a last trial may go over.
_TOLERANCE = 1.05


def unfair(sweep: Sweep) -> list[str]:
    """A sentence for each architecture that was tuned less than the winner, in the budget's own unit."""
    leaders = {m: b for m in sweep.models if (b := best(sweep.of(m), sweep.objectives)) is not None}
    if len(sweep.models) < 2 or not leaders or missing_trials(sweep):  # a search that goes on is not compared yet
        return []
    winner = best(list(leaders.values()), sweep.objectives)
    assert winner is not None
    unit = sweep.budget_unit
    took = {m: spent(sweep.of(m)).amount(unit) for m in sweep.models}
    mine = took[winner.model]
    return [
        f"{winner.model} is ahead, but was tuned more than {model}: {amount_text(mine, unit)} against "
        f"{amount_text(theirs, unit)}; tune {model} as much before believing it"
        for model, theirs in took.items()
        if mine is not None and theirs is not None and mine > _TOLERANCE * theirs
    ]


def amount_text(amount: float, unit: BudgetUnit) -> str:
    """An amount of tuning.

    >>> amount_text(1, "trials"), amount_text(5e9, "flops"), amount_text(1200, "steps"), amount_text(0.5, "minutes")
    ('1 trial', '5.00G FLOPs', '1,200 steps', '0.5 minutes')
    """
    if unit == "flops":
        return f"{units.scaled(amount)} FLOPs"
    number = f"{amount:,.3g}" if unit == "minutes" else f"{amount:,.0f}"
    return f"{number} {unit[:-1] if amount == 1 else unit}"


def chosen(sweep: Sweep, by: str | None = None) -> dict[str, Trial]:
    """The best trial of each architecture that has one; raises ModelcmpError where none has, UnknownName.

    With several objectives ``by`` must say which, else BadInput is raised.
    """
    if len(sweep.objectives) > 1 and by is None:
        keys, first = ", ".join(o.key for o in sweep.objectives), sweep.objectives[0].key
        raise BadInput(f"{sweep.name} was searched for {keys} at once, so that no trial is the best: add --by {first}")
    found = {m: b for m in sweep.models if (b := best(sweep.of(m), sweep.objectives, by)) is not None}
    if not found:
        place = sweep.folder or shown(sweep.storage)
        raise ModelcmpError(f"no trial in {place} has finished: `compare-models study {place}` says why")
    return found
