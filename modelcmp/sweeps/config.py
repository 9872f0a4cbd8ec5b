"""What a sweep is told: the training config, and what is searched, how, for what and how much of it.

Loaded without torch and Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..registry import suggest
from ..training.config import SELECTORS, Config
from ..training.config_file import Saying, as_data, as_mapping, make_config, put, read_document, saying, sayings
from ..training.yaml_text import Document, dump, dump_line
from .config_parts import (
    DRAWN,
    GRID,
    Budget,
    Choice,
    read_budget,
    read_method,
    read_name,
    read_objectives,
    read_pruning,
    read_storage,
)
from .records import Objective
from .space import Space
from .space_reading import WORDS, Entry, check_listed, read_entries, read_space

__all__ = [
    "KEYS", "Budget", "Choice", "SweepConfig", "differences", "read_kept", "read_sweep", "sweep_data", "sweep_yaml",
    "trial_config",
]  # fmt: skip

#: What a sweep's config has beside the keys of a training config.
KEYS = ("name", "space", "method", "objective", "trials", "budget", "pruning", "storage")


@dataclass(frozen=True, slots=True)
class SweepConfig:
    """A search over hyperparameters, each architecture for itself."""

    base: Config  # the training part, as read
    name: str  # of the studies: "<name>/<label>"
    spaces: Mapping[str, Space]  # by label, in the order of the models
    method: Choice
    objectives: tuple[Objective, ...]
    budget: Budget  # of each architecture
    pruning: Choice | None = None
    storage: str | None = None  # None: in the sweep's folder


def read_sweep(
    document: Document, overrides: Sequence[str] = (), given: Mapping[str, Any] = {}, stem: str = "sweep"
) -> SweepConfig:
    """The sweep of a document with ``given`` keys and then ``key=value`` overrides over it.

    ``stem`` makes its name where it has none. Raises BadInput with the line, or the option, and what to write instead,
    also for values that the training config refuses.
    """
    data, base, document = _said_over(document, overrides, given)
    said = {key: Entry(key, data.get(key), (key,), document) for key in KEYS}
    if "space" not in data:
        raise BadInput(
            f"{document.name}: 'space' is missing: say what is searched, such as `space: {{lr: [0.001, 0.1]}}`; "
            "`compare-models train` trains one configuration"
        )
    entries = read_entries(data["space"], base.labels, document)
    objectives = read_objectives(said["objective"], base.select_by)
    budget = read_budget(said["trials"], said["budget"])
    sweep = SweepConfig(
        base=base,
        name=read_name(said["name"], stem),
        spaces={label: read_space(found) for label, found in entries.items()},
        method=read_method(said["method"], GRID if budget is None else DRAWN, len(objectives)),
        objectives=objectives,
        budget=budget or Budget("trials", None),
        pruning=read_pruning(said["pruning"], objectives),
        storage=read_storage(said["storage"]),
    )
    for label, space in sweep.spaces.items():
        _try_values(sweep, label, space, entries[label])
    return _checked_budget(sweep, said, entries)


def read_kept(folder: Path) -> SweepConfig:
    """The sweep that a folder was made for; raises BadInput where it holds none."""
    file = folder / "config.yaml"
    if not file.is_file():
        raise BadInput(f"{folder} is no folder of `compare-models sweep`: it holds no {file.name}")
    return read_sweep(read_document(file), stem=folder.name)


def _checked_budget(
    sweep: SweepConfig, said: Mapping[str, Entry], entries: Mapping[str, Mapping[str, Entry]]
) -> SweepConfig:
    """The sweep with an amount that suits its method; raises BadInput."""
    budget, method = sweep.budget, sweep.method.name
    if method != GRID:
        if budget.amount is None:
            raise said["method"].refused(
                f"{method} could go on for ever: say how much, such as trials: 20 or budget: {{minutes: 30}}"
            )
        return sweep
    for label, space in sweep.spaces.items():
        check_listed(entries[label], space)
        if budget.amount is not None and (budget.unit != "trials" or budget.amount < (space.size() or 0)):
            amount = said["budget" if said["trials"].said is None else "trials"]
            raise amount.refused(
                f"a grid covers all its {space.size()} points ({label}): leave {amount.path} out, "
                "or take method: random"
            )
    return replace(sweep, budget=Budget("trials", None))


def _try_values(sweep: SweepConfig, label: str, space: Space, entries: Mapping[str, Entry]) -> None:
    """Make the config of each listed value and both ends of each range; raises BadInput with the value's line."""
    for key in space.keys:
        for value in key.values.ends():
            params = space.example(key.path, value)
            _made(sweep, label, params, {path: entries[path].spot(v) for path, v in params.items()})


