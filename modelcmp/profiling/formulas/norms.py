"""Normalisation: 5 FLOPs an element (mean, variance, subtract, scale, shift)."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]
NORM_FLOPS = 5


def _norm(x: Shape, fvcore_each: int, width: int) -> Cost:
    return Cost(other=NORM_FLOPS * prod(x), fvcore=fvcore_each * prod(x), width=width)


def _batch_norm(x: Shape, weight: Shape | None, training: bool) -> Cost:
    """fvcore counts 2 an element in eval (1 without weights), 5 (4) in training."""
    each = (5 if weight else 4) if training else (2 if weight else 1)
    return _norm(x, each, x[1])


@formula(
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten.cudnn_batch_norm",
    "aten._native_batch_norm_legit",
    kind="norm",
    outputs=1,
)
def batch_norm(
    x: Shape, weight: Shape | None, bias: Shape | None, mean: Any = None, var: Any = None, training: bool = False,
    *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """Batch normalisation (Ioffe and Szegedy, 2015).

    >>> batch_norm((1, 64, 112, 112), (64,), (64,), out=((1, 64, 112, 112),)).other
    4014080
    """
    return _batch_norm(x, weight, bool(training))


@formula("aten._native_batch_norm_legit_no_training", kind="norm", outputs=1)
def batch_norm_eval(x: Shape, weight: Shape | None, *_: Any, out: Out, **__: Any) -> Cost:
    """Batch normalisation with running statistics."""
    return _batch_norm(x, weight, False)


@formula("aten._batch_norm_with_update", "aten.miopen_batch_norm", kind="norm", outputs=1)
def batch_norm_update(x: Shape, weight: Shape | None, *_: Any, out: Out, **__: Any) -> Cost:
    """Batch normalisation with batch statistics."""
    return _batch_norm(x, weight, True)


@formula("aten.layer_norm", "aten.native_layer_norm", kind="norm", outputs=1)
def layer_norm(x: Shape, shape: Any, weight: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Layer normalisation (Ba et al., 2016).

    >>> layer_norm((1, 197, 768), [768], (768,), out=((1, 197, 768),)).other
    756480
    """
    return _norm(x, 5 if weight else 4, x[-1])


@formula("aten.rms_norm", "aten._fused_rms_norm", kind="norm", outputs=1)
def rms_norm(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Root-mean-square normalisation: square, mean, scale, weight: 4 an element (Zhang and Sennrich, 2019)."""
    return Cost(other=4 * prod(x), width=x[-1])


@formula("aten.group_norm", kind="norm", outputs=1)
def group_norm(x: Shape, groups: int, weight: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Group normalisation (Wu and He, 2018)."""
    return _norm(x, 5 if weight else 4, x[1])


@formula("aten.native_group_norm", kind="norm", outputs=1)
def native_group_norm(x: Shape, weight: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Group normalisation as backends run it."""
    return _norm(x, 5 if weight else 4, x[1])


@formula("aten.instance_norm", kind="norm", outputs=1)
def instance_norm(x: Shape, weight: Shape | None = None, *_: Any, out: Out, **__: Any) -> Cost:
    """Instance normalisation (Ulyanov et al., 2016)."""
    return _norm(x, 5 if weight else 4, x[1])


@formula("aten.embedding_renorm", kind="norm", rows=1)
def embedding_renorm(w: Shape, indices: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Rows looked up brought to a maximal norm: square, add, scale, 3 an element looked up."""
    return Cost(other=3 * prod(indices) * w[1])


@formula("aten.renorm", "aten._weight_norm", "aten._weight_norm_interface", kind="norm", outputs=1)
def weight_norm(v: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Norm of a weight, then its scaling: square, add, divide-and-scale, 3 an element."""
    return Cost(other=3 * prod(v))
