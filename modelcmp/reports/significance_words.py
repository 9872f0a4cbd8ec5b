"""What a comparison over seeds says, in sentences and short texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import units
from ..sweeps.statistics.records import CONFIGURED
from ..training.summary import RANK_KEYS, RankKey
from .training_table import in_sentence

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Difference, Significance

_SMALLEST_P = 0.0001
_MOST_DIGITS = 6
_MOST_NAMES = 6
_TESTS = {
    "paired t": "", "Welch t": "Welch's t, ", "sign": "sign test, ", "rank sum": "rank sum test, ",
    "McNemar": "McNemar's test, ", "paired bootstrap": "paired bootstrap, ", "none": "",
}  # fmt: skip


def sentences(significance: Significance) -> list[str]:
    """Who is better than whom and by how much, then what the method cannot say; for any table of the same groups."""
    return [*verdict_lines(significance), *significance.notes]


def verdict_lines(significance: Significance) -> list[str]:
    """Of two models the whole difference; of more the best one against the next, and the others by name."""
    best = significance.spreads[0].name
    against = [d for d in significance.differences if d.a == best and d.difference is not None]
    if not against:
        return [f"No two models have a {_label(significance)} to compare."]
    rivals = [d for d in against if not d.separable]
    if rivals and significance.metric in CONFIGURED:
        return _of_configuration(best, against, significance)
    first = (rivals or against)[0]
    lines = [f"{pair_sentence(first, significance)}."]
    more = [d.b for d in rivals if d is not first]
    beaten = [d.b for d in against if d.separable and d is not first]
    if more:
        lines.append(f"Nor can {best} be told apart from {_listed(more)}.")
    if beaten:
        lines.append(f"{best} is {'' if rivals else 'also '}better than {_listed(beaten)}.")
    return lines


def _of_configuration(best: str, against: Sequence[Difference], significance: Significance) -> list[str]:
    """Who is equal in what no seed moves, and who is not."""
    same, beaten = [d.b for d in against if not d.separable], [d.b for d in against if d.separable]
    lines = [f"{_listed([best, *same])} are equal in {_label(significance)}."]
    return [*lines, f"{best} is better than {_listed(beaten)}."] if beaten else lines


def pair_sentence(d: Difference, significance: Significance) -> str:
    """One difference in words, without a full stop."""
    label = _label(significance)
    if d.difference is None:
        return f"{d.a} and {d.b} cannot be compared in {label}"
    entry = RANK_KEYS[d.metric]
    by = f"by {amount(d, entry)}{' points' if entry.unit == 'share' else ''}"
    if d.metric in CONFIGURED:
        return f"{d.a} is better than {d.b} in {label} {by}" if d.separable else f"{d.a} and {d.b} are equal in {label}"
    doubt = _doubt(d, significance, entry)
    if d.separable:
        return f"{d.a} is better than {d.b} in {label} {by} ({doubt})"
    return f"{d.a} and {d.b} cannot be told apart in {label}: {_lead(d, entry, by)} ({doubt}){_more(d)}"


def _lead(d: Difference, entry: RankKey, by: str) -> str:
    """Who is ahead; at the seeds compared that may be the one whose mean over all runs is behind."""
    if not d.difference:
        return "their means are equal"
    if (d.difference > 0) == (entry.better == "high"):
        return f"{d.a} is ahead {by}"
    return f"at the seeds that both have {d.b} is ahead {by}, over all its runs it is not"


def _more(d: Difference) -> str:
    return "" if d.seeds_needed is None else f"; about {d.seeds_needed} seeds of each would separate such a difference"


def _doubt(d: Difference, significance: Significance, entry: RankKey) -> str:
    """Interval, p and what they rest on."""
    parts = []
    if d.low is not None and d.high is not None and d.difference is not None:
        flip = entry.better == "low" if d.difference == 0 else d.difference < 0
        low, high = (-d.high, -d.low) if flip else (d.low, d.high)
        parts.append(f"{units.plain(100 * significance.confidence)} % interval {interval_text(low, high, d, entry)}")
    if d.p_adjusted is not None:
        many = sum(other.p is not None for other in significance.differences) > 1
        text = p_text(d.p_adjusted)
        parts.append(f"p {text if text[0] == '<' else '= ' + text}{' after Holm' if many else ''}".replace("<", "< "))
    else:
        parts.append("no test")
    return ", ".join([*parts, f"{_TESTS[d.method]}{_runs(d)}"])


def _runs(d: Difference) -> str:
    if d.n_a == d.n_b == 1:
        return "one run of each"
    if min(d.n_a, d.n_b) == 1:
        return f"{d.n_a} and {d.n_b} runs"
    if d.method in ("paired t", "sign"):
        return f"{d.n_a} seeds"
    return f"{d.n_a} and {d.n_b} seeds" if d.n_a != d.n_b else f"{d.n_a} seeds of each"


# -- numbers --------------------------------------------------------------------------------------


def p_text(p: float | None) -> str:
    """A p-value with two significant digits.

    >>> p_text(0.0312), p_text(0.00002), p_text(0.3), p_text(None)
    ('0.031', '<0.0001', '0.30', '?')
    """
    if p is None:
        return units.UNKNOWN
    if p < _SMALLEST_P:
        return f"<{_SMALLEST_P}"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.2g}"


def amount(d: Difference, entry: RankKey) -> str:
    """How large a difference is, without its sign; shares in points."""
    return units.UNKNOWN if d.difference is None else _number(abs(d.difference), entry, _digits(d, entry))


def difference_text(d: Difference, entry: RankKey) -> str:
    """A minus B with its sign; shares in points."""
    if d.difference is None:
        return units.UNKNOWN
    return ("+" if d.difference > 0 else "") + _number(d.difference, entry, _digits(d, entry))


def interval_text(low: float | None, high: float | None, d: Difference, entry: RankKey) -> str:
    """``4.1 to 4.7``, to the digit of the difference; of shares between -100 and 100 points."""
    if low is None or high is None:
        return units.UNKNOWN
    digits = _digits(d, entry)
    return " to ".join(_number(end, entry, digits) for end in possible(low, high, entry, -1.0))


def effect_text(d: Difference) -> str:
    """Hedges' g with its sign, "-" where there is none."""
    if d.effect is None:
        return "-"
    return f"{d.effect:+.2f}" if abs(d.effect) < 10 else f"{d.effect:+.0f}"


