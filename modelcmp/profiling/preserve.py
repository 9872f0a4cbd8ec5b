"""Leaves a user's module as it was: what forward writes into its attributes is taken back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .tracer import Modules

_CONTAINERS = (dict, OrderedDict, list, set)


@contextmanager
def preserved(modules: Modules) -> Iterator[None]:
    """Undo changes of attributes, and of the dicts, lists and sets among them, on leaving.

    A forward without data may leave caches without data (position tables, masks), which would break
    the module for its owner; hooks and counters come back, too.
    """
    states = [(module, _snapshot(vars(module))) for _, module in modules]
    try:
        yield
    finally:
        for module, state in states:
            _restore(vars(module), state)


def _snapshot(attributes: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(key, v, v.copy() if type(v) in _CONTAINERS else None) for key, v in attributes.items()]


def _restore(attributes: dict[str, Any], state: list[tuple[str, Any, Any]]) -> None:
    attributes.clear()
    for key, value, content in state:
        attributes[key] = value
        if content is None:
            continue
        if isinstance(value, list):
            value[:] = content
        else:
            value.clear()
            value.update(content)
