"""Linear layers as candidates for a head, and what the widths of a model say about where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .aligning.units import Unit

_NO_LINEAR = re.compile(r"emb|wte|wpe|token|position|relative|(^|\.)pos(_|$)|codebook|prototype|vocab")
_HEAD_WORDS = re.compile(
    r"(^|\.)(\w*classif\w*|\w*heads?|fc\d*|logits?|last_linear|output(_layer)?|cls\w*|pre_logits)(_\w+)?(\.|$)"
)
_SURE_WORDS = re.compile(r"(^|\.)(\w*classif\w*|\w*heads?|logits?|last_linear|cls\w*|pre_logits)(_\w+)?(\.|$)")
_INPUT_WORDS = re.compile(r"emb|patch|stem|token|time|cond|(^|[._])(in|inp|inputs?|pos)\d*([._]|$)")
_IMAGE = 4  # as many channels as an image has at most
_FEW = 16  # as many channels as divide most widths


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer, its place among the modules of the model, and its features in and out."""

    at: int
    unit: Unit
    wide: int
    out: int

    @property
    def parent(self) -> str:
        """The module that holds it; "" for the model itself."""
        return self.unit.path.rpartition(".")[0]

    @property
    def named_head(self) -> bool:
        """Whether its name is one that heads have."""
        return _HEAD_WORDS.search(self.unit.path.lower()) is not None

    @property
    def surely_head(self) -> bool:
        """The same without names that any linear layer may have (``fc1``, ``output``)."""
        return _SURE_WORDS.search(self.unit.path.lower()) is not None

    @property
    def named_input(self) -> bool:
        """Whether its name is one of layers at the entrance of a model."""
        return _INPUT_WORDS.search(self.unit.path.lower()) is not None


def linear_layers(modules: Sequence[Unit]) -> list[Linear]:
    """The linear layers among modules, in their order."""
    return [Linear(i, unit, *_features(unit)) for i, unit in enumerate(modules) if is_linear(unit)]


def head_prefix(prefix: str) -> str | None:
    """The start of a prefix up to a part that is named as a head."""
    match = _HEAD_WORDS.search(prefix)
    return None if match is None else prefix[: match.end()]


def is_linear(unit: Unit) -> bool:
    """A matrix named weight (or kernel), with a bias that fits if any, that is no embedding."""
    weight = unit.leaves.get("weight")
    if weight is None or len(weight.shape) != 2 or not set(unit.leaves) <= {"weight", "bias"}:
        return False
    bias = unit.leaves.get("bias")
    fits = bias is None or bias.shape == (_features(unit)[1],)
    named = weight.names[0].rpartition(".")[2] in ("weight", "kernel")
    return fits and named and not (bias is None and _NO_LINEAR.search(unit.path.lower()))


def _features(unit: Unit) -> tuple[int, int]:
    leaf = unit.leaves["weight"]
    return (leaf.shape[0], leaf.shape[1]) if leaf.kernel else (leaf.shape[1], leaf.shape[0])


def is_flat(unit: Unit) -> bool:
    """A one-dimensional norm, or a scalar: nothing that mixes features."""
    return all(len(leaf.shape) <= 1 for leaf in unit.leaves.values())


def is_norm_of(unit: Unit, width: int) -> bool:
    """A norm (or a PReLU) over features of some width."""
    return is_flat(unit) and all(leaf.shape in ((width,), (1,), ()) for leaf in unit.leaves.values())


def is_convolution(unit: Unit) -> bool:
    """A weight of three or more axes, named as one."""
    weight = unit.leaves.get("weight")
    return weight is not None and len(weight.shape) >= 3 and weight.names[0].endswith("weight")


def _ends(unit: Unit) -> tuple[int, int]:
    """Features in and out of a module that is not flat; the bias tells which is which where convolutions transpose."""
    one, two = unit.shape[0], unit.shape[1]
    bias, weight = unit.leaves.get("bias"), unit.leaves.get("weight")
    turned = bias is not None and bias.shape == (two,) and one != two
    return (one, two) if turned or (weight is not None and weight.kernel) else (two, one)


def fed_by(modules: Iterable[Unit], wide: int) -> bool:
    """Whether one of the modules gives features of this width; convolutions and recurrent layers also a part of it."""
    for unit in modules:
        hidden = "weight_hh" in unit.path
        if not unit.shape or 0 in unit.shape:
            continue
        given = unit.shape[-1] if hidden else (unit.shape[0] if len(unit.shape) < 2 else _ends(unit)[1])
        if given == wide > 1 or (given > 1 and wide % given == 0 and (hidden or is_convolution(unit))):
            return True
    return False


def given_and_taken(modules: Iterable[Unit]) -> tuple[set[int], set[int]]:
    """The widths that modules give, and those that they take (images at the entrance left out)."""
    ends = [(unit, *_ends(unit)) for unit in modules if len(unit.shape) >= 2]
    taken = {wide for unit, wide, _ in ends if wide > _IMAGE or not is_convolution(unit)}
    return {out for _, _, out in ends}, taken


def last_convolution(modules: Sequence[Unit], free: Sequence[bool], ordered: bool) -> int | None:
    """The place of the last convolution outside of blocks that gives an output: nothing takes what it gives.

    One that gives as many channels as an image at the entrance has is an output too. None where there is none.
    """
    places = [i for i, unit in enumerate(modules) if is_convolution(unit) and 0 not in unit.shape]
    ends = {i: _ends(modules[i]) for i in places}
    entrance = {wide for wide, _ in ends.values() if wide <= _IMAGE}
    taken = {ends[i][0] for i in places[1 if ordered else 0 :]} - entrance
    taken |= {modules[i].shape[0] for i in places if modules[i].shape[1] == 1}  # each channel alone
    taken |= {unit.shape[0] for unit in modules if len(unit.shape) == 1}  # norms
    matrices = [(i, wide) for i, unit in enumerate(modules) if len(unit.shape) == 2 for wide in unit.shape]

    def gives_output(at: int, out: int) -> bool:
        parts = [wide for i, wide in matrices if not ordered or i > at or out > _FEW]
        return out in entrance or not (
            out in taken or any(out == wide for _, wide in matrices) or any(out > 1 and w % out == 0 for w in parts)
        )

    return next((i for i in reversed(places) if free[i] and gives_output(i, ends[i][1])), None)
