"""A small residual network for images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..arguments import at_least
from .base import built_in
from .simple import GlobalMean


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (a 1x1 convolution where the shape changes)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / stride, W / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


@built_in("resnet", "small ResNet of three stages, for CIFAR-like images", ranks=(3,))
def resnet(shape: tuple[int, ...], outputs: int, *, width: int = 16, blocks: int = 2) -> nn.Module:
    """The ResNet for CIFAR-10 of He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2.

    Stages of ``width``, ``2 * width`` and ``4 * width`` channels with ``blocks`` blocks each: 6·blocks + 2 layers.
    The default has 175,258 parameters for RGB and ten classes, and 26 million MACs at 32x32.
    """
    at_least("resnet", 1, width=width, blocks=blocks)
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    channels = width
    for stage in range(3):
        out = width * 2**stage
        for number in range(blocks):
            layers.append(Block(channels, out, stride=2 if stage and number == 0 else 1))
            channels = out
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(channels, outputs))
