"""Data of the scatter plot: points, axes, the front's line, and who is left out."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ...errors import BadInput
from ...metrics import Better, Metric
from ...records import ModelProfile

#: From this ratio of the largest to the smallest value on, an axis is logarithmic.
LOG_FROM = 30.0

# A table names the section above these; a picture has no heading to lean on.
_LABELS = {
    "traffic_bytes": "Memory traffic",
    "input_bytes": "Input traffic",
    "output_bytes": "Output traffic",
    "weight_bytes": "Weight traffic",
    "fused_traffic_bytes": "Fused traffic",
    "minimal_traffic_bytes": "Minimal traffic",
    "peak_activation_bytes": "Peak activation memory",
    "ai": "Arithmetic intensity, FLOP/byte",
    "fused_ai": "Fused arithmetic intensity, FLOP/byte",
    "mean_layer_ai": "Mean layer intensity, FLOP/byte",
    "compute_bound_pct": "Compute-bound layers",
    "memory_bound_pct": "Memory-bound layers",
}


def label_of(metric: Metric) -> str:
    """What a picture calls a metric."""
    return _LABELS.get(metric.key, metric.label)


def number_of(profile: ModelProfile, metric: Metric) -> float | None:
    """The value as a number that can be drawn, None where it is unknown."""
    value = profile.values.get(metric.key)
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return None
    return float(value)


def text_of(profile: ModelProfile, metric: Metric) -> str:
    """The value as a table writes it, "≥" included."""
    return metric.text(profile.values.get(metric.key), profile.partial)


def check_number(metric: Metric) -> None:
    """Refuse a metric that is text; raises BadInput."""
    if metric.unit == "text":
        raise BadInput(f"{metric.key} is text and has no place on an axis: choose a number, such as macs or params")


def wants_log(values: Iterable[float], metric: Metric) -> bool:
    """Whether the values spread over so many sizes that a linear axis would hide the small ones."""
    known = list(values)
    if metric.unit == "percent" or metric.section == "accuracy" or not known or min(known) <= 0:
        return False
    return max(known) / min(known) >= LOG_FROM


@dataclass(frozen=True, slots=True)
class Axis:
    """What one axis shows and how it is scaled."""

    metric: Metric
    log: bool

    @property
    def label(self) -> str:
        """The metric's name in a picture."""
        return label_of(self.metric)

    @property
    def better(self) -> Better:
        """The better end, None where neither is."""
        return self.metric.better

    def tick(self, value: float) -> str:
        """A tick's text: the product's own, without zeros that say nothing."""
        return re.sub(r"\.(\d*?)0+(?!\d)", lambda m: f".{m[1]}" if m[1] else "", self.metric.text(value))


@dataclass(frozen=True, slots=True)
class Point:
    """One model in the plane."""

    name: str
    group: str  # the model's source
    x: float
    y: float
    x_text: str
    y_text: str
    front: bool


@dataclass(frozen=True, slots=True)
class Scatter:
    """A scatter plot of models, with the Pareto front where one was given."""

    x: Axis
    y: Axis
    points: tuple[Point, ...]
    line: tuple[tuple[float, float], ...]  # the front from left to right; empty where it is none in these two
    left_out: tuple[str, ...]  # models of which x or y is unknown

    @property
    def groups(self) -> tuple[str, ...]:
        """Sources in order of appearance."""
        return tuple(dict.fromkeys(p.group for p in self.points))


def scatter(profiles: Sequence[ModelProfile], x: Metric, y: Metric, front: Collection[int] | None = None) -> Scatter:
    """Place models by two metrics; ``front`` holds the positions of the Pareto front's members.

    Raises BadInput where a metric is text or no model has both values.
    """
    for metric in (x, y):
        check_number(metric)
    members = frozenset(front or ())
    points, left_out = [], []
    for i, profile in enumerate(profiles):
        point = _point(profile, x, y, i in members)
        if point is None:
            left_out.append(profile.name)
        else:
            points.append(point)
    if not points:
        raise BadInput(f"no model has both {x.key} and {y.key}: choose metrics that are known, such as macs and params")
    axes = (Axis(x, wants_log((p.x for p in points), x)), Axis(y, wants_log((p.y for p in points), y)))
    return Scatter(*axes, tuple(points), front_line(points, x.better, y.better), tuple(left_out))


def _point(profile: ModelProfile, x: Metric, y: Metric, front: bool) -> Point | None:
    across, up = number_of(profile, x), number_of(profile, y)
    if across is None or up is None:
        return None
    return Point(profile.name, profile.source, across, up, text_of(profile, x), text_of(profile, y), front)


def front_line(points: Sequence[Point], x: Better, y: Better) -> tuple[tuple[float, float], ...]:
    """The front's corners from left to right.

    Empty where a member is beaten in these two metrics alone: its front has more dimensions, and a
    line through it would mean nothing.
    """
    members = [p for p in points if p.front]
    if x is None or y is None or len(members) < 2:
        return ()
    if any(_beats(p, m, x, y) for m in members for p in points):
        return ()
    return tuple(sorted({(m.x, m.y) for m in members}))


def _beats(a: Point, b: Point, x: Better, y: Better) -> bool:
    """Whether ``a`` is no worse than ``b`` in both and better in one."""
    across = a.x - b.x if x == "high" else b.x - a.x
    up = a.y - b.y if y == "high" else b.y - a.y
    return across >= 0 and up >= 0 and (across > 0 or up > 0)
