"""Order, medals, best and worst: pure functions over profiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .metrics import METRICS, Better, Metric, Value, find
from .records import ModelProfile

MEDALS = ("🥇", "🥈", "🥉")

#: Metrics of the efficiency rankings.
RANKED = ("params", "size_bytes", "macs", "flops", "traffic_bytes", "peak_activation_bytes", "depth",
          "flops_per_param", "bytes_per_flop", "ai")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ranking:
    """Models by one metric, best first."""

    metric: Metric
    order: tuple[ModelProfile, ...]

    @property
    def best(self) -> ModelProfile:
        """The first."""
        return self.order[0]

    @property
    def worst(self) -> ModelProfile:
        """The last."""
        return self.order[-1]


def ranked(profiles: Iterable[ModelProfile], by: str | Metric, reverse: bool = False) -> tuple[ModelProfile, ...]:
    """Profiles in the natural order of a metric (best first), unknown values last.

    Equal values keep the order in which they were given. Raises UnknownName.
    """
    entry = find(by) if isinstance(by, str) else by
    everyone = list(profiles)
    known = [p for p in everyone if p.values[entry.key] is not None]
    unknown = [p for p in everyone if p.values[entry.key] is None]
    descending = (entry.better == "high") != reverse
    known.sort(key=lambda p: _sortable(p.values[entry.key]), reverse=descending)
    return (*known, *unknown)


def _sortable(value: Value) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (float(value or 0), "")


def medals(profiles: Sequence[ModelProfile], by: str | Metric) -> dict[int, str]:
    """Medal of each of the best three, by position in ``profiles``; equal values share one.

    Nobody gets a medal for a metric without a better end, nor where all are equal.
    """
    entry = find(by) if isinstance(by, str) else by
    return awarded([p.values[entry.key] for p in profiles], entry.better)


def awarded(values: Sequence[Value], better: Better) -> dict[int, str]:
    """Medal of each of the best three known values, by position; equal values share one, and it counts for each.

    >>> awarded([0.9, None, 0.8, 0.9, 0.7], "high")
    {0: '🥇', 2: '🥉', 3: '🥇'}
    """
    known = [v for v in values if v is not None]
    if better is None or len(set(known)) < 2:
        return {}
    best = sorted(known, key=_sortable, reverse=better == "high")[: len(MEDALS)]
    return {i: MEDALS[best.index(v)] for i, v in enumerate(values) if v in best}


def rankings(profiles: Sequence[ModelProfile]) -> tuple[Ranking, ...]:
    """Best and worst of each of the ranked metrics."""
    return tuple(Ranking(METRICS[key], ranked(profiles, key)) for key in RANKED)
