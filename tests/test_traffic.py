"""Traffic, depth and peak memory of small graphs, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from modelcmp.profiling.profile import profile_module
from modelcmp.records import ModelProfile
from modelcmp.sources import Inputs

X = 4 * 2 * 8  # bytes of one (2, 8) fp32 tensor
W, B = 4 * 8 * 8, 4 * 8  # weight and bias of Linear(8, 8)


class Net(nn.Module):
    """A forward over named parts."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.given = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any) -> Any:
        return self.given(self, *args)


def profile(
    forward: Callable[..., Any] | nn.Module, *args: torch.Tensor, mode: str = "eval", **parts: nn.Module
) -> ModelProfile:
    model = forward if isinstance(forward, nn.Module) else Net(forward, **parts)
    result = profile_module(model, Inputs(args or (torch.zeros(2, 8),)), mode=mode)
    assert not result.notes  # nothing had to run for real
    return result


def fc() -> nn.Module:
    return nn.Linear(8, 8)


def check(result: ModelProfile, **expected: int) -> None:
    assert {key: result.values[key] for key in expected} == expected


# -- chains -----------------------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True])
def test_conv_bn_relu(inplace: bool) -> None:
    """x (1, 3, 8, 8) -> conv 3x3 -> (1, 4, 6, 6) -> norm -> relu."""
    x, y = 4 * 3 * 64, 4 * 4 * 36
    conv, norm = 4 * (4 * 3 * 9 + 4), 4 * 4 * 4  # norm: weight, bias, mean, variance
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace))
    check(
        profile(net, torch.zeros(1, 3, 8, 8)),
        input_bytes=x + y + y, output_bytes=3 * y, weight_bytes=conv + norm,
        fused_traffic_bytes=x + y + conv + norm, minimal_traffic_bytes=x + y + conv + norm,
        layers=3, depth=3, peak_activation_bytes=2 * y,
    )  # fmt: skip


def test_chain_of_linears() -> None:
    """Nothing folds into nothing: fused equals eager."""
    result = profile(nn.Sequential(fc(), fc(), fc()))
    check(
        result, input_bytes=3 * X, output_bytes=3 * X, weight_bytes=3 * (W + B),
        fused_traffic_bytes=6 * X + 3 * (W + B),
        minimal_traffic_bytes=2 * X + 3 * (W + B), depth=3, peak_activation_bytes=2 * X,
    )  # fmt: skip


def test_views_and_identities_are_free() -> None:
    result = profile(lambda m, x: m.a(x.view(8, 2).t().unsqueeze(0).reshape(16).detach()), a=nn.Identity())
    # the transposed view has to be copied before it can be reshaped; nothing else runs
    assert [op.op for op in result.ops if op.traffic_bytes] == ["aten.reshape"]
    assert result.values["layers"] == 0
    assert result.values["depth"] == 0
    pure = profile(lambda m, x: x.view(4, 4)[1:, ::2].transpose(0, 1).expand(3, 2, 3))
    check(pure, traffic_bytes=0, layers=0, fused_traffic_bytes=0)


def test_expanded_tensor_costs_its_storage() -> None:
    result = profile(lambda m, x: x.expand(100, 2, 8) * 2.0)
    check(result, input_bytes=X, output_bytes=100 * X)


def test_in_place_reads_and_writes() -> None:
    result = profile(lambda m, x: m.a(x).add_(x), a=fc())
    check(result, input_bytes=X + 2 * X, output_bytes=2 * X, peak_activation_bytes=X)


def test_copy_into_a_slice_touches_the_slice() -> None:
    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        y = torch.empty(100, 8, device=x.device)
        y[3:5] = x
        return y

    check(profile(forward), input_bytes=X, output_bytes=X)


