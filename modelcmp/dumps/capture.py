"""The copy that a step waits for: every tensor once, into memory that is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import safetensors_file, torch_file
from .buffers import Buffer, Pool
from .contents import Contents, kept, replaced, strided
from .hashing import split_batch
from .layout import Kind, Layout, Slot, in_a_row, laid_out
from .options import DumpOptions
from .writing import SCHEMA, dump_path

ARRANGE = {"pt": torch_file.arrange, "safetensors": safetensors_file.arrange}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in training a dump is made: epochs and batches count from 1, steps over all epochs."""

    epoch: int
    batch: int
    step: int


@dataclass(slots=True)
class Taken:
    """A dump that is in memory and still to be written."""

    path: Path
    full: bool
    place: Place
    buffer: Buffer
    layout: Layout
    record: dict[str, Any]  # with a number for each tensor, see :func:`with_slots`
    seen: dict[str, dict[str, Any]]  # what statistics are made of, likewise
    batch: tuple[Any, Any] | None  # inputs and targets, with numbers of ``behind``
    behind: list[Slot]
    ready: list[Any]  # events of GPUs that still copy
    loss: Any = None
    acc: Any = None


class _Number(int):
    """A tensor's number, in its place."""


@dataclass(slots=True)
class _Tensors:
    """The distinct tensors of a dump, in order."""

    numbers: dict[Any, _Number] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    on_gpu: bool = False

    def add(self, tensor: Tensor, dtype: torch.dtype | None = None) -> _Number:
        """Its number, the same for a tensor that was added before."""
        tensor = strided(tensor)
        own, shape = tensor.dtype, tensor.shape
        to = dtype if dtype is not None and tensor.is_floating_point() and shape else own
        place = tensor.data_ptr()  # 0 for a tensor without elements
        key = (place, own, to, shape, tensor.stride())
        number = self.numbers.get(key) if place else None
        if number is None:
            number = self.numbers[key] = _Number(len(self.tensors))
            self.tensors.append(tensor)
            self.kinds.append((to, shape))
            self.on_gpu = self.on_gpu or tensor.is_cuda
        return number


class Capture:
    """Copies what a dump needs; keeps the layouts of the dumps that look alike."""

    def __init__(self, folder: Path, options: DumpOptions, pool: Pool) -> None:
        self._folder, self._options, self._pool = folder, options, pool
        self._dtype: torch.dtype | None = getattr(torch, options.dtype) if options.dtype else None
        self._layouts: dict[Any, Layout] = {}
        self.left_out: dict[str, str] = {}  # keys whose values no dump can hold, with their types

    def size(self, contents: Contents, batch: Any) -> tuple[int, bool]:
        """Bytes of memory that a full dump takes, and whether they are pinned."""
        _, _, layout, tensors = self._planned(contents, bool(self._options.stored))
        extra = _Tensors()
        replaced(_as_tensors(batch), extra.add)
        return in_a_row(extra.kinds, layout.size)[1], tensors.on_gpu or extra.on_gpu

    def take(self, contents: Contents, place: Place, batch: Any, full: bool) -> Taken:
        """Copy; waits while all memory is in use. Raises BadInput for tensors that cannot be dumped, MemoryError."""
        record, seen, layout, tensors = self._planned(contents, full)
        extra = _Tensors()
        split = replaced(split_batch(_as_tensors(batch)), extra.add) if batch is not None else None
        offsets, size = in_a_row(extra.kinds, layout.size)
        pinned = tensors.on_gpu or extra.on_gpu
        buffer = self._pool.take(size, pinned)
        behind = [Slot(-1, *kind, at) for kind, at in zip(extra.kinds, offsets, strict=True)]
        try:
            _copied(tensors.tensors, _views(buffer, layout), pinned)
            _copied(extra.tensors, [buffer.view(s.offset, s.dtype, s.shape) for s in behind], pinned)
        except BaseException:
            self._pool.give(buffer)
            raise
        head = {"schema": SCHEMA, "epoch": place.epoch, "batch": place.batch, "step": place.step}
        return Taken(
            dump_path(self._folder, place.epoch, place.batch, self._options.format), full, place, buffer, layout,
            {**head, "loss": None, "acc": None, **record}, seen, split if behind else None, behind,
            _events([*tensors.tensors, *extra.tensors]) if pinned else [],
        )  # fmt: skip

    def _planned(self, contents: Contents, full: bool) -> tuple[dict[str, Any], dict[str, Any], Layout, _Tensors]:
        """What is stored and what is only looked at, with numbers for tensors, and where these go."""
        tensors = _Tensors()
        record = self._record(contents, tensors) if full else {}
        stored = len(tensors.tensors)
        seen = _seen(contents, tensors) if "stats" in self._options.include else {}
        key = (stored, *tensors.kinds)
        if key not in self._layouts:
            kinds, arrange = tensors.kinds, ARRANGE[self._options.format]
            self._layouts[key] = laid_out(kinds[:stored], kinds[stored:], arrange)
        return record, seen, self._layouts[key], tensors

    def _record(self, contents: Contents, tensors: _Tensors) -> dict[str, Any]:
        def place(tensor: Tensor) -> _Number:
            return tensors.add(tensor, self._dtype)

        record: dict[str, Any] = {}
        if "weights" in self._options.include:
            weights = contents.weights
            if self._options.format == "safetensors":  # has no place for what modules keep besides tensors
                weights = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
            record["model_state_dict"] = kept(weights, place, self.left_out)
        if "optimizer" in self._options.include and contents.optimizer is not None:
            record |= {
                "optimizer": contents.optimizer_name, "optimizer_param_names": contents.names,
                "optimizer_state_dict": kept(contents.optimizer, place, self.left_out),
            }  # fmt: skip
        if "grads" in self._options.include:
            record["grads"] = replaced(contents.grads, place)
        return record


