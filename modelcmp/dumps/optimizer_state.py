"""An optimizer's state dict, by parameter name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .dump import OptimizerState, Tensors
from .optimizer_names import Naming, Shape, name_parameters, read_groups
from .pickled_names import TensorSpec, Unread
from .tensor import TensorRef
from .tree import Reader, as_number

#: Of which the shape is the parameter's, whatever else the optimizer keeps.
_FULL = ("exp_avg", "momentum_buffer", "square_avg", "exp_avg_sq", "sum", "acc_delta")


def is_optimizer(value: Any) -> bool:
    """Whether it is what ``optimizer.state_dict()`` gives."""
    return isinstance(value, Mapping) and isinstance(value.get("param_groups"), (list, tuple)) and "state" in value


def read_optimizers(
    found: Sequence[Mapping[str, Any]], written: Any, weights: Tensors, reader: Reader
) -> OptimizerState:
    """One state from all optimizers of a file; what two of them keep for one parameter is taken from the first."""
    states = [_read(one, written if len(found) == 1 else None, weights, reader) for one in found]
    notes = [note for state in states for note in state.notes]
    if len(states) > 1:
        notes.append(f"{len(states)} optimizers: where two of them have the same parameter, the first counts")
    backwards = states[::-1]
    return OptimizerState(
        {k: v for s in backwards for k, v in s.tensors.items()},
        {k: v for s in backwards for k, v in s.scalars.items()},
        {k: v for s in backwards for k, v in s.settings.items()},
        tuple(dict.fromkeys(notes)),
    )


def _read(optimizer: Mapping[str, Any], written: Any, weights: Tensors, reader: Reader) -> OptimizerState:
    groups = read_groups(optimizer, written)
    kept = {index: dict(_entries(entry, reader)) for index, entry in _states(optimizer)}
    shapes = {index: shape for index, entry in kept.items() if (shape := _shape(entry)) is not None}
    naming = name_parameters(groups, shapes, _parameters(weights))
    named = {f"{_name(naming, index)}/{key}": value for index, entry in kept.items() for key, value in entry.items()}
    tensors, scalars = sort_out(named, weights, reader)
    settings: dict[str, Mapping[str, Any]] = {}
    for indices, group in zip(groups.indices, _groups(optimizer), strict=True):
        shared = {k: _setting(v, reader) for k, v in group.items() if k not in ("params", "param_names", "names")}
        settings |= {_name(naming, index): shared for index in indices}
    return OptimizerState(tensors, scalars, settings, naming.notes)


def _groups(optimizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [g for g in optimizer["param_groups"] if isinstance(g, Mapping)]


def _states(optimizer: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The entry of each parameter; one that is there twice, which torch never writes, is taken once."""
    state, seen = optimizer["state"], set()
    for index, entry in state.items() if isinstance(state, Mapping) else ():
        if isinstance(entry, Mapping) and id(entry) not in seen:
            seen.add(id(entry))
            yield index, entry


def _entries(entry: Mapping[str, Any], reader: Reader) -> Iterator[tuple[str, Any]]:
    """State key -> value; those of a list ("old_dirs" of L-BFGS) as "old_dirs/0" and on."""
    for key, value in entry.items():
        values = {f"{key}/{i}": v for i, v in enumerate(value)} if type(value) in (list, tuple) else {str(key): value}
        for name, one in values.items():
            if isinstance(one, TensorSpec):
                yield name, reader.locate(one)
            elif not isinstance(one, (Mapping, Unread)):
                yield name, one


def _name(naming: Naming, index: Any) -> str:
    return naming.names.get(index) or (index if isinstance(index, str) else f"#{index}")


def _shape(entry: Mapping[str, Any]) -> Shape | None:
    """The parameter's shape, told from what is kept for it."""
    tensors = {k: v.shape for k, v in entry.items() if isinstance(v, TensorRef) and v.shape != ()}
    for key in _FULL:
        if key in tensors:
            return tensors[key]
    shapes = set(tensors.values())
    return shapes.pop() if len(shapes) == 1 else None


def _parameters(weights: Tensors) -> dict[str, Shape]:
    """Floating-point tensors that are not another name of an earlier one (tied weights)."""
    seen, found = set(), {}
    for name, ref in weights.items():
        place = (ref.path, ref.offset, ref.shape, ref.stride)
        if (ref.dtype.is_floating_point or ref.dtype.is_complex) and (place not in seen or not ref.nbytes):
            seen.add(place)
            found[name] = ref.shape
    return found


def sort_out(
    named: Mapping[str, Any], weights: Tensors, reader: Reader
) -> tuple[dict[str, TensorRef], dict[str, float]]:
    """The tensors and the numbers among the values of an optimizer's state; numbers in the file are read."""
    tensors = {k: v for k, v in named.items() if isinstance(v, TensorRef) and _is_tensor(k, v, weights)}
    numbers = {k: as_number(v, reader) for k, v in named.items() if k not in tensors}
    return tensors, {k: n for k, n in numbers.items() if n is not None}


def _is_tensor(name: str, ref: TensorRef, weights: Tensors) -> bool:
    """Counters such as "step" are numbers; the moments of a parameter that is itself a number are tensors."""
    owner, _, key = name.partition("/")
    return ref.shape != () or (key != "step" and owner in weights and weights[owner].shape == ())


def _setting(value: Any, reader: Reader) -> Any:
    number = as_number(value, reader) if isinstance(value, TensorSpec) else None
    return value if number is None else number
