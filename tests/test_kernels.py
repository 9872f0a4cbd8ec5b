"""What a trace launches: kinds, products, copies, mixed precision and fusion, against counts made by hand."""

import math

import pytest
import torch
from torch import nn

import modelcmp
from modelcmp.errors import BadInput
from modelcmp.kernels import Kernel, kernels, merged
from modelcmp.kernels.kernel import KINDS, coarse


def launched(model, *shape, **options):
    dtype = options.pop("dtype", torch.float32)
    return kernels(modelcmp.profile(model.to(dtype), torch.empty(*shape, dtype=dtype)).trace, **options)


@pytest.mark.parametrize(
    ("layer", "shape", "kind", "product"),
    [
        (nn.Conv2d(8, 16, 3, padding=1), (2, 8, 10, 10), "conv", (1, 200, 16, 72)),
        (nn.Conv2d(8, 16, 1), (2, 8, 10, 10), "conv1x1", (1, 200, 16, 8)),
        (nn.Conv2d(8, 16, 1, stride=2), (2, 8, 10, 10), "conv", (1, 50, 16, 8)),
        (nn.Conv2d(8, 16, 3, groups=4, padding=1), (2, 8, 10, 10), "grouped_conv", (4, 200, 4, 18)),
        (nn.Conv2d(8, 8, 3, groups=8, padding=1), (2, 8, 10, 10), "depthwise", (8, 200, 1, 9)),
        (nn.Conv2d(8, 16, 3, groups=8, padding=1), (2, 8, 10, 10), "depthwise", (8, 200, 2, 9)),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), (2, 8, 5, 5), "conv", (1, 50, 4, 32)),
        (nn.Linear(8, 5), (3, 7, 8), "gemm", (1, 21, 5, 8)),
        (nn.LayerNorm(8), (3, 7, 8), "row_norm", (0, 0, 8, 0)),
        (nn.BatchNorm2d(8), (2, 8, 5, 5), "batch_norm", (0, 0, 5, 0)),
        (nn.GroupNorm(2, 8), (2, 8, 5, 5), "group_norm", (0, 0, 5, 0)),
        (nn.Softmax(-1), (4, 9), "softmax", (0, 0, 9, 0)),
        (nn.GELU(), (4, 9), "pointwise", (0, 0, 0, 0)),
        (nn.MaxPool2d(2), (2, 8, 10, 10), "pool", (0, 0, 0, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_a_layer_is_one_kernel_of_its_kind(layer, shape, kind, product):
    (kernel,) = launched(layer, *shape)
    assert kernel.kind == kind
    if kind in ("pool", "batch_norm", "group_norm"):
        return
    assert (kernel.batch, kernel.m, kernel.n, kernel.k) == product
    assert kernel.macs in (0, math.prod(product))


class Attention(nn.Module):
    def __init__(self, dims, heads_of_keys=2, mask=False):
        super().__init__()
        self.dims, self.keys, self.mask = dims, heads_of_keys, mask

    def forward(self, x):
        q = x.new_empty(*self.dims)
        k = x.new_empty(*self.dims[:-3], self.keys, *self.dims[-2:])
        mask = x.new_empty(self.dims[-2], self.dims[-2]) if self.mask else None
        return nn.functional.scaled_dot_product_attention(q + x.sum(), k, k, mask)


def test_attention_is_one_kernel_only_where_a_fused_one_takes_it():
    assert "attention" in [k.kind for k in launched(Attention((3, 2, 8, 4)), 1)]
    assert "masked_attention" in [k.kind for k in launched(Attention((3, 2, 8, 4), mask=True), 1)]
    for other in (Attention((3, 5, 2, 8, 4)), Attention((3, 2, 8, 4), heads_of_keys=1)):
        kinds = [k.kind for k in launched(other, 1)]
        assert kinds.count("bmm") == 2
        assert kinds.count("softmax") == 1
        assert "attention" not in kinds


def test_attention_in_parts_has_the_macs_of_the_whole():
    parts = [k for k in launched(Attention((3, 5, 2, 8, 4)), 1) if k.kind == "bmm"]
    assert sum(k.macs for k in parts) == 2 * 3 * 5 * 2 * 8 * 8 * 4
    assert all(k.macs == k.batch * k.m * k.n * k.k for k in parts)


class Turned(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2))


@pytest.mark.parametrize("layer", [nn.Linear(6, 3), nn.LayerNorm(6)], ids=["linear", "layer_norm"])
def test_permuted_inputs_are_copied_first(layer):
    copy, kernel = launched(Turned(layer), 2, 6, 5)
    assert (copy.kind, copy.layout) == ("move", "permuted")
    assert copy.read_bytes == copy.write_bytes == 2 * 6 * 5 * 4
    assert kernel.distance_bytes == coarse(2 * 2 * 6 * 5 * 4)


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "timm:convnext_atto", "timm:vit_tiny_patch16_224"])
def test_eager_kernels_hold_the_models_flops_and_at_least_its_traffic(name):
    profile = modelcmp.profile(name)
    found = kernels(profile.trace)
    assert sum(k.flops for k in found) == profile.flops
    assert sum(k.macs for k in found) == profile.macs
    assert sum(k.traffic_bytes for k in found) >= profile.traffic_bytes
    assert {k.kind for k in found} <= set(KINDS)


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "densenet121", "timm:convnext_atto"])
def test_fusing_moves_less_and_computes_the_same(name):
    profile = modelcmp.profile(name)
    eager, compiled = kernels(profile.trace), kernels(profile.trace, compiled=True)
    assert len(compiled) < len(eager)
    assert sum(k.flops for k in compiled) == profile.flops
    moved = sum(k.traffic_bytes for k in compiled)
    # Convolutions and products keep their own kernels: more than with everything folded in.
    assert profile.fused_traffic_bytes <= moved < sum(k.traffic_bytes for k in eager)


