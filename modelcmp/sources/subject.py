"""A subject: something that can be built and fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """How a model is to be built and fed: samples a batch, shape of one sample, floating-point type, factory keywords.

    With ``reparam`` it is built in its deployed form: branches and norms folded by the model's own methods.
    """

    batch_size: int = 1
    input_size: Dims | None = None
    dtype: str = "fp32"
    kwargs: dict[str, Any] = field(default_factory=dict)
    reparam: bool = False


@dataclass(frozen=True, slots=True)
class Inputs:
    """What forward is called with."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model that can be built and fed.

    ``build`` returns a fresh module and never downloads anything; ``inputs`` makes tensors with
    ``device`` ("meta", or "cpu" for seeded random numbers). ``resized`` builds for another input
    size, where the architecture has to know it. ``given`` holds metrics that come with the model.
    """

    name: str
    source: str
    build: Callable[[], nn.Module]
    inputs: Callable[[Request, str], Inputs]
    resized: Callable[[Dims], Callable[[], nn.Module]] | None = None
    notes: tuple[str, ...] = ()
    given: Mapping[str, float] = field(default_factory=dict)


class Source(Protocol):
    """Where models come from: one file in this folder each."""

    name: str

    def names(self) -> list[str]:
        """Every model of this source, without importing torch."""

    def has(self, name: str) -> bool:
        """Whether a name (without the source's prefix) is one of this source's."""

    def subject(self, name: str, request: Request) -> Subject:
        """The subject of a name."""
