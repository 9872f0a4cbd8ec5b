"""What one call of an operation costs: one decorated function an op.

A formula sees shapes, not tensors: each tensor argument is replaced by its shape, ``out`` holds
the output shapes. It returns the MACs of a contraction, or a :class:`Cost`.
"""

from . import attention, contraction, linalg, moves, norms, pooling, recurrent, reductions, vision  # noqa: F401
from .base import Cost, Formula, formula, lookup

__all__ = ["Cost", "Formula", "formula", "lookup"]
