"""Where things lie in a session folder, and its JSON files.

The layout is that of the dreamlake package, so that it reads our sessions and we read its own.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import write_whole

#: Both names of the same record: dreamlake 0.4 reads the first, later ones the second.
RECORDS = ("session.json", "episode.json")
PARAMETERS = "parameters.json"
LOG = "logs/logs.jsonl"
LOG_SEQUENCE = "logs/.log_sequence"
TRACKS = "tracks"
TRACK_DATA = "data.msgpack"
TRACK_RECORD = "metadata.json"
FILES = "files"
FILES_RECORD = "files/.files_metadata.json"


def now() -> str:
    """The time as ISO 8601 in UTC, with a Z."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def read_object(path: Path) -> tuple[dict[str, Any] | None, str]:
    """A JSON object and what is wrong with its file; (None, "") where there is no file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError) as error:
        return None, f"{path.name} cannot be read: {error}"
    return (found, "") if isinstance(found, dict) else (None, f"{path.name} holds no JSON object")


def write_object(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object whole or not at all; NaN and infinity as Python writes them. Raises OutputError."""
    write_whole(path, json.dumps(value, indent=2) + "\n")


def make_folder(path: Path) -> None:
    """Make a folder and those above it; raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror or error}") from error


def set_aside(path: Path) -> None:
    """Keep a damaged file beside its place, which becomes free; raises OutputError."""
    try:
        path.replace(path.with_name(f"{path.name}.damaged"))
    except OSError as error:
        raise OutputError(f"cannot rename {path}: {error.strerror or error}") from error


def read_record(folder: Path) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The session's own record, the newer of the two files; None where neither can be read."""
    found = [read_object(folder / name) for name in RECORDS]
    records = [record for record, _ in found if record is not None]
    problems = tuple(problem for _, problem in found if problem)
    return max(records, key=_changed, default=None), problems


def _changed(record: dict[str, Any]) -> str:
    return str(record.get("updated_at") or record.get("created_at") or "")