def _seen(contents: Contents, tensors: _Tensors) -> dict[str, dict[str, Any]]:
    """Everything that has statistics, under the names of a diff."""
    state = contents.optimizer["state"] if contents.optimizer is not None else {}
    numbers = [n for group in (contents.optimizer or {}).get("param_groups", ()) for n in group["params"]]
    named = dict(zip(numbers, (name for group in contents.names for name in group), strict=False))
    moments = {
        f"{named.get(number, number)}/{key}": value
        for number, entry in state.items() for key, value in entry.items() if isinstance(value, Tensor) and value.dim()
    }  # fmt: skip
    weights = {name: value for name, value in contents.weights.items() if isinstance(value, Tensor)}
    kinds = {"weights": weights, "grads": contents.grads, "optimizer": moments}
    return {kind: {name: tensors.add(t) for name, t in found.items()} for kind, found in kinds.items()}


def _views(buffer: Buffer, layout: Layout) -> list[Tensor]:
    """Tensors over a buffer, made once: a step has hundreds of them."""
    views: list[Tensor] | None = buffer.views.get(id(layout))
    if views is None:
        views = buffer.views[id(layout)] = [buffer.view(s.offset, s.dtype, s.shape) for s in layout.slots]
    return views


def _copied(tensors: Sequence[Tensor], views: Sequence[Tensor], pinned: bool) -> None:
    with torch.no_grad():
        if tensors and not pinned:
            torch._foreach_copy_(list(views), list(tensors))  # without Python between hundreds of copies
            return
        for tensor, view in zip(tensors, views, strict=True):
            view.copy_(tensor, non_blocking=pinned)


def _events(tensors: Sequence[Tensor]) -> list[Any]:
    """One for each GPU that copies, behind its copies."""
    events = []
    for device in {tensor.device for tensor in tensors if tensor.device.type == "cuda"}:
        event = torch.cuda.Event()
        event.record(torch.cuda.current_stream(device))
        events.append(event)
    return events


def _as_tensors(value: Any) -> Any:
    """A batch with tensors for arrays, and mappings of any kind as dicts."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value) if value.dtype.kind in "biufc" else None
    if isinstance(value, Mapping):
        return {str(key): _as_tensors(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_tensors(inner) for inner in value]
    return value


def with_slots(value: Any, slots: Sequence[Slot]) -> Any:
    """Nested data with the places of tensors for their numbers."""
    if isinstance(value, _Number):
        return slots[value]
    if isinstance(value, dict):
        return {key: with_slots(inner, slots) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([with_slots(inner, slots) for inner in value])
    return value
