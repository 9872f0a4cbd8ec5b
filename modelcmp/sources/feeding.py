"""Tensors inside the containers that models take and return."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from .subject import Inputs

if TYPE_CHECKING:
    from torch import Tensor, dtype


def tensors_of(value: Any, _seen: set[int] | None = None) -> list[Tensor]:
    """Every tensor in nested lists, tuples, dicts, dataclasses and plain objects, each container once."""
    from torch import Tensor, nn

    if isinstance(value, Tensor):
        return [value]
    seen = set() if _seen is None else _seen
    if id(value) in seen or isinstance(value, nn.Module | type):
        return []
    seen.add(id(value))
    return [t for v in _parts(value) for t in tensors_of(v, seen)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple | set):
        return list(value)
    if dataclasses.is_dataclass(value):
        return [getattr(value, f.name, None) for f in dataclasses.fields(value)]
    return list(getattr(value, "__dict__", {}).values())


def fitted(inputs: Inputs, device: str, floating: dtype | None = None) -> Inputs:
    """The same inputs on ``device`` ("meta": without data), floating-point ones in another dtype if asked.

    A tensor given twice stays one tensor, as self-attention needs.
    """
    moved: dict[int, Tensor] = {}

    def move(value: Any) -> Any:
        from torch import Tensor

        if isinstance(value, Tensor):
            if id(value) not in moved:
                moved[id(value)] = _moved(value, device, floating)
            return moved[id(value)]
        return _rebuilt(value, move)

    return Inputs(tuple(move(a) for a in inputs.args), {k: move(v) for k, v in inputs.kwargs.items()})


def _moved(t: Tensor, device: str, floating: dtype | None) -> Tensor:
    import torch

    wanted = floating if floating is not None and t.is_floating_point() else t.dtype
    if device != "meta":
        return t.to(wanted)
    if t.layout is not torch.strided:
        return t.to("meta", wanted)
    return (
        t if t.is_meta and t.dtype is wanted else torch.empty_strided(t.shape, t.stride(), dtype=wanted, device="meta")
    )


def _rebuilt(value: Any, move: Any) -> Any:
    """A container of the same type with its parts moved; what is no container stays as it is."""
    from torch.nn.utils.rnn import PackedSequence

    if isinstance(value, PackedSequence):  # its batch sizes are numbers, not data
        return PackedSequence(
            move(value.data), value.batch_sizes, move(value.sorted_indices), move(value.unsorted_indices)
        )
    if isinstance(value, dict):
        made = copy.copy(value)
        made.update({k: move(v) for k, v in value.items()})
        return made
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(move(v) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(move(v) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for f in dataclasses.fields(value):
            object.__setattr__(twin, f.name, move(getattr(value, f.name)))
        return twin
    return value
