"""Data from the user's own code: ``path/to/file.py:factory``."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from ...errors import BadInput, BuildError, ModelcmpError
from ...registry import suggest
from ...sources.user_code import load
from ..arguments import check_arguments
from .arrays import Pool, Recipe, from_pool, from_splits
from .base import DataSet, SplitName, all_finite
from .mapped import Mapped, class_numbers, mapped
from .splits import digest, stratified

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

#: Keywords of ours, for factories that leave the splitting to us.
_SPLITTING = {"val_fraction": 0.15, "test_fraction": 0.15}

_WANTED = (
    "return a modelcmp DataSet, one torch Dataset or (inputs, classes), which we split, or a dict with 'train' and, "
    "as far as there are any, 'val' and 'test' of these (and 'classes', 'binary')"
)


def user_data(
    spec: str, place: str, name: str, root: Path | None, split_seed: int, kwargs: Mapping[str, Any]
) -> DataSet:
    """The data set of a user's factory, which is given ``root`` and ``split_seed`` if it takes them.

    Raises BadInput for what is no data, BuildError where the factory raises.
    """
    factory = _find(load(place), place, name)
    known = inspect.signature(factory).parameters
    ours = {k: v for k, v in kwargs.items() if k in _SPLITTING and k not in known}
    given = {k: v for k, v in kwargs.items() if k not in ours}
    given |= {k: v for k, v in {"root": root, "split_seed": split_seed}.items() if k in known and k not in given}
    if root is not None and "root" not in known:
        raise BadInput(f"{spec} takes no root: leave it out, or add that parameter to the factory")
    check_arguments(spec, factory, given)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = factory(**given)
    except ModelcmpError:
        raise
    except (Exception, SystemExit) as error:
        raise BuildError(f"{spec} raised {type(error).__name__}: {error}") from error
    if isinstance(made, DataSet):
        return made
    return as_data_set(spec, made, split_seed, **{**_SPLITTING, **ours})


def as_data_set(spec: str, made: Any, split_seed: int, val_fraction: float, test_fraction: float) -> DataSet:
    """A data set of what a factory returned; raises BadInput where it cannot be one."""
    extras: dict[str, Any] = {}
    if isinstance(made, Mapping):
        extras = {k: made[k] for k in ("classes", "binary") if k in made}
        made = {k: v for k, v in made.items() if k not in extras}
    parts = {name: _part(f"{spec}: its {name} split", part) for name, part in _splits_in(spec, made).items()}
    targets = torch.cat([part.targets for part in parts.values()])
    stated = extras.get("classes") or _stated_classes(made)
    classes = _classes(spec, targets, stated)
    binary = bool(extras.get("binary", False))
    if binary and len(classes) != 2:
        raise BadInput(f"{spec}: binary data have two classes, not {len(classes)}: leave binary out")
    recipe = Recipe(
        *(spec, classes, val_fraction, test_fraction, split_seed), normalise=False, binary=binary, notes=_notes(parts)
    )
    pools = {name: part for name, part in parts.items() if isinstance(part, Pool)}
    if len(pools) == len(parts):
        return _of_pools(recipe, pools)
    if pools:
        raise BadInput(f"{spec}: some splits are arrays and others data sets: give all of them in one form")
    return _of_mapped(recipe, {name: part for name, part in parts.items() if isinstance(part, Mapped)})


def _find(module: Any, place: str, name: str) -> Callable[..., Any]:
    ours = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
    public = [n for n in ours if not n.startswith("_")]
    if not name and len(public) == 1:
        name = public[0]
    if not name:
        raise BadInput(f"{place} holds several: write {place}:NAME with one of {', '.join(public) or '(none)'}")
    found = getattr(module, name, None)
    if found is None:
        raise BadInput(f"{place} has no {name!r}: {suggest(name, public, 'it defines nothing that can be called')}")
    if not callable(found):
        raise BadInput(f"{place}:{name} is a {type(found).__name__}, not a function that returns data")
    return found  # type: ignore[no-any-return]


def _splits_in(spec: str, made: Any) -> dict[SplitName, Any]:
    """The splits that are there; everything is "train" where it is for us to split."""
    if isinstance(made, Mapping):
        odd = [str(k) for k in made if k not in SPLITS]
        if odd or "train" not in made:
            raise BadInput(f"{spec} returned a dict with {', '.join(map(str, made)) or 'nothing'}: {_WANTED}")
        return {name: made[name] for name in SPLITS if name in made}
    if not isinstance(made, tuple | list) or _is_pair(made):
        return {"train": made}
    if len(made) == 3:
        return dict(zip(SPLITS, made, strict=True))
    raise BadInput(f"{spec} returned a {type(made).__name__} of {len(made)}: {_WANTED}")


def _is_pair(made: Any) -> bool:
    """Whether it is (inputs, classes)."""
    return isinstance(made, tuple | list) and len(made) == 2 and all(isinstance(m, Tensor | np.ndarray) for m in made)


def _part(what: str, part: Any) -> Pool | Mapped:
    if isinstance(part, TensorDataset) and len(part.tensors) == 2:
        part = part.tensors
    if not _is_pair(part):
        if isinstance(part, tuple | list | Mapping | str) or part is None:
            raise BadInput(f"{what} is a {type(part).__name__}: {_WANTED}")
        return mapped(what, part)
    inputs, values = part
    x = inputs.detach().cpu() if isinstance(inputs, Tensor) else torch.from_numpy(np.ascontiguousarray(inputs))
    targets = class_numbers(what, values)
    if len(x) != len(targets):
        raise BadInput(f"{what} has {len(x)} inputs and {len(targets)} classes: give as many")
    if not len(x) or x.dim() < 2:
        raise BadInput(f"{what} has inputs of shape {tuple(x.shape)}: give (examples, ...), and one example at least")
    if x.dtype is not torch.uint8:
        x = x.to(torch.float32)
        if not all_finite(x):
            raise BadInput(f"{what} holds inputs that are NaN or infinite: remove or replace them")
    return Pool(x, targets)


def _notes(parts: Mapping[SplitName, Pool | Mapped]) -> tuple[str, ...]:
    notes = [] if len(parts) == 3 else [f"{', '.join(n for n in SPLITS if n not in parts)} taken from train"]
    if any(isinstance(part, Mapped) for part in parts.values()):
        notes.append("digests are over positions and classes, not over the inputs")
    elif any(isinstance(part, Pool) and part.inputs.dtype is torch.uint8 for part in parts.values()):
        notes.append("inputs of type uint8 are scaled to [0, 1], and not normalised further")
    return tuple(notes)


def _stated_classes(made: Any) -> Any:
    """Names that a data set has for its classes."""
    first = made.get("train") if isinstance(made, Mapping) else made
    first = first[0] if isinstance(first, tuple | list) and first else first
    found = getattr(first, "classes", None)
    return found if isinstance(found, list | tuple) else None


def _classes(spec: str, targets: Tensor, stated: Any) -> tuple[str, ...]:
    count = int(targets.max()) + 1
    if not stated:
        return tuple(str(number) for number in range(max(count, 2)))
    if isinstance(stated, str) or len(stated) < count:
        raise BadInput(f"{spec}: it names {stated!r} as classes, but has class number {count - 1}: name every class")
    return tuple(map(str, stated))


def _of_pools(recipe: Recipe, pools: Mapping[SplitName, Pool]) -> DataSet:
    shapes = {name: tuple(p.inputs.shape[1:]) for name, p in pools.items()}
    if len(set(shapes.values())) > 1:
        raise BadInput(f"{recipe.name}: its splits have different shapes ({_said(shapes)}): bring them to one")
    train, val, test = (pools.get(name) for name in SPLITS)
    assert train is not None
    if val is None:
        return from_pool(recipe, train, test)
    if test is None:
        rest, held = stratified(recipe.name, train.targets, (recipe.test_fraction or 0.0,), recipe.split_seed)
        train, test = train.take(rest), train.take(held)
    return from_splits(recipe, train, val, test)


def _of_mapped(recipe: Recipe, parts: Mapping[SplitName, Mapped]) -> DataSet:
    fractions = {"val": recipe.val_fraction, "test": recipe.test_fraction or 0.0}
    missing = [name for name in fractions if name not in parts]
    taken = stratified(recipe.name, parts["train"].targets, tuple(fractions[m] for m in missing), recipe.split_seed)
    done = {name: parts["train"].take(p) for name, p in zip(("train", *missing), taken, strict=True)}
    splits: dict[SplitName, Mapped] = {name: done[name] if name in done else parts[name] for name in SPLITS}
    shapes = {name: _shape_of(part) for name, part in splits.items()}
    if len(set(shapes.values())) > 1:
        raise BadInput(f"{recipe.name}: its splits have different shapes ({_said(shapes)}): bring them to one")
    return DataSet(
        name=recipe.name,
        classes=recipe.classes,
        shape=shapes["train"],
        train=splits["train"],
        val=splits["val"],
        open_test=lambda: splits["test"],
        digests={name: digest(part.indices, part.targets) for name, part in splits.items()},
        binary=recipe.binary,
        notes=recipe.notes,
    )


def _shape_of(part: Mapped) -> tuple[int, ...]:
    """That of its first and last example, which are read; raises BadInput where they differ."""
    ends = torch.tensor([0, len(part) - 1])
    return tuple(part.batch(ends)[0].shape[1:])


def _said(shapes: Mapping[SplitName, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())
