"""Optimizer settings that differ: which, for which parameters, and since when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .clues import Clue
from .views import View
from .words import apart, figure, listed, many, percent_more

LABELS = {"lr": "learning rate", "weight_decay": "weight decay", "nesterov": "Nesterov momentum"}
#: How it is computed, not what: rounding may differ.
IMPLEMENTATION = ("foreach", "fused", "capturable", "differentiable")
#: Says nothing about this step.
IGNORED = ("initial_lr", "param_names", "names", "params", "swa_lr")
#: Two ways to compute one schedule differ by rounding.
ROUNDING = 1e-12

Change = tuple[str, Any, Any]


def setting_changes(view: View) -> dict[Change, list[str]]:
    """Which settings differ, and for which parameters; what only one side records is unknown, not different."""
    found: dict[Change, list[str]] = {}
    ours, theirs = view.pair.a.settings, view.pair.b.settings
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            for change in _changes(ours[name], theirs[name]):
                found.setdefault(change, []).append(name)
    return found


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    keys = [k for k in a if k in b and k not in IGNORED]
    return [(k, _plain(a[k]), _plain(b[k])) for k in keys if not _equal(_plain(a[k]), _plain(b[k]))]


def _plain(value: Any) -> Any:
    """Something that compares by value and hashes."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    if value is None or isinstance(value, (bool, str)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return repr(value)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= ROUNDING * max(abs(a), abs(b)) or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


def differ(view: View) -> bool:
    """Whether any setting that matters differs, or the optimizer itself."""
    return (
        _class_differs(view) or bool(_left_out(view)) or any(k[0] not in IMPLEMENTATION for k in setting_changes(view))
    )


def _class_differs(view: View) -> bool:
    a, b = view.pair.a.optimizer, view.pair.b.optimizer
    return bool(a and b and a != b)


def _left_out(view: View) -> dict[str, list[str]]:
    """Parameters that only one of both optimizers has, where both are known."""
    ours, theirs = view.pair.a.settings, view.pair.b.settings
    if not ours or not theirs:
        return {}
    if ours.keys() == theirs.keys():
        return {}
    known = set(view.layout.weight_names)
    missing = {"B": [n for n in ours if n not in theirs and n in known],
               "A": [n for n in theirs if n not in ours and n in known]}  # fmt: skip
    return {side: names for side, names in missing.items() if names}


def setting_clues(views: Sequence[View]) -> list[Clue]:
    """Each setting where it first differs; once, also where a schedule gives it another value at each step."""
    said: set[tuple[str, ...]] = set()
    clues: list[Clue] = []
    for view in views:
        for subject, clue in [*_whole(view), *_single(view)]:
            if subject not in said:
                said.add(subject)
                clues.append(clue)
    return clues


def counter_clues(views: Sequence[View]) -> list[Clue]:
    """Where the optimizers have first counted different numbers of steps, other than by the distance of the dumps."""
    for view in views:
        a, b = view.pair.a, view.pair.b
        offset = (b.step or 0) - (a.step or 0) if None not in (a.step, b.step) else 0
        off = [n for n, x in a.scalars.items() if n in b.scalars and b.scalars[n] - x not in (0, offset)]
        if off:
            x, y = a.scalars[off[0]], b.scalars[off[0]]
            name, _, key = off[0].rpartition("/")
            more = f" and {len(off) - 1} more" if len(off) > 1 else ""
            clause = f"the optimizer's {key} of {name}{more} is {figure(y)} in B and {figure(x)} in A"
            return [Clue("optimizer", clause, view, name, {"a": x, "b": y}, explained=True)]
    return []


def _whole(view: View) -> list[tuple[tuple[str, ...], Clue]]:
    """Another optimizer, and parameters that one does not have."""
    found: list[tuple[tuple[str, ...], Clue]] = []
    if _class_differs(view):
        clause = f"B's optimizer is {view.pair.b.optimizer}, A's {view.pair.a.optimizer}"
        found.append((("optimizer",), Clue("settings", clause, view)))
    for side, names in _left_out(view).items():
        clause = f"{side}'s optimizer does not have {listed(names)}"
        clue = Clue("settings", clause, view, names[0], {"parameters": float(len(names))})
        found.append((("left out", side, *names), clue))
    return found


def _single(view: View) -> list[tuple[tuple[str, ...], Clue]]:
    """A clue for each setting and the parameters that share both its values."""
    every = len(view.pair.a.settings)
    return [
        ((change[0], *names), _clue(change, names, every, view)) for change, names in setting_changes(view).items()
    ]  # fmt: skip


def _clue(change: Change, names: Sequence[str], every: int, view: View) -> Clue:
    key, a, b = change
    numbers = {"parameters": float(len(names))}
    if isinstance(a, float) and isinstance(b, float):
        numbers |= {f"{key}_a": a, f"{key}_b": b}
        x, y = apart(a, b)
        more = f"; {percent_more(b / a)}" if key == "lr" and a > 0 and b > 0 else ""
    else:
        (x, y), more = (_text(a), _text(b)), ""
    whose = f"all {many(len(names), 'parameter')}" if len(names) == every > 3 else listed(names)
    verb = "are" if key == "betas" else "is"
    clause = f"B's {LABELS.get(key, key.replace('_', ' '))} {verb} {y}, A's {x}{more} ({whose})"
    return Clue("settings", clause, view, names[0], numbers, key not in IMPLEMENTATION)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def unknown(views: Sequence[View]) -> str:
    """Whose settings are not known: "settings (not in the dumps)"."""
    without = [x for x in "AB" if not any(getattr(v.pair, x.lower()).settings for v in views)]
    of = f"of {without[0]} " if len(without) == 1 else ""
    return f"settings ({of}not in the dumps)" if without else ""
