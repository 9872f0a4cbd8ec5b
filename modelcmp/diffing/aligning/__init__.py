"""Which tensor of one model is which of another, when the names differ.

Works on names and shapes alone. Every match says how it was found and how sure it is; what fits several ways is listed,
never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..records import Alignment
from .by_name import prefixes, renamed, same_names, squares
from .by_order import order_and_shape, roles
from .map_file import NameMap, map_text, read_map
from .mapping import applied, with_own_names
from .state import Modules, State
from .transforms import Shape, Transform, parse_transform

__all__ = ["NameMap", "Shape", "Transform", "align", "map_text", "parse_transform", "read_map"]


def align(
    a: Mapping[str, Shape], b: Mapping[str, Shape], given: NameMap | Mapping[str, str] | None = None
) -> Alignment:
    """Find which tensor of A is which of B, from names and shapes in the order of the state dicts.

    ``given`` (a map file, or names of A with names of B) comes first and is never overruled. Raises BadInput where it
    names what is not there.

    >>> align({"fc.weight": (2, 3)}, {"module.fc.weight": (2, 3)}).matches[0].how
    "prefix 'module.'"
    """
    if given is None:
        return _automatic(State.of(a, b)).result()
    name_map = given if isinstance(given, NameMap) else NameMap.of(given)
    state, own_names = applied(name_map, a, b)
    return with_own_names((_automatic(state) if name_map.automatic else state).result(), own_names)


def _automatic(state: State) -> State:
    """Every step works on what the ones before it left: the surest first."""
    same_names(state)
    prefixes(state)
    if state.left_a and state.left_b:
        modules = Modules.of(state)
        for step in (renamed, roles, order_and_shape):
            step(modules)
        state.doubt()
    squares(state)
    return state
