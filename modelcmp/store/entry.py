"""Profiles as text that gives them back to the last digit, under every convention."""

from __future__ import annotations

import json
from typing import Any

from ..errors import BadInput
from ..metrics import METRICS, under
from ..records import CONVENTIONS, ModelProfile

Entry = dict[str, Any]


def entry_of(profile: ModelProfile) -> Entry:
    """What is kept of a profile; one trace gives its figures under every convention."""
    if profile.trace is None:
        raise BadInput(f"{profile.name}: its operations were not kept, profile it again")
    first, *others = CONVENTIONS
    values = under(profile.trace, profile.values, first)
    return {
        "source": profile.source,
        "input_shape": [list(shape) for shape in profile.input_shape],
        "batch_size": profile.batch_size,
        "dtype": profile.dtype,
        "mode": profile.mode,
        "uncounted": dict(profile.uncounted),
        "notes": list(profile.notes),
        "values": values,
        "differing": {c: _differing(values, under(profile.trace, values, c)) for c in others},
    }


def _differing(values: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in others.items() if value != values[key] or type(value) is not type(values[key])}


def profile_of(entry: Entry, name: str, convention: str, notes: tuple[str, ...] = ()) -> ModelProfile:
    """The profile that was kept, under a name and a convention; ``notes`` are those of the name.

    Raises KeyError, TypeError or ValueError where the entry is not one of ours.
    """
    values = entry["values"] | entry["differing"].get(convention, {})
    return ModelProfile(
        name=name,
        source=str(entry["source"]),
        input_shape=tuple(tuple(shape) for shape in entry["input_shape"]),
        batch_size=int(entry["batch_size"]),
        dtype=str(entry["dtype"]),
        mode=str(entry["mode"]),
        convention=convention,
        values={key: values[key] for key in METRICS},
        uncounted={str(op): int(calls) for op, calls in entry["uncounted"].items()},
        notes=(*notes, *entry["notes"]),
    )


def as_text(entry: Entry) -> str:
    """An entry as one line of JSON; floats are written so that they read back equal."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def from_text(text: str) -> Entry:
    """The entry of a text; raises ValueError where it is none."""
    entry = json.loads(text)
    if not isinstance(entry, dict) or not {"values", "differing", "notes"} <= entry.keys():
        raise ValueError("not a profile")
    return entry
