"""What a built-in model is, and the registry that holds them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...errors import BadInput
from ...registry import Registry
from ...units import shape as shape_text
from ..arguments import at_least, check_arguments

Make = Callable[..., nn.Module]

_KINDS = {3: "images (C, H, W)", 4: "volumes (C, D, H, W)"}


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A built-in model: ``make(shape, outputs, **kwargs)`` for samples of some ranks, the channel axis included."""

    name: str
    description: str
    make: Make
    ranks: tuple[int, ...]

    def build(self, shape: tuple[int, ...], outputs: int, **kwargs: Any) -> nn.Module:
        """The model for samples of a shape, with ``outputs`` logits a sample; weights follow torch's seed.

        Raises BadInput for a shape of another rank, and for keywords that it does not take.
        """
        if len(shape) not in self.ranks:
            raise BadInput(self._refusal(shape))
        at_least(self.name, 1, outputs=outputs, smallest_side=min(shape))
        check_arguments(self.name, self.make, kwargs, skip=2)
        return self.make(shape, outputs, **kwargs)

    def _refusal(self, shape: tuple[int, ...]) -> str:
        fitting = [m.name for m in MODELS.values() if len(shape) in m.ranks]
        takes = " or ".join(_KINDS.get(r, f"samples of {r} axes") for r in self.ranks)
        advice = f"take one of {', '.join(fitting)}" if fitting else "no built-in model does"
        return f"{self.name} takes {takes}, not {shape_text(shape)}: {advice}"


class Models(Registry[BuiltIn]):
    """Built-in models by name; capitals, spaces, ``-`` and ``_`` make no difference.

    >>> MODELS["SE-ResNet3D"].name, "Simple CNN" in MODELS
    ('se_resnet3d', True)
    """

    def __getitem__(self, name: str) -> BuiltIn:
        return super().__getitem__(self._meant(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(self._meant(name))

    def _meant(self, name: str) -> str:
        return next((known for known in self if _plain(known) == _plain(name)), name)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c not in " -_")


MODELS = Models("built-in model")


def built_in(name: str, description: str, ranks: tuple[int, ...]) -> Callable[[Make], Make]:
    """Register a function as a built-in model for samples of some ranks."""

    def register(make: Make) -> Make:
        MODELS.add(name, BuiltIn(name, description, make, ranks))
        return make

    return register
