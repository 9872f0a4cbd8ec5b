"""Frozen results: what one operation, one layer and one model cost.

Records are data. They neither print nor format themselves; sums over them live in
:mod:`modelcmp.reductions` and the named figures in :mod:`modelcmp.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas

    from .kernels import Kernel

Shape = tuple[int, ...]
CONVENTIONS = ("total", "contraction", "fvcore")

#: Kinds of operation that compute; the others only move, create or rename data.
COMPUTING = frozenset({"contraction", "norm", "pointwise", "reduction", "pool", "resample", "lookup", "uncounted"})


class Access(NamedTuple):
    """One read or write of a buffer: which content of it (its version) and how many bytes."""

    buffer: int
    version: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class OpRecord:
    """One executed operation.

    ``macs`` and ``flops`` are None where no formula is known, never 0 by default.
    """

    module: str  # dotted path of the innermost module, "" for the root
    module_type: str
    call: int  # which call of that module, from 0
    op: str  # "aten.conv2d"
    kind: str  # "contraction", "norm", "pointwise", ..., "move", "create", "uncounted"
    dtype: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    macs: int | None
    flops: int | None
    fvcore_flops: int | None
    masked_macs: int | None  # MACs that a causal mask leaves, None where there is no such mask
    activations: int
    width: int
    input_bytes: int
    output_bytes: int
    weight_bytes: int
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    weights: tuple[tuple[int, int], ...]  # (buffer, bytes)
    layout: str = "plain"  # of the largest argument: "plain" (row-major), "channels_last" or "permuted"

    @property
    def traffic_bytes(self) -> int:
        """Bytes that the kernel reads and writes."""
        return self.input_bytes + self.output_bytes + self.weight_bytes

    @property
    def computes(self) -> bool:
        """Whether it counts as a layer: views, copies and allocations do not."""
        return self.kind in COMPUTING

    def cost(self, convention: str) -> int | None:
        """FLOPs under one of CONVENTIONS; None where no formula is known."""
        if convention == "contraction":
            return None if self.macs is None else 2 * self.macs
        return self.fvcore_flops if convention == "fvcore" else self.flops

    def ai(self, convention: str = "total") -> float | None:
        """Arithmetic intensity, FLOP/byte."""
        flops = self.cost(convention)
        return None if flops is None or not self.traffic_bytes else flops / self.traffic_bytes


@dataclass(frozen=True, slots=True)
class ModuleRecord:
    """A module of the model as it was built: the parameters that it owns itself."""

    module: str
    module_type: str
    params: int
    trainable_params: int
    calls: int


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """All operations that one module ran itself (not those of its submodules), in all its calls."""

    module: str
    module_type: str
    calls: int
    params: int
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    macs: int | None
    flops: int | None
    input_bytes: int
    output_bytes: int
    weight_bytes: int
    traffic_bytes: int
    ai: float | None
    bound: str | None
    ops: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What one forward pass did, from which every figure follows."""

    ops: tuple[OpRecord, ...]
    modules: tuple[ModuleRecord, ...]
    params: int
    trainable_params: int
    size_bytes: int
    trainable_bytes: int
    buffer_bytes: Mapping[int, int]  # buffer -> bytes of its storage; weights are not among them
    inputs: tuple[Access, ...]
    outputs: tuple[Access, ...]
    saved_buffers: frozenset[int] = frozenset()  # what backward keeps (train mode)
    train: bool = False
    real: bool = False  # forward needed numbers and was run


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that figures were predicted for, and how."""

    name: str
    title: str
    level: str
    compiled: bool
    dtype: str
    peak_flops: float
    convolution_flops: float | None  # where convolutions run on other units: fp32 ones on tf32's
    bandwidth_bytes_s: float
    memory_bytes: int

    @property
    def ridge_flop_per_byte(self) -> float:
        """Arithmetic intensity from which the arithmetic is the limit."""
        return self.peak_flops / self.bandwidth_bytes_s


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model's figures at one input shape, dtype, mode and convention."""

    name: str
    source: str
    input_shape: tuple[Shape, ...]
    batch_size: int
    dtype: str
    mode: str
    convention: str
    values: Mapping[str, float | int | str | None]
    uncounted: Mapping[str, int]
    notes: tuple[str, ...] = ()
    trace: Trace | None = field(default=None, repr=False, compare=False)
    kernels: Mapping[str, tuple[Kernel, ...]] | None = field(default=None, repr=False, compare=False)  # without a trace
    machine: Machine | None = None

    def __getattr__(self, key: str) -> float | int | str | None:
        """Metrics read as attributes: ``profile.macs``."""
        if not key.startswith("_") and key in self.values:
            return self.values[key]
        raise AttributeError(f"{type(self).__name__} has no metric or attribute {key!r}")

    @property
    def ops(self) -> tuple[OpRecord, ...]:
        """Every operation in the order in which it ran."""
        return self.trace.ops if self.trace else ()

    @property
    def layers(self) -> tuple[LayerRecord, ...]:
        """Operations summed by the module that ran them; their count is ``values["layers"]``."""
        from .reductions import layers

        return layers(self.trace, self.convention) if self.trace else ()

    @property
    def partial(self) -> bool:
        """Whether totals are lower bounds, because some op has no formula."""
        return bool(self.uncounted)

    def to_frame(self, what: str = "metrics") -> pandas.DataFrame:
        """The metrics (one row), the "layers" or the "ops" as a pandas frame."""
        from .tabular import frame, profile_rows

        return frame(profile_rows(self, what))

    def _repr_html_(self) -> str:
        from .tabular import notebook_table

        return notebook_table((self,), ())


@dataclass(frozen=True, slots=True)
class ModelFailure:
    """A model that could not be profiled, and why."""

    name: str
    kind: str
    message: str
