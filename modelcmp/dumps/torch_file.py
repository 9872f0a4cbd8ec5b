"""A dump as torch's own file: a zip archive whose entries are the bytes of tensors, not compressed.

``torch.save`` would do, but costs many times the processor time of this: it copies everything once more, sums it up
bytewise and takes Python's lock for each tensor, while training wants both. Here the buffer that a step copied its
tensors into becomes the file as it lies. (The layout: APPNOTE.TXT of PKWARE, 4.3 and 4.5.3; torch's
``caffe2/serialize/inline_container.h``.)
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from isal import isal_zlib

from .layout import Kind, Layout, Slot, aligned
from .opcodes import Stored, description

_ROOT = "archive"
_LOCAL, _LOCAL_SIZE = "<IHHHHHIIIHH", 30
_32 = 0xFFFFFFFF
#: The day that zip archives begin with; torch writes none.
_DATE = 0x21


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the archive."""

    name: bytes
    crc: int
    size: int
    start: int  # of its local header


def arrange(kinds: Sequence[Kind]) -> tuple[list[int], int]:
    """Offsets of tensors, each with room for its header before it; the end of the last."""
    offsets, end = [], 0
    for number, (dtype, shape) in enumerate(kinds):
        size = prod(shape) * dtype.itemsize
        offsets.append(_data_at(Entry(_name(number), 0, size, end)))
        end = offsets[-1] + size
    return offsets, end


def render(memory: memoryview, layout: Layout, record: Mapping[str, Any], late: Mapping[str, bytes]) -> bytes:
    """Put the headers of tensors between them and return what follows them.

    ``record``: plain data with :class:`Slot` and :class:`Stored` for tensors; ``late``: storages by their keys that
    are not in the buffer.
    """
    entries, end = [], 0
    for slot in layout.slots[: layout.stored]:
        data = memory[slot.offset : slot.offset + slot.nbytes]
        entries.append(Entry(_name(slot.number), isal_zlib.crc32(data), slot.nbytes, end))
        memory[end : slot.offset] = _local(entries[-1])
        end = slot.offset + slot.nbytes
    rest = {f"data/{key}": data for key, data in late.items()}
    rest |= {"data.pkl": description(_stored(record)), "byteorder": sys.byteorder.encode(), "version": b"3\n"}
    return _tail(entries, rest, layout.body)


def _tail(entries: list[Entry], rest: Mapping[str, bytes], start: int) -> bytes:
    """The entries that are not tensors of the buffer, then the directory of all."""
    parts, end = [], start
    for name, data in rest.items():
        entry = Entry(f"{_ROOT}/{name}".encode(), isal_zlib.crc32(data), len(data), end)
        header = _local(entry)
        parts += [header, data]
        end += len(header) + len(data)
        entries.append(entry)
    directory = b"".join(map(_central, entries))
    return b"".join([*parts, directory, _ending(len(entries), len(directory), end)])


def _stored(value: Any) -> Any:
    """Places in the buffer as places in the file."""
    if isinstance(value, Slot):
        return Stored(str(value.number), value.dtype, value.shape, value.elements)
    if isinstance(value, dict):
        return {key: _stored(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_stored(inner) for inner in value])
    return value


def _name(number: int) -> bytes:
    return f"{_ROOT}/data/{number}".encode()


def _data_at(entry: Entry) -> int:
    """Where an entry's bytes begin: behind its header, aligned."""
    return aligned(entry.start + _LOCAL_SIZE + len(entry.name) + len(_sizes(entry)) + 4)


def _sizes(entry: Entry) -> bytes:
    """The extra field of an entry of 4 GiB or more."""
    return _wide([entry.size] * 2) if entry.size >= _32 else b""


def _local(entry: Entry) -> bytes:
    """The header before an entry, padded as torch pads it."""
    sizes, size = _sizes(entry), min(entry.size, _32)
    extra = _data_at(entry) - entry.start - _LOCAL_SIZE - len(entry.name)
    padding = extra - len(sizes) - 4
    fixed = struct.pack(_LOCAL, 0x04034B50, 0, 0x800, 0, 0, _DATE, entry.crc, size, size, len(entry.name), extra)
    return fixed + entry.name + sizes + b"FB" + struct.pack("<H", padding) + b"Z" * padding


def _central(entry: Entry) -> bytes:
    """An entry of the directory; numbers that need more than 32 bits stand in its extra field."""
    wide = [entry.size] * 2 * (entry.size >= _32) + [entry.start] * (entry.start >= _32)
    extra = _wide(wide) if wide else b""
    size, version = min(entry.size, _32), 45 if wide else 0
    fixed = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, version, version, 0x800, 0, 0, _DATE, entry.crc, size, size,
        len(entry.name), len(extra), 0, 0, 0, 0, min(entry.start, _32),
    )  # fmt: skip
    return fixed + entry.name + extra


def _wide(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers)


def _ending(count: int, size: int, start: int) -> bytes:
    """Where the directory is."""
    wide = b""
    if count >= 0xFFFF or start + size >= _32:
        wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start)
        wide += struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    short = min(count, 0xFFFF)
    return wide + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, short, short, min(size, _32), min(start, _32), 0)
