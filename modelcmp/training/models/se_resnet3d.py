"""A squeeze-and-excitation residual network for volumes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..arguments import at_least
from .base import built_in
from .simple import GlobalMean


class SqueezeExcitation(nn.Module):
    """Channels weighted by what the whole volume holds (Hu, Shen, Sun, Squeeze-and-Excitation Networks, CVPR 2018)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, narrow, bias=False)
        self.excite = nn.Linear(narrow, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to the same shape."""
        weights = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.flatten(2).mean(2)))))  # (B, C)
        return x * weights[:, :, None, None, None]


class Block3d(nn.Module):
    """Two 3x3x3 convolutions, squeeze and excitation, and a shortcut (a 1x1x1 convolution where the width changes)."""

    def __init__(self, channels: int, out: int, reduction: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(out)
        self.conv2 = nn.Conv3d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(out)
        self.se = SqueezeExcitation(out, reduction)
        self.shortcut: nn.Module = nn.Identity()
        if channels != out:
            self.shortcut = nn.Sequential(nn.Conv3d(channels, out, 1, bias=False), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, D, H, W) to (B, out, D, H, W)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        return torch.relu(y + self.shortcut(x))


@built_in("se_resnet3d", "three 3D residual blocks with squeeze and excitation; 900,001 parameters", ranks=(4,))
def se_resnet3d(shape: tuple[int, ...], outputs: int, *, base_channels: int = 32, reduction: int = 16) -> nn.Module:
    """A stem, three blocks of one, two and four times ``base_channels``, each followed by max pooling, a linear layer.

    900,001 parameters for one channel and one logit. All convolutions are bias-free: stem 27·32 = 864; blocks
    27·(32·32 + 32·32) + 27·(32·64 + 64·64) + 27·(64·128 + 128·128) = 884,736; shortcuts 32·64 + 64·128 = 10,240;
    batch norm 2·32 in the stem, 4·(32 + 64 + 128) in the blocks, 2·(64 + 128) in the shortcuts: 1,344; squeeze and
    excitation 2·(32·2 + 64·4 + 128·8) = 2,688; linear 128 + 1. (Blocks of 64, 128 and 256 channels would hold 3.6
    million.)
    """
    at_least("se_resnet3d", 1, base_channels=base_channels, reduction=reduction)
    widths = [base_channels, base_channels, 2 * base_channels, 4 * base_channels]
    layers: list[nn.Module] = [nn.Conv3d(shape[0], widths[0], 3, padding=1, bias=False), nn.BatchNorm3d(widths[0])]
    layers += [nn.ReLU()]
    for channels, out in pairwise(widths):
        layers += [Block3d(channels, out, reduction), nn.MaxPool3d(2, ceil_mode=True)]
    return nn.Sequential(*layers, GlobalMean(), nn.Linear(widths[-1], outputs))
