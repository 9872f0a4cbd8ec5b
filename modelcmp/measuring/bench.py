"""Measuring models on this machine: the function :func:`bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModelcmpError, UsageError
from ..hardware.device import Device
from ..profiling.options import Size
from ..sources.selection import expand
from .cases import Case, Planned, grouped, planned
from .machine import check_dtype, conditions, find_device
from .memory import available_bytes
from .plan import Plan, steps
from .predicted import device_for
from .reasons import Reason
from .results import BenchFailure, BenchResult
from .running import Conditions, failure, measured

Progress = Callable[[str, int], None]


def bench(
    models: Iterable[str],
    *,
    batch_sizes: Sequence[int] = (1,),
    dtypes: Sequence[str] = ("fp32",),
    device: str = "cpu",
    compile: bool = False,
    channels_last: bool = False,
    threads: int | None = None,
    seconds: float = 2.0,
    input_size: Size = None,
    kwargs: dict[str, Any] | None = None,
    reparam: bool = False,
    hardware: str | Device | None = None,
    progress: Progress | None = None,
) -> list[BenchResult | BenchFailure]:
    """Time models (specs) at every batch size and dtype on this machine, with predictions beside.

    Each is built with seeded random weights, fed random inputs, warmed up, and timed in turns with the
    others for about ``seconds``. A row that runs out of memory or fails is a BenchFailure; the others
    still run. Predictions are for ``hardware`` (a name or a Device), else for this machine if
    ``compare-models calibrate`` has been run. ``progress`` is told a name and the steps done of
    :func:`~modelcmp.measuring.plan.steps`.
    Raises UsageError where nothing could run as asked: no such model, device or dtype.
    """
    where = find_device(device)
    if isinstance(models, str):
        raise UsageError(f"bench takes several models: bench([{models!r}])")
    names = [check_dtype(d, where) for d in dtypes]
    cases = _cases(expand(models), batch_sizes, names, (input_size, kwargs or {}, reparam))
    if seconds <= 0:
        raise UsageError(f"seconds={seconds} is no time to measure for: give some more than 0")
    count = threads if threads is not None else torch.get_num_threads()
    target = _target(hardware, where, names, count)
    how = Conditions(where, count, compile, channels_last, Plan(seconds), conditions(where, count))
    return _Bench(cases, how, target, progress or (lambda _name, _done: None)).results()


def _target(hardware: str | Device | None, where: torch.device, dtypes: Sequence[str], threads: int) -> Device | None:
    """The machine to predict for; one that was named has to have every type."""
    target = device_for(hardware, where, threads)
    if target is not None and hardware is not None:
        for dtype in dtypes:
            target.peak_flops(dtype)
    return target


def _cases(specs: Sequence[str], batches: Sequence[int], dtypes: Sequence[str], rest: tuple[Any, ...]) -> list[Case]:
    """Each model at each dtype and batch size, once; raises UsageError for a request that makes no sense."""
    if not specs or not batches or not dtypes:
        raise UsageError("bench needs at least one model, batch size and dtype")
    cases = [Case(s, b, d, *rest) for s in specs for d in dict.fromkeys(dtypes) for b in dict.fromkeys(batches)]
    for case in cases:
        _ = case.request
    return cases


@dataclass(slots=True)
class _Bench:
    """One call of bench, and how far it is."""

    cases: list[Case]
    how: Conditions
    hardware: Device | None
    progress: Progress
    done: int = 0

    def results(self) -> list[BenchResult | BenchFailure]:
        """Of every case, in order."""
        found: dict[Case, BenchResult | BenchFailure] = {}
        ready = self._planned(found)
        for group in grouped(ready, available_bytes(self.how.device) // 2):
            found |= measured(group, self.how, self._step)
        return [found[case] for case in self.cases]

    def _planned(self, found: dict[Case, BenchResult | BenchFailure]) -> list[Planned]:
        """The cases that can run; the others' failures go into ``found``."""
        ready: list[Planned] = []
        refused: UsageError | None = None
        for case in self.cases:
            try:
                ready.append(planned(case, self.hardware, self.how.compiled))
                self._step(case, 1)
            except ModelcmpError as error:
                refused = refused or (error if isinstance(error, UsageError) else None)
                found[case] = failure(case, Reason(type(error).__name__, str(error)))
                self._step(case, steps(1))
        if refused is not None and not ready:
            raise refused
        return ready

    def _step(self, case: Case, count: int) -> None:
        self.done += count
        self.progress(f"{case.spec} b{case.batch_size} {case.dtype}", self.done)
