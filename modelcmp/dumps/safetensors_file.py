"""A dump as safetensors: a JSON header, then the bytes of all tensors without gaps.

Names are ``model/<name>``, ``grads/<name>``, ``optimizer/<parameter>/<key>`` and ``stats/<kind>/<name>``; all that is
no tensor is one JSON text under the key ``modelcmp`` of the header's metadata. The format holds no tensor twice: the
second name of a tied one is in that text, under ``tied``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch

from ..errors import BadInput
from .layout import Kind, Layout, Slot
from .opcodes import Stored
from .writing import BLOCK

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint64: "U64", torch.uint32: "U32",
    torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL", torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip
Tensors = dict[str, Slot | Stored]


def arrange(kinds: Sequence[Kind]) -> tuple[list[int], int]:
    """Offsets of tensors, widest types first so that none is askew; the end of the last. Raises BadInput."""
    offsets, end = [0] * len(kinds), 0
    for number in sorted(range(len(kinds)), key=lambda n: -kinds[n][0].itemsize):
        dtype, shape = kinds[number]
        if dtype not in _NAMES:
            raise BadInput(f"safetensors has no {str(dtype).removeprefix('torch.')}: write format 'pt'")
        offsets[number] = end
        end += prod(shape) * dtype.itemsize
    return offsets, end


def render(layout: Layout, record: Mapping[str, Any], late: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    """What stands before the buffer's bytes, whole blocks of it, and what follows them."""
    tensors, rest = _taken_apart(record)
    starts, end = {}, layout.body
    for key, data in late.items():
        starts[key] = end
        end += len(data)
    entries: dict[str, Any] = {}
    places: dict[int, str] = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, Slot):
            if places.setdefault(tensor.number, name) != name:
                rest.setdefault("tied", {})[name] = places[tensor.number]
                continue
            start = tensor.offset
        else:
            start = starts[tensor.key] + tensor.offset * tensor.dtype.itemsize
        size = prod(tensor.shape) * tensor.dtype.itemsize
        entries[name] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, start + size],
        }  # fmt: skip
    header = json.dumps({"__metadata__": {"format": "pt", "modelcmp": json.dumps(rest)}, **entries}).encode()
    padded = -(-(8 + len(header)) // BLOCK) * BLOCK
    return struct.pack("<Q", padded - 8) + header.ljust(padded - 8), b"".join(late.values())


def _taken_apart(record: Mapping[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """Tensors by their names in the file, and the rest as plain data."""
    tensors: Tensors = {f"model/{name}": t for name, t in record.get("model_state_dict", {}).items()}
    tensors |= {f"grads/{name}": t for name, t in record.get("grads", {}).items()}
    rest = {
        key: value for key, value in record.items()
        if key not in ("model_state_dict", "optimizer_state_dict", "optimizer_param_names", "grads", "stats")
    }  # fmt: skip
    if "optimizer_state_dict" in record:
        state, names = record["optimizer_state_dict"], record["optimizer_param_names"]
        rest |= _take_optimizer(state, names, tensors)
    if "stats" in record:
        rest["stats"] = _take_stats(record["stats"], tensors)
    return tensors, rest


def _take_optimizer(state: Mapping[str, Any], names: list[list[str]], tensors: Tensors) -> dict[str, Any]:
    """The optimizer's tensors into ``tensors``; its groups, with names for numbers, and its plain values."""
    groups = [
        {key: value for key, value in group.items() if key != "params"} | {"names": inside}
        for group, inside in zip(state["param_groups"], names, strict=True)
    ]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    named = dict(zip(numbers, (name for inside in names for name in inside), strict=True))
    scalars: dict[str, Any] = {}
    for number, entry in state["state"].items():
        for key, value in entry.items():
            _take(f"{named.get(number, number)}/{key}", value, tensors, scalars)
    for i, group in enumerate(groups):
        for key, value in group.items():
            if isinstance(value, Slot):
                tensors[f"groups/{i}/{key}"] = value
                group[key] = None
    return {"param_groups": groups, "optimizer_scalars": scalars}


def _take(name: str, value: Any, tensors: Tensors, scalars: dict[str, Any]) -> None:
    if isinstance(value, Slot):
        tensors[f"optimizer/{name}"] = value
    elif isinstance(value, list | tuple) and any(isinstance(item, Slot) for item in value):
        for i, item in enumerate(value):
            _take(f"{name}/{i}", item, tensors, scalars)
    else:
        scalars[name] = value


def _take_stats(stats: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """Histograms into ``tensors``; the numbers of each tensor."""
    for kind, named in stats.items():
        tensors |= {f"stats/{kind}/{name}": found["histogram"] for name, found in named.items()}
    return {
        kind: {name: {k: v for k, v in found.items() if k != "histogram"} for name, found in named.items()}
        for kind, named in stats.items()
    }
