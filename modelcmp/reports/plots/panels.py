"""Data of the pictures with several panels: models side by side, and growth with the batch or input size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ...errors import BadInput
from ...metrics import METRICS, Metric
from ...records import ModelProfile
from ...reductions import classify
from .data import Axis, check_number, label_of, number_of, text_of, wants_log

#: More bars than this are no longer read but searched.
MOST_BARS = 12
BAR_METRICS = ("params", "macs", "traffic_bytes", "ai", "peak_activation_bytes", "depth")

Over = Literal["batch_size", "input_size"]
OVER_LABELS: dict[Over, str] = {"batch_size": "Batch size", "input_size": "Input size, pixels"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One model's bar; no length where the value is unknown."""

    value: float | None
    text: str
    best: bool


@dataclass(frozen=True, slots=True)
class BarPanel:
    """One metric of all models."""

    metric: Metric
    bars: tuple[Bar, ...]

    @property
    def label(self) -> str:
        """The metric's name in a picture."""
        return label_of(self.metric)


@dataclass(frozen=True, slots=True)
class Bars:
    """Models side by side, one panel a metric."""

    names: tuple[str, ...]
    panels: tuple[BarPanel, ...]


def bars(profiles: Sequence[ModelProfile], metrics: Sequence[Metric] | None = None) -> Bars:
    """Bars of a few models in BAR_METRICS or the metrics given; raises BadInput for too many models or for text."""
    shown = [METRICS[key] for key in BAR_METRICS] if metrics is None else list(metrics)
    if not profiles or not shown:
        raise BadInput("a bar chart needs at least one model and one metric")
    if len(profiles) > MOST_BARS:
        raise BadInput(
            f"{len(profiles)} models are too many for bars: keep the best with --top {MOST_BARS}, or draw a scatter"
        )
    return Bars(tuple(p.name for p in profiles), tuple(_bar_panel(profiles, m) for m in shown))


def _bar_panel(profiles: Sequence[ModelProfile], metric: Metric) -> BarPanel:
    check_number(metric)
    values = [number_of(p, metric) for p in profiles]
    known = {v for v in values if v is not None}
    best = None
    if metric.better is not None and len(known) > 1:
        best = max(known) if metric.better == "high" else min(known)
    made = [Bar(v, text_of(p, metric), v is not None and v == best) for p, v in zip(profiles, values, strict=True)]
    return BarPanel(metric, tuple(made))


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: a value and its text at each x."""

    label: str
    values: tuple[float | None, ...]
    texts: tuple[str, ...]
    main: bool = True  # the others are drawn thinner


@dataclass(frozen=True, slots=True)
class GrowthPanel:
    """One quantity over the batch or input size."""

    label: str
    axis: Axis
    series: tuple[Series, ...]
    zones: bool = False  # shade the roofline classes


@dataclass(frozen=True, slots=True)
class Growth:
    """How one model's cost grows; ``changes`` are the x from which another roofline class holds."""

    name: str
    over: Over
    xs: tuple[int, ...]
    panels: tuple[GrowthPanel, ...]
    changes: tuple[tuple[int, str], ...]


_PANELS = (("macs",), ("traffic_bytes", "fused_traffic_bytes", "minimal_traffic_bytes"), ("ai",),
           ("peak_activation_bytes",))  # fmt: skip
_LINES = {"traffic_bytes": "eager", "fused_traffic_bytes": "fused", "minimal_traffic_bytes": "minimal"}


def growth(profiles: Sequence[ModelProfile], over: Over) -> Growth:
    """One model at several batch or input sizes, in order; raises BadInput where the profiles do not differ in it."""
    by_x = {_size(p, over): p for p in profiles}
    _check_one_model(profiles, over, len(by_x))
    order = sorted(by_x)
    same = [by_x[x] for x in order]
    panels = tuple(_growth_panel(same, keys) for keys in _PANELS)
    return Growth(same[0].name, over, tuple(order), panels, _changes(order, same))


def _size(profile: ModelProfile, over: Over) -> int:
    if over == "batch_size":
        return profile.batch_size
    if not profile.input_shape or not profile.input_shape[0]:
        raise BadInput(f"{profile.name} has no input size: draw its growth over the batch size")
    return profile.input_shape[0][-1]


def _check_one_model(profiles: Sequence[ModelProfile], over: Over, different: int) -> None:
    names = list(dict.fromkeys(p.name for p in profiles))
    what = over.replace("_", " ")
    if len(names) > 1:
        raise BadInput(f"growth is drawn of one model, not of {len(names)} ({names[0]}, {names[1]}, ...): name one")
    if different < 2:
        raise BadInput(f"growth needs at least two {what}s: give more, such as 1,8,64")
    if different < len(profiles):
        raise BadInput(f"growth over the {what} was given one {what} twice: profile each once, all else the same")


def _growth_panel(profiles: Sequence[ModelProfile], keys: tuple[str, ...]) -> GrowthPanel:
    metrics = [METRICS[key] for key in keys]
    lines = tuple(
        Series(
            _LINES.get(m.key, label_of(m)),
            tuple(number_of(p, m) for p in profiles),
            tuple(text_of(p, m) for p in profiles),
            m is metrics[0],
        )
        for m in metrics
    )
    zones = keys == ("ai",)
    known = [v for s in lines for v in s.values if v is not None]
    return GrowthPanel(label_of(metrics[0]), Axis(metrics[0], wants_log(known, metrics[0])), lines, zones)


def _changes(xs: Sequence[int], profiles: Sequence[ModelProfile]) -> tuple[tuple[int, str], ...]:
    """Where the roofline class is another than at the size before."""
    classes = [classify(number_of(p, METRICS["ai"])) for p in profiles]
    steps = zip(xs[1:], pairwise(classes), strict=True)
    return tuple((x, after) for x, (before, after) in steps if after is not None and before not in (None, after))
