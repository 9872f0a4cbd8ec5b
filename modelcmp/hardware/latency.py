"""The latency model: seconds of each kernel for arithmetic, for memory and for being launched.

docs/latency.md derives the equations. Sources: Williams, Waterman, Patterson, *Roofline*, CACM 2009 (the
maximum of both); NVIDIA, *Matrix Multiplication Background User's Guide*, 2023 (waves of tiles).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..kernels.kernel import CONVOLUTIONS, PRODUCTS
from .columns import Array, Columns
from .device import Device
from .efficiency import Efficiencies

_TILE = 64  # rows and columns of a product that one unit works on at a time
_DEPTH = 512  # inner length that is worth splitting over units
_LARGE_WINDOW = 25  # taps of a depthwise kernel beyond which there is no special code
_WINDOW_TAPS = 6  # that beginning a pooling window costs a CPU, whose windows are plain loops
_CACHE_OVER_MEMORY = 3.0  # bandwidths, where the data sheet is silent
_OWN_PAGES = 32 << 20  # bytes from which glibc gets memory from the system, and gives it back when it is freed
_SHARED_OUT = 128 << 10  # bytes moved from which an op is shared out among a CPU's threads: torch's grain of 32768
_COMPILED_LAUNCH = 0.3  # of an eager one: no dispatcher, but arguments are still handed over
_BATCHED = ("bmm", "grouped_conv", "attention", "masked_attention")
_STREAMS = {
    "gemm": "gemm_stream", "recurrent": "gemm_stream", "bmm": "attention_stream", "attention": "attention_stream",
    "masked_attention": "attention_stream", "conv": "conv_stream", "grouped_conv": "conv_stream",
    "conv1x1": "conv1x1_stream",
    "depthwise": "depthwise_stream", "pointwise": "pointwise_stream", "cast": "pointwise_stream",
    "fused": "pointwise_stream", "other": "pointwise_stream", "strided_pointwise": "strided_stream",
    "batch_norm": "batch_norm_stream", "row_norm": "row_norm_stream", "group_norm": "group_norm_stream",
    "softmax": "softmax_stream", "reduction": "reduction_stream", "pool": "pool_stream", "resample": "pool_stream",
    "move": "move_stream", "lookup": "move_stream",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one call of each kernel."""

    compute: Array
    memory: Array
    layout: Array  # to bring a convolution's input and output into its kernel's layout, to get memory for an output
    launch: Array

    @property
    def total(self) -> Array:
        """max(compute, memory) + layout + launch."""
        return np.maximum(self.compute, self.memory) + self.layout + self.launch

    def part(self, first: int, end: int) -> Times:
        """The kernels of these positions."""
        arrays = (self.compute, self.memory, self.layout, self.launch)
        return Times(*(array[first:end] for array in arrays))


def timed(columns: Columns, device: Device, e: Efficiencies, compiled: bool = False) -> Times:
    """Seconds of each kernel; raises BadInput when the machine lacks a dtype."""
    compute, memory, layout = _compute(columns, device, e), _memory(columns, device, e), _layout(columns, device, e)
    if compiled:  # a compiler chooses the layout once
        layout = np.zeros_like(layout)
    if device.kind == "cpu":
        layout = layout + e["fresh"] * _new_pages(columns) / device.bandwidth_bytes_s
        layout = layout + np.minimum(_packed(columns, device, e), compute)
    return Times(compute, memory, layout, _launch(columns, device, e, np.maximum(compute, memory) + layout, compiled))


# -- arithmetic -------------------------------------------------------------------------------------


def _compute(c: Columns, device: Device, e: Efficiencies) -> Array:
    """2 MACs over the share of the peak that the shape reaches; other FLOPs over the vector peak."""
    vector = device.vector_flops.get("fp32", max(device.vector_flops.values()))
    share = np.ones_like(c.macs)
    for kind in ("gemm", "bmm", "conv", "conv1x1", "grouped_conv", "attention", "masked_attention", "recurrent"):
        share[c.are(kind)] = e[kind]
    depthwise = c.are("depthwise")
    small = np.where(c.k > _LARGE_WINDOW, e["depthwise_large"], e["depthwise"])
    share[depthwise] = np.where(c.layout == 1, e["depthwise_last"], small)[depthwise]
    shaped = _shape_share(c, device, e)
    shaped[depthwise | c.are("recurrent")] = 1.0
    peak = np.where(depthwise, vector, _peaks(c, device))
    rest = np.maximum(c.flops - 2 * c.macs, 0.0) / (vector * _vector_share(c, device, e))
    return np.where(c.macs > 0, 2 * c.macs / (peak * share * shaped), rest)


def _vector_share(c: Columns, device: Device, e: Efficiencies) -> Array:
    """What ops without products reach of the vector peak; a CPU goes through a large window as through a row."""
    pooled = c.are("pool")
    if device.kind == "gpu":
        return np.where(pooled, e["pool"], 1.0)
    pooled &= c.k <= _LARGE_WINDOW
    begun = c.k / (c.k + _WINDOW_TAPS)
    return np.where(pooled, e["pool"] * begun, np.where(c.transcendental, e["transcendental"], 1.0))


def _peaks(c: Columns, device: Device) -> Array:
    """Matrix peak of each kernel's type; fp32 convolutions use tf32 units where there are any, as cuDNN does."""
    peaks = np.array([device.peak_flops(dtype) for dtype in c.dtypes], dtype=float)
    found: Array = peaks[c.dtype]
    for i, dtype in enumerate(c.dtypes):
        if (faster := convolution_flops(device, dtype)) is not None:
            found = np.where(c.are(*CONVOLUTIONS) & (c.dtype == i), faster, found)
    return found


