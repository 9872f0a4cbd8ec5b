"""``compare-models audit MODEL...``: other counters beside ours, and why they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.profiling.audit import ModelAudit
    from modelcmp.records import ModelFailure
    from modelcmp.sources import Request


def audit(
    models: opt.Models,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Where the other tools run: cpu or meta.",
            show_default="cpu; meta for large models",
        ),
    ] = None,
    format: opt.Format = None,
    output: opt.Output = None,
    batch_size: opt.BatchSize = 1,
    input_size: opt.InputSize = None,
    dtype: opt.DType = "fp32",
    kwargs: opt.Kwargs = None,
) -> int:
    """Run fvcore and torch's FlopCounterMode beside our count and name each place where they differ.

    All figures are MACs. A tool runs as its users run it: the model in eval mode on the CPU with
    random weights. Differences come with their cause: attention on the fast path, operations without a
    formula, another definition.

    \b
    Examples:
      compare-models audit vit_b_16
      compare-models audit resnet18 swin_t --format markdown
      compare-models audit net.py:build --input-size 3x64x64 --format json
    """
    from modelcmp.errors import UnknownName
    from modelcmp.sources import identify

    style = opt.choose_format(format, output)
    if device not in (None, "cpu", "meta"):
        raise UnknownName("device", str(device), "the other tools run on cpu or meta")
    for spec in models:
        identify(spec)
    with screen.progress(len(models)) as progress:
        from modelcmp.profiling.compare import make_request

        request = make_request(batch_size, input_size, dtype, opt.parse_kwargs(kwargs))
        audits, failures = _audited(models, request, device, progress)
    _render(audits, failures, style, output)
    screen.report_failures(failures)
    return 1 if failures else 0


def _audited(
    models: list[str], request: Request, device: str | None, progress: screen.Progress
) -> tuple[list[ModelAudit], list[ModelFailure]]:
    from dataclasses import replace

    from modelcmp.errors import ModelcmpError, UsageError
    from modelcmp.profiling.audit import audit_subject
    from modelcmp.records import ModelFailure
    from modelcmp.sources import resolve

    audits, failures = [], []
    for i, spec in enumerate(models):
        progress(spec, i)
        try:
            audits.append(audit_subject(replace(resolve(spec, request), name=spec), request, device))
        except UsageError:
            raise
        except ModelcmpError as error:
            failures.append(ModelFailure(spec, type(error).__name__, str(error)))
    return audits, failures


def _render(audits: list[ModelAudit], failures: list[ModelFailure], style: str, output: opt.Output) -> None:
    from modelcmp.reports import audit_table, export

    if style == "table":
        screen.show([item for a in audits for item in audit_table.audit_tables(a)], output)
    elif style == "json":
        screen.write_text(export.json_text(audit_table.audit_json(audits, failures)), output)
    elif style == "csv":
        screen.write_text(export.csv_text(audit_table.audit_csv_rows(audits), failures), output)
    else:
        screen.write_text(audit_table.audit_markdown(audits), output)
