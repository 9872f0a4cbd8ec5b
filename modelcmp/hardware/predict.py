"""From a profile to its predicted time on a machine."""

from __future__ import annotations

from ..kernels import Kernel, kernels
from ..records import ModelProfile
from .device import Device
from .prediction import KernelTime, Limit, Prediction


def predict(profile: ModelProfile, device: Device, *, level: str = "calibrated", compiled: bool = False) -> Prediction:
    """Predict the time of one forward pass; raises BadInput when the machine lacks the profile's dtype."""
    assert profile.trace is not None
    times = tuple(_timed(k, device, profile.dtype) for k in kernels(profile.trace, compiled))
    seconds = sum(t.seconds * t.kernel.count for t in times)
    parts: dict[Limit, float] = {"compute": 0.0, "memory": 0.0, "launches": 0.0}
    for t in times:
        parts[t.bound] += t.seconds * t.kernel.count
    v = profile.values
    strict = max(float(v["flops"] or 0) / device.peak_flops(profile.dtype),
                 float(v["minimal_traffic_bytes"] or 0) / device.bandwidth_bytes_s)  # fmt: skip
    memory = int(v["size_bytes"] or 0) + int(v["peak_activation_bytes"] or 0)
    return Prediction(profile.name, device, profile.dtype, profile.batch_size, level, compiled, times, seconds,
                      max(parts, key=lambda p: parts[p]), strict, memory)  # fmt: skip


def _timed(kernel: Kernel, device: Device, dtype: str) -> KernelTime:
    return KernelTime(kernel, kernel.flops / device.peak_flops(dtype), kernel.traffic_bytes / device.bandwidth_bytes_s,
                      device.launch_s)  # fmt: skip
