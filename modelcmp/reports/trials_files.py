"""The summary of several seeds of each model as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files import write_whole
from ..training.grouping import Group
from .export import csv_text
from .plots.seeds import learning_bands
from .trials_table import KEYS, trials_text

NAMES = {
    "csv": "trials_summary.csv",
    "json": "trials_summary.json",
    "markdown": "trials_summary.md",
    "latex": "trials_summary.tex",
}


CURVES = "trials_curves.csv"
HISTORY = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def curves_csv(groups: Sequence[Group]) -> str:
    """One line a group, figure and epoch: mean and standard deviation over the n seeds that reached it."""
    return csv_text(
        {"name": band.name, "figure": key, "epoch": p.epoch, "mean": p.mean, "std": p.std, "n": p.runs}
        for key, bands in learning_bands(groups, HISTORY).panels
        for band in bands
        for p in band.points
    )


def write_trials(groups: Sequence[Group], folder: Path, keys: Sequence[str] = KEYS) -> list[Path]:
    """Write mean, standard deviation and every seed's value in four formats, and the curves over epochs.

    Each file is written whole or not at all.

    Returns their paths; raises OutputError, or UnknownName for a figure that there is not.
    """
    texts = {name: trials_text(groups, style, keys) for style, name in NAMES.items()}
    texts[CURVES] = curves_csv(groups)
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]
