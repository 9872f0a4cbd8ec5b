"""What a search may vary of one architecture: keys of the config, their values, and when each applies.

Loaded without Optuna and torch. Optuna's choices may only be None, bool, int, float or text: lists and mappings are
represented by their YAML on one line, here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from .space_values import Values, values_from

#: The most points that a grid may have.
MOST = 100_000


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the config that is searched; ``when`` says of which values of other keys it depends."""

    path: str  # as --set takes it: "optimizer.momentum", "kwargs.hidden"
    values: Values
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

    def applies(self, taken: Mapping[str, Any]) -> bool:
        """Whether it is searched where the keys before it have these values."""
        return all(path in taken and taken[path] in values for path, values in self.when)

    def plain(self) -> Any:
        """As an entry of ``space``."""
        entry = self.values.plain()
        when = {path: list(values) for path, values in self.when}
        return entry | {"when": when} if when else entry.get("values", entry)


@dataclass(frozen=True, slots=True)
class Space:
    """The searched keys of one architecture, each after those that it depends on."""

    keys: tuple[Key, ...]

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Space:
        """What :meth:`plain` gave, read back."""
        return cls(tuple(_key(path, entry) for path, entry in data.items()))

    def plain(self) -> dict[str, Any]:
        """Plain JSON data that identifies it: an entry for each key, in their order, as in ``space`` of a config."""
        return {key.path: key.plain() for key in self.keys}

    @property
    def paths(self) -> tuple[str, ...]:
        """The searched keys."""
        return tuple(key.path for key in self.keys)

    def key(self, path: str) -> Key:
        """One of the keys; raises KeyError."""
        for key in self.keys:
            if key.path == path:
                return key
        raise KeyError(path)

    # -- as a grid -----------------------------------------------------------------------------------------

    @property
    def unlisted(self) -> tuple[str, ...]:
        """The keys of which a grid cannot tell the values: ranges without ``step`` or ``points``."""
        return tuple(key.path for key in self.keys if key.values.count is None)

    def size(self) -> int | None:
        """How many points the grid has, counted without listing them; None where a range is continuous."""
        return None if self.unlisted else _count(self.keys, {})

    def points(self) -> list[dict[str, Any]]:
        """Every combination once, the last key varying fastest; a key is left out where it does not apply.

        Raises BadInput for a range without ``step`` or ``points``, and for more than MOST combinations.
        """
        if self.unlisted:
            raise BadInput(f"{self.unlisted[0]}: {endless_hint(self.key(self.unlisted[0]).values)}")
        if (size := _count(self.keys, {})) > MOST:
            raise BadInput(
                f"this grid has {size:,} points, more than {MOST:,}: list fewer values, or take method: random"
            )
        return list(_combinations(self.keys, {}))

    # -- as Optuna has it ----------------------------------------------------------------------------------

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Draw a point from an ``optuna.Trial``, as real values."""
        taken: dict[str, Any] = {}
        for key in self.keys:
            if key.applies(taken):
                taken[key.path] = key.values.suggest(trial, key.path)
        return taken

    def to_optuna(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A point as ``study.enqueue_trial`` takes it; raises KeyError for a key that is not searched."""
        return {path: self.key(path).values.to_optuna(value) for path, value in point.items()}

    def from_optuna(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A trial's params as real values, in the order of the keys; a foreign key raises KeyError."""
        found = {path: self.key(path).values.from_optuna(value) for path, value in params.items()}
        return {path: found[path] for path in self.paths if path in found}

    def distributions(self) -> dict[str, Any]:
        """Optuna's distribution of each key, whether it always applies or not."""
        return {key.path: key.values.distribution() for key in self.keys}

    # -- what depends on what ------------------------------------------------------------------------------

    def needs(self, path: str) -> dict[str, tuple[Any, ...]]:
        """Which values other keys must have for this one to apply, through all that they depend on in turn.

        No value of one of them is left where the conditions contradict each other.
        """
        found: dict[str, tuple[Any, ...]] = {}
        waiting = [path]
        while waiting:
            for parent, values in self.key(waiting.pop()).when:
                found[parent] = tuple(v for v in found.get(parent, values) if v in values)
                waiting.append(parent)
        return found

    def example(self, path: str, value: Any) -> dict[str, Any]:
        """A point in which a key has a value; every other key has the first that allows it."""
        needs = {**self.needs(path), path: (value,)}
        taken: dict[str, Any] = {}
        for key in self.keys:
            if key.applies(taken):
                taken[key.path] = needs[key.path][0] if key.path in needs else key.values.ends()[0]
        return taken


class Circle(BadInput):
    """Keys of which each depends on the next, the first again at the end."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"{' -> '.join(paths)}: each depends on the next, in a circle; drop one `when`")
        self.paths = tuple(paths)


def endless_hint(values: Values) -> str:
    """What to do about a range of which a grid cannot tell the values."""
    step = "" if getattr(values, "log", False) else ", or a step,"
    return f"a grid needs the values of a range: add points: 5{step} or take method: random"


def in_order(keys: Sequence[Key]) -> tuple[Key, ...]:
    """Each key after those that it depends on, else as they came; raises Circle."""
    found: list[Key] = []
    left = list(keys)
    while left:
        known = {key.path for key in found}
        ready = next((key for key in left if all(path in known for path, _ in key.when)), None)
        if ready is None:
            raise Circle(_circle(left))
        found.append(ready)
        left.remove(ready)
    return tuple(found)


def _circle(keys: Sequence[Key]) -> list[str]:
    """The paths of a circle among keys of which each depends on another one of them."""
    parents = {key.path: next(p for p, _ in key.when if any(k.path == p for k in keys)) for key in keys}
    walked = [keys[0].path]
    while walked.count(walked[-1]) == 1:
        walked.append(parents[walked[-1]])
    return walked[walked.index(walked[-1]) :]


def _key(path: str, entry: Any) -> Key:
    entry = entry if isinstance(entry, Mapping) else {"values": entry}
    when = tuple((parent, tuple(values)) for parent, values in (entry.get("when") or {}).items())
    return Key(path, values_from(entry), when)


def _combinations(keys: Sequence[Key], taken: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not keys:
        yield taken
    elif not keys[0].applies(taken):
        yield from _combinations(keys[1:], taken)
    else:
        for value in keys[0].values.listed() or ():
            yield from _combinations(keys[1:], {**taken, keys[0].path: value})


def _count(keys: Sequence[Key], taken: dict[str, Any]) -> int:
    """How many combinations there are: only values on which another key depends are gone through one by one."""
    if not keys:
        return 1
    key, rest = keys[0], keys[1:]
    if not key.applies(taken):
        return _count(rest, taken)
    told: list[Any] = []
    for value in (v for later in rest for path, values in later.when if path == key.path for v in values):
        if value not in told and _is_listed(key.values, value):
            told.append(value)
    others = (key.values.count or 0) - len(told)
    apart = sum(_count(rest, {**taken, key.path: value}) for value in told)
    return apart + (others * _count(rest, taken) if others else 0)


def _is_listed(values: Values, value: Any) -> bool:
    return value in (values.listed() or ()) if getattr(values, "points", None) else values.takes(value)
