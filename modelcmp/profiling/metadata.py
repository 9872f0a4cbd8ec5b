"""What some composite operations hand out, without running their parts.

On the meta device attention takes its plain path, whose output lies differently in memory than a
fused kernel's, and a recurrent layer runs step by step. Here the fused layouts are written down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def attention(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
    """(..., Sq, Dv), its dimensions in memory in the query's order, as fused kernels write it."""
    shape = (*q.shape[:-1], v.shape[-1])
    order = sorted(range(q.dim()), key=q.stride().__getitem__, reverse=True)
    places = sorted(range(q.dim()), key=order.__getitem__)
    return q.new_empty([shape[d] for d in order]).permute(places)


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


SHORTCUTS: dict[str, Callable[..., Any]] = {
    "aten.scaled_dot_product_attention": attention,
    "aten.lstm": lstm,
    "aten.gru": recurrent,
    "aten.rnn_tanh": recurrent,
    "aten.rnn_relu": recurrent,
}
