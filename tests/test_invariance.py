"""Totals depend on what is computed, not on the backend, the place or the wrapping; and nothing is left behind."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from modelcmp.errors import ForwardError
from modelcmp.profiling.profile import profile_module, trace_module
from modelcmp.profiling.tracer import Tracer, walk
from modelcmp.records import ModelProfile, Trace
from modelcmp.reductions import layers, rolled_up, total, uncounted
from modelcmp.sources import Inputs

R = torch.randn


class Totals(tuple[int, int, int]):
    """MACs, FLOPs and activations."""


def totals(trace: Trace | Tracer | None) -> Totals:
    assert trace is not None
    ops = trace.records() if isinstance(trace, Tracer) else trace.ops
    assert not uncounted(ops)
    return Totals((total(o.macs for o in ops), total(o.flops for o in ops), sum(o.activations for o in ops)))


def profile(model: nn.Module, *args: Any, mode: str = "eval", real: bool = False, **kwargs: Any) -> ModelProfile:
    result = profile_module(model, Inputs(args, kwargs), mode=mode)
    assert bool(result.notes) is real  # a note says that forward had to run for real
    return result


class Attention(nn.Module):
    """Packed projection, scaled dot-product attention, output projection, as in most ViTs."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, s, e = x.shape
        q, k, v = self.qkv(x).view(b, s, 3, self.heads, e // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, s, e))


def convnet() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(8, 4))  # fmt: skip


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convnet": (convnet, (2, 3, 8, 8)),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=4), (1, 3, 64, 64)),
    "attention": (Attention, (2, 5, 16)),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), (2, 5, 16)),
    "lstm": (lambda: nn.LSTM(8, 16, 2, bidirectional=True), (5, 2, 8)),
    "gru": (lambda: nn.GRU(8, 16), (5, 2, 8)),
    "rms": (lambda: nn.Sequential(nn.Linear(8, 8), nn.RMSNorm(8)), (2, 8)),
}


@pytest.fixture(params=NETS, ids=list(NETS))
def net(request: pytest.FixtureRequest) -> tuple[nn.Module, torch.Tensor]:
    build, shape = NETS[request.param]
    return build(), R(*shape)


# -- backends ---------------------------------------------------------------------------------


def test_without_data_as_for_real(net: tuple[nn.Module, torch.Tensor]) -> None:
    model, x = net
    meta = trace_module(copy.deepcopy(model).to("meta"), Inputs((x.to("meta"),)))
    cpu = profile(model, x).trace
    real = trace_module(copy.deepcopy(model), Inputs((x,)), real=True)
    assert totals(meta) == totals(cpu) == totals(real)
    traffic = [sum(op.traffic_bytes for op in t.ops) for t in (meta, cpu, real) if t]
    assert len(set(traffic)) == 1


def test_training_multiplies_as_often(net: tuple[nn.Module, torch.Tensor]) -> None:
    """Attention and recurrent layers stay whole though gradients are recorded, in traffic, too."""
    model, x = net
    evaluated, trained = profile(model, x), profile(model, x, mode="train")
    assert (trained.macs, trained.activations) == (evaluated.macs, evaluated.activations)
    if not any(isinstance(m, nn.BatchNorm2d) for m in model.modules()):  # their counters are ops of training
        assert (trained.flops, trained.traffic_bytes) == (evaluated.flops, evaluated.traffic_bytes)


