"""safetensors: a JSON header with the place of every tensor, then their bytes without gaps.

The format: https://github.com/huggingface/safetensors#format. It has no checksums. modelcmp's own dumps keep what is no
tensor as JSON text under "modelcmp" in the header's metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..errors import DamagedDump, own_words
from .dump import Dump, Tensors
from .optimizer_state import sort_out
from .tensor import Record, TensorRef, file_size, locate, read_exactly
from .tree import Reader, as_number, check_schema, checked, mapping, whole

#: Bytes; what the format allows.
_LARGEST = 100_000_000
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz, "F8_E5M2FNUZ": torch.float8_e5m2fnuz, "F8_E8M0": torch.float8_e8m0fnu,
}  # fmt: skip
#: Numbers of less than a byte: left out, with a note.
_SMALL = ("F4", "F6_E2M3", "F6_E3M2")


def read_safetensors(file: BinaryIO, path: Path) -> Dump:
    """The dump in a safetensors file; raises a DumpError."""
    try:
        header, start = _header(file, path)
        metadata = header.pop("__metadata__", None) or {}
        own = _own(metadata)
        tensors, notes = _tensors(path, header, start, file_size(file))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DamagedDump(f"{path} is damaged, or no safetensors file: {own_words(error)}") from error
    if own is None:
        return checked(Dump(path, weights=tensors, notes=notes))
    return _dump(Reader(path, file, _no_specs), own, tensors, notes)


def _no_specs(spec: Any) -> TensorRef:
    raise TypeError(f"{spec} in a safetensors file")


def _header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON, and where the tensors' bytes begin; nothing is allocated for more than the file holds."""
    size = file_size(file)
    length = bytearray(8)
    read_exactly(file, 0, memoryview(length), path)
    count = int.from_bytes(length, "little")
    if not 2 <= count <= min(_LARGEST, size - 8):
        raise ValueError(f"its header should have {count} bytes, the file has {size}")
    text = bytearray(count)
    read_exactly(file, 8, memoryview(text), path)
    header = json.loads(text.decode("utf-8"), object_pairs_hook=_no_doubles)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + count


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is twice in its header")
    return found


def _own(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """What modelcmp wrote beside the tensors, None in other people's files."""
    if "modelcmp" not in metadata:
        return None
    own = json.loads(metadata["modelcmp"])
    if not isinstance(own, dict):
        raise ValueError("its metadata is no JSON object")
    return own


def _tensors(
    path: Path, header: Mapping[str, Any], start: int, size: int
) -> tuple[dict[str, TensorRef], tuple[str, ...]]:
    """The tensors by name; checks that they fill the file without gaps, as the format wants it."""
    places = sorted((*_range(entry), name) for name, entry in header.items())
    at = 0
    for begin, end, name in places:
        if begin != at or end < begin:
            raise ValueError(f"{name} does not begin where the tensor before it ends")
        at = end
    if start + at != size:
        raise ValueError(f"its tensors end at byte {start + at}, the file at {size}")
    found, left = {}, []
    for begin, end, name in places:
        entry = header[name]
        if entry["dtype"] in _SMALL:
            left.append(name)
        else:
            found[name] = _ref(path, entry, Record(start + begin, end - begin))
    found = {name: found[name] for name in header if name in found}
    return found, (f"not compared, as their numbers are smaller than a byte: {', '.join(left)}",) if left else ()


def _range(entry: Mapping[str, Any]) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    if type(begin) is not int or type(end) is not int:
        raise ValueError("a place in its header is no number")
    return begin, end


def _ref(path: Path, entry: Mapping[str, Any], record: Record) -> TensorRef:
    dtype, shape = _DTYPES.get(entry["dtype"]), tuple(entry["shape"])
    if dtype is None:
        raise ValueError(f"the dtype {entry['dtype']!r} is unknown")
    if any(type(n) is not int or n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != record.nbytes:
        raise ValueError(f"a tensor of shape {list(shape)} in {record.nbytes} bytes")
    stride = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    return locate(path, record, dtype, 0, shape, stride)


def _dump(reader: Reader, own: Mapping[str, Any], tensors: Tensors, notes: tuple[str, ...]) -> Dump:
    """A dump that modelcmp wrote."""
    schema = check_schema(reader.path, own.get("schema"))
    try:
        tensors = dict(tensors) | {name: tensors[other] for name, other in own.get("tied", {}).items()}
        weights = _under(tensors, "model/")
        named = own.get("optimizer_scalars", {}) | _under(tensors, "optimizer/")
        state, scalars = sort_out(named, weights, reader)
        dump = Dump(
            reader.path, schema, epoch=whole(own.get("epoch")), batch=whole(own.get("batch")),
            step=whole(own.get("step")), loss=as_number(own.get("loss"), reader), acc=as_number(own.get("acc"), reader),
            fingerprint=mapping(own.get("batch_fingerprint")), optimizer=own.get("optimizer"),
            weights=weights, grads=_under(tensors, "grads/"), optimizer_state=state, scalars=scalars,
            settings=_settings(own.get("param_groups", []), tensors, reader),
            stats=_stats(own.get("stats", {}), tensors), notes=notes,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedDump(f"{reader.path} is damaged: its metadata cannot be read ({own_words(error)})") from error
    return checked(dump)


def _under(tensors: Tensors, prefix: str) -> dict[str, TensorRef]:
    return {name.removeprefix(prefix): ref for name, ref in tensors.items() if name.startswith(prefix)}


def _settings(groups: list[Mapping[str, Any]], tensors: Tensors, reader: Reader) -> dict[str, dict[str, Any]]:
    """Each parameter's learning rate and the like."""
    settings: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(groups):
        kept = {key: as_number(ref, reader) for key, ref in _under(tensors, f"groups/{number}/").items()}
        shared = {key: value for key, value in group.items() if key not in ("names", "param_names")} | kept
        settings |= dict.fromkeys(group["names"], shared)
    return settings


def _stats(stats: Mapping[str, Any], tensors: Tensors) -> dict[str, dict[str, dict[str, Any]]]:
    histograms = _under(tensors, "stats/")
    return {
        kind: {
            name: dict(found) | ({"histogram": histograms[place]} if (place := f"{kind}/{name}") in histograms else {})
            for name, found in named.items()
        }
        for kind, named in stats.items()
    }
