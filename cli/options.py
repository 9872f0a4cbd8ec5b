"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelcmp.errors import BadInput, UnknownName
from modelcmp.registry import suggest

if TYPE_CHECKING:
    from modelcmp.profiling.many import Means

FORMATS = ("table", "csv", "json", "markdown")
_SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".markdown": "markdown"}


def complete_model(incomplete: str) -> list[str]:
    """Model names that start with what was typed."""
    from modelcmp.sources import find_names

    timm = incomplete.startswith("timm:")
    names = [f"timm:{n}" if source == "timm" and timm else n for source, n in find_names("timm:*" if timm else "*")]
    return [n for n in dict.fromkeys(names) if n.startswith(incomplete)]


def complete_key(incomplete: str) -> list[str]:
    """Figures of trained models."""
    from modelcmp.training.summary import RANK_KEYS

    return [key for key in RANK_KEYS if key.startswith(incomplete)]


def complete_data(incomplete: str) -> list[str]:
    """Built-in data sets."""
    from modelcmp.training.names import DATA_NAMES

    return [name for name in DATA_NAMES if name.startswith(incomplete)]


def one_of(*choices: str) -> Callable[[str], list[str]]:
    """Completion of an option with few values."""
    return lambda incomplete: [c for c in choices if c.startswith(incomplete)]


_MODEL_HELP = "resnet18, timm:vit_base_patch16_224, path/to/net.py:factory or package.module:factory."
_MODELS_HELP = _MODEL_HELP + " Many: 'timm:vit_*', a folder, @names.txt, - (standard input)."

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help=_MODELS_HELP, autocompletion=complete_model, show_default=False)
]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help=_MODEL_HELP, autocompletion=complete_model, show_default=False)
]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", metavar="N", help="Samples in a batch.")]
InputSize = Annotated[
    str | None,
    typer.Option(
        "--input-size",
        "-i",
        metavar="SIZE",
        help="224, 256x192, 3x224x224 or 16x112x112 (frames first).",
        show_default="the model's own",
    ),
]
DType = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        autocompletion=one_of("fp32", "fp16", "bf16", "fp64"),
        help="fp32, fp16, bf16 or fp64.",
    ),
]
Mode = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="MODE",
        autocompletion=one_of("eval", "train"),
        help="eval or train (train: also what backward keeps, in peak memory).",
    ),
]
Convention = Annotated[
    str,
    typer.Option(
        "--convention",
        metavar="NAME",
        autocompletion=one_of("total", "contraction", "fvcore"),
        help="What FLOPs are: total, contraction (2·MACs) or fvcore.",
    ),
]
Kwargs = Annotated[
    str | None, typer.Option("--kwargs", metavar="JSON", help="Keywords for the model's factory: '{\"depth\": 18}'.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 1 when an operation could not be counted.")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        autocompletion=one_of(*FORMATS),
        help="table, csv, json or markdown.",
        show_default="table, or by the suffix of --output",
    ),
]
Printed = Annotated[
    str | None,
    typer.Option(
        "--format", "-f", metavar="FORMAT", autocompletion=one_of(*FORMATS), help="table, csv, json or markdown.",
        show_default="table",
    ),
]  # fmt: skip
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of the terminal.")
]

Reparam = Annotated[
    bool, typer.Option("--reparam", help="In deployed form: branches and norms folded by the model's own methods.")
]
Where = Annotated[
    str | None,
    typer.Option("--where", "-w", metavar="CONDITION", help="Only models with 'macs < 5e9 and params < 30M'."),
]
Join = Annotated[
    list[Path] | None,
    typer.Option("--join", metavar="CSV", help="Add a file's columns by model name; may be repeated."),
]
Pareto = Annotated[
    str | None,
    typer.Option(
        "--pareto", "-p", metavar="A:B", help="Mark the front of two or more metrics: top1:macs, ai:params:depth=low."
    ),
]
Top = Annotated[int | None, typer.Option("--top", "-t", metavar="N", min=1, help="Only the first N.")]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir", metavar="FOLDER", help="Where profiles are kept.", show_default="$MODELCMP_CACHE, or the user's"
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep profiles.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, help="Processes that profile.", show_default="by how much there is to do"
    ),
]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="TIME", help="Stop a model that takes longer: 30, 5m.")
]
MemoryLimit = Annotated[
    str | None,
    typer.Option("--memory-limit", metavar="SIZE", help="Stop a model whose process needs more: 4GB."),
]
Engine = Annotated[
    str, typer.Option("--engine", metavar="NAME", autocompletion=one_of("local", "ray"), help="local or ray.")
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="ADDRESS", help="Ray cluster: auto, host:6379, ray://host:10001.")
]


