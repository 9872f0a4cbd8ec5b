"""Which samples a step sees: it depends on seed and epoch alone, not on the model or how many processes share it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .data.base import Examples


def mixed(*parts: object) -> int:
    """A seed out of several numbers and words, in which each bit depends on all of them."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """A permutation of all positions, int64 (count,)."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed("order", seed, epoch)))


def chained(digest: str, order: Tensor) -> str:
    """The digest of everything up to this order."""
    return hashlib.sha256(digest.encode() + order.numpy().tobytes()).hexdigest()


def batch_count(count: int, batch_size: int) -> int:
    """Steps of an epoch; a last batch of a single sample is left out, for it has no variance to normalise by.

    >>> batch_count(100, 32), batch_count(97, 32), batch_count(1, 32)
    (4, 3, 1)
    """
    full, rest = divmod(count, batch_size)
    return full + (rest > 1 or (rest == 1 and (full == 0 or batch_size == 1)))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process sees of a step: inputs (b, *shape) and targets (b,).

    ``real`` is False for a sample that only keeps this process in step with the others; ``total`` is how many
    samples all processes see together, ``targets_of_all`` theirs.
    """

    inputs: Tensor
    targets: Tensor
    real: bool
    total: int
    targets_of_all: Tensor


@dataclass(frozen=True, slots=True)
class Share:
    """Which of several processes this is."""

    rank: int = 0
    of: int = 1

    def part(self, positions: Tensor) -> tuple[Tensor, bool]:
        """This process's part of a batch; a stand-in, and False, where there is too little for all."""
        if self.of == 1:
            return positions, True
        size = -(-len(positions) // self.of)
        mine = positions[self.rank * size : (self.rank + 1) * size]
        return (mine, True) if len(mine) else (positions[:1], False)


def batches(
    examples: Examples, positions: Tensor, batch_size: int, share: Share, first: int = 0, last: int | None = None,
    workers: int = 0,
) -> Iterator[Batch]:  # fmt: skip
    """The batches ``first`` to ``last`` of some positions in their order, this process's share of each."""
    groups = positions.split(batch_size)[first:last]
    parts = [share.part(group) for group in groups]
    loaded = _loaded(examples, [mine for mine, _ in parts], workers)
    for group, (_, real), (x, y) in zip(groups, parts, loaded, strict=True):
        yield Batch(x, y, real, len(group), y if share.of == 1 else examples.targets[group])


def _loaded(examples: Examples, parts: list[Tensor], workers: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and targets of each part, read ahead by worker processes where reading takes long."""
    if workers == 0 or not examples.parallel or not parts:
        return map(examples.batch, parts)
    reader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        _Parts(examples, parts), batch_size=None, num_workers=workers, generator=torch.Generator()
    )
    return iter(reader)


class _Parts(Dataset[tuple[Tensor, Tensor]]):
    """Ready batches by their number."""

    def __init__(self, examples: Examples, parts: list[Tensor]) -> None:
        self._examples, self._parts = examples, parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return self._examples.batch(self._parts[number])
