"""Counts that once were wrong: each against the number worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from modelcmp.errors import ForwardError
from modelcmp.profiling.profile import profile_module, trace_module
from modelcmp.profiling.session import tracing
from modelcmp.profiling.tracer import walk
from modelcmp.records import ModelProfile, Trace
from modelcmp.reductions import total, uncounted
from modelcmp.sources import Inputs

R = torch.rand


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def profiled(function: Callable[..., Any], *args: Tensor, mode: str = "eval") -> ModelProfile:
    return profile_module(Call(function), Inputs(args), mode=mode)


def ran(function: Callable[..., Any], *args: Tensor) -> Trace:
    return trace_module(Call(function), Inputs(args), real=True)


# -- attention that broadcasts ----------------------------------------------------------------

sdpa = F.scaled_dot_product_attention


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("q", "k"),
    [((1, 2, 5, 8), (4, 2, 6, 8)), ((2, 1, 5, 8), (2, 4, 6, 8)), ((2, 5, 8), (4, 2, 6, 8)), ((4, 2, 5, 8), (1, 6, 8))],
)
def test_attention_counts_broadcast_heads(mode: str, q: tuple[int, ...], k: tuple[int, ...]) -> None:
    """8 heads in all, each 5 x 6 scores of width 8, twice."""
    result = profiled(sdpa, R(q), R(k), R(k), mode=mode)
    heads = 8
    assert not result.notes
    assert result.macs == heads * 5 * 6 * (8 + 8)
    assert result.ops[-1].output_shapes == (tuple(sdpa(R(q), R(k), R(k)).shape),)
    assert total(op.macs for op in ran(sdpa, R(q), R(k), R(k)).ops) == result.macs


def test_attention_broadcasts_only_the_values() -> None:
    """Scores once, their product with the values twice."""
    result = profiled(sdpa, R(1, 2, 5, 8), R(1, 2, 6, 8), R(2, 2, 6, 3))
    assert result.macs == 2 * 5 * 6 * 8 + 4 * 5 * 6 * 3
    assert result.ops[-1].output_shapes == ((2, 2, 5, 3),)


def test_attention_shares_grouped_heads() -> None:
    result = profiled(lambda q, k: sdpa(q, k, k, enable_gqa=True), R(3, 8, 5, 8), R(1, 2, 6, 8))
    assert result.macs == 3 * 8 * 5 * 6 * 16


def test_attention_keeps_the_querys_layout() -> None:
    """(B, S, H, D) heads put back together need no copy."""
    result = profiled(lambda x: sdpa(*(x.transpose(1, 2),) * 3).transpose(1, 2).reshape(2, 5, 32), R(2, 5, 4, 8))
    assert [op.op for op in result.ops] == ["aten.scaled_dot_product_attention"]


@pytest.mark.parametrize(
    ("shapes", "keywords"),
    [
        (((1, 2, 5, 8), (1, 2, 6, 4), (1, 2, 6, 8)), {}),  # head dimension
        (((1, 4, 5, 8), (1, 2, 6, 8), (1, 2, 6, 8)), {}),  # heads, not grouped
        (((1, 8, 5, 8), (1, 3, 6, 8), (1, 3, 6, 8)), {"enable_gqa": True}),  # heads that do not group
        (((1, 2, 5, 8), (1, 2, 6, 8), (1, 2, 6, 8)), {"attn_mask": R(5, 7)}),
        (((1, 2, 5, 8), (1, 2, 6, 8), (1, 2, 6, 8)), {"attn_mask": R(3, 2, 5, 6)}),  # would widen the scores
        (((1, 2, 5, 8), (1, 2, 6, 8), (1, 2, 6, 8)), {"attn_mask": R(5, 6), "is_causal": True}),
        (((8,), (8,), (8,)), {}),
    ],
)
def test_attention_refuses_what_torch_refuses(shapes: tuple[tuple[int, ...], ...], keywords: dict[str, Any]) -> None:
    tensors = [R(s) for s in shapes]
    with pytest.raises((RuntimeError, IndexError)):
        sdpa(*tensors, **keywords)
    with pytest.raises(ForwardError):
        profiled(lambda *qkv: sdpa(*qkv, **keywords), *tensors)
    meta = Inputs(tuple(t.to("meta") for t in tensors))
    with pytest.raises(ForwardError, match="RuntimeError"):
        trace_module(Call(lambda *qkv: sdpa(*qkv, **keywords)), meta)


def test_attention_refuses_values_of_another_length() -> None:
    """Fused kernels may let it pass; the definition does not."""
    q, k, v = (torch.empty(1, 2, n, 8, device="meta") for n in (5, 6, 7))
    with pytest.raises(ForwardError, match="RuntimeError"):
        trace_module(Call(sdpa), Inputs((q, k, v)))


# -- minimal traffic --------------------------------------------------------------------------

ROW = 4 * 8  # bytes


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda x: x[:1] * 2, ROW + ROW),
        (lambda x: torch.index_select(x, 0, torch.tensor([1, 5, 7])), 3 * ROW + 3 * ROW),
        (lambda x: x, 0),
        (lambda x: x.t(), 0),
        (lambda x: (x, x * 2), 1000 * ROW * 2),
        (lambda x: x[:10] * 2 + x[:10].exp(), 10 * ROW * 2 + 10 * ROW),
        (lambda x: x.zero_(), 1000 * ROW),  # written, never read
        (lambda x: x.mul_(2), 2 * 1000 * ROW),
        (lambda x: x * 2 + x.exp(), 2 * 1000 * ROW),  # read twice, needed once
        (lambda x: x[0].mul_(2), 2 * ROW),
    ],
)
def test_minimal_traffic_is_what_is_touched(forward: Callable[[Tensor], Any], expected: int) -> None:
    result = profiled(forward, R(1000, 8))
    assert not result.notes
    assert result.minimal_traffic_bytes == pytest.approx(expected, abs=3 * 8)  # the index itself
    assert result.minimal_traffic_bytes <= result.traffic_bytes


# -- single operations ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.topk(2, 0), lambda x: x.topk(2, dim=0), lambda x: x.topk(2, -2), lambda x: x.sort(0),
        lambda x: x.sort(dim=0, stable=True), lambda x: x.argsort(0), lambda x: x.argsort(dim=0, stable=True),
        lambda x: x.kthvalue(3, 0), lambda x: x.mode(0), lambda x: x.msort(),
    ],
)  # fmt: skip
def test_sorts_along_the_given_dimension(function: Callable[[Tensor], Any], mode: str) -> None:
    result = profiled(function, R(1024, 2), mode=mode)
    assert result.flops == 1024 * 2 * log2(1024)


@pytest.mark.parametrize("real", [False, True])
def test_time_convolution(real: bool) -> None:
    x, w, b = R(9, 2, 4), R(3, 4, 5), R(5)
    trace = ran(torch.conv_tbc, x, w, b) if real else profiled(torch.conv_tbc, x, w, b).trace
    assert trace is not None
    assert total(op.macs for op in trace.ops) == (7 * 2) * 3 * 4 * 5


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_packing_sequences_is_counted(mode: str) -> None:
    class Packs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(4, 6)

        def forward(self, x: Tensor, lengths: Tensor) -> Any:
            return pad_packed_sequence(self.rnn(pack_padded_sequence(x, lengths))[0])[0]

    result = profile_module(Packs(), Inputs((R(5, 2, 4), torch.tensor([5, 3]))), mode=mode)
    assert not result.uncounted
    assert result.macs == (5 + 3) * 4 * 6 * (4 + 6)


def test_sparse_product_is_counted() -> None:
    trace = ran(lambda b: torch.sparse.addmm(R(3, 2), torch.eye(3, 4).to_sparse(), b), R(4, 2))
    assert not uncounted(trace.ops)
    assert total(op.macs for op in trace.ops) == 3 * 4 * 2


def test_quantised_arithmetic_is_counted() -> None:
    def forward(x: Tensor) -> Tensor:
        ops, a = torch.ops.quantized, torch.quantize_per_tensor(x, 0.1, 0, torch.quint8)
        return ops.cat([ops.mul(ops.add(a, a, 0.1, 0), ops.add_relu(a, a, 0.1, 0), 0.1, 0), a], 0, 0.1, 0).dequantize()

    trace = ran(forward, R(2, 8))
    assert not uncounted(trace.ops)
    assert total(op.flops for op in trace.ops) == 3 * 16
    assert [op.kind for op in trace.ops if "cat" in op.op] == ["move"]


def test_gradient_of_windows_is_counted() -> None:
    trace = ran(lambda g: torch.ops.aten.unfold_backward(g, [9], 0, 3, 2), R(4, 3))
    assert not uncounted(trace.ops)
    assert total(op.flops for op in trace.ops) == 4 * 3


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_where_with_a_condition_alone_depends_on_data(mode: str) -> None:
    result = profiled(lambda x: x[torch.where(x > 0.5)], R(8, 8), mode=mode)
    assert result.notes  # it had to run
    assert "aten.where" not in [op.op for op in result.ops]
    assert result.values["layers"] == 2  # comparison, lookup


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_where_of_three_is_pointwise(mode: str) -> None:
    result = profiled(lambda x: torch.where(x > 0.5, x, 0.0), R(8, 8), mode=mode)
    assert (result.flops, result.values["layers"]) == (2 * 64, 2)


def test_sparse_constant_is_no_weight() -> None:
    """A product with a sparse constant does not ask it for a storage that it lacks."""
    adjacency = torch.eye(4).to_sparse()
    result = profiled(lambda x: torch.sparse.mm(adjacency, x), R(4, 3))
    assert result.macs == 4 * 4 * 3


# -- gradients inside forward -----------------------------------------------------------------


@pytest.mark.parametrize("real", [False, True])
def test_forward_may_differentiate(real: bool) -> None:
    """Energy and force: the weight meets the position once, and the gradient once."""

    class Force(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 4, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.fc(x).sum(), x)[0]

    model = Force().eval()
    x = R(2, 8) if real else R(2, 8).to("meta")
    with tracing(walk(model), train=False, real=real, gradients=True) as tracer:
        assert not model.training
        assert model(x).shape == (2, 8)
    assert total(op.macs for op in tracer.records()) == 2 * (2 * 8 * 4)


def test_fused_traffic_of_two_halves_of_one_buffer() -> None:
    """GLU by hand: both halves are read, one result is written."""

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b = x.chunk(2, -1)
            return torch.sigmoid(a) * b

    import modelcmp

    profile = modelcmp.profile(Net(), torch.zeros(3, 8))
    assert profile.fused_traffic_bytes == 4 * (24 + 12)
    assert profile.minimal_traffic_bytes <= profile.fused_traffic_bytes


def test_parameters_in_one_flat_storage() -> None:
    """Every element once, in whichever order its views come."""

    class Flat(nn.Module):
        def __init__(self, *views: slice) -> None:
            super().__init__()
            flat = torch.zeros(100)
            for i, view in enumerate(views):
                self.register_parameter(f"p{i}", nn.Parameter(flat[view]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    import modelcmp

    everything, head, tail = slice(None), slice(10), slice(50, None)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    for views in ((head, everything), (everything, tail), (even, odd)):
        assert modelcmp.profile(Flat(*views), torch.zeros(1)).params == 100
    for views in ((head, tail), (tail, head, tail)):
        assert modelcmp.profile(Flat(*views), torch.zeros(1)).params == 60


class Recycles(nn.Module):
    """Makes constants where results have just been freed: the allocator hands out the same addresses."""

    def forward(self, x):
        assert float(x.sum()) > -1e9  # needs numbers: runs for real
        found = []
        for i in range(30):
            x.mul(2).add(1).mul(3)  # freed at once
            found.append(torch.full((64,), i).tolist())
            found.append(torch.tensor([float(i)] * 64) * 2)
        return torch.stack(found[1::2])


def test_an_address_that_is_used_again_is_another_buffer():
    profiles = [profile_module(Recycles(), Inputs((torch.ones(64),))) for _ in range(3)]
    assert [p.depth for p in profiles] == [3, 3, 3]
    assert len({p.input_bytes for p in profiles}) == 1
