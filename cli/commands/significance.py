"""``compare-models significance RUN...``: whether one model is better than another, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from .rank import Runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modelcmp.sweeps.statistics.records import Significance
    from modelcmp.training.grouping import Group

_FORMATS = (*opt.FORMATS, "latex")
_SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".markdown": "markdown", ".tex": "latex"}
_DEFAULT = "test_accuracy"


def significance(
    runs: Runs,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", "-s", metavar="KEY", autocompletion=opt.complete_key,
            show_default="test_accuracy, or what selected the epochs",
            help="test_accuracy, test_loss, test_f1, val_accuracy, ...; may be repeated, or a,b.",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", metavar="SHARE", help="Share of true values that intervals hold.")
    ] = 0.95,
    alpha: Annotated[
        float, typer.Option("--alpha", metavar="SHARE", help="Adjusted p up to which a pair is separable.")
    ] = 0.05,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", autocompletion=opt.one_of(*_FORMATS),
            help="table, csv, json, markdown or latex.", show_default="table, or by the suffix of --output",
        ),
    ] = None,
    output: opt.Output = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Also draw a critical-difference diagram (PNG).")
    ] = None,
) -> int:  # fmt: skip
    """Say which models are better than which, from several seeds of each.

    Runs that differ in nothing but the seed are one group. Groups are
    compared at the seeds that both have (paired t), else by Welch's t;
    two single runs example by example (McNemar, paired bootstrap) from their
    saved predictions. p-values are Holm-adjusted. What cannot be told
    apart shares a letter, and how many seeds would help is said.

    \b
    Examples:
      compare-models significance runs/mnist-trials
      compare-models significance runs/a runs/b --by test_loss
      compare-models significance runs/* --by test_accuracy,test_f1
      compare-models significance runs/mnist-trials --plot diagram.png
      compare-models significance runs/mnist-trials --output pairs.csv
    """
    from modelcmp.files import check_writable
    from modelcmp.sweeps.statistics.significance import significance as judge
    from modelcmp.training.grouping import group_notes, load_groups

    style = opt.choose_format(format, output, _FORMATS, _SUFFIXES)
    keys = _keys(by)
    _check_plot(plot, keys)
    if plot is not None:
        check_writable(plot)
    groups, problems = load_groups(runs)
    found = [judge(groups, key, confidence=confidence, alpha=alpha) for key in _measured(keys, groups)]
    notes = group_notes(groups)
    if plot is not None:
        from modelcmp.reports.plots.significance import save_diagram

        save_diagram(found[0], plot)
        screen.note(f"wrote {plot}")
    _show(found, style, output, notes)
    for words in (*problems, *notes):
        screen.warn(words)
    return 0


def _keys(by: Sequence[str] | None) -> list[str]:
    """The keys asked for, each once, by their own names; raises UnknownName or BadInput."""
    from modelcmp.errors import BadInput
    from modelcmp.training.summary import check_key

    names = [name for text in by or () for name in text.split(",") if name.strip()]
    if by and not names:
        raise BadInput("--by names no figure: write --by test_accuracy, or several with commas")
    return list(dict.fromkeys(check_key(name).key for name in names))


def _check_plot(plot: Path | None, keys: Sequence[str]) -> None:
    from modelcmp.errors import BadInput

    if plot is not None and len(keys) > 1:
        raise BadInput(f"--plot draws one figure, and --by names {len(keys)}: give one of them")


def _measured(keys: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """The keys to compare by; raises BadInput for one that no run has a figure of."""
    from modelcmp.errors import BadInput
    from modelcmp.reports.group_rows import known_keys
    from modelcmp.training.summary import RANK_KEYS, chosen_key

    known = [key for key in known_keys(groups) if RANK_KEYS[key].better is not None]
    if not known:
        raise BadInput(_none_left(groups, ", ".join(keys) or f"{_DEFAULT} (what is compared without --by)"))
    chosen = list(keys) or [
        _DEFAULT if _DEFAULT in known else chosen_key([r for g in groups for r in g.results], None).key
    ]
    for key in chosen:
        if key not in known:
            raise BadInput(f"no run has a {key}: they have {', '.join(known)}")
    return chosen


def _none_left(groups: Sequence[Group], wanted: str) -> str:
    """Why there is no figure at all, and what to do."""
    from collections import Counter

    results = [r for group in groups for r in group.results]
    counted = Counter(r.status for r in results)
    first = next((r for r in results if r.message), None)
    why = f" (the first, {first.name}: {first.message})" if first else ""
    advice = "lower lr or set clip_norm" if counted["diverged"] else "mend the cause"
    return f"no run has a figure, and so no {wanted}: {_states(counted)}{why}; {advice}, and train them again"


def _states(counted: Mapping[str, int]) -> str:
    """``all 4 runs diverged``, ``of 5 runs 3 diverged and 2 failed``."""
    words = {status: status if status in ("diverged", "failed") else f"are {status}" for status in counted}
    total = sum(counted.values())
    if len(counted) == 1:
        return f"all {total} runs {words[next(iter(counted))]}"
    return f"of {total} runs {' and '.join(f'{n} {words[status]}' for status, n in counted.items())}"


def _show(found: Sequence[Significance], style: str, output: Path | None, notes: Sequence[str]) -> None:
    from modelcmp.reports import significance_files as files
    from modelcmp.reports import significance_table as tables

    if style == "table":
        width = screen.stdout().width if output is None else 120
        screen.show(tables.screens(found, width), output)
    elif style == "json":
        screen.write_text(files.significance_json(found, notes), output)
    elif style == "csv":
        screen.write_text(files.significance_csv(found), output)
    else:
        write = tables.markdown if style == "markdown" else tables.latex_tables
        screen.write_text(write(found), output)
