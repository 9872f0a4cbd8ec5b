"""Frozen results: how long one kernel and a model take on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..kernels import Kernel
from .device import Device

LEVELS = ("datasheet", "calibrated", "this machine")
Limit = Literal["compute", "memory", "launches"]


class KernelTime(NamedTuple):
    """One kernel on one machine: seconds for one call; it is called ``kernel.calls`` times."""

    kernel: Kernel
    compute_s: float
    memory_s: float
    launch_s: float
    layout_s: float = 0.0  # to bring input and output into the layout that the kernel takes

    @property
    def seconds(self) -> float:
        """max(compute, memory) + layout + launch."""
        return max(self.compute_s, self.memory_s) + self.layout_s + self.launch_s

    @property
    def bound(self) -> Limit:
        """What most of its time is for; changing layouts is memory's."""
        compute = self.compute_s if self.compute_s > self.memory_s else 0.0
        memory = self.layout_s + (0.0 if compute else self.memory_s)
        if self.launch_s > max(compute, memory):
            return "launches"
        return "compute" if compute > memory else "memory"


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
    bound: Limit | None  # None where nothing is run
    strict_s: float  # peak FLOP/s, minimal traffic, no launches: nothing is faster
    memory_bytes: int  # weights, inputs and the most intermediates alive at once

    @property
    def latency_ms(self) -> float:
        """Milliseconds for the whole batch."""
        return 1e3 * self.seconds

    @property
    def throughput(self) -> float | None:
        """Samples a second; None where nothing is run."""
        return self.batch_size / self.seconds if self.seconds else None

    @property
    def fits(self) -> bool:
        """Whether the machine's memory holds it."""
        return self.memory_bytes <= self.device.memory_bytes
