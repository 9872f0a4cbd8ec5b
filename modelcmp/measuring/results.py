"""Frozen results: what was measured of one model at one batch size and dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..hardware.device import Device
from ..hardware.prediction import Prediction
from .samples import BUSY_ABOVE_PCT, NOISY_ABOVE, median, quantile, spread

#: Kinds of failure beside the types of errors.
OUT_OF_MEMORY = "out of memory"
NO_COMPILER = "no compiler"


@dataclass(frozen=True, slots=True)
class BenchResult:
    """How long one forward pass of a whole batch took, and the memory that it needed."""

    name: str  # the spec as it was typed
    batch_size: int
    dtype: str
    input_shape: tuple[tuple[int, ...], ...]
    device: str  # "cpu", "cuda:0"
    compiled: bool
    channels_last: bool
    threads: int  # of the CPU
    samples_ms: tuple[float, ...]  # a run each, or the mean of a block of short runs
    peak_memory_bytes: int  # weights, inputs and the most allocated besides
    prediction: Prediction | None  # None: no machine to predict for, or none that has this dtype
    environment: Mapping[str, str]  # what it was measured with

    @property
    def latency_ms(self) -> float:
        """Median time of the whole batch."""
        return median(self.samples_ms)

    @property
    def p5_ms(self) -> float:
        """5th percentile."""
        return quantile(self.samples_ms, 0.05)

    @property
    def p95_ms(self) -> float:
        """95th percentile."""
        return quantile(self.samples_ms, 0.95)

    @property
    def throughput(self) -> float:
        """Samples a second, at the median."""
        return 1e3 * self.batch_size / self.latency_ms

    @property
    def spread(self) -> float:
        """(p95 - p5) / median."""
        return spread(self.samples_ms)

    @property
    def noisy(self) -> bool:
        """Whether the spread says that something else had the machine, too."""
        return self.spread > NOISY_ABOVE

    @property
    def predicted_ms(self) -> float | None:
        """What the model of the machine says."""
        return self.prediction.latency_ms if self.prediction else None

    @property
    def ratio(self) -> float | None:
        """Predicted over measured: below 1 the prediction is too fast."""
        return self.prediction.latency_ms / self.latency_ms if self.prediction else None


@dataclass(frozen=True, slots=True)
class BenchFailure:
    """A model that could not be measured at one batch size and dtype, and why."""

    name: str
    batch_size: int
    dtype: str
    kind: str  # OUT_OF_MEMORY, NO_COMPILER or the error's type
    message: str


@dataclass(frozen=True, slots=True)
class Probe:
    """One operation of a known size that was timed here."""

    label: str
    group: Literal["matrix", "conv", "vector", "copy", "launch", "block"]
    dtype: str
    input_shapes: tuple[tuple[int, ...], ...]
    seconds: float  # median
    best_s: float  # what else ran on the machine only makes it slower: roofs are read off the fastest
    spread: float
    flops: float
    traffic_bytes: float
    predicted_s: float | None = None  # with the fitted coefficients; None where it was not fitted

    @property
    def flops_s(self) -> float:
        """FLOP/s achieved at best."""
        return self.flops / self.best_s

    @property
    def bytes_s(self) -> float:
        """Bytes a second achieved at best."""
        return self.traffic_bytes / self.best_s


@dataclass(frozen=True, slots=True)
class Calibration:
    """This machine's roofs and efficiencies, and the probes that they were read off."""

    device: Device
    probes: tuple[Probe, ...]
    threads: int

    @property
    def error(self) -> float | None:
        """How far the fitted model is off at half of the probes; None without a fit."""
        off = [abs(p.predicted_s / p.best_s - 1) for p in self.probes if p.predicted_s is not None]
        return median(off) if off else None

    @property
    def busy_pct(self) -> float:
        """Share of the CPU that other programs had before it began."""
        return float(self.device.environment.get("cpu_busy_pct", 0))

    @property
    def noisy(self) -> bool:
        """Whether others had the CPU, too, or half of the probes spread more than on a quiet machine."""
        return self.busy_pct > BUSY_ABOVE_PCT or median([p.spread for p in self.probes]) > NOISY_ABOVE
