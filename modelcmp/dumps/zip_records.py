"""The directory of a zip file that ``torch.save`` wrote: where each record lies, with its checksum.

Records are stored, not compressed, so a record's bytes are the numbers. Every place is checked against the record's own
header and against the others, rather than trusted. ``torch.load`` never looks at the checksums.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from ..errors import DamagedDump, ForeignFile, RefusedDump
from .tensor import Record, read_exactly

_HEADER = struct.Struct("<4s22xHH")  # of each record: magic, length of its name and of its extra field
Records = dict[str, Record]


def read_directory(file: BinaryIO, path: Path) -> Records:
    """Record name without the archive's folder ("data.pkl", "data/0") -> place; raises a DumpError."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries, end = archive.infolist(), archive.start_dir
    except Exception as error:  # zipfile has many: BadZipFile, struct.error, UnicodeDecodeError, ValueError ...
        raise DamagedDump(f"{path} is damaged: it has no whole directory at its end; was it cut off?") from error
    return _records(file, path, _wanted(entries, path), end)


def _wanted(entries: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """The records in the folder that holds data.pkl."""
    folders = [e.filename.removesuffix("data.pkl") for e in entries if re.fullmatch(r"[^/]+/data\.pkl", e.filename)]
    if len(folders) != 1:
        raise ForeignFile(f"{path} is a zip file, but no checkpoint: it has {len(folders)} data.pkl in it")
    mine = [e for e in entries if e.filename.startswith(folders[0])]
    wanted = {e.filename.removeprefix(folders[0]): e for e in mine}
    if len(wanted) != len(mine):
        raise DamagedDump(f"{path} is damaged: the same record is twice in its directory")
    if "constants.pkl" in wanted:
        raise RefusedDump(f"{path} is a TorchScript program, which holds code: save the model's state_dict() instead")
    return wanted


def _records(file: BinaryIO, path: Path, wanted: dict[str, zipfile.ZipInfo], end: int) -> Records:
    checked = any(e.CRC for name, e in wanted.items() if name.startswith("data"))  # else written without checksums
    records, used = {}, []
    for name, entry in wanted.items():
        start = _data_start(file, path, entry)
        records[name] = Record(start, entry.file_size, entry.CRC if checked else None)
        used.append((entry.header_offset, start + entry.file_size))
    used.sort()
    bounds = [begin for begin, _ in used[1:]] + [end]
    if any(stop > bound for (_, stop), bound in zip(used, bounds, strict=True)):
        raise DamagedDump(f"{path} is damaged: records overlap in it")
    return records


def _data_start(file: BinaryIO, path: Path, entry: zipfile.ZipInfo) -> int:
    """Where the data of a record begins, by its own header."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
        raise RefusedDump(f"{path} holds {entry.filename} compressed, as torch never does: unpack it, or save it again")
    name = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437", "replace")
    header = bytearray(_HEADER.size + len(name))
    read_exactly(file, entry.header_offset, memoryview(header), path)
    magic, named, extra = _HEADER.unpack_from(header)
    if magic != b"PK\3\4" or named != len(name) or header[_HEADER.size :] != name:
        raise DamagedDump(f"{path} is damaged: {entry.filename} is not where the zip file's directory says")
    return int(entry.header_offset) + len(header) + int(extra)


def read_record(file: BinaryIO, path: Path, record: Record, limit: int) -> bytes:
    """The bytes of a small record, checked; raises DamagedDump."""
    if record.nbytes > limit:
        raise DamagedDump(f"{path} is damaged: its structure alone would take {record.nbytes} bytes")
    data = bytearray(record.nbytes)
    read_exactly(file, record.offset, memoryview(data), path)
    if record.crc32 is not None and zlib.crc32(data) != record.crc32:
        raise DamagedDump(f"{path} is damaged: its structure does not have the checksum that was written with it")
    return bytes(data)
