"""Trained models as ranked terminal tables and Markdown. Text from configs and models is never read as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.table import Table

from ..ranking import MEDALS
from ..training.results import RunResult
from ..training.summary import (
    BROKEN,
    RANK_KEYS,
    RankKey,
    chosen_key,
    rank_runs,
    ranked_value,
    run_medals,
    run_places,
    unique_names,
)
from .export import markdown_table, markdown_text
from .tables import NAME_WIDTH, Column, split_tables

#: Columns of the ranked table, and of the second one where they do not fit.
MAIN = ("val_accuracy", "test_accuracy", "test_f1", "params", "train_seconds", "latency_ms")
DETAILS = ("test_precision", "test_recall", "test_auc", "test_average_precision", "test_calibration_error")
_MOVED = ("test_f1", "latency_ms", "train_seconds")  # from the first to the second table, in this order
_TRIES = ((0, False), (1, False), (2, False), (0, True), (1, True), (2, True), (3, True))  # how many; names folded
_HEADS = {"test_f1": "F1", "test_precision": "Precision", "test_recall": "Recall", "test_auc": "AUC",
          "test_average_precision": "AP", "test_calibration_error": "ECE"}  # fmt: skip
_EXPLAINED = {
    **_HEADS, "test_precision": "precision", "test_recall": "recall",
    "test_average_precision": "AP (average precision)",
    "test_calibration_error": "ECE (calibration error, the smaller the better)",
}  # fmt: skip


def training_tables(
    results: Sequence[RunResult], width: int, by: str | None = "val_accuracy", top: int | None = None
) -> list[Table]:
    """Ranked with medals, best first; where the width is short, details stand in a second table.

    ``by`` stands first among the columns; ``top`` shows the first ones, with the medals that they have among all.
    Runs without figures show their state. Raises UnknownName.
    """
    by = chosen_key(results, by).key
    ordered, marks = rank_runs(results, by)[:top], _marks(rank_runs(results, by), by)
    main, details = _shown(ordered, by, MAIN), _shown(ordered, by, DETAILS)
    whole = _fitting(ordered, marks, _columns(ordered, [*main, *details]), width, fold=False)
    if len(whole) == 1:
        return whole
    for left_out, fold in _TRIES:
        moved = [e for e in main if e.key in _MOVED[:left_out] and e is not main[0]]
        first = _columns(ordered, [e for e in main if e not in moved])
        found = _fitting(ordered, marks, first, width, fold)
        if len(found) == 1:
            second = _columns(ordered, [*moved, *details], first=False)
            return found + (_fitting(ordered, marks, second, width, fold=False) if second else [])
    return whole


def _fitting(
    ordered: Sequence[RunResult], marks: Sequence[str] | None, columns: Sequence[Column], width: int, fold: bool
) -> list[Table]:
    """Tables with whole names; with folded ones if asked, or if that makes fewer tables."""
    names = unique_names(ordered)
    marks = None if marks is None else marks[: len(names)]
    longest = max((cell_len(n) for n in names), default=0)
    whole = [] if fold else split_tables(names, columns, width, name_width=longest, marks=marks)
    if len(whole) == 1:
        return whole
    folded = split_tables(names, columns, width, name_width=NAME_WIDTH - 3, marks=marks)
    return whole if whole and len(whole) <= len(folded) else folded


def training_markdown(results: Sequence[RunResult], by: str | None = "val_accuracy", top: int | None = None) -> str:
    """The same as one GitHub table; below it what a reader should know of single runs."""
    by = chosen_key(results, by).key
    everyone = rank_runs(results, by)
    ordered = everyone[:top]
    columns = _columns(ordered, [*_shown(ordered, by, MAIN), *_shown(ordered, by, DETAILS)])
    front = zip((_marks(everyone, by) or [""] * len(everyone))[:top], unique_names(ordered), strict=True)
    rows = [[f"{mark} {name}".strip(), *(c.cells[i] for c in columns)] for i, (mark, name) in enumerate(front)]
    table = markdown_table(["Model", *(c.head for c in columns)], rows)
    return table + "".join(f"\n{line}\n" for line in markdown_lines(training_lines(everyone, by, top)))


def markdown_lines(lines: Sequence[str]) -> list[str]:
    """Sentences with what Markdown would read as markup made plain."""
    return [markdown_text(line) for line in lines]


def training_lines(results: Sequence[RunResult], by: str | None = "val_accuracy", top: int | None = None) -> list[str]:
    """What the table cannot say: the order, what intervals are, and why a run has no figures."""
    entry = chosen_key(results, by)
    by = entry.key
    lines = [f"Ranked by {in_sentence(entry.label)}."] if len(results) > 1 else []
    if top is not None and top < len(results):
        lines.append(cut_words(top, len(results), "runs"))
        results = rank_runs(results, by)[:top]
    if any(e.interval(r) for e in (RANK_KEYS["test_accuracy"], entry) for r in results):
        lines.append(
            "± is half of a 95 % bootstrap interval over the examples of the split, not the spread between seeds."
        )
    shown = {e.key for keys in (MAIN, DETAILS) for e in _shown(results, by, keys)} & _HEADS.keys()
    if shown:
        lines.append(
            "On the test split where not said: " + ", ".join(_EXPLAINED[k] for k in _HEADS if k in shown) + "."
        )
    named = list(zip(unique_names(results), results, strict=True))
    lines += [f"{n} {r.status}: {r.message or 'no reason was recorded'}" for n, r in named if r.status != "finished"]
    for split in ("val", "test"):
        for name, result in named:
            evaluated = getattr(result, split) or {}
            lines += [f"{name}, {split}: {note}" for note in evaluated.get("notes", ())]
    return lines


def cut_words(shown: int, among: int, what: str) -> str:
    """How many of a ranking are shown.

    >>> cut_words(1, 8, "groups"), cut_words(3, 8, "runs")
    ('Only the best of 8 groups is shown.', 'Only the first 3 of 8 runs are shown.')
    """
    first, verb = ("best", "is") if shown == 1 else (f"first {shown}", "are")
    return f"Only the {first} of {among} {what} {verb} shown."


def in_sentence(label: str) -> str:
    """A label within a sentence; abbreviations keep their capitals."""
    return label if label[:2].isupper() else label[0].lower() + label[1:]


def _marks(ordered: Sequence[RunResult], by: str | None) -> list[str] | None:
    """Medals, and numbers for the places after them; none for a single run."""
    if len(ordered) < 2:
        return None
    prizes = run_medals(ordered, by)
    places = run_places(ordered, by)
    return [prizes.get(i) or ("" if place is None else f"{place}") for i, place in enumerate(places)]


def _shown(results: Sequence[RunResult], by: str | None, keys: Sequence[str]) -> list[RankKey]:
    """Entries that any run has a figure of; the one that orders goes before all others."""
    entry = chosen_key(results, by)
    wanted = [
        RANK_KEYS[key] for key in keys if key != entry.key and any(RANK_KEYS[key].value(r) is not None for r in results)
    ]
    return [entry, *wanted] if keys is MAIN else wanted


def _columns(ordered: Sequence[RunResult], entries: Sequence[RankKey], first: bool = True) -> list[Column]:
    """A column an entry; the first of the first table orders, and says the state of runs without a figure."""
    columns = []
    for i, entry in enumerate(entries):
        orders = first and i == 0
        cells = tuple(_cell(r, entry, entry.key == "test_accuracy" or orders, orders) for r in ordered)
        head = entry.short if orders else _HEADS.get(entry.key, entry.short)
        columns.append(Column(head, cells, best=_best(ordered, entry)))
    return columns


def _cell(result: RunResult, entry: RankKey, interval: bool, first: bool) -> str:
    if first and ranked_value(result, entry) is None and result.status != "finished":
        return result.status
    if entry.value(result) is None or (entry.split and result.status in BROKEN):
        return "-"
    return entry.text_with_interval(result) if interval and entry.split == "test" else entry.text(result)


def _best(ordered: Sequence[RunResult], entry: RankKey) -> int | None:
    """The row to emphasise: the best where it is the only one."""
    gold = [i for i, medal in run_medals(ordered, entry.key).items() if medal == MEDALS[0]] if entry.better else []
    return gold[0] if len(gold) == 1 else None


def winner_line(results: Sequence[RunResult], by: str | None = "val_accuracy") -> str:
    """Who is best and by how much, in words; "" for fewer than two models with a figure. Raises UnknownName."""
    entry = chosen_key(results, by)
    known = [r for r in rank_runs(results, by) if ranked_value(r, entry) is not None]
    if len(known) < 2:
        return ""
    first, second = known[:2]
    label = in_sentence(entry.label)
    if entry.value(first) == entry.value(second):
        return f"{first.name} and {second.name} share the best {label}: {entry.text(first)}"
    line = f"{first.name} is best in {label}: {entry.text(first)}, {second.name} {entry.text(second)}"
    return line + _overlap(first, second, entry)


def _overlap(first: RunResult, second: RunResult, entry: RankKey) -> str:
    """Whether the intervals of both leave room for the other order."""
    a, b = entry.interval(first), entry.interval(second)
    if a is None or b is None or a[1] < b[0] or b[1] < a[0]:
        return ""
    return "; their intervals overlap, so that this split does not separate them"
