"""Kernels of many models side by side, as arrays: what the latency model computes with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import Kernel
from ..kernels.kernel import KINDS

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
_CODES = {kind: code for code, kind in enumerate(KINDS)}
#: Activations that are an exponential, or a series of that length, for each element.
_TRANSCENDENTAL = frozenset({
    "aten.gelu", "aten.silu", "aten.sigmoid", "aten.tanh", "aten.mish", "aten.softplus", "aten.elu", "aten.selu",
    "aten.celu", "aten.exp", "aten.log", "aten.erf", "aten.sin", "aten.cos", "aten.pow", "aten.log_sigmoid",
})  # fmt: skip
_LAYOUTS = {"plain": 0, "channels_last": 1, "permuted": 2}


@dataclass(frozen=True, slots=True)
class Columns:
    """One array a property, one row a kernel; ``model`` numbers the model that a row belongs to."""

    kind: NDArray[np.int64]
    dtypes: tuple[str, ...]
    dtype: NDArray[np.int64]  # index into dtypes
    flops: Array
    macs: Array
    reads: Array
    writes: Array
    weights: Array
    batch: Array
    m: Array
    n: Array
    k: Array
    layout: NDArray[np.int64]
    distance: Array
    calls: Array
    model: NDArray[np.int64]
    weight_bytes: Array  # all weights of the row's model
    fresh: Array  # bytes that it writes into memory of its own: nothing in place
    transcendental: Mask

    @property
    def models(self) -> int:
        """How many models there are."""
        return int(self.model[-1]) + 1 if len(self.model) else 0

    def are(self, *kinds: str) -> Mask:
        """Which rows are of these kinds."""
        found: Mask = np.isin(self.kind, [_CODES[k] for k in kinds])
        return found

    def per_model(self, values: Array) -> Array:
        """Sum over the kernels of each model, each as often as it runs."""
        return _summed(self.model, values * self.calls, self.models)


def columns_of(models: Sequence[Sequence[Kernel]]) -> Columns:
    """Columns of several models' kernels."""
    rows = [kernel for found in models for kernel in found]
    model = np.repeat(np.arange(len(models)), [len(found) for found in models])
    dtypes = tuple(dict.fromkeys(kernel.dtype for kernel in rows))
    code = {dtype: i for i, dtype in enumerate(dtypes)}
    numbers = np.array([(*kernel[4:13], kernel[14], kernel[15]) for kernel in rows], dtype=float).reshape(-1, 11).T
    flops, macs, reads, writes, weights, batch, m, n, k, distance, calls = numbers
    total = _summed(model, weights * calls, len(models))
    return Columns(
        np.array([_CODES[kernel.kind] for kernel in rows], dtype=np.int64), dtypes,
        np.array([code[kernel.dtype] for kernel in rows], dtype=np.int64),
        flops, macs, reads, writes, weights, batch, m, n, k,
        np.array([_LAYOUTS[kernel.layout] for kernel in rows], dtype=np.int64), distance, calls, model, total[model],
        writes * np.array([not kernel.op.endswith("_") for kernel in rows], dtype=float),
        np.array([kernel.op.removesuffix("_") in _TRANSCENDENTAL for kernel in rows], dtype=bool),
    )  # fmt: skip


def _summed(model: NDArray[np.int64], values: Array, models: int) -> Array:
    return np.bincount(model, values, models).astype(np.float64)
