"""Predictions to put beside measurements."""

from __future__ import annotations

import platform
from dataclasses import replace

import torch

from ..errors import BadInput
from ..hardware.device import Device
from ..hardware.predict import predict
from ..hardware.prediction import Prediction
from ..records import ModelProfile


def device_for(hardware: str | Device | None, device: torch.device, threads: int | None = None) -> Device | None:
    """The machine to predict for: the one named, else this one if its calibration is kept.

    Of several calibrations the last, if there is one the last with as many CPU ``threads``.

    Raises UnknownName where no machine has the name.
    """
    if isinstance(hardware, Device):
        return hardware
    from ..hardware import catalogue

    if hardware is not None:
        return catalogue.find(hardware)
    host, kind = platform.node(), "gpu" if device.type == "cuda" else "cpu"
    ours = [
        d for d in catalogue.devices().values()
        if d.measured and d.kind == kind and d.environment.get(catalogue.HOST, host) == host
    ]  # fmt: skip
    return max(ours, key=lambda d: (calibrated_threads(d) == threads, d.environment.get("date", "")), default=None)


def calibrated_threads(device: Device) -> int | None:
    """The CPU threads that a machine was calibrated with; None for a data sheet's, and for a GPU."""
    threads = device.environment.get("threads", "")
    return int(threads) if device.measured and device.kind == "cpu" and threads.isdigit() else None


def predicted(profile: ModelProfile, hardware: Device | None, dtype: str, compiled: bool) -> Prediction | None:
    """The prediction for a profile; None where there is no machine, or it lacks the type."""
    if hardware is None:
        return None
    level = "this machine" if hardware.measured else "calibrated"
    try:
        return predict(replace(profile, dtype=dtype), hardware, level=level, compiled=compiled)
    except BadInput:
        return None
