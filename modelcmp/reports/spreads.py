"""A mean and its spread over seeds as text: ``0.0571 ± 0.0015``, ``98.20 ± 0.12 %``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..training.summary import RankKey, Unit

if TYPE_CHECKING:
    from ..sweeps.statistics.records import Spread

NOTHING = "-"
_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_TIMES = ((3600.0, 7200.0, " h"), (60.0, 120.0, " min"), (1.0, 1.0, " s"), (1e-3, 1e-3, " ms"), (1e-6, 0.0, " µs"))
_AFTER: dict[Unit, str] = {"scaled": "", "bytes": "B", "rate": "/s"}
_LONG = 1e6  # plain figures at least so large are written with an exponent
_ROUNDING = 1e-12  # a spread of so small a share of the mean is none


def mean_text(spread: Spread, entry: RankKey) -> str:
    """``98.20 ± 0.12 %``: as many digits as the first two of the spread; the mean alone without a spread.

    "-" where no run has the figure.
    """
    if spread.mean is None:
        return NOTHING
    if spread.std is None:
        return entry.written(spread.mean)
    mean, std, unit = parts(spread.mean, spread.std, entry.unit)
    return entry.written(spread.mean) if _constant(std, entry) else f"{mean} ± {std}{unit}"


def count_text(counts: Sequence[Spread]) -> str:
    """``5`` runs, or ``4/5`` where one has not all figures; each seed counts once.

    >>> from modelcmp.sweeps.statistics.records import Spread
    >>> count_text([Spread("cnn", "test_loss", (0.5, 0.4), (1, 2), {"diverged": 1})])
    '2/3'
    """
    total = max((len(s.values) + sum(s.missing.values()) for s in counts), default=0)
    n = min((len(s.values) for s in counts), default=0)
    return f"{n}" if n == total else f"{n}/{total}"


def mean_latex(spread: Spread, entry: RankKey) -> str:
    """The same for LaTeX: ``$98.20 \\pm 0.12$\\,\\%``."""
    if spread.mean is None:
        return "--"
    mean, std, unit = parts(spread.mean, spread.std or 0.0, entry.unit)
    if spread.std is None or _constant(std, entry):
        return latex(entry.written(spread.mean))
    return f"${_power(mean)} \\pm {_power(std)}$" + (f"\\,{latex(unit.strip())}" if unit else "")


def _constant(std: str, entry: RankKey) -> bool:
    """Whether a figure is one of the configuration, which no seed moves: its spread of 0 says nothing."""
    return std == "0" and entry.unit in ("scaled", "bytes", "count")


def parts(mean: float, std: float, unit: Unit) -> tuple[str, str, str]:
    """Mean and standard deviation to the same digit, and their unit with the space before it.

    >>> parts(0.05712, 0.00153, "loss"), parts(0.98204, 0.000899, "share"), parts(12345.0, 678.0, "scaled")
    (('0.0571', '0.0015', ''), ('98.204', '0.090', ' %'), ('12.35', '0.68', 'k'))
    >>> parts(0.5, 0.0, "share"), parts(83.4, 9.96, "seconds")
    (('50', '0', ' %'), ('83', '10', ' s'))
    """
    factor, after = _scale(mean, unit)
    value, spread = mean / factor, std / factor
    if spread <= _ROUNDING * max(abs(value), 1e-300):
        return f"{value:.4g}", "0", after
    exponent = int(f"{spread:.1e}".partition("e")[2])
    if max(abs(value), spread) >= _LONG or exponent < -9:
        return f"{value:.3g}", f"{spread:.2g}", after
    digits = max(0, 1 - exponent)
    return f"{value:.{digits}f}", f"{spread:.{digits}f}", after


def _scale(mean: float, unit: Unit) -> tuple[float, str]:
    """By what a figure in base units is divided, and what is written behind it."""
    size = abs(mean)
    if unit == "share":
        return 0.01, " %"
    if unit in ("seconds", "milliseconds"):
        base = 1e3 if unit == "milliseconds" else 1.0
        factor, _, after = next(t for t in _TIMES if size / base >= t[1])
        return factor * base, after
    if unit in _AFTER:
        factor, prefix = next((f, p) for f, p in _PREFIXES if size >= f or f == 1.0)
        return factor, prefix + _AFTER[unit]
    return 1.0, ""


# -- LaTeX ----------------------------------------------------------------------------------------

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}", "±": r"$\pm$", "µ": r"$\mu$", "\n": " ", "\r": " ", "\t": " ",
    "[": "{[}", "]": "{]}",
}  # fmt: skip


def latex(text: str) -> str:
    """Text that LaTeX sets as it is: no command, argument or ligature (``--``, ``,,``); quotes need textcomp.

    >>> latex("se_resnet 50% & more")
    'se\\\\_resnet 50\\\\% \\\\& more'
    """
    written = "".join(_LATEX.get(c, c if c.isprintable() else " ") for c in text)
    return re.sub(r"-(?=-)|,(?=,)", r"\g<0>{}", written)


def _power(number: str) -> str:
    """``1.2e-05`` as a power of ten."""
    digits, _, exponent = number.partition("e")
    return f"{digits} \\times 10^{{{int(exponent)}}}" if exponent and math.isfinite(float(number)) else number
