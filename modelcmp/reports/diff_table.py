"""A diff on the terminal: the verdict, what differs by how much, and where. Text from files is never read as markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from ..diffing.measures import derive
from ..diffing.records import Kind, RunDiff, TensorPair
from ..diffing.sums import Array
from .diff_series import GROUPS, Series, broken_places, series
from .diff_words import (
    COMPARABLE,
    after_status,
    clean,
    cosine,
    finding_line,
    header,
    left_out_lines,
    place_words,
    shown_findings,
    size,
    what_words,
    whole,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLOURS = {"identical": "bold green", "within tolerance": "bold green", "within noise": "bold green",
            "diverged": "bold red", "not comparable": "bold yellow", "nothing in common": "bold yellow"}  # fmt: skip
_MOST = 10  # tensors in the table of those that moved apart most
_LONGEST_NAME = 120  # folded up to here; the middle of a longer one is left out
_KINDS: dict[Kind, str] = {"weight": "Weights", "buffer": "Buffers", "grad": "Gradients",
                           "optimizer": "Optimizer state"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """A table as text: heads, and cells line by line; the first column is text."""

    title: str
    heads: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def diff_screens(diff: RunDiff, width: int) -> list[RenderableType]:
    """What was compared, the verdict, the tables, what was noticed, and what was left out."""
    parts: list[RenderableType] = [_header(diff), Text(""), *_verdict(diff), Text("")]
    parts += [_table(rows, width) for rows in tables(diff)]
    shown, more = shown_findings(diff)
    if shown:
        parts.append(Text("Findings", style="bold"))
        parts += [_bullet(finding_line(f), "red" if f.serious else "dim") for f in shown]
        parts += [_bullet(f"and {more} more, in the files", "dim")] if more else []
    left_out = left_out_lines(diff)
    if left_out:
        parts += [Text("Not compared", style="bold"), *(_bullet(line, "yellow") for line in left_out)]
    return parts + [Text(f"warning: {clean(w)}", style="yellow") for w in diff.warnings]


def _header(diff: RunDiff) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, words in header(diff):
        grid.add_row(label, Text(words))
    return grid


def _verdict(diff: RunDiff) -> list[Text]:
    """The verdict in words, and where it started."""
    verdict = diff.verdict
    line = Text(verdict.status.upper(), style=_COLOURS[verdict.status])
    lines = [line.append(after_status(verdict), style="not bold default")]
    if verdict.first is not None and (place := place_words(verdict.first)):
        lines.append(Text("Started with: ", style="dim").append(f"{what_words(verdict.first)}, {place}", "default"))
    return lines


def _bullet(words: str, style: str) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(overflow="fold")
    grid.add_row(Text("•", style=style), Text(words, style="dim" if style == "dim" else ""))
    return grid


def _table(rows: Rows, width: int) -> Table:
    """Figures are whole; the first column is folded to what they leave."""
    table = Table(title=Text(rows.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
                  header_style="bold", expand=False, width=None)  # fmt: skip
    taken = sum(3 + max(len(r[i]) for r in (rows.heads, *rows.cells)) for i in range(1, len(rows.heads)))
    for i, head in enumerate(rows.heads):
        if i:
            table.add_column(head, justify="left" if head == "Group" else "right", no_wrap=True)
        else:
            table.add_column(head, overflow="fold", max_width=max(16, width - taken))
    for row in rows.cells:
        table.add_row(*map(Text, row))
    return table


# -- data of the tables ---------------------------------------------------------------------------


def tables(diff: RunDiff) -> list[Rows]:
    """The summary over all pairs, and the tensors that moved apart most."""
    if not diff.pairs:
        return []
    return [_summary(diff), *_moved(diff)]


def _summary(diff: RunDiff) -> Rows:
    """Mean, largest (of cosines least) and last figure of each measure, and when it was largest."""
    over = series(diff)
    lines = [(label, *_figures(over, values, angles)) for label, values, angles in _measured(diff, over)]
    if len(diff.pairs) == 1:
        return Rows("Differences", ("Measure", "Value"), tuple((label, last) for label, _, _, _, last in lines))
    title = f"Differences over {len(diff.pairs)} pairs of dumps"
    return Rows(title, ("Measure", "Mean", "Worst", "at step", "Last"), tuple(lines))


def _measured(diff: RunDiff, over: Series) -> list[tuple[str, Array, bool]]:
    """Label, values over the pairs, and whether they are angles, which are written as cosines."""
    found: list[tuple[str, Array, bool]] = []
    for kind in sorted(over.kinds, key=tuple(_KINDS).index):
        if diff.verdict.status in COMPARABLE:
            found += _of_kind(over, kind)
    weights = over.totals()
    if diff.verdict.status not in COMPARABLE and "weight" in over.kinds:
        with np.errstate(all="ignore"):
            found.append(("Weights: norm in B / norm in A", weights["b_norm"] / weights["a_norm"], False))
        found += [(f"Weights: distance moved in {s.upper()}", weights[f"distance_{s}"], False) for s in ("a", "b")]
    if over.recorded("loss"):
        found.append(("Loss, |A − B|", np.abs(over.difference("loss")), False))
    if over.recorded("acc"):
        found.append(("Accuracy, |A − B|", np.abs(over.difference("acc")), False))
    return found


def _of_kind(over: Series, kind: Kind) -> list[tuple[str, Array, bool]]:
    """All measures of the weights, the main ones of other kinds."""
    word, columns = _KINDS[kind], over.totals(kind)
    found: list[tuple[str, Array, bool]] = [(f"{word}: L2", columns["l2"], False)]
    if kind == "weight":
        groups = [(group, over.totals(kind, group)["l2"]) for group in GROUPS if group]
        if all(np.isfinite(y).any() for _, y in groups):
            found += [(f"  L2 of {group}", y, False) for group, y in groups]
    found.append((f"{word}: rel. L2", columns["relative_l2"], False))
    if kind == "weight":
        update = np.arccos(np.clip(columns["update_cosine"], -1, 1))
        found += [(f"{word}: cosine", columns["angle_rad"], True), ("  cosine of updates", update, True)]
        found.append(("  L2 / distance moved", columns["per_distance"], False))
    broken = broken_places(columns)
    if (broken > 0).any():
        found.append((f"{word}: NaN or Inf", broken, False))
    return [f for f in found if np.isfinite(f[1]).any()]


def _figures(over: Series, values: Array, angles: bool) -> tuple[str, str, str, str]:
    """Mean, worst, its step, and the last, as text."""
    known = np.isfinite(values)
    if not known.any():
        return ("?",) * 4
    write = cosine if angles else size
    worst = int(np.nanargmax(np.where(known, values, np.nan)))
    mean = _mean_angle(values[known]) if angles else float(values[known].mean())
    step = f"{over.steps[worst]:.0f}" if values[worst] else "-"
    return write(mean), write(float(values[worst])), step, write(float(values[-1]))


def _mean_angle(angles: Array) -> float:
    """The angle whose cosine is the mean cosine: 1 - cos is averaged, which keeps small angles."""
    rest = float((2 * np.sin(angles / 2) ** 2).mean())
    return 2 * float(np.arcsin(min(1.0, np.sqrt(rest / 2))))


# -- the tensors that moved apart most ------------------------------------------------------------


def _moved(diff: RunDiff) -> list[Rows]:
    """At the last pair: ten tensors by relative L2, those with NaN first; by norms where weights are not comparable."""
    pair = diff.pairs[-1]
    kind: Kind | None = next((k for k in _KINDS if any(t.kind == k and not t.problem for t in pair.tensors)), None)
    if kind is None:
        return []
    wanted = np.flatnonzero(pair.rows(kind))
    at = f" at step {pair.step}" if pair.a.step is not None else ""
    tensors = [pair.tensors[i] for i in wanted]
    columns = {key: values[wanted] for key, values in derive(pair.sums).items()}
    if diff.verdict.status not in COMPARABLE:
        return [_by_norms(tensors, columns, at)]
    return _by_difference(kind, tensors, columns, at)


def _by_difference(kind: Kind, tensors: Sequence[TensorPair], columns: dict[str, Array], at: str) -> list[Rows]:
    broken = np.nan_to_num(broken_places(columns))
    far = np.nan_to_num(columns["relative_l2"], nan=-1.0)
    order = np.lexsort((-far, -(broken > 0).astype(int)))
    chosen = [i for i in order if far[i] > 0 or broken[i] > 0][:_MOST]
    if not chosen:
        return []
    heads = ["Tensor", "Group", "rel. L2", "cosine", "ULP max", *(["NaN, Inf"] if broken.any() else [])]
    cells = tuple(
        (
            short(tensors[i].name), tensors[i].group, size(columns["relative_l2"][i]), cosine(columns["angle_rad"][i]),
            whole(columns["ulp_max"][i]), *([whole(broken[i])] if broken.any() else []),
        )
        for i in chosen
    )  # fmt: skip
    differ = int(((far > 0) | (broken > 0)).sum())
    which = f"the {len(chosen)} that differ most" if differ > len(chosen) else "most first"
    title = f"{_KINDS[kind]} that differ{at}: {differ} of {len(tensors)}, {which}"
    return [Rows(title, tuple(heads), cells)]


def _by_norms(tensors: Sequence[TensorPair], columns: dict[str, Array], at: str) -> Rows:
    with np.errstate(all="ignore"):
        ratio = columns["b_norm"] / columns["a_norm"]
        far = np.nan_to_num(np.abs(np.log(ratio)), nan=-1.0, posinf=np.inf)
    chosen = np.argsort(-far, kind="stable")[:_MOST]
    cells = tuple(
        (short(tensors[i].name), tensors[i].group, *(size(float(v[i])) for v in (
            columns["a_norm"], columns["b_norm"], ratio))) for i in chosen
    )  # fmt: skip
    return Rows(f"Norms that differ most{at}", ("Tensor", "Group", "norm in A", "norm in B", "B / A"), cells)


def short(name: str) -> str:
    """A name for a table: whole, unless it is so long that it would fill the screen."""
    name = clean(name)
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
