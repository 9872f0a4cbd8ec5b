"""Runs a module on tensors without data and records every operation that it executes.

A wrapper around ``nn.Module.__call__`` gives the place (module path and call number), a
``TorchDispatchMode`` the operations, so that functional calls, attention and custom modules are
seen. Under inference mode composite operations (linear, conv2d, attention) arrive whole.

The metadata of outputs and the cost of a call are kept (see :mod:`.entries`): a repeated call runs
no kernel, not even a meta one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import NeedsData
from ..records import Access, OpRecord
from .entries import (
    Entry,
    Spec,
    cached_entry,
    describe,
    entry_of,
    footprint,
    on_meta,
    tensors_in,
    unpacked,
    written_by,
)
from .opinfo import OpInfo, opinfo

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


def _address(t: Tensor) -> int:
    """What tells buffers apart: the storage, or the tensor itself where it has none (sparse ones)."""
    return t.untyped_storage()._cdata if t.layout is torch.strided else id(t)


class Place(NamedTuple):
    """Where an operation runs."""

    module: str
    module_type: str
    call: int


class Tracer(TorchDispatchMode):
    """Records the operations of one forward pass.

    With ``real`` every op runs on the tensors that it is given; else outputs are meta tensors and
    only small computations that involve neither inputs nor weights (index tables, say) run.
    """

    supports_higher_order_operators = True

    def __init__(self, modules: Modules, real: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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
        self.kept: list[Tensor | StorageWeakRef] = []  # so that no address is used twice
        for _, module in modules:
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None and not is_lazy(tensor):
                    self.weights.add(self.buffer_of(tensor))

    # -- buffers ------------------------------------------------------------------------------

    def buffer_of(self, t: Tensor) -> int:
        """The buffer of a tensor's storage; one not seen before is a constant from outside."""
        address = _address(t)
        buffer = self.buffers.get(address)
        return self._new(address, t) if buffer is None else buffer

    def _new(self, address: int, t: Tensor) -> int:
        buffer = len(self.sizes)
        self.buffers[address] = buffer
        self.sizes.append(t.untyped_storage().nbytes() if t.layout is torch.strided else t.numel() * t.itemsize)
        self.versions.append(0)
        # A weak reference frees the numbers and holds the address.
        weak = self.real and t.layout is torch.strided
        self.kept.append(StorageWeakRef(t.untyped_storage()) if weak else t)
        return buffer

    def _born(self, t: Tensor) -> int:
        """A buffer for a result; an address that was used before belonged to a tensor now freed."""
        return self._new(_address(t), t)

    def _packed(self, weights: torch.ScriptObject) -> int:
        """The buffer of packed (quantised) weights."""
        if id(weights) not in self.buffers:
            buffer = self.buffers[id(weights)] = len(self.sizes)
            self.sizes.append(sum(t.numel() * t.itemsize for t in tensors_in(unpacked(weights))))
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
        key: list[Any] = [func]
        describe(args, tensors, key)
        if kwargs:
            describe(tuple(kwargs.values()), tensors, key)
            key.append(tuple(kwargs))
        if self.real or not self._abstract(tensors, kwargs):
            return self._run(func, info, args, kwargs, tensors)
        if info.needs_data:
            raise NeedsData(f"forward needs real values ({info.name})")
        entry = cached_entry(func, info, args, kwargs, tensors, tuple(key))
        if entry.aliases:
            return func(*on_meta(args), **on_meta(kwargs)) if self._moves(args, kwargs) else func(*args, **kwargs)
        result, outs = self._results(entry, args, kwargs)
        if not entry.silent:
            self._record(entry, args, tensors, outs)
        return result

    def _abstract(self, tensors: list[Tensor], kwargs: dict[str, Any]) -> bool:
        """Whether a call involves inputs, weights or anything computed from them."""
        if not tensors:
            device = kwargs.get("device")
            return device is not None and torch.device(device).type == "meta"
        return any(t.is_meta or self.buffers.get(_address(t)) in self.weights for t in tensors)

    @staticmethod
    def _moves(args: Any, kwargs: Any) -> bool:
        return any(isinstance(a, torch.device) for a in (*args, *kwargs.values()))

    def _results(self, entry: Entry, args: Any, kwargs: Any) -> tuple[Any, list[Tensor]]:
        """Fresh outputs from their metadata; in-place ops hand back what they were given."""
        if entry.info.mutates:
            written = written_by(entry.info, args, kwargs)
            flat = tensors_in(written)
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
        entry = entry_of(func, info, args, kwargs, tensors, result)
        if not entry.silent and not entry.aliases:
            outs = tensors_in(result)
            if info.mutates:
                _, outs = self._results(entry, args, kwargs)
            self._record(entry, args, tensors, outs)
        elif not entry.aliases and not info.mutates:
            for t in tensors_in(result):
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

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """What runs inside is not noted: forward's parts, run again for their gradients."""
        before = len(self.ops)
        try:
            yield
        finally:
            del self.ops[before:]

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
        layout=entry.layout,
    )
