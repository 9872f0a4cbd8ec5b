"""``compare-models evaluate RUN``: the figures again, without training."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import options as opt
from .. import screen
from .rank import Runs
from .train import show


def evaluate(
    runs: Runs,
    again: Annotated[
        bool, typer.Option("--from-weights", help="Predict again with the best weights, rather than read predictions.")
    ] = False,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:
    """Evaluate trained models again from the predictions that they kept; nothing is trained.

    Accuracy, precision, recall, F1, AUC, average precision, calibration error
    and their bootstrap intervals are computed anew, results and pictures of
    the workspace written again. Without predictions, the best weights make them.

    \b
    Examples:
      compare-models evaluate runs/spots
      compare-models evaluate runs/spots/comparison-resnet --from-weights
      compare-models evaluate runs/spots --format json --output metrics.json
    """
    from modelcmp.errors import ModelcmpError
    from modelcmp.training.again import evaluate_again, find_runs, load_runs

    style = opt.choose_format(format, output)
    folders = find_runs(runs)
    failed = []
    with screen.progress(len(folders)) as progress:
        for done, folder in enumerate(folders):
            progress(folder.name, done)
            try:
                evaluate_again(folder, from_weights=again, tell=screen.note)
            except ModelcmpError as error:  # the others are evaluated all the same
                failed.append(error)
    for error in failed:
        screen.error(str(error))
    if len(failed) == len(folders):
        return failed[0].exit_code
    from modelcmp.reports.training_outputs import write_outputs
    from modelcmp.training.workspace import CONFIG

    parents = dict.fromkeys(f.absolute().parent for f in folders)
    for workspace in (p for p in parents if (p / CONFIG).is_file()):
        write_outputs(load_runs([workspace])[0], workspace)
    show(load_runs(runs)[0], style, output)
    return 1 if failed else 0
