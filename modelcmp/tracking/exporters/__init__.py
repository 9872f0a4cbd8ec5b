"""Other tools that show a session while it is recorded, or afterwards.

A tracker is one file here: a class that keeps the ``Exporter`` protocol, and its entry in ``EXPORTERS``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from ...errors import BadInput, ModelcmpError
from ...registry import Registry, suggest
from .exporter import Exporter, ExporterFactory, Run
from .mlflow import MLflow
from .tensorboard import TensorBoard
from .wandb import Wandb

__all__ = ["EXPORTERS", "Exporter", "ExporterFactory", "Run", "exporter"]

#: Trackers by name; each is called with its options.
EXPORTERS: Registry[ExporterFactory] = Registry("tracker")
EXPORTERS.add("tensorboard", TensorBoard)
EXPORTERS.add("wandb", Wandb)
EXPORTERS.add("mlflow", MLflow)


def exporter(name: str, **options: Any) -> Exporter:
    """A tracker by name; raises UnknownName, BadInput for options that it does not take.

    Raises ModelcmpError when its package is not installed.
    """
    factory = EXPORTERS[name]
    _check_options(name, factory, options)
    for package in getattr(factory, "packages", ()):
        if find_spec(package) is None:
            raise ModelcmpError(f"tracker {name!r} needs a package that is not here: pip install 'modelcmp[{name}]'")
    return factory(**options)


def _check_options(name: str, factory: ExporterFactory, options: Mapping[str, Any]) -> None:
    known = inspect.signature(factory).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return  # passed on to a package that judges them
    for option in options:
        if option not in known:
            hint = suggest(option, known) if known else "it has no options"
            raise BadInput(f"tracker {name} takes no {option!r}: {hint}")
