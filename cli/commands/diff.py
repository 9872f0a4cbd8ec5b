"""``compare-models diff A B``: where two runs part, how far, and whether it is more than noise."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import options as opt
from .. import screen

if TYPE_CHECKING:
    from modelcmp.diffing.records import RunDiff
    from modelcmp.diffing.request import Request, Watcher
    from modelcmp.diffing.run import Differ

#: What --fail-on can be told, and the verdicts that it means.
FAIL_ON = {
    "divergence": ("diverged", "not comparable", "nothing in common"),
    "difference": ("diverged", "not comparable", "nothing in common", "within noise", "within tolerance"),
}
_STYLES = ("table", "json", "csv", "markdown")

A = Annotated[
    Path,
    typer.Argument(
        metavar="A", help="A run's folder, its batch_dumps, or one checkpoint (.pt, .ckpt, .safetensors).",
        show_default=False,
    ),
]  # fmt: skip
B = Annotated[Path, typer.Argument(metavar="B", help="The other.", show_default=False)]


def diff(
    a: A,
    b: B,
    filter: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="WHAT", autocompletion=opt.one_of("all", "mlp", "backbone"), show_default="all",
            help="all, mlp (the head's linear layers), backbone, or a regular expression on names; may be repeated.",
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option("--head", metavar="REGEX", help="Which layers are the head, where structure errs.")
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            "--align", metavar="HOW", autocompletion=opt.one_of("batch", "step", "auto"),
            help="Pair dumps by batch (epoch and batch), by step, or as fits best (auto).",
        ),
    ] = "batch",
    map_: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="Which tensor is which, in YAML: see --write-map.")
    ] = None,
    write_map: Annotated[
        Path | None, typer.Option("--write-map", metavar="FILE", help="Write the alignment that was found, to edit.")
    ] = None,
    floor: Annotated[
        list[Path] | None,
        typer.Option("--floor", metavar="RUN", help="A rerun of A: what it differs by is noise; may be repeated."),
    ] = None,
    rtol: Annotated[float, typer.Option("--rtol", metavar="X", min=0, help="Relative L2 that is no difference.")] = 0.0,
    atol: Annotated[float, typer.Option("--atol", metavar="X", min=0, help="L2 that is no difference.")] = 0.0,
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on", metavar="WHAT", autocompletion=opt.one_of(*FAIL_ON),
            help="Exit 1 at a divergence (beyond noise and tolerance), or at any difference.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write pictures, CSV and JSON into a folder."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="FORMAT", autocompletion=opt.one_of(*_STYLES),
            help="Of the terminal: table, json, csv or markdown.", show_default="table",
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on while the runs do; Ctrl-C ends it.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="How often --follow looks.")
    ] = 5.0,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at a file that cannot be compared.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> int:  # fmt: skip
    """Tell where two runs part, when it started, how large it is, and whether it is more than noise.

    Both are folders of dumps (`train --dump-interval 10`, or
    modelcmp.BatchDumper in any code), or two checkpoints.

    \b
    Examples:
      compare-models diff runs/a/comparison-cnn runs/b/comparison-cnn
      compare-models diff runA runB --filter mlp --output diff
      compare-models diff runA runB --filter '^layer4' --align auto
      compare-models diff ours theirs --write-map map.yaml
      compare-models diff ours theirs --map map.yaml
      compare-models diff runA runB --floor runA_again --fail-on divergence
      compare-models diff a.pt b.safetensors
      compare-models diff runA runB --follow --output diff
    """
    style = _checked(format, fail_on, output, write_map)
    _check_numbers(rtol, atol, every)
    request = _request(filter, align, head, map_, floor, rtol, atol, strict)
    from modelcmp.diffing.run import Differ

    differ = Differ(a, b, request)
    with _watching(quiet) as watcher:
        result = differ.update(watcher)
    if write_map is not None:
        _write_map(result, write_map)
    if follow:
        result = _follow(differ, result, every, output, style)
    _report(result, style, output)
    return 1 if result.verdict.status in FAIL_ON.get(fail_on or "", ("nothing in common",)) else 0


def _check_numbers(rtol: float, atol: float, every: float) -> None:
    from modelcmp.errors import BadInput

    if math.isnan(rtol) or math.isnan(atol):
        raise BadInput("--rtol and --atol are numbers, not NaN")
    if not every < 86_400:
        raise BadInput("--every is a number of seconds below a day")


def _checked(format: str | None, fail_on: str | None, output: Path | None, write_map: Path | None) -> str:
    """The style of the result; refuses what cannot be done before any work."""
    from modelcmp.errors import BadInput, UnknownName
    from modelcmp.files import check_folder, check_writable
    from modelcmp.registry import suggest

    if write_map is not None:
        check_writable(write_map)
    if fail_on is not None and fail_on not in FAIL_ON:
        raise UnknownName("--fail-on", fail_on, suggest(fail_on, FAIL_ON))
    if output is not None and output.exists() and not output.is_dir():
        raise BadInput(f"--output {output} is a file: name a folder, which may be new")
    if output is not None:
        check_folder(output)
    return opt.choose_format(format, None, _STYLES)


def _request(
    filters: list[str] | None, align: str, head: str | None, map_: Path | None, floors: list[Path] | None, rtol: float,
    atol: float, strict: bool,
) -> Request:  # fmt: skip
    from modelcmp.diffing.aligning import read_map
    from modelcmp.diffing.records import Tolerance
    from modelcmp.diffing.request import Request

    given = read_map(map_) if map_ is not None else None
    return Request(tuple(filters or ("all",)), align, head, given, tuple(floors or ()), Tolerance(rtol, atol), strict)


def _write_map(result: RunDiff, path: Path) -> None:
    from modelcmp.diffing.aligning import map_text

    screen.write_text(map_text(result.alignment), path)


def _report(result: RunDiff, style: str, output: Path | None) -> None:
    from modelcmp.reports import diff_outputs as outputs

    if style == "table":
        screen.show(outputs.screens(result, screen.stdout().width), None)
    else:
        screen.write_text(outputs.text(result, style), None)
    if output is not None:
        written = outputs.write_diff(result, output)
        screen.note(f"wrote {', '.join(p.name for p in written)} into {output}")


def _follow(differ: Differ, result: RunDiff, every: float, output: Path | None, style: str) -> RunDiff:
    """Look again and again, and say what is new, until Ctrl-C."""
    from modelcmp.diffing.request import Nobody
    from modelcmp.reports import diff_outputs as outputs

    screen.note(f"{_so_far(result)}; looking every {every:g} s, Ctrl-C ends it")
    try:
        while True:
            time.sleep(every)
            new = differ.update(Nobody())
            if len(new.pairs) > len(result.pairs):
                screen.note(_so_far(new))
                if output is not None:
                    outputs.write_diff(new, output, detailed=False)
            result = new
    except KeyboardInterrupt:
        screen.interrupted.clear()  # the usual end: the result follows
    return result


def _so_far(result: RunDiff) -> str:
    return f"{len(result.pairs)} pairs of dumps: {result.verdict.words.rstrip('.')}"


class _Bar:
    """A bar of the pairs of dumps; a new one for the noise floor."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def planned(self, pairs: int) -> None:
        """Show a bar of so many."""
        self._stack.close()
        self._advance, self._done = self._stack.enter_context(screen.progress(pairs)), 0
        self._advance("comparing dumps", 0)

    def advanced(self) -> None:
        """Move it by one."""
        self._done += 1
        self._advance("comparing dumps", self._done)


@contextmanager
def _watching(quiet: bool) -> Iterator[Watcher]:
    from modelcmp.diffing.request import Nobody

    with ExitStack() as stack:
        yield Nobody() if quiet or not sys.stderr.isatty() else _Bar(stack)
