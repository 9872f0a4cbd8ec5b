"""The benchmark of predicted latency: its scores, bounds and files, and the shipped coefficients on a small sample."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from modelcmp.hardware import efficiency
from modelcmp.hardware.efficiency import COEFFICIENTS, DATASHEET
from modelcmp.kernels import Kernel

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SAMPLE = Path(__file__).parent / "data" / "latency"


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def kernel(kind: str = "gemm", **values: object) -> Kernel:
    """A matrix product of a gigaflop, or what else is asked for."""
    return Kernel("", "aten.x", kind, "fp16", 1e9, 5e8, 1e6, 1e6, 1e6, 1, 1024, 512, 1024)._replace(**values)


def table(seconds: tuple[float, ...] = (1e-3, 2e-3, 4e-3), strict: float = 1e-3):
    """Rows with ever more kernels, and one that could not be profiled."""
    from latency_data import Conditions, Published, Row, Table
    from published_figures import Figures

    rows = [Published(f"m{i}", f"m{i}", 224, 8, s, Figures(i + 1, 2.0, 3.0)) for i, s in enumerate(seconds)]
    profiled = tuple(Row(row, (kernel(calls=i + 1),), strict, False) for i, row in enumerate(rows))
    gone = (Published("gone", "gone", 224, 8, 1e-4, Figures(5.0, 1.0, 2.0)), "not in the installed timm")
    return Table("benchmark-x-pt291-cu128-4090.csv", Conditions("rtx4090", True), profiled, (gone,))


# -- scores -----------------------------------------------------------------------------------------


def test_scores_are_scipys_tau_and_the_median_error() -> None:
    from latency_fits import scored

    predicted, measured = np.array([1.0, 3.0, 2.0, 5.0]), np.array([1.0, 2.0, 4.0, 5.0])
    score = scored(predicted, measured)
    assert score.tau == pytest.approx(kendalltau(predicted, measured).statistic)
    assert score.tau == pytest.approx(4 / 6)  # of 6 pairs one is the wrong way round
    assert score.median == 0.25  # of 0, 0.5, 0.5, 0


def test_a_model_that_is_right_scores_full_marks_whatever_the_batch() -> None:
    from latency_fits import data_of

    data = data_of(table())
    times = data.predicted(DATASHEET)
    rows = tuple(
        row._replace(published=row.published._replace(seconds=float(t)))
        for row, t in zip(data.table.rows, times, strict=True)
    )
    exact = data_of(data.table._replace(rows=rows))
    assert exact.score(DATASHEET) == (1.0, 0.0, 0.0)
    assert exact.score(DATASHEET, [0, 2]).median == 0.0
    assert exact.per_image == pytest.approx(times / 8)


def test_three_coefficients_find_a_sum() -> None:
    from latency_fits import three_coefficients

    rng = np.random.default_rng(0)
    macs, activations = rng.uniform(1, 50, 40), rng.uniform(1, 100, 40)
    score = three_coefficients(macs, activations, 1e-4 + 2e-5 * macs + 1e-5 * activations)
    assert score.tau > 0.99
    assert score.median < 0.01


def test_spread_is_mean_least_and_most() -> None:
    from latency_fits import Score, Spread

    spread = Spread((Score(0.9, 0.1, 0.2), Score(0.8, 0.3, 0.2)))
    assert spread.of("tau") == pytest.approx((0.85, 0.8, 0.9))


# -- the bound --------------------------------------------------------------------------------------


def test_only_rows_faster_than_their_bound_are_violations() -> None:
    from latency_fits import bounded, violations

    found = bounded(table(seconds=(0.9e-3, 0.995e-3, 2e-3)))
    assert len(found) == 4  # the row that could not be profiled too
    assert [row.published.model for row in violations(found)] == ["gone", "m0"]  # half a percent is noise
    assert found[0].share > found[1].share > found[2].share


def test_a_row_without_a_profile_is_held_against_its_published_figures() -> None:
    from latency_data import Published
    from latency_fits import bound_of_figures
    from published_figures import Figures

    from modelcmp.hardware.catalogue import find

    device = find("rtx4090")
    heavy = Published("a", "a", 224, 100, 1.0, Figures(10.0, 1.0, 1.0))
    large = Published("b", "b", 224, 1, 1.0, Figures(0.0, 1.0, 1000.0))
    assert bound_of_figures(heavy, device) == pytest.approx(2 * 10e9 * 100 / device.peak_flops("fp16"))
    assert bound_of_figures(large, device) == pytest.approx(2 * 1000e6 / device.bandwidth_bytes_s)


# -- the worst --------------------------------------------------------------------------------------


def test_the_worst_come_first_with_their_shares() -> None:
    from latency_fits import data_of, worst

    seconds = tuple(data_of(table()).predicted(DATASHEET) / [1.1, 4, 0.2])
    found = worst(data_of(table(seconds)), DATASHEET, count=2)
    assert [off.row.published.model for off in found] == ["m2", "m1"]
    assert [off.ratio for off in found] == pytest.approx([0.2, 4])
    assert found[0].shares == (("gemm", pytest.approx(1.0)),)


def test_unusual_kernels_are_named() -> None:
    from latency_fits import remarks

    unusual = {
        "products over 16 channels": kernel("conv1x1", n=8, k=8),
        "3-D convolutions": kernel("conv", op="aten.conv3d"),
        "convolutions per sample": kernel("grouped_conv", batch=16, m=49),
        "large depthwise": kernel("depthwise", k=49),
    }
    base = table().rows[0]
    for text, odd in unusual.items():
        row = base._replace(kernels=(kernel(), odd))
        assert any(text in said for said in remarks(row, np.array([0.5, 0.5])))
    assert not list(remarks(base, np.array([1.0])))


# -- files ------------------------------------------------------------------------------------------


def test_a_kept_table_comes_back_whole() -> None:
    from latency_data import _from_json

    assert _from_json(json.loads(json.dumps(table()))) == table()


def test_shipping_gpus_keeps_cpus() -> None:
    from latency_fits import Score
    from latency_ship import shipped

    start = {c.name: c.start for c in COEFFICIENTS.values()}
    cpus = '# by another script\n[cpu]\nfitted_on = "here"\n\n[cpu.coefficients]\ngemm = 0.5\n'
    once = shipped(f"# to be fitted\n[gpu]\nold = 1\n\n{cpus}", start, "tables", [Score(0.9, 0.1, 0.2)])
    twice = shipped(once, start, "tables", [Score(0.9, 0.1, 0.2)])
    assert once == twice
    assert once.endswith(cpus)
    read = tomllib.loads(once)
    assert read["cpu"]["coefficients"] == {"gemm": 0.5}
    assert read["gpu"]["coefficients"] == pytest.approx(start)
    assert (read["gpu"]["tau"], read["gpu"]["median_error"]) == ([0.9], [0.1])


def test_every_coefficient_of_gpus_is_shipped_within_its_bounds() -> None:
    path = Path(efficiency.__file__).with_name("calibrated.toml")
    fitted = tomllib.loads(path.read_text("utf-8"))["gpu"]
    missing = COEFFICIENTS.keys() - fitted["coefficients"].keys()
    assert all("CPU" in COEFFICIENTS[name].meaning for name in missing)  # nothing to a GPU
    for name, value in fitted["coefficients"].items():
        assert COEFFICIENTS[name].low <= value <= COEFFICIENTS[name].high, name
    assert "/" not in fitted["fitted_on"]


# -- the model on a sample --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(SAMPLE.glob("*.csv")), ids=lambda path: path.stem[-4:])
def test_a_sample_of_published_times_is_predicted(path: Path) -> None:
    pytest.importorskip("timm")
    from latency_data import read
    from latency_fits import bounded, data_of, violations

    found = read(path)
    assert len(found.rows) >= 38
    data = data_of(found)
    assert data.score(DATASHEET).tau >= 0.88
    fitted = data.score(efficiency.calibrated("gpu"))
    assert fitted.tau >= 0.9
    assert fitted.median <= 0.12
    assert not violations(bounded(found))
