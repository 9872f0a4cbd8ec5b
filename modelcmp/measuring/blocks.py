"""Small pieces of networks, as models are made of them: probes whose operations follow on each other.

A block's second operation finds its input in the cache, its convolutions change layouts between them, and each
operation is handed over anew: none of that shows in an operation by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """A body whose input is added to its output."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out.add_(x)


class Excited(nn.Module):
    """Squeeze and excitation (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels // 24, 1), nn.SiLU(),
                                  nn.Conv2d(channels // 24, channels, 1), nn.Sigmoid())  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.gate(x) * x
        return out


class Dense(nn.Module):
    """A layer that goes on from all before it (Huang et al., CVPR 2017)."""

    def __init__(self, channels: int, growth: int = 32) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(True), nn.Conv2d(channels, 4 * growth, 1))
        self.second = nn.Sequential(nn.BatchNorm2d(4 * growth), nn.ReLU(True), nn.Conv2d(4 * growth, growth, 3, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        x: Tensor = self.first(torch.cat([a, b], 1))
        out: Tensor = self.second(x)
        return out


class Shuffled(nn.Module):
    """Half of the channels through a depthwise branch, then both shuffled (Ma et al., ECCV 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(*_conv(half, half, 1), nn.ReLU(True), *_conv(half, half, 3, half),
                                    *_conv(half, half, 1), nn.ReLU(True))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        b, channels, height, width = x.shape
        a, rest = x.chunk(2, 1)
        x = torch.cat([a, self.branch(rest)], 1)
        return x.view(b, 2, channels // 2, height, width).transpose(1, 2).reshape(b, channels, height, width)


class Encoder(nn.Module):
    """A transformer's layer with its norms first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        b, n, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, width))
        out: Tensor = x + self.mlp(x)
        return out


class Windows(nn.Module):
    """Attention within windows of 7x7 that were shifted, with a bias, in separate steps (Liu et al., ICCV 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(1, heads, 49, 49))

    def forward(self, x: Tensor) -> Tensor:
        b, side, _, width = x.shape
        shifted = torch.roll(self.norm(x), (-3, -3), (1, 2))
        grid = shifted.view(b, side // 7, 7, side // 7, 7, width).permute(0, 1, 3, 2, 4, 5).reshape(-1, 49, width)
        q, k, v = self.qkv(grid).view(-1, 49, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = functional.softmax((q * q.shape[-1] ** -0.5).matmul(k.transpose(-2, -1)) + self.bias, -1)
        mixed = self.out(weights.matmul(v).transpose(1, 2).reshape(-1, 49, width))
        whole = mixed.view(b, side // 7, side // 7, 7, 7, width).permute(0, 1, 3, 2, 4, 5).reshape(x.shape)
        return x + torch.roll(whole, (3, 3), (1, 2))


class Permuted(nn.Module):
    """Dimensions in another order."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


class Joined(nn.Module):
    """Two activations as one."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], 1)


def basic(channels: int) -> nn.Module:
    """Two 3x3 convolutions and a connection past them (He et al., CVPR 2016)."""
    return Residual(*_conv(channels, channels, 3), nn.ReLU(True), *_conv(channels, channels, 3), nn.ReLU(True))


def bottleneck(channels: int, groups: int = 1) -> nn.Module:
    """1x1, 3x3, 1x1: a ResNet's, with ``groups`` a ResNeXt's or RegNet's."""
    inner = channels // (4 if groups == 1 else 1)
    return Residual(*_conv(channels, inner, 1), nn.ReLU(True), *_conv(inner, inner, 3, groups), nn.ReLU(True),
                    *_conv(inner, channels, 1), nn.ReLU(True))  # fmt: skip


def inverted(channels: int, activation: Callable[..., nn.Module] = nn.ReLU6, excited: bool = False) -> nn.Module:
    """Wide inside, and depthwise there (Sandler et al., CVPR 2018); ``excited`` is EfficientNet's."""
    wide = 6 * channels
    gate = [Excited(wide)] if excited else []
    return Residual(*_conv(channels, wide, 1), activation(inplace=True), *_conv(wide, wide, 3, wide),
                    activation(inplace=True), *gate, *_conv(wide, channels, 1))  # fmt: skip


def modern(channels: int) -> nn.Module:
    """A ConvNeXt's block (Liu et al., CVPR 2022)."""
    return Residual(nn.Conv2d(channels, channels, 7, 1, 3, groups=channels), Permuted(0, 2, 3, 1),
                    nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(),
                    nn.Linear(4 * channels, channels), Permuted(0, 3, 1, 2))  # fmt: skip


def _conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the size, and its batch norm."""
    return [nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
