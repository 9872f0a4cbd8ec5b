"""The classifier head's linear layers and the rest, found from the names and shapes of a state dict.

The head (``mlp``) is the last chain of linear layers outside of repeated blocks, fed by the pooled features: each takes
what the one before it gives, with nothing between them but one-dimensional norms; and other chains beside it on the
same features. A network of linear layers alone is all head; one with a convolution behind as its output has none.
Everything else is ``backbone``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..errors import BadInput
from ..registry import suggest
from .aligning.patterns import compiled, searched
from .aligning.transforms import Shape
from .heads import head_modules
from .records import Group

_GROUPS: tuple[Group, ...] = ("mlp", "backbone")


def groups(tensors: Mapping[str, Shape], head: str | None = None) -> dict[str, Group]:
    """The group of each tensor of a state dict, from names and shapes in their order.

    ``head`` (a regular expression, searched in the names) says what the head is instead; raises BadInput where it is
    none, or matches nothing.

    >>> groups({"conv.weight": (8, 3, 3, 3), "fc1.weight": (16, 8), "fc1.bias": (16,), "fc2.weight": (10, 16)})
    {'conv.weight': 'backbone', 'fc1.weight': 'mlp', 'fc1.bias': 'mlp', 'fc2.weight': 'mlp'}
    """
    if head is not None:
        chosen = set(_matching(head, list(tensors), "--head"))
    else:
        chosen = {name for unit in head_modules(tensors) for name in unit.names}
    return {name: "mlp" if name in chosen else "backbone" for name in tensors}


def select(groups: Mapping[str, Group], filters: Sequence[str]) -> list[str]:
    """The names that any of the filters chooses, in their order; all where there is no filter.

    A filter is ``all``, ``mlp``, ``backbone`` or a regular expression that is searched in the names. Raises BadInput
    for one that is no regular expression, or that chooses nothing.

    >>> select({"conv.weight": "backbone", "fc.weight": "mlp", "fc.bias": "mlp"}, ["mlp", "conv"])
    ['conv.weight', 'fc.weight', 'fc.bias']
    """
    chosen: set[str] = set()
    for text in filters or ["all"]:
        chosen |= set(groups) if text == "all" else set(_filtered(groups, text))
    return [name for name in groups if name in chosen]


def _filtered(groups: Mapping[str, Group], text: str) -> list[str]:
    if text not in _GROUPS:
        return _matching(text, list(groups), "--filter")
    found = [name for name, group in groups.items() if group == text]
    if not found:
        advice = "name the head's layers with --head REGEX" if text == "mlp" else "all of them are in the group 'mlp'"
        raise BadInput(f"--filter {text}: none of the {len(groups)} tensors is in this group; {advice}")
    return found


def _matching(text: str, names: Sequence[str], what: str) -> list[str]:
    if not text:
        raise BadInput(
            f"{what} is empty: give {'all, mlp, backbone or ' if what == '--filter' else ''}a regular expression"
        )
    found = [name for name, hit in zip(names, searched(compiled(text, what), names), strict=True) if hit]
    if not found:
        known = ["all", *_GROUPS, *_parts(names)] if what == "--filter" else _parts(names)
        examples = f"names are such as {', '.join(map(repr, names[:3]))}" if names else "there are no tensors"
        raise BadInput(f"{what} {text!r} matches none of the {len(names)} names: {suggest(text, known, examples)}")
    return found


def _parts(names: Iterable[str]) -> list[str]:
    """Whole names, modules and single components: what a pattern may have been meant to be."""
    listed = list(names)[:2000]
    return list(
        dict.fromkeys([*listed, *(n.rpartition(".")[0] for n in listed), *(p for n in listed for p in n.split("."))])
    )
