"""What decides a model's figures besides the versions of packages: its identity in the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path

from ..environment import stamp
from ..store.cache import Key
from . import identify
from .closure import content_digest
from .factory import split_spec
from .subject import Request
from .timm import switched


def cache_key(spec: str, request: Request, mode: str) -> Key | None:
    """The key of a profile, made without importing torch or the user's code; None where it can't be told.

    It can't where keywords are no plain data, where the user's code hangs on more than its source, and
    where this process has changed timm's global switches.

    Raises UnknownName.
    """
    source, name, _ = identify(spec)
    try:
        origin, place, content = _own_code(spec) if source is None else (source.name, name, "")
    except OSError:  # unreadable: loading it will say so
        return None
    if content is None or (origin == "timm" and switched()):
        return None
    asked = {field.name: getattr(request, field.name) for field in fields(request)}
    try:
        text = json.dumps([stamp(), origin, place, content, mode, asked], sort_keys=True)
    except (TypeError, ValueError):  # keywords that only this process knows
        return None
    return Key(hashlib.sha256(text.encode()).hexdigest(), origin, place)


def _own_code(spec: str) -> tuple[str, str, str | None]:
    """Kind, place and content of the user's own model."""
    parts = split_spec(spec)
    assert parts is not None
    module, factory = parts
    if module.endswith(".py"):
        return "file", f"{Path(module).resolve()}:{factory}", content_digest(module)
    return "module", f"{Path.cwd()}:{spec}", content_digest(module)
