"""``compare-models trials``: several seeds of each architecture, and what they say together."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as opt
from .. import screen
from .sweep import Cpus, Gpus, Jobs, Quiet, check_alone, default_folder
from .train import ConfigFile, DataName, ModelNames, Overrides, Recipe

if TYPE_CHECKING:
    from modelcmp.sweeps.trials import Seeded
    from modelcmp.training.config import Config

FORMATS = ("table", "csv", "json", "markdown", "latex")


def trials(
    config: ConfigFile = None,
    recipe: Recipe = None,
    seeds: Annotated[
        str, typer.Option("--seeds", "-n", metavar="N|LIST", help="How many, or which: 5, or 1,2,7.")
    ] = "5",
    from_sweep: Annotated[
        Path | None,
        typer.Option("--from-sweep", metavar="FOLDER", help="Each model in a configuration that a sweep found."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="With --from-sweep: its best (the default).")] = False,
    by: Annotated[
        str | None, typer.Option("--by", metavar="KEY", help="With --from-sweep: best by which of its objectives.")
    ] = None,
    model: ModelNames = None,
    data: DataName = None,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over the training data.")] = None,
    set_: Overrides = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="KEY", autocompletion=opt.complete_key,
            help="A column; may be repeated.", show_default="test_loss, test_accuracy"
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out-dir", "-o", metavar="FOLDER", help="Where runs are kept.", show_default="trials-NAME"),
    ] = None,
    jobs: Jobs = None,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    gpus: Gpus = None,
    cpus: Cpus = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", autocompletion=opt.one_of(*FORMATS),
            help="table, csv, json, markdown or latex.", show_default="table",
        ),
    ] = None,
    quiet: Quiet = False,
) -> int:  # fmt: skip
    """Train each architecture with several seeds: mean ± standard deviation, and who is better.

    Every run is selected on validation and tested once. The same command goes
    on with what is missing, also with more seeds. After a sweep the seeds are
    others than that of the search, which helped to choose.

    \b
    Examples:
      compare-models trials --recipe quickstart --seeds 5
      compare-models trials --config run.yaml --seeds 1,2,7 --jobs 2
      compare-models trials --from-sweep sweep-mnist_study --best --seeds 5
      compare-models trials -m cnn -m mlp --metric test_f1 --metric test_auc
      compare-models trials --config run.yaml --seeds 5 --format latex
    """
    from ..live_units import listening

    style = opt.choose_format(format, None, known=FORMATS)
    opt.check_engine(engine, address)
    keys = _keys(metric)
    given = {"models": model or None, "data": data, "epochs": epochs}
    chosen = {key: value for key, value in given.items() if value is not None}
    if from_sweep is not None:
        check_alone("--from-sweep", chosen, config, recipe, set_)
        configs, name, first = _from_sweep(from_sweep, by)
        document: Any = None
    else:
        configs, name, first, document = _from_config(config, recipe, set_ or [], chosen, best or by is not None)
    from modelcmp.sweeps.seeds import parse_seeds
    from modelcmp.training.places import located

    chosen_seeds = parse_seeds(seeds, first)
    if from_sweep is not None and first - 1 in chosen_seeds:
        screen.warn(f"seed {first - 1} is that of the search and helped to choose: its figures are too good")
    with listening(quiet) as listener, located(document), redirect_stdout(sys.stderr):
        from modelcmp.sweeps.crew import Means
        from modelcmp.sweeps.trials import run_trials

        folder = out_dir or default_folder("trials", name)
        means = Means(jobs, engine, address, gpus, cpus)
        done = run_trials(configs, chosen_seeds, folder, means, listener)
    return _report(done, style, keys)


def _keys(metric: list[str] | None) -> tuple[str, ...]:
    from modelcmp.training.summary import check_key

    wanted = [key for words in metric or ["test_loss,test_accuracy"] for key in words.split(",")]
    return tuple(dict.fromkeys(check_key(key).key for key in wanted))


def _from_sweep(folder: Path, by: str | None) -> tuple[dict[str, Config], str, int]:
    """The best configuration of each architecture, the sweep's name, and the first seed that the search has not had."""
    from modelcmp.sweeps.best import chosen, missing_trials
    from modelcmp.sweeps.config import trial_config
    from modelcmp.sweeps.folder import kept_config
    from modelcmp.sweeps.listing import list_sweep

    folder = folder.parent if folder.is_file() else folder
    kept = kept_config(folder)
    recorded = list_sweep(folder, kept.name)
    found = chosen(recorded, by)
    if left := missing_trials(recorded):
        told = ", ".join(f"{n:,} trials of {m}" for m, n in left.items())
        screen.warn(
            f"the search in {folder} is not done ({told} are missing): these are its best so far; "
            f"`compare-models sweep --resume {folder}` goes on with it"
        )
    for missing in [label for label in kept.base.labels if label not in found]:
        screen.warn(f"{missing} has no finished trial in {folder}, and is left out")
    configs = {
        label: trial_config(kept, label, trial.params).model_copy(
            update={"description": f"{trial.name}, the best of {len(recorded.of(label))} trials of {folder.name}"}
        )
        for label, trial in found.items()
    }
    return configs, kept.name, kept.base.seed + 1


def _from_config(
    config: Path | None, recipe: str | None, overrides: list[str], given: dict[str, Any], choosing: bool
) -> tuple[dict[str, Config], str, int, Any]:
    """Each architecture's config, a name for the folder, the first seed, and the document that errors quote."""
    from modelcmp.errors import BadInput
    from modelcmp.sweeps.trials import separate

    from .train import read_given

    if choosing:
        raise BadInput("--best and --by choose among the trials of a sweep: add --from-sweep FOLDER")
    if "workspace" in given:
        raise BadInput("name the folder with --out-dir")
    found, document = read_given(config, recipe, overrides, given)
    name = recipe or (config.stem if config is not None else "-".join(found.labels))
    return separate(found), name, found.seed, document


def _report(done: Seeded, style: str, keys: tuple[str, ...]) -> int:
    """Write summaries and pictures, show the table and who is better; 1 where a run did not finish."""
    from modelcmp.reports.plots.seeds import save_trials_plots
    from modelcmp.reports.trials_files import write_trials
    from modelcmp.reports.trials_table import trials_lines, trials_table, trials_text
    from modelcmp.training.grouping import load_groups
    from modelcmp.training.workspace import near

    groups, unreadable = load_groups([done.folder])
    written = [*write_trials(groups, done.folder, keys), *save_trials_plots(groups, done.folder)]
    if style == "table":
        width = screen.stdout().width
        screen.show(
            [*trials_table(groups, width, keys), *trials_lines(groups, keys), *_verdict(groups, keys[-1])], None
        )
        place = near(done.folder.absolute())
        screen.note(f"wrote {', '.join(p.name for p in written)} into {place}")
        if sum(any(r.status == "finished" for r in group.results) for group in groups) > 1:
            screen.note(f"more: compare-models significance {place} --by {','.join(keys)}")
    else:
        screen.write_text(trials_text(groups, style, keys), None)
    for words in unreadable:
        screen.warn(words)
    for lost in done.lost:
        screen.error(f"{lost.unit.name} failed: {lost.error}")
    broken = [r for r in done.results if r.status != "finished" or r.test is None]
    return 1 if broken or done.lost else 0


def _verdict(groups: Any, key: str) -> list[str]:
    """Who is better, in sentences; nothing for one model."""
    if len(groups) < 2:
        return []
    from modelcmp.reports.significance_table import sentences
    from modelcmp.sweeps.statistics.significance import significance

    return sentences(significance(groups, key))
