"""``compare-models sweep``: the best configuration of each architecture."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as opt
from .. import screen
from .train import DataName, ModelNames, Overrides

if TYPE_CHECKING:
    from modelcmp.sweeps.config import SweepConfig
    from modelcmp.sweeps.records import Sweep


def complete_recipe(incomplete: str) -> list[str]:
    """Packaged sweeps."""
    from modelcmp.training.config_file import sweep_recipes

    return [name for name in sweep_recipes() if name.startswith(incomplete)]


def _complete_method(incomplete: str) -> list[str]:
    from modelcmp.sweeps.methods import METHODS

    return [name for name in METHODS if name.startswith(incomplete)]


Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, help="Trials at once.", show_default="1; on a cluster all it has room for"
    ),
]
Gpus = Annotated[
    float | None, typer.Option("--gpus", metavar="N", help="GPUs of each trial, 0.25 for four trials on one.")
]
Cpus = Annotated[float | None, typer.Option("--cpus", metavar="N", help="CPUs of each trial, on a cluster.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]


def sweep(
    config: Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The search, in YAML.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", "-r", metavar="NAME", autocompletion=complete_recipe, help="A packaged search: see `recipes`."
        ),
    ] = None,
    model: ModelNames = None,
    data: DataName = None,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over the training data.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME", autocompletion=_complete_method, help="grid, random, tpe, gp, qmc or nsga2."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", "-t", metavar="N", help="Trials of each architecture.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="KEY",
            autocompletion=opt.complete_key,
            help="val_accuracy, val_loss, params, ...; several: a front.",
        ),
    ] = None,
    set_: Overrides = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="A database or journal file.", show_default="FOLDER/study.db"),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out-dir", "-o", metavar="FOLDER", help="Where it is kept.", show_default="sweep-NAME"),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="FOLDER", help="Go on with the search in a folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Forget what the folder's search has recorded.")] = False,
    jobs: Jobs = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    format: opt.Printed = None,
    quiet: Quiet = False,
) -> int:
    """Search the best hyperparameters of each architecture, all with the same budget.

    The config is that of `train` with `space:` and how to search it. Trials
    are kept in an Optuna study and never see the test split. The same command
    goes on with a search that was stopped or killed: no trial is lost, none
    is recorded twice.

    \b
    Examples:
      compare-models sweep --recipe mnist_study
      compare-models sweep --config sweep.yaml
      compare-models sweep -c sweep.yaml --method tpe --trials 50 --jobs 2
      compare-models sweep -m cnn -m mlp --set 'space.lr=[0.001, 0.1]'
      compare-models sweep -c sweep.yaml --objective val_loss --objective params
      compare-models sweep --config sweep.yaml --engine ray --gpus 0.5
      compare-models sweep --resume sweep-mnist_study
    """
    from ..live_units import listening

    given = {
        "models": model or None, "data": data, "epochs": epochs, "method": method, "trials": trials,
        "objective": objective or None, "storage": storage,
    }  # fmt: skip
    style = opt.choose_format(format, None)
    opt.check_engine(engine, address)
    chosen = {key: value for key, value in given.items() if value is not None}
    if resume is not None:
        check_alone("--resume", chosen, config, recipe, set_, force, out_dir)
    found, folder, document = _opened(config, recipe, set_ or [], chosen, out_dir, resume)
    from modelcmp.training.places import located

    with listening(quiet) as listener, located(document), redirect_stdout(sys.stderr):
        from modelcmp.sweeps.crew import Means
        from modelcmp.sweeps.folder import start_over
        from modelcmp.sweeps.search import search

        if force:
            start_over(folder, found)
        done = search(found, folder, Means(jobs, engine, address, gpus, cpus), listener)
        written = _write(done, folder)
    return _report(done, folder, style, written)


def _opened(
    config: Path | None, recipe: str | None, overrides: list[str], given: dict[str, Any], out_dir: Path | None,
    resume: Path | None,
) -> tuple[SweepConfig, Path, Any]:  # fmt: skip
    """The search, its folder, and the document that errors quote."""
    from modelcmp.errors import BadInput
    from modelcmp.sweeps.config import read_sweep

    if resume is not None:
        from modelcmp.sweeps.folder import kept_config

        return kept_config(resume), resume, None
    if config is not None and recipe is not None:
        raise BadInput("--config and --recipe are two searches: give one, and change it with --set")
    if config is None and recipe is None and not overrides:
        raise BadInput("nothing to search: give --config FILE, --recipe mnist_study or --set 'space.lr=[0.001, 0.1]'")
    from modelcmp.training.config_file import open_document

    document = open_document(config, recipe)
    found = read_sweep(document, overrides, given, stem=recipe or (config.stem if config is not None else "sweep"))
    return found, out_dir or default_folder("sweep", found.name), document


def default_folder(kind: str, name: str) -> Path:
    """``sweep-mnist``; a name that says so already stays.

    >>> str(default_folder("sweep", "mnist")), str(default_folder("sweep", "sweep")), str(default_folder("sweep", ""))
    ('sweep-mnist', 'sweep', 'sweep')
    """
    return Path(name if name.startswith(kind) else f"{kind}-{name}".rstrip("-"))


def check_alone(option: str, given: dict[str, Any], *others: Any) -> None:
    """Refuse settings beside an option that has them all."""
    from modelcmp.errors import BadInput

    if given or any(others):
        raise BadInput(f"{option} goes on as its folder's config says: leave the other settings out")


def _write(done: Sweep, folder: Path) -> list[Path]:
    """The summary files, and the picture of all architectures."""
    from modelcmp.reports.plots.sweep import save_sweep_overview
    from modelcmp.reports.sweep_files import write_sweep

    pictures = [save_sweep_overview(done, folder)] if any(t.values for t in done.trials) else []
    return [*write_sweep(done, folder), *pictures]


def _report(done: Sweep, folder: Path, style: str, written: list[Path]) -> int:
    """The best of each architecture; 1 if one has none."""
    from modelcmp.sweeps.best import best

    show(done, style)
    without = [m for m in done.models if best(done.of(m), done.objectives) is None]
    for model in without:
        screen.error(f"{model} has no finished trial")
    if style == "table":
        from modelcmp.training.workspace import near

        screen.note(f"wrote {', '.join(p.name for p in written)} into {near(folder.absolute())}")
        if not without:
            by = f"--by {done.objectives[0].key}" if len(done.objectives) > 1 else "--best"
            screen.note(f"next: compare-models trials --from-sweep {near(folder.absolute())} {by} --seeds 5")
    return 1 if without else 0


def show(done: Sweep, style: str, output: Path | None = None) -> None:
    """The search as a table, JSON, CSV or Markdown."""
    from modelcmp.reports import sweep_files, sweep_table
    from modelcmp.reports.export import json_text

    if style == "table":
        width = screen.stdout().width if output is None else 120
        screen.show([*sweep_table.sweep_tables(done, width), *sweep_table.sweep_lines(done)], output)
    elif style == "json":
        screen.write_text(json_text(sweep_files.sweep_json(done, done.trials)), output)
    elif style == "csv":
        screen.write_text(sweep_files.sweep_csv(done, done.trials), output)
    else:
        screen.write_text(sweep_table.sweep_markdown(done), output)
