"""Coefficients from probes: known ones are found again, and kept with the machine."""

import numpy as np
import pytest
import torch
from torch import nn

import modelcmp
from modelcmp.hardware import catalogue
from modelcmp.hardware.columns import columns_of
from modelcmp.hardware.device import Device
from modelcmp.hardware.efficiency import COEFFICIENTS, DATASHEET, efficiencies
from modelcmp.hardware.fitting import Measured, predicted_seconds
from modelcmp.hardware.latency import timed
from modelcmp.kernels import Kernel
from modelcmp.measuring.fitted import Timed, fitted, kernels_of_probe
from modelcmp.measuring.probes import Copy, Repeated, probe_specs
from modelcmp.measuring.results import Calibration, Probe
from modelcmp.reports import calibration_table

CPU = Device("box", "Box", "cpu", {"fp32": 1e11}, {"fp32": 4e10}, 2e10, 32 << 20, 8 << 30, 1, 5e-6, 2e-6,
             cache_bandwidth_bytes_s=8e10, measured=True)  # fmt: skip
STARTS = {c.name: c.start for c in COEFFICIENTS.values()}


def probe(label, seconds, dtype="fp32"):
    return Probe(label, "matrix", dtype, ((1, 1),), seconds, seconds, 0.0, 1.0, 1.0)


def kernels_of_specs():
    found = []
    for spec in probe_specs("cpu", 32 << 20):
        module, inputs = spec.made("fp32")
        found.append((spec.label, kernels_of_probe(module, modelcmp.profile(module, inputs))))
    return found


def timed_by(coefficients, specs):
    data = Measured(columns_of([k for _, k in specs]), CPU, np.ones(len(specs)))
    seconds = predicted_seconds(data, coefficients).tolist()
    return [Timed(probe(label, s), k) for (label, k), s in zip(specs, seconds, strict=True)]


@pytest.fixture(scope="module")
def specs():
    return kernels_of_specs()


def test_known_coefficients_are_found_again(specs):
    truth = STARTS | {"gemm": 0.6, "conv": 0.9, "transcendental": 0.05, "fresh": 12.0, "library": 4.0, "pool": 0.02}
    device, probes = fitted(CPU, timed_by(truth, specs))
    for name in ("gemm", "conv", "transcendental", "fresh", "library", "pool"):
        assert device.efficiencies[name] == pytest.approx(truth[name], rel=0.1), name
    assert max(abs(p.predicted_s / p.best_s - 1) for p in probes) < 0.1
    assert Calibration(device, tuple(probes), 1).error < 0.02
    assert device.efficiencies["recurrent"] == STARTS["recurrent"]  # no probe has one


def test_one_outlier_does_not_steer(specs):
    found = timed_by(STARTS, specs)
    i = next(i for i, t in enumerate(found) if t.probe.label == "linear 1024x1024x1024")
    found[i] = Timed(probe(found[i].probe.label, 50 * found[i].probe.best_s), found[i].kernels)
    assert fitted(CPU, found)[0].efficiencies["gemm"] == pytest.approx(STARTS["gemm"], rel=0.15)


def test_only_the_first_type_is_fitted_to(specs):
    found = timed_by(STARTS, specs)
    other = Timed(probe("linear 256x256x256", 1.0, "bf16"), found[0].kernels)
    device, probes = fitted(CPU, [*found, other])
    assert probes[-1].predicted_s is None
    assert device.efficiencies["gemm"] == pytest.approx(STARTS["gemm"], rel=0.05)


