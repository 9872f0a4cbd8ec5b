"""Recurrent layers, whole sequences at once."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]

#: Gates and pointwise FLOPs a hidden unit and step, besides the sum of the two gate products:
#: LSTM: 3 sigmoid, 2 tanh, 3 products, 1 sum. GRU: 2 sigmoid, 1 tanh, 2 products, 3 sums less one
#: that the gates' sum already holds. Plain: 1 activation.
GATES = {"lstm": (4, 9), "gru": (3, 7), "rnn": (1, 1)}


def recurrent_cost(kind: str, rows: int, weights: tuple[Shape, ...]) -> Cost:
    """``rows`` is batch x steps; every layer and direction multiplies all of its matrices at each.

    >>> w = ((80, 10), (80, 20), (80,), (80,))  # LSTM, input 10, hidden 20
    >>> recurrent_cost("lstm", 6, w)[:2]
    (14400, 2520)
    """
    gates, pointwise = GATES[kind]
    matrices = [w for w in weights if len(w) == 2]
    width = matrices[0][0]  # all gates at once
    # A cell has two matrices that make gates; an LSTM's projection of the hidden state may follow.
    cells = sum(w[0] == width for w in matrices) // 2
    biases = sum(prod(w) for w in weights if len(w) == 1)
    other = rows * (biases + cells * (width + pointwise * width // gates))
    products = sum(w[0] for w in matrices)
    return Cost(rows * sum(prod(w) for w in matrices), other, activations=rows * products, width=width)


def _rows(x: Shape) -> int:
    return prod(x[:-1])


def _input_cost(kind: str, args: tuple[Any, ...]) -> Cost:
    """Both overloads: (x, hx, params, has_biases, ...) and (packed, batch_sizes, hx, params, has_biases, ...)."""
    # Hidden and cell state of an LSTM are a list, too, before that of the parameters.
    params_at = max(i for i, a in enumerate(args) if isinstance(a, list))
    return recurrent_cost(kind, _rows(args[0]), tuple(args[params_at]))


@formula("aten.lstm")
def lstm(*args: Any, out: Out, **__: Any) -> Cost:
    """LSTM (Hochreiter and Schmidhuber, 1997)."""
    return _input_cost("lstm", args)


@formula("aten.gru")
def gru(*args: Any, out: Out, **__: Any) -> Cost:
    """GRU (Cho et al., 2014)."""
    return _input_cost("gru", args)


@formula("aten.rnn_tanh", "aten.rnn_relu")
def rnn(*args: Any, out: Out, **__: Any) -> Cost:
    """Elman network."""
    return _input_cost("rnn", args)


@formula("aten.mkldnn_rnn_layer", outputs=3)
def mkldnn_rnn(
    x: Shape, w0: Shape, w1: Shape, w2: Shape, w3: Shape, hx: Shape, cx: Shape, reverse: bool, batch_sizes: Any,
    mode: int, hidden: int, num_layers: int, has_biases: bool, *_: Any, out: Out, **__: Any,
) -> Cost:  # fmt: skip
    """One direction of one LSTM layer as the CPU backend runs it (mode 2 is LSTM, 3 GRU)."""
    kind = {2: "lstm", 3: "gru"}.get(mode, "rnn")
    return recurrent_cost(kind, _rows(x), (w0, w1, w2, w3) if has_biases else (w0, w1))


@formula("aten._cudnn_rnn", outputs=3)
def cudnn_rnn(
    x: Shape, weights: list[Shape], stride0: int, buf: Any, hx: Shape, cx: Any, mode: int, *_: Any, out: Out, **__: Any
) -> Cost:
    """All layers as cuDNN runs them (mode 2 is LSTM, 3 GRU)."""
    kind = {2: "lstm", 3: "gru"}.get(mode, "rnn")
    return recurrent_cost(kind, _rows(x), tuple(weights))


@formula("aten._thnn_fused_lstm_cell", kind="pointwise", outputs=2)
def fused_lstm_cell(gates: Shape, hidden_gates: Shape, cx: Shape, *biases: Any, out: Out, **__: Any) -> Cost:
    """The pointwise part of one LSTM step (input gates, hidden gates, cell state)."""
    bias = prod(gates) * sum(isinstance(b, tuple) for b in biases)
    return Cost(other=prod(gates) + bias + GATES["lstm"][1] * prod(out[0]))


@formula("aten._thnn_fused_gru_cell", kind="pointwise", outputs=1)
def fused_gru_cell(gates: Shape, hidden_gates: Shape, hx: Shape, *biases: Any, out: Out, **__: Any) -> Cost:
    """The pointwise part of one GRU step."""
    bias = prod(gates) * sum(isinstance(b, tuple) for b in biases)
    return Cost(other=prod(gates) + bias + GATES["gru"][1] * prod(out[0]))
