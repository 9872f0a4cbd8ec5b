"""Fitting the coefficients for CPUs to measured models, and writing them into the package's ``calibrated.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from speed_environment import cpu
from speed_processes import ROOT

from modelcmp.hardware.catalogue import devices
from modelcmp.hardware.columns import columns_of
from modelcmp.hardware.device import Device
from modelcmp.hardware.efficiency import COEFFICIENTS
from modelcmp.hardware.fitting import Measured, fit
from modelcmp.hardware.predict import kernels_of
from modelcmp.measuring.results import BenchResult
from modelcmp.profiling.compare import profile

SHIPPED = ROOT / "modelcmp" / "hardware" / "calibrated.toml"
_SECTION = re.compile(r"^(?:#[^\n]*\n)*\[cpu\].*?(?=^(?:#[^\n]*\n)*\[(?!cpu[.\]])|\Z)", re.MULTILINE | re.DOTALL)
_TITLE = "# Renewed by: python benchmarks/latency_cpu.py --ship"


def as_data_sheet(device: Device) -> Device:
    """A measured CPU described as a data sheet would: one peak for all units, typical costs, no cache bandwidth."""
    sheet = next(d for d in devices().values() if d.kind == "cpu" and not d.measured)
    return replace(device, vector_flops=device.matrix_flops, cache_bandwidth_bytes_s=None, launch_s=sheet.launch_s,
                   kernel_s=sheet.kernel_s, efficiencies={})  # fmt: skip


def fitted_to(measured: Sequence[BenchResult], device: Device) -> dict[str, float]:
    """Coefficients that meet these measurements on the machine as a data sheet describes it.

    They start from those that the machine's probes gave.
    """
    kernels = [kernels_of(profile(m.name, batch_size=m.batch_size), compiled=False) for m in measured]
    seconds = np.array([m.latency_ms / 1e3 for m in measured])
    data = Measured(columns_of(kernels), as_data_sheet(device), seconds)
    return fit([data], prior=_for_sheet(device), stiffness=0.1)


def _for_sheet(device: Device) -> dict[str, float]:
    """The probes' coefficients, their shares of the measured vector peak as shares of the matrix peak."""
    smaller = device.vector_flops["fp32"] / device.matrix_flops["fp32"]
    vector = ("depthwise", "depthwise_large", "depthwise_last", "pool", "transcendental")
    return {name: value * (smaller if name in vector else 1.0) for name, value in device.efficiencies.items()}


def ship(coefficients: Mapping[str, float], models: int, threads: int, path: Path = SHIPPED) -> None:
    """Renew the coefficients of CPUs; every other kind of machine stays as it is."""
    what = (f"{models} torchvision classifiers at batch 1 and 8, fp32, eager, on one machine: {cpu()}, {threads} "
            f"threads, torch {version('torch')}, {date.today().isoformat()}")  # fmt: skip
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(shipped(before, coefficients, what), encoding="utf-8", newline="\n")


def shipped(before: str, coefficients: Mapping[str, float], fitted_on: str) -> str:
    """The file's new text; raises ValueError where that would change another kind's tables."""
    numbers = [f"{name} = {float(f'{coefficients[name]:.3g}')}" for name in COEFFICIENTS]
    section = [_TITLE, "[cpu]", f"fitted_on = {json.dumps(fitted_on)}", "", "[cpu.coefficients]", *numbers]
    text = f"{_SECTION.sub('', before).rstrip()}\n\n" + "\n".join(section) + "\n"
    if _others(text) != _others(before):
        raise ValueError("calibrated.toml cannot be kept: give each [kind] and its tables a line of their own")
    return text.lstrip()


def _others(text: str) -> dict[str, object]:
    return {kind: table for kind, table in tomllib.loads(text).items() if kind != "cpu"}
