"""Two plain convolutional networks for images."""

from __future__ import annotations

from torch import Tensor, nn

from ..arguments import at_least
from .base import built_in


class GlobalMean(nn.Module):
    """Mean over all positions: (B, C, ...) to (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Average whatever follows the channels."""
        return x.flatten(2).mean(2)


@built_in("cnn", "two convolutions and two linear layers, for MNIST-like images", ranks=(3,))
def cnn(shape: tuple[int, ...], outputs: int, *, width: int = 32, hidden: int = 128, dropout: float = 0.0) -> nn.Module:
    """Convolutions of ``width`` and ``2 * width`` channels, each halving the image, then ``hidden`` units.

    421,642 parameters for (1, 28, 28) and ten classes; the first linear layer grows with the image.
    """
    at_least("cnn", 1, width=width, hidden=hidden)
    at_least("cnn", 0, dropout=dropout)
    channels, *sides = shape
    height, breadth = (_halved(_halved(side)) for side in sides)
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.Flatten(), nn.Linear(2 * width * height * breadth, hidden), nn.ReLU()),
        *([nn.Dropout(dropout)] if dropout else []),
        nn.Linear(hidden, outputs),
    )


@built_in("simple_cnn", "three convolutions with batch norm and a global mean, for CIFAR-like images", ranks=(3,))
def simple_cnn(shape: tuple[int, ...], outputs: int, *, width: int = 32) -> nn.Module:
    """Stages of ``width``, ``2 * width`` and ``4 * width`` channels; 94,762 parameters for RGB and ten classes."""
    at_least("simple_cnn", 1, width=width)
    layers: list[nn.Module] = []
    channels = shape[0]
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2, ceil_mode=True)]
        channels = out
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, outputs))


def _halved(side: int) -> int:
    return -(-side // 2)
