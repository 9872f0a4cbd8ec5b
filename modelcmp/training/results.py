"""What became of one model's training, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ..errors import ModelcmpError
from ..files import write_whole

SCHEMA = 1
FILE = "result.json"
#: ``pruned``: a search gave it up, since others did better at the same epoch.
Status = Literal["running", "finished", "stopped", "pruned", "diverged", "failed"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """One model's training: what it was, how it went, what it reached.

    ``val`` and ``test`` are what :func:`~modelcmp.training.evaluation.scores.evaluate` found, as plain data; None
    where the split was not evaluated. ``history`` has one row an epoch: epoch, train_loss, train_accuracy, val_loss,
    val_accuracy, lr, seconds. ``settings`` are what the fairness table compares.
    """

    name: str  # as it is called in the workspace: "cnn"
    model: str  # the spec: "timm:vit_tiny_patch16_224"
    status: Status
    message: str = ""  # why it is not finished
    params: int | None = None
    trainable_params: int | None = None
    flops_per_epoch: int | None = None  # of forward and backward over the training split
    epochs: int = 0  # trained, also in part
    steps: int = 0
    best_epoch: int | None = None  # the one that the selection metric chose; counts from 1
    selected_by: str = "val_accuracy"
    train_seconds: float = 0.0
    samples_per_second: float | None = None
    peak_memory_bytes: int | None = None
    latency_ms: Mapping[str, float] = field(
        default_factory=dict
    )  # median of one forward pass by batch size: {"1": ...}
    classes: tuple[str, ...] = ()
    binary: bool = False
    history: tuple[Mapping[str, float], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    val: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    dump_error: str = ""  # why dumping stopped, where that was an error


def save_result(result: RunResult, folder: Path) -> None:
    """Write ``result.json`` into a run's folder, whole or not at all; raises OutputError."""
    write_whole(folder / FILE, json.dumps({"schema": SCHEMA, **asdict(result)}, indent=1) + "\n")


#: How ``save_result`` begins and ends the points of curves: nine tenths of a file.
_CURVES = ("roc", "pr")
_CURVE_STARTS = tuple(f'\n  "{curve}": ' for curve in _CURVES)
_CURVE_ENDS = {"{": "\n  }", "[": "\n  ]"}


def load_result(folder: Path, *, curves: bool = True) -> RunResult:
    """Read it back, without the points of curves where many are read and none is drawn.

    Raises ModelcmpError where there is none, or none that can be read.
    """
    path = folder / FILE
    try:
        text = path.read_text("utf-8")
        data = json.loads(text if curves else _without_curves(text))
    except FileNotFoundError:
        raise ModelcmpError(f"{folder} holds no {FILE}: it is not the folder of a trained model") from None
    except (OSError, ValueError) as error:
        raise ModelcmpError(f"{path} cannot be read: {error}") from error
    known = {f.name for f in fields(RunResult)}
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or not {"name", "model", "status"} <= data.keys():
        raise ModelcmpError(f"{path} is not a result that this version of modelcmp understands")
    values = {k: v for k, v in data.items() if k in known}
    listed = {k: tuple(values.get(k) or ()) for k in ("classes", "history") if isinstance(values.get(k, []), list)}
    if len(listed) < 2 or not all(isinstance(row, dict) for row in listed["history"]):
        raise ModelcmpError(f"{path} is damaged: classes and history are lists")
    return RunResult(**{**values, **listed})


def _without_curves(text: str) -> str:
    """The JSON with null for curves; what another program has laid out stays as it is.

    >>> _without_curves('{\\n "val": {\\n  "roc": [\\n   0.5\\n  ],\\n  "auc": 1\\n }\\n}')
    '{\\n "val": {\\n  "roc": null,\\n  "auc": 1\\n }\\n}'
    """
    for start in _CURVE_STARTS:
        kept, at = [], 0
        while (found := text.find(start, at)) >= 0:
            value = found + len(start)
            closing = _CURVE_ENDS.get(text[value : value + 1])
            end = text.find(closing, value) if closing else -1
            if closing is None or end < 0:
                break
            kept += [text[at:value], "null"]
            at = end + len(closing)
        text = "".join([*kept, text[at:]])
    return text
