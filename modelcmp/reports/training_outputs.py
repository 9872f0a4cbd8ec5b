"""All that a comparison of trained models leaves for people: tables on the terminal, files in the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..training.results import RunResult
from ..training.summary import rank_runs
from .export import json_text
from .fairness_table import fairness_lines, fairness_markdown, fairness_table
from .training_files import summary_csv, summary_json, write_summary
from .training_table import training_lines, training_markdown, training_tables, winner_line

if TYPE_CHECKING:
    from rich.console import RenderableType


def screens(
    results: Sequence[RunResult], width: int, by: str | None = None, fairness: bool = False, top: int | None = None
) -> list[RenderableType]:
    """The ranked tables, what was unequal between the models, and the winner in words.

    ``fairness`` puts the whole table of settings before them; ``top`` shows the first runs of all.
    """
    shown = _shown(results, by, top)
    table = [fairness_table(shown, width)] if len(shown) > 1 and fairness else []
    said = fairness_lines(shown) if len(shown) > 1 else []
    winner = [line] if len(results) > 1 and (line := winner_line(results, by)) else []
    return [*table, *training_tables(results, width, by, top), *said, *training_lines(results, by, top), *winner]


def text(results: Sequence[RunResult], style: str, by: str | None = None, top: int | None = None) -> str:
    """The same as JSON, CSV or Markdown."""
    if style == "json":
        return json_text(summary_json(results, by, top))
    if style == "csv":
        return summary_csv(results, by, top)
    shown = _shown(results, by, top)
    fair = "\n" + fairness_markdown(shown) if len(shown) > 1 else ""
    return training_markdown(results, by, top) + fair


def _shown(results: Sequence[RunResult], by: str | None, top: int | None) -> Sequence[RunResult]:
    return results if top is None else rank_runs(results, by)[:top]


def write_outputs(results: Sequence[RunResult], workspace: Path, title: str = "") -> list[Path]:
    """Write the summary and the four pictures into a workspace; their paths. Raises OutputError."""
    from .plots.comparison import draw_comparison

    return [*write_summary(results, workspace, None), *draw_comparison(results, workspace, title or workspace.name)]
