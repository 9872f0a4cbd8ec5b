"""``compare-models study FOLDER``: what a search has recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.sweeps.records import Sweep

Place = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A sweep's folder, its study.db, or a storage URL.", show_default=False)
]


def study(
    place: Place,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Which sweep, where a storage holds several.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="LABEL", help="Only one architecture's trials.")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", "-t", metavar="N", min=1, help="Only the first N.", show_default="20 in a table"),
    ] = None,
    in_order: Annotated[bool, typer.Option("--in-order", help="As they began, not best first.")] = False,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="FOLDER", help="Draw history, coordinates, importance and slices as PNG."),
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="With --plots: one interactive page a model.")] = False,
    format: opt.Format = None,
    output: opt.Output = None,
) -> int:
    """List the trials of a search, best first, with the best of each architecture.

    Any Optuna study can be listed. `optuna-dashboard sqlite:///FOLDER/study.db`
    opens the same record in a browser.

    \b
    Examples:
      compare-models study sweep-mnist_study
      compare-models study sweep-mnist_study --model cnn --top 5
      compare-models study sweep-mnist_study --format csv --output trials.csv
      compare-models study sweep-mnist_study --plots plots --html
    """
    from modelcmp.errors import BadInput
    from modelcmp.registry import suggest
    from modelcmp.sweeps.listing import list_sweep

    style = opt.choose_format(format, output)
    if html and plots is None:
        raise BadInput("--html says how to draw: add --plots FOLDER")
    found = list_sweep(place if "://" in place else Path(place), name)
    if model is not None and model not in found.models:
        raise BadInput(f"{place} has no architecture {model!r}: {suggest(model, found.models)}")
    _show(found, model, top, in_order, style, output)
    if plots is not None:
        _draw(found, model, plots, "html" if html else "png")
    return 0


_SHOWN = 20


def _show(
    found: Sweep, model: str | None, top: int | None, in_order: bool, style: str, output: Path | None
) -> None:  # fmt: skip
    from modelcmp.reports import sweep_files as files
    from modelcmp.reports import sweep_table as table
    from modelcmp.reports.export import json_text

    count = len(found.trials if model is None else found.of(model))
    most = top if top is not None or style != "table" else _SHOWN
    trials = table.chosen_trials(found, model, most, in_order)
    if style == "csv":
        screen.write_text(files.sweep_csv(found, trials), output)
    elif style == "json":
        screen.write_text(json_text(files.sweep_json(found, trials)), output)
    elif style == "markdown":
        screen.write_text(table.trials_markdown(found, trials), output)
    else:
        width = screen.stdout().width if output is None else 120
        cut = [f"{len(trials)} of {count:,} trials; --top {count} shows all."] if len(trials) < count else []
        screen.show([*table.trial_tables(found, trials, width), *cut, *table.sweep_lines(found)], output)


def _draw(found: Sweep, model: str | None, folder: Path, kind: str) -> None:
    from modelcmp.files import make_folder
    from modelcmp.reports.plots.sweep import save_study_plots
    from modelcmp.sweeps.opening import load_studies

    make_folder(folder)
    chosen = [m for m in found.models if model in (None, m)]
    written, notes = save_study_plots(load_studies(found, chosen), folder, found.objectives, kind)  # type: ignore[arg-type]
    for words in notes:
        screen.note(words)
    screen.note(f"wrote {', '.join(p.name for p in written) or 'nothing'} into {folder}")
