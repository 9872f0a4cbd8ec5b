"""Building a group of cases and timing them in turns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..sources import resolve
from ..sources.feeding import tensors_of
from ..units import scaled
from .cases import Case, Planned
from .loading import Placement, ready_inputs, ready_model
from .machine import on_threads, precision, quiet_extensions
from .memory import available_bytes, peak_bytes
from .plan import Plan
from .reasons import Reason, reason_of
from .results import BenchFailure, BenchResult
from .timing import Run, cpu_turn, cuda_turn, interleaved, warmed_up

#: A graph for each shape, however many: past torch's own limit of 8 models would silently run eager.
_MOST_GRAPHS = 1 << 16
Step = Callable[[Case, int], None]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Where and how everything is measured."""

    device: torch.device
    threads: int
    compiled: bool
    channels_last: bool
    plan: Plan
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case that has been run already: what runs it again, and the memory that it takes."""

    run: Run
    peak_memory_bytes: int


def measured(
    group: Sequence[Planned], how: Conditions, step: Step
) -> dict[Case, BenchResult | BenchFailure]:  # fmt: skip
    """Measure a group of cases; what fails is told, and the others are still measured."""
    found: dict[Case, BenchResult | BenchFailure] = {}
    with _settled(how, group[0].case.dtype):
        prepared: dict[Case, Prepared] = {}
        models: dict[tuple[str, str], nn.Module] = {}
        for one in group:
            outcome = _attempted(one, how, models)
            step(one.case, 1 + (how.plan.turns if isinstance(outcome, Reason) else 0))
            if isinstance(outcome, Reason):
                found[one.case] = failure(one.case, outcome)
            else:
                prepared[one.case] = outcome
        models.clear()
        peaks = {case: p.peak_memory_bytes for case, p in prepared.items()}
        runs = {case: p.run for case, p in prepared.items()}
        prepared.clear()  # what fails is to be freed
        turn = cpu_turn(how.threads) if how.device.type == "cpu" else cuda_turn
        with torch.inference_mode():
            timed = interleaved(runs, turn, how.plan, step)
        runs.clear()
    free(how.device)
    by_case = {one.case: one for one in group}
    for case, times in timed.items():
        if isinstance(times, Reason):
            found[case] = failure(case, times)
        else:
            found[case] = _result(by_case[case], how, times, peaks[case])
    return found


def failure(case: Case, reason: Reason) -> BenchFailure:
    """A reason as a result, its message with the case in front."""
    where = f"{case.spec} (batch {case.batch_size}, {case.dtype})"
    return BenchFailure(case.spec, case.batch_size, case.dtype, reason.kind, f"{where}: {reason.message}")


def free(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _attempted(one: Planned, how: Conditions, models: dict[tuple[str, str], nn.Module]) -> Prepared | Reason:
    try:
        _check_room(one, how)
        return _prepared(one.case, how, models)
    except (Exception, SystemExit) as error:
        reason = reason_of(error)
    free(how.device)
    return reason


def _check_room(one: Planned, how: Conditions) -> None:
    """Linux hands out memory that it does not have, and ends the process when it is used."""
    free_bytes = available_bytes(how.device)
    if how.device.type == "cpu" and one.needed_bytes > free_bytes:
        raise MemoryError(f"it needs {scaled(one.needed_bytes, 'B')}, {scaled(free_bytes, 'B')} are free")


def _prepared(case: Case, how: Conditions, models: dict[tuple[str, str], nn.Module]) -> Prepared:
    """Build the model, unless another batch size has, and run it until it is warm."""
    request = case.request
    subject = replace(resolve(case.spec, request), name=case.spec)
    placement = Placement(how.device, case.dtype, how.channels_last)
    key = (case.spec, case.dtype)
    if key not in models:
        models[key] = ready_model(subject, request, placement)
    inputs = ready_inputs(subject, request, placement)
    model = models[key]
    runner: Any = torch.compile(model, dynamic=False) if how.compiled else model

    def run() -> object:
        return runner(*inputs.args, **inputs.kwargs)

    with torch.inference_mode():
        warmed_up(run)
        owned = [*model.parameters(), *model.buffers(), *tensors_of((inputs.args, inputs.kwargs))]
        return Prepared(run, peak_bytes(run, owned, how.device))


def _result(one: Planned, how: Conditions, seconds: Sequence[float], peak: int) -> BenchResult:
    return BenchResult(
        name=one.case.spec,
        batch_size=one.case.batch_size,
        dtype=one.case.dtype,
        input_shape=one.profile.input_shape,
        device=str(how.device),
        compiled=how.compiled,
        channels_last=how.channels_last,
        threads=how.threads,
        samples_ms=tuple(1e3 * s for s in seconds),
        peak_memory_bytes=peak,
        prediction=one.prediction,
        environment=how.environment,
    )


@contextmanager
def _settled(how: Conditions, dtype: str) -> Iterator[None]:
    """The switches under which a group is measured; set back afterwards."""
    on_device = torch.cuda.device(how.device) if how.device.type == "cuda" else nullcontext()
    with on_threads(how.threads), on_device, precision(dtype), _compiling(how.compiled):
        yield


@contextmanager
def _compiling(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    import torch._dynamo as dynamo

    limits: dict[str, Any] = {"recompile_limit": _MOST_GRAPHS, "accumulated_recompile_limit": _MOST_GRAPHS}
    with dynamo.config.patch(limits), quiet_extensions():
        try:
            yield
        finally:
            dynamo.reset()