def test_a_pointwise_chain_is_one_kernel_that_reads_and_writes_once():
    chain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    product, rest = launched(chain, 4, 8, compiled=True)
    assert product.kind == "gemm"
    assert (rest.kind, rest.read_bytes, rest.write_bytes) == ("fused", 4 * 8 * 4, 4 * 8 * 4)


def test_merging_keeps_every_sum():
    found = kernels(modelcmp.profile("resnet50").trace)
    short = merged(found)
    assert len(short) < len(found)
    for figure in ("flops", "macs", "read_bytes", "write_bytes", "weight_bytes"):
        assert sum(getattr(k, figure) * k.calls for k in short) == sum(getattr(k, figure) for k in found)


# -- mixed precision ----------------------------------------------------------------------------------


def test_mixed_precision_halves_products_and_casts_what_feeds_them():
    found = launched(nn.Linear(8, 5), 3, 8, amp="fp16")
    casts, (product,) = found[:-1], found[-1:]
    assert [(c.read_bytes, c.weight_bytes, c.write_bytes) for c in casts] == [
        (3 * 8 * 4, 0, 3 * 8 * 2),  # the input
        (0, 5 * 8 * 4, 5 * 8 * 2),  # the weight, once a pass
        (0, 5 * 4, 5 * 2),
    ]
    assert (product.dtype, product.read_bytes, product.write_bytes) == ("fp16", 3 * 8 * 2, 3 * 5 * 2)


def test_mixed_precision_runs_norms_in_fp32_unless_they_are_fast():
    model = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8))
    norm = next(k for k in launched(model, 3, 8, amp="bf16") if k.kind == "row_norm")
    assert (norm.dtype, norm.read_bytes, norm.write_bytes) == ("fp32", 96, 96 * 1)
    fast = next(
        k for k in launched(model, 3, 8, amp="bf16", fast_norms=frozenset({"layer_norm"})) if k.kind == "row_norm"
    )
    assert (fast.dtype, fast.read_bytes, fast.write_bytes) == ("bf16", 48, 48)


class Scaled(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.fc, self.scale = nn.Linear(8, 8), nn.Parameter(torch.ones(shape))

    def forward(self, x):
        return self.fc(x) * self.scale


@pytest.mark.parametrize("shape", [(), (1,), (8,)])
def test_a_parameter_widens_a_product_unless_it_has_no_dimensions(shape):
    """As torch promotes them, whatever the number of elements."""
    scaled = launched(Scaled(*shape), 3, 8, amp="bf16")[-1]
    promoted = torch.result_type(torch.zeros(3, 8, dtype=torch.bfloat16), torch.ones(shape))
    assert scaled.dtype == {torch.bfloat16: "bf16", torch.float32: "fp32"}[promoted]
    assert scaled.write_bytes == 3 * 8 * promoted.itemsize


@pytest.mark.parametrize("name", ["resnet18", "timm:vit_tiny_patch16_224"])
def test_mixed_precision_types_are_autocasts_own(name):
    """torch's own autocast, on the CPU with CUDA's lists where both agree, names the type of every layer's output."""
    import torchvision

    if name != "resnet18":
        pytest.importorskip("timm")
    profile = modelcmp.profile(name)
    ours = {k.module: k.dtype for k in kernels(profile.trace, amp="bf16") if k.kind in ("gemm", "conv", "conv1x1")}
    model = torchvision.models.resnet18() if name == "resnet18" else __import__("timm").create_model(name[5:])
    seen = {}
    for path, module in model.eval().named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda _m, _i, out, path=path: seen.__setitem__(path, out.dtype))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        model(torch.zeros(1, 3, 224, 224))
    assert seen
    assert all(dtype is torch.bfloat16 and ours[path] == "bf16" for path, dtype in seen.items())


def test_mixed_precision_needs_a_profile_in_fp32():
    with pytest.raises(BadInput, match="fp32"):
        launched(nn.Linear(2, 2), 1, 2, dtype=torch.float16, amp="fp16")
    with pytest.raises(BadInput):
        launched(nn.Linear(2, 2), 1, 2, amp="int8")


# -- reuse ----------------------------------------------------------------------------------------------


def test_distance_is_what_was_moved_since_the_input_was_written():
    first, second, third = launched(nn.Sequential(nn.ReLU(), nn.ReLU(), nn.ReLU()), 10)
    assert first.distance_bytes == math.inf
    assert second.distance_bytes == third.distance_bytes == 40


def test_a_convolution_keeps_its_inputs_memory_format():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    x = torch.empty(2, 3, 9, 9, device="meta").to(memory_format=torch.channels_last)
    found = kernels(modelcmp.profile(model, x).trace)
    assert [k.layout for k in found] == ["channels_last"] * 3
    real = model(torch.zeros(2, 3, 9, 9).to(memory_format=torch.channels_last))
    assert real.is_contiguous(memory_format=torch.channels_last)


def test_kernels_come_back_from_the_cache_as_they_were(own_cache):
    from modelcmp.store.entry import as_text, entry_of, from_text, profile_of

    profile = modelcmp.profile("timm:convnext_atto", batch_size=2)
    entry = from_text(as_text(entry_of(profile, with_kernels=True)))
    back = profile_of(entry, "x", "total")
    assert back.kernels["eager"] == merged(kernels(profile.trace))
    assert back.kernels["compiled"] == merged(kernels(profile.trace, compiled=True))
    assert all(isinstance(k, Kernel) for k in back.kernels["eager"])
