"""The registry of data sets, and how one is added to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadInput
from ...registry import Registry
from ..arguments import check_arguments
from .base import DataSet

Load = Callable[..., DataSet]


@dataclass(frozen=True, slots=True)
class Factory:
    """A data set that can be loaded: ``load(split_seed, **kwargs)``, with ``root`` before that where it has files."""

    name: str
    description: str
    load: Load

    @property
    def takes_root(self) -> bool:
        """Whether it reads a folder."""
        return "root" in inspect.signature(self.load).parameters

    def __call__(self, root: Path | None, split_seed: int, kwargs: Mapping[str, Any]) -> DataSet:
        """The data set; raises BadInput for keywords that it does not take, ModelcmpError where it is missing."""
        if root is not None and not self.takes_root:
            raise BadInput(f"data {self.name} reads no folder: leave root out")
        given = (root, split_seed) if self.takes_root else (split_seed,)
        check_arguments(f"data {self.name}", self.load, kwargs, skip=len(given))
        return self.load(*given, **kwargs)


DATA: Registry[Factory] = Registry("data set")


def data_set(name: str, description: str) -> Callable[[Load], Load]:
    """Register a function as a data set: ``(root, split_seed, *, ...)``, or without ``root``."""

    def register(load: Load) -> Load:
        DATA.add(name, Factory(name, description, load))
        return load

    return register
