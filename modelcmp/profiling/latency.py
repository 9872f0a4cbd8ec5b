"""Profiles on a machine: predicted latency, and roofline classes against that machine's ridge point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..comparison import Comparison
from ..errors import BadInput
from ..hardware.device import Device
from ..hardware.latency import convolution_flops
from ..hardware.predict import check_predictable, kernels_of, predict_many
from ..hardware.prediction import Prediction
from ..kernels import Kernel
from ..kernels.kernel import COMPUTING, CONVOLUTIONS
from ..records import Machine, ModelProfile


def on_machine(
    comparison: Comparison, device: Device, *, level: str | None = None, compiled: bool = False
) -> Comparison:
    """The same with what each profile takes on a machine; raises BadInput when it lacks their dtype.

    Classes and shares are then against the machine's ridge point, not the thresholds that hold for none.
    """
    profiles = comparison.profiles
    for profile in profiles:
        check_machine(device, profile.dtype, profile.mode, profile.convention)
    predictions = predict_many(profiles, device, level=level, compiled=compiled)
    found = (_placed(profile, p) for profile, p in zip(profiles, predictions, strict=True))
    return replace(comparison, profiles=tuple(found))


def check_machine(device: Device, dtype: str, mode: str, convention: str) -> None:
    """Refuse what cannot be predicted; raises BadInput."""
    device.peak_flops(dtype)
    check_predictable(mode)
    if convention == "fvcore":
        raise BadInput("a machine's peak counts two FLOPs a MAC, fvcore one: use --convention total with --hardware")


def _placed(profile: ModelProfile, prediction: Prediction) -> ModelProfile:
    device = prediction.device
    machine = Machine(
        device.name, device.title, prediction.level, prediction.compiled, profile.dtype,
        device.peak_flops(profile.dtype), convolution_flops(device, profile.dtype), device.bandwidth_bytes_s,
        device.memory_bytes,
    )  # fmt: skip
    kernels = kernels_of(profile, compiled=False)
    peak = _peak(kernels, machine)
    ridge = peak / machine.bandwidth_bytes_s
    ai = profile.values["ai"]
    values = {
        **profile.values,
        "latency_ms": prediction.latency_ms,
        "throughput": prediction.throughput,
        "limited_by": prediction.bound,
        "attainable_flops": min(peak, ai * machine.bandwidth_bytes_s) if isinstance(ai, float) else None,
        "bound_ms": 1e3 * prediction.strict_s,
        "fits": "yes" if prediction.fits else "no",
        "bound": against(ai if isinstance(ai, float) else None, ridge),
        **_shares(kernels, machine, profile.convention),
    }
    return replace(profile, values=values, machine=machine)


def _peak(kernels: Sequence[Kernel], machine: Machine) -> float:
    """The matrix peak of the units that most of the FLOPs run on."""
    if machine.convolution_flops is None:
        return machine.peak_flops
    convolved = sum(k.flops * k.calls for k in kernels if k.kind in CONVOLUTIONS)
    most = 2 * convolved > sum(k.flops * k.calls for k in kernels)
    return machine.convolution_flops if most else machine.peak_flops


def against(ai: float | None, ridge: float) -> str | None:
    """Roofline class against a ridge point: `memory-bound` to its left, `compute-bound` from it on.

    >>> against(4.7, 20.0), against(80.0, 20.0), against(None, 20.0)
    ('memory-bound', 'compute-bound', None)
    """
    if ai is None:
        return None
    return "compute-bound" if ai >= ridge else "memory-bound"


def _shares(kernels: Sequence[Kernel], machine: Machine, convention: str) -> dict[str, float | None]:
    """Percent of the layers, and of their FLOPs, to the left and the right of the ridge of the units they run on."""
    rows = [
        (k.calls, flops, k.traffic_bytes * _peak([k], machine) / machine.bandwidth_bytes_s)
        for k in kernels
        if k.kind in COMPUTING and k.traffic_bytes
        for flops in [2 * k.macs if convention == "contraction" else k.flops]
    ]
    layers = sum(calls for calls, _, _ in rows)
    work = sum(calls * flops for calls, flops, _ in rows)
    fast = [(calls, flops) for calls, flops, needed in rows if flops >= needed]
    by_layers = 100 * sum(calls for calls, _ in fast) / layers if layers else None
    by_work = 100 * sum(calls * flops for calls, flops in fast) / work if work else None
    return {
        "compute_bound_pct": by_layers,
        "memory_bound_pct": None if by_layers is None else 100 - by_layers,
        "compute_bound_flops_pct": by_work,
        "memory_bound_flops_pct": None if by_work is None else 100 - by_work,
    }
