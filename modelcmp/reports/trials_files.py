"""The summary of several seeds of each model as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files import write_whole
from ..training.grouping import Group
from .trials_table import KEYS, trials_text

NAMES = {
    "csv": "trials_summary.csv",
    "json": "trials_summary.json",
    "markdown": "trials_summary.md",
    "latex": "trials_summary.tex",
}


def write_trials(groups: Sequence[Group], folder: Path, keys: Sequence[str] = KEYS) -> list[Path]:
    """Write mean, standard deviation and every seed's value in four formats, each file whole or not at all.

    Returns their paths; raises OutputError, or UnknownName for a figure that there is not.
    """
    texts = {name: trials_text(groups, style, keys) for style, name in NAMES.items()}
    for name, text in texts.items():
        write_whole(folder / name, text)
    return [folder / name for name in texts]
