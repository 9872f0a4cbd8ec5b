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
    from .diffing.api import diff
    from .dumps.dumper import BatchDumper
    from .errors import ModelcmpError
    from .hardware.catalogue import devices
    from .hardware.device import Device
    from .hardware.predict import predict
    from .hardware.prediction import Prediction
    from .measuring.bench import bench
    from .metrics import METRICS
    from .profiling.compare import compare, profile
    from .records import LayerRecord, ModelFailure, ModelProfile, OpRecord
    from .sweeps.api import significance, sweep, trials
    from .tracking.session import Session
    from .training.api import train

__version__ = "0.1.0"
__all__ = [
    "METRICS",
    "BatchDumper",
    "Comparison",
    "Device",
    "LayerRecord",
    "ModelFailure",
    "ModelProfile",
    "ModelcmpError",
    "OpRecord",
    "Prediction",
    "Session",
    "bench",
    "compare",
    "devices",
    "diff",
    "predict",
    "profile",
    "significance",
    "sweep",
    "train",
    "trials",
]

_HOME = {
    "METRICS": "metrics",
    "BatchDumper": "dumps.dumper",
    "Comparison": "comparison",
    "Device": "hardware.device",
    "LayerRecord": "records",
    "ModelFailure": "records",
    "ModelProfile": "records",
    "ModelcmpError": "errors",
    "OpRecord": "records",
    "Prediction": "hardware.prediction",
    "Session": "tracking.session",
    "bench": "measuring.bench",
    "compare": "profiling.compare",
    "devices": "hardware.catalogue",
    "diff": "diffing.api",
    "predict": "hardware.predict",
    "profile": "profiling.compare",
    "significance": "sweeps.api",
    "sweep": "sweeps.api",
    "train": "training.api",
    "trials": "sweeps.api",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: ``import modelcmp`` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
