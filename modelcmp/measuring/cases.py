"""What is to be measured: each model at each batch size and dtype, profiled, in groups that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..hardware.device import Device
from ..hardware.prediction import Prediction
from ..profiling.compare import profile_spec
from ..profiling.options import Size, make_request
from ..records import ModelProfile
from ..sources import Request
from ..sources.images import short_name
from .machine import tensor_dtype
from .predicted import predicted

#: Cases that take turns with each other; more would keep many models in memory for long.
MOST_TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a spec at one batch size and dtype."""

    spec: str
    batch_size: int
    dtype: str
    input_size: Size = None
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reparam: bool = False

    @property
    def request(self) -> Request:
        """How the model is to be built and fed; raises UsageError."""
        tensors = short_name(tensor_dtype(self.dtype))
        return make_request(self.batch_size, self.input_size, tensors, dict(self.kwargs), self.reparam)


@dataclass(frozen=True, slots=True)
class Planned:
    """A case whose operations are known."""

    case: Case
    profile: ModelProfile
    prediction: Prediction | None

    @property
    def needed_bytes(self) -> int:
        """Weights, inputs and the most intermediates alive at once."""
        return self._value("size_bytes") + self._value("peak_activation_bytes")

    def _value(self, key: str) -> int:
        value = self.profile.values.get(key)
        return int(value) if isinstance(value, int | float) else 0


def planned(case: Case, hardware: Device | None, compiled: bool) -> Planned:
    """A case with its profile and prediction; raises ModelcmpError where the model cannot be built or run."""
    profile = profile_spec(case.spec, case.request, "eval", "total")
    return Planned(case, profile, predicted(profile, hardware, case.dtype, compiled))


def grouped(cases: Sequence[Planned], room_bytes: int) -> Iterator[list[Planned]]:
    """Cases that take turns with each other: neighbours at the same settings, as many as fit.

    TF32 is a switch of the whole process, so that its cases stay among themselves.
    """
    order = sorted(range(len(cases)), key=lambda i: _setting(cases[i], cases))
    group: list[Planned] = []
    for one in (cases[i] for i in order):
        full = sum(p.needed_bytes for p in group) + one.needed_bytes > room_bytes or len(group) == MOST_TOGETHER
        if group and (full or (one.case.dtype == "tf32") != (group[-1].case.dtype == "tf32")):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _setting(one: Planned, everyone: Sequence[Planned]) -> tuple[bool, int, int]:
    dtypes = list(dict.fromkeys(p.case.dtype for p in everyone))
    return one.case.dtype == "tf32", dtypes.index(one.case.dtype), one.case.batch_size
