"""modelcmp: which PyTorch model to pick, and why two runs differ.

>>> import modelcmp
>>> modelcmp.profile("resnet18").params
11689512
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .comparison import Comparison
    from .errors import ModelcmpError
    from .metrics import METRICS
    from .profiling.compare import compare, profile
    from .records import LayerRecord, ModelFailure, ModelProfile, OpRecord

__version__ = "0.1.0"
__all__ = [
    "METRICS",
    "Comparison",
    "LayerRecord",
    "ModelFailure",
    "ModelProfile",
    "ModelcmpError",
    "OpRecord",
    "compare",
    "profile",
]

_HOME = {
    "METRICS": "metrics",
    "Comparison": "comparison",
    "LayerRecord": "records",
    "ModelFailure": "records",
    "ModelProfile": "records",
    "ModelcmpError": "errors",
    "OpRecord": "records",
    "compare": "profiling.compare",
    "profile": "profiling.compare",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: ``import modelcmp`` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
