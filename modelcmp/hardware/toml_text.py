"""Devices as TOML: readable units in, base units out, and one line that says what is wrong.

A file holds one table a device. A quantity may be written in the unit of data sheets (``bandwidth_gb_s``) or in
base units (``bandwidth_bytes_s``); :func:`render` writes base units, so that a device reads back as it was.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from ..errors import BadInput
from ..registry import suggest
from .device import DTYPES, Device
from .efficiency import COEFFICIENTS

#: Costs that no data sheet has, by kind: taken where a row has none of its own.
Typical = Mapping[str, Mapping[str, Any]]
#: Words that mean the machine at hand.
THIS = ("this", "this_machine", "local")
_NAME = re.compile(r"[a-z0-9_]+")
_TOLERANCE = 0.02  # of data sheets, which round


class _Wrong(Exception):
    """What is the matter with one value."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Reader:
    """A key of the file: the field that it fills, how it is read, and the factor to base units."""

    field: str
    read: Callable[[Any, Decimal], Any]
    factor: Decimal = Decimal(1)


# -- values ---------------------------------------------------------------------------------------


def _number(value: Any, factor: Decimal = Decimal(1)) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _Wrong("is no number")
    try:
        number = float(value) if factor == 1 else float(Decimal(value) * factor)
    except ArithmeticError:
        number = float("inf")
    if not 0 < number < float("inf"):
        raise _Wrong("must be above 0 and finite")
    return number


def _whole(value: Any, factor: Decimal) -> int:
    number = _number(value, factor)
    if factor == 1 and not isinstance(value, int):
        raise _Wrong("must be a whole number")
    return value if factor == 1 else round(number)


def _text(value: Any, _: Decimal) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("must be text in quotes")
    return value


def _kind(value: Any, _: Decimal) -> str:
    if value not in ("gpu", "cpu"):
        raise _Wrong('must be "gpu" or "cpu"')
    return str(value)


def _flag(value: Any, _: Decimal) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _texts(value: Any, factor: Decimal) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Wrong('must be a list: ["a document, its year"]')
    return tuple(_text(item, factor) for item in value)


def _table(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"must be a table: {what}")
    return value


def _peaks(value: Any, factor: Decimal) -> dict[str, float]:
    peaks = _table(value, "{ fp32 = 10, fp16 = 20 }")
    for dtype in peaks:
        if dtype not in DTYPES:
            raise _Wrong(f"has an unknown type {dtype!r}: {suggest(dtype, DTYPES)}")
    if "fp32" not in peaks:
        raise _Wrong("lacks fp32, which every machine can do")
    return {dtype: _part(dtype, peaks[dtype], factor) for dtype in peaks}


def _numbers(value: Any, factor: Decimal) -> dict[str, float]:
    return {key: _part(key, part, factor) for key, part in _table(value, "{ name = 0.8 }").items()}


def _coefficients(value: Any, factor: Decimal) -> dict[str, float]:
    found = _numbers(value, factor)
    for name, number in found.items():
        if name not in COEFFICIENTS:
            raise _Wrong(f"has no {name!r}: {suggest(name, COEFFICIENTS)}")
        if number > COEFFICIENTS[name].high:
            raise _Wrong(f"{name} = {number:g} is too large: at most {COEFFICIENTS[name].high:g}")
    return found


def _part(key: str, value: Any, factor: Decimal) -> float:
    try:
        return _number(value, factor)
    except _Wrong as wrong:
        raise _Wrong(f"{key} = {_shown(value)} {wrong}") from None


def _words(value: Any, factor: Decimal) -> dict[str, str]:
    table = _table(value, '{ torch = "2.10" }')
    if not all(isinstance(word, str) for word in table.values()):
        raise _Wrong("must hold text in quotes")
    return table


_GIGA, _TERA, _MICRO = Decimal("1e9"), Decimal("1e12"), Decimal("1e-6")

#: Every key of a row. Two that fill the same field are two units of it, the readable one first.
KEYS: dict[str, _Reader] = {
    "title": _Reader("title", _text),
    "kind": _Reader("kind", _kind),
    "year": _Reader("year", _whole),
    "units": _Reader("units", _whole),
    "matrix_tflops": _Reader("matrix_flops", _peaks, _TERA),
    "matrix_flops": _Reader("matrix_flops", _peaks),
    "vector_tflops": _Reader("vector_flops", _peaks, _TERA),
    "vector_flops": _Reader("vector_flops", _peaks),
    "bandwidth_gb_s": _Reader("bandwidth_bytes_s", _number, _GIGA),
    "bandwidth_bytes_s": _Reader("bandwidth_bytes_s", _number),
    "cache_mib": _Reader("cache_bytes", _whole, Decimal(2**20)),
    "cache_bytes": _Reader("cache_bytes", _whole),
    "cache_bandwidth_gb_s": _Reader("cache_bandwidth_bytes_s", _number, _GIGA),
    "cache_bandwidth_bytes_s": _Reader("cache_bandwidth_bytes_s", _number),
    "memory_gib": _Reader("memory_bytes", _whole, Decimal(2**30)),
    "memory_bytes": _Reader("memory_bytes", _whole),
    "launch_us": _Reader("launch_s", _number, _MICRO),
    "launch_s": _Reader("launch_s", _number),
    "kernel_us": _Reader("kernel_s", _number, _MICRO),
    "kernel_s": _Reader("kernel_s", _number),
    "sources": _Reader("sources", _texts),
    "measured": _Reader("measured", _flag),
    "efficiencies": _Reader("efficiencies", _coefficients),
    "environment": _Reader("environment", _words),
    "clock_ghz": _Reader("clock_ghz", _number),  # these two only check the fp32 vector peak
    "fp32_lanes": _Reader("fp32_lanes", _whole),
}
_CHECKED_ONLY = ("clock_ghz", "fp32_lanes")
_OPTIONAL = {f.name for f in dataclasses.fields(Device) if f.default is not dataclasses.MISSING}
_OPTIONAL |= {f.name for f in dataclasses.fields(Device) if f.default_factory is not dataclasses.MISSING}


