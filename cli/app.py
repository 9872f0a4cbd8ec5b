"""The typer application: global options and the commands."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands import (
    audit,
    bench,
    cache,
    calibrate,
    check,
    compare,
    diff,
    evaluate,
    hardware,
    layers,
    models,
    plot,
    rank,
    recipes,
    roofline,
    scale,
    significance,
    study,
    sweep,
    train,
    trials,
    verify,
)

DEFAULT = "compare"


def with_default(arguments: list[str], commands: Collection[str]) -> list[str]:
    """Put the default command in front when the first word is no command.

    >>> with_default(["resnet18", "--full"], ["compare", "list"])
    ['compare', 'resnet18', '--full']
    >>> with_default(["list"], ["compare", "list"]), with_default(["--help"], ["compare"])
    (['list'], ['--help'])
    """
    own = ("--help", "-h", "--version", "--install-completion", "--show-completion")
    if not arguments or arguments[0] in commands or arguments[0] in own:
        return arguments
    return [DEFAULT, *arguments]


class DefaultGroup(TyperGroup):
    """A group whose first word may be a model: ``compare`` is then meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_default(args, self.commands))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        found = super().shell_complete(ctx, incomplete)
        return [*found, *self.commands[DEFAULT].params[0].shell_complete(ctx, incomplete)]


app = typer.Typer(
    cls=DefaultGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compare", no_args_is_help=True)(compare.compare)
app.command("layers", no_args_is_help=True)(layers.layers)
app.command("list")(models.list_models)
app.command("scale", no_args_is_help=True)(scale.scale)
app.command("plot", no_args_is_help=True)(plot.plot)
app.command("audit", no_args_is_help=True)(audit.audit)
app.command("hardware")(hardware.hardware)
app.command("bench", no_args_is_help=True)(bench.bench)
app.command("calibrate")(calibrate.calibrate)
app.command("roofline", no_args_is_help=True)(roofline.roofline)
app.command("check", no_args_is_help=True)(check.check)
app.command("train", no_args_is_help=True)(train.train)
app.command("sweep", no_args_is_help=True)(sweep.sweep)
app.command("study", no_args_is_help=True)(study.study)
app.command("trials", no_args_is_help=True)(trials.trials)
app.command("recipes")(recipes.recipes)
app.command("diff", no_args_is_help=True)(diff.diff)
app.command("rank", no_args_is_help=True)(rank.rank)
app.command("significance", no_args_is_help=True)(significance.significance)
app.command("evaluate", no_args_is_help=True)(evaluate.evaluate)
app.command("verify", no_args_is_help=True)(verify.verify)
app.add_typer(cache.app, name="cache")


def _version(wanted: bool) -> None:
    if wanted:
        from modelcmp import __version__

        print(f"modelcmp {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Which PyTorch model to pick, and why: size, compute, memory traffic, roofline class and latency.

    No weights, no compute, no download: models are built without data and their operations counted.
    The default command is `compare`, so its name may be left out.

    \b
    Examples:
      compare-models resnet18 mobilenet_v2 --sort-by ai
      compare-models resnet50 vit_b_16 swin_t --full
      compare-models layers resnet18 --top 10 --by macs
      compare-models list 'timm:vit_*'
      compare-models 'timm:*' --where 'macs < 5G and params < 30M' --sort-by ai --top 20
      compare-models 'torchvision:*' --pareto top1:macs --plot front.png
      compare-models scale vit_b_16 --batch 1,2,4,...,256
      compare-models audit vit_b_16
      compare-models resnet50 swin_t --hardware h100 --dtype bf16 -b 32 --sort-by latency
      compare-models bench resnet18 mobilenet_v2 --batch-size 1,32
      compare-models roofline resnet18 vit_b_16 --hardware h100 --plot roofline.png
      compare-models check resnet50 --budget budget.toml
      compare-models train --recipe quickstart
      compare-models sweep --recipe mnist_study
      compare-models trials --from-sweep sweep-mnist_study --best --seeds 5
      compare-models significance trials-mnist_study
      compare-models diff runA runB --filter mlp

    `--debug` anywhere shows the traceback of an error.
    """
