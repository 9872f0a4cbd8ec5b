"""A small convolutional network for volumes."""

from __future__ import annotations

from torch import nn

from ..arguments import at_least
from .base import built_in
from .simple import GlobalMean


@built_in("simple_cnn3d", "two 3D convolutions and a global mean, for volumes; 17,957 parameters", ranks=(4,))
def simple_cnn3d(shape: tuple[int, ...], outputs: int, *, first: int = 20, second: int = 32) -> nn.Module:
    """Convolutions of 20 and 32 channels, each with batch norm, ReLU and max pooling, then one linear layer.

    17,957 parameters for one channel and one logit, bias-free 3x3x3 kernels:
    27·1·20 + 27·20·32 = 17,820 in the convolutions, 2·(20 + 32) = 104 in batch norm, 32 + 1 = 33 in the linear layer.
    """
    at_least("simple_cnn3d", 1, first=first, second=second)
    return nn.Sequential(
        *(nn.Conv3d(shape[0], first, 3, padding=1, bias=False), nn.BatchNorm3d(first), nn.ReLU()),
        nn.MaxPool3d(2, ceil_mode=True),
        *(nn.Conv3d(first, second, 3, padding=1, bias=False), nn.BatchNorm3d(second), nn.ReLU()),
        nn.MaxPool3d(2, ceil_mode=True),
        *(GlobalMean(), nn.Linear(second, outputs)),
    )
