"""A registry maps a name to a thing, refuses duplicates and says what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from .errors import UnknownName

T = TypeVar("T")


def suggest(name: str, known: Iterable[str], fallback: str = "") -> str:
    """Say which of the known names was probably meant.

    >>> suggest("resnet81", ["resnet18", "vgg11"])
    "did you mean 'resnet18'?"
    >>> suggest("xyz", ["a", "b"], "see `compare-models list`")
    'see `compare-models list`'
    """
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return fallback or "known: " + ", ".join(sorted(names))


class Registry(Mapping[str, T], Generic[T]):
    """Named things of one kind, in the order in which they were added.

    >>> shapes = Registry("shape")
    >>> shapes.add("square", 4)
    4
    >>> shapes["squre"]
    Traceback (most recent call last):
    ...
    modelcmp.errors.UnknownName: unknown shape 'squre': did you mean 'square'?
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def add(self, name: str, thing: T) -> T:
        """Add a thing under a name; a second one of that name raises ValueError."""
        if name in self._things:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._things[name] = thing
        return thing

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            raise UnknownName(self.kind, name, suggest(name, self._things))
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
