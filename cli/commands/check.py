"""``compare-models check MODEL... --budget budget.toml``: limits on figures, for pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen
from ..predicted import find_device, placed
from ..profiled import check_profiling, profiled

if TYPE_CHECKING:
    from modelcmp.budget import Baseline, Budget, Case
    from modelcmp.hardware.device import Device
    from modelcmp.profiling.many import Means
    from modelcmp.reports.budget_report import Checked
    from modelcmp.sources import Request

FORMATS = ("table", "json", "markdown", "junit", "github")
_SUFFIXES = {".xml": "junit", ".json": "json", ".md": "markdown", ".markdown": "markdown"}
_FILES = "by the budget"


def check(
    models: opt.Models,
    budget: Annotated[
        Path, typer.Option("--budget", metavar="FILE", help="Limits: a TOML file.", show_default=False)
    ],
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="FILE", help="An earlier JSON export, for limits such as \"+2%\"."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", help="table, json, markdown, junit or github.",
            autocompletion=lambda incomplete: [f for f in FORMATS if f.startswith(incomplete)],
            show_default="table, or by the suffix of --output",
        ),
    ] = None,
    output: opt.Output = None,
    hardware: Annotated[
        str | None, typer.Option("--hardware", metavar="NAME|FILE", help="A machine: h100 or my.toml.",
                                 show_default=_FILES)
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", metavar="LEVEL", help="datasheet or calibrated.", show_default=_FILES)
    ] = None,
    compiled: Annotated[
        bool | None, typer.Option("--compile/--eager", help="With pointwise operations fused, or without.",
                                  show_default=_FILES)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", "-b", metavar="N", help="Samples in a batch.", show_default=_FILES)
    ] = None,
    input_size: Annotated[
        str | None, typer.Option("--input-size", "-i", metavar="SIZE", help="224, 256x192 or 3x224x224.",
                                 show_default=_FILES)
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", metavar="TYPE", help="fp32, fp16, bf16 or fp64.", show_default=_FILES)
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="MODE", help="eval or train.", show_default=_FILES)
    ] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", metavar="NAME", help="total, contraction or fvcore.",
                                 show_default=_FILES)
    ] = None,
    kwargs: opt.Kwargs = None,
    reparam: Annotated[
        bool | None, typer.Option("--reparam/--as-built", help="In deployed form, or as built.", show_default=_FILES)
    ] = None,
    jobs: opt.Jobs = None,
    cache_dir: opt.CacheDir = None,
    no_cache: opt.NoCache = False,
) -> int:  # fmt: skip
    """Check models against a budget: exit 1 when a limit is broken, or cannot be shown to hold.

    Any metric can be limited, predicted latency and peak memory included. Options here go before the
    budget's settings; the settings of a case go before both.

    \b
    A budget:
      \\[limits]
      params = "30M"            # at most, where low is better
      ai = 8                    # at least, where high is better
      size = {max = "120MB"}
      \\[\\[case]]
      name = "h100, batch 32"
      hardware = "h100"
      dtype = "fp16"
      batch_size = 32
      limits = {latency_ms = "4 ms", peak_memory = "2GB"}

    \b
    Examples:
      compare-models check resnet50 --budget budget.toml
      compare-models check net.py:build --budget budget.toml --format github
      compare-models check resnet18 resnet50 --budget budget.toml --output budget.xml
      compare-models check resnet50 --budget budget.toml --baseline main.json
    """
    from modelcmp.budget_file import read_baseline, read_budget
    from modelcmp.sources.selection import expand

    style = opt.choose_format(format, output, FORMATS, _SUFFIXES)
    given = {
        "hardware": hardware, "level": level, "compiled": compiled, "batch_size": batch_size,
        "input_size": input_size, "dtype": dtype, "mode": mode, "convention": convention, "reparam": reparam,
        "kwargs": None if kwargs is None else opt.parse_kwargs(kwargs),
    }  # fmt: skip
    read = read_budget(budget, {key: value for key, value in given.items() if value is not None})
    before = _baseline(read, read_baseline(baseline) if baseline is not None else None)
    prepared = [(case, *_prepared(case, read)) for case in read.cases]
    specs = expand(models, screen.read_input)
    _check_all_limited(specs, read)
    means = opt.means(cache_dir, no_cache, jobs)
    found = [one for case, request, device in prepared for one in _checked(case, request, device, specs, means, before)]
    _render(found, style, read.path, output)
    screen.report_failures(one.failure for one in found if one.failure is not None)
    return 0 if all(one.holds for one in found) else 1


def _baseline(budget: Budget, baseline: Baseline | None) -> Baseline | None:
    from modelcmp.errors import BadInput

    if budget.relative and baseline is None:
        raise BadInput(f"{budget.path} has limits relative to a baseline: add --baseline FILE.json")
    return baseline


def _prepared(case: Case, budget: Budget) -> tuple[Request, Device | None]:
    """How a case profiles and on what machine it predicts, checked before any work; raises UsageError."""
    from modelcmp.errors import BadInput, UsageError

    s = case.settings
    try:
        request = check_profiling(
            s.batch_size, s.input_size, s.dtype, dict(s.kwargs), s.reparam, s.mode, s.convention
        )  # fmt: skip
        return request, find_device(s.hardware, s.dtype, s.level) if s.hardware is not None else None
    except UsageError as error:
        raise BadInput(f"{budget.path}{f', {case.name}' if case.name else ''}: {error}") from error


def _check_all_limited(specs: Sequence[str], budget: Budget) -> None:
    """A model that nothing limits would pass unseen."""
    from modelcmp.errors import BadInput

    for spec in specs:
        if not any(case.limits_for(spec) for case in budget.cases):
            raise BadInput(f"{budget.path} has no limit for {spec}: add [limits], or a pattern that matches it")


def _checked(
    case: Case, request: Request, device: Device | None, specs: Sequence[str], means: Means, before: Baseline | None
) -> list[Checked]:
    """Every model of one case, judged, in the order in which they were named."""
    from modelcmp.reports.budget_report import checked

    mine = [spec for spec in specs if case.limits_for(spec)]
    if not mine:
        return []
    s = case.settings
    pairs = [(spec, request) for spec in mine]
    comparison = profiled(pairs, s.mode, s.convention, means, kernels=device is not None)
    comparison = placed(comparison, device, s.level, s.compiled)
    results = [*comparison.profiles, *comparison.failures]
    by_name = {one.name: checked(case, one, before) for one in results}
    return [by_name[spec] for spec in mine]


def _render(found: Sequence[Checked], style: str, budget: str, output: Path | None) -> None:
    from modelcmp.reports import budget_report as report
    from modelcmp.reports.export import json_text

    if style == "table":
        screen.show(report.budget_tables(found), output)
    elif style == "json":
        screen.write_text(json_text(report.budget_json(budget, found)), output)
    elif style == "markdown":
        screen.write_text(report.budget_markdown(found), output)
    elif style == "junit":
        screen.write_text(report.junit(found), output)
    else:
        screen.write_text(report.github(budget, found), output)
