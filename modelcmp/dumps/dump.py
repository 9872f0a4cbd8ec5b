"""A dump as it is in a file: what it says, and where its tensors lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .tensor import TensorRef

Tensors = Mapping[str, TensorRef]


@dataclass(frozen=True, slots=True)
class OptimizerState:
    """What an optimizer keeps, by parameter name ("#3" where the parameter of a number is not known)."""

    tensors: Tensors = field(default_factory=dict)  # "layer1.weight/exp_avg"
    scalars: Mapping[str, float] = field(default_factory=dict)  # "layer1.weight/step"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # "layer1.weight" -> lr, betas, ...
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dump:
    """The state of a training run after a step; None and empty where the file does not tell.

    ``scalars`` and ``settings`` are the optimizer's. ``stats`` maps "weights", "grads" and "optimizer" to names and
    these to norm, mean, ... as written; a histogram is a TensorRef.
    """

    path: Path
    schema: int | None = None  # None: not written by modelcmp
    epoch: int | None = None
    batch: int | None = None
    step: int | None = None
    loss: float | None = None
    acc: float | None = None
    fingerprint: Mapping[str, Any] | None = None
    optimizer: str | None = None  # class name
    weights: Tensors = field(default_factory=dict)  # parameters and buffers
    grads: Tensors = field(default_factory=dict)
    optimizer_state: Tensors = field(default_factory=dict)  # "layer1.weight/exp_avg"
    scalars: Mapping[str, float] = field(default_factory=dict)  # "layer1.weight/step"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # "layer1.weight" -> lr, betas, ...
    stats: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
