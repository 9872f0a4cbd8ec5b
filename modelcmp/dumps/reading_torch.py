"""What ``torch.save`` wrote, zipped (since torch 1.6) or not: the plain data, with a TensorRef for each tensor."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch

from ..errors import DamagedDump, ForeignFile, RefusedDump, own_words
from .pickled import Machine
from .pickled_names import ForbiddenName, StorageSpec, TensorSpec
from .tensor import Record, TensorRef, file_size, locate, read_exactly
from .zip_records import Records, read_directory, read_record

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_WINDOW = 1 << 20
_LARGEST = 1 << 26  # bytes of structure; 100,000 tensors have 10 MB

Locate = Callable[[TensorSpec], TensorRef]


class Tree(NamedTuple):
    """The value that was saved, with a TensorSpec for each tensor, and how to find a tensor's place in the file.

    ``locate`` raises DamagedDump.
    """

    value: Any
    locate: Locate


def read_zip(file: BinaryIO, path: Path) -> Tree:
    """The structure of a zipped checkpoint; raises a DumpError."""
    records = read_directory(file, path)
    data = read_record(file, path, records["data.pkl"], _LARGEST)
    order = records.get("byteorder")
    written = read_record(file, path, order, _LARGEST).decode("ascii", "replace") if order else "little"
    if written not in ("little", "big"):
        raise DamagedDump(f"{path} is damaged: its byte order is {written!r}")
    value, _ = _run(path, data)

    def find(spec: TensorSpec) -> TensorRef:
        return _placed(path, _record(path, records, spec.storage), spec, written != sys.byteorder)

    return Tree(value, find)


def _record(path: Path, records: Records, storage: StorageSpec) -> Record:
    record = records.get(f"data/{storage.key}")
    size = storage.elements * storage.dtype.itemsize if storage.dtype else 0
    if record is None or record.nbytes != size:
        raise DamagedDump(f"{path} is damaged: data/{storage.key} is not in it, or of another size than it should be")
    return record


def _placed(path: Path, record: Record, spec: TensorSpec, swapped: bool) -> TensorRef:
    try:
        return locate(path, record, spec.dtype, spec.offset, tuple(spec.shape), tuple(spec.stride), swapped)
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedDump(f"{path} is damaged: it describes {error}") from error


def _run(path: Path, data: bytes, at: int = 0) -> tuple[Any, int]:
    """The value of a pickle, and where it ends."""
    try:
        machine = Machine(data, at)
        return machine.run(), machine.at
    except ForbiddenName as error:
        raise RefusedDump(
            f"{path} holds a call to {error.name}: refused, nothing was run; "
            "if you trust where it comes from, save its state dicts alone: tensors, numbers and text"
        ) from error
    except Exception as error:  # IndexError, KeyError, struct.error ...: the pickle is not what Python writes
        raise DamagedDump(f"{path} is damaged: its structure cannot be read ({own_words(error)})") from error


def read_unzipped(file: BinaryIO, path: Path) -> Tree:
    """The structure of a checkpoint in the format before torch 1.6; raises a DumpError.

    Five pickles: magic number, protocol, system, the value, the keys of the storages; then each storage, with the
    number of its elements (8 bytes) before it. All is little-endian; there are no checksums.
    """
    pickles = _pickles(file, path)
    if next(pickles)[0] != _MAGIC:
        raise ForeignFile(f"{path} is a pickle, but no checkpoint of torch's: save it with torch.save")
    if next(pickles)[0] != _PROTOCOL:
        raise DamagedDump(f"{path} is damaged: it is of an unknown version of torch's old format")
    next(pickles)  # about the machine that wrote it
    value, keys = next(pickles)[0], next(pickles)
    places = _places(file, path, keys, dict(_storages(value)))

    def find(spec: TensorSpec) -> TensorRef:
        if spec.storage.key not in places:
            raise DamagedDump(f"{path} is damaged: it has no data of storage {spec.storage.key}")
        return _placed(path, _part(places[spec.storage.key], spec.storage), spec, sys.byteorder == "big")

    return Tree(value, find)


def _pickles(file: BinaryIO, path: Path) -> Iterator[tuple[Any, int]]:
    """One pickle after the other, each with the byte where it ends; reads as much as they need."""
    size, at = file_size(file), 0
    data = _head(file, path, min(size, _WINDOW))
    while True:
        try:
            value, at = _run(path, data, at)
        except DamagedDump as error:
            ended = isinstance(error.__cause__, (IndexError, struct.error))
            if not ended or len(data) >= min(size, _LARGEST):
                raise
            data = _head(file, path, min(size, _LARGEST, 4 * len(data)))
        else:
            yield value, at


def _head(file: BinaryIO, path: Path, count: int) -> bytes:
    data = bytearray(count)
    read_exactly(file, 0, memoryview(data), path)
    return bytes(data)


def _storages(value: Any) -> Iterator[tuple[str, StorageSpec]]:
    """The storages that tensors in nested data lie in; each container is entered once, however often it is named."""
    seen, waiting = set(), [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, TensorSpec):
            yield value.storage.key, value.storage
        elif type(value) in (dict, list, tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)


def _places(file: BinaryIO, path: Path, keys: tuple[Any, int], specs: dict[str, StorageSpec]) -> dict[str, Record]:
    """Where each storage lies; checks that all are there."""
    (names, at), places = keys, {}
    for key in names if isinstance(names, list) else ():
        spec, count = specs.get(str(key)), bytearray(8)
        read_exactly(file, at, memoryview(count), path)
        if spec is None or spec.dtype is None or int.from_bytes(count, "little") != spec.elements:
            raise DamagedDump(f"{path} is damaged, or holds tensors of a kind that is not read: storage {key}")
        places[str(key)] = Record(at + 8, spec.elements * spec.dtype.itemsize)
        at += 8 + places[str(key)].nbytes
    if at > file_size(file):
        raise DamagedDump(f"{path} is damaged: it ends at byte {file_size(file)} of {at}; was it cut off?")
    return places


def _part(record: Record, storage: StorageSpec) -> Record:
    """The part of a storage that a view of it names: (key, first element, elements)."""
    if not storage.view:
        return record
    _, first, elements = storage.view
    size = (storage.dtype or torch.uint8).itemsize
    if type(first) is not int or type(elements) is not int or not 0 <= first <= first + elements <= storage.elements:
        return Record(record.offset, 0)
    return Record(record.offset + first * size, elements * size)
