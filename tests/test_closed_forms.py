"""Operations against closed forms written by hand from the definitions, in each way of running them."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelcmp.profiling.profile import profile_module, trace_module
from modelcmp.records import Trace
from modelcmp.reductions import total, uncounted
from modelcmp.sources import Inputs

R = torch.randn
fast = settings(max_examples=25, deadline=None)
sizes = st.integers(1, 5)


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


def traced(model: nn.Module | Callable[..., Any], *args: Any, **kwargs: Any) -> Trace:
    """The trace without data; one for real and one in train mode must cost the same MACs and activations."""
    module = model if isinstance(model, nn.Module) else Call(model)
    found = [profile_module(module, Inputs(args, kwargs), mode=mode) for mode in ("eval", "train")]
    assert not any(profile.notes for profile in found)  # nothing had to run for real
    traces = [*(profile.trace for profile in found), trace_module(module, Inputs(args, kwargs), real=True)]
    assert len({(macs(t), sum(op.activations for op in t.ops)) for t in traces if t}) == 1
    assert traces[0] is not None
    assert not uncounted(traces[0].ops)
    return traces[0]


def macs(trace: Trace) -> int:
    return total(op.macs for op in trace.ops)


def flops(trace: Trace) -> int:
    return total(op.flops for op in trace.ops)


def activations(trace: Trace) -> int:
    return sum(op.activations for op in trace.ops)


# -- convolutions -----------------------------------------------------------------------------

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@fast
@given(
    dims=st.integers(1, 3), batch=st.integers(0, 3), groups=st.integers(1, 3), cin=sizes, cout=sizes,
    kernel=st.integers(1, 3), stride=st.integers(1, 3), dilation=st.integers(1, 2), padding=st.integers(0, 2),
    bias=st.booleans(),
)  # fmt: skip
def test_convolution(
    dims: int, batch: int, groups: int, cin: int, cout: int, kernel: int, stride: int, dilation: int, padding: int,
    bias: bool,
) -> None:  # fmt: skip
    """Each output element is a dot product over the kernel and the input channels of its group."""
    side = 6
    conv = CONVS[dims - 1](cin * groups, cout * groups, kernel, stride, padding, dilation, groups, bias)
    lead = (batch,) if batch else ()  # 0: no batch dimension
    out = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    outputs = max(batch, 1) * cout * groups * out**dims
    trace = traced(conv, R(*lead, cin * groups, *[side] * dims))
    assert macs(trace) == outputs * cin * kernel**dims
    assert flops(trace) == 2 * macs(trace) + outputs * bias
    assert activations(trace) == outputs
    assert sum(op.weight_bytes for op in trace.ops) == 4 * (cout * groups * cin * kernel**dims + bias * cout * groups)


@fast
@given(
    dims=st.integers(1, 3), batch=st.integers(0, 3), groups=st.integers(1, 3), cin=sizes, cout=sizes,
    kernel=st.integers(1, 3), stride=st.integers(1, 3), bias=st.booleans(),
)  # fmt: skip
def test_transposed_convolution(
    dims: int, batch: int, groups: int, cin: int, cout: int, kernel: int, stride: int, bias: bool
) -> None:
    """Each input element is scattered through the kernel to the output channels of its group."""
    side = 4
    conv = TRANSPOSED[dims - 1](cin * groups, cout * groups, kernel, stride, groups=groups, bias=bias)
    lead = (batch,) if batch else ()
    inputs = max(batch, 1) * cin * groups * side**dims
    outputs = max(batch, 1) * cout * groups * ((side - 1) * stride + kernel) ** dims
    trace = traced(conv, R(*lead, cin * groups, *[side] * dims))
    assert macs(trace) == inputs * cout * kernel**dims
    assert flops(trace) == 2 * macs(trace) + outputs * bias
    assert activations(trace) == outputs


def test_padding_same_depthwise_and_output_padding() -> None:
    assert macs(traced(nn.Conv2d(4, 6, 3, padding="same"), R(2, 4, 7, 7))) == 2 * 7 * 7 * 6 * 4 * 9
    assert macs(traced(nn.Conv1d(4, 6, 4, padding="same"), R(2, 4, 16))) == 2 * 16 * 6 * 4 * 4
    assert macs(traced(nn.Conv2d(8, 8, 3, padding=1, groups=8), R(2, 8, 7, 7))) == 2 * 8 * 7 * 7 * 9
    assert macs(traced(nn.ConvTranspose2d(4, 6, 3, 2, output_padding=1), R(2, 4, 7, 7))) == 2 * 7 * 7 * 4 * 6 * 9
    circular = nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")
    assert macs(traced(circular, R(2, 4, 8, 8))) == 2 * 8 * 8 * 6 * 4 * 9


@pytest.mark.parametrize(("mask", "sample"), [(False, 7), (True, 8)])
def test_deformable_convolution(mask: bool, sample: int) -> None:
    """A convolution whose every tap is a bilinear sample of each input channel."""
    conv = torchvision.ops.DeformConv2d(4, 6, 3, padding=1, groups=2)
    extra = (torch.rand(2, 9, 8, 8),) if mask else ()
    trace = traced(conv, R(2, 4, 8, 8), R(2, 18, 8, 8), *extra)
    outputs, samples = 2 * 6 * 64, 2 * 64 * 9 * 4
    assert macs(trace) == outputs * 2 * 9
    assert flops(trace) == 2 * macs(trace) + sample * samples + outputs


# -- matrix products --------------------------------------------------------------------------


@fast
@given(lead=st.lists(sizes, max_size=3), k=sizes, n=sizes, bias=st.booleans(), strided=st.booleans())
def test_linear(lead: list[int], k: int, n: int, bias: bool, strided: bool) -> None:
    x = R(*lead, k)
    if strided and len(lead) > 1:
        x = R(lead[1], lead[0], *lead[2:], k).transpose(0, 1)
    rows = prod(lead)
    trace = traced(nn.Linear(k, n, bias), x)
    assert macs(trace) == rows * k * n
    assert flops(trace) == 2 * rows * k * n + rows * n * bias
    assert activations(trace) == rows * n
    assert sum(op.traffic_bytes for op in trace.ops) == 4 * (rows * k + k * n + n * bias + rows * n)


@fast
@given(batch=sizes, m=sizes, k=sizes, n=sizes)
def test_products(batch: int, m: int, k: int, n: int) -> None:
    a, b = R(batch, m, k), R(batch, k, n)
    one = m * k * n
    assert macs(traced(torch.mm, a[0], b[0])) == one
    assert macs(traced(torch.bmm, a, b)) == batch * one
    assert macs(traced(torch.matmul, a, b[0])) == batch * one
    assert macs(traced(torch.matmul, a[:, None], b[None])) == batch * batch * one
    assert macs(traced(torch.mv, a[0], b[0, :, 0])) == m * k
    assert macs(traced(torch.dot, a[0, 0], b[0, :, 0])) == k
    assert macs(traced(torch.inner, a[0], R(n, k))) == one
    for product in (torch.baddbmm, torch.addbmm):
        trace = traced(product, R(batch, m, n) if product is torch.baddbmm else R(m, n), a, b)
        assert macs(trace) == batch * one
    assert flops(traced(torch.addmm, R(n), a[0], b[0])) == 2 * one + m * n
    assert flops(traced(torch.addmv, R(m), a[0], b[0, :, 0])) == 2 * m * k + m


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        ("ij,jk->ik", [(3, 4), (4, 5)], 3 * 4 * 5),
        ("ij,kj->ik", [(3, 4), (5, 4)], 3 * 4 * 5),
        ("bhid,bhjd->bhij", [(2, 3, 4, 5), (2, 3, 6, 5)], 2 * 3 * 4 * 6 * 5),
        ("bhwc,hkc->bhwk", [(2, 3, 4, 5), (3, 7, 5)], 2 * 3 * 4 * 7 * 5),
        ("bij,bjk,bkl->bil", [(2, 3, 4), (2, 4, 5), (2, 5, 6)], 2 * 3 * 4 * 5 + 2 * 3 * 5 * 6),
        ("ij,ij->", [(3, 4), (3, 4)], 12),
        ("ij,ij->i", [(3, 4), (3, 4)], 12),
        ("i,i->", [(4,), (4,)], 4),
        ("ii->i", [(4, 4)], 0),
        ("ijk->ikj", [(2, 3, 4)], 0),
        ("ij->i", [(3, 4)], 0),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], expected: int) -> None:
    assert macs(traced(lambda *xs: torch.einsum(equation, *xs), *[R(*s) for s in shapes])) == expected


@fast
@given(n=sizes, o=sizes, i=sizes, j=sizes)
def test_bilinear(n: int, o: int, i: int, j: int) -> None:
    """out[n, o] = Σ_j (Σ_i a[n, i] w[o, i, j]) b[n, j]."""
    trace = traced(nn.Bilinear(i, j, o), R(n, i), R(n, j))
    assert macs(trace) == n * o * j * i + n * o * j
    assert flops(trace) == 2 * macs(trace) + n * o


def test_products_that_others_miss() -> None:
    ints = torch.ones(32, 16, dtype=torch.int8), torch.ones(16, 32, dtype=torch.int8)
    assert macs(traced(torch._int_mm, *ints)) == 32 * 16 * 32
    assert flops(traced(torch.cdist, R(5, 3), R(7, 3))) == 3 * 5 * 7 * 3
    assert flops(traced(torch.cdist, R(50, 3), R(70, 3))) == 3 * 50 * 70 * 3
    assert flops(traced(F.pdist, R(50, 3))) == 3 * 50 * 49 // 2 * 3
    chain = traced(lambda *m: torch.linalg.multi_dot(m), R(3, 4), R(4, 5), R(5, 6))
    assert macs(chain) == 3 * 4 * 5 + 3 * 5 * 6
    grid = traced(lambda t: F.affine_grid(t, [2, 3, 4, 5], align_corners=False), R(2, 2, 3))
    assert macs(grid) == 2 * (4 * 5) * 3 * 2


# -- attention --------------------------------------------------------------------------------


def sdpa(**options: Any) -> nn.Module:
    return Call(lambda q, k, v, *mask: F.scaled_dot_product_attention(q, k, v, *mask, **options))


@fast
@given(b=sizes, h=sizes, sq=sizes, sk=sizes, d=sizes, dv=sizes)
def test_attention(b: int, h: int, sq: int, sk: int, d: int, dv: int) -> None:
    """Scores and their use; scale 1 and softmax 5 a score; queries, keys, values read and one output written."""
    trace = traced(sdpa(), R(b, h, sq, d), R(b, h, sk, d), R(b, h, sk, dv))
    scores = b * h * sq * sk
    assert macs(trace) == scores * (d + dv)
    assert flops(trace) == 2 * macs(trace) + 6 * scores
    assert activations(trace) == scores + b * h * sq * dv
    assert trace.ops[0].traffic_bytes == 4 * b * h * (sq * d + sk * d + sk * dv + sq * dv)


def test_attention_causal_masked_and_grouped() -> None:
    q, k = R(2, 8, 16, 32), R(2, 2, 24, 32)
    causal = traced(sdpa(is_causal=True), q, q, q)
    assert macs(causal) == 2 * 8 * 16 * 16 * 64
    assert causal.ops[0].masked_macs == 2 * 8 * (16 * 17 // 2) * 64
    uneven = traced(sdpa(is_causal=True), q, R(2, 8, 5, 32), R(2, 8, 5, 32))  # 16 rows see 1, 2, .. 5, 5, ..
    assert uneven.ops[0].masked_macs == 2 * 8 * (1 + 2 + 3 + 4 + 12 * 5) * 64
    grouped = traced(sdpa(enable_gqa=True), q, k, k)
    assert macs(grouped) == 2 * 8 * 16 * 24 * 64
    assert grouped.ops[0].traffic_bytes == 4 * (2 * q.numel() + k.numel())
    masked = traced(sdpa(), q, q, q, torch.ones(16, 16, dtype=torch.bool))
    assert macs(masked) == 2 * 8 * 16 * 16 * 64
    assert masked.ops[0].traffic_bytes == 4 * 2 * q.numel() + 16 * 16
    assert macs(traced(sdpa(), R(2, 16, 32), R(2, 24, 32), R(2, 24, 32))) == 2 * 16 * 24 * 64


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("cross", ["self", "memory", "kdim"])
def test_multihead_attention(cross: str, batch_first: bool, need_weights: bool) -> None:
    """Four projections and the attention between."""
    b, sq, e, heads = 2, 5, 32, 4
    sk, kd, vd = {"self": (sq, e, e), "memory": (7, e, e), "kdim": (7, 16, 24)}[cross]
    keys = {"kdim": kd, "vdim": vd} if cross == "kdim" else {}
    mha = nn.MultiheadAttention(e, heads, batch_first=batch_first, **keys)

    def tokens(steps: int, width: int) -> torch.Tensor:
        return R(b, steps, width) if batch_first else R(steps, b, width)

    q = tokens(sq, e)
    k = q if cross == "self" else tokens(sk, kd)
    v = k if cross != "kdim" else tokens(sk, vd)
    trace = traced(mha, q, k, v, need_weights=need_weights)
    assert macs(trace) == b * (2 * sq * e * e + sk * e * (kd + vd) + 2 * sq * sk * e)


def test_transformer_layers() -> None:
    b, s, m, e, hidden = 2, 5, 7, 32, 64
    x, memory = R(b, s, e), R(b, m, e)
    attention = b * (4 * s * e * e + 2 * s * s * e)
    mlp = b * s * 2 * e * hidden
    encoder = nn.TransformerEncoderLayer(e, 4, hidden, batch_first=True)
    assert macs(traced(encoder, x)) == attention + mlp
    decoder = nn.TransformerDecoderLayer(e, 4, hidden, batch_first=True)
    cross = b * (2 * s * e * e + 2 * m * e * e + 2 * s * m * e)
    assert macs(traced(decoder, x, memory)) == attention + cross + mlp
    # causal: dense count, and beside it what the mask leaves
    mask = nn.Transformer.generate_square_subsequent_mask(s)
    masked = profile_module(encoder, Inputs((x,), {"src_mask": mask, "is_causal": True}))
    assert masked.macs == attention + mlp
    assert masked.masked_macs == masked.macs - b * 2 * e * (s * s - s * (s + 1) // 2)


# -- recurrent --------------------------------------------------------------------------------

GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


@fast
@given(
    kind=st.sampled_from(list(GATES)), layers=st.integers(1, 3), both=st.booleans(), bias=st.booleans(),
    batch_first=st.booleans(), packed=st.booleans(), projected=st.booleans(),
)  # fmt: skip
def test_recurrent(
    kind: type[nn.RNNBase], layers: int, both: bool, bias: bool, batch_first: bool, packed: bool, projected: bool
) -> None:
    """Gates x hidden rows of input and of hidden state, each step, layer and direction."""
    steps, b, width, hidden = 3, 2, 10, 20
    proj = 7 if projected and kind is nn.LSTM else 0
    directions = 2 if both else 1
    options = {"proj_size": proj} if proj else {}
    net = kind(width, hidden, layers, bias=bias, batch_first=batch_first, bidirectional=both, **options)
    x: Any = R(b, steps, width) if batch_first else R(steps, b, width)
    rows = steps * b
    if packed:
        x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 1]), batch_first=batch_first)
        rows = 4
    handed = proj or hidden
    expected = 0
    for layer in range(layers):
        fed = width if layer == 0 else handed * directions
        expected += rows * directions * (GATES[kind] * hidden * (fed + handed) + proj * hidden)
    trace = traced(net, x)
    assert macs(trace) == expected
    assert activations(trace) == rows * directions * layers * (2 * GATES[kind] * hidden + proj)


@pytest.mark.parametrize(("sequence", "cell"), [(nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_cost_what_a_step_costs(sequence: type[nn.RNNBase], cell: type[nn.RNNCellBase], bias: bool) -> None:
    whole, step = traced(sequence(10, 20, bias=bias), R(3, 2, 10)), traced(cell(10, 20, bias=bias), R(2, 10))
    assert macs(step) == 2 * GATES[sequence] * 20 * (10 + 20)
    assert macs(whole) == 3 * macs(step)
    assert flops(whole) == 3 * flops(step)
    assert activations(whole) == 3 * activations(step)


# -- the rest ---------------------------------------------------------------------------------


def test_lookups_read_the_rows_that_they_touch() -> None:
    tokens = torch.randint(0, 1000, (4, 6))
    op = traced(nn.Embedding(1000, 8), tokens).ops[0]
    assert (op.flops, op.weight_bytes, op.input_bytes, op.output_bytes) == (0, 4 * 24 * 8, 8 * 24, 4 * 24 * 8)
    for mode in ("sum", "mean", "max"):
        bag = traced(nn.EmbeddingBag(1000, 8, mode=mode), tokens).ops[-1]
        assert bag.flops == 24 * 8
        assert (bag.weight_bytes, bag.output_bytes) == (4 * 24 * 8, 4 * 4 * 8)
    bounded = traced(nn.Embedding(1000, 8, max_norm=1.0), tokens).ops[0]
    assert (bounded.flops, bounded.weight_bytes, bounded.output_bytes) == (3 * 24 * 8, 4 * 24 * 8, 4 * 24 * 8)
    picked = traced(lambda x, i: x[i], R(1000, 8), torch.tensor([3, 5])).ops[0]
    assert (picked.input_bytes, picked.output_bytes) == (4 * 16 + 16, 4 * 16)


def test_in_place_scatters_touch_what_they_write() -> None:
    """A key-value cache of 1,000 steps costs one step each time it is written."""
    cache, step = R(1000, 8), R(1, 8)
    op = traced(lambda c, s: c.clone().index_copy_(0, torch.zeros(1, dtype=torch.long), s), cache, step).ops[-1]
    assert (op.input_bytes, op.output_bytes) == (4 * 8 + 8, 4 * 8)


CASES: list[tuple[str, nn.Module | Callable[..., Any], tuple[Any, ...], int]] = [
    ("max pool", nn.MaxPool2d(3, 2, 1), (R(2, 4, 9, 9),), 2 * 4 * 25 * 9),
    ("average pool", nn.AvgPool2d(2), (R(2, 4, 8, 8),), 2 * 4 * 16 * 4),
    ("pool 1d", nn.MaxPool1d(3), (R(2, 4, 9),), 2 * 4 * 3 * 3),
    ("pool 3d", nn.AvgPool3d(3), (R(2, 4, 9, 9, 9),), 2 * 4 * 27 * 27),
    ("global pool", nn.AdaptiveAvgPool2d(1), (R(2, 4, 8, 8),), 2 * 4 * 64),
    ("batch norm", nn.BatchNorm2d(4), (R(2, 4, 8, 8),), 5 * 512),
    ("layer norm", nn.LayerNorm(8), (R(2, 4, 8),), 5 * 64),
    ("group norm", nn.GroupNorm(2, 4), (R(2, 4, 8, 8),), 5 * 512),
    ("instance norm", nn.InstanceNorm2d(4), (R(2, 4, 8, 8),), 5 * 512),
    ("rms norm", nn.RMSNorm(8), (R(2, 4, 8),), 4 * 64),
    ("softmax", nn.Softmax(-1), (R(3, 8),), 5 * 24),
    ("log softmax", nn.LogSoftmax(-1), (R(3, 8),), 5 * 24),
    ("relu", nn.ReLU(), (R(3, 8),), 24),
    ("gelu", nn.GELU(), (R(3, 8),), 24),
    ("hardswish in place", nn.Hardswish(inplace=True), (R(3, 8),), 24),
    ("prelu", nn.PReLU(), (R(3, 8),), 24),
    ("glu", nn.GLU(), (R(3, 8),), 24),
    ("add", torch.add, (R(3, 8), R(3, 8)), 24),
    ("broadcast add", torch.add, (R(3, 1), R(1, 8)), 24),
    ("sum", torch.sum, (R(3, 8),), 24),
    ("nearest", nn.Upsample(scale_factor=2), (R(2, 4, 8, 8),), 2048),
    ("bilinear", nn.Upsample(scale_factor=2, mode="bilinear"), (R(2, 4, 8, 8),), 7 * 2048),
    ("grid sample", lambda x, g: F.grid_sample(x, g, align_corners=False), (R(2, 4, 8, 8), R(2, 5, 6, 2)), 7 * 240),
    ("fft", torch.fft.fft, (torch.randn(2, 64, dtype=torch.cfloat),), round(2 * 5 * 64 * log2(64))),
    ("fft2", torch.fft.fft2, (torch.randn(2, 16, 8, dtype=torch.cfloat),), round(2 * 5 * 128 * log2(128))),
    ("real fft", torch.fft.rfft, (R(2, 64),), round(2 * 5 * 64 * log2(64) / 2)),
    ("inverse real fft", torch.fft.irfft, (torch.randn(2, 33, dtype=torch.cfloat),), round(5 * 64 * log2(64))),
    ("view", lambda x: x.view(4, 6).t().unsqueeze(0).expand(3, -1, -1)[0], (R(3, 8),), 0),
    ("in-place views", lambda x: x.clone().transpose_(0, 1).unsqueeze_(0), (R(3, 8),), 0),
    ("concatenation", lambda x: torch.cat([x, x]), (R(3, 8),), 0),
    ("eval dropout", lambda x: F.dropout(x, 0.5, training=False), (R(3, 8),), 0),
    ("out= overload", lambda x: torch.add(x, x, out=torch.empty_like(x)), (R(3, 8),), 24),
    ("unreduced loss", lambda x, y: F.mse_loss(x, y), (R(3, 8), R(3, 8)), 3 * 24),
    ("cosine", lambda x, y: F.cosine_similarity(x, y), (R(2, 8), R(2, 8)), 2 * 2 * 16 + 2 * 2 + 2 * 16 + 16 + 16),
]


@pytest.mark.parametrize(("module", "args", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_other_operations(module: nn.Module | Callable[..., Any], args: tuple[Any, ...], expected: int) -> None:
    trace = traced(module, *args)
    assert macs(trace) == 0
    assert flops(trace) == expected


def test_linear_algebra() -> None:
    n = 30
    square = R(n, n)
    assert flops(traced(torch.linalg.inv, square)) == 2 * n**3
    assert flops(traced(torch.linalg.solve, square, R(n, 4))) == 2 * n**3 // 3 + 2 * n * n * 4
    assert flops(traced(torch.linalg.cholesky, square @ square.T + torch.eye(n))) == n**3 // 3
    assert macs(traced(lambda x: torch.linalg.matrix_power(x, 3), square)) == 2 * n**3
