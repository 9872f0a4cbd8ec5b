"""What a model holds: parameters and buffers, every element of a storage once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..records import ModuleRecord
from .tracer import Modules


class Covered:
    """Which elements of each storage were counted already.

    >>> flat, seen = torch.zeros(100), Covered()
    >>> seen.new(flat[:10]), seen.new(flat), seen.new(flat[50:]), seen.new(flat.view(4, 25).t())
    (10, 90, 0, 0)
    """

    def __init__(self) -> None:
        self._spans: dict[int, list[tuple[int, int]]] = {}

    def new(self, t: Tensor) -> int:
        """How many elements of a tensor were not counted before; they are from now on."""
        address, start, end = _span(t)
        spans = self._spans.setdefault(address, [])
        fresh = end - start - sum(max(0, min(b, end) - max(a, start)) for a, b in spans)
        if fresh:
            apart = [(a, b) for a, b in spans if b < start or a > end]
            joined = [s for s in spans if s not in apart]
            low, high = min([start, *(a for a, _ in joined)]), max([end, *(b for _, b in joined)])
            self._spans[address] = [*apart, (low, high)]
        return min(fresh, t.numel())


def _span(t: Tensor) -> tuple[int, int, int]:
    """Storage, and the first and last element of it that a tensor reaches."""
    if t.layout is not torch.strided:
        return id(t), 0, t.numel()
    address, start = int(t.untyped_storage()._cdata), int(t.storage_offset())
    extent = 1 + sum((size - 1) * stride for size, stride in zip(t.shape, t.stride(), strict=True)) if t.numel() else 0
    if extent > t.numel():  # gaps, which another parameter may fill: known by itself
        return hash((address, start, t.shape, t.stride())), 0, t.numel()
    return address, start, start + extent


def owned(modules: Modules, calls: Mapping[str, int]) -> tuple[tuple[ModuleRecord, ...], tuple[int, int]]:
    """Each module's own parameters; bytes of the state (with persistent buffers) and of what is trained."""
    seen = Covered()
    rows = []
    state = trained = 0
    for name, module in modules:
        params = trainable = 0
        for p in module._parameters.values():
            if p is not None and (count := seen.new(p)):
                params += count
                state += count * p.itemsize
                trainable += count * p.requires_grad
                trained += count * p.itemsize * p.requires_grad
        for key, b in module._buffers.items():
            if b is not None and key not in module._non_persistent_buffers_set:
                state += seen.new(b) * b.itemsize
        rows.append(ModuleRecord(name, type(module).__name__, params, trainable, calls.get(name, 0)))
    return tuple(rows), (state, trained)


def packed(modules: Modules) -> tuple[int, int]:
    """Elements and bytes of packed (quantised) weights, which are no parameters."""
    count = size = 0
    for _, module in modules:
        if "quantized" not in type(module).__module__:
            continue
        for accessor in (getattr(module, "weight", None), getattr(module, "bias", None)):
            value = accessor() if callable(accessor) and not isinstance(accessor, Tensor) else None
            if isinstance(value, Tensor):
                count += value.numel()
                size += value.numel() * value.itemsize
    return count, size
