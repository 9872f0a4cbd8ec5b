"""Random changes to batches of training inputs; all randomness comes from the generator that is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from ...errors import BadInput
from ...registry import Registry
from ..arguments import at_least, check_arguments

#: From a batch, float32 (B, C, H, W) or (B, C, D, H, W), to one of the same shape; the input stays as it is.
Augmentation = Callable[[Tensor, Generator], Tensor]
Make = Callable[..., Augmentation]

#: Functions that check their keywords and give an augmentation; their docstrings are the reference.
AUGMENTATIONS: Registry[Make] = Registry("augmentation")


def augmentation(specs: Sequence[str | Mapping[str, Any]]) -> Augmentation | None:
    """All of some augmentations one after the other; None for none.

    Each is a name, ``{name: crop, padding: 2}`` or ``{name: crop, kwargs: {padding: 2}}``. Raises UnknownName, or
    BadInput for keywords that it does not take.
    """
    steps = [_made(spec) for spec in specs]
    if not steps:
        return None

    def apply(x: Tensor, generator: Generator) -> Tensor:
        for step in steps:
            x = step(x, generator)
        return x

    return apply


def _made(spec: str | Mapping[str, Any]) -> Augmentation:
    given: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = given.pop("name", None)
    if not isinstance(name, str):
        raise BadInput(f"an augmentation is a name or {{name: NAME, ...}}, not {spec!r}: {', '.join(AUGMENTATIONS)}")
    given |= given.pop("kwargs", None) or {}
    make = AUGMENTATIONS[name]
    check_arguments(f"augmentation {name}", make, given)
    return make(**given)


def augments(name: str) -> Callable[[Make], Make]:
    """Register a function that makes an augmentation."""
    return lambda make: AUGMENTATIONS.add(name, make)


@augments("flip")
def flip(*, p: float = 0.5) -> Augmentation:
    """Mirror left and right with probability ``p``; volumes along each axis, independently."""
    _probability("flip", p)

    def apply(x: Tensor, generator: Generator) -> Tensor:
        for axis in range(2, x.dim()) if x.dim() == 5 else (x.dim() - 1,):
            chosen = torch.rand(len(x), generator=generator) < p
            x = torch.where(_each(chosen, x), x.flip(axis), x)
        return x

    return apply


@augments("crop")
def crop(*, padding: int = 4) -> Augmentation:
    """Pad with zeros by ``padding`` on all sides and cut the old size at a random place, another for each sample."""
    at_least("augmentation crop", 0, padding=padding)

    def apply(x: Tensor, generator: Generator) -> Tensor:
        for axis in range(2, x.dim()):
            shift = torch.randint(-padding, padding + 1, (len(x),), generator=generator)
            x = _shifted(x, axis, shift)
        return x

    return apply


@augments("rotate90")
def rotate90() -> Augmentation:
    """Turn by 0, 90, 180 or 270 degrees in the plane of height and width, which must be equal."""

    def apply(x: Tensor, generator: Generator) -> Tensor:
        if x.shape[-1] != x.shape[-2]:
            raise BadInput(f"augmentation rotate90 needs square images, not {x.shape[-2]}x{x.shape[-1]}: leave it out")
        turns = torch.randint(4, (len(x),), generator=generator)
        turned = x.clone()
        for turn in (1, 2, 3):
            turned[turns == turn] = torch.rot90(x[turns == turn], turn, (-2, -1))
        return turned

    return apply


@augments("noise")
def noise(*, sigma: float = 0.1) -> Augmentation:
    """Add Gaussian noise of deviation ``sigma``, in units of the (normalised) inputs."""
    at_least("augmentation noise", 0, sigma=sigma)
    return lambda x, generator: x + sigma * torch.randn(x.shape, generator=generator)


@augments("erase")
def erase(*, size: int = 8, p: float = 0.5) -> Augmentation:
    """Set a square (volumes: a cube) of side ``size`` around a random place to 0 with probability ``p``.

    Cut-out: DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017.
    """
    at_least("augmentation erase", 1, size=size)
    _probability("erase", p)

    def apply(x: Tensor, generator: Generator) -> Tensor:
        hit = _each(torch.rand(len(x), generator=generator) < p, x)
        for axis in range(2, x.dim()):
            side = x.shape[axis]
            first = torch.randint(side, (len(x), 1), generator=generator) - size // 2
            places = torch.arange(side)[None]
            inside = (places >= first) & (places < first + size)  # (B, side)
            hit = hit & inside.view(len(x), *(side if a == axis else 1 for a in range(1, x.dim())))
        return x.masked_fill(hit, 0.0)

    return apply


def _each(values: Tensor, x: Tensor) -> Tensor:
    """One value a sample, shaped to broadcast over it."""
    return values.view(-1, *(1 for _ in x.shape[1:]))


def _shifted(x: Tensor, axis: int, shift: Tensor) -> Tensor:
    """Each sample moved along an axis, zeros where it came from."""
    source = torch.arange(x.shape[axis])[None] + shift[:, None]  # (B, side)
    shape = (len(x), *(x.shape[a] if a == axis else 1 for a in range(1, x.dim())))
    inside = (source >= 0) & (source < x.shape[axis])
    moved = x.gather(axis, source.clamp(0, x.shape[axis] - 1).view(shape).expand(x.shape))
    return moved * inside.view(shape)


def _probability(name: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise BadInput(f"augmentation {name}: p is {p}: give a probability in [0, 1]")
