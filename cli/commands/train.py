"""``compare-models train``: several architectures under identical settings, evaluated and ranked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.training.config import Config
    from modelcmp.training.dump_size import DumpEstimate
    from modelcmp.training.progress import Listener
    from modelcmp.training.run import Trained
    from modelcmp.training.yaml_text import Document


def _complete_model(incomplete: str) -> list[str]:
    from modelcmp.training.names import MODEL_NAMES

    return [n for n in (*MODEL_NAMES, *opt.complete_model(incomplete)) if n.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    from modelcmp.training.config_file import recipes

    return [name for name in recipes() if name.startswith(incomplete)]


ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The run, in YAML.")]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", "-r", metavar="NAME", autocompletion=_complete_recipe, help="A packaged run: see `recipes`."
    ),
]
ModelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--model", "-m", metavar="MODEL", autocompletion=_complete_model,
        help="An architecture; may be repeated: cnn, resnet18, timm:NAME, net.py:factory.",
    ),
]  # fmt: skip
DataName = Annotated[
    str | None,
    typer.Option("--data", metavar="NAME", autocompletion=opt.complete_data, help="digits, mnist, cifar10, ..."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the config: optimizer.momentum=0.9; may be repeated."),
]


def train(
    config: ConfigFile = None,
    recipe: Recipe = None,
    model: ModelNames = None,
    data: DataName = None,
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over the training data.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", metavar="N", help="Samples a step, over all processes.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", metavar="RATE", help="Learning rate.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Of weights, order, dropout.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1.")] = None,
    dump_interval: Annotated[
        int | None, typer.Option("--dump-interval", metavar="N", help="Dump weights and optimizer every N steps.")
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out-dir", "-o", metavar="FOLDER", help="The workspace.", show_default="comparison-YYYYMMDDTHHMMSS"
        ),
    ] = None,
    set_: Overrides = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="WORKSPACE", help="Go on with a run that was interrupted.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Start over in a workspace that is in use.")] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Models trained side by side, in processes.")
    ] = 1,
    engine: opt.Engine = "local",
    address: opt.Address = None,
    format: opt.Printed = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write large dumps without asking.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> int:
    """Train architectures with the same data, order, seed and settings; evaluate and rank them.

    Each gets a session in the workspace: parameters, logs, loss of every
    step. The epoch that is best on validation is kept, and tested once, when
    all are trained. Ctrl-C finishes the step and saves; --resume goes on,
    bitwise as if never stopped.

    \b
    Examples:
      compare-models train --recipe quickstart
      compare-models train --model cnn --model mlp --epochs 5
      compare-models train --config run.yaml --dump-interval 10
      compare-models train --config run.yaml --set optimizer.name=sgd --lr 0.1
      compare-models train --recipe spots3d --out-dir runs/spots --device cuda
      compare-models train --resume runs/spots
      torchrun --nproc-per-node 2 -m modelcmp_cli train --config run.yaml
    """
    from ..live import listening

    given = {
        "models": model or None, "data": data, "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed,
        "device": device, "dump_interval": dump_interval, "workspace": str(out_dir) if out_dir is not None else None,
    }  # fmt: skip
    style = opt.choose_format(format, None)
    chosen = {key: value for key, value in given.items() if value is not None}
    from modelcmp.training.places import located

    with _speechless():
        opt.check_engine(engine, address)
        loaded, document = (None, None) if resume is not None else read_given(config, recipe, set_ or [], chosen)
        if resume is not None:
            _check_alone(chosen, config, recipe, set_, force)
    with _speechless(), listening(quiet or _helper()) as listener, located(document), redirect_stdout(sys.stderr):
        from modelcmp.training import run

        means = run.Means(jobs, engine, address)
        agree = partial(_agree, listener, yes)
        if loaded is not None:
            trained = run.train(loaded, force=force, means=means, listener=listener, agree=agree)
        else:
            assert resume is not None
            trained = run.resume(resume, means=means, listener=listener, agree=agree)
    return report(trained, style) if trained.main else 0


#: Dumps of more than this are asked about.
_MUCH_BYTES = 1_000_000_000


def _agree(listener: Listener, yes: bool, found: DumpEstimate) -> bool:
    """Say what dumps will take; on a terminal ask where it is much."""
    from ..live import paused

    with paused(listener):
        if found.total_bytes > _MUCH_BYTES and not yes and _on_terminal():
            return typer.confirm(f"{found.words}: go on?", err=True)
        screen.note(found.words)
        return True


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _helper() -> bool:
    """Whether another process of this run does the talking."""
    import os

    return os.environ.get("RANK", "0") != "0"


@contextmanager
def _speechless() -> Iterator[None]:
    """Of several processes only the first says what was wrong."""
    from modelcmp.errors import ModelcmpError

    try:
        yield
    except ModelcmpError as error:
        if _helper():
            raise typer.Exit(error.exit_code) from error
        raise


def read_given(
    config: Path | None, recipe: str | None, overrides: list[str], given: dict[str, Any]
) -> tuple[Config, Document]:
    """The config of a file or a recipe with what was given over it, and the document that errors quote."""
    from modelcmp.errors import BadInput

    if config is not None and recipe is not None:
        raise BadInput("--config and --recipe are two runs: give one, and change it with --set")
    if (
        config is None
        and recipe is None
        and "models" not in given
        and not any(o.startswith("models") for o in overrides)
    ):
        raise BadInput("nothing to train: give --config FILE, --recipe quickstart or --model cnn --model mlp")
    from modelcmp.training.config_file import open_document, read_config, said_over

    document = open_document(config, recipe)
    return read_config(document, overrides, given), said_over(document, overrides, given)


def _check_alone(given: dict[str, Any], *others: Any) -> None:
    from modelcmp.errors import BadInput

    if given or any(others):
        raise BadInput("--resume goes on as the workspace's config says: leave the other settings out")


def report(trained: Trained, style: str) -> int:
    """Write pictures and summaries, show the tables; 1 if a model did not finish."""
    from modelcmp.reports.training_outputs import write_outputs
    from modelcmp.training.workspace import near

    written = write_outputs(trained.results, trained.workspace)
    show(trained.results, style, None, fairness=True)
    if style == "table":
        screen.note(f"wrote {_listed(written)} and trained_models/ into {near(trained.workspace)}")
    unfinished = [r for r in trained.results if r.status != "finished" or r.test is None]
    for r in unfinished:
        if style != "table" or r.status == "finished":  # else the table's own lines say it
            screen.error(f"{r.name} {r.status}: {r.message}")
    undumped = [r for r in trained.results if r.dump_error]
    for r in undumped:
        screen.error(f"{r.name}: {r.dump_error}")
    return 1 if unfinished or undumped else 0


def show(
    results: Any, style: str, output: Path | None, by: str | None = None, fairness: bool = False, top: int | None = None
) -> None:
    """The ranked tables and what was unequal; or the same as JSON, CSV or Markdown. ``top``: only the first ones."""
    from modelcmp.reports import training_outputs as outputs

    if style == "table":
        width = screen.stdout().width if output is None else 120
        screen.show(outputs.screens(results, width, by, fairness, top), output)
    else:
        screen.write_text(outputs.text(results, style, by, top), output)


def _listed(paths: list[Path]) -> str:
    return ", ".join(p.name for p in paths)