# -- what was said beside the file ------------------------------------------------------------------------


def _said_over(
    document: Document, overrides: Sequence[str], given: Mapping[str, Any]
) -> tuple[dict[str, Any], Config, Document]:
    """The data, the training part, and the document as errors quote it; raises BadInput."""
    data = deepcopy(as_mapping(document))
    found = sayings(overrides, given)
    _check_amounts(found)
    inside = [s for s in found if s.path[0] == "space" and len(s.path) > 1]
    for s in (s for s in found if s not in inside):
        document = _take(data, document, _amount_alone(s, data))
    base = make_config({k: v for k, v in data.items() if k not in KEYS}, document, beside=KEYS)
    for s in inside:
        document = _take(data, document, _in_space(s, data.get("space"), base.labels))
    return data, base, document


def _take(data: dict[str, Any], document: Document, said: Saying) -> Document:
    put(data, said)
    return document.over({said.path if said.path[0] == "space" else said.place: said.option})


def _check_amounts(found: Sequence[Saying]) -> None:
    options = {s.path[0]: s.option for s in found if s.path[0] in ("trials", "budget")}
    if len(options) > 1:
        raise BadInput(f"{' and '.join(options.values())} both say how much to search: give one")


def _amount_alone(said: Saying, data: dict[str, Any]) -> Saying:
    """An amount that was given beside the file holds instead of the file's, whatever its unit."""
    if said.path[0] not in ("trials", "budget"):
        return said
    for key in ("trials", "budget"):
        data.pop(key, None)
    first, *unit = said.path
    return replace(said, path=(first,), value={".".join(unit): said.value}) if unit else said


def _in_space(said: Saying, space: Any, labels: Sequence[str]) -> Saying:
    """``space.optimizer.lr.max``: the keys of a space hold dots, and so may labels."""
    begin, rest = ["space"], list(said.path[1:])
    if rest[0] == "models" and len(rest) > 2:
        label = max((la for la in labels if ".".join(rest[1:]).startswith(f"{la}.")), key=len, default=rest[1])
        begin, rest = [*begin, "models", label], rest[1 + len(label.split(".")) :]
    elif rest[0] == "models":
        return said
    for part in begin[1:]:
        space = space.get(part) if isinstance(space, Mapping) else None
    word = rest[-1] in WORDS and isinstance(space, Mapping) and ".".join(rest[:-1]) in space
    path = [".".join(rest[:-1]), rest[-1]] if word else [".".join(rest)]
    return replace(said, path=(*begin, *path))


# -- one trial --------------------------------------------------------------------------------------------


def trial_config(sweep: SweepConfig, label: str, params: Mapping[str, Any]) -> Config:
    """The config of one trial: the model of that label alone, with the params put in by their paths.

    A searched ``optimizer`` that gives no rate keeps the one of the training part; epochs are selected by the
    objective unless ``select_by`` says otherwise. Raises BadInput naming the param that is refused.
    """
    return _made(sweep, label, params, {path: f"{path}={dump_line(value)}" for path, value in params.items()})


