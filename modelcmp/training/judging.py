"""A trained model on a split: its predictions, what they are worth, and how fast it gives them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ModelcmpError
from .data.base import DataSet, Examples, SplitName
from .entrants import logits_of
from .evaluation.predictions import Predictions, load_predictions, predictions_path, save_predictions
from .evaluation.scores import evaluate
from .runtime import Runtime

#: How long each batch size is timed, and how often at least.
_TIMED_S, _LEAST_CALLS = 0.2, 5


def predict(model: nn.Module, data: DataSet, split: SplitName, runtime: Runtime, batch_size: int) -> Predictions:
    """What a model says of a split, each example once, shared between the processes."""
    examples = data.split(split)
    mine = torch.arange(runtime.share.rank, len(examples), runtime.share.of)
    parts = runtime.gathered((mine.numpy(), _logits(model, examples, mine, runtime, batch_size).numpy()))
    positions = np.concatenate([p for p, _ in parts])
    order = np.argsort(positions)
    logits = np.concatenate([v for _, v in parts])[order]
    return Predictions(
        targets=examples.targets.numpy().astype(np.int64), logits=logits, classes=data.classes, binary=data.binary,
        positions=positions[order],
    )  # fmt: skip


def _logits(model: nn.Module, examples: Examples, positions: Tensor, runtime: Runtime, batch_size: int) -> Tensor:
    """Logits on the CPU, float32 (N, K), or (N,) for one logit."""
    model.eval()
    found = []
    with torch.inference_mode(), runtime.accelerator.autocast():
        for part in positions.split(batch_size):
            logits = logits_of(model(examples.batch(part)[0].to(runtime.device))).float().cpu()
            found.append(logits.flatten() if logits.dim() == 1 or logits.shape[1] == 1 else logits)
    return torch.cat(found) if found else torch.empty(0)


def judge(
    model: nn.Module, data: DataSet, split: SplitName, runtime: Runtime, batch_size: int, run: Path
) -> dict[str, Any] | None:
    """Predict a split, keep the predictions in the run's folder and evaluate them; None in processes that only help."""
    found = predict(model, data, split, runtime, batch_size)
    if not runtime.main:
        return None
    path = predictions_path(run, split)
    path.parent.mkdir(exist_ok=True)
    save_predictions(found, path)
    return evaluate(found)


def judge_again(run: Path, split: SplitName) -> dict[str, Any] | None:
    """Evaluate the predictions that a run has kept; None where there are none. Raises ModelcmpError."""
    path = predictions_path(run, split)
    if not path.is_file():
        return None
    try:
        return evaluate(load_predictions(path))
    except ModelcmpError as error:
        raise ModelcmpError(f"{error}; `compare-models evaluate {run} --from-weights` makes them again") from error


def latencies_ms(model: nn.Module, data: DataSet, runtime: Runtime, batch_size: int) -> dict[str, float]:
    """Median time of one forward pass at batch 1 and at the batch size of training, by batch size."""
    model.eval()
    found = {}
    with torch.inference_mode(), runtime.accelerator.autocast():
        for size in sorted({1, batch_size}):
            with suppress(RuntimeError, MemoryError):  # a time that cannot be taken is not known
                x = torch.zeros((size, *data.shape), device=runtime.device)
                found[str(size)] = median_ms(lambda x=x: model(x), runtime.device)  # type: ignore[misc]
    return found


def median_ms(run: Callable[[], Any], device: torch.device) -> float:
    """Median time of a call, over a fifth of a second and at least five calls, after two to warm up."""
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < _LEAST_CALLS + 2 or time.perf_counter() - begin < _TIMED_S:
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return median(times[2:]) * 1e3