def verdict_text(d: Difference) -> str:
    """That A, whose mean is the better one, is better; or that they cannot be told apart."""
    if d.separable:
        return "A better"
    return "equal" if d.metric in CONFIGURED else "not separable"


def possible(low: float, high: float, entry: RankKey, least: float = 0.0) -> tuple[float, float]:
    """The part of an interval in which a figure can be: a share from ``least`` to 1."""
    return (max(low, least), min(high, 1.0)) if entry.unit == "share" else (low, high)


def cut_line(significance: Significance) -> list[str]:
    """That intervals are shown shorter than they are, where they are."""
    entry = RANK_KEYS[significance.metric]
    means = [(s.low, s.high, 0.0) for s in significance.spreads]
    found = [*means, *((d.low, d.high, -1.0) for d in significance.differences)]
    if all(a is None or b is None or possible(a, b, entry, least) == (a, b) for a, b, least in found):
        return []
    return [
        "After few seeds Student's intervals can be wider than a share can be: they are cut at 0 and 100 % "
        "(differences at 100 points), and whole in JSON and CSV."
    ]


def _digits(d: Difference, entry: RankKey) -> int:
    """After the point: two significant ones of half the interval, or three of the difference without one."""
    scale = 100 if entry.unit == "share" else 1
    half = 0.0 if d.low is None or d.high is None else scale * (d.high - d.low) / 2
    size, wanted = (half, 1) if half > 0 else (scale * abs(d.difference or 0.0), 2)
    if not size:
        return 1
    return max(0, wanted - math.floor(math.log10(size)))


def _number(value: float, entry: RankKey, digits: int) -> str:
    """In points, in the figure's own number, or scaled with its unit."""
    if entry.unit in ("share", "loss"):
        value = 100 * value if entry.unit == "share" else value
        text = f"{value:.{digits}f}" if digits <= _MOST_DIGITS else f"{value:.2g}"
        return text if float(text) else text.lstrip("-")
    if not value:
        return "0"
    return ("-" if value < 0 else "") + entry.written(abs(value))


def _label(significance: Significance) -> str:
    return in_sentence(RANK_KEYS[significance.metric].label)


def _listed(names: Sequence[str]) -> str:
    """A list in words, long ones cut."""
    if len(names) > _MOST_NAMES:
        return f"{', '.join(names[: _MOST_NAMES - 1])} and {len(names) - _MOST_NAMES + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
