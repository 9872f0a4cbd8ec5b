"""One call of an operation, described by metadata alone: what it hands out, touches and costs.

Identical calls (op, shapes, strides, dtypes, scalars) repeat all the time in a model, so their
descriptions are kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import NeedsData
from .formulas import Cost, Formula
from .metadata import SHORTCUTS
from .opinfo import OpInfo

_CACHE: dict[tuple[Any, ...], Entry] = {}
_CACHE_LIMIT = 30_000  # about 5 kB each


class Spec(NamedTuple):
    """Metadata of one output, enough to make it again."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def make(self) -> Tensor:
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")


class Entry(NamedTuple):
    """What one call of an op with given metadata does and costs."""

    info: OpInfo
    aliases: bool  # hands out a view of its input (or the input itself)
    silent: bool
    outputs: Any  # Spec, or a list or tuple of Spec and constants
    kind: str
    dtype: str
    cost: Cost | None
    input_shapes: tuple[tuple[int, ...], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    input_bytes: tuple[int, ...]  # for each tensor argument
    output_bytes: tuple[int, ...]  # for each output that counts as written
    layout: str


def footprint(t: Tensor) -> int:
    """Bytes that a tensor really spans: expanded (stride 0) dimensions count once.

    >>> footprint(torch.zeros(4, 1).expand(4, 100)), footprint(torch.zeros(4, 100))
    (16, 1600)
    """
    n = 1
    for size, stride in zip(t.shape, t.stride(), strict=True):
        if stride or not size:
            n *= size
    return int(n * t.itemsize)


def describe(values: Any, tensors: list[Tensor], key: list[Any]) -> None:
    """Collect the tensors of a call and a key of everything that decides its result."""
    for a in values:
        if isinstance(a, Tensor):
            tensors.append(a)
            key.append(a.shape)
            key.append(a.stride() if a.layout is torch.strided else a.layout)
            key.append(a.dtype)
        elif isinstance(a, list | tuple):
            key.append(len(a))
            describe(a, tensors, key)
        else:
            key.append(a.__class__)  # 1, 1.0 and True are equal as keys
            key.append(a)


def cached_entry(func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor], key: tuple[Any, ...]) -> Entry:
    """The entry of a call whose key came before, or a new one."""
    try:
        entry = _CACHE.get(key)
    except TypeError:  # a generator or script object among the arguments
        return _infer(func, info, args, kwargs, tensors)
    if entry is None:
        if len(_CACHE) > _CACHE_LIMIT:
            _CACHE.clear()
        entry = _CACHE[key] = _infer(func, info, args, kwargs, tensors)
    return entry


def _infer(func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor]) -> Entry:
    """Ask the meta kernel for the outputs' metadata."""
    stand_ins: dict[int, Tensor] = {}
    meta_args, meta_kwargs = on_meta(args, stand_ins), on_meta(kwargs, stand_ins)
    try:
        result = SHORTCUTS.get(info.name, func)(*meta_args, **meta_kwargs)
    except NotImplementedError as error:
        raise NeedsData(f"forward needs real values ({info.name})") from error
    return entry_of(func, info, meta_args, meta_kwargs, [stand_ins[id(t)] for t in tensors], result)


def on_meta(value: Any, stand_ins: dict[int, Tensor] | None = None) -> Any:
    """The same arguments with meta tensors of the same metadata; devices become meta, too."""
    if isinstance(value, Tensor):
        if stand_ins is None:
            return value if value.is_meta else _stand_in(value)
        if id(value) not in stand_ins:
            stand_ins[id(value)] = _stand_in(value)
        return stand_ins[id(value)]
    if isinstance(value, torch.device):
        return torch.device("meta")
    if isinstance(value, list):
        return [on_meta(v, stand_ins) for v in value]
    if isinstance(value, tuple):
        return tuple(on_meta(v, stand_ins) for v in value)
    if isinstance(value, dict):
        return {k: on_meta(v, stand_ins) for k, v in value.items()}
    return value


def _stand_in(t: Tensor) -> Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")


