"""Reading budgets: a TOML file of limits, and a JSON export that relative limits refer to.

Every mistake is a BadInput that names the file, the table and the key.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .budget import Baseline, Budget, Case, Limit, Limits, Relation, Settings
from .errors import BadInput, UnknownName
from .metrics import Metric, find
from .registry import suggest

Table = Mapping[str, Any]

_TOP = ("settings", "limits", "models", "case")
_RELATIONS: tuple[Relation, ...] = ("max", "min", "equals")
_SETTINGS = tuple(f.name for f in fields(Settings))
_COUNTS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_BYTES = {f"{p}{b}": 1000.0**i for i, p in enumerate(("", "k", "m", "g", "t", "p")) for b in ("", "b")}
_BYTES |= {f"{p}ib": 1024.0**i for i, p in enumerate(("k", "m", "g", "t", "p"), 1)}
_TIMES = {"": 1.0, "s": 1e3, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "μs": 1e-3}
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(\D*)")
_RELATIVE = re.compile(r"([+-])\s*(\d+(?:\.\d+)?)\s*%")


def read_budget(path: Path, given: Table | None = None) -> Budget:
    """Read a budget; ``given`` settings go before those of ``[settings]``, and each case's own before both.

    Raises BadInput.
    """
    raw = _parsed(path)
    try:
        return Budget(str(path), _cases(raw, given or {}))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def _parsed(path: Path) -> Table:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"cannot read the budget {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no text file: a budget is TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not TOML: {error}") from error


def _cases(raw: Table, given: Table) -> tuple[Case, ...]:
    _check_keys(raw, _TOP, "at the top")
    base = replace(_settings(_table(raw, "settings", "[settings]"), Settings(), "[settings]"), **given)
    limits = _limits(_table(raw, "limits", "[limits]"), "[limits]")
    overrides = tuple(_override(name, _table(raw["models"], name, f"[models.{name!r}]"))
                      for name in _table(raw, "models", "[models]"))  # fmt: skip
    first = [Case("", base, limits, overrides=overrides)] if limits or overrides else []
    cases = raw.get("case", [])
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise BadInput("'case' is written [[case]], in two brackets: there may be several")
    found = (*first, *(_case(table, number, base) for number, table in enumerate(cases, 1)))
    names = [case.name for case in found]
    if not any(any(case.limits.values()) or case.overrides for case in found):
        raise BadInput('it holds no limit: add [limits] with params = "30M"')
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two cases are called {name!r}: give each [[case]] a name of its own")
    return found


def _case(raw: Table, number: int, base: Settings) -> Case:
    name = raw.get("name", f"case {number}")
    where = f"[[case]] {name}"
    _check_keys(raw, ("name", "models", "limits", *_SETTINGS), where)
    if not isinstance(name, str) or not name.strip():
        raise BadInput(f"[[case]] {number}: the name {name!r} is no text")
    models = raw.get("models", ["*"])
    models = [models] if isinstance(models, str) else models
    if not isinstance(models, list) or not models or not all(isinstance(m, str) for m in models):
        raise BadInput(f'{where}: models is a pattern or a list of them: models = ["resnet*", "timm:vit_*"]')
    limits = _limits(_table(raw, "limits", where), where)
    if not any(limits.values()):
        raise BadInput(f'{where} holds no limit: add limits = {{params = "30M"}}, or a table [case.limits] below it')
    return Case(name, _settings({k: v for k, v in raw.items() if k in _SETTINGS}, base, where), limits, tuple(models))


def _override(pattern: str, raw: Table) -> tuple[str, Limits]:
    where = f"[models.{pattern!r}]"
    _check_keys(raw, ("limits",), where)
    return pattern, _limits(_table(raw, "limits", where), f"[models.{pattern!r}.limits]", removable=True)


def _table(raw: Any, key: str, where: str) -> Table:
    found = raw.get(key, {})
    if not isinstance(found, dict):
        raise BadInput(f"{where}: {key} is a table of keys and values, not {found!r}")
    return found


def _check_keys(raw: Table, known: Iterable[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise BadInput(f"unknown key {key!r} {where if where.startswith('at') else f'in {where}'}: "
                           + suggest(key, known))  # fmt: skip


# -- settings -------------------------------------------------------------------------------------


def _settings(raw: Table, base: Settings, where: str) -> Settings:
    _check_keys(raw, _SETTINGS, where)
    return replace(base, **{key: _setting(key, value, where) for key, value in raw.items()})


def _setting(key: str, value: Any, where: str) -> Any:
    """A setting of its own type; an input size may be written 224, "256x192" or [3, 224, 224]."""
    if key == "input_size" and isinstance(value, list):
        value = "x".join(map(str, value))
    if key == "input_size" and isinstance(value, int):
        value = str(value)
    kinds: dict[str, tuple[type, str]] = {
        "batch_size": (int, "a whole number"), "kwargs": (dict, "a table"), "reparam": (bool, "true or false"),
        "compiled": (bool, "true or false"),
    }  # fmt: skip
    kind, words = kinds.get(key, (str, "text"))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadInput(f"{where}: {key} = {value!r} is not {words}")
    return value


# -- limits ---------------------------------------------------------------------------------------


def _limits(raw: Table, where: str, removable: bool = False) -> dict[str, tuple[Limit, ...]]:
    """The limits of a table by metric; where ``removable``, false takes a metric's limits away."""
    found: dict[str, tuple[Limit, ...]] = {}
    for name, value in raw.items():
        try:
            metric = find(name)
        except UnknownName as error:
            raise BadInput(f"{where}: {error}") from error
        if metric.key in found:
            raise BadInput(f"{where}: {metric.key} is limited twice, once as {name!r}: use {{min = ..., max = ...}}")
        if value is False and removable:
            found[metric.key] = ()
        else:
            found[metric.key] = _ends(metric, name, value, f"{where} {name}")
    return found


