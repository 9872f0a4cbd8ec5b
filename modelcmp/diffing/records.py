"""Frozen results of a diff: what was compared, what was measured, what it means.

Numbers of one pair of dumps are columns (one NumPy array a measure, one entry a tensor pair), since runs have
hundreds of tensors in thousands of dumps. NaN in a column means unknown or undefined, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from .measures import Columns, derive
from .sums import Sums

Kind = Literal["grad", "optimizer", "weight", "buffer"]
#: In the order in which one causes the other within a step.
KINDS: tuple[Kind, ...] = ("grad", "optimizer", "weight", "buffer")
#: Of the classifier head, and of all else.
Group = Literal["mlp", "backbone"]


@dataclass(frozen=True, slots=True)
class TensorPair:
    """A tensor of run A and its counterpart in run B."""

    name: str  # in A; optimizer state as "layer1.weight/exp_avg"
    name_b: str
    kind: Kind
    group: Group
    shape: tuple[int, ...]  # in A
    dtype: str  # "float32"
    dtype_b: str
    problem: str = ""  # why nothing could be measured: "shapes differ: (3, 4) and (4, 5)"
    recovered: bool = False  # a gradient computed from the optimizer's moments

    @property
    def owner(self) -> str:
        """The parameter that it is, or belongs to."""
        return self.name.partition("/")[0] if self.kind == "optimizer" else self.name


@dataclass(frozen=True, slots=True)
class Side:
    """What one dump says besides its tensors."""

    path: str
    epoch: int | None
    batch: int | None
    step: int | None
    loss: float | None
    acc: float | None
    fingerprint: Mapping[str, Any] | None  # of the batch: inputs, targets, samples, size
    settings: Mapping[str, Mapping[str, Any]]  # parameter name (of A) -> lr, momentum, ...
    scalars: Mapping[str, float] = field(default_factory=dict)  # "layer1.weight/step" -> 10.0
    optimizer: str = ""  # class name, where known
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DumpPair:
    """Two dumps of the same place in training, measured.

    ``sums`` has a row for each of ``tensors`` (a row of NaN where ``problem`` is set).
    """

    step: int  # position on the time axis: the step of A, or the number of the pair where none is known
    a: Side
    b: Side
    tensors: tuple[TensorPair, ...]  # shared by all pairs of dumps that hold the same tensors
    sums: Sums

    @cached_property
    def columns(self) -> Columns:
        """The measures of every tensor pair: ``columns["l2"][i]`` belongs to ``tensors[i]``."""
        return derive(self.sums)

    @cached_property
    def differing(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tensor pairs hold different numbers, by every place or by a hash; False where nothing is known."""
        places = self.sums["elements"] - self.sums["equal"]
        return np.where(np.isnan(places), self.sums["hash_equal"] == 0, places > 0)

    def rows(self, kind: Kind | None = None, group: Group | None = None) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which tensor pairs are of a kind and in a group; shape (tensors,)."""
        wanted = [
            (kind is None or t.kind == kind) and (group is None or t.group == group) and not t.problem
            for t in self.tensors
        ]
        return np.array(wanted, dtype=bool)

    def total(self, kind: Kind | None = "weight", group: Group | None = None) -> Mapping[str, float]:
        """The measures of all tensor pairs of a kind (and group) as one vector: root of the sum of squares."""
        columns = derive(self.sums.summed(self.rows(kind, group)))
        return {key: float(values[0]) for key, values in columns.items()}


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be compared, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Match:
    """Two names of one tensor, with how sure we are."""

    name: str
    name_b: str
    confidence: float  # 1: the same name and shape
    how: str  # "same name", "prefix 'module.'", "renamed", "order and shape", "map"
    transform: str = ""  # "", "transpose", "rows 0:64" (a slice of a fused tensor of B) ...


@dataclass(frozen=True, slots=True)
class Alignment:
    """Which tensor of A is which of B."""

    matches: tuple[Match, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    ambiguous: tuple[tuple[str, tuple[str, ...]], ...] = ()  # a name of A, and the names of B that it may be


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the diff noticed."""

    what: str  # "batch", "loss", "settings", "grad", "optimizer", "weight", "buffer", "jump", "trend", "nan", ...
    words: str  # one sentence for people
    step: int | None = None
    epoch: int | None = None
    batch: int | None = None
    tensor: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)  # evidence, units in the names
    serious: bool = True  # False: a remark


Status = Literal["identical", "within tolerance", "within noise", "diverged", "not comparable", "nothing in common"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the diff means."""

    status: Status
    words: str  # one or two sentences: where it started, how large it is, whether it is more than noise
    first: Finding | None = None  # where and with what it started
    findings: tuple[Finding, ...] = ()  # all, the first included, in order of time and cause


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What counts as no difference: |a - b| <= atol + rtol * max(|a|, |b|) of norms and scalars."""

    rtol: float = 0.0
    atol: float = 0.0


@dataclass(frozen=True)
class RunDiff:
    """Two runs, compared."""

    a: str  # the folders or files as given
    b: str
    filter: str
    align: str  # how dumps were paired: "epoch and batch", "step", "auto: offset 1"
    pairs: tuple[DumpPair, ...]  # in order of time
    alignment: Alignment
    verdict: Verdict
    unmatched_a: tuple[str, ...] = ()  # dumps without a partner
    unmatched_b: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    floor: tuple[DumpPair, ...] | None = None  # the same measures between A and a run that differs by noise only
    tolerance: Tolerance = Tolerance()
    warnings: tuple[str, ...] = ()
