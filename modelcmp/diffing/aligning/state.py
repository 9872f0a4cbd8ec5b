"""What an alignment has found so far, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..records import Alignment, Match
from .fused import fused_alike
from .pairing import go_together, tensor_matches
from .transforms import Shape
from .units import Unit, units

#: Share of the smaller model that must be matched before order and shape count as evidence.
_ENOUGH = 0.5
#: From here on a match rests on names.
BY_NAME = 0.9


@dataclass
class State:
    """Two state dicts, what is matched of them and what is left."""

    a: Mapping[str, Shape]
    b: Mapping[str, Shape]
    matches: list[Match] = field(default_factory=list)
    left_a: dict[str, Shape] = field(default_factory=dict)
    left_b: dict[str, Shape] = field(default_factory=dict)
    open: dict[str, dict[str, None]] = field(default_factory=dict)  # name of A -> names of B that it may be

    @classmethod
    def of(cls, a: Mapping[str, Shape], b: Mapping[str, Shape]) -> State:
        """Nothing matched yet."""
        return cls(a, b, left_a=dict(a), left_b=dict(b))

    def take(self, found: Iterable[Match]) -> None:
        """Add matches and take their names out of what is left."""
        for match in found:
            self.matches.append(match)
            self.left_a.pop(match.name, None)
            self.left_b.pop(match.name_b, None)

    def doubt(self) -> None:
        """Where too little fits for order and shape to mean anything, their matches become mere possibilities."""
        if len({m.name for m in self.matches}) >= _ENOUGH * min(len(self.a), len(self.b)):
            return
        for match in [m for m in self.matches if m.confidence < BY_NAME]:
            self.matches.remove(match)
            self.left_a[match.name] = self.a[match.name]
            self.left_b[match.name_b] = self.b[match.name_b]
            self.open.setdefault(match.name, {})[match.name_b] = None

    def result(self) -> Alignment:
        """The alignment, in the order of A's names."""
        place = {name: i for i, name in enumerate(self.a)}
        place_b = {name: i for i, name in enumerate(self.b)}
        options = {n: tuple(c for c in self.open[n] if c in self.left_b) for n in self.open if n in self.left_a}
        kept = {name: found for name, found in options.items() if found}
        maybe = {other for found in kept.values() for other in found}
        return Alignment(
            matches=tuple(sorted(self.matches, key=lambda m: (place[m.name], place_b[m.name_b]))),
            only_a=tuple(n for n in self.a if n in self.left_a and n not in kept),
            only_b=tuple(n for n in self.b if n in self.left_b and n not in maybe),
            ambiguous=tuple(sorted(kept.items(), key=lambda item: place[item[0]])),
        )


@dataclass
class Modules:
    """The modules of both sides, and what is still left of them."""

    state: State
    a: list[Unit]
    b: list[Unit]

    @classmethod
    def of(cls, state: State) -> Modules:
        """All modules; parts of projections are fused where the other side has them fused."""
        return cls(state, *fused_alike(units(state.a), units(state.b)))

    def left(self) -> tuple[list[Unit], list[Unit]]:
        """The modules with something left, and only that of them."""
        return _remaining(self.a, self.state.left_a), _remaining(self.b, self.state.left_b)

    def take(self, pairs: Iterable[tuple[Unit, Unit]], confidence: float, how: str) -> None:
        """Match the tensors of modules that belong together."""
        for a, b in pairs:
            self.state.take(tensor_matches(a, b, confidence, how))

    def maybe(self, a: Unit, others: Iterable[Unit]) -> None:
        """Note that a module of A may be one of several of B, none better than another."""
        for other in others:
            if go_together(a, other):
                for match in tensor_matches(a, other, 0, ""):
                    self.state.open.setdefault(match.name, {})[match.name_b] = None


def _remaining(side: Sequence[Unit], left: Mapping[str, Shape]) -> list[Unit]:
    """The modules, with only those tensors of which every part is left."""
    found = []
    for unit in side:
        leaves = {leaf: value for leaf, value in unit.leaves.items() if all(name in left for name in value.names)}
        if leaves:
            found.append(unit if len(leaves) == len(unit.leaves) else replace(unit, leaves=leaves))
    return found
