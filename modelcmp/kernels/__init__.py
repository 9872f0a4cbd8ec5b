"""What one forward pass asks of a machine, kernel by kernel, whatever the machine."""

from __future__ import annotations

from .kernel import Kernel, merged
from .launched import kernels

__all__ = ["Kernel", "kernels", "merged"]
