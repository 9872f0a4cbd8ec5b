"""What a machine can do: one row of ``devices.toml``, or what :mod:`modelcmp.measuring` found out here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import BadInput

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")


@dataclass(frozen=True, slots=True)
class Device:
    """A machine's roofs: peaks per dtype, bandwidths, sizes and what a launch costs.

    ``matrix_flops`` are dense peaks of the fastest units for matrix products (tensor cores, AMX; FMA
    units where there are none), ``vector_flops`` those of the ordinary units, in FLOP/s; an FMA is two.
    """

    name: str
    title: str
    kind: Literal["gpu", "cpu"]
    matrix_flops: Mapping[str, float]
    vector_flops: Mapping[str, float]
    bandwidth_bytes_s: float
    cache_bytes: int  # last level
    memory_bytes: int
    units: int  # streaming multiprocessors, compute units or cores
    launch_s: float  # until the host has handed over one more operation, eager
    kernel_s: float  # fixed cost of one kernel on the device itself
    year: int | None = None
    cache_bandwidth_bytes_s: float | None = None  # None: not published
    sources: tuple[str, ...] = ()
    measured: bool = False  # roofs that were measured, not promised
    efficiencies: Mapping[str, float] = field(default_factory=dict)  # fitted to measurements on this machine
    environment: Mapping[str, str] = field(default_factory=dict)  # what they were measured with

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Types that it has a peak for, widest first."""
        return tuple(d for d in DTYPES if d in self.matrix_flops)

    def peak_flops(self, dtype: str) -> float:
        """Peak dense FLOP/s of a type; raises BadInput with the types that the machine has."""
        if dtype not in self.matrix_flops:
            raise BadInput(f"{self.name} has no {dtype}: it has {', '.join(self.dtypes)}")
        return self.matrix_flops[dtype]

    def ridge_flop_per_byte(self, dtype: str) -> float:
        """Arithmetic intensity from which the arithmetic is the limit (Williams et al., 2009)."""
        return self.peak_flops(dtype) / self.bandwidth_bytes_s
