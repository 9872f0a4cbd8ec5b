"""Reading a session folder, ours or dreamlake's own, however damaged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .blocks import Row, unpacked
from .layout import (
    FILES_RECORD,
    LOG,
    PARAMETERS,
    RECORDS,
    TRACK_DATA,
    TRACKS,
    read_object,
    read_record,
)
from .log import read_lines
from .uploads import entries_of


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What a session folder holds; ``problems`` says what could not be read of it."""

    folder: Path
    name: str
    workspace: str
    readme: str
    tags: tuple[str, ...]
    metadata: dict[str, Any]
    created_at: str  # ISO 8601, UTC
    params: dict[str, Any]  # by dotted key
    tracks: dict[str, list[Row]]  # each row with its ``_ts``, in seconds since 1970
    logs: list[dict[str, Any]]
    files: list[dict[str, Any]]  # ``stored_file(folder, entry)`` is where one lies
    problems: tuple[str, ...]


def open_session(folder: str | os.PathLike[str]) -> StoredSession:
    """Everything that can be read of a session; it may be being written. Raises BadInput where there is none."""
    root = Path(folder)
    if not is_session(root):
        raise BadInput(f"{root} is no session: it has neither {RECORDS[0]} nor {RECORDS[1]}")
    record, problems = read_record(root)
    params, no_params = read_object(root / PARAMETERS)
    files, no_files = read_object(root / FILES_RECORD)
    logs, bad_lines = _logs(root)
    tracks, bad_blocks = _tracks(root)
    found = record or {}
    return StoredSession(
        folder=root,
        name=str(found.get("name") or root.name),
        workspace=str(found.get("workspace") or root.absolute().parent.name),
        readme=str(found.get("description") or ""),
        tags=tuple(str(tag) for tag in found.get("tags") or ()),
        metadata=_mapping(found.get("metadata")),
        created_at=str(found.get("created_at") or ""),
        params=_mapping((params or {}).get("data")),
        tracks=tracks,
        logs=logs,
        files=[entry for entry in entries_of(files) if entry.get("deletedAt") is None],
        problems=(*problems, *(p for p in (no_params, no_files) if p), *bad_lines, *bad_blocks),
    )


def is_session(folder: Path) -> bool:
    """Whether a folder is that of a session."""
    return any((folder / name).is_file() for name in RECORDS)


def find_sessions(workspace: str | os.PathLike[str]) -> list[Path]:
    """The session folders of a workspace, by name; raises BadInput where there is no such folder."""
    root = Path(workspace)
    if not root.is_dir():
        raise BadInput(f"there is no folder {root}")
    return sorted(folder for folder in root.iterdir() if is_session(folder))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _content(path: Path) -> tuple[bytes, tuple[str, ...]]:
    try:
        return path.read_bytes(), ()
    except FileNotFoundError:
        return b"", ()
    except OSError as error:
        return b"", (f"{path.name} cannot be read: {error.strerror or error}",)


def _logs(root: Path) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    data, problems = _content(root / LOG)
    entries, _, bad = read_lines(data)
    return entries, (*problems, *bad)


def _tracks(root: Path) -> tuple[dict[str, list[Row]], tuple[str, ...]]:
    tracks: dict[str, list[Row]] = {}
    problems: list[str] = []
    for path in sorted((root / TRACKS).rglob(TRACK_DATA)):
        name = path.parent.relative_to(root / TRACKS).as_posix()
        data, unread = _content(path)
        stream = unpacked(data)
        tracks[name] = stream.rows
        problems += [f"track {name!r}: {problem}" for problem in (*unread, *stream.problems)]
    return tracks, tuple(problems)
