"""``compare-models rank WORKSPACE``: trained models, best first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import options as opt
from .. import screen
from .train import show

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Workspaces, or runs in them.", show_default=False)]


def _complete_key(incomplete: str) -> list[str]:
    from modelcmp.training.summary import RANK_KEYS

    return [key for key in RANK_KEYS if key.startswith(incomplete)]


def rank(
    runs: Runs,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", "-s", metavar="KEY", autocompletion=_complete_key, show_default="what selected the epochs",
            help="val_accuracy, val_loss, test_accuracy, test_f1, test_auc, params, train_seconds, latency, ...",
        ),
    ] = None,
    fairness: Annotated[bool, typer.Option("--fairness", help="Also every setting, equal or not.")] = False,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:  # fmt: skip
    """Rank trained models of one or more workspaces, best first, with medals.

    \b
    Examples:
      compare-models rank runs/spots --by val_accuracy
      compare-models rank runs/a runs/b --by test_f1
      compare-models rank runs/spots/comparison-resnet runs/b/comparison-vit
      compare-models rank runs/spots --format csv --output ranking.csv
    """
    from modelcmp.training.again import load_runs
    from modelcmp.training.summary import check_key

    style = opt.choose_format(format, output)
    if by is not None:
        check_key(by)
    results, unreadable = load_runs(runs)
    show(results, style, output, by, fairness)
    for words in unreadable:
        screen.warn(words)
    return 0
