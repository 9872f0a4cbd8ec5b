"""Fingerprints: whether two tensors, or two batches, are the same to the bit. Against accidents, not against intent."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

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
    """Inputs and targets: of a mapping by its keys, of several things the last is the targets.

    >>> split_batch(("x", "y")), split_batch("x"), split_batch({"ids": 1, "labels": 2})
    (('x', 'y'), ('x', None), ({'ids': 1}, {'labels': 2}))
    """
    if isinstance(batch, Mapping):
        inputs = {key: value for key, value in batch.items() if key not in _TARGETS}
        return inputs, {key: value for key, value in batch.items() if key in _TARGETS} or None
    if isinstance(batch, list | tuple) and len(batch) > 1:
        return batch[0] if len(batch) == 2 else list(batch[:-1]), batch[-1]
    return batch, None


def batch_fingerprint(inputs: Any, targets: Any) -> dict[str, Any]:
    """Hashes of a batch in memory: nested dicts, lists and tuples of tensors, hashed in their order.

    ``sample_hashes``: BLAKE2b of 64 bits for each example, the first axis of the inputs; ``samples``: of the sorted
    sample hashes, so that the same examples in another order agree; ``inputs``: over types, shapes and the hashes of
    all examples in order; ``targets``: over types, shapes and bytes, None without targets; ``size``: of the first axis.
    """
    leaves = _leaves(inputs, "")
    size = next((len(leaf) for _, leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()), 0)
    examples = [leaf for _, leaf in leaves if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == size]
    hashes = _sample_hashes(examples, size)
    whole = hashlib.blake2b(digest_size=8)
    for path, leaf in leaves:
        whole.update(path.encode())
        by_sample = isinstance(leaf, Tensor) and any(leaf is example for example in examples)
        _add(whole.update, leaf, with_bytes=not by_sample)
    whole.update("".join(hashes).encode())
    ordered = hashlib.blake2b("".join(sorted(hashes)).encode(), digest_size=8)
    return {
        "inputs": whole.hexdigest(), "targets": None if targets is None else _hash(targets),
        "samples": ordered.hexdigest(), "sample_hashes": hashes, "size": size,
    }  # fmt: skip


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


def _hash(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path, leaf in _leaves(value, ""):
        digest.update(path.encode())
        _add(digest.update, leaf, with_bytes=True)
    return digest.hexdigest()


def _add(update: Callable[[Any], None], leaf: Any, with_bytes: bool) -> None:
    if not isinstance(leaf, Tensor):
        update(repr(leaf).encode())
        return
    update(_head(leaf))
    if with_bytes:
        update(_bytes(leaf))


def _leaves(value: Any, path: str) -> list[tuple[str, Any]]:
    """Tensors, numbers and text with their places, in order."""
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}/{key}")]
    if isinstance(value, list | tuple):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(inner, f"{path}/{i}")]
    return [(path, value)] if isinstance(value, Tensor | str | bool | int | float) else []


def _head(tensor: Tensor) -> bytes:
    return f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape)}".encode()


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, in the order of its elements."""
    flat = strided(tensor).cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