def test_same_operand_twice_is_read_once() -> None:
    check(profile(lambda m, x: x * x), input_bytes=X, output_bytes=X)
    check(profile(lambda m, x: (h := x[:, :4]) * h), input_bytes=X // 2, output_bytes=X // 2)
    check(profile(lambda m, x: x[:, :4] * x[:, 4:]), input_bytes=X, output_bytes=X // 2)


def test_out_overload_does_not_read_its_destination() -> None:
    check(profile(lambda m, x: torch.add(x, 1.0, out=torch.empty_like(x))), input_bytes=X, output_bytes=X)


# -- branches ---------------------------------------------------------------------------------


def test_residual() -> None:
    """x -> a -> relu -> b -> + x: the sum folds into b, x is read by a and again by b's kernel."""
    result = profile(lambda m, x: m.b(F.relu(m.a(x))) + x, a=fc(), b=fc())
    check(
        result, input_bytes=X + X + X + 2 * X, output_bytes=4 * X, weight_bytes=2 * (W + B),
        fused_traffic_bytes=(X + X) + (X + X + X) + 2 * (W + B), minimal_traffic_bytes=2 * X + 2 * (W + B),
        layers=4, depth=4, peak_activation_bytes=2 * X,
    )  # fmt: skip


def test_skipped_value_stays_alive() -> None:
    """h is needed until the end: three buffers are alive while b writes."""
    result = profile(lambda m, x: m.c(m.b(h := m.a(x))) + h, a=fc(), b=fc(), c=fc())
    check(result, peak_activation_bytes=3 * X, depth=4)


def test_parallel_branches() -> None:
    """Two branches do not wait for each other; the second relu joins its own branch."""
    result = profile(lambda m, x: F.relu(m.a(x)) + F.relu(m.b(x)), a=fc(), b=fc())
    check(
        result, layers=5, depth=3, input_bytes=2 * X + 2 * X + 2 * X, output_bytes=5 * X,
        # a's group writes its value once; b's group reads x and that, and writes the sum
        fused_traffic_bytes=(X + X) + (X + X + X) + 2 * (W + B),
    )  # fmt: skip


def test_concatenation_moves_but_is_no_layer() -> None:
    result = profile(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=fc(), b=fc())
    check(result, layers=2, depth=1, input_bytes=2 * X + 2 * X, output_bytes=2 * X + 2 * X,
          fused_traffic_bytes=8 * X + 2 * (W + B), peak_activation_bytes=4 * X)  # fmt: skip


def test_value_used_twice_is_written_once() -> None:
    result = profile(lambda m, x: (m.b(h := F.relu(m.a(x))), m.c(h)), a=fc(), b=fc(), c=fc())
    check(result, fused_traffic_bytes=(X + X) + 2 * (X + X) + 3 * (W + B), minimal_traffic_bytes=3 * X + 3 * (W + B))


def test_reductions_do_not_fold() -> None:
    result = profile(lambda m, x: m.a(x).softmax(-1), a=fc())
    check(result, fused_traffic_bytes=4 * X + W + B)


def test_lookup_reads_rows() -> None:
    tokens = torch.zeros(5, dtype=torch.long)
    check(
        profile(nn.Embedding(1000, 8), tokens), input_bytes=8 * 5, weight_bytes=4 * 5 * 8, output_bytes=4 * 5 * 8,
        minimal_traffic_bytes=8 * 5 + 2 * 4 * 5 * 8,
    )  # fmt: skip


def test_reused_weights_are_read_at_each_call() -> None:
    layer = fc()
    check(profile(nn.Sequential(layer, layer)), weight_bytes=2 * (W + B), minimal_traffic_bytes=2 * X + W + B)


def test_half_precision_halves_traffic() -> None:
    net = nn.Sequential(fc(), nn.ReLU(), fc())
    full = profile(net)
    half = profile(net.half(), torch.zeros(2, 8, dtype=torch.half))
    for key in ("traffic_bytes", "fused_traffic_bytes", "minimal_traffic_bytes", "peak_activation_bytes", "size_bytes"):
        assert 2 * half.values[key] == full.values[key], key
    assert half.macs == full.macs


def test_order_of_the_bounds() -> None:
    for net in (nn.Sequential(fc(), nn.LayerNorm(8), nn.GELU(), fc()), nn.LSTM(8, 8), nn.TransformerEncoderLayer(8, 2)):
        result = profile(net)
        assert result.minimal_traffic_bytes <= result.fused_traffic_bytes <= result.traffic_bytes


# -- training ---------------------------------------------------------------------------------


def test_what_training_keeps() -> None:
    """Each linear keeps its input, relu its output; gradients and Adam's two moments of every parameter."""
    net = nn.Sequential(fc(), nn.ReLU(), fc(), nn.ReLU(), fc())
    # kept to the end: both relu outputs. The first linear's output is free once relu has run, the
    # most is alive while the last linear writes: two relu outputs and its own, beside nothing else;
    # while the second relu writes: first relu, second linear, second relu.
    kept = 3 * X
    state = 3 * 3 * (W + B)
    check(profile(net, mode="train"), peak_activation_bytes=kept + state)
    check(profile(net), peak_activation_bytes=2 * X)


def test_frozen_parameters_have_no_state() -> None:
    net = nn.Sequential(fc(), nn.ReLU(), fc())
    for p in net[0].parameters():
        p.requires_grad = False
    # nothing before the last linear needs a gradient; only its input is kept
    check(profile(net, mode="train"), peak_activation_bytes=2 * X + 3 * (W + B), trainable_params=72)


def test_attention_keeps_inputs_and_output() -> None:
    """Not the scores: they are computed again."""
    q = 4 * 2 * 16 * 4
    net = Net(lambda m, x: F.scaled_dot_product_attention(x * m.s, x * m.s, x * m.s))
    net.s = nn.Parameter(torch.ones(1))
    result = profile(net, torch.zeros(1, 2, 16, 4), mode="train")
    assert result.peak_activation_bytes == 4 * q + 3 * 4
    assert result.macs == 2 * 16 * 16 * 8


def test_checkpointing_saves_memory() -> None:
    def deep() -> nn.Module:
        return nn.Sequential(*(nn.Sequential(fc(), nn.Tanh()) for _ in range(6)))

    plain = profile(deep(), mode="train")
    kept = profile(lambda m, x: checkpoint(m.a, x, use_reentrant=False), mode="train", a=deep())
    assert kept.peak_activation_bytes < plain.peak_activation_bytes
    assert kept.macs == plain.macs
