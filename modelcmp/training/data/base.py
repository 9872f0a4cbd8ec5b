"""What a data set is to training: three fixed splits of examples, with a digest of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

SplitName = Literal["train", "val", "test"]


class Examples(Protocol):
    """Examples that can be taken by position, in any order, as often as wanted.

    ``targets`` are class numbers, int64 (N,). ``parallel`` says whether reading takes long enough for worker
    processes to help (files that are decoded); examples in memory are taken at once.
    """

    @property
    def targets(self) -> Tensor: ...

    @property
    def parallel(self) -> bool: ...

    def __len__(self) -> int: ...

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs, float32 (B, *shape), and targets, int64 (B,), of some positions, int64 (B,)."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """Examples that lie in one tensor: float32, or uint8 of which a batch is scaled to [0, 1]."""

    inputs: Tensor  # (N, *shape)
    targets: Tensor  # (N,)
    mean: Tensor | None = None  # subtracted, shaped to broadcast over a sample
    std: Tensor | None = None  # divided by
    parallel: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some positions."""
        x = self.inputs[positions]
        if x.dtype is torch.uint8:
            x = x.to(torch.float32).div_(255)
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return x, self.targets[positions]


@dataclass(frozen=True)
class DataSet:
    """A data set with fixed splits; the test split is opened only when it is asked for.

    ``shape`` is that of one sample: (C, H, W), or (C, D, H, W) for volumes. ``binary``: two classes of which the
    second is the positive one, so that a model gives a single logit. ``digests`` are SHA-256 of the content and
    order of each split, as far as it has been read; ``notes`` say what a reader should know.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    train: Examples
    val: Examples
    open_test: Callable[[], Examples]
    digests: Mapping[SplitName, str]
    binary: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a sample: one logit where the task is binary, else one a class."""
        return 1 if self.binary else len(self.classes)

    @cached_property
    def test(self) -> Examples:
        """The test split; opened once."""
        return self.open_test()

    def split(self, name: SplitName) -> Examples:
        """A split by its name."""
        return {"train": lambda: self.train, "val": lambda: self.val, "test": lambda: self.test}[name]()


def class_counts(examples: Examples, classes: Sequence[str]) -> dict[str, int]:
    """How many examples each class has."""
    counts = torch.bincount(examples.targets, minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def all_finite(x: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinities."""
    return bool(torch.isfinite(x).all())
