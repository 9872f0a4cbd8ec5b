"""The latency model against closed forms, and what must hold on every machine."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import modelcmp
from modelcmp.errors import BadInput, UnknownName
from modelcmp.hardware.columns import columns_of
from modelcmp.hardware.device import Device
from modelcmp.hardware.efficiency import COEFFICIENTS, DATASHEET, calibrated, efficiencies
from modelcmp.hardware.fitting import Measured, fit, predicted_seconds
from modelcmp.hardware.latency import timed
from modelcmp.hardware.predict import predict_many
from modelcmp.kernels import Kernel, kernels

#: Round figures, one unit, no cache and free launches: times can be written down.
PLAIN = Device("plain", "Plain", "gpu", {"fp32": 1e12, "fp16": 4e12}, {"fp32": 5e11}, 1e11, 1, 10**9, 1, 0.0, 0.0)


def kernel(kind="pointwise", flops=0.0, macs=0.0, read=0.0, write=0.0, weight=0.0, **more):
    return Kernel("", "aten.x", kind, "fp32", flops, macs, read, write, weight, **more)


def seconds(one, device=PLAIN, coefficients=DATASHEET, compiled=False):
    return float(timed(columns_of([[one]]), device, coefficients, compiled).total[0])


def product(m, n, k, **more):
    return kernel("gemm", 2 * m * n * k, m * n * k, batch=1, m=m, n=n, k=k, **more)


# -- one kernel -----------------------------------------------------------------------------------------


def test_a_product_takes_its_flops_over_the_peak():
    assert seconds(product(640, 640, 512)) == pytest.approx(2 * 640 * 640 * 512 / 1e12)


def test_a_stream_takes_its_bytes_over_the_bandwidth():
    assert seconds(kernel(read=3e8, write=1e8, weight=1e8)) == pytest.approx(5e8 / 1e11)


def test_the_longer_of_both_counts():
    busy = product(640, 640, 512, read=1e9)
    assert seconds(busy) == pytest.approx(1e9 / 1e11)


def test_half_precision_has_a_peak_of_its_own():
    assert seconds(product(640, 640, 512)._replace(dtype="fp16")) == pytest.approx(2 * 640 * 640 * 512 / 4e12)


def test_convolutions_in_fp32_use_tf32_where_there_is_some():
    device = replace(PLAIN, matrix_flops={"fp32": 1e12, "tf32": 8e12})
    shape = {"batch": 1, "m": 640, "n": 640, "k": 512, "flops": 2.0 * 640 * 640 * 512, "macs": 640.0 * 640 * 512}
    assert seconds(kernel("conv", **shape), device) == pytest.approx(shape["flops"] / 8e12)
    assert seconds(kernel("gemm", **shape), device) == pytest.approx(shape["flops"] / 1e12)


def test_depthwise_convolutions_run_on_ordinary_units():
    one = kernel("depthwise", flops=2e9, macs=1e9, batch=8, m=100, n=1, k=9)
    assert seconds(one) == pytest.approx(2e9 / 5e11)


def test_an_incomplete_wave_of_tiles_leaves_units_idle():
    device = replace(PLAIN, units=4)
    full, one_more = product(256, 64, 512), product(320, 64, 512)  # 4 and 5 tiles
    assert seconds(one_more, device) == pytest.approx(2 * seconds(full, device))
    alone = product(64, 64, 512)
    assert seconds(alone, device) == pytest.approx(seconds(full, device))


def test_convolutions_in_half_precision_pay_for_their_layout():
    conv = kernel("conv", read=1e8, write=1e8)._replace(dtype="fp16")
    assert seconds(conv) == pytest.approx(2e8 / 1e11 + 2e8 / 1e11)  # the convolution, and one pass over both
    assert seconds(conv._replace(layout="channels_last")) == pytest.approx(2e8 / 1e11)
    assert seconds(conv, compiled=True) == pytest.approx(2e8 / 1e11)
    assert seconds(conv._replace(dtype="fp32")) == pytest.approx(2e8 / 1e11)


def test_what_is_still_in_the_cache_comes_from_there():
    device = replace(PLAIN, cache_bytes=10**6, cache_bandwidth_bytes_s=1e12)
    near = kernel(read=2.5e5, distance_bytes=0.0)
    half = kernel(read=2.5e5, distance_bytes=5e5)
    far = kernel(read=2.5e5, distance_bytes=2e6)
    assert seconds(near, device) == pytest.approx(2.5e5 / 1e12)
    assert seconds(half, device) == pytest.approx(1.25e5 / 1e12 + 1.25e5 / 1e11)
    assert seconds(far, device) == pytest.approx(2.5e5 / 1e11)


def test_weights_stay_in_a_cache_that_holds_all_of_them():
    device = replace(PLAIN, cache_bytes=10**6, cache_bandwidth_bytes_s=1e12)
    small = columns_of([[kernel("gemm", weight=1e5)]])
    many = columns_of([[kernel("gemm", weight=1e5), kernel("gemm", weight=9e5)]])
    assert timed(small, device, DATASHEET).memory[0] < timed(many, device, DATASHEET).memory[0]
    assert timed(many, device, DATASHEET).memory[0] == pytest.approx(1e5 / 1e11)


def test_a_gpu_waits_for_its_host_only_as_far_as_kernels_do_not_hide_it():
    device = replace(PLAIN, launch_s=1e-3, kernel_s=1e-5)
    short, long = kernel(read=1e5), kernel(read=1e9)  # 1 µs and 10 ms
    three = columns_of([[short, short, short]])
    assert timed(three, device, DATASHEET).total.sum() == pytest.approx(3e-3)
    mixed = columns_of([[short, short, long]])
    assert timed(mixed, device, DATASHEET).total.sum() == pytest.approx(2e-6 + 1e-2 + 3e-5)


def test_a_cpu_is_its_own_host():
    device = replace(PLAIN, kind="cpu", launch_s=1e-3, kernel_s=1e-5)
    assert seconds(kernel(read=1e9), device) == pytest.approx(1e-2 + 1e-3 + 1e-5)


def test_calls_multiply():
    found = columns_of([[kernel(read=1e9, calls=3)], [kernel(read=1e9)]])
    times = timed(found, PLAIN, DATASHEET)
    assert found.per_model(times.total) == pytest.approx([3e-2, 1e-2])


# -- levels -----------------------------------------------------------------------------------------------


def test_nothing_is_fitted_at_the_level_datasheet():
    assert set(DATASHEET.values()) <= {0.0, 1.0}
    assert set(calibrated("gpu")) == set(calibrated("cpu")) == set(COEFFICIENTS)


def test_levels_have_their_coefficients():
    h100 = modelcmp.devices()["h100"]
    own = replace(h100, measured=True, efficiencies={"gemm": 0.123})
    assert efficiencies(h100, "datasheet") == DATASHEET
    assert efficiencies(h100, "calibrated") == calibrated("gpu")
    assert efficiencies(own, "this machine")["gemm"] == 0.123


def test_predictions_name_their_level():
    profile = modelcmp.profile("resnet18")
    h100 = modelcmp.devices()["h100"]
    assert modelcmp.predict(profile, "h100").level == "calibrated"
    assert modelcmp.predict(profile, h100, level="datasheet").level == "datasheet"
    assert modelcmp.predict(profile, replace(h100, measured=True)).level == "this machine"
    with pytest.raises(BadInput, match="calibrate"):
        modelcmp.predict(profile, h100, level="this machine")
    with pytest.raises(BadInput, match="unknown level"):
        modelcmp.predict(profile, h100, level="guess")


def test_a_dtype_that_the_machine_lacks_names_those_it_has():
    profile = modelcmp.profile("resnet18", dtype="bf16")
    with pytest.raises(BadInput, match=r"v100 has no bf16: it has fp64, fp32, fp16"):
        modelcmp.predict(profile, "v100")
    with pytest.raises(UnknownName, match="did you mean 'h100'"):
        modelcmp.predict(profile, "h10O")


# -- whole models -----------------------------------------------------------------------------------------

NAMES = ("resnet18", "mobilenet_v2", "vit_b_16")


@pytest.fixture(scope="module")
def profiles():
    return [modelcmp.profile(name, batch_size=batch) for name in NAMES for batch in (1, 64)]


@pytest.mark.parametrize("name", sorted(modelcmp.devices()))
@pytest.mark.parametrize("compiled", [False, True])
def test_no_prediction_beats_the_strict_bound(profiles, name, compiled):
    device = modelcmp.devices()[name]
    for level in ("datasheet", "calibrated"):
        for p in predict_many(profiles, device, level=level, compiled=compiled):
            if level == "datasheet":
                assert p.seconds >= p.strict_s
            assert p.seconds > 0
            assert sum(k.seconds * k.kernel.calls for k in p.kernels) == pytest.approx(p.seconds)


def test_many_at_once_are_what_each_is_alone(profiles):
    for one, many in zip(profiles, predict_many(profiles, modelcmp.devices()["a100"]), strict=True):
        alone = modelcmp.predict(one, "a100")
        assert many.seconds == pytest.approx(alone.seconds)
        assert (many.bound, many.memory_bytes, many.strict_s) == (alone.bound, alone.memory_bytes, alone.strict_s)


def test_small_batches_on_a_gpu_wait_for_launches(profiles):
    assert modelcmp.predict(profiles[0], "h100").bound == "launches"
    assert modelcmp.predict(modelcmp.profile("vit_b_16", batch_size=64, dtype="fp16"), "rtx4090").bound == "compute"


def test_latency_and_throughput_are_of_the_whole_batch(profiles):
    p = modelcmp.predict(profiles[1], "h100")
    assert p.latency_ms == 1e3 * p.seconds
    assert p.throughput == pytest.approx(64 / p.seconds)


def test_fitting_in_memory_counts_weights_input_and_intermediates():
    model = nn.Sequential(nn.Linear(1000, 1000, bias=False), nn.ReLU())
    profile = modelcmp.profile(model, torch.empty(10, 1000))
    assert profile.memory_needed_bytes == 4 * (1000 * 1000 + 10 * 1000 + 2 * 10 * 1000)
    assert modelcmp.predict(profile, replace(PLAIN, memory_bytes=profile.memory_needed_bytes)).fits
    assert not modelcmp.predict(profile, replace(PLAIN, memory_bytes=profile.memory_needed_bytes - 1)).fits


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["matrix", "vector", "bandwidth", "launch"]), st.floats(1.0, 100.0))
def test_a_better_machine_is_never_slower(what, factor):
    profile = _kept("resnet18")
    base = modelcmp.devices()["rtx3090"]
    better = {
        "matrix": replace(base, matrix_flops={k: factor * v for k, v in base.matrix_flops.items()}),
        "vector": replace(base, vector_flops={k: factor * v for k, v in base.vector_flops.items()}),
        "bandwidth": replace(base, bandwidth_bytes_s=factor * base.bandwidth_bytes_s),
        "launch": replace(base, launch_s=base.launch_s / factor, kernel_s=base.kernel_s / factor),
    }[what]
    for batch_compiled in (False, True):
        assert modelcmp.predict(profile, better, compiled=batch_compiled).seconds <= modelcmp.predict(
            profile, base, compiled=batch_compiled
        ).seconds * (1 + 1e-9)


_PROFILES = {}


def _kept(name):
    return _PROFILES.setdefault(name, modelcmp.profile(name, batch_size=8))


# -- fitting ----------------------------------------------------------------------------------------------


def test_a_fit_finds_the_coefficients_that_made_the_times():
    rng = np.random.default_rng(0)
    truth = {**{c.name: c.start for c in COEFFICIENTS.values()}, "gemm": 0.42, "pointwise_stream": 0.61}
    models = [
        [product(int(m), 256, 512), kernel(read=float(b), write=float(b))]
        for m, b in zip(rng.integers(1000, 9000, 40), rng.uniform(1e6, 1e9, 40), strict=True)
    ]
    data = Measured(columns_of(models), replace(PLAIN, launch_s=0.0), np.ones(len(models)))
    data = replace(data, seconds=predicted_seconds(data, truth))
    found = fit([data], stiffness=1e-3)
    assert found["gemm"] == pytest.approx(0.42, rel=0.1)
    assert found["pointwise_stream"] == pytest.approx(0.61, rel=0.05)
    assert found["conv"] == pytest.approx(COEFFICIENTS["conv"].start)  # nothing was measured of it
    assert predicted_seconds(data, found) == pytest.approx(data.seconds, rel=0.02)


def test_outliers_do_not_steer_a_fit():
    models = [[kernel(read=float(n) * 1e7)] for n in range(1, 41)]
    data = Measured(columns_of(models), PLAIN, np.ones(40))
    times = predicted_seconds(data, {**DATASHEET, "pointwise_stream": 0.5})
    times[::10] *= 6
    found = fit([replace(data, seconds=times)], stiffness=1e-3, names=["pointwise_stream"])
    assert found["pointwise_stream"] == pytest.approx(0.5, rel=0.05)


# -- on a machine -----------------------------------------------------------------------------------------


def test_classes_are_against_the_machines_ridge():
    found = modelcmp.compare(["resnet18", "vit_b_16"], batch_size=64, dtype="fp16", hardware="t4")
    ridge = 65e12 / 320e9
    for p in found:
        assert p.bound == ("compute-bound" if p.ai >= ridge else "memory-bound")
        assert p.attainable_flops == pytest.approx(min(65e12, p.ai * 320e9))
        layers = [op for op in p.ops if op.computes and op.traffic_bytes]
        fast = [op for op in layers if op.flops / op.traffic_bytes >= ridge]
        assert p.compute_bound_pct == pytest.approx(100 * len(fast) / len(layers))
        share = 100 * sum(op.flops for op in fast) / sum(op.flops for op in layers)
        assert p.compute_bound_flops_pct == pytest.approx(share)


def test_predictions_from_the_cache_are_those_of_a_fresh_profile(own_cache):
    names = ["resnet18", "timm:convnext_atto"]
    fresh = modelcmp.compare(names, hardware="rtx4090", dtype="fp16", batch_size=32)
    first = modelcmp.compare(names, hardware="rtx4090", dtype="fp16", batch_size=32, cache=True)
    again = modelcmp.compare(names, hardware="rtx4090", dtype="fp16", batch_size=32, cache=True)
    for a, b, c in zip(fresh, first, again, strict=True):
        assert b.values == c.values
        for key, value in a.values.items():
            assert c.values[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def test_kernels_are_fetched_when_a_machine_is_named_after_all(own_cache):
    modelcmp.compare(["resnet18"], cache=True)
    assert modelcmp.compare(["resnet18"], cache=True, hardware="h100")["resnet18"].latency_ms > 0


def test_without_a_machine_there_is_no_latency():
    assert modelcmp.profile("resnet18").latency_ms is None
    with pytest.raises(BadInput, match="--hardware"):
        modelcmp.compare(["resnet18"], sort_by="latency")
    for refused in ({"mode": "train"}, {"convention": "fvcore"}):
        with pytest.raises(BadInput):
            modelcmp.compare(["resnet18"], hardware="h100", **refused)


def test_kernels_of_a_module_profile_need_no_cache():
    profile = modelcmp.profile(nn.Linear(8, 8), torch.empty(2, 8))
    assert modelcmp.predict(profile, "h100").kernels[0].kernel == kernels(profile.trace)[0]


# -- odd models ---------------------------------------------------------------------------------------------


def test_a_model_that_runs_nothing_takes_no_time():
    found = modelcmp.predict(modelcmp.profile(nn.Identity(), torch.empty(1, 8)), "h100")
    assert (found.seconds, found.throughput, found.bound) == (0.0, None, None)


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_of_a_recurrent_layer_wait_for_each_other(layers):
    model = nn.LSTM(64, 32, layers, batch_first=True)
    short, long = (modelcmp.profile(model, torch.empty(4, steps, 64)) for steps in (10, 1000))
    device = replace(PLAIN, kernel_s=1e-6)
    assert modelcmp.predict(long, device).seconds >= 1000 * layers * 1e-6
    assert modelcmp.predict(long, device).seconds > 50 * modelcmp.predict(short, device).seconds


def test_what_cannot_be_predicted_is_refused():
    with pytest.raises(BadInput, match="inference"):
        modelcmp.predict(modelcmp.profile("resnet18", mode="train"), "h100")
    with pytest.raises(BadInput, match="profile"):
        modelcmp.predict("resnet18", "h100")


def test_in_fp32_convolutions_have_the_ridge_of_tf32():
    device = modelcmp.devices()["h100"]
    ridge = device.matrix_flops["tf32"] / device.bandwidth_bytes_s
    convolutional = modelcmp.compare(["resnet18"], batch_size=64, hardware="h100")["resnet18"]
    assert convolutional.bound == ("compute-bound" if convolutional.ai >= ridge else "memory-bound")
    assert convolutional.attainable_flops == pytest.approx(convolutional.ai * device.bandwidth_bytes_s)
    transformer = modelcmp.compare(["vit_b_16"], hardware="h100")["vit_b_16"]
    assert transformer.bound == "compute-bound"
    assert transformer.attainable_flops == device.matrix_flops["fp32"]


def test_partial_predictions_say_at_least(cli, tmp_path):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "@torch.library.custom_op('latency_test::twice', mutates_args=())\n"
        "def twice(x: torch.Tensor) -> torch.Tensor:\n    return x * 2\n"
        "@twice.register_fake\ndef _(x):\n    return torch.empty_like(x)\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(8, 8)\n"
        "    def forward(self, x):\n        return twice(self.fc(x))\n"
    )
    spec = f"{tmp_path / 'net.py'}:Net"
    _, out, err = cli(spec, "-i", "8", "-H", "h100", "--format", "markdown")
    assert "| ≥1" in out
    assert "latency_test" in err
    _, out, _ = cli("roofline", spec, "-i", "8", "--hardware", "h100", "--by", "op", columns=120)
    assert "?" in next(line for line in out.splitlines() if "twice" in line)


def test_fits_can_be_filtered(cli):
    code, out, _ = cli("resnet18", "vgg16", "-H", "t4", "-b", 1024, "--where", 'fits == "yes"', "--format", "csv")
    assert code == 0
    assert "resnet18" in out
    assert "vgg16" not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-H", "nope"], "unknown machine 'nope'"),
        (["-H", "v100", "--dtype", "bf16"], "v100 has no bf16: it has fp64, fp32, fp16"),
        (["--sort-by", "latency"], "--hardware"),
        (["--level", "datasheet"], "--hardware"),
        (["-H", "h100", "--level", "best"], "unknown level 'best'"),
        (["-H", "h100", "--mode", "train"], "inference"),
        (["-H", "h100", "--convention", "fvcore"], "--convention total"),
        (["-H", "nothing.toml"], "nothing.toml"),
    ],
)
def test_bad_requests_are_one_line(cli, arguments, words):
    code, out, err = cli("resnet18", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
