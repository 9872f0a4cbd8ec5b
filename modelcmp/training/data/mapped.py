"""A torch data set, as people write them, taken in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from ...errors import BadInput, BuildError

#: What torchvision's data sets and their imitators call their class numbers.
_NAMES = ("targets", "labels", "_labels", "y")


@dataclass(frozen=True, slots=True)
class Mapped:
    """Examples of a map-style data set, ``dataset[i] -> (input, class)``, which are read one by one."""

    dataset: Any
    indices: Tensor  # of the examples in the data set, int64 (N,)
    targets: Tensor  # (N,)
    parallel: bool = True

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some positions; raises BuildError where reading one raises, BadInput for odd shapes."""
        inputs = [read(self.dataset, i)[0] for i in self.indices[positions].tolist()]
        if len({x.shape for x in inputs}) > 1:
            shapes = sorted({tuple(x.shape) for x in inputs})
            raise BadInput(f"{type(self.dataset).__name__} gives inputs of shapes {shapes}: resize them to one")
        return torch.stack(inputs), self.targets[positions]

    def take(self, positions: Tensor) -> Mapped:
        """Some of them."""
        return Mapped(self.dataset, self.indices[positions], self.targets[positions], self.parallel)


def mapped(what: str, dataset: Any) -> Mapped:
    """A data set with the classes of its examples; each is read once where the data set does not state them.

    Raises BadInput where it is no map-style data set, or its classes are no whole numbers.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise BadInput(f"{what} is a {type(dataset).__name__}: give a data set with __len__ and __getitem__")
    count = len(dataset)
    if not count:
        raise BadInput(f"{what} is empty: give it examples")
    known = stated_targets(dataset)
    if known is None or len(known) != count:
        known = [read(dataset, i)[1] for i in range(count)]
    return Mapped(dataset, torch.arange(count), class_numbers(what, known))


def stated_targets(dataset: Any) -> Any:
    """The classes of all examples (any sequence) without reading the examples; None where the data set does not say."""
    if isinstance(dataset, Subset):
        inner = stated_targets(dataset.dataset)
        return None if inner is None else [inner[i] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [stated_targets(d) for d in dataset.datasets]
        return None if any(p is None for p in parts) else [t for p in parts for t in p]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1] if len(dataset.tensors) > 1 else None
    if getattr(dataset, "target_transform", None) is not None:
        return None  # what it states is not what it gives
    for name in _NAMES:
        found = getattr(dataset, name, None)
        if isinstance(found, list | tuple | np.ndarray | Tensor):
            return found
    samples = getattr(dataset, "samples", None)
    return [label for _, label in samples] if samples and isinstance(samples[0], tuple) else None


def class_numbers(what: str, values: Any) -> Tensor:
    """Class numbers, int64 (N,); raises BadInput for anything but whole numbers from 0."""
    try:
        found = torch.as_tensor(np.asarray(values)) if not isinstance(values, Tensor) else values.detach().cpu()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what}: its classes are no numbers ({error}): give whole numbers from 0") from error
    if found.dim() == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.dim() != 1:
        raise BadInput(f"{what}: its classes have the shape {tuple(found.shape)}: give one whole number an example")
    whole = found.to(torch.int64)
    if found.is_complex() or bool((whole != found).any()) or bool((whole < 0).any()):
        raise BadInput(f"{what}: its classes are not all whole numbers from 0: number them 0, 1, 2, ...")
    return whole


def read(dataset: Any, index: int) -> tuple[Tensor, Any]:
    """Input (float32) and class of one example; bytes (images) are scaled to [0, 1], pictures turned channels first."""
    try:
        example = dataset[index]
    except (Exception, SystemExit) as error:
        raise BuildError(f"{type(dataset).__name__}[{index}] raised {type(error).__name__}: {error}") from error
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise BadInput(f"{type(dataset).__name__}[{index}] is a {type(example).__name__}: return (input, class)")
    return _as_input(dataset, example[0]), example[1]


def _as_input(dataset: Any, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        x = value
    elif isinstance(value, np.ndarray):
        x = torch.from_numpy(value)
    elif hasattr(value, "getbands"):  # a PIL image
        pixels = np.array(value)
        x = torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1)
    else:
        raise BadInput(f"{type(dataset).__name__} gives {type(value).__name__} as input: return a tensor or an array")
    return x.to(torch.float32).div(255) if x.dtype is torch.uint8 else x.to(torch.float32)
