"""The parameters of a session: flat, dotted keys in one JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

from .layout import PARAMETERS, now, read_object, set_aside, write_object
from .values import flat


class Params:
    """What ``session.params`` is; each ``set`` is on the disk when it returns."""

    def __init__(
        self, folder: Path, lock: RLock, check: Callable[[], None], told: Callable[[dict[str, Any]], None]
    ) -> None:
        self._path, self._lock, self._check, self._told = folder / PARAMETERS, lock, check, told
        self.problems: tuple[str, ...] = ()
        self._document, problem = read_object(self._path)
        if problem:
            self.problems = (f"{problem}; kept as {PARAMETERS}.damaged",)
            set_aside(self._path)

    def set(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Params:
        """Add or replace parameters; nested mappings become dotted keys, what JSON lacks becomes its text.

        Raises OutputError, and keeps the parameters that were there.
        """
        with self._lock:
            self._check()
            new = flat({**(values or {}), **more})
            if new:
                self._write(new)
        return self

    def _write(self, new: dict[str, Any]) -> None:
        at = now()
        old = self._document or {"version": 0, "data": {}, "createdAt": at}
        document = {**old, "version": _version(old) + 1, "data": {**_data(old), **new}, "updatedAt": at}
        write_object(self._path, document)
        self._document = document
        self._told(new)

    def get(self) -> dict[str, Any]:
        """All parameters by dotted key."""
        return dict(_data(self._document or {}))


def _data(document: Mapping[str, Any]) -> dict[str, Any]:
    found = document.get("data")
    return found if isinstance(found, dict) else {}


def _version(document: Mapping[str, Any]) -> int:
    found = document.get("version")
    return found if isinstance(found, int) else 0