@pytest.mark.parametrize("backend", [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION])
def test_decomposed_stream(net: tuple[nn.Module, torch.Tensor], backend: SDPBackend) -> None:
    """Plain no_grad on the CPU: backends' own kernels arrive instead of the public ops."""
    model, x = net
    model.eval()
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(backend), Tracer(walk(model), real=True) as tracer:
            model(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    whole, parts = totals(profile(model, x).trace), totals(tracer)
    assert (whole[0], whole[2]) == (parts[0], parts[2])
    assert parts[1] == pytest.approx(whole[1], rel=0.02)  # plain attention scales queries and keys, not scores


def test_native_attention_kernels() -> None:
    """The fused kernels that the fast path would run are counted, should a caller use them."""
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    x = R(2, 5, 16)
    with torch.no_grad(), Tracer(walk(encoder), real=True) as tracer:
        encoder(x)
    assert any("transformer_encoder_layer_fwd" in op.op for op in tracer.records())
    assert totals(tracer) == totals(profile(encoder, x).trace)


@pytest.mark.parametrize("enabled", [True, False])
def test_fast_path_makes_no_difference(enabled: bool) -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        assert profile(model, R(2, 5, 16)).macs == 2 * 2 * (4 * 5 * 256 + 2 * 25 * 16 + 5 * 2 * 16 * 32)
        assert torch.backends.mha.get_fastpath_enabled() is enabled
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_as_meta(net: tuple[nn.Module, torch.Tensor]) -> None:
    model, x = net
    real = trace_module(copy.deepcopy(model).cuda(), Inputs((x.cuda(),)), real=True)
    assert totals(profile(model.cuda(), x.cuda()).trace) == totals(profile(model.cpu(), x).trace) == totals(real)


def test_batch(net: tuple[nn.Module, torch.Tensor]) -> None:
    model, x = net
    batch_dim = 1 if isinstance(model, nn.RNNBase) else 0
    one = x.narrow(batch_dim, 0, 1)
    small, large = profile(model, one), profile(model, torch.cat([one] * 8, batch_dim))
    assert large.macs == 8 * small.macs
    assert large.activations == 8 * small.activations
    assert large.weight_bytes == small.weight_bytes
    assert large.params == small.params


def test_sums(net: tuple[nn.Module, torch.Tensor]) -> None:
    """Ops sum to layers, layers to the model, at every depth."""
    model, x = net
    result = profile(model, x)
    assert result.trace is not None
    for rows in (layers(result.trace), *(rolled_up(result.trace, n) for n in range(4))):
        assert sum(r.macs or 0 for r in rows) == result.macs
        assert sum(r.flops or 0 for r in rows) == result.flops
        assert sum(r.traffic_bytes for r in rows) == result.traffic_bytes
        assert sum(r.ops for r in rows) == result.values["layers"]
        assert sum(r.params for r in rows) == result.params


# -- how modules are put together -------------------------------------------------------------


class Wrapped(nn.Module):
    """A module with a forward given from outside."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.given = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args: Any) -> Any:
        return self.given(self, *args)


def test_tied_weights() -> None:
    net = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 10, bias=False))
    net[1].weight = net[0].weight
    result = profile(net, torch.zeros(2, 3, dtype=torch.long))
    assert (result.params, result.size_bytes, result.macs) == (80, 320, 6 * 80)


def test_tied_by_a_transposed_view() -> None:
    net = nn.Sequential(nn.Linear(8, 10, bias=False), nn.Linear(10, 8, bias=False))
    net[1].weight = nn.Parameter(net[0].weight.t())
    result = profile(net, R(3, 8))
    assert (result.params, result.size_bytes, result.macs) == (80, 320, 2 * 3 * 80)


def test_reuse_is_not_free() -> None:
    layer = nn.Linear(8, 8)
    result = profile(nn.Sequential(layer, layer, layer), R(3, 8))
    assert result.macs == 3 * 3 * 64
    assert result.params == 72
    assert {(op.module, op.call) for op in result.ops} == {("0", 0), ("0", 1), ("0", 2)}


def test_alias_reports_under_its_first_name() -> None:
    layer = nn.Linear(8, 8)
    result = profile(Wrapped(lambda m, x: m.b(x), a=layer, b=layer), R(3, 8))
    assert {op.module for op in result.ops} == {"a"}
    assert result.macs == 3 * 64


def test_direct_forward_charges_the_parent() -> None:
    result = profile(nn.Sequential(Wrapped(lambda m, x: m.inner.forward(x), inner=nn.Linear(8, 8))), R(3, 8))
    assert {op.module for op in result.ops} == {"0"}
    assert result.macs == 3 * 64


@pytest.mark.parametrize("wrap", [torch.jit.script, lambda m: torch.jit.trace(m, R(3, 8)), torch.compile])
@pytest.mark.parametrize("inside", [False, True])
def test_wrappers(wrap: Callable[[nn.Module], nn.Module], inside: bool) -> None:
    plain = mlp().eval()
    wrapped = nn.Sequential(wrap(plain)) if inside else wrap(plain)
    expected, found = profile(plain, R(3, 8)), profile(wrapped, R(3, 8))
    for metric in ("macs", "flops", "activations", "params", "weight_bytes"):
        assert found.values[metric] == expected.values[metric], metric


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("norm", [parametrizations.weight_norm, nn.utils.weight_norm])
def test_weight_norm_is_computed_at_each_call(norm: Callable[..., nn.Module], mode: str) -> None:
    result = profile(norm(nn.Linear(8, 16)), R(3, 8), mode=mode)
    assert result.params == 8 * 16 + 16 + 16  # direction, length, bias
    assert result.macs == 3 * 8 * 16
    assert result.flops == 2 * 3 * 8 * 16 + 3 * 16 + 3 * 8 * 16


def test_spectral_norm_in_training() -> None:
    """One step of power iteration: two matrix-vector products, and one more for the norm."""
    result = profile(parametrizations.spectral_norm(nn.Linear(8, 16)), R(3, 8), mode="train")
    assert not result.uncounted
    assert result.macs == 3 * 8 * 16 + 3 * 8 * 16 + 16


def test_lazy_modules() -> None:
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    expected, found = profile(plain, R(2, 3, 6, 6)), profile(lazy, R(2, 3, 6, 6))
    assert dict(found.values) == dict(expected.values)
    assert isinstance(lazy[0].weight, nn.parameter.UninitializedParameter)


def test_dynamically_quantised_linear() -> None:
    net = mlp()
    quantised = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
    expected, found = profile(net, R(3, 8)), profile(quantised, R(3, 8), real=True)
    weights, biases = 8 * 16 + 16 * 4, 16 + 4
    assert found.params == expected.params == weights + biases
    assert found.macs == expected.macs == 3 * weights
    assert found.size_bytes == weights + 4 * biases
    assert found.weight_bytes == weights + 4 * biases


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_forward(reentrant: bool, mode: str) -> None:
    net = Wrapped(lambda m, x: checkpoint(m.inner, x, use_reentrant=reentrant), inner=mlp())
    expected, found = profile(mlp(), R(3, 8), mode=mode), profile(net, R(3, 8), mode=mode)
    for metric in ("macs", "flops", "activations", "traffic_bytes"):
        assert found.values[metric] == expected.values[metric], metric
    assert {op.module for op in found.ops} == {"inner.0", "inner.1", "inner.2"}


def test_operators_over_functions() -> None:
    """cond runs the branch that its data choose."""
    both = Wrapped(lambda m, x: torch.cond(x.sum() > 0, lambda x: x @ x.T @ x, lambda x: x @ x.T, (x,)))
    assert profile(both, torch.ones(3, 8), real=True).macs == 2 * 72
    assert profile(both, -torch.ones(3, 8), real=True).macs == 72


def test_gradient_inside_forward() -> None:
    """Training nets with forces: whole composites can be differentiated."""

    def forces(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(m.inner(x).sum(), x)[0]

    net = Wrapped(forces, inner=nn.Linear(8, 1))
    x = R(3, 8)
    real = trace_module(net, Inputs((x,)), train=True, real=True)
    assert total(op.macs for op in real.ops) >= 2 * 3 * 8
    for mode in ("train", "eval"):
        assert profile(net, x, mode=mode).macs == 2 * 3 * 8  # weights and inputs on two devices
    assert profile(net.to("meta"), x.to("meta"), mode="train").macs == 2 * 3 * 8


def test_same_tensor_twice_is_self_attention() -> None:
    """Inputs keep their identity: one packed projection, not three."""
    x = R(2, 5, 16)
    packed = profile(nn.MultiheadAttention(16, 2, batch_first=True), x, x, x)
    apart = profile(nn.MultiheadAttention(16, 2, batch_first=True), x, x.clone(), x.clone())
    assert packed.macs == apart.macs
    assert packed.values["layers"] == apart.values["layers"] - 2


# -- ops without a formula, forwards that need data -------------------------------------------


@torch.library.custom_op("modelcmp_test::mystery", mutates_args=())
def mystery(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(x.numpy() * 2)


@torch.library.custom_op("modelcmp_test::described", mutates_args=())
def described(x: torch.Tensor) -> torch.Tensor:
    return x * 2


described.register_fake(torch.empty_like)


@pytest.mark.parametrize("op", [mystery, described])
def test_unknown_op_is_never_zero(op: Callable[..., torch.Tensor]) -> None:
    net = Wrapped(lambda m, x: op(op(m.inner(x))), inner=nn.Linear(8, 8))
    result = profile(net, R(3, 8), real=op is mystery)
    name = "modelcmp_test." + ("mystery" if op is mystery else "described")
    assert dict(result.uncounted) == {name: 2}
    assert [(o.macs, o.flops) for o in result.ops if o.op == name] == [(None, None)] * 2
    assert result.macs == 3 * 64


def test_forward_that_needs_data_runs_once_for_real() -> None:
    seen: Counter[str] = Counter()

    def forward(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        seen["calls"] += 1
        return m.inner(x[x[:, 0] > 0])

    x = R(5, 8)
    x[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])
    result = profile(Wrapped(forward, inner=nn.Linear(8, 2)), x, real=True)
    assert result.macs == 3 * 16
    assert seen["calls"] == 2


# -- nothing is left behind -------------------------------------------------------------------


class Stateful(nn.Module):
    """Batch norm, dropout, a cache, a counter, a hook, and random numbers."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.fails = fails
        self.body = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout())
        self.body[1].eval()  # a frozen layer in a training model
        self.head = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cache: dict[str, torch.Tensor] = {}
        self.table: torch.Tensor | None = None
        self.steps = 0
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.count += 1
        self.table = x * 2
        self.cache["x"] = x
        self.late = nn.Parameter(x)
        self.body[0].register_forward_hook(lambda *_: None)
        y = self.body(x) + torch.rand(8, device=x.device) * random.random()
        if self.fails:
            raise RuntimeError("as told")
        return self.head(y[None], y[None], y[None])[0]


