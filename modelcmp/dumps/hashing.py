"""Fingerprints: whether two tensors, or two batches, are the same to the bit. Against accidents, not against intent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from isal import isal_zlib
from torch import Tensor

from .contents import strided

#: What of a batch that is a mapping are targets.
_TARGETS = ("labels", "label", "targets", "target", "y")


def tensor_hash(tensor: Tensor) -> str:
    """CRC-32 and Adler-32, 16 hex digits, over type, shape and bytes in order; 10 GB/s and more.

    >>> tensor_hash(torch.zeros(2)) == tensor_hash(torch.zeros(2)), tensor_hash(torch.tensor([0.0, -0.0]))[:8]
    (True, '31261c4e')
    """
    head, data = _head(tensor), _bytes(tensor)
    return f"{isal_zlib.crc32(data, isal_zlib.crc32(head)):08x}{isal_zlib.adler32(data, isal_zlib.adler32(head)):08x}"


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets: of a mapping by its keys, of several things with tensors the last is the targets.

    >>> x, y = torch.zeros(2, 3), torch.zeros(2)
    >>> batches = (x, y), {"pixels": x, "labels": y}, ([x], y, ["a.png", "b.png"]), x
    >>> [(len(tensors_of(inputs)), targets is not None) for inputs, targets in map(split_batch, batches)]
    [(1, True), (1, True), (1, True), (1, False)]
    """
    if isinstance(batch, Mapping):
        inputs = {key: value for key, value in batch.items() if key not in _TARGETS}
        return inputs, {key: value for key, value in batch.items() if key in _TARGETS} or None
    if not isinstance(batch, list | tuple):
        return batch, None
    parts = [part for part in batch if tensors_of(part)]
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        return split_batch(parts[0])
    return (parts[:-1], parts[-1]) if len(parts) > 1 else (parts, None)


def tensors_of(value: Any) -> list[Any]:
    """The tensors and arrays in nested dicts, lists and tuples, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for inner in value for tensor in tensors_of(inner)]
    return [value] if isinstance(value, Tensor | np.ndarray) else []


def batch_fingerprint(inputs: Any, targets: Any) -> dict[str, Any]:
    """Hashes of a batch in memory: of its tensors in their order, whatever containers and names they are in.

    ``sample_hashes``: BLAKE2b of 64 bits for each example, the first axis of the inputs; ``samples``: of the sorted
    sample hashes, so that the same examples in another order agree; ``inputs``: over types, shapes and the hashes of
    all examples in order; ``targets``: over types, shapes and numbers, None without targets; ``size``: of the first
    axis. Whole numbers and truth values count as int64 (but uint8 inputs, which are images), floating-point targets
    as float64.
    """
    found, wanted = list(map(_input, tensors_of(inputs))), list(map(_target, tensors_of(targets)))
    size = next((len(tensor) for tensor in found if tensor.dim()), 0)
    examples = [tensor for tensor in found if tensor.dim() and len(tensor) == size]
    hashes = _sample_hashes(examples, size)
    others = [tensor for tensor in found if not tensor.dim() or len(tensor) != size]
    ordered = hashlib.blake2b("".join(sorted(hashes)).encode(), digest_size=8)
    return {
        "inputs": _hash([*map(_head, found), *map(_bytes, others), "".join(hashes).encode()]),
        "targets": _hash([part for tensor in wanted for part in (_head(tensor), _bytes(tensor))]) if wanted else None,
        "samples": ordered.hexdigest(), "sample_hashes": hashes, "size": size,
    }  # fmt: skip


def _input(tensor: Tensor) -> Tensor:
    """In the type that its kind is hashed in."""
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.uint8:
        return tensor
    return tensor.to(torch.int64)


def _target(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor
    return tensor.to(torch.float64 if tensor.is_floating_point() else torch.int64)


def _sample_hashes(examples: list[Tensor], size: int) -> list[str]:
    """One hash an example, over its type, shape and bytes in each tensor."""
    prepared = [(f"{e.dtype}{tuple(e.shape[1:])}".encode(), _bytes(e)) for e in examples]
    hashes = []
    for i in range(size):
        digest = hashlib.blake2b(digest_size=8)
        for head, data in prepared:
            step = len(data) // size
            digest.update(head)
            digest.update(data[i * step : (i + 1) * step])
        hashes.append(digest.hexdigest())
    return hashes


def _hash(parts: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _head(tensor: Tensor) -> bytes:
    return f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape)}".encode()


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, in the order of its elements."""
    flat = strided(tensor).cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