def test_efficiencies_are_kept_with_the_machine(specs, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELCMP_DEVICES", str(tmp_path))
    device, _ = fitted(CPU, timed_by(STARTS, specs))
    catalogue.save(device)
    again = catalogue.find("box")
    assert again == device
    assert again.efficiencies == device.efficiencies
    assert efficiencies(again, "this machine") == device.efficiencies
    assert efficiencies(again, "datasheet") == DATASHEET


def test_gpus_keep_their_roofs_only(specs):
    gpu = Device("card", "Card", "gpu", {"fp32": 1e13}, {"fp32": 1e13}, 1e12, 1 << 20, 8 << 30, 80, 5e-6, 2e-6)
    device, probes = fitted(gpu, timed_by(STARTS, specs))
    assert device == gpu
    assert all(p.predicted_s is None for p in probes)
    assert Calibration(gpu, tuple(probes), 1).error is None
    assert calibration_table.fit_line(Calibration(gpu, tuple(probes), 1)) == ""


def test_a_probe_finds_its_input_where_the_run_before_left_it():
    x = torch.rand(1, 4, device="meta")
    module = nn.Sequential(nn.ReLU(), nn.ReLU())
    first, second = kernels_of_probe(module, modelcmp.profile(module, (x,)))
    assert first.distance_bytes == 4 * 16  # read, written, read, written
    assert second.distance_bytes < np.inf
    chain = Repeated(Copy(4), 8).to("meta")
    copies = kernels_of_probe(chain, modelcmp.profile(chain, (x[0],)))
    assert {k.distance_bytes for k in copies} == {2 * 16}


# --- what only CPUs pay, in closed form ----------------------------------------------------------


def one(**changes):
    plain = {"op": "aten.relu", "kind": "pointwise", "flops": 0.0, "macs": 0.0, "read_bytes": 0.0,
             "write_bytes": 0.0, "weight_bytes": 0.0} | changes  # fmt: skip
    return columns_of([[Kernel(module="", dtype="fp32", **plain)]])


def test_large_new_outputs_wait_for_their_pages():
    size = float(40 << 20)
    c = DATASHEET | {"fresh": 10.0}
    new, in_place = one(write_bytes=size), one(write_bytes=size, op="aten.relu_")
    assert timed(new, CPU, c).layout[0] == pytest.approx(10 * size / 2e10)
    assert timed(in_place, CPU, c).layout[0] == 0
    assert timed(one(write_bytes=size / 2), CPU, c).layout[0] == 0


def test_exponentials_take_their_share_of_the_vector_peak():
    c = DATASHEET | {"transcendental": 0.1}
    assert timed(one(flops=4e6, op="aten.gelu"), CPU, c).compute[0] == pytest.approx(1e-3)
    assert timed(one(flops=4e6, op="aten.relu"), CPU, c).compute[0] == pytest.approx(1e-4)


def test_a_library_is_set_up_for_products_and_norms_only():
    c = DATASHEET | {"library": 3.0}
    conv, relu = one(kind="conv", op="aten.conv2d"), one()
    assert timed(conv, CPU, c).launch[0] == pytest.approx(2e-6 + 4 * 5e-6)
    assert timed(relu, CPU, c).launch[0] == pytest.approx(5e-6)
    assert timed(one(read_bytes=1e6), CPU, c).launch[0] == pytest.approx(7e-6)  # shared out among threads


def test_weights_that_are_in_no_cache_are_packed_first():
    size = float(128 << 20)
    product = one(kind="gemm", op="aten.linear", flops=2e9, macs=1e9, weight_bytes=size, batch=1, m=64, n=64, k=64)
    times = timed(product, CPU, DATASHEET)
    assert times.layout[0] == pytest.approx(size / 2e10)
    assert times.total[0] == pytest.approx(2e9 / 1e11 + size / 2e10 + 7e-6)


def test_large_pooling_windows_are_rows():
    c = DATASHEET | {"pool": 0.01}
    small, whole = (one(kind="pool", op="aten.pool", flops=4e5, k=k) for k in (4, 49))
    assert timed(small, CPU, c).compute[0] == pytest.approx(4e5 / (4e10 * 0.01 * 4 / 10))
    assert timed(whole, CPU, c).compute[0] == pytest.approx(1e-5)
