"""From probes to coefficients: what this machine's kernels reach of its measured roofs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from torch import nn

from ..hardware.columns import columns_of
from ..hardware.device import Device
from ..hardware.fitting import Measured, fit, predicted_seconds
from ..hardware.predict import kernels_of
from ..kernels import Kernel
from ..records import ModelProfile
from .results import Probe

#: How firmly a coefficient is held where it started: a probe that is 10 % off outweighs a change by half.
_STIFFNESS = 0.05


class Timed(NamedTuple):
    """A probe and the kernels that it ran."""

    probe: Probe
    kernels: tuple[Kernel, ...]


def kernels_of_probe(module: nn.Module, profile: ModelProfile) -> tuple[Kernel, ...]:
    """A probe's kernels as they run one run after the other: each finds its input where the run before left it."""
    found = kernels_of(profile, compiled=False)
    moved = sum(k.read_bytes + k.write_bytes for k in found) / getattr(module, "times", 1)
    return tuple(k._replace(distance_bytes=min(k.distance_bytes, moved)) for k in found)


def fitted(device: Device, timed: Sequence[Timed]) -> tuple[Device, list[Probe]]:
    """The device with coefficients fitted to the probes of its first type, and all probes with their predictions.

    What no probe tells stays at the start of the table of coefficients, not at what is shipped: that was fitted
    to models on another machine. Only CPUs: a GPU's probes are timed without launches and with cold caches, unlike
    anything in a model.
    """
    chosen = [t for t in timed if t.probe.dtype == timed[0].probe.dtype]
    if device.kind != "cpu":
        return device, [t.probe for t in timed]
    data = Measured(columns_of([t.kernels for t in chosen]), device, np.array([t.probe.best_s for t in chosen]))
    found = fit([data], stiffness=_STIFFNESS)
    seconds = dict(zip((t.probe for t in chosen), predicted_seconds(data, found).tolist(), strict=True))
    probes = [replace(t.probe, predicted_s=seconds.get(t.probe)) for t in timed]
    return replace(device, efficiencies={name: _rounded(value) for name, value in found.items()}), probes


def _rounded(value: float) -> float:
    """To four digits: more are noise, and a file that people read is better without.

    >>> _rounded(0.123456), _rounded(12.3456)
    (0.1235, 12.35)
    """
    return round(value, 3 - math.floor(math.log10(value)))
