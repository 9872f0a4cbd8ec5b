"""From ``space`` of a config to the :class:`~modelcmp.sweeps.space.Space` of each architecture, or to what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..registry import suggest
from ..training.config import Config
from ..training.yaml_text import Document, dump_line
from .space import MOST, Circle, Key, Space, endless_hint, in_order
from .space_values import Choices, Values, simple, values_from

Place = tuple[str | int, ...]
#: Keys of the config that change the training: they, and what is inside of them, can be searched.
SEARCHED = (
    "epochs", "batch_size", "lr", "optimizer", "scheduler", "loss", "precision", "augment", "clip_norm",
    "early_stopping", "max_steps",
)  # fmt: skip
_SECTIONS = ("optimizer", "scheduler", "loss", "augment", "early_stopping")
_KNOWN = (*SEARCHED, "data.kwargs.X", "kwargs.X")
_INSTEAD = {
    "seed": "several seeds of the best configuration are trained by `compare-models trials`",
    "models": "every model has a search of its own; its keywords are searched as kwargs.X",
    "data": "only data.kwargs.X can be: figures of other data cannot be compared",
    "select_by": "the objective says what is best",
    "max_minutes": "it depends on the machine; search max_steps or epochs",
}
WORDS = ("values", "min", "max", "log", "step", "points", "when")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a config says of one key of the space, and where."""

    path: str
    said: Any
    place: Place
    document: Document

    def refused(self, message: str, *inside: str | int) -> BadInput:
        """What is wrong with it, or with something inside of it, after its place."""
        place = (*self.place, *inside)
        name = "" if self.place in self.document.said else f"{'.'.join(map(str, self.place))}: "
        return BadInput(f"{self.document.where(place)}: {name}{message}")

    def spot(self, value: Any) -> str:
        """``sweep.yaml:7: batch_size=0``: a value and where it stands."""
        listed = self.said.get("values") if isinstance(self.said, Mapping) else self.said
        if isinstance(listed, list):
            inside: Place = (listed.index(value),) if isinstance(self.said, list) else ("values", listed.index(value))
        else:
            inside = ("min" if value == self.said.get("min") else "max",)
        return f"{self.document.where((*self.place, *inside))}: {self.path}={dump_line(value)}"


def read_entries(said: Any, labels: Sequence[str], document: Document) -> dict[str, dict[str, Entry]]:
    """What is said of each key of each architecture: its own entry, else that of all; raises BadInput."""
    whole = Entry("space", said, ("space",), document)
    if not isinstance(said, Mapping) or not said:
        raise whole.refused("name what is searched, such as `lr: {min: 1.0e-5, max: 0.1, log: true}`")
    shared = {str(k): Entry(str(k), v, ("space", str(k)), document) for k, v in said.items() if str(k) != "models"}
    own = _own_entries(Entry("models", said.get("models", {}), ("space", "models"), document), labels)
    found = {label: shared | own.get(label, {}) for label in labels}
    for label in labels:
        if not found[label]:
            raise whole.refused(f"nothing is searched for {label}: add `models: {{{label}: ...}}`, or a key for all")
    return found


def _own_entries(section: Entry, labels: Sequence[str]) -> dict[str, dict[str, Entry]]:
    if not isinstance(section.said, Mapping):
        raise section.refused(f"write the label of a model, then its keys: `{labels[0]}: {{kwargs.X: [1, 2]}}`")
    found = {}
    for label, keys in ((str(k), v) for k, v in section.said.items()):
        place = (*section.place, label)
        if label not in labels:
            raise Entry(label, keys, place, section.document).refused(f"no model {label!r}: {suggest(label, labels)}")
        if not isinstance(keys, Mapping) or not keys:
            raise Entry(label, keys, place, section.document).refused("write its keys: `kwargs.X: [1, 2]`")
        found[label] = {str(k): Entry(str(k), v, (*place, str(k)), section.document) for k, v in keys.items()}
    return found


