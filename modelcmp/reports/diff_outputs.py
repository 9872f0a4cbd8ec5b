"""All that a diff leaves for people: words and tables on the terminal, pictures and files in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..diffing.records import RunDiff
from ..files import make_folder
from .diff_files import csv_parts, json_parts, write_files
from .diff_table import diff_screens, tables
from .diff_words import finding_line, header, left_out_lines, place_words, shown_findings, status_line, what_words
from .export import markdown_table
from .training_table import markdown_lines

if TYPE_CHECKING:
    from rich.console import RenderableType


def write_diff(diff: RunDiff, folder: Path, detailed: bool = True) -> list[Path]:
    """Write both pictures, the CSV and the JSON into a folder, made if it is new; their paths. Raises OutputError.

    Without ``detailed`` the JSON, which may be large, is left for later.
    """
    from .plots.diff_pictures import draw_diff

    make_folder(folder)
    return [*draw_diff(diff, folder), *write_files(diff, folder, detailed)]


def screens(diff: RunDiff, width: int) -> list[RenderableType]:
    """What to print on a terminal of so many columns."""
    return diff_screens(diff, width)


def text(diff: RunDiff, style: str) -> str:
    """The same as JSON or CSV (as in the files) or Markdown."""
    if style == "json":
        return "".join(json_parts(diff)).encode("utf-8", "backslashreplace").decode("utf-8")
    if style == "csv":
        return "".join(csv_parts(diff))
    return diff_markdown(diff)


def diff_markdown(diff: RunDiff) -> str:
    """The verdict, the tables and what was noticed, for an issue or a pull request."""
    first = diff.verdict.first
    place = place_words(first) if first else ""
    started = [f"Started with: {what_words(first)}, {place}."] if first and place else []
    parts = [_paragraph(status_line(diff.verdict)), *map(_paragraph, started)]
    parts.append(markdown_table(("Compared", ""), header(diff), left=2))
    for rows in tables(diff):
        cells = [[cell.strip() for cell in row] for row in rows.cells]
        parts.append(f"\n{_line(rows.title)}\n\n" + markdown_table(rows.heads, cells, text=("Group",)))
    shown, more = shown_findings(diff)
    rest = [f"and {more} more, in the files"] if more else []
    parts += _list("Findings", [*map(finding_line, shown), *rest])
    parts += _list("Not compared", left_out_lines(diff)) + _list("Warnings", list(diff.warnings))
    return "".join(parts)


def _line(words: str) -> str:
    return markdown_lines([words])[0]


def _paragraph(words: str) -> str:
    return f"{_line(words)}\n\n"


def _list(title: str, lines: list[str]) -> list[str]:
    return [f"\n{title}:\n\n" + "".join(f"- {line}\n" for line in markdown_lines(lines))] if lines else []
