"""From the plain data in a file to a Dump: its own keys, and those of other people's checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import DamagedDump, RefusedDump
from .dump import Dump, OptimizerState, Tensors
from .pickled_names import TensorSpec, Unread
from .tensor import TensorRef

#: The schemas that this version reads.
SCHEMAS = (1, 2)
#: What is known of a tensor in a few numbers.
STATS = ("norm", "mean", "min", "max", "elements", "zeros", "nan", "inf", "histogram", "hash")
#: Where people keep a model's state, and an optimizer's, in the order of trust.
_MODEL = ("model_state_dict", "state_dict", "model_state", "model", "net", "network", "module", "params")
_OPTIMIZER = ("optimizer_state_dict", "optimizer_states", "optimizer_state", "optimizer", "optim_state_dict", "optim")
_STEP = ("step", "global_step", "iteration")
_LOSS = ("loss", "train_loss")
_ACC = ("acc", "accuracy", "train_acc")
_LONGEST = 500  # characters of a name's beginning: dicts in dicts without end


class Reader(NamedTuple):
    """A file in hand: to find tensors in it and to read the numbers among them."""

    path: Path
    file: BinaryIO
    locate: Callable[[TensorSpec], TensorRef]


def build(value: Any, reader: Reader) -> Dump:
    """The dump that a file's plain data describes; raises a DumpError."""
    from .optimizer_state import is_optimizer, read_optimizers

    path = reader.path
    if not isinstance(value, Mapping):
        raise DamagedDump(f"{path} holds a {_kind(value)}, not a dict: save the model's state_dict()")
    schema = check_schema(path, value.get("schema"))
    weights, notes = _weights(value, reader)
    grads = _section(value.get("grads"), reader, notes)
    found = _optimizers(value, is_optimizer)
    state = read_optimizers(found, value.get("optimizer_param_names"), weights, reader) if found else OptimizerState()
    optimizer = value.get("optimizer")
    return checked(
        Dump(
            path, schema,
            epoch=whole(value.get("epoch")), batch=whole(value.get("batch")), step=_first_whole(value, _STEP),
            loss=_first_number(value, _LOSS, reader), acc=_first_number(value, _ACC, reader),
            fingerprint=mapping(value.get("batch_fingerprint")),
            optimizer=optimizer if isinstance(optimizer, str) else None,
            weights=weights, grads=grads, optimizer_state=state.tensors, scalars=state.scalars,
            settings=state.settings, stats=_stats(value.get("stats"), reader),
            notes=(*notes, *state.notes, *_senseless(value, reader)),
        )
    )  # fmt: skip


def checked(dump: Dump) -> Dump:
    """The dump, if there is anything in it to compare; raises DamagedDump."""
    if not (dump.weights or dump.grads or dump.optimizer_state or dump.stats):
        if dump.notes:
            raise DamagedDump(f"{dump.path} holds nothing that can be compared; {'; '.join(dump.notes)}")
        raise DamagedDump(
            f"{dump.path} holds no tensors: a dump is a state dict, or a dict with model_state_dict "
            f"(or {', '.join(_MODEL[1:4])})"
        )
    return dump


def check_schema(path: Path, schema: Any) -> int | None:
    """The schema, None where there is none; raises RefusedDump for a newer one, DamagedDump for a senseless one."""
    if schema is None:
        return None
    if type(schema) is int and schema in SCHEMAS:
        return schema
    if type(schema) is int and schema > SCHEMAS[-1]:
        raise RefusedDump(
            f"{path} was written by a newer modelcmp (schema {schema}; this one reads up to {SCHEMAS[-1]})"
        )
    raise DamagedDump(f"{path} has the schema {schema!r:.40}: this modelcmp reads {' and '.join(map(str, SCHEMAS))}")


