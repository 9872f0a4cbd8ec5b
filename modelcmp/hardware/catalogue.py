"""Machines by name: the data sheets of ``devices.toml``, and the user's own."""

from __future__ import annotations

import os
import platform
import re
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..errors import BadInput, OutputError, UnknownName
from ..files import write_whole
from ..registry import Registry, suggest
from .device import Device
from .toml_text import THIS, Typical, costs, devices_of, load, render

VARIABLE = "MODELCMP_DEVICES"
#: Key of ``Device.environment`` that names the host on which a device was measured.
HOST = "host"
_FILE = re.compile(r"(.+\.toml)(?::([^/\\]*))?")  # my.toml, my.toml:name
_LISTED = "`compare-models hardware` lists them"


def devices_folder(asked: Path | None = None) -> Path:
    """The folder asked for, else that of ``MODELCMP_DEVICES``, else the platform's data folder."""
    if asked is not None:
        return asked.expanduser()
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("modelcmp", appauthor=False) / "devices"


def devices() -> Registry[Device]:
    """All machines: data sheets first, then the user's own; raises BadInput for an own file with a mistake."""
    known: Registry[Device] = Registry("machine")
    for device in _packaged()[1]:
        known.add(device.name, device)
    for path in _own_files():
        for device in read(path):
            if device.name in known:
                raise BadInput(f"{path}: there is another machine {device.name!r}: give this one a name of its own")
            known.add(device.name, device)
    return known


def find(name: str) -> Device:
    """A machine by name (``h100``), file (``my.toml``, ``my.toml:name``), or ``this``: the one calibrated here.

    Raises UnknownName, or BadInput for a file that cannot be used.
    """
    wanted = name.lower()
    if wanted in THIS:
        return this_machine()
    if match := _FILE.fullmatch(name):
        return _one_of(Path(match[1]).expanduser(), match[2])
    for device in _packaged()[1]:
        if device.name == wanted:
            return device
    known = devices()
    if wanted in known:
        return known[wanted]
    raise UnknownName("machine", name, _hint(name, known))


def select(pattern: str) -> list[Device]:
    """The machines that a word means: a name, ``this``, a file with all its machines, a glob or a part of the name.

    Raises UnknownName when there is none.
    """
    if (match := _FILE.fullmatch(pattern)) and match[2] is None:
        return read(Path(match[1]).expanduser())
    if match or pattern.lower() in (*THIS, *(device.name for device in _packaged()[1])):
        return [find(pattern)]
    known, wanted = devices(), pattern.lower()
    if wanted in known:
        return [known[wanted]]
    found = [d for d in known.values() if any(_matches(wanted, text.lower()) for text in (d.name, d.title))]
    if not found:
        raise UnknownName("machine", pattern, _hint(pattern, known))
    return found


def _matches(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern) if any(sign in pattern for sign in "*?[") else pattern in text


def this_machine() -> Device:
    """The machine of this host that was calibrated last; raises UnknownName when none was."""
    host = platform.node()
    found = [(path.stat().st_mtime_ns, path, device) for path in _own_files() for device in read(path)
             if device.measured and device.environment.get(HOST, host) == host]  # fmt: skip
    if not found:
        raise UnknownName(
            "machine", "this", f"nothing was calibrated on {host or 'this host'}: run `compare-models calibrate`"
        )
    return max(found, key=lambda entry: entry[:2])[2]


def read(path: Path) -> list[Device]:
    """The machines of a TOML file; raises BadInput that names the file, the machine and the key."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not TOML: it is no UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None
    found = devices_of(load(text, str(path)), str(path), _packaged()[0])
    for device in found:
        if device.name in {d.name for d in _packaged()[1]}:
            raise BadInput(f"{path}: {device.name} is a data sheet's machine: give this one a name of its own")
    if not found:
        raise BadInput(f"{path} holds no machine: begin one with a line [its_name]; docs/hardware.md shows how")
    return found


def save(device: Device, folder: Path | None = None) -> Path:
    """Keep a machine as NAME.toml in the folder of the user's own; an older one of that name is replaced.

    Raises BadInput for a machine that could not be read back, OutputError where nothing can be written.
    """
    place = devices_folder(folder)
    text = render(device)
    if devices_of(load(text, device.name), device.name, {}) != [device]:
        raise BadInput(f"{device.name} does not read back as it is: its values must be plain numbers and text")
    if any(device.name == packaged.name for packaged in _packaged()[1]):
        raise BadInput(f"{device.name!r} is a machine of the data sheets: give this one a name of its own")
    path = place / f"{device.name}.toml"
    _make(place)
    write_whole(path, text)
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror or error}") from error


@cache
def _packaged() -> tuple[Typical, tuple[Device, ...]]:
    tables = load(files(__package__).joinpath("devices.toml").read_text("utf-8"), "devices.toml")
    typical = costs(tables.pop("typical"), "devices.toml")
    return typical, tuple(devices_of(tables, "devices.toml", typical))


def _own_files() -> list[Path]:
    return sorted(path for path in devices_folder().glob("*.toml") if path.is_file() and path.name[0] != ".")


def _one_of(path: Path, name: str | None) -> Device:
    """The named machine of a file, or its only one."""
    found = {device.name: device for device in read(path)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name is None:
        raise BadInput(f"{path} holds {', '.join(found)}: say which, like {path}:{next(iter(found))}")
    if name not in found:
        raise UnknownName("machine", f"{path}:{name}", suggest(name, found))
    return found[name]


def _hint(name: str, known: Registry[Device]) -> str:
    meant = suggest(name, known, _LISTED)
    return meant if meant == _LISTED else f"{meant} {_LISTED}"
