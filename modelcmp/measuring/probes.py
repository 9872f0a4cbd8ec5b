"""Operations of known sizes whose times give a machine's roofs, and what its kernels reach of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import (
    Dense,
    Encoder,
    Excited,
    Joined,
    Permuted,
    Shuffled,
    Windows,
    basic,
    bottleneck,
    inverted,
    modern,
)
from .machine import tensor_dtype

Kind = Literal["cpu", "gpu"]
Group = Literal["matrix", "conv", "vector", "copy", "launch", "block"]
Shape = tuple[int, ...]

#: Operations in a chain, so that one of them can be told from the clock.
CHAIN = 64
#: What the roofs of one kind are read off.
LARGE_COPY, CACHE_COPY, LAUNCHES, TINY_KERNELS = "copy, memory", "copy, cache", "64 launches", "64 tiny kernels"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """How to make a probe; ``build`` is called where its tensors are to lie.

    On CUDA ``graph`` replays it as a graph, warm and without launches; ``eager`` times the launches, too.
    """

    label: str
    group: Group
    build: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]
    how: Literal["kernel", "eager", "graph"] = "kernel"

    def made(self, dtype: str, device: torch.device | str = "meta") -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The module in eval mode and its inputs, random unless they lie on meta."""
        with torch.device(device), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = self.build().eval().requires_grad_(False).to(tensor_dtype(dtype))
            inputs = tuple(torch.rand(shape).to(tensor_dtype(dtype)) for shape in self.shapes)
        return module, inputs


class Repeated(nn.Module):
    """The same operation on the same input, many times over."""

    def __init__(self, operation: nn.Module, times: int = CHAIN) -> None:
        super().__init__()
        self.operation, self.times = operation, times

    def forward(self, *inputs: Tensor) -> Tensor | None:
        out = None
        for _ in range(self.times):
            out = self.operation(*inputs)
        return out


class Copy(nn.Module):
    """Copy into memory that is there already: allocating it anew would be timed, too."""

    def __init__(self, elements: int) -> None:
        super().__init__()
        self.register_buffer("out", torch.zeros(elements))

    def forward(self, x: Tensor) -> Tensor:
        return self.get_buffer("out").copy_(x)


class Product(nn.Module):
    """A batch of matrix products."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class Sum(nn.Module):
    """A residual connection."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


class Attention(nn.Module):
    """Scaled dot-product attention."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(q, k, v)


def probe_specs(kind: Kind, cache_bytes: int = 32 * _MIB) -> tuple[ProbeSpec, ...]:
    """Every probe of a kind of machine; copies are sized by its last-level cache."""
    return (*_matrix(kind), *_convolutions(kind), *_vector(kind), *_copies(kind, cache_bytes), *_launches(),
            *(_blocks() if kind == "cpu" else ()))  # fmt: skip


def probe_modules(kind: Kind, dtype: str = "fp32") -> list[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """Label, module and inputs of each probe, without data: to be profiled."""
    return [(spec.label, *spec.made(dtype)) for spec in probe_specs(kind)]


def _matrix(kind: Kind) -> list[ProbeSpec]:
    """Square products up to a size that fills the machine, and skinny ones as in classifiers and small batches."""
    sides = (256, 1024, 2048) if kind == "cpu" else (1024, 4096, 8192)
    rows = (1, 16, 197) if kind == "cpu" else (1, 64, 12608)
    heads = 12 if kind == "cpu" else 768
    product = ((heads, 197, 64), (heads, 64, 197))
    attention = ((heads // 12, 12, 197, 64),) * 3
    return [
        *(_probe(f"linear {n}x{n}x{n}", "matrix", _linear(n, n), (n, n)) for n in sides),
        *(_probe(f"linear {m}x768x3072", "matrix", _linear(768, 3072), (m, 768)) for m in rows),
        # Their weights are in no cache.
        *(_probe(f"linear {m}x9216x4096", "matrix", _linear(9216, 4096), (m, 9216)) for m in (1, 50)),
        ProbeSpec(f"bmm {heads}x197x64x197", "matrix", Product, product),
        ProbeSpec(f"attention {heads}x197x64", "matrix", Attention, attention),
    ]


def _convolutions(kind: Kind) -> list[ProbeSpec]:
    """Shapes of ResNets: 3x3 and 1x1 at each resolution, the stem, and MobileNet's depthwise."""
    batches = (1, 8) if kind == "cpu" else (1, 64)
    sides = ((64, 56), (128, 28), (256, 14), (512, 7))
    found = []
    for b in batches:
        found += [_conv(b, c, c, 3, side) for c, side in sides[:: 1 if b == 1 else 2]]
        found += [_conv(b, 4 * c, c, 1, side) for c, side in sides[::2]]
        found.append(_probe(f"depthwise 3x3 {b}x192x28", "vector", lambda: nn.Conv2d(192, 192, 3, 1, 1, groups=192,
                            bias=False), (b, 192, 28, 28)))  # fmt: skip
    stem = _probe("conv 7x7/2 1x3x224", "conv", lambda: nn.Conv2d(3, 64, 7, 2, 3, bias=False), (1, 3, 224, 224))
    return [*found, stem]


