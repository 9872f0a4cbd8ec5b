"""``compare-models rank WORKSPACE``: trained models, best first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from .train import show

if TYPE_CHECKING:
    from modelcmp.sweeps.statistics.records import Significance
    from modelcmp.training.grouping import Group, Run

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Workspaces, runs in them, folders of trials or of a sweep.", show_default=False
    ),
]
#: Pairs of groups grow with the square of their number.
_MOST_GROUPS = 40
_MOST_WARNINGS = 5


def rank(
    runs: Runs,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", "-s", metavar="KEY", autocompletion=opt.complete_key, show_default="what selected the epochs",
            help="val_accuracy, val_loss, test_accuracy, test_f1, test_auc, params, train_seconds, latency, ...",
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", "-w", metavar="CONDITION", help="Only runs with 'lr < 0.01 and status == \"finished\"'."
        ),
    ] = None,
    group: Annotated[
        bool | None,
        typer.Option(
            "--group/--runs", show_default="groups where there are several seeds",
            help="Means over runs that differ in nothing but the seed, or single runs.",
        ),
    ] = None,
    significance: Annotated[
        bool, typer.Option("--significance", help="Which groups can be told apart; the others share a place.")
    ] = False,
    top: opt.Top = None,
    fairness: Annotated[bool, typer.Option("--fairness", help="Also every setting, equal or not.")] = False,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:  # fmt: skip
    """Rank trained models of one or more workspaces, best first, with medals.

    Runs that differ in nothing but the seed are one group, ranked by its mean;
    of settings only those are shown that differ. Runs that diverged or failed
    are counted and named, not dropped.

    \b
    Examples:
      compare-models rank runs/spots --by val_accuracy
      compare-models rank runs/a runs/b --by test_f1
      compare-models rank runs/spots/comparison-resnet runs/b/comparison-vit
      compare-models rank trials-mnist --by test_accuracy --significance
      compare-models rank sweep-mnist --where 'lr < 0.01' --top 10
      compare-models rank runs/spots --format csv --output ranking.csv
    """
    from modelcmp.errors import BadInput
    from modelcmp.training.grouping import group_runs, load_all, picks_by_result, select
    from modelcmp.training.summary import check_key

    style = opt.choose_format(format, output)
    if by is not None:
        check_key(by)
    if significance and group is False:
        raise BadInput("--significance compares groups of runs: leave out --runs")
    found, problems = load_all(runs)
    kept = select(found, where)
    groups = group_runs(kept)
    if group or (group is None and (significance or _grouped(runs, kept, groups))):
        _show_groups(groups, style, output, by, significance, top, fairness)
        if picks_by_result(where):
            screen.warn("--where picks runs by what they reached: means over seeds chosen so are too good")
    else:
        _show_runs(found, kept, style, output, by, top, fairness)
    _say(len(kept), len(found), where, problems)
    return 0


def _grouped(places: Sequence[Path], runs: Sequence[Run], groups: Sequence[Group]) -> bool:
    """Whether groups say more than runs: some have several seeds, or a folder of many workspaces was named."""
    from modelcmp.training.grouping import seed_of

    named = {place.resolve() for place in places}
    deep = any(not {run.folder.resolve(), run.folder.parent.resolve()} & named for run in runs)
    return deep or any(len({seed_of(r) for r in group.results}) > 1 for group in groups)


def _show_groups(
    groups: Sequence[Group], style: str, output: Path | None, by: str | None, significance: bool, top: int | None,
    fairness: bool,
) -> None:  # fmt: skip
    from modelcmp.reports import group_outputs as outputs

    found = _significance(groups, by) if significance else None
    if style == "table":
        width = screen.stdout().width if output is None else 120
        screen.show(outputs.screens(groups, width, by, found, top, fairness), output)
    else:
        screen.write_text(outputs.text(groups, style, by, found, top), output)


def _significance(groups: Sequence[Group], by: str | None) -> Significance:
    from modelcmp.errors import BadInput
    from modelcmp.reports.group_ranking import group_key
    from modelcmp.sweeps.statistics.significance import significance

    if len(groups) > _MOST_GROUPS:
        raise BadInput(f"--significance compares every pair, and there are {len(groups)} groups: narrow with --where")
    return significance(groups, group_key(groups, by).key)


def _show_runs(
    everyone: Sequence[Run], kept: Sequence[Run], style: str, output: Path | None, by: str | None, top: int | None,
    fairness: bool,
) -> None:  # fmt: skip
    """Single runs; of several workspaces the names say which, whatever is left of them."""
    from modelcmp.training.finding import named

    names = {run.folder: r for run, r in zip(everyone, named([(e.folder, e.result) for e in everyone]), strict=True)}
    show([names[run.folder] for run in kept], style, output, by, fairness, top)


def _say(kept: int, found: int, where: str | None, problems: Sequence[str]) -> None:
    """How many runs are left, and what could not be read."""
    if where is not None:
        screen.note(f"{kept} of {found} runs meet {where}")
    for words in problems[:_MOST_WARNINGS]:
        screen.warn(words)
    if len(problems) > _MOST_WARNINGS:
        screen.warn(f"{len(problems) - _MOST_WARNINGS} more runs could not be read")
