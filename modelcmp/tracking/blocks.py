"""Rows of a track as a stream of msgpack blocks, and back from a stream that may be torn.

A block is a map from column to values, ``{"_ts": [...], "loss": [...]}``, followed by a newline. Rows of one block
have the same keys, so that what was not logged is not read back as None. Single rows, ``{"_ts": 1.0, "loss": 0.5}``,
are read too: dreamlake writes both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]
#: The most rows of a block: as much as a damaged byte can cost.
MOST_ROWS = 4096
_NEWLINE = 0x0A
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # first bytes of a msgpack map


@dataclass(frozen=True, slots=True)
class Stream:
    """What a track's file holds."""

    rows: list[Row]
    good_bytes: int  # up to the end of the last block that could be read
    problems: tuple[str, ...]


def packed(rows: Iterable[Row]) -> bytes:
    """The blocks of rows, in their order."""
    return b"".join(_blocks(rows))


def _blocks(rows: Iterable[Row]) -> Iterator[bytes]:
    import msgpack

    for keys, group in groupby(rows, key=tuple):
        while part := list(islice(group, MOST_ROWS)):
            columns = {key: [row[key] for row in part] for key in keys}
            yield msgpack.packb(columns, unicode_errors="replace") + b"\n"


def unpacked(data: bytes) -> Stream:
    """All rows that can be read; damaged stretches and an unfinished end are skipped and named."""
    rows: list[Row] = []
    problems: list[str] = []
    at = good = 0
    while at < len(data):
        stop = _read_run(data, at, rows)
        good = stop if stop > at else good
        at = _next_block(data, stop)
        if stop < len(data):
            problems.append(
                f"bytes {stop} to {at} are damaged" if at < len(data) else f"unfinished end of {at - stop} bytes"
            )
    return Stream(rows, good, tuple(problems))


def _read_run(data: bytes, at: int, rows: list[Row]) -> int:
    """Add the rows of undamaged blocks from ``at`` on; the end of the last of them."""
    import msgpack

    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=len(data) + 1)
    unpacker.feed(memoryview(data)[at:])
    good = at
    while True:
        try:
            block = unpacker.unpack()
            rows.extend(_rows(block))
        except (ValueError, TypeError, msgpack.UnpackException):  # torn, or no msgpack at all
            return good
        good = at + unpacker.tell()


def _rows(block: Any) -> Iterator[Row]:
    """The rows of a block, none for the newline after one; raises ValueError for anything else."""
    if isinstance(block, int) and block == _NEWLINE:
        return iter(())
    if not isinstance(block, dict) or not all(isinstance(key, str) for key in block):
        raise ValueError("no block")
    lengths = {len(column) if isinstance(column, list) else -1 for column in block.values()}
    if len(lengths) == 1 and lengths.isdisjoint({-1, 0}):
        return (dict(zip(block, values, strict=True)) for values in zip(*block.values(), strict=True))
    if isinstance(block.get("_ts"), list):
        raise ValueError("columns of different lengths")
    return iter([block])


def _next_block(data: bytes, start: int) -> int:
    """Where the next block begins that can be read, or the end of the data."""
    at = data.find(b"\n", start)
    while at != -1:
        if _is_block(data, at + 1):
            return at + 1
        at = data.find(b"\n", at + 1)
    return len(data)


def _is_block(data: bytes, at: int) -> bool:
    import msgpack

    if at >= len(data) or data[at] not in _MAPS:
        return False
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=len(data) + 1)
    unpacker.feed(memoryview(data)[at:])
    try:
        block = unpacker.unpack()
    except (ValueError, TypeError, msgpack.UnpackException):
        return False
    return isinstance(block, dict) and "_ts" in block