def _ends(metric: Metric, name: str, value: Any, where: str) -> tuple[Limit, ...]:
    """One limit, or the two of {min = ..., max = ...}."""
    if not isinstance(value, dict):
        if metric.unit == "text":
            raise BadInput(f'{where}: {metric.key} is text: write {name} = {{equals = "..."}}')
        if metric.better is None:
            raise BadInput(f"{where}: neither end of {metric.key} is better: write {{max = ...}} or {{min = ...}}")
        return (_limit(metric, "max" if metric.better == "low" else "min", value, where),)
    _check_keys(value, _RELATIONS, where)
    if not value or ("equals" in value and len(value) > 1):
        raise BadInput(f"{where}: write {{max = ...}}, {{min = ...}}, both, or {{equals = ...}}")
    ends = tuple(_limit(metric, r, value[r], where) for r in _RELATIONS if r in value)
    if len(ends) == 2 and ends[0].relative is ends[1].relative and float(ends[0].target) < float(ends[1].target):
        raise BadInput(f"{where}: its max is below its min")
    return ends


def _limit(metric: Metric, relation: Relation, value: Any, where: str) -> Limit:
    if metric.unit == "text":
        if relation != "equals" or not isinstance(value, str):
            raise BadInput(f'{where}: {metric.key} is text: write {{equals = "..."}}')
        return Limit(metric, relation, value)
    if isinstance(value, str) and (match := _RELATIVE.fullmatch(value.strip())):
        if relation == "equals":
            raise BadInput(f"{where}: {value!r} is relative to the baseline: it goes with max or min")
        return Limit(metric, relation, 1 + float(match[1] + match[2]) / 100, relative=True)
    return Limit(metric, relation, _number(metric, value, where))


def _number(metric: Metric, value: Any, where: str) -> float:
    if isinstance(value, str):
        return amount(value, metric, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BadInput(f"{where}: {value!r} is no limit: write {_example(metric)}")
    return float(value)


def amount(text: str, metric: Metric, where: str = "limit") -> float:
    """A number with a unit, in the metric's own base unit; raises BadInput.

    >>> from modelcmp.metrics import METRICS
    >>> amount("30M", METRICS["params"]), amount("2 GiB", METRICS["size_bytes"]), amount("95%", METRICS["top1"])
    (30000000.0, 2147483648.0, 95.0)
    """
    match = _NUMBER.fullmatch(text.strip())
    units = _units(metric)
    if match is not None:
        unit = match[2].strip()
        factor = units.get(unit.lower() if units is _BYTES else unit)
        if factor is not None:
            return float(match[1]) * factor
    raise BadInput(f"{where}: {text!r} is no amount of {metric.key}: write {_example(metric)}")


def _units(metric: Metric) -> dict[str, float]:
    if metric.key.endswith("_ms"):
        return _TIMES
    return {"bytes": _BYTES, "percent": {"": 1.0, "%": 1.0}}.get(metric.unit, _COUNTS)


def _example(metric: Metric) -> str:
    """What a limit of a metric may look like."""
    if metric.key.endswith("_ms"):
        return '4 or "4 ms"'
    texts = {"bytes": '"2GB", "512MiB" or bytes', "percent": '"95%" or 95', "scaled": '"30M" or 30e6'}
    return texts.get(metric.unit, 'a number, such as 12 or "1.5k"')


# -- baseline -------------------------------------------------------------------------------------


def read_baseline(path: Path) -> Baseline:
    """Read an export of ``--format json``; raises BadInput."""
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"cannot read the baseline {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    rows = document.get("models") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"{path} holds no models: write it with `compare-models MODEL --format json --output {path}`")
    return Baseline(str(path), tuple(rows))
