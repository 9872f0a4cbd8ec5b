"""What an operation is to a machine: its kind, and the matrix product that it amounts to."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from ..records import OpRecord, Shape

_NORMS = {"aten.batch_norm": "batch_norm", "aten.group_norm": "group_norm"}
_KINDS = {"norm": "row_norm", "create": "move"}
_RECURRENT = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")
ATTENTION = "aten.scaled_dot_product_attention"


class Product(NamedTuple):
    """Sizes of a batch of matrix products, (batch, m, k) times (batch, k, n); all 0 for none."""

    batch: int = 0
    m: int = 0
    n: int = 0
    k: int = 0


def product_of(op: OpRecord) -> Product:
    """The matrix product that a contraction amounts to, or the row that a norm or softmax goes over."""
    shapes = op.input_shapes
    out = op.output_shapes[0] if op.output_shapes else ()
    name = op.op.removeprefix("aten.")
    if op.op in _RECURRENT:
        return _recurrent(op)
    if op.kind == "norm" or "softmax" in name:
        return Product(n=out[-1] if out else 0)
    if op.kind == "pool":
        return Product(k=max(1, (op.flops or 0) // max(1, prod(out))))
    if op.kind != "contraction" or not op.macs or len(shapes) < 2:
        return Product()
    if name.startswith(("conv", "_conv")) and len(shapes[1]) > 2:
        return _convolution(shapes[0], shapes[1], out, op.macs)
    if op.op == ATTENTION:
        q, k = shapes[:2]
        return Product(prod(q[:-2]), q[-2], k[-2], q[-1])
    if name in ("bmm", "baddbmm"):
        a, b = shapes[-2:]
        return Product(a[0], a[1], b[2], a[2])
    n = out[-1] if out else 1
    m = prod(out[:-1])
    return Product(1, m, n, max(1, op.macs // max(1, m * n)))


def _convolution(x: Shape, w: Shape, out: Shape, macs: int) -> Product:
    """As the product of unfolded patches with each group's weights.

    ``w`` is (C_out, C_in/groups, ...), or (C_in, C_out/groups, ...) where the convolution is transposed.
    """
    spatial = len(w) - 2
    channels_in, channels_out = x[-spatial - 1], out[-spatial - 1]
    transposed = w[0] != channels_out
    groups = max(1, (channels_out if transposed else channels_in) // w[1])
    n, k = channels_out // groups, channels_in // groups * prod(w[2:])
    return Product(groups, macs // max(1, groups * n * k), n, k)


def _recurrent(op: OpRecord) -> Product:
    """``batch`` is the number of steps that wait for each other: all layers and directions of a sequence.

    The first state is (layers x directions, sequences, width), or has no sequences where there is one.
    """
    state = next((s for s in op.input_shapes[1:] if len(s) in (2, 3)), (1, 1))
    sequences = state[1] if len(state) == 3 else 1
    positions = prod(op.input_shapes[0][:-1])
    return Product(batch=max(1, positions // max(1, sequences)) * state[0], m=sequences)


def kind_of(op: OpRecord, product: Product) -> str:
    """One of :data:`~modelcmp.kernels.kernel.KINDS`."""
    name = op.op.removeprefix("aten.")
    if op.op == ATTENTION:
        return "masked_attention" if len(op.input_shapes) > 3 else "attention"
    if op.op in _RECURRENT:
        return "recurrent"
    if op.kind == "contraction":
        if name.startswith(("conv", "_conv")):
            return _convolution_kind(op, product)
        return "bmm" if product.batch > 1 else "gemm"
    if op.kind == "norm":
        return _NORMS.get(op.op, "row_norm")
    if "softmax" in name:
        return "softmax"
    if op.kind == "pointwise":
        return "strided_pointwise" if op.layout == "permuted" else "pointwise"
    if op.kind in ("reduction", "pool", "resample", "lookup", "move"):
        return op.kind
    return _KINDS.get(op.kind, "other")


def _convolution_kind(op: OpRecord, product: Product) -> str:
    if product.batch > 1:
        w = op.input_shapes[1]
        return "depthwise" if product.k == prod(w[2:]) else "grouped_conv"
    window = prod(op.input_shapes[1][2:])
    strided = bool(op.output_shapes) and prod(op.output_shapes[0][2:]) < prod(op.input_shapes[0][2:])
    return "conv1x1" if window == 1 and not strided else "conv"