@pytest.fixture
def rng() -> Iterator[None]:
    state, python = torch.get_rng_state(), random.getstate()
    yield
    torch.set_rng_state(state)
    random.setstate(python)


@pytest.mark.usefixtures("rng")
@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("fails", [False, True])
def test_state_is_restored(fails: bool, mode: str) -> None:
    model = Stateful(fails)
    flags = [m.training for m in model.modules()]
    state = {k: (id(v), v.clone()) for k, v in model.state_dict(keep_vars=True).items()}
    call, fast_path = nn.Module.__call__, torch.backends.mha.get_fastpath_enabled()
    if fails:
        with pytest.raises(ForwardError, match="as told"):
            profile(model, R(4, 8), mode=mode)
    else:
        profile(model, R(4, 8), mode=mode)
    assert nn.Module.__call__ is call
    assert [m.training for m in model.modules()] == flags
    found = model.state_dict(keep_vars=True)
    assert found.keys() == state.keys()
    for key, (identity, value) in state.items():
        assert id(found[key]) == identity
        assert torch.equal(found[key], value), key
    assert (model.steps, model.table, model.cache) == (0, None, {})
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.backends.mha.get_fastpath_enabled() is fast_path
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert not torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    assert model.body(R(2, 8)).grad_fn is not None


@pytest.mark.usefixtures("rng")
@pytest.mark.parametrize("real", [False, True])
def test_random_state_is_restored(real: bool) -> None:
    net, x = Wrapped(lambda _, x: F.dropout(x + torch.rand(8), 0.5)), R(4, 8)
    torch.manual_seed(3)
    expected = R(5)
    torch.manual_seed(3)
    trace_module(net, Inputs((x,)), real=real)
    assert torch.equal(R(5), expected)


def test_train_mode_kernels_are_taken_back() -> None:
    """Attention is differentiable as before, and its parts are seen again."""
    profile(Attention(), R(2, 5, 16), mode="train")
    q = R(1, 2, 4, 8, requires_grad=True)
    out = F.scaled_dot_product_attention(q, q, q)
    assert "Whole" not in type(out.grad_fn).__name__
    out.sum().backward()
    assert q.grad is not None
