"""``compare-models bench MODEL...``: measured on this machine, predictions beside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelcmp.measuring.results import BenchFailure, BenchResult

    Outcome = BenchResult | BenchFailure

DeviceName = Annotated[str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda or cuda:1.")]
DTypes = Annotated[
    str | None,
    typer.Option("--dtype", metavar="TYPE,...", help="fp32, tf32 (CUDA), bf16, fp16, fp64; by comma."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", min=1, help="CPU threads.", show_default="as many as torch takes"),
]


def bench(
    models: opt.Models,
    batch_size: Annotated[
        str, typer.Option("--batch-size", "-b", metavar="N,N,...", help="Batch sizes: 1,32 or 1,2,4,...,64.")
    ] = "1",
    dtype: DTypes = None,
    device: DeviceName = "cpu",
    compile: Annotated[bool, typer.Option("--compile", help="Through torch.compile.")] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Images and kernels with their channels last in memory.")
    ] = False,
    threads: Threads = None,
    time: Annotated[
        str, typer.Option("--time", metavar="TIME", help="How long each row is measured for: 0.5, 10, 1m.")
    ] = "2",
    hardware: Annotated[
        str | None,
        typer.Option(
            "--hardware", metavar="NAME", help="Predict for this machine: h100, this, my.toml.",
            show_default="this one, once it is calibrated",
        ),
    ] = None,
    sort_by: Annotated[
        str | None, typer.Option("--sort-by", "-s", metavar="KEY", help="latency, throughput or memory; best first.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw predicted against measured, else times: .png, .svg, .html."),
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
    input_size: opt.InputSize = None,
    kwargs: opt.Kwargs = None,
    reparam: opt.Reparam = False,
) -> int:  # fmt: skip
    """Measure models on this machine: median, p5 to p95, samples a second, memory, and what was predicted.

    Models get seeded random weights and inputs, are warmed up, and then run
    in turns, so that a drift of the machine hits all alike. CUDA is timed
    with its own events. A row that runs out of memory says so, and the
    others go on.

    \b
    Examples:
      compare-models bench resnet18 mobilenet_v2
      compare-models bench resnet50 vit_b_16 --batch-size 1,32 --dtype fp32,bf16
      compare-models bench resnet50 --device cuda --channels-last --compile
      compare-models bench net.py:build --input-size 3x64x64 --threads 1 --time 10
      compare-models bench 'timm:vit_*_patch16_224' --plot measured.png
      compare-models bench resnet18 swin_t --sort-by memory --output bench.json
    """
    from modelcmp.growth import parse_values
    from modelcmp.measuring.plan import steps
    from modelcmp.sources.selection import expand
    from modelcmp.units import parse_seconds

    style = opt.choose_format(format, output)
    _check(sort_by, plot)
    batches, seconds = parse_values(batch_size, "--batch-size"), parse_seconds(time)
    factory_kwargs = opt.parse_kwargs(kwargs)
    specs = expand(models, screen.read_input)
    dtypes = listed(dtype) or ["fp32"]
    with screen.progress(steps(len(specs) * len(batches) * len(set(dtypes)))) as progress:
        from modelcmp.measuring.bench import bench as measure

        outcomes = measure(
            specs, batch_sizes=batches, dtypes=dtypes, device=device, compile=compile, channels_last=channels_last,
            threads=threads, seconds=seconds, input_size=input_size, kwargs=factory_kwargs, reparam=reparam,
            hardware=hardware, progress=progress,
        )  # fmt: skip
    _render(outcomes, style, output, sort_by)
    _remarks(outcomes, style)
    drawn = plot is None or _draw(outcomes, plot)
    return 1 if not drawn or any(not hasattr(o, "latency_ms") for o in outcomes) else 0


def listed(text: str | None) -> list[str]:
    """What an option lists by comma."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _render(outcomes: Sequence[Outcome], style: str, output: opt.Output, sort_by: str | None) -> None:
    from modelcmp.reports import bench_table as report
    from modelcmp.reports import export

    shown = report.ordered(outcomes, sort_by)
    if style == "json":
        screen.write_text(export.json_text(report.bench_json(shown)), output)
    elif style == "csv":
        screen.write_text(export.csv_text(report.bench_csv_rows(shown)), output)
    elif style == "markdown":
        screen.write_text(report.bench_markdown(shown), output)
    else:
        width = screen.stdout().width if output is None else 120
        lines = [line for line in (report.settings_line(shown), report.prediction_line(shown)) if line]
        screen.show([*report.bench_tables(shown, width), *lines], output)


def _remarks(outcomes: Sequence[Outcome], style: str) -> None:
    """Noise and failures always; where predictions come from beside tables."""
    from modelcmp.measuring.results import BenchResult
    from modelcmp.reports import bench_table as report

    if line := report.noise_line(outcomes):
        screen.warn(line)
    screen.report_failures(o for o in outcomes if not isinstance(o, BenchResult))
    results = [o for o in outcomes if isinstance(o, BenchResult)]
    if line := report.threads_line(outcomes):
        screen.note(line)
    if style == "table" and results and not any(r.prediction for r in results):
        screen.note("run `compare-models calibrate` once to see predictions for this machine, or name one: --hardware")


def _draw(outcomes: Sequence[Outcome], plot: Path) -> bool:
    """Whether there was anything to draw."""
    from modelcmp.reports.bench_table import prediction_line, settings_line
    from modelcmp.reports.plots import save
    from modelcmp.reports.plots.measured import measured

    data = measured(outcomes)
    if not data.marks:
        screen.warn(f"{plot} is not drawn: nothing was measured")
        return False
    caption = "; ".join(line for line in (settings_line(outcomes), prediction_line(outcomes)) if line)
    title = "Predicted against measured time" if data.predicted else "Measured time"
    save(data, plot, title=title, caption=caption)
    screen.note(f"wrote {plot}")
    return True


def _check(sort_by: str | None, plot: Path | None) -> None:
    """Refuse what could not be shown, before anything is measured."""
    from modelcmp.errors import UnknownName
    from modelcmp.registry import suggest

    known = ("latency", "throughput", "memory")
    if sort_by is not None and sort_by not in known:
        raise UnknownName("sort key", sort_by, suggest(sort_by, known))
    if plot is not None:
        from modelcmp.reports.plots import check_picture

        check_picture(plot)