def read_space(entries: Mapping[str, Entry]) -> Space:
    """The space of one architecture; raises BadInput with the line and what to write instead."""
    for entry in entries.values():
        _check_path(entry)
    values = {path: _values(entry) for path, entry in entries.items()}
    _check_apart(entries, values)
    keys = [Key(path, values[path], _conditions(entry, values)) for path, entry in entries.items()]
    try:
        space = Space(in_order(keys))
    except Circle as error:
        raise entries[error.paths[0]].refused(str(error), "when") from error
    for path in space.paths:
        if never := [parent for parent, left in space.needs(path).items() if not left]:
            raise entries[path].refused(
                f"it never applies: what it depends on asks for different values of {never[0]}", "when"
            )
    return space


# -- which keys -------------------------------------------------------------------------------------------


def _check_path(entry: Entry) -> None:
    head, *rest = entry.path.split(".")
    if not all((head, *rest)):
        raise entry.refused("write a key of the config, such as lr or optimizer.momentum")
    if (head == "kwargs" and rest) or (head == "data" and rest[:1] == ["kwargs"] and rest[1:]):
        return
    if head == "kwargs":
        raise entry.refused("name one keyword of the model: kwargs.width")
    if head not in SEARCHED and head in Config.model_fields:
        reason = _INSTEAD.get(head, f"it decides nothing that is learnt; these can be: {', '.join(_KNOWN)}")
        raise entry.refused(f"{head} cannot be searched: {reason}")
    if head not in SEARCHED:
        raise entry.refused(f"unknown key {entry.path!r}: {suggest(entry.path, _KNOWN)}")
    if rest and head not in _SECTIONS:
        raise entry.refused(f"unknown key {entry.path!r}: {head} has nothing inside of it")


def _check_apart(entries: Mapping[str, Entry], values: Mapping[str, Values]) -> None:
    """Refuse two keys that say the same."""
    if "lr" in entries and "optimizer.lr" in entries:
        raise entries["optimizer.lr"].refused("lr is short for optimizer.lr: search one of them")
    for outer, inner in ((o, i) for o in entries for i in entries if o != i):
        within = "lr" if (outer, inner) == ("optimizer", "lr") else inner.removeprefix(f"{outer}.")
        if within != inner or (outer, inner) == ("optimizer", "lr"):
            _check_outer(entries[inner], outer, values[outer], within.split(".")[0])


def _check_outer(entry: Entry, outer: str, values: Values, within: str) -> None:
    choices = values.values if isinstance(values, Choices) else ()
    if "kwargs" in outer.split(".") or within == "name" or any(isinstance(c, Mapping) and within in c for c in choices):
        raise entry.refused(f"{outer} is searched as a whole, with {within} in it: search one of them")


# -- which values -----------------------------------------------------------------------------------------


def _values(entry: Entry) -> Values:
    if isinstance(entry.said, list):
        _check_list(entry, entry.said)
        return values_from({"values": entry.said})
    if not isinstance(entry.said, Mapping):
        value = dump_line(entry.said)
        raise entry.refused(
            f"{value} is one value: put it beside `space`, or list several ([{value}, ...]) or a range ({{min, max}})"
        )
    _check_words(entry, entry.said)
    if "values" in entry.said:
        if not isinstance(entry.said["values"], list):
            raise entry.refused("values are a list: `values: [0.0, 0.9]`", "values")
        _check_list(entry, entry.said["values"], "values")
    else:
        _check_range(entry, entry.said)
    return values_from(entry.said)


def _check_list(entry: Entry, values: list[Any], *inside: str) -> None:
    if not values:
        raise entry.refused("the list is empty: give at least one value", *inside)
    seen = set()
    for position, value in enumerate(values):
        if not _is_plain(value):
            raise entry.refused(
                f"{value!r} is neither a number, a text, true, false, null, nor a list or mapping of those",
                *inside, position,
            )  # fmt: skip
        if simple(value) in seen:  # 1, 1.0 and true are one to Optuna
            raise entry.refused(f"{dump_line(value)} is given twice", *inside, position)
        seen.add(simple(value))


