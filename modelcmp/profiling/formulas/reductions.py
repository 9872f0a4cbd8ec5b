"""Softmax, sums, sorts, scans and Fourier transforms."""

from __future__ import annotations

from math import ceil, log2, prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


@formula(
    "aten.softmax",
    "aten._softmax",
    "aten._safe_softmax",
    "aten.log_softmax",
    "aten._log_softmax",
    "aten._masked_softmax",
    kind="reduction",
)
def softmax(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Max, subtract, exp, sum, divide: 5 an element.

    >>> softmax((2, 10), -1, out=((2, 10),)).other
    100
    """
    return Cost(other=5 * prod(x))


@formula(
    "aten.sum",
    "aten.mean",
    "aten.prod",
    "aten.amax",
    "aten.amin",
    "aten.max",
    "aten.min",
    "aten.aminmax",
    "aten.argmax",
    "aten.argmin",
    "aten.any",
    "aten.all",
    "aten.logsumexp",
    "aten.nansum",
    "aten.median",
    "aten.nanmedian",
    "aten.count_nonzero",
    "aten.cumsum",
    "aten.cumprod",
    "aten.cummax",
    "aten.cummin",
    "aten.logcumsumexp",
    "aten._cummax_helper",
    "aten._cummin_helper",
    "aten._logcumsumexp",
    "aten.trace",
    "aten.equal",
    "aten.segment_reduce",
    kind="reduction",
)
def reduce(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP an input element (an output element for the two-tensor forms of max and min).

    >>> reduce((4, 5), out=((),)).other
    20
    """
    return Cost(other=max(prod(x), prod(out[0]) if out else 0))


@formula("aten.norm", "aten.linalg_vector_norm", "aten.frobenius_norm", kind="reduction")
def vector_norm(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Square and add: 2 an element."""
    return Cost(other=2 * prod(x))


@formula("aten.var", "aten.std", "aten.var_mean", "aten.std_mean", kind="reduction")
def variance(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Mean, subtract, square, add: 4 an element."""
    return Cost(other=4 * prod(x))


@formula("aten.mse_loss", "aten.smooth_l1_loss", "aten.huber_loss", kind="reduction")
def regression_loss(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Subtract, square (or bend), add: 3 an element."""
    return Cost(other=3 * prod(x))


@formula(
    "aten.binary_cross_entropy", "aten.binary_cross_entropy_with_logits", "aten.soft_margin_loss", kind="reduction"
)
def binary_loss(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Two logarithms, two products, two sums: 6 an element."""
    return Cost(other=6 * prod(x))


@formula("aten.nll_loss_forward", "aten.nll_loss2d_forward", kind="lookup", outputs=1)
def likelihood_loss(x: Shape, target: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """One sum for each target looked up."""
    return Cost(other=prod(target))


@formula("aten.sort", "aten.argsort", "aten.mode", kind="reduction")
def sort(x: Shape, dim: int = -1, *_: Any, out: Out, **__: Any) -> Cost:
    """Comparisons of a sort over one dimension: N log2 N.

    >>> sort((1000, 2), 0, out=((1000, 2),)).other, sort((1000, 2), out=((1000, 2),)).other
    (20000, 2000)
    """
    return _sorted_along(x, dim)


@formula("aten.topk", "aten.kthvalue", kind="reduction")
def select(x: Shape, k: int, dim: int = -1, *_: Any, out: Out, **__: Any) -> Cost:
    """The k-th or the k largest of one dimension, counted as its sort: N log2 N."""
    return _sorted_along(x, dim)


@formula("aten.msort", kind="reduction")
def msort(x: Shape, *, out: Out) -> Cost:
    """Comparisons of a sort over the first dimension: N log2 N."""
    return _sorted_along(x, 0)


def _sorted_along(x: Shape, dim: int) -> Cost:
    n = x[dim] if x else 1
    return Cost(other=prod(x) * max(1, ceil(log2(max(n, 2)))))


@formula("aten.searchsorted", "aten.bucketize", "aten.histc", "aten.bincount", kind="reduction")
def search(*args: Any, out: Out, **__: Any) -> Cost:
    """A binary search for each output element, counted as one FLOP each."""
    return Cost(other=prod(out[0]))


@formula("aten._fft_r2c", "aten._fft_c2r", "aten._fft_c2c", kind="reduction")
def fft(x: Shape, dims: Any, *_: Any, out: Out, **__: Any) -> Cost:
    """5 N log2 N over the transformed dimensions for each of the others (Cooley and Tukey, 1965).

    Half of that where one side has no redundant half, as with real input or output.

    >>> fft((2, 1024), [1], 0, False, out=((2, 1024),)).other
    102400
    >>> fft((2, 1024), [1], 0, True, out=((2, 513),)).other
    51200
    """
    whole = x if prod(x) >= prod(out[0]) else out[0]
    n = prod(whole[d] for d in dims)
    halves = 2 if tuple(x) != tuple(out[0]) else 1
    return Cost(other=round(prod(whole) // n * 5 * n * log2(n) / halves) if n > 1 else 0)


@formula(
    "aten.dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.native_dropout", kind="pointwise", outputs=1
)
def dropout(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """In training: mask and scale, 2 an element; in eval it is the identity and not an op at all."""
    return Cost(other=2 * prod(x))


@formula("aten.glu", kind="pointwise")
def glu(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Gated linear unit: sigmoid and product for each output element."""
    return Cost(other=2 * prod(out[0]))


@formula("aten.prelu", "aten._prelu_kernel", "aten.rrelu", "aten.rrelu_with_noise", "aten.log_sigmoid",
         "aten.polygamma", "aten.log_sigmoid_forward", "aten.bernoulli", "aten.square", "aten.floor_divide",
         "aten.cross", "aten.linalg_cross", "aten.complex", "aten.polar", "aten.relu6", "aten.hardswish",
         "aten.hardtanh",
         "aten.hardsigmoid", "aten.silu", "aten.mish", "aten.elu", "aten.selu", "aten.celu", "aten.gelu",
         "aten.softplus",
         "aten.leaky_relu", "aten.addcmul", "aten.addcdiv", "aten._conj_physical", "aten.lerp",
         "aten.bitwise_not", "aten.logical_not", "aten.isin", "aten.masked_fill", "aten.threshold",
         "quantized.add", "quantized.add_relu", "quantized.mul",
         kind="pointwise", outputs=1)  # fmt: skip
def pointwise(*_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP an output element, whatever the function; for ops that torch does not tag as pointwise."""
    return Cost(other=prod(out[0]))
