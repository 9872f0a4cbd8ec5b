"""Keywords that a user gives to a built-in model, a data set or an augmentation, checked against its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import BadInput
from .places import UnknownKeyword

#: What fits an annotation, and how it is called in an error; other annotations are not checked.
_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "text"),
    "None": ((type(None),), "null"),
}


def check_arguments(what: str, function: Callable[..., Any], kwargs: Mapping[str, Any], skip: int = 0) -> None:
    """Refuse keywords that a function does not take, of a wrong type, or missing ones; raises BadInput.

    ``skip`` leading parameters are given by us. A function with ``**kwargs`` takes any name.
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    known = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in kwargs:
            if name not in known:
                raise UnknownKeyword(what, name, known)
    missing = [name for name, p in known.items() if p.default is p.empty and name not in kwargs]
    if missing:
        raise BadInput(f"{what} needs {', '.join(missing)}: give it in kwargs")
    for name in known.keys() & kwargs.keys():
        _check_type(what, name, kwargs[name], known[name].annotation)


def _check_type(what: str, name: str, value: Any, annotation: Any) -> None:
    """Annotations are text: those of our own functions, which keep them unevaluated."""
    parts = [part.strip() for part in annotation.split("|")] if isinstance(annotation, str) else []
    if not parts or any(part not in _TYPES for part in parts):
        return
    fits = [isinstance(value, _TYPES[p][0]) and (p == "bool" or not isinstance(value, bool)) for p in parts]
    if not any(fits):
        raise BadInput(f"{what}: {name} is {value!r}: give {' or '.join(_TYPES[p][1] for p in parts)}")


def at_least(what: str, least: float, **values: float | None) -> None:
    """Refuse numbers below a bound, None passes; raises BadInput.

    >>> at_least("vit", 1, depth=0)
    Traceback (most recent call last):
    ...
    modelcmp.errors.BadInput: vit: depth is 0: give 1 or more
    """
    for name, value in values.items():
        if value is not None and not value >= least:
            raise BadInput(f"{what}: {name} is {value}: give {least:g} or more")
