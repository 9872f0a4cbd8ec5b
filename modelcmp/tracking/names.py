"""Names that become folders."""

from __future__ import annotations

from ..errors import BadInput

#: The longest name of one folder, in bytes of UTF-8; file systems allow 255 with what is put around it.
LONGEST = 200
#: Files that lie beside a track's parts.
_TAKEN = ("data.msgpack", "metadata.json", ".track.lock")


def check_name(kind: str, name: object) -> str:
    """The name as it came when it can be one folder's; raises BadInput that says what is wrong with it.

    >>> check_name("session", "comparison-timm:vit_tiny é")
    'comparison-timm:vit_tiny é'
    """
    why = _fault(name)
    if why:
        raise BadInput(f"{kind} name {name!r} {why}; it becomes a folder: use letters, digits, '-', '_' and '.'")
    return str(name)


def check_track_name(name: object) -> str:
    """A track's name, whose parts may be separated by ``/``; raises BadInput.

    >>> check_track_name("robot/position")
    'robot/position'
    """
    for part in str(name).split("/") if isinstance(name, str) else [name]:
        why = _fault(part) or ("is the name of a file of the session" if part in _TAKEN else "")
        if why:
            raise BadInput(f"track name {name!r}: {part!r} {why}; use names such as 'train' or 'val/top5'")
    return str(name)


def check_prefix(prefix: object) -> str:
    """A file's place in the session, as ``/models`` or ``/``; raises BadInput when it leads out of the session.

    >>> check_prefix("models/best/"), check_prefix("/")
    ('/models/best', '/')
    """
    parts = [part for part in str(prefix).split("/") if part]
    for part in parts:
        why = _fault(part)
        if why:
            raise BadInput(f"path {prefix!r}: {part!r} {why}; use a place such as '/models'")
    return "/" + "/".join(parts)


def _fault(name: object) -> str:
    """Why this cannot be the name of one folder; empty when it can."""
    if not isinstance(name, str):
        return f"is no text but {type(name).__name__}"
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "is a way to another folder"
    if name != name.strip():
        return "starts or ends with a space"
    if "/" in name or "\\" in name:
        return "holds a path separator"
    if not name.isprintable():
        return "holds characters that cannot be printed"
    return f"is longer than {LONGEST} bytes" if len(name.encode()) > LONGEST else ""
