"""A tensor in a few numbers, cheap enough for every step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .hashing import tensor_hash

#: Bin i of a histogram counts the numbers with floor(log2 |x|) = i + LOWEST; the first and the last one also take what
#: lies beyond. Zeros, NaN and infinities are in none.
BINS, LOWEST = 64, -48


def tensor_stats(tensor: Tensor) -> dict[str, Any]:
    """Norm, mean, least and largest of the finite elements, counts, a histogram of log2 |x| and a hash.

    Sums are in float64; mean, min and max are NaN where no element is finite. ``histogram``: int64 (BINS,); ``hash``:
    :func:`~.hashing.tensor_hash`.

    >>> found = tensor_stats(torch.tensor([0.0, 0.5, -2.0]))
    >>> found["mean"], found["min"], found["zeros"], found["histogram"].nonzero().flatten().tolist()
    (-0.5, -2.0, 1, [47, 49])
    """
    from . import tally_kernel as kernel

    values, bits, shift, mask, bias = _numbers(tensor.detach())
    acc, bins = np.zeros(kernel.WIDTH), np.zeros(BINS, np.int64)
    kernel.tally(values, bits, shift, mask, bias + LOWEST, acc, bins)
    counts = {name: int(acc[place]) for name, place in (("zeros", kernel.ZEROS), ("nan", kernel.NAN))}
    counts["inf"] = int(acc[kernel.INF])
    finite = values.size - counts["nan"] - counts["inf"]
    known = finite > 0
    return {
        "norm": math.sqrt(acc[kernel.SQUARES]), "mean": float(acc[kernel.SUM] / finite) if known else math.nan,
        "min": float(acc[kernel.MIN]) if known else math.nan, "max": float(acc[kernel.MAX]) if known else math.nan,
        "elements": int(values.size), **counts, "histogram": torch.from_numpy(bins), "hash": tensor_hash(tensor),
    }  # fmt: skip


def _numbers(tensor: Tensor) -> tuple[Any, Any, int, int, int]:
    """Values and bit patterns, and a pattern's place, mask and bias of the exponent."""
    tensor = tensor.abs() if tensor.is_complex() else tensor
    wide = tensor.dtype == torch.float64 or not tensor.dtype.is_floating_point
    flat = tensor.reshape(-1).to(torch.float64 if wide else torch.float32).contiguous().numpy()
    return (flat, flat.view(np.int64), 52, 0x7FF, 1023) if wide else (flat, flat.view(np.int32), 23, 0xFF, 127)
