"""``compare-models roofline MODEL... --hardware NAME``: what bounds a model on a machine, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from .. import options as opt
from .. import screen
from ..predicted import find_device, traced
from ..profiled import check_profiling

if TYPE_CHECKING:
    from modelcmp.hardware.prediction import Prediction
    from modelcmp.records import ModelFailure, ModelProfile
    from modelcmp.reports.plots.roofline import By, Roofline


def roofline(
    models: opt.Models,
    hardware: Annotated[
        str, typer.Option("--hardware", metavar="NAME|FILE", help="A machine: h100 or my.toml.", show_default=False)
    ],
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the roofline: .png, .svg or .html.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="WHAT", help="A row and a point each op, layer or model.",
            autocompletion=lambda incomplete: [b for b in ("op", "layer", "model") if b.startswith(incomplete)],
        ),
    ] = "layer",
    top: Annotated[
        int | None, typer.Option("--top", "-t", metavar="N", min=1, help="Only the N slowest rows of each model.")
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", metavar="LEVEL", help="datasheet or calibrated.",
                                 show_default="the best that there is for the machine")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="With pointwise operations fused.")] = False,
    format: opt.Format = None,
    output: opt.Output = None,
    batch_size: opt.BatchSize = 1,
    input_size: opt.InputSize = None,
    dtype: opt.DType = "fp32",
    kwargs: opt.Kwargs = None,
    reparam: opt.Reparam = False,
    strict: opt.Strict = False,
) -> int:  # fmt: skip
    """Show what bounds models on a machine: its roofs, and each layer's attainable FLOP/s and predicted time.

    Left of the ridge point (peak FLOP/s over bandwidth) memory is the limit, right of it the arithmetic.
    Small layers reach neither roof: they wait to be launched. Time is predicted, nothing is run.

    \b
    Examples:
      compare-models roofline resnet18 --hardware h100 --top 10
      compare-models roofline resnet50 vit_b_16 --hardware h100 --dtype bf16 -b 32 --plot roofline.png
      compare-models roofline resnet18 --hardware my.toml --by op --format csv
      compare-models roofline resnet18 mobilenet_v2 swin_t --hardware a100 --by model --compile
    """
    from modelcmp.reports.export import uncounted_lines
    from modelcmp.reports.plots.roofline import BY, check_drawable
    from modelcmp.reports.plots.roofline import roofline as places
    from modelcmp.sources import identify
    from modelcmp.sources.selection import expand

    style = opt.choose_format(format, output)
    _check_by(by, BY)
    request = check_profiling(batch_size, input_size, dtype, opt.parse_kwargs(kwargs), reparam, "eval", "total")
    device = find_device(hardware, dtype, level)
    specs = expand(models, screen.read_input)
    for spec in specs:
        identify(spec)
    if plot is not None:
        from modelcmp.reports.plots import check_picture

        check_picture(plot)
        check_drawable(specs)
    results = traced(specs, request, "eval", "total")
    profiles, failures = _sorted_out(results)
    if profiles:
        from modelcmp.hardware.predict import predict

        predictions = [predict(p, device, level=level, compiled=compiled) for p in profiles]
        data = places(predictions, cast("By", by))
        _render(data, predictions, failures, style, top, output)
        for line in uncounted_lines(profiles):
            screen.warn(line)
        if plot is not None:
            _draw(data, predictions[0], plot)
    screen.report_failures(failures)
    return 1 if failures or (strict and any(p.uncounted for p in profiles)) else 0


def _check_by(by: str, known: tuple[str, ...]) -> None:
    from modelcmp.errors import UnknownName
    from modelcmp.registry import suggest

    if by not in known:
        raise UnknownName("grouping", by, suggest(by, known))


def _sorted_out(results: list[ModelProfile | ModelFailure]) -> tuple[list[ModelProfile], list[ModelFailure]]:
    from modelcmp.records import ModelFailure, ModelProfile

    return [r for r in results if isinstance(r, ModelProfile)], [r for r in results if isinstance(r, ModelFailure)]


def _render(
    data: Roofline, predictions: list[Prediction], failures: list[ModelFailure], style: str, top: int | None,
    output: Path | None,
) -> None:  # fmt: skip
    from modelcmp.reports import export
    from modelcmp.reports import roofline_table as report

    if style == "table":
        width = screen.stdout().width if output is None else 120
        screen.show([*report.roofline_tables(data, width, top), _conditions(predictions[0])], output)
    elif style == "markdown":
        screen.write_text(f"{report.roofline_markdown(data, top)}\n{_conditions(predictions[0])}\n", output)
    elif style == "csv":
        screen.write_text(export.csv_text(report.roofline_rows(data, top)), output)
    else:
        document = export.document("total", report.model_rows(data, top), failures)
        machine = {"machine": report.machine_row(data.machine), "level": predictions[0].level,
                   "compiled": predictions[0].compiled}  # fmt: skip
        screen.write_text(export.json_text(document | machine), output)


def _conditions(prediction: Prediction) -> str:
    """What the predicted times hold for."""
    fused = "compiled (pointwise operations fused)" if prediction.compiled else "eager"
    return f"batch {prediction.batch_size}, {prediction.dtype}, eval mode, {fused}, level {prediction.level}"


def _draw(data: Roofline, prediction: Prediction, plot: Path) -> None:
    from modelcmp.reports.plots import save

    save(data, plot, title=f"Roofline of {data.machine.title}", caption=_conditions(prediction))
    screen.note(f"wrote {plot}")
