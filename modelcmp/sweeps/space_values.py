"""What one searched key may be: listed values, or a range of numbers. Loaded without Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..training.yaml_text import dump_line


@dataclass(frozen=True, slots=True)
class Choices:
    """Any of the listed values."""

    values: tuple[Any, ...]
    forms: tuple[Any, ...] = field(init=False, compare=False, repr=False)  # the same as Optuna stores them

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", tuple(map(simple, self.values)))

    @property
    def count(self) -> int:
        """How many values a grid takes."""
        return len(self.values)

    def listed(self) -> tuple[Any, ...]:
        """The values that a grid takes, in order."""
        return self.values

    def ends(self) -> tuple[Any, ...]:
        """The values that show whether all of them can be trained."""
        return self.values

    def takes(self, value: Any) -> bool:
        """Whether it is one of them."""
        return value in self.values

    def distribution(self) -> Any:
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.forms)

    def suggest(self, trial: Any, name: str) -> Any:
        """Draw one from an Optuna trial."""
        return self.from_optuna(trial.suggest_categorical(name, self.forms))

    def to_optuna(self, value: Any) -> Any:
        """A value as Optuna takes it."""
        return simple(value)

    def from_optuna(self, value: Any) -> Any:
        """The value that Optuna's stands for; what is none of them is left as it is."""
        return self.values[self.forms.index(value)] if value in self.forms else value

    def plain(self) -> dict[str, Any]:
        """As an entry of ``space``."""
        return {"values": list(self.values)}


def simple(value: Any) -> Any:
    """A value as Optuna can store it: a list or mapping is represented by its YAML on one line.

    >>> simple(0.9), simple(None), simple({"name": "sgd", "momentum": 0.9})
    (0.9, None, '{name: sgd, momentum: 0.9}')
    """
    return dump_line(value) if isinstance(value, list | Mapping) else value


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers from ``low`` to ``high``, both included; whole where both, and the step, are whole.

    ``step`` leaves only ``low + k step`` to every method; ``points`` says how many evenly spaced values a grid takes
    (evenly in the logarithm with ``log``), where other methods may draw any.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    points: int | None = None

    @property
    def whole(self) -> bool:
        """Whether all of its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)

    @property
    def _pace(self) -> float | None:
        """What lies between two neighbours; None where any number in between may be drawn, or only the log is even."""
        return 1 if self.step is None and self.whole and not self.log else self.step

    @property
    def count(self) -> int | None:
        """How many values a grid takes; None where it cannot tell which."""
        if self.points is not None:
            return len(self.listed() or ())
        return None if self._pace is None else self._last(self._pace) + 1

    def listed(self) -> tuple[float, ...] | None:
        """The values that a grid takes, in order; None where it cannot tell."""
        if self.points is not None:
            inner = (self._between(i, self.points - 1) for i in range(1, self.points - 1))
            return tuple(dict.fromkeys((self.low, *inner, self.high)))
        if (pace := self._pace) is None:
            return None
        return tuple(self._at(k, pace) for k in range(self._last(pace) + 1))

    def ends(self) -> tuple[float, float]:
        """The least and the largest."""
        pace = self._pace
        return self.low, self.high if pace is None else self._at(self._last(pace), pace)

    def takes(self, value: Any) -> bool:
        """Whether it is one that is drawn, and not one among the uncountable."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self._pace is None:
            return self.whole and float(value).is_integer()
        return ((_exact(value) - _exact(self.low)) / _exact(self._pace)).denominator == 1

    def distribution(self) -> Any:
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high = self.ends()
        if self.whole:
            return IntDistribution(int(low), int(high), log=self.log, step=int(self._pace or 1))
        return FloatDistribution(float(low), float(high), log=self.log, step=self.step)

    def suggest(self, trial: Any, name: str) -> float:
        """Draw one from an Optuna trial."""
        low, high = self.ends()
        if self.whole:
            return self.from_optuna(trial.suggest_int(name, low, high, step=int(self._pace or 1), log=self.log))
        return self.from_optuna(trial.suggest_float(name, low, high, step=self.step, log=self.log))

    def to_optuna(self, value: Any) -> Any:
        """A value as Optuna takes it."""
        return value

    def from_optuna(self, value: Any) -> float:
        """The value that Optuna's stands for: 0.30000000000000004 on a step of 0.1 is 0.3."""
        if self.whole:
            return int(value)
        if self._pace is None:
            return float(value)
        return self._at(round((value - self.low) / self._pace), self._pace)

    def plain(self) -> dict[str, Any]:
        """As an entry of ``space``."""
        found = {"min": self.low, "max": self.high, "log": self.log or None, "step": self.step, "points": self.points}
        return {key: value for key, value in found.items() if value is not None}

    def _last(self, pace: float) -> int:
        """The number of the largest value, from 0."""
        return int((_exact(self.high) - _exact(self.low)) / _exact(pace))

    def _at(self, k: int, pace: float) -> float:
        """The k-th value, in exact decimals."""
        found = _exact(self.low) + k * _exact(pace)
        return int(found) if self.whole else float(found)

    def _between(self, i: int, of: int) -> float:
        """The i-th of ``of`` even parts of the way from low to high."""
        if self.log:
            found: Any = math.exp(math.log(self.low) + (math.log(self.high) - math.log(self.low)) * i / of)
        else:
            found = _exact(self.low) + (_exact(self.high) - _exact(self.low)) * Fraction(i, of)
        return round(found) if self.whole else float(f"{float(found):.12g}" if self.log else found)


def _exact(number: float) -> Fraction:
    """A number as it is written, so that three steps of 0.1 are 0.3."""
    return Fraction(repr(number) if isinstance(number, float) else int(number))


Values = Choices | Range


def values_from(entry: Mapping[str, Any]) -> Values:
    """What a checked entry of ``space`` stands for."""
    if "values" in entry:
        return Choices(tuple(entry["values"]))
    low, high, step = entry["min"], entry["max"], entry.get("step")
    if not all(isinstance(n, int | None) for n in (low, high, step)):
        low, high, step = float(low), float(high), None if step is None else float(step)
    return Range(low, high, bool(entry.get("log")), step, entry.get("points"))
