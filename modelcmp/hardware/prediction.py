"""Frozen results: how long one kernel and a model take on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..kernels import Kernel
from .device import Device

LEVELS = ("datasheet", "calibrated", "this machine")
Limit = Literal["compute", "memory", "launches"]


@dataclass(frozen=True, slots=True)
class KernelTime:
    """One kernel on one machine: seconds for one call; it is called ``kernel.count`` times."""

    kernel: Kernel
    compute_s: float
    memory_s: float
    launch_s: float

    @property
    def seconds(self) -> float:
        """max(compute, memory) + launch."""
        return max(self.compute_s, self.memory_s) + self.launch_s

    @property
    def bound(self) -> Limit:
        """What most of its time is for."""
        if self.launch_s > max(self.compute_s, self.memory_s):
            return "launches"
        return "compute" if self.compute_s > self.memory_s else "memory"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's predicted time on one machine, for the whole batch."""

    model: str
    device: Device
    dtype: str
    batch_size: int
    level: str  # one of LEVELS
    compiled: bool
    kernels: tuple[KernelTime, ...]
    seconds: float
    bound: Limit
    strict_s: float  # peak FLOP/s, minimal traffic, no launches: nothing is faster
    memory_bytes: int  # weights, inputs and the most intermediates alive at once

    @property
    def latency_ms(self) -> float:
        """Milliseconds for the whole batch."""
        return 1e3 * self.seconds

    @property
    def throughput(self) -> float:
        """Samples a second."""
        return self.batch_size / self.seconds

    @property
    def fits(self) -> bool:
        """Whether the machine's memory holds it."""
        return self.memory_bytes <= self.device.memory_bytes
