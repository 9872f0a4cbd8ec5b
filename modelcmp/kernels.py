"""What one forward pass asks of a machine, kernel by kernel, whatever the machine."""

from __future__ import annotations

from dataclasses import dataclass

from .records import OpRecord, Trace


@dataclass(frozen=True, slots=True)
class Kernel:
    """A group of operations that runs as one kernel; ``count`` alike ones in a model."""

    module: str  # of the op that leads the group
    op: str  # "aten.conv2d"
    kind: str  # "gemm", "conv", "depthwise", "attention", "norm", "pointwise", "move", ...
    dtype: str
    flops: float  # under the convention "total"
    read_bytes: float
    write_bytes: float
    weight_bytes: float
    count: int = 1

    @property
    def traffic_bytes(self) -> float:
        """Bytes moved."""
        return self.read_bytes + self.write_bytes + self.weight_bytes

    @property
    def ai(self) -> float | None:
        """Arithmetic intensity, FLOP/byte."""
        return self.flops / self.traffic_bytes if self.traffic_bytes else None


def kernels(trace: Trace, compiled: bool = False) -> tuple[Kernel, ...]:
    """The kernels of a trace: eager each op is one; ``compiled`` fuses pointwise ops into what feeds them."""
    return tuple(_alone(op) for op in trace.ops)


def _alone(op: OpRecord) -> Kernel:
    return Kernel(op.module, op.op, op.kind, op.dtype, float(op.flops or 0), op.input_bytes, op.output_bytes,
                  op.weight_bytes)  # fmt: skip
