"""timm's published figures, ours for the same models, and what explains the difference where there is one.

An explanation computes the figures again in another way; it applies where the result meets what was
published, and none looks at the model's name.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import NamedTuple

import timm
from torch import nn

import modelcmp
from modelcmp.records import ModelProfile, OpRecord
from modelcmp.sources import SOURCES, Request, resolve
from modelcmp.sources.construct import build_without_weights


class Figures(NamedTuple):
    """Billions of MACs, millions of activations and of parameters."""

    gmacs: float
    macts: float
    params: float

    def meets(self, published: Figures) -> tuple[bool, ...]:
        """Which figures are within 1 %, or half of the last printed digit."""
        return tuple(abs(a - b) <= max(0.01 * b, 0.005) for a, b in zip(self, published, strict=True))

    def __str__(self) -> str:
        return " / ".join(f"{figure:.3f}".rstrip("0").rstrip(".") for figure in self)


Published = dict[tuple[str, int], Figures]


class Row(NamedTuple):
    """A published row; ``model`` is today's name in timm, ``published_as`` the one in the table."""

    published_as: str
    model: str
    size: int
    published: Figures


class Result(NamedTuple):
    """A row beside the model as built and, where an explanation was needed, beside what that gives."""

    row: Row
    built: Figures
    group: str = ""
    again: Figures | None = None
    twin: str = ""


# -- rows -------------------------------------------------------------------------------------------


def read(path: Path) -> Published:
    """A table's figures by name and size: one of timm's, or one that :func:`save` wrote."""
    found = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            cells = {key.removeprefix("infer_").replace("param_count", "params"): cell for key, cell in line.items()}
            figures = Figures(*(float(cells[name]) for name in Figures._fields))
            found[cells["model"], int(cells["img_size"])] = figures
    return found


def save(path: Path, published: Published) -> None:
    """Write figures as :func:`read` takes them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("model", "img_size", *Figures._fields))
        writer.writerows((*key, *figures) for key, figures in sorted(published.items()))


def installed(published: Published) -> list[Row]:
    """The rows whose architecture the installed timm has, maybe under a newer name."""
    renamed = timm.models.get_deprecated_models()
    named = [Row(name, renamed.get(name) or name, size, figures) for (name, size), figures in published.items()]
    return [row for row in named if SOURCES["timm"].has(row.model)]


# -- figures ----------------------------------------------------------------------------------------


def measure(rows: Iterable[Row]) -> list[Result]:
    """Profile each row's model; where that misses, look for the explanation."""
    results = [_measured(row) for row in rows]
    return [_beside_twin(r, results) if r.group == OTHER_CONFIGURATION else r for r in results]


def _measured(row: Row) -> Result:
    built = figures_of(profiled(row))
    if all(built.meets(row.published)):
        return Result(row, built)
    for group, recomputed in EXPLANATIONS.items():
        again = recomputed(row)
        if all(again.meets(row.published)):
            return Result(row, built, group, again)
    return Result(row, built, UNEXPLAINED if built.meets(row.published)[-1] else OTHER_CONFIGURATION)


def _beside_twin(result: Result, results: list[Result]) -> Result:
    """The result with the model whose figures were published, to the last digit, under the row's name."""
    size, published = result.row.size, result.row.published
    for other in results:
        if other.row.size == size and tuple(round(figure, 2) for figure in other.built) == published:
            return result._replace(again=other.built, twin=other.row.model)
    return result


def profiled(row: Row, reparam: bool = False) -> ModelProfile:
    """The row's model on one image of its size."""
    size = (3, row.size, row.size)
    return modelcmp.profile(f"timm:{row.model}", input_size=size, convention="fvcore", reparam=reparam)


def figures_of(profile: ModelProfile) -> Figures:
    """What timm publishes, of a profile."""
    return Figures(profile.flops / 1e9, profile.activations / 1e6, profile.params / 1e6)


def without(profile: ModelProfile, left_out: Callable[[OpRecord], bool]) -> Figures:
    """The figures without some operations."""
    gone = [op for op in profile.ops if left_out(op)]
    gmacs, macts, params = figures_of(profile)
    flops, activations = sum(op.fvcore_flops or 0 for op in gone), sum(op.activations for op in gone)
    return Figures(gmacs - flops / 1e9, macts - activations / 1e6, params)


# -- explanations -----------------------------------------------------------------------------------


def deployed_form(row: Row) -> Figures:
    """Published for the deployed form, with branches and norms folded by the model's own methods.

    Recomputed with `--reparam`.
    """
    return figures_of(profiled(row, reparam=True))


def attention_in_parts(row: Row) -> Figures:
    """Published with timm's fused attention off: two attention maps, subtracted, then one product with the values.

    Fused, as the model runs, there are two such products. Recomputed after `timm.layers.set_fused_attn(False)`.
    """
    with _fused_attention_off():
        return figures_of(profiled(row))


@contextmanager
def _fused_attention_off() -> Iterator[None]:
    fused, experimental = timm.layers.use_fused_attn(), timm.layers.use_fused_attn(experimental=True)
    timm.layers.set_fused_attn(False)
    try:
        yield
    finally:
        timm.layers.set_fused_attn(fused, experimental)


def without_lstm(row: Row) -> Figures:
    """Published without the recurrence: fvcore has no handler for `aten::lstm` and skips it.

    Recomputed without LSTMs.
    """
    return without(profiled(row), lambda op: op.op == "aten.lstm")


def without_named_padding(row: Row) -> Figures:
    """Published without the convolutions with `padding="same"`: fvcore has no handler for `aten::_convolution_mode`.

    Recomputed without them.
    """
    model = build_without_weights(resolve(f"timm:{row.model}", Request()).build)
    named = {name for name, m in model.named_modules() if isinstance(m, nn.Conv2d) and isinstance(m.padding, str)}
    return without(profiled(row), lambda op: op.module in named)


def with_outer_products(row: Row) -> Figures:
    """Published when timm wrote the outer products of mixed rotary embeddings as matrix products (`@`).

    The installed timm multiplies elementwise. Recomputed with outer products counted as matrix products.
    """
    profile = profiled(row)
    products = sum(prod(op.output_shapes[0]) for op in profile.ops if op.op == "aten.mul" and _outer(op.input_shapes))
    gmacs, macts, params = figures_of(profile)
    return Figures(gmacs + products / 1e9, macts + products / 1e6, params)


def _outer(shapes: tuple[tuple[int, ...], ...]) -> bool:
    """(..., N, 1) times (..., 1, K)."""
    return [len(shape) > 1 for shape in shapes] == [True, True] and shapes[0][-1] == shapes[1][-2] == 1


EXPLANATIONS: dict[str, Callable[[Row], Figures]] = {
    "Deployed form": deployed_form,
    "Differential attention in parts": attention_in_parts,
    "Recurrence": without_lstm,
    "Padding by name": without_named_padding,
    "Outer products": with_outer_products,
}
OTHER_CONFIGURATION = "Another configuration"
UNEXPLAINED = "Not explained"
ABOUT = {group: " ".join((recomputed.__doc__ or "").split()) for group, recomputed in EXPLANATIONS.items()} | {
    OTHER_CONFIGURATION: "Published for a model with other parameters than the installed timm builds under the name; "
    "beside it the architecture whose figures these are to the last digit, where timm has it.",
    UNEXPLAINED: "None of the ways above gives the published figures.",
}
