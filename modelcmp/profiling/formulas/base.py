"""The registry of formulas and what a formula returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import torch

Shape = tuple[int, ...]


class Cost(NamedTuple):
    """What one call costs.

    ``macs`` are multiply-accumulates of contractions, ``other`` the remaining FLOPs, ``fvcore``
    what fvcore's handlers add to the MACs, ``width`` the widest channel dimension touched.
    """

    macs: int = 0
    other: int = 0
    fvcore: int = 0
    masked_macs: int | None = None
    activations: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class Formula:
    """How an op is counted, and which of its tensors a kernel really touches."""

    kind: str
    function: Callable[..., int | Cost]
    gathered: tuple[int, ...] = ()  # tensor arguments of which only the rows that come out are read
    outputs: int | None = None  # how many outputs are counted as written (None: all)
    writes_only: bool = False  # an in-place op that does not read what it overwrites
    rows: int | None = None  # tensor argument that numbers the rows touched of the first
    scatters: bool = False  # in place, only as much of the first argument is touched as the last one holds

    def cost(self, args: tuple[Any, ...], kwargs: dict[str, Any], out: tuple[Shape, ...]) -> Cost:
        """Cost of one call given shapes in place of tensors."""
        result = self.function(*args, **{**kwargs, "out": out})
        if isinstance(result, Cost):
            return result
        return Cost(macs=result, activations=prod(out[0]))


FORMULAS: dict[Any, Formula] = {}


def formula(
    *ops: str,
    kind: str = "contraction",
    gathered: tuple[int, ...] = (),
    outputs: int | None = None,
    writes_only: bool = False,
    rows: int | None = None,
    scatters: bool = False,
) -> Callable[[Callable[..., int | Cost]], Callable[..., int | Cost]]:
    """Register a function as the formula of ops such as ``"aten.bmm"``; a second one raises ValueError."""

    def register(function: Callable[..., int | Cost]) -> Callable[..., int | Cost]:
        for op in ops:
            if op in FORMULAS:
                raise ValueError(f"formula for {op!r} is registered twice")
            FORMULAS[op] = Formula(kind, function, gathered, outputs, writes_only, rows, scatters)
        return function

    return register


def _pointwise(*_: Any, out: tuple[Shape, ...], **__: Any) -> Cost:
    """One FLOP an output element, whatever the function: add, relu, exp, gelu."""
    return Cost(other=prod(out[0]) if out else 0)


POINTWISE = Formula("pointwise", _pointwise)


def lookup(func: Any) -> Formula | None:
    """The formula of an op overload, None where none is known.

    Ops that torch tags as pointwise share one formula.
    """
    namespace, name = func.namespace, func._opname
    found = FORMULAS.get(f"{namespace}.{name}")
    if found is None and name.endswith("_") and not name.endswith("__"):
        found = FORMULAS.get(f"{namespace}.{name[:-1]}")
    if found is None and torch.Tag.pointwise in func.tags:
        return POINTWISE
    return found
