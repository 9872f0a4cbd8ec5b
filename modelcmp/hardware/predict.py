"""From profiles to their predicted time on a machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import BadInput
from ..kernels import Kernel, kernels, merged
from ..records import ModelProfile
from .catalogue import find
from .columns import Array, columns_of
from .device import Device
from .efficiency import efficiencies
from .latency import Times, convolution_flops, timed
from .prediction import LEVELS, KernelTime, Limit, Prediction


def predict(
    profile: ModelProfile,
    device: Device | str,
    *,
    level: str | None = None,
    compiled: bool = False,
    amp: str | None = None,
) -> Prediction:
    """Predict the time of one forward pass at the profile's batch size and dtype, on a machine or that of a name.

    ``level`` is "datasheet", "calibrated" or "this machine"; by default the best that there is for the device.
    ``amp`` ("fp16", "bf16") is mixed precision as ``torch.autocast`` runs it, of a profile in fp32.
    Raises UnknownName, or BadInput when the machine lacks the dtype or operations were not kept.
    """
    if not isinstance(profile, ModelProfile):
        raise BadInput(f"predict takes a profile: predict(profile({profile!r}), ...)")
    device = find(device) if isinstance(device, str) else device
    check_predictable(profile.mode)
    found = kernels_of(profile, compiled, amp)
    level = checked_level(device, level)
    times = timed(columns_of([found]), device, efficiencies(device, level), compiled)
    return _prediction(profile, device, level, compiled, amp, found, times)


def predict_many(
    profiles: Sequence[ModelProfile], device: Device, *, level: str | None = None, compiled: bool = False
) -> list[Prediction]:
    """:func:`predict` for many profiles at once."""
    level = checked_level(device, level)
    # Merged also where they come from a fresh profile: a cached one gives the same times to the last bit.
    found = [merged(kernels_of(profile, compiled)) for profile in profiles]
    if not any(found):
        return [_prediction(p, device, level, compiled, None, (), _none()) for p in profiles]
    times = timed(columns_of(found), device, efficiencies(device, level), compiled)
    ends = np.cumsum([len(f) for f in found])
    parts = zip(profiles, found, [0, *ends], ends, strict=False)
    return [
        _prediction(p, device, level, compiled, None, f, times.part(a, b))
        for p, f, a, b in parts
    ]  # fmt: skip


def check_predictable(mode: str) -> None:
    """Refuse what cannot be predicted; raises BadInput."""
    if mode == "train":
        raise BadInput("latency is predicted for inference: leave train mode or the machine out")


def kernels_of(profile: ModelProfile, compiled: bool, amp: str | None = None) -> tuple[Kernel, ...]:
    """The kernels of a profile; raises BadInput when its operations were not kept."""
    if profile.trace is not None:
        return kernels(profile.trace, compiled=compiled, amp=amp)
    if profile.kernels is None or amp is not None:
        raise BadInput(f"{profile.name}: its operations were not kept, profile it again")
    return profile.kernels["compiled" if compiled else "eager"]


def checked_level(device: Device, level: str | None) -> str:
    """The level asked for, or the best that there is; raises BadInput."""
    best = "this machine" if device.measured else "calibrated"
    if level is not None and level not in LEVELS:
        raise BadInput(f"unknown level {level!r}: use {', '.join(map(repr, LEVELS))}")
    if level == "this machine" and not device.measured:
        raise BadInput(f"{device.name} was not measured here: `compare-models calibrate` does, or use calibrated")
    return level or best


def _none() -> Times:
    empty = np.zeros(0)
    return Times(empty, empty, empty, empty)


def _prediction(
    profile: ModelProfile, device: Device, level: str, compiled: bool, amp: str | None, found: Sequence[Kernel],
    times: Times,
) -> Prediction:  # fmt: skip
    parts = (times.compute, times.memory, times.launch, times.layout)
    rows = tuple(KernelTime(*row) for row in zip(found, *(part.tolist() for part in parts), strict=True))
    counts = np.array([kernel.calls for kernel in found], dtype=float)
    return Prediction(
        model=profile.name, device=device, dtype=amp or profile.dtype, batch_size=profile.batch_size, level=level,
        compiled=compiled, kernels=rows, seconds=float((times.total * counts).sum()), bound=_bound(times, counts),
        strict_s=strict_seconds(profile, device, amp), memory_bytes=int(profile.values["memory_needed_bytes"] or 0),
    )  # fmt: skip


def _bound(times: Times, counts: Array) -> Limit | None:
    """What most of the time is for; changing layouts is memory's. None where nothing is run."""
    compute = times.compute > times.memory
    parts: dict[Limit, float] = {
        "compute": float((times.compute * compute * counts).sum()),
        "memory": float(((times.memory * ~compute + times.layout) * counts).sum()),
        "launches": float((times.launch * counts).sum()),
    }
    most: Limit = max(parts, key=parts.__getitem__)
    return most if parts[most] else None


def strict_seconds(profile: ModelProfile, device: Device, amp: str | None = None) -> float:
    """What no schedule can beat: contractions at the matrix peak, minimal traffic at full bandwidth, no launches."""
    v = profile.values
    dtype = amp or profile.dtype
    peak = max(device.peak_flops(dtype), convolution_flops(device, dtype) or 0.0)
    moved = float(v["minimal_traffic_bytes"] or 0) * (0.5 if amp else 1.0)
    return max(2 * float(v["macs"] or 0) / peak, moved / device.bandwidth_bytes_s)