# -- reading --------------------------------------------------------------------------------------


def load(text: str, where: str) -> dict[str, Any]:
    """The file's tables as they stand; raises BadInput when it is no TOML."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise BadInput(f"{where} is not TOML: {error or type(error).__name__}") from None


def devices_of(tables: Mapping[str, Any], where: str, typical: Typical) -> list[Device]:
    """The devices of a file, in its order; raises BadInput with the file, the device and the key."""
    return [_device(name, row, f"{where}: {name}", where, typical) for name, row in tables.items()]


def costs(tables: Mapping[str, Any], where: str) -> Typical:
    """The typical launch costs of a kind, with their sources."""
    return {kind: _fields(row, f"{where}: typical.{kind}") for kind, row in tables.items()}


def _device(name: str, row: Any, place: str, where: str, typical: Typical) -> Device:
    if not isinstance(row, dict):
        raise BadInput(f"{place} stands outside a table: begin the device with a line [its_name]")
    if not _NAME.fullmatch(name):
        raise BadInput(f"{where}: the name {name!r} must be of a-z, 0-9 and _")
    if name in THIS:
        raise BadInput(f"{where}: the name {name!r} means the machine at hand: choose another")
    fields = _fields(row, place)
    _check_clock(fields, place)
    plain = {key: value for key, value in fields.items() if key not in _CHECKED_ONLY}
    plain = _with_typical(plain, typical)
    for field in dataclasses.fields(Device):
        if field.name not in plain and field.name not in _OPTIONAL and field.name != "name":
            raise BadInput(f"{place} lacks {_key_of(field.name)}")
    return Device(name=name, **plain)


def _fields(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in row.items():
        if key not in KEYS:
            raise BadInput(f"{place} has an unknown key {key!r}: {suggest(key, KEYS, 'docs/hardware.md lists them')}")
        known = KEYS[key]
        if known.field in fields:
            raise BadInput(f"{place} says {known.field} twice: keep {key} or its other unit")
        try:
            fields[known.field] = known.read(value, known.factor)
        except _Wrong as wrong:
            raise BadInput(f"{place}: {key} = {_shown(value)} {wrong}") from None
    return fields


def _with_typical(fields: dict[str, Any], typical: Typical) -> dict[str, Any]:
    """Launch costs of the kind where the row has none, with their sources behind the row's own."""
    usual = typical.get(fields.get("kind", ""), {})
    missing = {key: usual[key] for key in ("launch_s", "kernel_s") if key in usual and key not in fields}
    if not missing:
        return fields
    return fields | missing | {"sources": (*fields.get("sources", ()), *usual.get("sources", ()))}


def _check_clock(fields: Mapping[str, Any], place: str) -> None:
    if not all(key in fields for key in (*_CHECKED_ONLY, "vector_flops", "units")):
        return
    units, lanes, clock = fields["units"], fields["fp32_lanes"], fields["clock_ghz"]
    computed, written = units * lanes * 2 * clock * 1e9, fields["vector_flops"]["fp32"]
    if abs(computed / written - 1) > _TOLERANCE:
        raise BadInput(
            f"{place}: the fp32 vector peak is {written / 1e12:.4g} TFLOP/s, but {units} units * {lanes} lanes * 2 * "
            f"{clock:g} GHz are {computed / 1e12:.4g}: one of them is wrong"
        )


def _key_of(field: str) -> str:
    """The key that one writes for a field."""
    return next(key for key, known in KEYS.items() if known.field == field)


def _shown(value: Any) -> str:
    """A value as it stands in the file, in short."""
    plain = str(value) if isinstance(value, Decimal) else json.dumps(value, default=str, ensure_ascii=False)
    return plain if len(plain) <= 40 else plain[:37] + "..."


# -- writing --------------------------------------------------------------------------------------


def render(device: Device) -> str:
    """A device as a file that reads back exactly: every field, in base units."""
    lines = [f"[{_key(device.name)}]"]
    for field in dataclasses.fields(Device):
        value = getattr(device, field.name)
        if field.name != "name" and value is not None:
            lines.append(f"{field.name} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_toml(part)}" for key, part in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return repr(float(value) if isinstance(value, float) else value)  # a NumPy float says so in its repr
