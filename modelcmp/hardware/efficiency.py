"""How much of a machine's peaks each kind of kernel reaches: one table of coefficients.

At the level ``datasheet`` every efficiency is 1. Fitted values multiply peaks; none depends on a model's name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from .device import Device

Efficiencies = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One number of the latency model: what it is without fitting, and where a fit may look for it."""

    name: str
    datasheet: float
    start: float
    low: float
    high: float
    meaning: str


def _share(name: str, start: float, meaning: str, low: float = 0.02, high: float = 1.2) -> Coefficient:
    return Coefficient(name, 1.0, start, low, high, f"share of {meaning}")


_ALL = (
    _share("gemm", 0.8, "the matrix peak in a matrix product"),
    _share("bmm", 0.6, "the matrix peak in a batched matrix product"),
    _share("conv", 0.7, "the matrix peak in a convolution"),
    _share("conv1x1", 0.7, "the matrix peak in a 1x1 convolution"),
    _share("grouped_conv", 0.5, "the matrix peak in a grouped convolution"),
    _share("attention", 0.5, "the matrix peak in fused attention"),
    _share("masked_attention", 0.5, "the matrix peak in fused attention with a mask or bias"),
    _share("recurrent", 0.3, "the matrix peak in a recurrent layer"),
    _share("depthwise", 0.3, "the vector peak in a depthwise convolution of up to 5x5", 0.005),
    _share("depthwise_large", 0.1, "the vector peak in a larger depthwise convolution", 0.005),
    _share("depthwise_last", 0.2, "the vector peak in a channels-last depthwise convolution", 0.005),
    _share("pool", 0.1, "the vector peak in pooling", 0.0005),
    _share("transcendental", 0.1, "the vector peak in exponentials and their kin, on CPUs", 0.0005),
    _share("gemm_stream", 0.8, "the bandwidth in matrix products", 0.5, 1.1),
    _share("attention_stream", 0.8, "the bandwidth in attention and batched products", 0.5, 1.1),
    _share("conv_stream", 0.8, "the bandwidth in convolutions", 0.5, 1.1),
    _share("conv1x1_stream", 0.8, "the bandwidth in 1x1 convolutions", 0.5, 1.1),
    _share("depthwise_stream", 0.6, "the bandwidth in depthwise convolutions", 0.02, 1.1),
    _share("pointwise_stream", 0.85, "the bandwidth in pointwise ops and casts", 0.02, 1.1),
    _share("strided_stream", 0.6, "the bandwidth in pointwise ops and copies over permuted memory", 0.02, 1.1),
    _share("batch_norm_stream", 0.88, "the bandwidth in batch norm", 0.02, 1.1),
    _share("row_norm_stream", 0.85, "the bandwidth in layer and RMS norm", 0.02, 1.1),
    _share("group_norm_stream", 0.6, "the bandwidth in group norm", 0.02, 1.1),
    _share("softmax_stream", 0.8, "the bandwidth in softmax", 0.02, 1.1),
    _share("reduction_stream", 0.8, "the bandwidth in sums and means", 0.02, 1.1),
    _share("pool_stream", 0.8, "the bandwidth in pooling and resampling", 0.02, 1.1),
    _share("move_stream", 0.7, "the bandwidth in concatenation, padding and lookups", 0.02, 1.1),
    Coefficient("narrow", 0.0, 16.0, 0.5, 200.0, "columns at which a product reaches half of its peak"),
    Coefficient("shallow", 0.0, 16.0, 0.5, 300.0, "inner length at which a product reaches half of its peak"),
    Coefficient("narrow_batch", 0.0, 16.0, 0.5, 200.0, "the same for batched, grouped and attention products"),
    Coefficient("short_row", 0.0, 64.0, 0.5, 800.0, "row length at which a norm or softmax reaches half"),
    Coefficient("layout", 1.0, 1.0, 0.02, 3.0, "passes over input and output to change their layout for a convolution"),
    Coefficient("layout1x1", 1.0, 0.3, 0.02, 3.0, "the same for a 1x1 convolution"),
    Coefficient("fresh", 0.0, 4.0, 0.05, 60.0, "on CPUs, passes over a large new output to get memory for it"),
    Coefficient("cache", 1.0, 1.0, 0.05, 1.5, "on CPUs, share of the last-level cache that is left to one program"),
    Coefficient("library", 0.0, 2.0, 0.05, 30.0, "times the cost of an operation for a library's set-up, on CPUs"),
    Coefficient("kernel", 1.0, 1.0, 0.05, 8.0, "times the device's fixed cost of a kernel"),
    Coefficient("host", 1.0, 1.0, 0.05, 8.0, "times the host's cost of handing over an operation"),
)
COEFFICIENTS = {c.name: c for c in _ALL}
DATASHEET: Efficiencies = {c.name: c.datasheet for c in _ALL}


@cache
def calibrated(kind: str) -> Efficiencies:
    """The fitted coefficients that are shipped for a kind of machine; docs/latency.md tells how they were fitted."""
    text = files(__package__).joinpath("calibrated.toml").read_text("utf-8")
    return {**DATASHEET, **tomllib.loads(text).get(kind, {}).get("coefficients", {})}


def efficiencies(device: Device, level: str) -> Efficiencies:
    """The coefficients of a device at a level of :data:`~modelcmp.hardware.prediction.LEVELS`."""
    if level == "datasheet":
        return DATASHEET
    if device.efficiencies:
        return {**calibrated(device.kind), **device.efficiencies}
    return calibrated(device.kind)
