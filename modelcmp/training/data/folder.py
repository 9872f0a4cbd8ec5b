"""Images in folders: one folder a class, decoded when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput, ModelcmpError
from .arrays import statistics
from .base import DataSet, SplitName
from .digits import check_image, resized
from .factories import data_set
from .splits import digest, stratified

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_SPLITS: dict[str, SplitName] = {
    "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip

#: Training images whose statistics stand for all.
SAMPLED = 256


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Image files, read, cut to a square and resized on demand; it can be sent to worker processes."""

    root: Path
    files: tuple[str, ...]  # relative to the root
    targets: Tensor  # (N,)
    size: int
    channels: int
    mean: Tensor | None = None
    std: Tensor | None = None
    parallel: bool = True

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some positions; raises ModelcmpError for a file that is no image."""
        if not len(positions):
            return torch.empty(0, self.channels, self.size, self.size), self.targets[positions]
        x = torch.stack([self._image(self.files[i]) for i in positions.tolist()])
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return x, self.targets[positions]

    def take(self, positions: Tensor) -> ImageFiles:
        """Some of them."""
        files = tuple(self.files[i] for i in positions.tolist())
        return replace(self, files=files, targets=self.targets[positions])

    def _image(self, file: str) -> Tensor:
        """The square in the middle, float32 in [0, 1]."""
        from PIL import Image

        try:
            with Image.open(self.root / file) as image:
                pixels = np.array(image.convert("L" if self.channels == 1 else "RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ModelcmpError(f"{self.root / file} cannot be read as an image: {error}; remove it") from error
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = torch.from_numpy(pixels.reshape(height, width, -1)[top : top + side, left : left + side])
        x = square.permute(2, 0, 1).to(torch.float32).div_(255)
        return resized(x[None], self.size, self.channels)[0]


@data_set("image_folder", "your images: root/CLASS/*.png, or root/train, val and test with a folder a class in each")
def image_folder(
    root: Path | None,
    split_seed: int,
    *,
    size: int = 64,
    channels: int = 3,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
) -> DataSet:
    """Images of any size, of which the middle square is used; classes are the names of folders, sorted.

    A split that has no folder of its own is taken from ``train`` (or from everything, without such folders). Raises
    BadInput for a layout that is none of these, ModelcmpError where the folder is missing.
    """
    check_image("image_folder", size, channels)
    if root is None:
        raise BadInput("data image_folder needs a folder: `data: {name: image_folder, root: path/to/images}`")
    if not root.is_dir():
        raise ModelcmpError(f"no folder {root}: give root, a folder with one folder of images a class")
    found = _found(root, size, channels)
    classes, have = found
    parts, notes = _completed(have, split_seed, val_fraction, test_fraction)
    mean, std = _sampled_statistics(parts["train"])
    ready = {name: replace(part, mean=mean, std=std) for name, part in parts.items()}
    return DataSet(
        name="image_folder",
        classes=classes,
        shape=(channels, size, size),
        train=ready["train"],
        val=ready["val"],
        open_test=lambda: ready["test"],
        digests={name: _digest(part) for name, part in parts.items()},
        notes=(*notes, "digests are over names, sizes and classes of the files, not over what is in them"),
    )


def _found(root: Path, size: int, channels: int) -> tuple[tuple[str, ...], dict[SplitName, ImageFiles]]:
    """Classes, and the splits that have folders of their own; all under "train" where none has."""
    named = {_SPLITS[f.name.lower()]: f for f in _folders(root) if f.name.lower() in _SPLITS}
    if "train" not in named:
        named = {"train": root}
    classes = tuple(folder.name for folder in _folders(named["train"]) if _images(folder))
    if len(classes) < 2:
        raise BadInput(f"{named['train']} holds {len(classes)} folders with images: give each class one")
    found: dict[SplitName, ImageFiles] = {}
    for name, folder in named.items():
        odd = [f.name for f in _folders(folder) if f.name not in classes and _images(f)]
        if odd:
            raise BadInput(f"{folder} has classes that {named['train']} lacks: {', '.join(odd)}")
        files = [(path, number) for number, label in enumerate(classes) for path in _images(folder / label)]
        targets = torch.tensor([number for _, number in files], dtype=torch.int64)
        paths = tuple(path.relative_to(root).as_posix() for path, _ in files)
        found[name] = ImageFiles(root, paths, targets, size, channels)
    return classes, found


def _completed(
    have: Mapping[SplitName, ImageFiles], split_seed: int, val_fraction: float, test_fraction: float
) -> tuple[dict[SplitName, ImageFiles], tuple[str, ...]]:
    """All three splits, missing ones taken from train."""
    fractions: dict[SplitName, float] = {"val": val_fraction, "test": test_fraction}
    missing = [name for name in fractions if name not in have]
    parts = stratified("image_folder", have["train"].targets, tuple(fractions[m] for m in missing), split_seed)
    taken = {str(name): have["train"].take(p) for name, p in zip(("train", *missing), parts, strict=True)}
    splits: tuple[SplitName, ...] = ("train", "val", "test")
    done = {name: taken[name] if name in taken else have[name] for name in splits}
    for name, part in done.items():
        if not len(part):
            raise BadInput(f"image_folder: its {name} split is empty: give it images, or a larger fraction")
    source = "train" if len(have) > 1 else "all images"
    return done, tuple(f"{name} is {fractions[name]:g} of {source}" for name in missing)


def _sampled_statistics(train: ImageFiles) -> tuple[Tensor, Tensor]:
    positions = torch.linspace(0, len(train) - 1, min(SAMPLED, len(train))).round().long()
    return statistics(train.batch(positions)[0])


def _digest(part: ImageFiles) -> str:
    sizes = [f"{file}\0{(part.root / file).stat().st_size}" for file in part.files]
    return digest(f"size={part.size} channels={part.channels}", "\n".join(sizes), part.targets)


def _folders(folder: Path) -> list[Path]:
    return sorted((f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")), key=lambda f: f.name)


def _images(folder: Path) -> list[Path]:
    """Images anywhere below a folder, in a fixed order; none where there is no such folder."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in found if p.is_file()), key=lambda p: p.relative_to(folder).as_posix())
