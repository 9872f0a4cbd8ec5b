"""The Pareto front: models that no other beats in every chosen metric at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .errors import BadInput
from .metrics import Metric
from .records import ModelProfile


def parse_axes(text: str, find: Callable[[str], Metric]) -> tuple[Metric, ...]:
    """Metrics of ``top1:macs``, each in its natural direction or that of ``=low`` or ``=high``.

    Raises BadInput or UnknownName.

    >>> from modelcmp.metrics import find
    >>> [(m.key, m.better) for m in parse_axes("ai:max_width=low", find)]
    [('ai', 'high'), ('max_width', 'low')]
    """
    axes = tuple(_axis(part, find) for part in text.split(":") if part.strip())
    if len({axis.key for axis in axes}) < 2:
        raise BadInput(f"a Pareto front wants two metrics or more, not {text!r}: write top1:macs")
    return axes


def _axis(part: str, find: Callable[[str], Metric]) -> Metric:
    name, given, direction = part.partition("=")
    metric = find(name)
    if given and direction not in ("low", "high"):
        raise BadInput(f"{part.strip()!r}: write {name}=low or {name}=high")
    if metric.unit == "text":
        raise BadInput(f"{metric.key} is text, it has no better end: choose figures, such as top1:macs")
    if given:
        return replace(metric, better="low" if direction == "low" else "high")
    if metric.better is None:
        raise BadInput(f"{metric.key} has no better end of its own: write {name}=low or {name}=high")
    return metric


def pareto_front(profiles: Sequence[ModelProfile], axes: Sequence[Metric]) -> frozenset[int]:
    """Positions of the profiles that no other dominates: as good in every metric and better in one.

    Equal ones are all on the front; where a metric is unknown a profile neither is nor dominates.
    """
    return unbeaten({i: cost for i, profile in enumerate(profiles) if (cost := _costs(profile, axes)) is not None})


def unbeaten(costs: Mapping[int, tuple[float, ...]]) -> frozenset[int]:
    """Keys of the costs that no others dominate; lower is better in each place.

    >>> sorted(unbeaten({1: (1.0, 5.0), 2: (2.0, 5.0), 3: (3.0, 1.0)}))
    [1, 3]
    """
    front: dict[tuple[float, ...], list[int]] = {}
    for i in sorted(costs, key=lambda i: costs[i]):
        cost = costs[i]
        # Nothing later in this order can dominate what is earlier: only the front so far can.
        if cost in front:
            front[cost].append(i)
        elif not any(all(a <= b for a, b in zip(other, cost, strict=True)) for other in front):
            front[cost] = [i]
    return frozenset(i for members in front.values() for i in members)


def _costs(profile: ModelProfile, axes: Sequence[Metric]) -> tuple[float, ...] | None:
    """The metrics with the lowest best; None where one is unknown or not a number."""
    values = [profile.values.get(axis.key) for axis in axes]
    if not all(isinstance(v, int | float) and v == v for v in values):
        return None
    return tuple(
        float(v) * (1 if axis.better == "low" else -1)
        for v, axis in zip(values, axes, strict=True)
        if isinstance(v, int | float)
    )