def convolution_flops(device: Device, dtype: str) -> float | None:
    """Peak of the units that convolutions of a type run on, where other products of it run on others."""
    return device.matrix_flops.get("tf32") if dtype == "fp32" else None


def _shape_share(c: Columns, device: Device, e: Efficiencies) -> Array:
    """What narrow and shallow products, and an incomplete last wave of tiles, leave of the peak."""
    n, k = np.maximum(c.n, 1), np.maximum(c.k, 1)
    batched = c.are(*_BATCHED)
    narrow = n / (n + np.where(batched, e["narrow_batch"], e["narrow"]))
    shallow = k / (k + np.where(batched, e["narrow_batch"], e["shallow"]))
    tiles = np.ceil(c.m / _TILE) * np.ceil(n / _TILE) * np.maximum(c.batch, 1) * np.ceil(k / _DEPTH)
    waves = np.maximum(tiles, 1) / (np.ceil(np.maximum(tiles, 1) / device.units) * device.units)
    found: Array = narrow * shallow * waves
    return found


# -- memory -----------------------------------------------------------------------------------------


def _memory(c: Columns, device: Device, e: Efficiencies) -> Array:
    """Bytes over the bandwidth of the level that they come from."""
    share = np.ones_like(c.macs)
    for kind, name in _STREAMS.items():
        share[c.are(kind)] = e[name]
    rows = c.are("row_norm", "softmax")
    share = np.where(rows, share * c.n / (c.n + e["short_row"] + 1e-9), share)
    share[c.are("move") & (c.layout == 2)] = e["strided_stream"]
    near, far = _levels(c, device, e)
    moved: Array = (near + far) / share
    return moved


def _layout(c: Columns, device: Device, e: Efficiencies) -> Array:
    """Matrix units take convolutions channels-last: row-major input and output pass through a transposition.

    On a GPU cuDNN does so for half precision, on a CPU oneDNN for its blocked layouts.
    """
    plain = c.layout == 0
    if device.kind == "gpu":
        plain = plain & np.array([dtype != "fp32" for dtype in c.dtypes], dtype=bool)[c.dtype]
    passes = np.where(c.are("conv", "grouped_conv"), e["layout"], np.where(c.are("conv1x1"), e["layout1x1"], 0.0))
    weights = c.weights if device.kind == "cpu" else 0.0  # oneDNN brings them into blocks in each run
    found: Array = plain * passes * (c.reads + c.writes + weights) / device.bandwidth_bytes_s
    return found


def _new_pages(c: Columns) -> Array:
    """Bytes of outputs so large that the system hands out, and clears, their pages anew in each run."""
    found: Array = np.where(c.fresh > _OWN_PAGES, c.fresh, 0.0)
    return found


def _packed(c: Columns, device: Device, e: Efficiencies) -> Array:
    """Seconds until a CPU's product has its weights: it packs them first, so that no arithmetic hides their way."""
    far = np.clip(c.weight_bytes / _cache(device, e), 0, 1) * c.weights / device.bandwidth_bytes_s
    return np.where(c.are("gemm"), far / e["gemm_stream"], 0.0)


def _cache(device: Device, e: Efficiencies) -> float:
    """Bytes of the last-level cache; the neighbours of a rented CPU have a part of it."""
    return max(device.cache_bytes * (e["cache"] if device.kind == "cpu" else 1.0), 1.0)


def _levels(c: Columns, device: Device, e: Efficiencies) -> tuple[Array, Array]:
    """Seconds at full bandwidth from the last-level cache and from memory.

    What was moved since a value was written has pushed it out in proportion; weights come round once a pass.
    """
    size = _cache(device, e)
    kept = np.clip(1 - c.distance / size, 0, 1)
    written = np.clip(1 - 2 * c.writes / size, 0, 1)
    weights = np.clip(1 - c.weight_bytes / size, 0, 1)
    near = kept * c.reads + written * c.writes + weights * c.weights
    far = c.reads + c.writes + c.weights - near
    fast = device.cache_bandwidth_bytes_s or _CACHE_OVER_MEMORY * device.bandwidth_bytes_s
    return near / fast, far / device.bandwidth_bytes_s


# -- launches ---------------------------------------------------------------------------------------


def _launch(c: Columns, device: Device, e: Efficiencies, busy: Array, compiled: bool) -> Array:
    """The fixed cost of a kernel (of each step of a recurrent one), and of waiting for the host.

    A GPU's host runs ahead: only what handing over all operations takes longer than all kernels is waited for,
    and shared out evenly. A CPU is its own host, and its kernels' fixed cost is that of sharing out among threads.
    """
    fixed = device.kernel_s * e["kernel"] * np.where(c.are("recurrent"), np.maximum(c.batch, 1), 1.0)
    host = device.launch_s * e["host"] * (_COMPILED_LAUNCH if compiled else 1.0)
    if device.kind == "cpu":
        of_library = c.are(*PRODUCTS, "batch_norm", "row_norm")
        shared_out = np.where(of_library | (c.reads + c.writes > _SHARED_OUT), fixed, 0.0)
        return shared_out + host + np.where(of_library, e["library"] * device.launch_s, 0.0)
    launches = c.per_model(np.ones_like(busy))
    wait = np.maximum(host * launches - c.per_model(busy + fixed), 0) / np.maximum(launches, 1)
    waited: Array = fixed + wait[c.model]
    return waited
