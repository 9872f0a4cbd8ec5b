"""timm's published GMACs, activations and parameters, at the published size, under fvcore's convention."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import timm
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

import modelcmp

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """benchmarks/published_figures.py."""
    spec = importlib.util.spec_from_file_location("published_figures", ROOT / "benchmarks" / "published_figures.py")
    module = sys.modules["published_figures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(figures: ModuleType) -> list[Any]:
    return figures.installed(figures.read(ROOT / "tests" / "data" / "timm_published.csv"))


def smallest_of_each_family(rows: list[Any]) -> list[Any]:
    """The row with the fewest MACs of each of timm's files."""
    families: dict[str, list[Any]] = {}
    for row in rows:
        families.setdefault(timm.models.model_entrypoint(row.model.partition(".")[0]).__module__, []).append(row)
    return [min(family, key=lambda row: (row.published, row.published_as)) for family in families.values()]


@pytest.mark.slow
def test_every_family_is_met_or_explained(figures, rows):
    results = figures.measure(smallest_of_each_family(rows))
    groups = Counter(r.group for r in results)
    assert [r for r in results if r.group and r.again is None] == []
    assert groups[""] >= 0.9 * len(results) > 70


@pytest.mark.parametrize(
    ("model", "group"),
    [
        ("resnet50", ""),
        ("tv_resnet34", ""),  # an old name
        ("mobileone_s0", "Deployed form"),
        ("levit_128s", "Deployed form"),
        ("vit_dwee_patch16_reg1_gap_256", "Differential attention in parts"),
        ("sequencer2d_s", "Recurrence"),
        ("convmixer_1024_20_ks9_p14", "Padding by name"),
        ("vit_small_patch16_rope_mixed_224", "Outer products"),
        ("ecaresnext50t_32x4d", "Another configuration"),
    ],
)
def test_explanations(figures, rows, model, group):
    """Found by computing again, whatever the model is called."""
    row = min(row for row in rows if row.published_as == model)
    (result,) = figures.measure([row])
    assert result.group == group
    if group in figures.EXPLANATIONS:
        assert all(result.again.meets(row.published))
        assert not all(result.built.meets(row.published))


@pytest.mark.parametrize(
    ("published_as", "model", "kwargs"),
    [
        ("ecaresnext50t_32x4d", "ecaresnext50t_32x4d", {"layers": [2, 2, 2, 2]}),
        ("ig_resnext101_32x48d", "resnext101_32x8d", {"base_width": 48}),
        ("regnety_2560", "regnety_2560", {"wa": 124.47, "wm": 2.04, "group_size": 848}),
    ],
)
def test_earlier_configurations(figures, rows, published_as, model, kwargs):
    """docs/published.md: what was published under a name that today builds something else."""
    row = min(row for row in rows if row.published_as == published_as)
    profile = modelcmp.profile(f"timm:{model}", input_size=row.size, convention="fvcore", kwargs=kwargs)
    assert all(figures.figures_of(profile).meets(row.published))


def test_a_convolution_that_fvcore_skips(caplog):
    """Padding by name costs what padding by number does."""
    x = torch.empty(1, 4, 8, 8)
    named, numbered = nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1)
    with caplog.at_level(logging.ERROR):
        theirs = [
            FlopCountAnalysis(conv.eval(), x).unsupported_ops_warnings(False).total() for conv in (named, numbered)
        ]
    ours = [modelcmp.profile(conv, x, convention="fvcore").flops for conv in (named, numbered)]
    assert theirs == [0, 8 * 8 * 4 * 4 * 9]
    assert ours == [theirs[1]] * 2


@pytest.mark.slow
def test_shares(figures, rows):
    """98 % of all rows once those published in deployed form are counted in it; the rest is explained."""
    results = figures.measure(rows)
    groups = Counter(r.group for r in results)
    assert len(results) > 1700
    assert groups[""] / len(results) >= 0.96
    assert (groups[""] + groups["Deployed form"]) / len(results) >= 0.988
    assert {r.row.published_as for r in results if r.group and r.again is None} <= {
        "ig_resnext101_32x48d",
        "regnety_2560",
    }
