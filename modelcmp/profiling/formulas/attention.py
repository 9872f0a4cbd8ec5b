"""Scaled dot-product attention in all its backends: the total never depends on which one runs."""

from __future__ import annotations

from itertools import zip_longest
from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]

#: FLOPs a score besides the products: scale 1, softmax 5 (max, subtract, exp, sum, divide).
SCORE_FLOPS = 6
#: Dropout draws a mask and scales by it.
DROPOUT_FLOPS = 2


def attention_cost(q: Shape, k: Shape, v: Shape, masked: bool, causal: bool, dropout: float = 0.0) -> Cost:
    """QKᵀ and AV over all heads, counted dense; grouped or broadcast ones are shared, not fewer products.

    q (B, Hq, Sq, D), k (B, Hk, Sk, D), v (B, Hk, Sk, Dv).

    >>> attention_cost((1, 8, 16, 64), (1, 2, 16, 64), (1, 2, 16, 64), False, True)[:4]
    (262144, 14336, 0, 139264)
    >>> attention_cost((1, 2, 5, 8), (4, 2, 6, 8), (4, 2, 6, 8), False, False).macs
    3840
    """
    sq, sk, d, dv = q[-2], k[-2], q[-1], v[-1]
    scored = _shared(q[:-2], k[:-2])
    heads, outputs = prod(scored), prod(_shared(scored, v[:-2]))
    each = heads * d + outputs * dv  # MACs of one score, over all heads
    kept = sum(min(i + 1, sk) for i in range(sq)) * each if causal else None
    other = heads * sq * sk * (SCORE_FLOPS + (masked or causal) + DROPOUT_FLOPS * (dropout > 0))
    return Cost(sq * sk * each, other, masked_macs=kept, activations=heads * sq * sk + outputs * sq * dv)


def _shared(a: Shape, b: Shape) -> Shape:
    """Batch and head dimensions of both: the larger one, whether the other is broadcast or shared by a group."""
    pairs = zip_longest(reversed(a), reversed(b), fillvalue=1)
    return tuple(0 if 0 in pair else max(pair) for pair in pairs)[::-1]


@formula("aten.scaled_dot_product_attention")
def sdpa(
    q: Shape, k: Shape, v: Shape, attn_mask: Shape | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, *, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """Attention over the query's heads: QKᵀ and AV, then scale and softmax, 6 FLOPs a score (7 with a mask)."""
    return attention_cost(q, k, v, attn_mask is not None, is_causal, dropout_p)


@formula("aten._scaled_dot_product_flash_attention", "aten._scaled_dot_product_fused_attention_overrideable", outputs=1)
def flash(q: Shape, k: Shape, v: Shape, *args: Any, out: Out, is_causal: bool = False, **__: Any) -> Cost:
    """Attention over the query's heads: QKᵀ and AV, then scale and softmax, 6 FLOPs a score (7 with a mask)."""
    causal = next((a for a in args if isinstance(a, bool)), is_causal)
    return attention_cost(q, k, v, False, causal, args[0] if args and isinstance(args[0], float) else 0.0)


@formula("aten._scaled_dot_product_flash_attention_for_cpu", outputs=1)
def flash_cpu(
    q: Shape, k: Shape, v: Shape, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Shape | None = None, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """Attention over the query's heads: QKᵀ and AV, then scale and softmax, 6 FLOPs a score (7 with a mask)."""
    return attention_cost(q, k, v, attn_mask is not None, is_causal, dropout_p)


@formula("aten._scaled_dot_product_efficient_attention", "aten._scaled_dot_product_cudnn_attention", outputs=1)
def efficient(
    q: Shape, k: Shape, v: Shape, bias: Shape | None, compute_lse: bool, dropout_p: float = 0.0,
    is_causal: bool = False, *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """Attention over the query's heads: QKᵀ and AV, then scale and softmax, 6 FLOPs a score (7 with a mask)."""
    return attention_cost(q, k, v, bias is not None, is_causal, dropout_p)


@formula("aten._native_multi_head_attention", outputs=1)
def native_mha(
    q: Shape, k: Shape, v: Shape, embed: int, heads: int, qkv_w: Shape, qkv_b: Shape, proj_w: Shape,
    proj_b: Shape, mask: Shape | None = None, *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """The fused nn.MultiheadAttention: projections, attention, output projection.

    >>> native_mha((2, 5, 8), (2, 5, 8), (2, 5, 8), 8, 2, (24, 8), (24,), (8, 8), (8,), out=((2, 5, 8),)).macs
    3360
    """
    batch, sq, _e = q
    sk, d = k[1], embed // heads
    inner = attention_cost((batch, heads, sq, d), (batch, heads, sk, d), (batch, heads, sk, d), mask is not None, False)
    projections = batch * (2 * sq + 2 * sk) * embed * embed
    bias = batch * (2 * sq + 2 * sk) * embed
    linear_out = batch * (2 * sq + 2 * sk) * embed
    return Cost(
        inner.macs + projections, inner.other + bias, activations=inner.activations + linear_out, width=3 * embed
    )


@formula("aten._transformer_encoder_layer_fwd", outputs=1)
def encoder_layer(
    x: Shape, embed: int, heads: int, qkv_w: Shape, qkv_b: Shape, proj_w: Shape, proj_b: Shape, use_gelu: bool,
    norm_first: bool, eps: float, n1w: Shape, n1b: Shape, n2w: Shape, n2b: Shape, w1: Shape, b1: Shape,
    w2: Shape, b2: Shape, mask: Shape | None = None, *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """The fused nn.TransformerEncoderLayer: attention, two norms (5 an element), two residual adds, MLP."""
    batch, seq, _e = x
    attn = native_mha(x, x, x, embed, heads, qkv_w, qkv_b, proj_w, proj_b, mask, out=out)
    assert isinstance(attn, Cost)
    tokens, hidden = batch * seq, w1[0]
    mlp = 2 * tokens * embed * hidden
    other = tokens * (hidden + embed) + tokens * hidden + 2 * 6 * tokens * embed
    return Cost(
        attn.macs + mlp,
        attn.other + other,
        fvcore=2 * 5 * tokens * embed,
        activations=attn.activations + tokens * (hidden + embed),
        width=max(3 * embed, hidden),
    )
