"""What some composite operations hand out, without running their parts.

On the meta device attention takes its plain path, whose output lies differently in memory than a
fused kernel's, a recurrent layer runs step by step, and a convolution forgets that its input was
channels-last. Here the layouts of real kernels are written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
    *, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """(..., Sq, Dv), its dimensions in memory in the query's order, as fused kernels write it.

    Raises RuntimeError where the arguments do not fit together.
    """
    lead = _lead(q, k, v, attn_mask, is_causal, enable_gqa)
    shape = (*lead, q.shape[-2], v.shape[-1])
    if lead != q.shape[:-2]:
        return q.new_empty(shape)
    order = sorted(range(q.dim()), key=q.stride().__getitem__, reverse=True)
    places = sorted(range(q.dim()), key=order.__getitem__)
    return q.new_empty([shape[d] for d in order]).permute(places)


def _lead(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool, enable_gqa: bool
) -> tuple[int, ...]:  # fmt: skip
    """Batch and head dimensions of the output, from arguments that are found to fit together."""
    if min(q.dim(), k.dim(), v.dim()) < 2:
        raise RuntimeError("attention: query, key and value need at least 2 dimensions")
    if not q.dtype == k.dtype == v.dtype:
        raise RuntimeError(f"attention: query is {q.dtype}, key {k.dtype}, value {v.dtype}")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"attention: query has head dimension {q.shape[-1]}, key {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"attention: key has length {k.shape[-2]}, value {v.shape[-2]}")
    if mask is not None and is_causal:
        raise RuntimeError("attention: attn_mask and is_causal exclude each other")
    keys, values = (_grouped(q, t) if enable_gqa else t.shape[:-2] for t in (k, v))
    scored = torch.broadcast_shapes(q.shape[:-2], keys)
    scores = (*scored, q.shape[-2], k.shape[-2])
    if mask is not None and torch.broadcast_shapes(mask.shape, scores) != scores:
        raise RuntimeError(f"attention: attn_mask {tuple(mask.shape)} does not broadcast to {scores}")
    return tuple(torch.broadcast_shapes(scored, values))


def _grouped(q: Tensor, t: Tensor) -> tuple[int, ...]:
    """Batch and head dimensions of keys or values once every head of a group has its copy."""
    if min(q.dim(), t.dim()) < 3 or not t.shape[-3] or q.shape[-3] % t.shape[-3]:
        raise RuntimeError(f"attention: {tuple(q.shape)} has no heads that group over those of {tuple(t.shape)}")
    return (*t.shape[:-3], q.shape[-3])


def lstm(x: Tensor, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """All steps' hidden state, then the last hidden and cell state; both overloads."""
    hidden, cell = args[0] if isinstance(args[0], list | tuple) else args[1]
    return _steps(x, hidden, args), hidden.new_empty(hidden.shape), cell.new_empty(cell.shape)


def recurrent(x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
    """All steps' hidden state, then the last one; both overloads."""
    hidden = args[0] if isinstance(args[1], list | tuple) else args[1]
    return _steps(x, hidden, args), hidden.new_empty(hidden.shape)


def _steps(x: Tensor, hidden: Tensor, args: tuple[Any, ...]) -> Tensor:
    """Padded: (..., has_biases, layers, dropout, train, bidirectional, batch_first); packed: without the last."""
    flags = [a for a in args if isinstance(a, bool)]
    width = hidden.shape[-1] * (2 if flags[2] else 1)
    if len(flags) == 4 and flags[3]:
        return x.new_empty((x.shape[1], x.shape[0], width)).transpose(0, 1)
    return x.new_empty((*x.shape[:-1], width))


def conv2d(x: Tensor, w: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Channels-last in memory where the input or the weight is, as oneDNN and cuDNN leave it."""
    out = torch.conv2d(x, w, *args, **kwargs)
    last = any(
        t.dim() == 4 and not t.is_contiguous() and t.is_contiguous(memory_format=torch.channels_last) for t in (x, w)
    )
    return out.contiguous(memory_format=torch.channels_last) if last and out.dim() == 4 else out


SHORTCUTS: dict[str, Callable[..., Any]] = {
    "aten.scaled_dot_product_attention": attention,
    "aten.conv2d": conv2d,
    "aten.lstm": lstm,
    "aten.gru": recurrent,
    "aten.rnn_tanh": recurrent,
    "aten.rnn_relu": recurrent,
}
