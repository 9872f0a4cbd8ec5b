"""One kernel: what it computes, moves and looks like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

#: Kinds that multiply matrices, as far as a machine is concerned.
PRODUCTS = ("gemm", "bmm", "conv", "conv1x1", "grouped_conv", "depthwise", "attention", "masked_attention", "recurrent")
#: Kinds that only go through memory.
STREAMS = ("pointwise", "strided_pointwise", "batch_norm", "row_norm", "group_norm", "softmax", "reduction", "pool",
           "resample", "lookup", "move", "cast", "fused", "other")  # fmt: skip
#: Those that run in tf32 where the rest of fp32 does not.
CONVOLUTIONS = ("conv", "conv1x1", "grouped_conv")
KINDS = (*PRODUCTS, *STREAMS)
#: Kinds that count as a layer: copies and casts do not.
COMPUTING = frozenset(KINDS) - {"move", "cast"}


class Kernel(NamedTuple):
    """A group of operations that runs as one kernel.

    ``batch``, ``m``, ``n``, ``k`` are the sizes of the matrix product that it amounts to: (batch, m, k) times
    (batch, k, n); for a norm or softmax ``n`` is the length of a row; 0 where there is none.
    ``distance_bytes`` is what has been moved since the oldest of its inputs was written: a cache that is
    smaller has lost it.
    """

    module: str  # of the op that leads the group; "" once alike kernels are merged
    op: str  # "aten.conv2d"
    kind: str  # one of KINDS
    dtype: str  # that it computes in: "fp32", "fp16", ...
    flops: float  # under the convention "total"
    macs: float
    read_bytes: float  # activations
    write_bytes: float
    weight_bytes: float
    batch: float = 0
    m: float = 0
    n: float = 0
    k: float = 0
    layout: str = "plain"
    distance_bytes: float = math.inf
    calls: int = 1  # alike ones in a model

    @property
    def traffic_bytes(self) -> float:
        """Bytes moved."""
        return self.read_bytes + self.write_bytes + self.weight_bytes

    @property
    def ai(self) -> float | None:
        """Arithmetic intensity, FLOP/byte."""
        return self.flops / self.traffic_bytes if self.traffic_bytes else None


def merged(found: Iterable[Kernel]) -> tuple[Kernel, ...]:
    """Alike kernels counted, their places forgotten.

    >>> one = Kernel("a", "aten.relu", "pointwise", "fp32", 8, 0, 32, 32, 0)
    >>> [(k.module, k.calls) for k in merged([one, one._replace(module="b")])]
    [('', 2)]
    """
    counts: Counter[Kernel] = Counter()
    for kernel in found:
        counts[kernel._replace(module="", calls=1)] += kernel.calls
    return tuple(kernel._replace(calls=calls) for kernel, calls in counts.items())


def coarse(distance: float) -> float:
    """A distance to its three leading binary digits, so that alike kernels are alike in it too.

    >>> coarse(5), coarse(1000), coarse(math.inf)
    (5.0, 896.0, inf)
    """
    if distance == math.inf:
        return distance
    shift = max(0, int(distance).bit_length() - 3)
    return float(int(distance) >> shift << shift)
