"""Results of runs that never were: predictions drawn from seeds, histories from formulas."""

from __future__ import annotations

import math

import numpy as np

from modelcmp.training.evaluation.predictions import Predictions
from modelcmp.training.evaluation.scores import evaluate
from modelcmp.training.results import RunResult

SETTINGS = {
    "data": "digits", "data_digest_train": "4f0c" * 4, "data_digest_val": "93ab" * 4, "augment": "none",
    "optimizer": "adam(betas=(0.9, 0.999))", "lr": 0.001, "batch_size": 128, "max_epochs": 10, "precision": "fp32",
    "device": "cpu", "seed": 123,
}  # fmt: skip


def drawn(n=300, k=10, signal=2.5, seed=0):
    """Predictions of k classes, or of one logit where k is 2; right the more often the stronger the signal."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, k, n)
    if k == 2:
        logits = signal * (targets - 0.5) + random.normal(size=n)
        return Predictions(targets, logits, ("background", "spot"), True, np.arange(n))
    logits = random.normal(size=(n, k))
    logits[np.arange(n), targets] += signal
    return Predictions(targets, logits, tuple(f"{i}" for i in range(k)), False, np.arange(n))


def history(epochs, floor=0.1, diverges=None):
    """Losses that fall exponentially; NaN from the epoch in which they diverge."""
    rows = []
    for e in range(1, epochs + 1):
        loss = floor + 2.0 * math.exp(-e / 3)
        loss = math.nan if diverges and e >= diverges else loss * (4 ** max(0, e - diverges + 3) if diverges else 1)
        shares = (math.nan, math.nan) if math.isnan(loss) else (1 - min(0.9, loss / 3), 1 - min(0.9, loss / 2.6))
        rows.append({"epoch": e, "train_loss": loss * 0.9, "val_loss": loss, "train_accuracy": shares[0],
                     "val_accuracy": shares[1], "lr": 0.001, "seconds": 1.5})  # fmt: skip
    return tuple(rows)


def run(name, *, k=10, n=300, signal=2.5, seed=0, epochs=10, status="finished", message="", **fields):
    """A run of its own predictions; one that is not finished has none."""
    done = status in ("finished", "stopped")
    val = evaluate(drawn(n, k, signal, seed), resamples=100) if done else None
    test = evaluate(drawn(n, k, signal, seed + 1), resamples=100) if done else None
    values = {
        "model": name, "params": 17_957 * (seed + 1), "trainable_params": 17_957 * (seed + 1),
        "flops_per_epoch": 10**9 * (seed + 1), "epochs": epochs, "steps": 40 * epochs,
        "best_epoch": max(1, epochs - 2) if done else None, "train_seconds": 12.5 + 71 * seed,
        "samples_per_second": 4321.0, "peak_memory_bytes": 123_000_000, "latency_ms": {"1": 0.8 + seed, "128": 20.0},
        "classes": tuple(map(str, range(k))), "binary": k == 2, "settings": SETTINGS,
        "history": history(epochs, 0.1 + 0.05 * seed, None if done else 6),
    }  # fmt: skip
    return RunResult(name=name, status=status, message=message, val=val, test=test, **{**values, **fields})
