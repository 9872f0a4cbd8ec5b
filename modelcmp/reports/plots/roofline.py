"""Data of the roofline: where each place of a model stands under a machine's roofs.

Williams, Waterman, Patterson, *Roofline: An Insightful Visual Performance Model*, CACM 2009.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ... import units
from ...errors import BadInput
from ...hardware.device import Device
from ...hardware.prediction import KernelTime, Limit, Prediction
from ...kernels.kernel import CONVOLUTIONS

By = Literal["op", "layer", "model"]
BY: tuple[By, ...] = ("op", "layer", "model")
LIMITS: tuple[Limit, ...] = ("compute", "memory", "launches")

#: More models than this have no marker of their own.
MOST_MODELS = 8


@dataclass(frozen=True, slots=True)
class Place:
    """Kernels of one model, summed: their work, their time, and what the machine allows at their intensity."""

    model: str
    module: str
    kind: str  # of what takes most of its time
    op: str
    calls: int
    flops: float
    traffic_bytes: float
    seconds: float
    share_pct: float  # of the model's time
    bound: Limit  # what most of its time is for
    roofline_class: str | None  # "memory-bound" left of the ridge, "compute-bound" right of it
    peak_flop_s: float  # of what does most of its work: convolutions in fp32 may run on faster units
    attainable_flop_s: float | None  # min(peak, AI x bandwidth)
    uncounted: bool = False  # some operation has no formula: FLOPs are those of the others

    @property
    def ai(self) -> float | None:
        """Arithmetic intensity, FLOP/byte; None where it moves nothing, or is not known."""
        return self.flops / self.traffic_bytes if self.traffic_bytes and not self.uncounted else None

    @property
    def flop_s(self) -> float:
        """FLOP/s that it reaches in its predicted time."""
        return self.flops / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's roofs for one dtype: FLOP/s, byte/s, and where they meet."""

    name: str
    title: str
    dtype: str
    matrix_flop_s: float
    vector_flop_s: float | None  # None: no other than the matrix peak
    convolution_flop_s: float | None  # fp32 convolutions run on tf32 units where there are any
    bandwidth_bytes_s: float
    cache_bandwidth_bytes_s: float | None

    @property
    def ridge(self) -> float:
        """FLOP/byte from which the arithmetic is the limit."""
        return self.matrix_flop_s / self.bandwidth_bytes_s

    @property
    def highest_flop_s(self) -> float:
        """The highest roof."""
        return self.convolution_flop_s or self.matrix_flop_s

    def attainable(self, ai: float, peak_flop_s: float | None = None) -> float:
        """The roof above an intensity, FLOP/s."""
        return min(peak_flop_s or self.highest_flop_s, ai * self.bandwidth_bytes_s)


@dataclass(frozen=True, slots=True)
class ModelTime:
    """One model's prediction in figures, and where it goes."""

    model: str
    batch_size: int
    seconds: float
    bound: Limit
    shares_pct: dict[Limit, float]
    total: Place
    places: tuple[Place, ...]  # most time first

    @property
    def points(self) -> tuple[Place, ...]:
        """Places that have a point on logarithmic axes."""
        return tuple(p for p in self.places if p.flops > 0 and p.ai is not None and p.seconds > 0)

    @property
    def pointless_pct(self) -> float:
        """Share of the time in places without FLOPs: copies, and what has no formula."""
        return sum(p.share_pct for p in self.places) - sum(p.share_pct for p in self.points)


@dataclass(frozen=True, slots=True)
class Roofline:
    """Models under the roofs of one machine."""

    machine: Machine
    models: tuple[ModelTime, ...]
    by: By


def machine_of(device: Device, dtype: str) -> Machine:
    """The roofs of a machine; raises BadInput where it lacks the dtype."""
    matrix, vector = device.peak_flops(dtype), device.vector_flops.get(dtype)
    tf32 = device.matrix_flops.get("tf32", 0.0) if dtype == "fp32" else 0.0
    return Machine(
        device.name, device.title, dtype, matrix, vector if vector and vector < matrix else None,
        tf32 if tf32 > matrix else None, device.bandwidth_bytes_s, device.cache_bandwidth_bytes_s,
    )  # fmt: skip