def _vector(kind: Kind) -> list[ProbeSpec]:
    """What is not a contraction, on a large activation and on a small one."""
    b = 8 if kind == "cpu" else 128
    image, small, tokens = (b, 64, 56, 56), (1, 256, 14, 14), (b, 197, 768)
    return [
        _probe("relu", "vector", nn.ReLU, image),
        _probe("relu, small", "vector", nn.ReLU, small),
        ProbeSpec("add", "vector", Sum, (image, image)),
        ProbeSpec("add, small", "vector", Sum, (small, small)),
        _probe("gelu", "vector", nn.GELU, tokens),
        _probe("silu", "vector", nn.SiLU, image),
        _probe("batch norm", "vector", lambda: nn.BatchNorm2d(64), image),
        _probe("batch norm, small", "vector", lambda: nn.BatchNorm2d(256), small),
        _probe("layer norm", "vector", lambda: nn.LayerNorm(768), tokens),
        _probe("softmax", "vector", lambda: nn.Softmax(-1), (b, 12, 197, 197)),
        _probe("max pooling", "vector", lambda: nn.MaxPool2d(3, 2, 1), image),
        _probe("max pooling, 2x2", "vector", lambda: nn.MaxPool2d(2), image),
        _probe("average pooling, 2x2", "vector", lambda: nn.AvgPool2d(2), image),
        _probe("max pooling, small", "vector", lambda: nn.MaxPool2d(3, 1, 1), small),
        _probe("average pooling", "vector", lambda: nn.AdaptiveAvgPool2d(1), image),
        _probe("copy of permuted", "vector", lambda: nn.Sequential(Permuted(0, 2, 3, 1), nn.Flatten()), image),
        ProbeSpec("concatenation", "vector", Joined, (image, image)),
        # Beyond what the C library keeps, where memory has to be got from the system each time.
        _probe("relu, new pages", "vector", nn.ReLU, (64, 64, 56, 56)),
    ]


def _blocks() -> list[ProbeSpec]:
    """Pieces of networks at a resolution each has in them, for one image and for several."""
    found = []
    for b in (1, 8):
        images: list[tuple[str, Callable[[], nn.Module], Shape]] = [
            ("basic block", lambda: basic(64), (64, 56, 56)),
            ("basic block, late", lambda: basic(512), (512, 7, 7)),
            ("bottleneck", lambda: bottleneck(1024), (1024, 14, 14)),
            ("bottleneck, last", lambda: bottleneck(2048), (2048, 7, 7)),
            ("bottleneck, early", lambda: bottleneck(256), (256, 56, 56)),
            ("grouped bottleneck", lambda: bottleneck(256, 8), (256, 14, 14)),
            ("inverted residual", lambda: inverted(32), (32, 28, 28)),
            ("inverted residual, early", lambda: inverted(24, nn.Hardswish), (24, 56, 56)),
            ("inverted residual, late", lambda: inverted(96, nn.Hardswish), (96, 7, 7)),
            ("inverted residual, excited", lambda: inverted(96, nn.SiLU, True), (96, 14, 14)),
            ("ConvNeXt block", lambda: modern(192), (192, 28, 28)),
            ("shuffled block", lambda: Shuffled(232), (232, 14, 14)),
            ("fire", lambda: _fire(256), (256, 14, 14)),
            ("excitation", lambda: Excited(480), (480, 14, 14)),
            ("encoder", lambda: Encoder(768, 12), (197, 768)),
            ("windows", lambda: Windows(192, 6), (28, 28, 192)),
        ]
        found += [_probe(f"{name}, batch {b}", "block", build, (b, *shape)) for name, build, shape in images]
        found.append(ProbeSpec(f"dense layer, batch {b}", "block", lambda: Dense(256),
                               ((b, 224, 28, 28), (b, 32, 28, 28))))  # fmt: skip
    return found


def _fire(channels: int) -> nn.Module:
    """Narrow, then wide again (Iandola et al., SqueezeNet, 2016)."""
    return nn.Sequential(nn.Conv2d(channels, 32, 1), nn.ReLU(True), nn.Conv2d(32, channels, 3, 1, 1), nn.ReLU(True))


def _copies(kind: Kind, cache_bytes: int) -> list[ProbeSpec]:
    """From the inner caches to memory; a copy touches twice its size."""
    large = min(max(4 * cache_bytes, 64 * _MIB), 256 * _MIB) if kind == "cpu" else 1024 * _MIB
    return [
        _copy("copy, inner cache", _MIB // 4, 1),
        _copy(CACHE_COPY, cache_bytes // 8, 8),
        _copy("copy, twice the cache", cache_bytes, 1),
        _copy(LARGE_COPY, large, 1),
    ]


def _launches() -> list[ProbeSpec]:
    """Operations with next to nothing to do, each a module's as in a model."""
    tiny = ((8,),)
    return [
        ProbeSpec(LAUNCHES, "launch", lambda: Repeated(nn.Tanh()), tiny, "eager"),
        # Enough elements for a CPU to share them out among its threads, too.
        ProbeSpec(TINY_KERNELS, "launch", lambda: Repeated(nn.ReLU()), ((1 << 16,),), "graph"),
    ]


def _probe(label: str, group: Group, build: Callable[[], nn.Module], shape: Shape) -> ProbeSpec:
    return ProbeSpec(label, group, build, (shape,))


def _linear(inputs: int, outputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs, bias=False)


def _conv(batch: int, inputs: int, outputs: int, kernel: int, side: int) -> ProbeSpec:
    label = f"conv {kernel}x{kernel} {batch}x{inputs}x{side}"
    return _probe(label, "conv", lambda: nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
                  (batch, inputs, side, side))  # fmt: skip


def _copy(label: str, nbytes: int, times: int) -> ProbeSpec:
    elements = nbytes // 4
    return ProbeSpec(label, "copy", lambda: Repeated(Copy(elements), times), ((elements,),),
                     "graph" if times > 1 else "kernel")  # fmt: skip
