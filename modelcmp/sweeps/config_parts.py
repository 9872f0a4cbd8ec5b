"""What a sweep's config holds beside the training and the space: how to search, for what, and how much."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ..errors import BadInput, UsageError
from ..registry import suggest
from ..training.config import SELECTORS
from ..training.summary import RANK_KEYS, RankKey
from .records import BudgetUnit, Objective
from .space_reading import Entry

GRID = "grid"
#: What the next configuration is chosen by, where an amount is given and no method.
DRAWN = "tpe"
UNITS: tuple[BudgetUnit, ...] = get_args(BudgetUnit)
#: Amounts that cannot be broken.
_WHOLE = ("trials", "steps")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """A method or pruning by its name, with its keywords."""

    name: str
    keywords: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> Any:
        """As a config says it."""
        return {"name": self.name, **self.keywords} if self.keywords else self.name


@dataclass(frozen=True, slots=True)
class Budget:
    """How much tuning each architecture gets; an amount of None is the grid's own number of points."""

    unit: BudgetUnit
    amount: float | None

    def plain(self) -> dict[str, Any]:
        """As a config says it."""
        if self.amount is None:
            return {}
        return {"trials": self.amount} if self.unit == "trials" else {"budget": {self.unit: self.amount}}


def read_name(entry: Entry, stem: str) -> str:
    """The sweep's name, else one made of ``stem``; raises BadInput.

    >>> from modelcmp.training.yaml_text import parse
    >>> read_name(Entry("name", None, ("name",), parse("", "x.yaml")), "my search")
    'my-search'
    """
    if entry.said is None:
        return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:_LONGEST_NAME] or "sweep"
    name = str(entry.said)
    if isinstance(entry.said, bool | list | dict) or not re.fullmatch(r"\w[\w.-]*", name):
        raise entry.refused(f"{name!r} becomes part of names of studies: use letters, digits, '.', '_' and '-'")
    if len(name) > _LONGEST_NAME:
        raise entry.refused(f"it becomes part of names of studies: give {_LONGEST_NAME} characters at most")
    return name


def read_choice(entry: Entry, example: str) -> Choice | None:
    """A name, or a name with keywords; None where nothing is said; raises BadInput."""
    said = {"name": entry.said} if isinstance(entry.said, str) else entry.said
    if said is None or said is False:
        return None
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str):
        raise entry.refused(f"write a name, or {{name: {example}, and its keywords}}")
    return Choice(said["name"], {str(key): value for key, value in said.items() if key != "name"})


def read_method(entry: Entry, fallback: str, objectives: int) -> Choice:
    """How configurations are chosen; raises BadInput, also where it cannot look at so many objectives."""
    from .methods import METHODS, check_objectives

    chosen = read_choice(entry, f"{DRAWN}, seed: 1") or Choice(fallback)
    try:
        check_objectives(METHODS[chosen.name], objectives)
        if chosen.keywords:  # only then is Optuna needed to know them
            METHODS[chosen.name].make(chosen.keywords, 0, objectives, False)
    except UsageError as error:
        raise entry.refused(str(error)) from error
    return chosen


def read_pruning(entry: Entry, objectives: tuple[Objective, ...]) -> Choice | None:
    """How hopeless trials are found, None where they are not looked for; raises BadInput."""
    from .methods import PRUNERS

    chosen = read_choice(entry, "median, n_startup_trials: 5")
    if chosen is None or chosen.name == "none":
        return None
    try:
        if chosen.keywords:
            PRUNERS[chosen.name].make(chosen.keywords)
        else:
            PRUNERS[chosen.name]
    except UsageError as error:
        raise entry.refused(str(error)) from error
    if len(objectives) > 1 or objectives[0].key not in SELECTORS:
        raise entry.refused(
            f"trials are pruned by a figure of every epoch: take {' or '.join(SELECTORS)} as the only objective, "
            "or leave pruning out"
        )
    return chosen


def read_objectives(entry: Entry, fallback: str) -> tuple[Objective, ...]:
    """What is improved: one figure, or several for a Pareto front; raises BadInput."""
    said = fallback if entry.said is None else entry.said
    names = said if isinstance(said, list) else [said]
    if not names:
        raise entry.refused("the list is empty: name at least one figure, such as val_accuracy")
    found: list[Objective] = []
    for position, name in enumerate(names):
        inside = (position,) if isinstance(said, list) else ()
        try:
            objective = _objective(name)
        except BadInput as error:
            raise entry.refused(str(error), *inside) from error
        if objective in found:
            raise entry.refused(f"{objective.key} is given twice", *inside)
        found.append(objective)
    return tuple(found)


def _objective(name: Any) -> Objective:
    """The objective of a name or alias; raises BadInput."""
    wanted = str(name).strip().lower().replace("-", "_")
    key = next((k for k in RANK_KEYS.values() if wanted and wanted in (k.key, k.alias)), None)
    if key is not None and key.split == "test":
        raise BadInput(f"{name}: the test split is opened once, after the search; {_like(key)}")
    if key is None or key.better is None:
        raise BadInput(f"{name!r} is nothing that a search can improve: {_meant(wanted)}")
    return Objective(key.key, key.better)


def _usable() -> dict[str, RankKey]:
    return {key.key: key for key in RANK_KEYS.values() if key.better is not None and key.split != "test"}


def _like(key: RankKey) -> str:
    """The figure of the validation split that is like one of the test split."""
    return f"take {next(k.key for k in _usable().values() if k.figure == key.figure)}"


def _meant(wanted: str) -> str:
    usable = _usable()
    if like := [k.key for k in usable.values() if k.figure == wanted]:
        return f"write {like[0]}"
    return suggest(wanted, usable)


def read_budget(trials: Entry, budget: Entry) -> Budget | None:
    """How much each architecture is tuned, None where nothing is said; raises BadInput."""
    if trials.said is not None and budget.said is not None:
        raise budget.refused("trials says how much already: give one of trials and budget")
    if trials.said is not None:
        return Budget("trials", _amount(trials, "trials", trials.said))
    said = budget.said
    if said is None:
        return None
    if not isinstance(said, Mapping) or not said:
        raise budget.refused(f"write one of {', '.join(UNITS)} and how many: `budget: {{minutes: 30}}`")
    for unit in said:
        if unit not in UNITS:
            raise budget.refused(f"unknown unit {unit!r}: {suggest(str(unit), UNITS)}", str(unit))
    if len(said) > 1:
        raise budget.refused(f"it has {len(said)} units ({', '.join(said)}): the search is made equal in one of them")
    unit = next(known for known in UNITS if known in said)
    return Budget(unit, _amount(budget, unit, said[unit], unit))


def _amount(entry: Entry, unit: BudgetUnit, said: Any, *inside: str) -> float:
    number = isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said)
    if not number or said <= 0 or (unit in _WHOLE and said != int(said)):
        kind = "whole number" if unit in _WHOLE else "number"
        raise entry.refused(f"{unit} is a {kind} above 0, not {said!r}", *inside)
    return int(said) if unit in _WHOLE else float(said)


def read_storage(entry: Entry) -> str | None:
    """Where the studies are kept, None for the sweep's own folder; raises BadInput."""
    if entry.said is None:
        return None
    if not isinstance(entry.said, str) or not entry.said.strip():
        raise entry.refused("name a file (study.db, study.journal) or the URL of a database")
    return entry.said.strip()
