"""Pooling and interpolation."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


def _window(kernel: Any, dims: int) -> int:
    sizes = [kernel] if isinstance(kernel, int) else list(kernel)
    return prod(sizes) if len(sizes) > 1 else int(sizes[0]) ** dims


def _pool(x: Shape, kernel: Any, dims: int, out: Shape) -> Cost:
    return Cost(other=prod(out) * _window(kernel, dims), width=x[-dims - 1])


@formula("aten.max_pool1d", "aten.avg_pool1d", "aten.max_pool1d_with_indices", kind="pool", outputs=1)
def pool1d(x: Shape, kernel: Any, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP for each element of each window."""
    return _pool(x, kernel, 1, out[0])


@formula(
    "aten.max_pool2d",
    "aten.max_pool2d_with_indices",
    "aten.avg_pool2d",
    "aten.mkldnn_max_pool2d",
    kind="pool",
    outputs=1,
)
def pool2d(x: Shape, kernel: Any, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP for each element of each window; the index output of max pooling is not counted.

    >>> pool2d((1, 64, 112, 112), [3, 3], out=((1, 64, 56, 56),)).other
    1806336
    """
    return _pool(x, kernel, 2, out[0])


@formula("aten.max_pool3d", "aten.max_pool3d_with_indices", "aten.avg_pool3d", kind="pool", outputs=1)
def pool3d(x: Shape, kernel: Any, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP for each element of each window."""
    return _pool(x, kernel, 3, out[0])


@formula(
    "aten.adaptive_avg_pool1d",
    "aten.adaptive_avg_pool3d",
    "aten._adaptive_avg_pool3d",
    "aten.adaptive_max_pool1d",
    "aten.adaptive_max_pool2d",
    "aten.adaptive_max_pool3d",
    "aten.fractional_max_pool2d",
    "aten.fractional_max_pool3d",
    kind="pool",
    outputs=1,
)
def adaptive_pool(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP an input element, or an output element where the output is larger."""
    return Cost(other=max(prod(x), prod(out[0])))


@formula("aten.adaptive_avg_pool2d", "aten._adaptive_avg_pool2d", "aten.mkldnn_adaptive_avg_pool2d", kind="pool")
def adaptive_avg_pool2d(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """One FLOP an input element, which fvcore counts too."""
    return Cost(other=max(prod(x), prod(out[0])), fvcore=prod(x), width=x[-3])


@formula("aten.max_unpool2d", "aten.max_unpool3d", kind="move")
def max_unpool(*_: Any, out: Out, **__: Any) -> Cost:
    """Scatters values: no arithmetic."""
    return Cost()


def _resample(each: int, fvcore_each: int, out: Out) -> Cost:
    return Cost(other=each * prod(out[0]), fvcore=fvcore_each * prod(out[0]))


@formula(
    "aten.upsample_nearest1d",
    "aten.upsample_nearest3d",
    "aten._upsample_nearest_exact1d",
    "aten._upsample_nearest_exact2d",
    "aten._upsample_nearest_exact3d",
    kind="resample",
)
def nearest(*_: Any, out: Out, **__: Any) -> Cost:
    """Nearest-neighbour interpolation: one FLOP an output element."""
    return _resample(1, 0, out)


@formula("aten.upsample_nearest2d", kind="resample")
def nearest2d(*_: Any, out: Out, **__: Any) -> Cost:
    """Nearest-neighbour interpolation: one FLOP an output element, which fvcore counts too."""
    return _resample(1, 1, out)


@formula("aten.upsample_linear1d", kind="resample")
def linear1d(*_: Any, out: Out, **__: Any) -> Cost:
    """Linear interpolation: two taps and one sum an output element."""
    return _resample(3, 0, out)


@formula("aten.upsample_bilinear2d", "aten._upsample_bilinear2d_aa", kind="resample")
def bilinear2d(*_: Any, out: Out, **__: Any) -> Cost:
    """Bilinear interpolation: four taps and three sums an output element; fvcore counts four."""
    return _resample(7, 4, out)


@formula("aten.upsample_trilinear3d", kind="resample")
def trilinear3d(*_: Any, out: Out, **__: Any) -> Cost:
    """Trilinear interpolation: eight taps and seven sums an output element."""
    return _resample(15, 0, out)


@formula("aten.upsample_bicubic2d", "aten._upsample_bicubic2d_aa", kind="resample")
def bicubic2d(*_: Any, out: Out, **__: Any) -> Cost:
    """Bicubic interpolation: sixteen taps and fifteen sums an output element."""
    return _resample(31, 0, out)


@formula(
    "aten.grid_sampler",
    "aten.grid_sampler_2d",
    "aten.grid_sampler_3d",
    "aten.cudnn_grid_sampler",
    "aten._grid_sampler_2d_cpu_fallback",
    kind="resample",
)
def grid_sampler(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Sampling at a grid, counted as bilinear (trilinear in 3D)."""
    taps = 2 ** (len(x) - 2)
    return _resample(2 * taps - 1, 4, out)
