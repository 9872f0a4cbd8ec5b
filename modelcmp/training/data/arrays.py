"""Data sets whose examples fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import BadInput
from .base import DataSet, Examples, InMemory, SplitName
from .splits import digest, stratified

#: Up to this size inputs are kept as normalised float32; larger ones stay uint8 and are normalised batch by batch.
FLOAT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Pool:
    """Examples as they were read: inputs (N, *shape), uint8 or float32, and class numbers (N,), int64."""

    inputs: Tensor
    targets: Tensor

    def take(self, positions: Tensor) -> Pool:
        """Some of them."""
        return Pool(self.inputs[positions], self.targets[positions])


Prepare = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a pool becomes a data set: name and classes, what happens to the inputs, how they are split.

    ``prepare`` makes images of what is stored, uint8 or float32 in [0, 1]; ``settings`` says in words what it does and
    is hashed with the content, so that a digest does not depend on how a machine rounds. ``test_fraction`` is None
    where the data set has its own test split.
    """

    name: str
    classes: tuple[str, ...]
    val_fraction: float
    test_fraction: float | None
    split_seed: int
    prepare: Prepare | None = None
    settings: str = ""
    normalise: bool = True
    binary: bool = False
    notes: tuple[str, ...] = ()


def from_pool(recipe: Recipe, pool: Pool, test: Pool | None = None) -> DataSet:
    """Split a pool into train, val and, where the data set has none of its own, test; raises BadInput."""
    if test is not None:
        rest, val = stratified(recipe.name, pool.targets, (recipe.val_fraction,), recipe.split_seed)
        return from_splits(recipe, pool.take(rest), pool.take(val), test)
    fractions = (recipe.val_fraction, recipe.test_fraction or 0.0)
    rest, val, held = stratified(recipe.name, pool.targets, fractions, recipe.split_seed)
    return from_splits(recipe, pool.take(rest), pool.take(val), pool.take(held))


def from_splits(recipe: Recipe, train: Pool, val: Pool, test: Pool) -> DataSet:
    """A data set of three ready splits, normalised with the mean and deviation of the training inputs."""
    parts: dict[SplitName, Pool] = {"train": train, "val": val, "test": test}
    for name, part in parts.items():
        if not len(part.targets):
            raise BadInput(f"{recipe.name}: its {name} split is empty: give it a larger share")
    digests = {name: digest(recipe.settings, part.inputs, part.targets) for name, part in parts.items()}
    inputs = _prepared(recipe, train)
    mean, std = statistics(inputs) if recipe.normalise else (None, None)
    notes = recipe.notes
    if mean is not None and std is not None:
        notes = (*notes, f"normalised with the training split's mean {_said(mean)} and deviation {_said(std)}")

    def examples(part: Pool) -> Examples:
        return _examples(_prepared(recipe, part), part.targets, mean, std)

    return DataSet(
        name=recipe.name,
        classes=recipe.classes,
        shape=tuple(inputs.shape[1:]),
        train=_examples(inputs, train.targets, mean, std),
        val=examples(val),
        open_test=lambda: examples(test),
        digests=digests,
        binary=recipe.binary,
        notes=notes,
    )


def statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, (C, 1, ...), of inputs (N, C, ...); uint8 counts as [0, 1].

    A channel that never changes has deviation 1.
    """
    total = squares = torch.zeros(inputs.shape[1], dtype=torch.float64)
    for part in inputs.split(1024):  # a copy in float64 of everything would be eight times as large as uint8
        flat = part.to(torch.float64).transpose(0, 1).flatten(1)
        total, squares = total + flat.sum(1), squares + flat.square().sum(1)
    count = inputs.numel() / inputs.shape[1]
    scale = 255 if inputs.dtype is torch.uint8 else 1
    mean = total / count / scale
    std = (squares / count / scale**2 - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std < 1e-6, 1.0, std)
    shape = (-1, *(1 for _ in inputs.shape[2:]))
    return mean.to(torch.float32).view(shape), std.to(torch.float32).view(shape)


def _prepared(recipe: Recipe, pool: Pool) -> Tensor:
    return pool.inputs if recipe.prepare is None else recipe.prepare(pool.inputs)


def _examples(inputs: Tensor, targets: Tensor, mean: Tensor | None, std: Tensor | None) -> InMemory:
    """Normalised once where memory allows it, else batch by batch."""
    if inputs.numel() * 4 > FLOAT_BYTES:
        return InMemory(inputs, targets, mean, std)
    ready = InMemory(inputs, targets, mean, std).batch(torch.arange(len(targets)))[0]
    return InMemory(ready, targets)


def _said(values: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in values.flatten().tolist())
