"""The kernels of a trace: eager, compiled or under automatic mixed precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from ..errors import BadInput
from ..records import OpRecord, Trace
from .autocast import Cast, Typed, autocast
from .fusion import fused
from .kernel import Kernel, coarse
from .shapes import ATTENTION, kind_of, product_of

DTYPES = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float8_e4m3fn": "fp8",
          "int8": "int8", "uint8": "int8"}  # fmt: skip
_COPIED_FIRST = ("aten.layer_norm", "aten.group_norm")  # these kernels take row-major input only


def kernels(
    trace: Trace, *, compiled: bool = False, amp: str | None = None, fast_norms: frozenset[str] = frozenset()
) -> tuple[Kernel, ...]:
    """The kernels of a trace in order.

    Eager each op is one, and so are the copies and casts that an op makes first; ``compiled`` fuses what a
    compiler fuses. ``amp`` ("fp16" or "bf16") runs an fp32 trace as ``torch.autocast`` would.
    Raises BadInput for mixed precision of a trace that is compiled, or of no fp32 trace.
    """
    typed: Iterator[Typed]
    if amp is None:
        typed = (_as_traced(op) for op in trace.ops)
    elif amp not in ("fp16", "bf16") or any(op.dtype in ("float16", "bfloat16") for op in trace.ops):
        raise BadInput("mixed precision is fp16 or bf16 over a model profiled in fp32")
    else:
        typed = autocast(trace.ops, fast_norms)
    found = _Stream(amp).all(typed)
    return tuple(fused(found, trace)) if compiled else tuple(k for k, _ in found)


def _as_traced(op: OpRecord) -> Typed:
    size = {"float64": 8, "float16": 2, "bfloat16": 2}.get(op.dtype, 4)
    return Typed(op, (), size, op.input_bytes, op.output_bytes, op.weight_bytes)


class Launch(NamedTuple):
    """A kernel and the op that it belongs to; None for one that the op needs first."""

    kernel: Kernel
    op: OpRecord | None


class _Stream:
    """Turns ops into kernels, and keeps count of how much has been moved since a buffer was written."""

    def __init__(self, amp: str | None) -> None:
        self.amp = amp
        self.moved = 0.0
        self.born: dict[int, float] = {}

    def all(self, typed: Iterator[Typed]) -> list[Launch]:
        """Every kernel in order."""
        found: list[Launch] = []
        for item in typed:
            first = len(found)
            found += (Launch(k._replace(distance_bytes=coarse(k.distance_bytes)), op) for k, op in self._of(item))
            self.moved += sum(k.read_bytes + k.write_bytes for k, _ in found[first:])
            for access in item.op.writes:
                self.born[access.buffer] = self.moved
        return found

    def _of(self, item: Typed) -> Iterator[Launch]:
        """What one op launches: its casts and copies, then itself."""
        op = item.op
        distance = max((self._since(r.buffer) + r.nbytes for r in op.reads), default=math.inf)
        for cast in item.casts:
            yield Launch(self._cast(op, cast, math.inf if cast.weight else distance), None)
            distance = distance if cast.weight else float(cast.elements * (cast.before_bytes + cast.after_bytes))
        if copied := _copied_first(op):
            nbytes = copied * item.element_bytes
            yield Launch(self._step(op, "move", nbytes, nbytes, distance_bytes=distance, layout="permuted"), None)
            distance = 2 * nbytes
        if op.op == ATTENTION and not _is_fusable(op):
            yield from (Launch(k, op) for k in self._plain_attention(op, item, distance))
            return
        product = product_of(op)
        yield Launch(Kernel(op.module, op.op, kind_of(op, product), self._dtype(op, item), float(op.flops or 0),
                            float(op.macs or 0), item.read_bytes, item.write_bytes, item.weight_bytes, *product,
                            op.layout, distance), op)  # fmt: skip

    def _since(self, buffer: int) -> float:
        return self.moved - self.born[buffer] if buffer in self.born else math.inf

    def _dtype(self, op: OpRecord, item: Typed) -> str:
        if self.amp is not None and op.dtype == "float32":
            return self.amp if item.element_bytes == 2 else "fp32"
        return DTYPES.get(op.dtype, "fp32")

    def _cast(self, op: OpRecord, cast: Cast, distance: float) -> Kernel:
        read, write = cast.elements * cast.before_bytes, cast.elements * cast.after_bytes
        weights = read if cast.weight else 0
        return Kernel(op.module, "autocast", "cast", "fp32", 0.0, 0.0, read - weights, write, weights,
                      distance_bytes=distance)  # fmt: skip

    @staticmethod
    def _step(op: OpRecord, kind: str, read: float, write: float, **more: Any) -> Kernel:
        figures = {"dtype": "fp32", "flops": 0.0, "macs": 0.0, **more}
        return Kernel(op.module, op.op, kind, read_bytes=read, write_bytes=write, weight_bytes=0.0, **figures)

    def _plain_attention(self, op: OpRecord, item: Typed, distance: float) -> Iterator[Kernel]:
        """In parts and in fp32, as torch runs what fused kernels do not take: scale, copy, QKᵀ, softmax, AV, cast."""
        q, k, v = (prod(s) for s in op.input_shapes[:3])
        size, full = item.element_bytes, max(4, item.element_bytes)
        batch, m, n, width = product_of(op)
        out = prod(op.output_shapes[0]) if op.output_shapes else q
        scores = batch * m * n
        for elements in (q, k):
            yield self._step(op, "pointwise", elements * size, elements * full, distance_bytes=distance)
        for elements in (q, k, v):
            yield self._step(op, "move", elements * full, elements * full, layout="permuted",
                             distance_bytes=distance)  # fmt: skip
        dtype, half = "fp64" if full == 8 else "fp32", (op.macs or 0) / 2
        yield self._step(op, "bmm", (q + k) * full, scores * full, dtype=dtype, flops=2 * half, macs=half,
                         batch=batch, m=m, n=n, k=width, distance_bytes=distance)  # fmt: skip
        for mask in op.input_shapes[3:4]:
            yield self._step(op, "pointwise", (scores + prod(mask)) * full, scores * full, distance_bytes=scores * full)
        rest = float((op.flops or 0) - 4 * half)
        yield self._step(op, "softmax", scores * full, scores * full, flops=rest, n=n,
                         distance_bytes=scores * full)  # fmt: skip
        yield self._step(op, "bmm", (scores + v) * full, out * full, dtype=dtype, flops=2 * half, macs=half,
                         batch=batch, m=m, n=max(1, out // max(1, batch * m)), k=n,
                         distance_bytes=scores * full)  # fmt: skip
        if size != full:
            yield self._step(op, "cast", out * full, out * size, distance_bytes=out * full)


def _is_fusable(op: OpRecord) -> bool:
    """Fused attention takes 4 dimensions, and no keys that are shared between heads by broadcasting."""
    q, k = op.input_shapes[:2]
    return len(q) == 4 and q[:2] == k[:2]


def _copied_first(op: OpRecord) -> int:
    """Elements of an input that is made row-major before the kernel proper."""
    if op.layout == "plain" or not op.input_shapes:
        return 0
    if op.op in _COPIED_FIRST or (op.op == "aten.linear" and op.layout == "permuted"):
        return prod(op.input_shapes[0])
    return 0