def _weights(value: Mapping[Any, Any], reader: Reader) -> tuple[Tensors, list[str]]:
    """The model's state: under a known key, or the whole, or under the only key that holds tensors."""
    notes: list[str] = []
    for key in _MODEL:
        if key in value and (found := _section(value[key], reader, notes)):
            return found, notes
    taken = (*_LOSS, *_ACC, "grads", "stats", "batch_fingerprint", "state", "param_groups", *_OPTIMIZER)
    rest = {k: v for k, v in value.items() if k not in taken}
    sections = {k: s for k, v in rest.items() if isinstance(v, Mapping) and (s := _section(v, reader, []))}
    top = _section({k: v for k, v in rest.items() if not isinstance(v, Mapping)}, reader, notes)
    if len(top) >= sum(map(len, sections.values())):
        return dict(top) | {f"{k}.{name}": ref for k, s in sections.items() for name, ref in s.items()}, notes
    if len(sections) > 1:
        raise DamagedDump(
            f"{reader.path}: which of {', '.join(map(repr, list(sections)[:5]))} is the model? Save it alone"
        )
    key, found = next(iter(sections.items()))
    return found, [f"the model's state is taken from the key {key!r}"]


def _section(value: Any, reader: Reader, notes: list[str]) -> Tensors:
    """The tensors of a state dict, by dotted name; what else is in it is noted."""
    found, left = {}, []
    for name, inner in _leaves(value, set()):
        if isinstance(inner, TensorSpec):
            found[name] = reader.locate(inner)
        elif inner is not None:
            left.append(f"{name} ({_kind(inner)})")
    if left and (found or any(isinstance(inner, Unread) for inner in _values(value))):
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        notes.append(f"not compared, as they are no plain tensors: {', '.join(left[:5])}{more}")
    return found


def _values(value: Any) -> Iterator[Any]:
    return (inner for _, inner in _leaves(value, set()))


def _leaves(value: Any, seen: set[int], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values. A dict is entered once: a small file can name one any number of times."""
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, Mapping) and len(prefix) < _LONGEST:
            if id(inner) not in seen:
                seen.add(id(inner))
                yield from _leaves(inner, seen, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def _optimizers(value: Mapping[Any, Any], is_optimizer: Callable[[Any], bool]) -> list[Any]:
    if is_optimizer(value):
        return [value]
    for key in _OPTIMIZER:
        entry = value.get(key)
        states = [s for s in (entry if isinstance(entry, (list, tuple)) else [entry]) if is_optimizer(s)]
        if states:
            return states
    return []


def as_number(value: Any, reader: Reader) -> float | None:
    """A number, or a tensor of one; None for anything else."""
    if isinstance(value, TensorSpec):
        value = reader.locate(value)
    if isinstance(value, TensorRef):
        if value.elements != 1 or value.dtype.is_complex:
            return None
        value = value.load(reader.file).item()
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number beyond all floats is no loss
        return None


def _first_number(value: Mapping[Any, Any], keys: tuple[str, ...], reader: Reader) -> float | None:
    numbers = (as_number(value.get(key), reader) for key in keys)
    return next((n for n in numbers if n is not None), None)


def _first_whole(value: Mapping[Any, Any], keys: tuple[str, ...]) -> int | None:
    return next((n for key in keys if (n := whole(value.get(key))) is not None), None)


def whole(value: Any) -> int | None:
    """A number without a fraction, else None."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def mapping(value: Any) -> Mapping[str, Any] | None:
    """A dict, else None."""
    return value if isinstance(value, Mapping) else None


def _senseless(value: Mapping[Any, Any], reader: Reader) -> Iterator[str]:
    """Keys that hold something else than they should, so that nothing is known of them."""
    numbers = {key: as_number(value.get(key), reader) for key in ("loss", "acc")}
    wholes = {key: whole(value.get(key)) for key in ("epoch", "batch", "step")}
    for key, found in (numbers | wholes).items():
        inner = value.get(key)
        if inner is not None and found is None and not isinstance(inner, TensorSpec | Mapping):
            yield f"{key} is no number ({_kind(inner)})"
        elif inner is not None and found is None:
            yield f"{key} is no number"


def _stats(value: Any, reader: Reader) -> dict[str, dict[str, dict[str, Any]]]:
    """Statistics by section and tensor, histograms as TensorRef."""
    return {
        section: {
            name: {key: reader.locate(v) if isinstance(v, TensorSpec) else v for key, v in stat.items() if key in STATS}
            for name, stat in tensors.items()
            if isinstance(stat, Mapping)
        }
        for section in ("weights", "grads", "optimizer")
        if isinstance(value, Mapping) and isinstance(tensors := value.get(section), Mapping)
    }


def _kind(value: Any) -> str:
    if isinstance(value, Unread):
        return value.what
    return "tensor" if isinstance(value, TensorSpec) else type(value).__name__
