"""A diff on the terminal: the verdict, what differs by how much, and where. Text from files is never read as markup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    ratio,
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


#: A label, values over the pairs, and how one is written.
Measured = tuple[str, Array, Callable[[float], str]]


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
    return [rows for rows in (_summary(diff), *_moved(diff)) if rows.cells]


def _summary(diff: RunDiff) -> Rows:
    """Mean, largest (of cosines least) and last figure of each measure, and when it was largest."""
    over = series(diff)
    lines = [(label, *_figures(over, values, write)) for label, values, write in _measured(diff, over)]
    if len(diff.pairs) == 1:
        return Rows("Differences", ("Measure", "Value"), tuple((label, last) for label, _, _, _, last in lines))
    title = f"Differences over {len(diff.pairs)} pairs of dumps"
    few = [_known(values) for _, values, _ in _measured(diff, over)]
    cells = tuple((line[0] + note, *line[1:]) for line, note in zip(lines, few, strict=True))
    return Rows(title, ("Measure", "Mean", "Worst", "at step", "Last"), cells)


def _known(values: Array) -> str:
    """Over how many pairs a measure is known, where that is not nearly all."""
    known = int(np.isfinite(values).sum())
    return f" ({known} of {len(values)})" if known < len(values) - 1 else ""


def _measured(diff: RunDiff, over: Series) -> list[Measured]:
    """Label, values over the pairs, and how one is written; ``cosine`` writes angles."""
    found: list[Measured] = []
    for kind in sorted(over.kinds, key=tuple(_KINDS).index):
        if diff.verdict.status in COMPARABLE:
            found += _of_kind(over, kind)
    weights = over.totals()
    if diff.verdict.status not in COMPARABLE and "weight" in over.kinds:
        with np.errstate(all="ignore"):
            for group in GROUPS:
                norms, word = over.totals("weight", group), f"  of {group}" if group else "Weights: norm in B / A"
                found.append((word, norms["b_norm"] / norms["a_norm"], ratio))
        found += [(f"Weights: distance moved in {s.upper()}", weights[f"distance_{s}"], size) for s in ("a", "b")]
    if over.recorded("loss"):
        found.append(("Loss, |A − B|", np.abs(over.difference("loss")), size))
    if over.recorded("acc"):
        found.append(("Accuracy, |A − B|", np.abs(over.difference("acc")), size))
    return found


def _of_kind(over: Series, kind: Kind) -> list[Measured]:
    """All measures of the weights, the main ones of other kinds."""
    word, columns = _KINDS[kind], over.totals(kind)
    found: list[Measured] = [(f"{word}: L2", columns["l2"], size)]
    if kind == "weight":
        groups = [(group, over.totals(kind, group)["l2"]) for group in GROUPS if group]
        if all(np.isfinite(y).any() for _, y in groups):
            found += [(f"  L2 of {group}", y, size) for group, y in groups]
    found.append((f"{word}: rel. L2", columns["relative_l2"], size))
    if kind == "weight":
        update = np.arccos(np.clip(columns["update_cosine"], -1, 1))
        found += [(f"{word}: cosine", columns["angle_rad"], cosine), ("  cosine of updates", update, cosine)]
        found.append(("  L2 / distance moved", columns["per_distance"], size))
    broken = broken_places(columns)
    if (broken > 0).any():
        found.append((f"{word}: NaN or Inf", broken, size))
    return [f for f in found if np.isfinite(f[1]).any()]


def _figures(over: Series, values: Array, write: Callable[[float], str]) -> tuple[str, str, str, str]:
    """Mean, worst, its step, and the last, as text."""
    known = np.isfinite(values)
    if not known.any():
        return ("?",) * 4
    with np.errstate(all="ignore"):
        far = np.abs(np.log(values)) if write is ratio else values
    worst = int(np.argmax(np.where(known, far, -1.0)))
    mean = _mean_angle(values[known]) if write is cosine else float(values[known].mean())
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
        ratios = columns["b_norm"] / columns["a_norm"]
        far = np.nan_to_num(np.abs(np.log(ratios)), nan=-1.0, posinf=np.inf)
    chosen = np.argsort(-far, kind="stable")[:_MOST]
    cells = tuple(
        (
            short(tensors[i].name), tensors[i].group, size(float(columns["a_norm"][i])),
            size(float(columns["b_norm"][i])), ratio(float(ratios[i])),
        )
        for i in chosen
    )  # fmt: skip
    return Rows(f"Norms that differ most{at}", ("Tensor", "Group", "norm in A", "norm in B", "B / A"), cells)


def short(name: str) -> str:
    """A name for a table: whole, unless it is so long that it would fill the screen."""
    name = clean(name)
    half = _LONGEST_NAME // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
