"""Runs a module on tensors without data and records every operation that it executes.

A wrapper around ``nn.Module.__call__`` gives the place (module path and call number), a
``TorchDispatchMode`` the operations, so that functional calls, attention and custom modules are
seen. Under inference mode composite operations (linear, conv2d, attention) arrive whole.

Identical calls (op, shapes, strides, dtypes, scalars) repeat all the time in a model, so the
metadata of their outputs and their cost are kept: a repeated call runs no kernel, not even a meta
one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import NeedsData
from ..records import Access, OpRecord
from .formulas import Cost, Formula
from .metadata import SHORTCUTS
from .opinfo import OpInfo, opinfo

_CACHE: dict[tuple[Any, ...], Entry] = {}
_CACHE_LIMIT = 200_000


Modules = list[tuple[str, nn.Module]]


def walk(model: nn.Module) -> Modules:
    """Every module once with its first path, root first: ``named_modules`` in one cheap pass.

    >>> [name for name, _ in walk(nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())))]
    ['', '0', '1', '1.0']
    """
    found: Modules = []
    seen: set[nn.Module] = set()
    waiting: Modules = [("", model)]
    while waiting:
        name, module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        found.append((name, module))
        prefix = f"{name}." if name else ""
        waiting.extend((prefix + n, m) for n, m in reversed(module._modules.items()) if m is not None)
    return found


class Place(NamedTuple):
    """Where an operation runs."""

    module: str
    module_type: str
    call: int


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


class Tracer(TorchDispatchMode):
    """Records the operations of one forward pass.

    With ``real`` every op runs on the tensors that it is given; else outputs are meta tensors and
    only small computations that involve neither inputs nor weights (index tables, say) run.
    """

    supports_higher_order_operators = True

    def __init__(self, modules: Modules, real: bool = False) -> None:
        super().__init__()
        self.real = real
        self.names = {id(m): (name, type(m).__name__) for name, m in modules}
        self.calls: Counter[str] = Counter()
        self.place = Place("", type(modules[0][1]).__name__, 0)
        self.failed: tuple[Place, tuple[Any, ...]] | None = None
        self.ops: list[tuple[Place, Entry, tuple[Access, ...], tuple[Access, ...], tuple[tuple[int, int], ...]]] = []
        self.buffers: dict[int, int] = {}  # storage address -> buffer
        self.sizes: list[int] = []  # bytes of each buffer
        self.versions: list[int] = []
        self.weights: set[int] = set()  # buffers that belong to the model
        self.kept: list[Tensor] = []  # meta tensors stay alive, so that no address is used twice
        for _, module in modules:
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None and not is_lazy(tensor):
                    self.weights.add(self.buffer_of(tensor))

    # -- buffers ------------------------------------------------------------------------------

    def buffer_of(self, t: Tensor) -> int:
        """The buffer of a tensor's storage; one not seen before is a constant from outside."""
        address = t.untyped_storage()._cdata if t.layout is torch.strided else id(t)
        buffer = self.buffers.get(address)
        return self._new(address, t) if buffer is None else buffer

    def _new(self, address: int, t: Tensor) -> int:
        buffer = len(self.sizes)
        self.buffers[address] = buffer
        self.sizes.append(t.untyped_storage().nbytes() if t.layout is torch.strided else t.numel() * t.itemsize)
        self.versions.append(0)
        if not self.real:
            self.kept.append(t)
        return buffer

    def _born(self, t: Tensor) -> int:
        """A buffer for a result; an address that was used before belonged to a tensor now freed."""
        return self._new(t.untyped_storage()._cdata if t.layout is torch.strided else id(t), t)

    def _packed(self, weights: torch.ScriptObject) -> int:
        """The buffer of packed (quantised) weights."""
        if id(weights) not in self.buffers:
            buffer = self.buffers[id(weights)] = len(self.sizes)
            self.sizes.append(sum(t.numel() * t.itemsize for t in _tensors(_unpacked(weights))))
            self.versions.append(0)
            self.weights.add(buffer)
        return self.buffers[id(weights)]

    def access(self, t: Tensor) -> Access:
        """The present content of a tensor."""
        buffer = self.buffer_of(t)
        return Access(buffer, self.versions[buffer], footprint(t))

    # -- places -------------------------------------------------------------------------------

    def enter(self, module: nn.Module) -> Place:
        """Step into a module; the caller gives the returned place back to :attr:`place` afterwards."""
        outer = self.place
        known = self.names.get(id(module))
        if known is None:  # made during forward: it belongs to whoever made it
            name, kind = outer.module, outer.module_type
        else:
            name, kind = known
        self.place = Place(name, kind, self.calls[name])
        self.calls[name] += 1
        return outer

    # -- operations ---------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        info = opinfo(func)
        if info.view:
            return func(*args, **kwargs) if kwargs else func(*args)
        kwargs = kwargs or {}
        if info.parts is not None:
            with self:
                return info.parts(*args, **kwargs)
        tensors: list[Tensor] = []
        key = [func]
        _describe(args, tensors, key)
        if kwargs:
            _describe(tuple(kwargs.values()), tensors, key)
            key.append(tuple(kwargs))  # type: ignore[arg-type]
        if self.real or not self._abstract(tensors, kwargs):
            return self._run(func, info, args, kwargs, tensors)
        if info.needs_data:
            raise NeedsData(f"forward needs real values ({info.name})")
        entry = _cached(func, info, args, kwargs, tensors, tuple(key))
        if entry.aliases:
            return func(*_on_meta(args), **_on_meta(kwargs)) if self._moves(args, kwargs) else func(*args, **kwargs)
        result, outs = self._results(entry, args, kwargs)
        if not entry.silent:
            self._record(entry, args, tensors, outs)
        return result

    def _abstract(self, tensors: list[Tensor], kwargs: dict[str, Any]) -> bool:
        """Whether a call involves inputs, weights or anything computed from them."""
        if not tensors:
            device = kwargs.get("device")
            return device is not None and torch.device(device).type == "meta"
        return any(t.is_meta or self.buffers.get(t.untyped_storage()._cdata) in self.weights for t in tensors)

    @staticmethod
    def _moves(args: Any, kwargs: Any) -> bool:
        return any(isinstance(a, torch.device) for a in (*args, *kwargs.values()))

    def _results(self, entry: Entry, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
        """Fresh outputs from their metadata; in-place ops hand back what they were given."""
        if entry.info.mutates:
            written = _written(entry.info, args, kwargs)
            flat = _tensors(written)
            if not entry.info.returns_mutated:
                return None, flat
            return (written[0] if len(written) == 1 else written), flat
        made = entry.outputs
        if type(made) is Spec:
            out = made.make()
            return out, [out]
        if isinstance(made, list | tuple):
            outs = [o.make() if type(o) is Spec else o for o in made]
            return (outs if isinstance(made, list) else tuple(outs)), [o for o in outs if isinstance(o, Tensor)]
        return made, []

    def _run(self, func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        """Run an op for real, and count it."""
        result = func(*args, **kwargs)
        entry = _entry(func, info, args, kwargs, tensors, result)
        if not entry.silent and not entry.aliases:
            outs = _tensors(result)
            if info.mutates:
                _, outs = self._results(entry, args, kwargs)
            self._record(entry, args, tensors, outs)
        elif not entry.aliases and not info.mutates:
            for t in _tensors(result):
                self._born(t)
        return result

    def _record(self, entry: Entry, args: Any, tensors: list[Tensor], outs: list[Tensor]) -> None:
        """Note what the op reads and writes."""
        info = entry.info
        free = {id(t) for t in outs} if info.blind else set()  # arguments that cost no (further) read
        touched: dict[int, int] = {}
        for t, nbytes in zip(tensors, entry.input_bytes, strict=True):
            buffer = self.buffer_of(t)
            before = touched.get(buffer, 0)
            touched[buffer] = before if id(t) in free else min(before + nbytes, self.sizes[buffer])
            free.add(id(t))
        for packed in args if info.packs else ():
            if isinstance(packed, torch.ScriptObject):
                buffer = self._packed(packed)
                touched[buffer] = self.sizes[buffer]
        weights = self.weights
        reads = tuple(Access(b, self.versions[b], n) for b, n in touched.items() if b not in weights)
        used = tuple((b, n) for b, n in touched.items() if b in weights and n)
        writes = []
        for t, nbytes in zip(outs, entry.output_bytes, strict=False):
            if info.mutates:
                buffer = self.buffer_of(t)
                self.versions[buffer] += 1
            else:
                buffer = self._born(t)
            writes.append(Access(buffer, self.versions[buffer], nbytes))
        for t in outs[len(entry.output_bytes) :]:
            if not info.mutates:
                self._born(t)
        self.ops.append((self.place, entry, reads, tuple(writes), used))

    def records(self) -> tuple[OpRecord, ...]:
        """The operations so far, in the order in which they ran."""
        return tuple(_record_of(*raw) for raw in self.ops)

    def buffer_bytes(self) -> dict[int, int]:
        """Bytes of each buffer that is not a weight."""
        return {b: n for b, n in enumerate(self.sizes) if b not in self.weights}


def _record_of(
    place: Place, entry: Entry, reads: tuple[Access, ...], writes: tuple[Access, ...], used: tuple[tuple[int, int], ...]
) -> OpRecord:
    cost = entry.cost
    return OpRecord(
        module=place.module,
        module_type=place.module_type,
        call=place.call,
        op=entry.info.name,
        kind=entry.kind,
        dtype=entry.dtype,
        input_shapes=entry.input_shapes,
        output_shapes=entry.output_shapes,
        macs=cost.macs if cost else None,
        flops=2 * cost.macs + cost.other if cost else None,
        fvcore_flops=cost.macs + cost.fvcore if cost else None,
        masked_macs=cost.masked_macs if cost else None,
        activations=cost.activations if cost else 0,
        width=cost.width if cost else 0,
        input_bytes=sum(r.nbytes for r in reads),
        output_bytes=sum(w.nbytes for w in writes),
        weight_bytes=sum(n for _, n in used),
        reads=reads,
        writes=writes,
        weights=used,
    )


# -- one call, described by metadata alone ----------------------------------------------------


def _describe(values: Any, tensors: list[Tensor], key: list[Any]) -> None:
    """Collect the tensors of a call and a key of everything that decides its result."""
    for a in values:
        if isinstance(a, Tensor):
            tensors.append(a)
            key.append(a.shape)
            key.append(a.stride() if a.layout is torch.strided else a.layout)
            key.append(a.dtype)
        elif isinstance(a, list | tuple):
            key.append(len(a))
            _describe(a, tensors, key)
        else:
            key.append(a.__class__)  # 1, 1.0 and True are equal as keys
            key.append(a)


def _cached(func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor], key: tuple[Any, ...]) -> Entry:
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
    meta_args, meta_kwargs = _on_meta(args, stand_ins), _on_meta(kwargs, stand_ins)
    try:
        result = SHORTCUTS.get(info.name, func)(*meta_args, **meta_kwargs)
    except NotImplementedError as error:
        raise NeedsData(f"forward needs real values ({info.name})") from error
    return _entry(func, info, meta_args, meta_kwargs, [stand_ins[id(t)] for t in tensors], result)


def _on_meta(value: Any, stand_ins: dict[int, Tensor] | None = None) -> Any:
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
        return [_on_meta(v, stand_ins) for v in value]
    if isinstance(value, tuple):
        return tuple(_on_meta(v, stand_ins) for v in value)
    if isinstance(value, dict):
        return {k: _on_meta(v, stand_ins) for k, v in value.items()}
    return value


def _stand_in(t: Tensor) -> Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta")


def _entry(func: Any, info: OpInfo, args: Any, kwargs: Any, tensors: list[Tensor], result: Any) -> Entry:
    """Count one call whose outputs are known."""
    outs = _tensors(result)
    aliases = not info.mutates and _shares(outs, tensors)
    written = outs
    if info.mutates:
        written = _tensors(_written(info, args, kwargs))
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
    )


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
        return tuple(_unpacked(value)[0].shape)
    return value


def _unpacked(weights: Any) -> Any:
    """Weight and bias of packed (quantised) weights."""
    return weights.unpack()


def _shares(outs: list[Tensor], tensors: list[Tensor]) -> bool:
    """Whether every output lives in the storage of an argument."""
    if not outs or not tensors or any(t.layout is not torch.strided for t in (*outs, *tensors)):
        return False
    given = {t.untyped_storage()._cdata for t in tensors}
    return all(o.untyped_storage()._cdata in given for o in outs)


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [t for r in result for t in _tensors(r)] if isinstance(result, list | tuple) else []


def _specs(result: Any) -> Any:
    if isinstance(result, Tensor):
        return Spec(tuple(result.shape), tuple(result.stride()), result.dtype) if result.layout is torch.strided else None
    if isinstance(result, list):
        return [_specs(r) for r in result]
    return tuple(_specs(r) for r in result) if isinstance(result, tuple) else result


def _written(info: OpInfo, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """The arguments that an op writes."""
    return tuple(args[i] if i < len(args) else kwargs.get(name) for i, name in info.mutates)