def _made(sweep: SweepConfig, label: str, params: Mapping[str, Any], quoted: Mapping[str, str]) -> Config:
    data = as_data(sweep.base)
    data.pop("workspace", None)
    data["models"] = [_model(sweep.base, label)]
    if "select_by" not in data and len(sweep.objectives) == 1 and sweep.objectives[0].key in SELECTORS:
        data["select_by"] = sweep.objectives[0].key
    found = [*_rate(sweep.base, params), *(_param(path, value, quoted[path]) for path, value in params.items())]
    for said in sorted(found, key=lambda s: len(s.path)):
        put(data, said)
    return make_config(data, Document(data, {}, f"a trial of {label}", {s.place: s.option for s in found}))


def _param(path: str, value: Any, option: str) -> Saying:
    return saying(f"models.0.{path}" if path.startswith("kwargs.") else path, deepcopy(value), option)


def _rate(base: Config, params: Mapping[str, Any]) -> list[Saying]:
    """The learning rate of the training part, where another optimizer is put in its place that has none."""
    if "optimizer" not in params or "optimizer" not in base.model_fields_set or base.optimizer.lr is None:
        return []
    chosen = params["optimizer"]
    given = isinstance(chosen, Mapping) and chosen.get("lr") is not None
    return [] if given else [saying("optimizer.lr", base.optimizer.lr, f"lr={base.optimizer.lr}")]


def _model(base: Config, label: str) -> dict[str, Any]:
    if label not in base.labels:
        raise BadInput(f"no model {label!r} in this sweep: {suggest(label, base.labels)}")
    choice = base.models[base.labels.index(label)]
    return choice.model_copy(update={"label": label}).model_dump(mode="json", exclude_unset=True)


# -- as data, and what has changed -------------------------------------------------------------------------


def sweep_data(config: SweepConfig) -> dict[str, Any]:
    """The sweep as plain data: what :func:`read_sweep` reads back to the same."""
    objectives = [objective.key for objective in config.objectives]
    found = {
        **as_data(config.base),
        "name": config.name,
        "method": config.method.plain(),
        "objective": objectives[0] if len(objectives) == 1 else objectives,
        **config.budget.plain(),
        "pruning": config.pruning and config.pruning.plain(),
        "storage": config.storage,
        "space": _space_data(config.spaces),
    }
    return {key: value for key, value in found.items() if key not in KEYS or value is not None}


def _space_data(spaces: Mapping[str, Space]) -> dict[str, Any]:
    """One space for all where they are the same, else one a model."""
    first, *others = spaces.values()
    if all(space == first for space in others):
        return first.plain()
    return {"models": {label: space.plain() for label, space in spaces.items()}}


def sweep_yaml(config: SweepConfig) -> str:
    """The same as YAML."""
    return dump(sweep_data(config))


def differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """What makes one search another than the other; more of the same search, its storage and its pruning do not."""
    from ..training.workspace import differences as in_training

    found = in_training(old.base, new.base)
    for what, was, now in (
        ("name", old.name, new.name),
        ("method", old.method.plain(), new.method.plain()),
        ("objective", *(", ".join(o.key for o in sweep.objectives) for sweep in (old, new))),
    ):
        if was != now:
            found.append(f"{what} was {dump_line(was)}, is {dump_line(now)}")
    for label in (la for la in old.spaces if la in new.spaces):
        changed = _space_differences(old.spaces[label], new.spaces[label], new.method.name == GRID)
        found += [f"space of {label}: {words}" for words in changed]
    return found


def _space_differences(old: Space, new: Space, ordered: bool) -> list[str]:
    """What differs of two spaces; the order of keys only where it numbers the points of a grid."""
    was, now = old.plain(), new.plain()
    found = [
        f"{path} was {dump_line(was[path]) if path in was else 'not searched'}, "
        f"is {dump_line(now[path]) if path in now else 'not searched'}"
        for path in dict.fromkeys((*was, *now))
        if was.get(path) != now.get(path)
    ]
    if ordered and not found and list(was) != list(now):
        found.append(f"the order of keys was {', '.join(was)}, is {', '.join(now)}")
    return found
