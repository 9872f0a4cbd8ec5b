"""A multilayer perceptron."""

from __future__ import annotations

import math

from torch import nn

from ..arguments import at_least
from .base import built_in


@built_in("mlp", "multilayer perceptron over all pixels, for MNIST-like images", ranks=(1, 2, 3, 4))
def mlp(shape: tuple[int, ...], outputs: int, *, hidden: int = 128, depth: int = 2, dropout: float = 0.0) -> nn.Module:
    """``depth`` hidden layers of ``hidden`` units with ReLU; 118,282 parameters for (1, 28, 28) and ten classes."""
    at_least("mlp", 1, hidden=hidden)
    at_least("mlp", 0, depth=depth, dropout=dropout)
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(shape)
    for _ in range(depth):
        layers += [nn.Linear(width, hidden), nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, outputs))
