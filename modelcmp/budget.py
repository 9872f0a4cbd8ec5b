"""Budgets: limits that figures have to keep, and the verdict on each.

A figure that is unknown, or only known to be "at least" something, never passes a limit that it could break.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from .metrics import Metric, Value
from .records import ModelProfile

Relation = Literal["max", "min", "equals"]
State = Literal["ok", "broken", "unknown"]
Known = Literal["exactly", "at least", "at most", "not"]

#: What operations without a formula make of figures that hang on FLOPs, besides those that say so themselves.
_AT_LEAST = frozenset({"flops_per_param", "ai", "fused_ai", "activations", "latency_ms"})
_AT_MOST = frozenset({"params_per_mac", "bytes_per_flop", "throughput"})
_EXACT_SECTIONS = frozenset({"size", "traffic", "accuracy", "joined"})
_EXACT = frozenset({"memory_needed_bytes"})


@dataclass(frozen=True, slots=True)
class Limit:
    """One end that a metric has to keep to; a ``relative`` target is a factor of the baseline's figure."""

    metric: Metric
    relation: Relation
    target: float | str
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What figures are asked of: how the model is fed, and the machine where one is named."""

    batch_size: int = 1
    input_size: str | None = None
    dtype: str = "fp32"
    mode: str = "eval"
    convention: str = "total"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    reparam: bool = False
    hardware: str | None = None
    level: str | None = None  # the best that there is for the machine
    compiled: bool = False


#: Limits of each metric, by its key; none where a pattern takes a metric's limits away.
Limits = Mapping[str, tuple[Limit, ...]]


@dataclass(frozen=True, slots=True)
class Case:
    """Limits at one setting, for the models that ``models`` matches; ``overrides`` change them for some of these."""

    name: str
    settings: Settings
    limits: Limits
    models: tuple[str, ...] = ("*",)
    overrides: tuple[tuple[str, Limits], ...] = ()

    def limits_for(self, model: str) -> tuple[Limit, ...]:
        """What one model has to keep; of several patterns that match it the last one counts."""
        if not any(fnmatchcase(model, pattern) for pattern in self.models):
            return ()
        found = dict(self.limits)
        for pattern, limits in self.overrides:
            if fnmatchcase(model, pattern):
                found |= limits
        return tuple(limit for limits in found.values() for limit in limits)


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget file as it was read."""

    path: str
    cases: tuple[Case, ...]

    @property
    def relative(self) -> bool:
        """Whether some limit refers to a baseline."""
        every = [*(c.limits for c in self.cases), *(limits for c in self.cases for _, limits in c.overrides)]
        return any(limit.relative for limits in every for ends in limits.values() for limit in ends)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Models of an earlier JSON export, which relative limits refer to."""

    path: str
    rows: tuple[Mapping[str, Any], ...]

    def figure(self, profile: ModelProfile, case: Case, metric: Metric) -> float | None:
        """The figure of the same model at the same settings, None where there is none."""
        wanted = _identity(profile) | (_machine(profile) if predicted(metric) else {})
        for row in self.rows:
            value = row.get(metric.key)
            same = all(row.get(k) == v for k, v in wanted.items())
            if same and isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        return None


def predicted(metric: Metric) -> bool:
    """Whether a metric follows from the machine that is named: it is no figure of the trace, nor of a table."""
    return metric.compute is None and metric.section not in ("accuracy", "joined")


def _machine(profile: ModelProfile) -> dict[str, Any]:
    on = profile.machine
    return {"hardware": on.name, "level": on.level, "compiled": on.compiled} if on else {}


def _identity(profile: ModelProfile) -> dict[str, Any]:
    shapes = [list(s) for s in profile.input_shape]
    return {
        "name": profile.name, "input_shape": shapes[0] if len(shapes) == 1 else shapes, "dtype": profile.dtype,
        "batch_size": profile.batch_size, "mode": profile.mode, "convention": profile.convention,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one model keeps one limit; ``target`` is None where the baseline has no figure."""

    model: str
    case: Case
    limit: Limit
    target: float | str | None
    value: Value
    known: Known
    state: State

    @property
    def headroom_pct(self) -> float | None:
        """How far the value is inside its limit, in percent of the limit; negative outside."""
        if not isinstance(self.value, int | float) or not isinstance(self.target, int | float) or not self.target:
            return None
        if self.limit.relation == "equals":
            return None
        inside = self.target - self.value if self.limit.relation == "max" else self.value - self.target
        return 100 * inside / self.target


def judge(profile: ModelProfile, case: Case, baseline: Baseline | None = None) -> tuple[Verdict, ...]:
    """The verdict on every limit of one model in one case, in the order of the budget."""
    return tuple(_verdict(profile, case, limit, baseline) for limit in case.limits_for(profile.name))


def _verdict(profile: ModelProfile, case: Case, limit: Limit, baseline: Baseline | None) -> Verdict:
    value = profile.values.get(limit.metric.key)
    known = certainty(limit.metric, value, profile.partial)
    target: float | str | None = limit.target
    if limit.relative and isinstance(limit.target, float):
        before = baseline.figure(profile, case, limit.metric) if baseline else None
        target = None if before is None else limit.target * before
    return Verdict(profile.name, case, limit, target, value, known, _state(value, limit.relation, target, known))


def certainty(metric: Metric, value: Value, partial: bool) -> Known:
    """How well a figure is known; ``partial``: some operation has no formula."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "not"
    if not partial:
        return "exactly"
    if metric.at_least or metric.key in _AT_LEAST:
        return "at least"
    if metric.key in _AT_MOST:
        return "at most"
    return "exactly" if metric.section in _EXACT_SECTIONS or metric.key in _EXACT else "not"


def _state(value: Value, relation: Relation, target: float | str | None, known: Known) -> State:
    """Ok and broken only where the true figure, whatever it is, would be judged so."""
    if value is None or target is None or known == "not":
        return "unknown"
    if relation == "equals":
        if known != "exactly":
            return "unknown"
        return "ok" if value == target else "broken"
    if isinstance(value, str) or isinstance(target, str):
        return "unknown"
    kept = value <= target if relation == "max" else value >= target
    # A figure that is at least the value breaks what the value breaks upwards, and keeps what it keeps downwards.
    proven = known == "exactly" or kept == ((relation == "min") == (known == "at least"))
    return ("ok" if kept else "broken") if proven else "unknown"


def all_hold(verdicts: Sequence[Verdict]) -> bool:
    """Whether every limit is known to be kept."""
    return all(v.state == "ok" for v in verdicts)