Hardware = Annotated[
    str | None,
    typer.Option(
        "--hardware", "-H", metavar="NAME|FILE", autocompletion=lambda incomplete: _machine_names(incomplete),
        help="Predict latency on a machine: h100, rtx4090, jetson_orin, this, my.toml (see `hardware`).",
    ),
]  # fmt: skip
Level = Annotated[
    str | None,
    typer.Option(
        "--level", metavar="LEVEL", autocompletion=one_of("datasheet", "calibrated", "this machine"),
        help="Of the prediction: datasheet, calibrated or 'this machine'.", show_default="the best for the machine",
    ),
]  # fmt: skip
Compiled = Annotated[bool, typer.Option("--compile", help="Predict for torch.compile rather than eager execution.")]


def _machine_names(incomplete: str) -> list[str]:
    from modelcmp.hardware.catalogue import devices

    return [name for name in devices() if name.startswith(incomplete)]


def check_engine(engine: str, address: str | None) -> None:
    """Refuse an engine that is not there, and a cluster without its engine, before any work."""
    from modelcmp.engines import ENGINES

    ENGINES[engine]
    if address is not None and engine == "local":
        raise BadInput("--address names a cluster: add --engine ray")


def means(
    cache_dir: Path | None = None,
    no_cache: bool = False,
    jobs: int | None = None,
    timeout: str | None = None,
    memory_limit: str | None = None,
    engine: str = "local",
    address: str | None = None,
) -> Means:
    """How models are profiled, from the options that say so; raises UsageError."""
    from modelcmp.engines import Limits, Options
    from modelcmp.profiling.many import Means
    from modelcmp.store.cache import Cache
    from modelcmp.store.place import cache_folder
    from modelcmp.units import parse_bytes, parse_seconds

    from . import screen

    check_engine(engine, address)
    limits = Limits(
        parse_seconds(timeout) if timeout is not None else None,
        parse_bytes(memory_limit) if memory_limit is not None else None,
    )
    cache = None if no_cache else Cache(cache_folder(cache_dir), screen.warn)
    return Means(cache, engine, Options(jobs, limits, address=address))


def parse_kwargs(text: str | None) -> dict[str, Any]:
    """The factory's keywords; raises BadInput."""
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"--kwargs is not JSON ({error}): write it like '{{\"depth\": 18}}'") from error
    if not isinstance(value, dict):
        raise BadInput("--kwargs must be a JSON object: write it like '{\"depth\": 18}'")
    return value


def choose_format(
    name: str | None, output: Path | None, known: Sequence[str] = FORMATS, suffixes: Mapping[str, str] = _SUFFIXES
) -> str:
    """The format asked for, else what the output's suffix says, ``.txt`` or none being the table.

    Raises UnknownName for a format, BadInput for a suffix that none has, OutputError for an impossible destination.
    """
    if output is not None:
        from modelcmp.files import check_writable

        check_writable(output)
    if name is None:
        return _format_of(output, suffixes) if output is not None else "table"
    if name not in known:
        raise UnknownName("format", name, suggest(name, known))
    return name


def _format_of(output: Path, suffixes: Mapping[str, str]) -> str:
    suffix = output.suffix.lower()
    if suffix in ("", ".txt"):
        return "table"
    if suffix not in suffixes:
        known = ", ".join([*dict.fromkeys(suffixes), ".txt"])
        raise BadInput(f"--output {output}: no format has the suffix {suffix}: use one of {known}, or add --format")
    return suffixes[suffix]
