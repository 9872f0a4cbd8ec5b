"""The only place where a number becomes text.

Prefixes are decimal (1 MB = 1e6 bytes), as in the published tables that people compare with.
"""

from __future__ import annotations

import math
import re

from .errors import BadInput

UNKNOWN = "?"
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def scaled(value: float | None, unit: str = "") -> str:
    """Write a number with a decimal prefix and three or four significant digits.

    >>> scaled(1_814_073_344), scaled(116_950_000, "B"), scaled(68), scaled(None)
    ('1.81G', '117MB', '68', '?')
    >>> scaled(999_999)
    '1.00M'
    """
    if value is None:
        return UNKNOWN
    if not math.isfinite(value):
        return str(value)
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor * 0.9995:
            return f"{_digits(value / factor)}{prefix}{unit}"
    return f"{value:g}{unit}" if float(value).is_integer() else f"{_digits(value)}{unit}"


def _digits(value: float) -> str:
    """Three significant digits, never an exponent."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"


def ratio(value: float | None) -> str:
    """Write a ratio such as FLOP/byte.

    >>> ratio(24.7612), ratio(311.7), ratio(0.03217), ratio(None)
    ('24.76', '311.70', '0.0322', '?')
    """
    if value is None:
        return UNKNOWN
    return f"{value:.2f}" if abs(value) >= 1 or value == 0 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """Write a share that is already in percent.

    >>> percent(42.123), percent(100.0)
    ('42.1%', '100.0%')
    """
    return UNKNOWN if value is None else f"{value:.1f}%"


def share(value: float | None) -> str:
    """Write a share from 0 to 1 in percent.

    >>> share(0.97163), share(1), share(None)
    ('97.2 %', '100.0 %', '?')
    """
    return UNKNOWN if value is None else f"{100 * value:.1f} %"


def seconds(value: float | None) -> str:
    """Write a duration that is given in seconds.

    >>> seconds(0.0123), seconds(59.9), seconds(83.4), seconds(7449)
    ('12.3 ms', '59.9 s', '1 min 23 s', '2 h 4 min')
    """
    if value is None or value < 60:
        return UNKNOWN if value is None else milliseconds(1000 * value)
    whole = round(value)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def milliseconds(value: float | None) -> str:
    """Write a duration that is given in milliseconds.

    >>> milliseconds(0.0123), milliseconds(4.5), milliseconds(317.2), milliseconds(12345.6)
    ('12.3 µs', '4.50 ms', '317 ms', '12.3 s')
    """
    if value is None:
        return UNKNOWN
    for factor, unit in ((1e3, "s"), (1.0, "ms")):
        if value >= factor * 0.9995:
            return f"{_digits(value / factor)} {unit}"
    return f"{_digits(value * 1e3)} µs"


def parse_bytes(text: str) -> int:
    """Read an amount of memory; raises BadInput.

    >>> parse_bytes("4GB"), parse_bytes("1.5G"), parse_bytes("512 MiB"), parse_bytes("1000")
    (4000000000, 1500000000, 536870912, 1000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise BadInput(f"{text!r} is no amount of memory: write 4GB, 512MB or 2GiB")
    base = 1024.0 if match[3] else 1000.0
    return round(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))


def parse_seconds(text: str) -> float:
    """Read a time; raises BadInput.

    >>> parse_seconds("30"), parse_seconds("1.5m"), parse_seconds("2h")
    (30.0, 90.0, 7200.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise BadInput(f"{text!r} is no time: write 30 (seconds), 5m or 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2].lower()]


def plain(value: float | None) -> str:
    """Write a figure whose unit we do not know, with up to six significant digits.

    >>> plain(76.13), plain(1024), plain(123456.789)
    ('76.13', '1024', '123457')
    """
    if value is None:
        return UNKNOWN
    whole = isinstance(value, int) or (1e6 <= abs(value) < 1e15)
    return f"{value:.0f}" if whole else f"{value:.6g}"


def count(value: float | None) -> str:
    """Write a small whole number.

    >>> count(1234)
    '1234'
    """
    return UNKNOWN if value is None else f"{value:.0f}"


def shape(dims: tuple[int, ...]) -> str:
    """Write a tensor's shape.

    >>> shape((1, 3, 224, 224)), shape(())
    ('1x3x224x224', 'scalar')
    """
    return "x".join(str(d) for d in dims) or "scalar"
