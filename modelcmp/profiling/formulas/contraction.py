"""Convolutions and matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


def _conv(x: Shape, w: Shape, bias: Shape | None, out: Shape, transposed: bool) -> Cost:
    """Each position (output, or input when transposed) meets the whole kernel of its group once.

    The weight already holds C_in/groups (C_out/groups when transposed). Input may lack the batch
    dimension.
    """
    spatial = len(w) - 2
    batched = len(x) == len(w)
    batch = x[0] if batched else 1
    positions = prod((x if transposed else out)[-spatial:])
    macs = batch * positions * prod(w)
    channels = (x[-spatial - 1], out[-spatial - 1])
    return Cost(macs, prod(out) if bias else 0, activations=prod(out), width=max(channels))


@formula("aten.conv1d", "aten.conv2d", "aten.conv3d")
def conv(x: Shape, w: Shape, bias: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Convolution, x (B, C_in, ...), w (C_out, C_in/groups, ...): each output position meets each weight once.

    >>> conv((1, 3, 224, 224), (64, 3, 7, 7), out=((1, 64, 112, 112),)).macs
    118013952
    """
    return _conv(x, w, bias, out[0], transposed=False)


@formula("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def conv_transpose(x: Shape, w: Shape, bias: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Transposed convolution, w (C_in, C_out/groups, ...): each input position meets each weight once.

    >>> conv_transpose((1, 8, 4, 4), (8, 2, 3, 3), out=((1, 2, 9, 9),)).macs
    2304
    """
    return _conv(x, w, bias, out[0], transposed=True)


@formula("aten.convolution", "aten._convolution", "aten.convolution_overrideable")
def convolution(
    x: Shape, w: Shape, bias: Shape | None, stride: Any, padding: Any, dilation: Any, transposed: bool,
    *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """Convolution of either direction, as the others lower to it."""
    return _conv(x, w, bias, out[0], transposed)


@formula("aten.mkldnn_convolution", "aten.cudnn_convolution", "mkldnn._convolution_pointwise")
def backend_convolution(x: Shape, w: Shape, *rest: Any, out: Out, **__: Any) -> Cost:
    """Convolution of one backend."""
    return _conv(x, w, rest[0] if rest and _is_shape(rest[0], w[0]) else None, out[0], transposed=False)


def _is_shape(value: Any, channels: int) -> bool:
    return isinstance(value, tuple) and value == (channels,)


@formula("aten.conv_tbc")
def conv_tbc(x: Shape, w: Shape, bias: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Convolution over time, x (T, B, C_in), w (K, C_in, C_out): each output position meets each weight once.

    >>> conv_tbc((9, 2, 4), (3, 4, 5), (5,), out=((7, 2, 5),))[:2]
    (840, 70)
    """
    return Cost(prod(out[0][:2]) * prod(w), prod(out[0]), activations=prod(out[0]), width=max(w[1:]))


@formula("aten.linear", "aten._linear")
def linear(x: Shape, w: Shape, bias: Shape | None = None, *, out: Out) -> Cost:
    """x (..., K) times w (N, K) transposed: K MACs, and 1 FLOP for a bias, an output element.

    >>> linear((8, 512), (1000, 512), (1000,), out=((8, 1000),))[:2]
    (4096000, 8000)
    """
    elements = prod(out[0])
    return Cost(elements * x[-1], elements if bias else 0, activations=elements, width=max(w))


@formula("aten.mm", "aten._int_mm", "aten._sparse_mm", "aten.hspmm", "aten._scaled_mm")
def mm(a: Shape, b: Shape, *_: Any, out: Out, **__: Any) -> int:
    """Matrix product, (M, K) x (K, N): MKN MACs; a sparse operand is counted dense.

    >>> mm((2, 3), (3, 4), out=((2, 4),))
    24
    """
    return a[0] * a[1] * b[1]


@formula("aten.addmm", "aten._addmm_activation", "aten.sspaddmm", "aten._sparse_addmm")
def addmm(bias: Shape, a: Shape, b: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Matrix product plus a bias."""
    elements = prod(out[0])
    return Cost(elements * a[1], elements, activations=elements, width=max(a[1], b[1]))


@formula("aten.bmm")
def bmm(a: Shape, b: Shape, *, out: Out) -> int:
    """Batched matrix product, (B, M, K) x (B, K, N): BMKN MACs.

    >>> bmm((8, 2, 3), (8, 3, 4), out=((8, 2, 4),))
    192
    """
    return prod(a) * b[2]


@formula("aten.baddbmm", "aten.addbmm")
def baddbmm(bias: Shape, a: Shape, b: Shape, *, out: Out, **__: Any) -> Cost:
    """Batched matrix product (or the sum over its batch) plus a bias: BMKN MACs and one FLOP an output element."""
    elements = prod(out[0])
    return Cost(prod(a) * b[2], elements, activations=elements)


@formula("aten.mv", "aten.dot", "aten.vdot")
def mv(a: Shape, b: Shape, *, out: Out) -> int:
    """Matrix or vector times vector.

    >>> mv((5, 7), (7,), out=((5,),)), mv((7,), (7,), out=((),))
    (35, 7)
    """
    return prod(a)


@formula("aten.addmv")
def addmv(bias: Shape, a: Shape, b: Shape, *, out: Out, **__: Any) -> Cost:
    """Matrix times vector plus a bias."""
    return Cost(prod(a), prod(out[0]), activations=prod(out[0]))


@formula("aten.addr")
def addr(bias: Shape, a: Shape, b: Shape, *, out: Out, **__: Any) -> Cost:
    """Outer product plus a matrix."""
    return Cost(prod(out[0]), prod(out[0]), activations=prod(out[0]))


@formula("aten.bilinear")
def bilinear(a: Shape, b: Shape, w: Shape, bias: Shape | None = None, *, out: Out) -> Cost:
    """out[n, o] = a[n] w[o] b[n]: one contraction over in1 for each (o, in2), then one over in2.

    >>> bilinear((10, 3), (10, 4), (5, 3, 4), out=((10, 5),)).macs
    800
    """
    rows, elements = prod(a[:-1]), prod(out[0])
    o, in1, in2 = w
    macs = rows * o * in2 * (in1 + 1)
    return Cost(macs, elements if bias else 0, activations=elements, width=max(o, in1, in2))


@formula("aten._trilinear")
def trilinear(a: Shape, b: Shape, c: Shape, *_: Any, out: Out, **__: Any) -> int:
    """Product of three tensors summed over shared dimensions, as bilinear lowers to it.

    ``a`` is (N, 1, in1), ``b`` (O, in1, in2), ``c`` (N, 1, in2) with expanded dimensions.
    """
    rows = prod(a) // a[-1]
    o, in1, in2 = b
    return rows * o * in2 * (in1 + 1)


@formula("aten._cdist_forward", "aten._euclidean_dist", "aten._pdist_forward", kind="reduction")
def cdist(a: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Pairwise distance: subtract, square (or power) and add for each element of each pair.

    >>> cdist((5, 3), (7, 3), out=((5, 7),)).other
    315
    """
    return Cost(other=3 * prod(out[0]) * a[-1])


@formula("aten.grouped_mm", "aten._grouped_mm")
def grouped_mm(a: Shape, b: Shape, *_: Any, out: Out, **__: Any) -> int:
    """Grouped matrix product: every row of ``a`` meets one expert's matrix."""
    return prod(out[0]) * a[-1] if len(b) == 3 else prod(a) * b[-1]


@formula(
    "quantized.linear",
    "quantized.linear_relu",
    "quantized.linear_dynamic",
    "quantized.linear_relu_dynamic",
    "quantized.linear_dynamic_fp16",
)
def packed_linear(x: Shape, w: Any, *_: Any, out: Out, **__: Any) -> Cost:
    """Linear over packed (quantised) weights; the tracer unpacks their shape."""
    elements = prod(out[0])
    return Cost(elements * x[-1], elements, activations=elements, width=max(x[-1], out[0][-1]))


@formula(
    "quantized.conv1d",
    "quantized.conv1d_relu",
    "quantized.conv2d",
    "quantized.conv2d_relu",
    "quantized.conv3d",
    "quantized.conv3d_relu",
)
def packed_conv(x: Shape, w: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Convolution over packed (quantised) weights; the tracer unpacks their shape."""
    return _conv(x, w, (w[0],), out[0], transposed=False)