def entry_of(func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor], result: Any) -> Entry:
    """Count one call whose outputs are known."""
    outs = tensors_in(result)
    aliases = not info.mutates and _shares(outs, tensors)
    written = outs
    if info.mutates:
        written = tensors_in(written_by(info, args, kwargs))
    output_shapes = tuple(tuple(t.shape) for t in written)
    silent = info.silent or not (outs or info.mutates)
    cost = None if silent or aliases else _cost(info, args, kwargs, output_shapes)
    formula = info.formula
    counted = written if formula is None or formula.outputs is None else written[: formula.outputs]
    input_bytes = [footprint(t) for t in tensors]
    output_bytes = [footprint(t) for t in counted]
    if formula is not None:
        for i in formula.gathered:
            input_bytes[i] = min(input_bytes[i], sum(output_bytes))
        if (part := _touched(formula, info, tensors)) is not None:
            input_bytes[0] = min(input_bytes[0], part) if formula.rows or formula.kind == "reduction" else 0
            if info.mutates:
                output_bytes[0] = min(output_bytes[0], part)
    dtype = (written[0] if written else tensors[0]).dtype if written or tensors else torch.float32
    return Entry(
        info=info,
        aliases=aliases,
        silent=silent,
        outputs=_specs(result),
        kind=formula.kind if formula and cost else "uncounted",
        dtype=str(dtype).removeprefix("torch."),
        cost=cost,
        input_shapes=tuple(tuple(t.shape) for t in tensors),
        output_shapes=output_shapes,
        input_bytes=tuple(input_bytes),
        output_bytes=tuple(output_bytes),
        layout=_layout(tensors),
    )


def _layout(tensors: list[Tensor]) -> str:
    """How the largest argument lies in memory."""
    strided = [t for t in tensors if t.layout is torch.strided]
    if not strided:
        return "plain"
    t = max(strided, key=Tensor.numel)
    if t.is_contiguous():
        return "plain"
    last = t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)
    return "channels_last" if last else "permuted"


def _touched(formula: Formula, info: OpInfo, tensors: list[Tensor]) -> int | None:
    """Bytes of the first argument that a lookup or scatter touches, None where all of it."""
    if not tensors:
        return None
    table = tensors[0]
    if formula.rows is not None:
        return tensors[formula.rows].numel() * (table.numel() // max(table.shape[0], 1)) * table.itemsize
    if formula.scatters and info.mutates and tensors[-1].dim():
        return tensors[-1].numel() * table.itemsize
    return None


def _cost(info: OpInfo, args: Any, kwargs: Any, out: tuple[tuple[int, ...], ...]) -> Cost | None:
    if info.formula is None:
        return None
    return info.formula.cost(tuple(_shapes(a) for a in args), {k: _shapes(v) for k, v in kwargs.items()}, out)


def _shapes(value: Any) -> Any:
    """Shapes in place of tensors; packed quantised weights are unpacked for theirs."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return [_shapes(v) for v in value]
    if isinstance(value, torch.ScriptObject) and hasattr(value, "unpack"):
        return tuple(unpacked(value)[0].shape)
    return value


def unpacked(weights: Any) -> Any:
    """Weight and bias of packed (quantised) weights."""
    return weights.unpack()


def _shares(outs: list[Tensor], tensors: list[Tensor]) -> bool:
    """Whether every output lives in the storage of an argument."""
    if not outs or not tensors or any(t.layout is not torch.strided for t in (*outs, *tensors)):
        return False
    given = {t.untyped_storage()._cdata for t in tensors}
    return all(o.untyped_storage()._cdata in given for o in outs)


def tensors_in(result: Any) -> list[Tensor]:
    """Every tensor of nested lists and tuples."""
    if isinstance(result, Tensor):
        return [result]
    return [t for r in result for t in tensors_in(r)] if isinstance(result, list | tuple) else []


def _specs(result: Any) -> Any:
    if isinstance(result, Tensor):
        strided = result.layout is torch.strided
        return Spec(tuple(result.shape), tuple(result.stride()), result.dtype) if strided else None
    if isinstance(result, list):
        return [_specs(r) for r in result]
    return tuple(_specs(r) for r in result) if isinstance(result, tuple) else result


def written_by(info: OpInfo, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """The arguments that an op writes."""
    return tuple(args[i] if i < len(args) else kwargs.get(name) for i, name in info.mutates)
