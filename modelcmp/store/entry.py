"""Profiles as text that gives them back to the last digit, under every convention."""

from __future__ import annotations

import json
import math
from typing import Any

from ..errors import BadInput
from ..kernels import Kernel, kernels, merged
from ..metrics import METRICS, under
from ..records import CONVENTIONS, ModelProfile

Entry = dict[str, Any]


#: Where an entry has what predictions need; the cache keeps it apart, since most questions do without.
KERNELS = "kernels"


def entry_of(profile: ModelProfile, with_kernels: bool = False) -> Entry:
    """What is kept of a profile; one trace gives its figures under every convention."""
    if profile.trace is None:
        raise BadInput(f"{profile.name}: its operations were not kept, profile it again")
    first, *others = CONVENTIONS
    values = under(profile.trace, profile.values, first)
    entry = {
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
    if with_kernels:
        entry[KERNELS] = {
            name: [_packed(k) for k in merged(kernels(profile.trace, compiled=name == "compiled"))]
            for name in ("eager", "compiled")
        }
    return entry


def _packed(kernel: Kernel) -> list[Any]:
    """A kernel as JSON has it: whole numbers as such, no infinity."""
    return [_plain(value) for value in kernel[1:]]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if value == math.inf else int(value) if value.is_integer() else value
    return value


def _unpacked(row: list[Any]) -> Kernel:
    return Kernel._make(["", *(math.inf if value is None else value for value in row)])


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
        kernels={name: tuple(map(_unpacked, rows)) for name, rows in entry[KERNELS].items()}
        if KERNELS in entry
        else None,
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
