"""What runs answered to the examples of a split: read from their saved predictions, each file once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelcmpError
from ...training.evaluation.calibration import brier_terms
from ...training.evaluation.predictions import Predictions, load_predictions, predictions_path
from ...training.grouping import Run
from ...training.summary import RankKey

Floats = NDArray[np.float64]

#: Figures that are a mean over examples, by their key in what ``evaluate`` finds.
MEANS: dict[str, Callable[[Predictions], Floats]] = {
    "accuracy": lambda p: (p.labels() == p.targets).astype(np.float64),
    "loss": Predictions.losses,
    "brier": brier_terms,
}
_AGREE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A run's answers to a split: what it was asked, and its figure on each example where that is a mean over them."""

    asked: str  # digest of positions, targets and classes: equal where two runs predicted the same examples
    each: Floats | None  # (N,)
    path: Path

    def predictions(self) -> Predictions:
        """All that is saved, by position; raises ModelcmpError."""
        return load_predictions(self.path).in_order()


class Reader:
    """Answers of runs to the split of one figure."""

    def __init__(self, entry: RankKey) -> None:
        self.entry = entry
        self.drawn: dict[Path, Floats] = {}  # by file of predictions: the figure of resampled examples
        self._read: dict[Path, Answers | ModelcmpError] = {}

    def answers(self, run: Run) -> Answers:
        """Those of a run; raises ModelcmpError where there are none, or none that its result rests on."""
        if run.folder not in self._read:
            try:
                self._read[run.folder] = self._answers(run)
            except ModelcmpError as error:
                self._read[run.folder] = error
        found = self._read[run.folder]
        if isinstance(found, ModelcmpError):
            raise found
        return found

    def _answers(self, run: Run) -> Answers:
        if self.entry.split is None:
            raise ModelcmpError("the figure is not of examples, and a single run shows no spread")
        path = predictions_path(run.folder, self.entry.split)
        p = load_predictions(path).in_order()
        each = MEANS[self.entry.figure](p) if self.entry.figure in MEANS else None
        if each is not None and not math.isclose(float(each.mean()), self._recorded(run), rel_tol=_AGREE):
            raise ModelcmpError(
                f"{path} is not what {self.entry.key} of its run was computed from: "
                f"`compare-models evaluate {run.folder}` computes it anew"
            )
        return Answers(_digest(p), each, path)

    def _recorded(self, run: Run) -> float:
        value = self.entry.value(run.result)
        return math.nan if value is None else value


def _digest(p: Predictions) -> str:
    made = hashlib.sha256("\0".join(p.classes).encode())
    made.update(p.positions.tobytes())
    made.update(p.targets.tobytes())
    return made.hexdigest()
