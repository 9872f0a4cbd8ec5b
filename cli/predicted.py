"""Profiles with their operations, and the machines that their time is predicted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import screen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelcmp.comparison import Comparison
    from modelcmp.hardware.device import Device
    from modelcmp.metrics import Metric
    from modelcmp.records import ModelFailure, ModelProfile
    from modelcmp.sources import Request


def find_device(name: str, dtype: str, level: str | None) -> Device:
    """The machine of a name or of the user's own file; raises UsageError, also where it lacks the dtype or level."""
    from modelcmp.hardware.catalogue import find
    from modelcmp.hardware.predict import checked_level

    device = find(name)
    device.peak_flops(dtype)
    checked_level(device, level)
    return device


def machine(
    hardware: str | None,
    level: str | None,
    compiled: bool,
    dtype: str,
    mode: str,
    convention: str,
    wanted: Iterable[Metric],
) -> Device | None:
    """The machine that the options name, if any; raises UsageError, also for options or metrics that need one."""
    from modelcmp.errors import BadInput
    from modelcmp.metrics import check_machine_named

    if hardware is None:
        if level is not None or compiled:
            raise BadInput("--level and --compile are about predicted latency: name a machine with --hardware")
        check_machine_named(wanted)
        return None
    from modelcmp.profiling.latency import check_machine

    device = find_device(hardware, dtype, level)
    check_machine(device, dtype, mode, convention)
    return device


def placed(everyone: Comparison, device: Device | None, level: str | None, compiled: bool) -> Comparison:
    """Profiles with their predicted latency on the machine, if there is one."""
    if device is None:
        return everyone
    from modelcmp.profiling.latency import on_machine

    return on_machine(everyone, device, level=level, compiled=compiled)


def traced(specs: list[str], request: Request, mode: str, convention: str) -> list[ModelProfile | ModelFailure]:
    """Profile specs here and now, with the operations that a prediction needs and no cache keeps.

    Raises UsageError when that is why nothing could be profiled.
    """
    from modelcmp.errors import ModelcmpError, UsageError
    from modelcmp.profiling.compare import profile_spec
    from modelcmp.records import ModelFailure

    found: list[ModelProfile | ModelFailure] = []
    refused: UsageError | None = None
    with screen.progress(len(specs)) as progress:
        for done, spec in enumerate(specs):
            progress(spec, done)
            try:
                found.append(profile_spec(spec, request, mode, convention))
            except ModelcmpError as error:
                found.append(ModelFailure(spec, type(error).__name__, str(error)))
                refused = refused or (error if isinstance(error, UsageError) else None)
    if refused is not None and all(isinstance(one, ModelFailure) for one in found):
        raise refused
    return found
