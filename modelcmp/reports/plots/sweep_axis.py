"""How a figure of RANK_KEYS is written on an axis, and how long that axis is. Knows nothing of matplotlib."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from ... import units
from ...training.summary import RANK_KEYS

#: From this ratio of the largest to the smallest value on, an axis is logarithmic.
LOG_FROM = 30.0
_SINGLE = 0.1  # of a value: how wide an axis is that shows no other


def label_of(key: str) -> str:
    """What a picture calls a figure: ``Validation loss``; the key itself where it is none of RANK_KEYS."""
    return RANK_KEYS[key].label if key in RANK_KEYS else key


def arrowed(key: str, arrows: tuple[str, str] = ("←", "→")) -> str:
    """The label with an arrow to the better end.

    >>> arrowed("val_loss"), arrowed("val_accuracy", ("↓", "↑"))
    ('← Validation loss (lower is better)', 'Validation accuracy (higher is better) ↑')
    """
    better = RANK_KEYS[key].better if key in RANK_KEYS else None
    if better is None:
        return label_of(key)
    words = f"{label_of(key)} ({better}er is better)"
    return f"{arrows[0]} {words}" if better == "low" else f"{words} {arrows[1]}"


def is_share(key: str) -> bool:
    """Whether the figure lies between 0 and 1 and is written in percent."""
    return key in RANK_KEYS and RANK_KEYS[key].unit == "share"


def tick_text(key: str, value: float) -> str:
    """A value on an axis, without zeros that say nothing.

    >>> tick_text("val_accuracy", 0.975), tick_text("val_loss", 0.05), tick_text("params", 1.5e6)
    ('97.5 %', '0.05', '1.5M')
    """
    unit = RANK_KEYS[key].unit if key in RANK_KEYS else "loss"
    if unit == "share":
        return f"{100 * value:.6g} %"
    if unit in ("loss", "count"):
        return f"{value:.6g}"
    return short_zeros(_written(key, value))


def short_zeros(text: str) -> str:
    """A number's text without zeros at the end of its fraction.

    >>> short_zeros("4.00T"), short_zeros("1.50 s"), short_zeros("20")
    ('4T', '1.5 s', '20')
    """
    return re.sub(r"\.(\d*?)0+(?!\d)", lambda m: f".{m[1]}" if m[1] else "", text)


def value_text(key: str, mean: float, std: float | None = None) -> str:
    """A mean and its standard deviation beside a mark: two significant digits of the deviation.

    >>> value_text("test_accuracy", 0.982, 0.0009), value_text("test_loss", 0.0571, 0.0015)
    ('98.200 ± 0.090 %', '0.0571 ± 0.0015')
    >>> value_text("test_accuracy", 0.982), value_text("params", 1.5e6, 0.0)
    ('98.2 %', '1.50M')
    """
    unit = RANK_KEYS[key].unit if key in RANK_KEYS else "loss"
    if unit not in ("share", "loss"):
        return tick_text(key, mean) if unit == "count" else _written(key, mean)
    factor, behind = (100.0, " %") if unit == "share" else (1.0, "")
    if not std:
        return f"{factor * mean:.1f}{behind}" if unit == "share" else f"{mean:.4g}"
    digits = min(8, max(0, 1 - math.floor(math.log10(factor * std))))
    return f"{factor * mean:.{digits}f} ± {factor * std:.{digits}f}{behind}"


def _written(key: str, value: float) -> str:
    """As a table writes it."""
    unit = RANK_KEYS[key].unit
    if unit == "seconds":
        return units.seconds(value)
    if unit == "milliseconds":
        return units.milliseconds(value)
    return units.scaled(value, "B" if unit == "bytes" else "") + ("/s" if unit == "rate" else "")


def wants_log(values: Iterable[float], key: str = "val_loss") -> bool:
    """Whether values spread over so many sizes that a linear axis would hide the small ones."""
    known = list(values)
    return bool(known) and not is_share(key) and min(known) > 0 and max(known) > LOG_FROM * min(known)


def ends_of(values: Sequence[float], log: bool = False, margin: float = 0.06) -> tuple[float, float]:
    """Ends of an axis with a share of its span free on both sides; some width also around a single value.

    >>> ends_of([1.0, 2.0], margin=0.5), ends_of([1.0, 100.0], log=True, margin=0.5)
    ((0.5, 2.5), (0.1, 1000.0))
    """
    low, high = (math.log10(min(values)), math.log10(max(values))) if log else (min(values), max(values))
    span = high - low or (1.0 if log else _SINGLE * abs(low)) or 1.0
    middle, half = (low + high) / 2, span * (0.5 + margin)
    ends = middle - half, middle + half
    return (10 ** ends[0], 10 ** ends[1]) if log else ends
