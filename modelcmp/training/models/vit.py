"""A small vision transformer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import BadInput
from ..arguments import at_least
from .base import built_in

#: Attention costs the square of it.
MOST_TOKENS = 1024


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al., Attention Is All You Need, NeurIPS 2017)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) to the same shape."""
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, heads, T, d)
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        return self.out(y.transpose(1, 2).reshape(batch, tokens, dim))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """Attention and an MLP of four times the width, each normalised before and added to its input."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(dim), Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, dim) to the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Patches, a class token, learnt positions and pre-norm layers (Dosovitskiy et al., ICLR 2021)."""

    def __init__(
        self, channels: int, tokens: int, outputs: int, patch: int, dim: int, depth: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, dim, patch, patch)
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.zeros(1, tokens + 1, dim))
        self.layers = nn.Sequential(*(Layer(dim, heads, dropout) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, outputs)
        nn.init.trunc_normal_(self.cls, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs)."""
        x = self.patches(x).flatten(2).transpose(1, 2)  # (B, T, dim)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.norm(self.layers(x)[:, 0]))  # type: ignore[no-any-return]


@built_in("vit", "small vision transformer, for CIFAR-like images", ranks=(3,))
def vit(
    shape: tuple[int, ...],
    outputs: int,
    *,
    patch_size: int | None = None,
    dim: int = 64,
    depth: int = 6,
    heads: int = 4,
    dropout: float = 0.0,
) -> nn.Module:
    """A pre-norm transformer over patches, as many as fit about eight times into a side where ``patch_size`` is null.

    308,042 parameters for (3, 32, 32) and ten classes (patches of 4x4), and 23 million MACs.
    Raises BadInput where patches do not divide the image, or heads the width.
    """
    at_least("vit", 1, patch_size=patch_size, dim=dim, depth=depth, heads=heads)
    at_least("vit", 0, dropout=dropout)
    if dim % heads:
        raise BadInput(f"vit: heads {heads} do not divide dim {dim}: give a divisor")
    channels, height, width = shape
    patch = patch_size or fitting_patch(height, width)
    if height % patch or width % patch:
        choices = ", ".join(map(str, _divisors(math.gcd(height, width))))
        raise BadInput(f"vit: patch_size {patch} does not divide {height}x{width}: give one of {choices}")
    tokens = (height // patch) * (width // patch)
    if tokens > MOST_TOKENS or (patch_size is None and patch > min(height, width) / 4):
        advice = "resize the images to sides that have common divisors, such as 32x32"
        raise BadInput(f"vit: {height}x{width} in patches of {patch} are {tokens} tokens: {advice}")
    return VisionTransformer(channels, tokens, outputs, patch, dim, depth, heads, dropout)


def fitting_patch(height: int, width: int) -> int:
    """The divisor of both sides that is nearest to an eighth of the shorter one.

    >>> fitting_patch(32, 32), fitting_patch(28, 28), fitting_patch(8, 8), fitting_patch(224, 224)
    (4, 4, 1, 28)
    """
    wanted = min(height, width) / 8
    return min(_divisors(math.gcd(height, width)), key=lambda d: abs(math.log(d / wanted)))


def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]
