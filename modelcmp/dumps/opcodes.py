"""The description of a dump as torch.load expects it: nested plain data and tensors, in pickle's protocol 2.

Only the operations of plain data and the one that torch's own files rebuild a tensor with are ever written, which
``weights_only=True`` reads; nothing here reads or runs them (the operations: CPython's pickletools).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

_STORAGES = {
    torch.float64: "DoubleStorage", torch.float32: "FloatStorage", torch.float16: "HalfStorage",
    torch.bfloat16: "BFloat16Storage", torch.int64: "LongStorage", torch.int32: "IntStorage",
    torch.int16: "ShortStorage", torch.int8: "CharStorage", torch.uint8: "ByteStorage", torch.bool: "BoolStorage",
    torch.complex64: "ComplexFloatStorage", torch.complex128: "ComplexDoubleStorage",
}  # fmt: skip
_NO_HOOKS = b"ccollections\nOrderedDict\n)R"


@dataclass(frozen=True, slots=True)
class Stored:
    """A contiguous tensor in a storage of the file."""

    key: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    held: int  # elements of the whole storage
    offset: int = 0  # of its first element


def description(value: Any) -> bytes:
    """Plain data with :class:`Stored` tensors, as the content of ``data.pkl``."""
    parts = [b"\x80\x02"]
    _put(value, parts.append)
    parts.append(b".")
    return b"".join(parts)


def _put(value: Any, out: Any) -> None:
    if isinstance(value, Stored):
        out(_tensor(value))
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        out(b"X" + struct.pack("<I", len(data)) + data)
    elif value is None or isinstance(value, bool | int | float):
        out(_scalar(value))
    elif isinstance(value, Mapping):
        out(b"}(")
        for key, inner in value.items():
            _put(key, out)
            _put(inner, out)
        out(b"u")
    elif isinstance(value, list | tuple):
        out(b"](" if isinstance(value, list) else b"(")
        for inner in value:
            _put(inner, out)
        out(b"e" if isinstance(value, list) else b"t")
    else:  # a number of NumPy; else something that no plain file can hold
        item = getattr(value, "item", None)
        _put(item() if callable(item) else f"<{type(value).__qualname__}>", out)


def _scalar(value: float | None) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(data)) + data if len(data) > 255 else b"\x8a" + bytes([len(data)]) + data


def _tensor(t: Stored) -> bytes:
    """``torch._utils._rebuild_tensor_v2``, or ``_v3`` for types that have no storage class of their own."""
    named = _STORAGES.get(t.dtype)
    kind = f"torch\n{named}" if named else "torch.storage\nUntypedStorage"
    held = t.held if named else t.held * t.dtype.itemsize
    persistent = b"(" + b"".join(map(_text, ("storage",))) + f"c{kind}\n".encode() + _text(t.key) + _text("cpu")
    parts = [
        f"ctorch._utils\n_rebuild_tensor_v{2 if named else 3}\n(".encode(),
        persistent, _scalar(held), b"tQ", _scalar(t.offset), _sizes(t.shape), _sizes(_strides(t.shape)), b"\x89",
        _NO_HOOKS, b"" if named else f"ctorch\n{str(t.dtype).removeprefix('torch.')}\n".encode(), b"tR",
    ]  # fmt: skip
    return b"".join(parts)


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _sizes(sizes: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_scalar, sizes)) + b"t"


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= max(1, length)
    return tuple(reversed(strides))
