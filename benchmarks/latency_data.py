"""Published inference times of timm models, and each model's kernels under the conditions of its measurement.

The tables are pytorch-image-models' ``results/benchmark-infer-amp-nchw-*.csv``: mixed precision (fp16) over fp32
weights, NCHW, eager, at the batch size of the row.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
from published_figures import Figures
from timm.layers import set_fused_attn, use_fused_attn

import modelcmp
from modelcmp.errors import ModelcmpError
from modelcmp.hardware.catalogue import find
from modelcmp.hardware.columns import columns_of
from modelcmp.hardware.fitting import Measured
from modelcmp.hardware.predict import strict_seconds
from modelcmp.kernels import Kernel, kernels, merged
from modelcmp.profiling.many import prepare
from modelcmp.records import ModelProfile
from modelcmp.sources import SOURCES

#: What timm's own group norm ran in half precision: resnet50_gn took 12 % longer than resnet50 on both GPUs, and
#: in fp32 its norms would move four times as much.
FAST_NORMS = frozenset({"group_norm"})

_LAST_DIGIT = 0.005001  # half of the last one that is published


class Published(NamedTuple):
    """A row of a table; ``model`` is today's name in timm, ``published_as`` the one in the table."""

    published_as: str
    model: str
    size: int
    batch_size: int
    seconds: float  # for the whole batch
    figures: Figures


class Conditions(NamedTuple):
    """How a table was measured."""

    device: str
    fused_attention: bool  # torch has it since 2.0


class Row(NamedTuple):
    """A published time and what the model asks of a machine."""

    published: Published
    kernels: tuple[Kernel, ...]
    strict_s: float
    deployed: bool

    @property
    def images_per_second(self) -> float:
        """Measured throughput."""
        return self.published.batch_size / self.published.seconds


class Table(NamedTuple):
    """A table's rows that could be profiled, and why the others could not."""

    name: str
    conditions: Conditions
    rows: tuple[Row, ...]
    left_out: tuple[tuple[Published, str], ...]

    def measured(self, which: Iterable[int] | None = None) -> Measured:
        """The rows (or those of these positions) as the fit takes them."""
        chosen = self.rows if which is None else [self.rows[i] for i in which]
        seconds = np.array([row.published.seconds for row in chosen])
        return Measured(columns_of([row.kernels for row in chosen]), find(self.conditions.device), seconds)


def conditions_of(path: Path) -> Conditions:
    """Read off a table's file name: ``...-pt113-cu117-rtx3090.csv``."""
    *_, torch_version, _, gpu = path.stem.split("-")
    return Conditions(gpu if gpu.startswith("rtx") else f"rtx{gpu}", int(torch_version[2:]) >= 200)


def published(path: Path) -> list[Published]:
    """Every row of a table."""
    renamed = timm.models.get_deprecated_models()
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            name, batch_size = line["model"], int(line["infer_batch_size"])
            figures = Figures(*(float(line[key]) for key in ("infer_gmacs", "infer_macts", "param_count")))
            # Images a second are printed to more digits than the milliseconds of a step.
            seconds = batch_size / float(line["infer_samples_per_sec"])
            model = renamed.get(name) or name
            found.append(Published(name, model, int(line["infer_img_size"]), batch_size, seconds, figures))
    return found


def tables(paths: list[Path], keep: Path | None = None, jobs: int = 1) -> list[Table]:
    """:func:`read` for several tables, in a process each where ``jobs`` allows, or what ``keep`` holds of them."""
    kept = [keep / f"{path.stem}.json" if keep else None for path in paths]
    if jobs == 1 or len(paths) == 1:
        return [_kept(path, file) for path, file in zip(paths, kept, strict=True)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_kept, paths, kept))


def _kept(path: Path, file: Path | None) -> Table:
    if file is not None and file.exists():
        return _from_json(json.loads(file.read_text(encoding="utf-8")))
    table = read(path)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(table), encoding="utf-8")  # named tuples are lists there
    return table


def _from_json(told: list[Any]) -> Table:
    name, conditions, rows, left_out = told
    return Table(
        name,
        Conditions(*conditions),
        tuple(Row(_row(row), tuple(Kernel(*k) for k in found), *rest) for row, found, *rest in rows),
        tuple((_row(row), reason) for row, reason in left_out),
    )


def _row(values: list[Any]) -> Published:
    *rest, figures = values
    return Published(*rest, Figures(*figures))


def read(path: Path) -> Table:
    """Profile every model of a table that the installed timm can build at the published size."""
    prepare(["timm"])
    conditions = conditions_of(path)
    rows, left_out = [], []
    before = use_fused_attn() > 0
    set_fused_attn(conditions.fused_attention)
    try:
        for row in told(published(path)):
            try:
                rows.append(_profiled(row, conditions))
            except (_OtherModel, ModelcmpError) as reason:
                left_out.append((row, str(reason)))
    finally:
        set_fused_attn(before)
    return Table(path.name, conditions, tuple(rows), tuple(left_out))


class _OtherModel(Exception):
    """The published model is not the one of today."""


def _profiled(row: Published, conditions: Conditions) -> Row:
    """In deployed form where the published figures are that form's."""
    if not SOURCES["timm"].has(row.model):
        raise _OtherModel("not in the installed timm")
    profile = _profile(row, reparam=False)
    deployed = False
    if (miss := _miss(profile, row.figures)) > _LAST_DIGIT:
        other = _profile(row, reparam=True)
        deployed = _miss(other, row.figures) < miss
        profile = other if deployed else profile
        if not _same(profile, row):
            params = f"{profile.params / 1e6:.2f} M parameters, published {row.figures.params:.2f} M"
            raise _OtherModel(f"another architecture under this name today: {params}")
    device = find(conditions.device)
    found = merged(kernels(profile.trace, amp="fp16", fast_norms=FAST_NORMS))
    return Row(row, found, strict_seconds(profile, device, amp="fp16"), deployed)


def _profile(row: Published, reparam: bool) -> ModelProfile:
    size = (3, row.size, row.size)
    return modelcmp.profile(f"timm:{row.model}", batch_size=row.batch_size, input_size=size, reparam=reparam)


def _miss(profile: ModelProfile, figures: Figures) -> float:
    """How far millions of activations and parameters are from the published ones, at most.

    Deploying merges branches and norms: it changes these two, and some models by less than a hundredth.
    """
    ours = (profile.activations / 1e6 / profile.batch_size, profile.params / 1e6)
    return max(abs(a - b) for a, b in zip(ours, figures[1:], strict=True))


def _same(profile: ModelProfile, row: Published) -> bool:
    wanted = row.figures.params
    return abs(profile.params / 1e6 - wanted) <= max(0.02 * wanted, 0.01)


def told(rows: list[Published]) -> Iterator[Published]:
    """The rows, each named on a terminal's last line while it is worked on."""
    for i, row in enumerate(rows):
        if sys.stderr.isatty():
            print(f"\r\x1b[K{i}/{len(rows)} {row.model}"[:79], end="", file=sys.stderr, flush=True)
        yield row
