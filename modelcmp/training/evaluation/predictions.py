"""A model's answers to a split, one row an example, and the file that keeps them."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, ModelcmpError
from ...files import write_whole

SCHEMA = 1
_FIELDS = ("schema", "targets", "logits", "classes", "binary", "positions")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said of each example, and what is true.

    ``targets``: class numbers, int64 (N,). ``logits``: float32 (N, K), or (N,) for one logit, that of the second
    class. ``binary``: the second class is the positive one. ``positions``: where each example stands in its split,
    int64 (N,). Raises BadInput where these do not fit together.
    """

    targets: NDArray[np.int64]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]
    binary: bool
    positions: NDArray[np.int64]

    def __post_init__(self) -> None:
        logits = np.asarray(self.logits, np.float32)
        if logits.ndim == 2 and logits.shape[1] == 1:
            logits = logits[:, 0]
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "targets", np.asarray(self.targets, np.int64))
        object.__setattr__(self, "positions", np.asarray(self.positions, np.int64))
        object.__setattr__(self, "classes", tuple(str(c) for c in self.classes))
        object.__setattr__(self, "binary", bool(self.binary))
        if wrong := self._wrong():
            raise BadInput(f"predictions that cannot be scored: {wrong}")

    def _wrong(self) -> str:
        """What does not fit together, "" where all does."""
        k, shape = len(self.classes), self.logits.shape
        if k < 2 or len(set(self.classes)) < k:
            return f"they need two classes or more with different names, not {list(self.classes)}"
        if (self.binary or len(shape) == 1) and k != 2:
            return f"one logit, or a positive class, is for two classes, not {k}"
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != k):
            return f"logits of shape {shape} do not fit {k} classes"
        if not self.targets.shape == self.positions.shape == shape[:1]:
            return f"{len(self.targets)} targets and {len(self.positions)} positions for {shape[0]} logits"
        if len(self.targets) and not 0 <= self.targets.min() <= self.targets.max() < k:
            return f"targets from {self.targets.min()} to {self.targets.max()} for {k} classes counted from 0"
        return ""

    def __len__(self) -> int:
        return len(self.targets)

    def unusable(self) -> NDArray[np.bool_]:
        """Which examples have a logit that is NaN or infinite, (N,)."""
        finite = np.isfinite(self.logits).all(axis=tuple(range(1, self.logits.ndim)))
        return np.asarray(~finite, np.bool_)

    def log_odds(self) -> NDArray[np.float64]:
        """log(p / (1 - p)) of each class, (N, K): orders as probabilities do, but never saturates."""
        z = self.logits.astype(np.float64)
        if z.ndim == 1:
            return np.stack([-z, z], axis=1)
        rows, top = np.arange(len(z)), z.argmax(axis=1)
        z -= z[rows, top][:, None]
        e = np.exp(z)
        rivals = e.sum(axis=1, keepdims=True) - e
        rivals[rows, top] = 1.0  # the difference would cancel: those of the largest are summed on their own
        odds = z - np.log(rivals)
        z[rows, top] = -np.inf
        second = z.max(axis=1)
        odds[rows, top] = -second - np.log(np.exp(z - second[:, None]).sum(axis=1))
        return np.asarray(odds, np.float64)

    def rank_scores(self) -> NDArray[np.float32]:
        """What AUC and average precision sort by, (N, K): log-odds in the logits' own precision, so that ties stay."""
        return self.log_odds().astype(np.float32)

    def probabilities(self) -> NDArray[np.float64]:
        """Softmax, or the sigmoid and what it leaves, (N, K)."""
        return np.asarray(np.exp(-np.logaddexp(0.0, -self.log_odds())), np.float64)

    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy of each example in nats, (N,)."""
        truth = self.log_odds()[np.arange(len(self)), self.targets]
        return np.asarray(np.logaddexp(0.0, -truth), np.float64)

    def labels(self) -> NDArray[np.int64]:
        """The most probable class, (N,): of equal ones the first, so that one logit must exceed 0 (p > 0.5)."""
        labels = self.logits > 0 if self.logits.ndim == 1 else self.logits.argmax(axis=1)
        return np.asarray(labels, np.int64)

    def in_order(self) -> Predictions:
        """Sorted by position, each position once: without what padded the last batch of several processes."""
        positions, first = np.unique(self.positions, return_index=True)
        return Predictions(self.targets[first], self.logits[first], self.classes, self.binary, positions)


def predictions_path(run: Path, split: str) -> Path:
    """The file of a run's predictions on a split."""
    return run / "predictions" / f"{split}.npz"


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write an .npz file, whole or not at all; raises OutputError."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        schema=np.int64(SCHEMA),
        targets=predictions.targets,
        logits=predictions.logits,
        classes=np.array(predictions.classes, dtype=np.str_),
        binary=np.bool_(predictions.binary),
        positions=predictions.positions,
    )
    write_whole(path, stream.getvalue())


def load_predictions(path: Path) -> Predictions:
    """Read them back, never as code; raises ModelcmpError naming the file where it is missing, torn or foreign."""
    try:
        found = _read(path)
    except FileNotFoundError:
        raise ModelcmpError(f"there are no predictions at {path}") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise ModelcmpError(f"{path} holds no predictions that can be read: {error}") from error
    if int(found["schema"]) != SCHEMA:
        raise ModelcmpError(f"{path} is of schema {int(found['schema'])}, this version of modelcmp reads {SCHEMA}")
    try:
        names = tuple(found["classes"].tolist())
        return Predictions(found["targets"], found["logits"], names, bool(found["binary"]), found["positions"])
    except (BadInput, ValueError, TypeError) as error:
        raise ModelcmpError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file; raises KeyError where one is missing."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no .npz archive")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in _FIELDS}
