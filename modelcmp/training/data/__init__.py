"""Data sets by name, or from the user's own factory, each with fixed train, validation and test splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import UnknownName
from ...registry import suggest
from ...sources.factory import split_spec
from ..arguments import at_least
from . import digits, folder, spots3d, vision  # noqa: F401  (each registers what it holds)
from .augment import AUGMENTATIONS, augmentation
from .base import DataSet, Examples, InMemory, SplitName, class_counts
from .factories import DATA, Factory
from .mapped import Mapped
from .user import user_data

__all__ = [
    "AUGMENTATIONS",
    "DATA",
    "DataSet",
    "Examples",
    "Factory",
    "InMemory",
    "Mapped",
    "SplitName",
    "augmentation",
    "class_counts",
    "load_data",
]


def load_data(name: str, root: Path | str | None = None, split_seed: int = 0, **kwargs: Any) -> DataSet:
    """A built-in data set, or that of ``path/to/file.py:factory`` or ``package.module:factory``.

    The splits depend on the data and on ``split_seed`` alone. Raises UnknownName, BadInput for keywords that the data
    set does not take, ModelcmpError where it is missing (with how to get it), BuildError where the user's code raises.
    """
    place = None if root is None else Path(root)
    at_least(f"data {name}", 0, split_seed=split_seed)
    if name in DATA:
        return DATA[name](place, split_seed, kwargs)
    parts = split_spec(name)
    if parts is None:
        hint = suggest(name, DATA, f"known: {', '.join(DATA)}; or give path/to/file.py:factory")
        raise UnknownName(DATA.kind, name, hint)
    return user_data(name, *parts, place, split_seed, kwargs)