def _is_plain(value: Any) -> bool:
    """Whether JSON keeps it as it is."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _check_words(entry: Entry, said: Mapping[str, Any]) -> None:
    words = [str(word) for word in said]
    if words and not set(words) & set(WORDS) - {"when"} and (entry.path in _SECTIONS or "kwargs" in entry.path):
        raise entry.refused(f"write its keys one by one, with dots: `{entry.path}.{words[0]}: ...`")
    for word in words:
        if word not in WORDS:
            raise entry.refused(f"unknown word {word!r}: {suggest(word, WORDS)}", word)
    if "values" in words and (range_words := [w for w in words if w not in ("values", "when")]):
        raise entry.refused(f"values and {range_words[0]} cannot be told together: list values, or give a range")
    if "values" not in words and (missing := [w for w in ("min", "max") if w not in words]):
        raise entry.refused(f"{' and '.join(missing)} missing: write `values: [...]`, or `min` and `max`")


def _check_range(entry: Entry, said: Mapping[str, Any]) -> None:
    for word in ("min", "max", "step"):
        if word in said and not _is_number(said[word]):
            raise entry.refused(f"{word} is a number, not {said[word]!r}", word)
    if not isinstance(said.get("log", False), bool):
        raise entry.refused(f"log is true or false, not {said['log']!r}", "log")
    low, high = said["min"], said["max"]
    if low >= high:
        raise entry.refused(f"min {low} is not below max {high}", "min")
    if said.get("log") and low <= 0:
        raise entry.refused(f"a logarithmic range begins above 0, not at {low}", "min")
    _check_spacing(entry, said)


def _check_spacing(entry: Entry, said: Mapping[str, Any]) -> None:
    step, points, span = said.get("step"), said.get("points"), said["max"] - said["min"]
    if "step" in said and (said.get("log") or "points" in said):
        other = "log" if said.get("log") else "points"
        raise entry.refused(f"step and {other} cannot be told together: drop one", "step")
    if step is not None and not 0 < step <= span:
        raise entry.refused(f"step {step} is not above 0 and at most max - min = {span:g}", "step")
    if "points" in said and (not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= MOST):
        raise entry.refused(f"points is a whole number from 2 to {MOST:,}, not {points!r}", "points")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# -- when -------------------------------------------------------------------------------------------------


def _conditions(entry: Entry, values: Mapping[str, Values]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if not isinstance(entry.said, Mapping) or "when" not in entry.said:
        return ()
    said = entry.said["when"]
    if not isinstance(said, Mapping) or not said:
        raise entry.refused("write on which value of which other key it depends: `when: {optimizer.name: sgd}`", "when")
    return tuple((str(parent), _condition(entry, str(parent), wanted, values)) for parent, wanted in said.items())


def _condition(entry: Entry, parent: str, wanted: Any, values: Mapping[str, Values]) -> tuple[Any, ...]:
    inside = ("when", parent)
    if parent not in values:
        others = [path for path in values if path != entry.path]
        hint = suggest(parent, others, f"add {parent} to space, or drop the when")
        raise entry.refused(f"it depends on {parent!r}, which is not searched: {hint}", *inside)
    domain = values[parent]
    listed = wanted if isinstance(wanted, list) and not domain.takes(wanted) else [wanted]
    if never := [value for value in listed if not domain.takes(value)]:
        raise entry.refused(f"{parent} is never {dump_line(never[0])}: {_taken(domain)}", *inside)
    if not listed:
        raise entry.refused(f"the list is empty: name a value of {parent}", *inside)
    return tuple(dict.fromkeys(listed)) if all(map(_hashable, listed)) else tuple(listed)


def _hashable(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _taken(domain: Values) -> str:
    """Which values a condition could name."""
    if isinstance(domain, Choices):
        return f"it is one of {dump_line(list(domain.values))}"
    low, high = domain.ends()
    even = domain.count is None and not domain.whole
    return "a single number of a range is never drawn; list its values" if even else f"it goes from {low} to {high}"


def check_listed(entries: Mapping[str, Entry], space: Space) -> None:
    """Refuse a space whose points a grid cannot tell, or has too many of; raises BadInput."""
    for path in space.unlisted[:1]:
        raise entries[path].refused(endless_hint(space.key(path).values))
    if (size := space.size() or 0) > MOST:
        first = next(iter(entries.values()))
        raise BadInput(
            f"{first.document.where(('space',))}: this grid has {size:,} points, more than {MOST:,}: "
            "list fewer values, or take method: random"
        )