def roofline(predictions: Sequence[Prediction], by: By = "layer") -> Roofline:
    """Predictions as points under one machine's roofs; raises BadInput where they are of several machines."""
    if not predictions:
        raise BadInput("a roofline needs at least one model")
    first = predictions[0]
    if any((p.device.name, p.dtype) != (first.device.name, first.dtype) for p in predictions):
        raise BadInput("a roofline is of one machine and one dtype: predict all models on the same")
    machine = machine_of(first.device, first.dtype)
    return Roofline(machine, tuple(_model(p, machine, by) for p in predictions), by)


def _model(prediction: Prediction, machine: Machine, by: By) -> ModelTime:
    whole = prediction.seconds
    total = _place(prediction.model, prediction.kernels, machine, whole, "")
    groups: dict[object, list[KernelTime]] = defaultdict(list)
    for i, timed in enumerate(prediction.kernels):
        groups[{"op": i, "layer": timed.kernel.module, "model": 0}[by]].append(timed)
    named = {"op": None, "layer": None, "model": ""}[by]
    places = (_place(prediction.model, g, machine, whole, named) for g in groups.values())
    ordered = tuple(sorted(places, key=lambda p: p.seconds, reverse=True))
    return ModelTime(prediction.model, prediction.batch_size, whole, prediction.bound or "launches",
                     _shares(prediction.kernels), total, ordered)  # fmt: skip


def _spent(timed: KernelTime) -> float:
    return timed.seconds * timed.kernel.calls


def _shares(kernels: Iterable[KernelTime]) -> dict[Limit, float]:
    """Percent of the time that each limit is the reason for."""
    spent: dict[Limit, float] = dict.fromkeys(LIMITS, 0.0)
    for timed in kernels:
        busy = max(timed.compute_s, timed.memory_s)
        spent["compute" if timed.compute_s > timed.memory_s else "memory"] += busy * timed.kernel.calls
        spent["memory"] += timed.layout_s * timed.kernel.calls
        spent["launches"] += timed.launch_s * timed.kernel.calls
    whole = sum(spent.values()) or 1.0
    return {limit: 100 * seconds / whole for limit, seconds in spent.items()}


def _peak(group: Sequence[KernelTime], machine: Machine) -> float:
    """The matrix peak of the units that most of the FLOPs run on."""
    if machine.convolution_flop_s is None:
        return machine.matrix_flop_s
    convolved = sum(t.kernel.flops * t.kernel.calls for t in group if t.kernel.kind in CONVOLUTIONS)
    most = 2 * convolved > sum(t.kernel.flops * t.kernel.calls for t in group)
    return machine.convolution_flop_s if most else machine.matrix_flop_s


def _class(ai: float | None, ridge: float) -> str | None:
    """Left of the ridge or right of it."""
    if ai is None:
        return None
    return "memory-bound" if ai < ridge else "compute-bound"


def _place(model: str, group: Sequence[KernelTime], machine: Machine, whole: float, module: str | None) -> Place:
    flops = sum(t.kernel.flops * t.kernel.calls for t in group)
    traffic = sum(t.kernel.traffic_bytes * t.kernel.calls for t in group)
    seconds = sum(_spent(t) for t in group)
    shares = _shares(group)
    uncounted = any(t.kernel.kind == "other" for t in group)
    ai = flops / traffic if traffic and not uncounted else None
    peak = _peak(group, machine)
    leading = max(group, key=_spent, default=None)
    return Place(
        model=model, module=leading.kernel.module if leading and module is None else module or "",
        kind=leading.kernel.kind if leading else "", op=leading.kernel.op if leading else "",
        calls=sum(t.kernel.calls for t in group), flops=flops, traffic_bytes=traffic, seconds=seconds,
        share_pct=100 * seconds / whole if whole else 0.0, bound=max(LIMITS, key=lambda limit: shares[limit]),
        roofline_class=_class(ai, peak / machine.bandwidth_bytes_s),
        peak_flop_s=peak, attainable_flop_s=None if ai is None else machine.attainable(ai, peak), uncounted=uncounted,
    )  # fmt: skip


def duration(seconds: float) -> str:
    """Write a time with three significant digits.

    >>> duration(1.234e-3), duration(56.7e-6), duration(2.5), duration(0)
    ('1.23 ms', '56.7 µs', '2.50 s', '0 s')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor * 0.9995:
            return f"{units.scaled(seconds / factor + 1e-12)} {unit}"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0 s"


def check_drawable(names: Sequence[str]) -> None:
    """Refuse more models than there are markers; raises BadInput."""
    if len(names) > MOST_MODELS:
        raise BadInput(f"{len(names)} models cannot be told apart in one roofline: draw at most {MOST_MODELS}")
