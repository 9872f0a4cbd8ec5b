"""torchvision's data sets, read into memory."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput, ModelcmpError, first_line
from ..arguments import at_least
from .arrays import Pool, Prepare, Recipe, from_pool
from .base import DataSet
from .digits import CLASSES, check_image, mnist_5k, resized
from .factories import data_set

FOLDER = Path("data")


@data_set("mnist", "MNIST: 60,000 and 10,000 handwritten digits, 28x28 (root: a folder, download: true fetches it)")
def mnist(
    root: Path | None,
    split_seed: int,
    *,
    download: bool = False,
    size: int = 28,
    channels: int = 1,
    val_fraction: float = 0.1,
) -> DataSet:
    """MNIST (LeCun, Cortes, Burges, 1998) with its own test split; validation is a part of its training split.

    Raises ModelcmpError where the folder lacks it, BadInput.
    """
    return _grey("mnist", "MNIST", CLASSES, root, split_seed, download, size, channels, val_fraction)


@data_set("mnist_or_5k", "`mnist` where its files lie under root, else `mnist_5k`: nothing to download")
def mnist_or_5k(
    root: Path | None, split_seed: int, *, size: int = 28, channels: int = 1, val_fraction: float | None = None
) -> DataSet:
    """Whichever of the two this machine has; the result's name, notes and digests are those of the one it is.

    Raises BadInput for a root that is no folder, ModelcmpError where the machine has neither or the files are damaged.
    """
    own: dict[str, Any] = {"size": size, "channels": channels}
    own |= {} if val_fraction is None else {"val_fraction": val_fraction}
    if root is not None and not root.is_dir():
        raise BadInput(f"data mnist_or_5k: root is {root}, which is no folder: correct it, or leave it out")
    raw = (root or FOLDER) / "MNIST/raw"
    if raw.is_dir() and any(raw.iterdir()):
        return _noted(mnist(root, split_seed, **own), f"the full MNIST of {raw}")
    try:
        data = mnist_5k(split_seed, **own)
    except BadInput:
        raise
    except ModelcmpError as error:
        how = f"`data: {{name: mnist, root: {root or FOLDER}, kwargs: {{download: true}}}}`"
        raise ModelcmpError(f"no full MNIST in {raw} ({how} fetches it once), and no 5,000 digits: {error}") from error
    return _noted(data, f"5,000 digits of MNIST, since {raw} does not hold the full one")


def _noted(data: DataSet, note: str) -> DataSet:
    return replace(data, notes=(note, *data.notes))


@data_set("fashion_mnist", "FashionMNIST: 60,000 and 10,000 pieces of clothing, 28x28 (root, download as mnist)")
def fashion_mnist(
    root: Path | None,
    split_seed: int,
    *,
    download: bool = False,
    size: int = 28,
    channels: int = 1,
    val_fraction: float = 0.1,
) -> DataSet:
    """FashionMNIST (Xiao, Rasul, Vollgraf, 2017) with its own test split, as ``mnist``."""
    names = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    classes = tuple(names.split(","))
    return _grey("fashion_mnist", "FashionMNIST", classes, root, split_seed, download, size, channels, val_fraction)


@data_set("cifar10", "CIFAR-10: 50,000 and 10,000 colour images, 32x32 (root, download as mnist)")
def cifar10(root: Path | None, split_seed: int, *, download: bool = False, val_fraction: float = 0.1) -> DataSet:
    """CIFAR-10 (Krizhevsky, 2009) with its own test split; validation is a part of its training split.

    Raises ModelcmpError where the folder lacks it.
    """
    folder = root or FOLDER
    train, test = (_read("cifar10", "CIFAR10", folder, "cifar-10-batches-py", part, download) for part in (True, False))
    recipe = Recipe("cifar10", tuple(train.classes), val_fraction, None, split_seed)
    return from_pool(recipe, _colour(train), _colour(test))


@data_set("fake", "noise with random labels, of any size: to try things out (torchvision's FakeData)")
def fake(
    split_seed: int,
    *,
    examples: int = 1000,
    size: int = 32,
    channels: int = 3,
    classes: int = 10,
    seed: int = 0,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
) -> DataSet:
    """Images of noise whose labels have nothing to do with them; deterministic. Raises BadInput."""
    from torchvision.datasets import FakeData

    check_image("fake", size, channels)
    at_least("data fake", 2, examples=examples, classes=classes)
    source = FakeData(examples, (channels, size, size), classes, random_offset=seed)
    images, labels = zip(*(source[i] for i in range(examples)), strict=True)
    pixels = np.stack([np.asarray(image).reshape(size, size, channels).transpose(2, 0, 1) for image in images])
    names = tuple(str(number) for number in range(classes))
    note = "labels are random: nothing about them can be learnt from the images"
    recipe = Recipe("fake", names, val_fraction, test_fraction, split_seed, notes=(note,))
    return from_pool(recipe, Pool(torch.from_numpy(pixels), torch.tensor([int(label) for label in labels])))


def _grey(
    name: str, kind: str, classes: tuple[str, ...], root: Path | None, split_seed: int, download: bool, size: int,
    channels: int, val_fraction: float,
) -> DataSet:  # fmt: skip
    """One of the data sets in MNIST's format; images stay uint8 unless another size is asked for."""
    check_image(name, size, channels)
    train, test = (_read(name, kind, root or FOLDER, f"{kind}/raw", part, download) for part in (True, False))
    pools = [Pool(found.data[:, None], found.targets.long()) for found in (train, test)]
    settings = f"size={size} channels={channels}"
    recipe = Recipe(name, classes, val_fraction, None, split_seed, _to_bytes(size, channels), settings)
    return from_pool(recipe, *pools)


def _to_bytes(size: int, channels: int) -> Prepare:
    """Another size, still uint8: sixty thousand images as float32 would take four times the memory."""

    def prepare(images: Tensor) -> Tensor:
        if (channels, size) == (images.shape[1], images.shape[-1]):
            return images
        parts = (resized(part.to(torch.float32), size, channels) for part in images.split(4096))
        return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])

    return prepare


def _colour(found: Any) -> Pool:
    """CIFAR's images (N, H, W, C) with the channels first."""
    return Pool(torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(found.targets))


def _read(name: str, kind: str, root: Path, below: str, train: bool, download: bool) -> Any:
    """A split as torchvision reads it; raises ModelcmpError that says where it is looked for and how to get it."""
    from torchvision import datasets

    make: Callable[..., Any] = getattr(datasets, kind)
    how = f"fetch it once with `data: {{name: {name}, root: {root}, kwargs: {{download: true}}}}`"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # progress is no part of our output
            return make(str(root), train=train, download=download)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        reason = first_line(error)
        tried = f"it could not be fetched ({reason}): try again, or put" if download else f"{how}, or put"
        broken = "" if download or "not found" in reason else f" ({reason})"
        raise ModelcmpError(
            f"no {name} in {root / below}{broken}: {tried} torchvision's {kind} files there yourself"
        ) from error
