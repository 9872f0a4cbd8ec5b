"""Measuring models here: what is timed, in which order, what fails alone, and what the tables say."""

import math

import pytest
import torch
from bench_results import NETS, device, prediction, result
from torch import nn

from modelcmp.errors import BadInput, UnknownName, UsageError
from modelcmp.hardware import catalogue
from modelcmp.measuring import loading, machine, memory, running, timing
from modelcmp.measuring.bench import bench
from modelcmp.measuring.cases import Case, Planned, grouped
from modelcmp.measuring.plan import Plan, steps
from modelcmp.measuring.reasons import Reason, reason_of
from modelcmp.measuring.results import NO_COMPILER, OUT_OF_MEMORY, BenchFailure, BenchResult
from modelcmp.measuring.samples import median, quantile, spread
from modelcmp.profiling.compare import profile
from modelcmp.records import ModelProfile
from modelcmp.sources import Request, resolve

QUICK = {"seconds": 0.02}
cuda = pytest.mark.cuda
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


# --- statistics --------------------------------------------------------------------------------


def test_percentiles_are_interpolated():
    samples = [float(n) for n in range(101)]
    assert (quantile(samples, 0.05), median(samples), quantile(samples, 0.95)) == (5.0, 50.0, 95.0)
    assert spread(samples) == pytest.approx(1.8)
    assert quantile([7.0], 0.95) == 7.0


def test_figures_of_a_result_follow_from_its_samples():
    r = result(ms=[9.0, 10.0, 11.0], batch_size=8, prediction=prediction(5.0))
    assert (r.latency_ms, r.throughput, r.ratio) == (10.0, 800.0, 0.5)
    assert r.spread == pytest.approx(0.18)
    assert not r.noisy
    assert result(ms=[9.0, 10.0, 12.0]).noisy


# --- turns -------------------------------------------------------------------------------------


class Clock:
    """A clock that only the work moves."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def turn(self, run, seconds):
        took = run()
        self.now += max(took, seconds)
        return [took]


def test_everyone_gets_turns_alternately(monkeypatch):
    clock, order = Clock(monkeypatch), []
    runs = {name: lambda name=name: order.append(name) or 0.001 for name in "abc"}
    found = timing.interleaved(runs, clock.turn, Plan(1.0, turns=10), lambda _key, _n: None)
    assert {name: len(samples) for name, samples in found.items()} == {"a": 10, "b": 10, "c": 10}
    rounds = ["".join(order[i : i + 3]) for i in range(0, 30, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) > 1  # not always after the same one


def test_a_slow_one_stops_when_its_time_is_up(monkeypatch):
    clock, told = Clock(monkeypatch), []
    runs = {"slow": lambda: 3.0, "fast": lambda: 0.001}
    found = timing.interleaved(runs, clock.turn, Plan(2.0, turns=10, least=5), lambda key, n: told.append((key, n)))
    assert (len(found["slow"]), len(found["fast"])) == (5, 10)
    assert sum(n for key, n in told if key == "slow") == sum(n for key, n in told if key == "fast") == 10


def test_what_fails_is_let_go_and_the_others_go_on(monkeypatch):
    clock = Clock(monkeypatch)

    def failing():
        raise MemoryError("no room")

    runs = {"bad": failing, "good": lambda: 0.1}
    told = []
    found = timing.interleaved(runs, clock.turn, Plan(1.0), lambda key, n: told.append((key, n)))
    assert isinstance(found["bad"], Reason)
    assert found["bad"].kind == OUT_OF_MEMORY
    assert len(found["good"]) == 10
    assert "bad" not in runs
    assert sum(n for key, n in told if key == "bad") == 10


def test_a_cpu_turn_gives_seconds_and_keeps_the_threads():
    before = torch.get_num_threads()
    threads = []
    found = timing.cpu_turn(1)(lambda: threads.append(torch.get_num_threads()), 0.001)
    assert found
    assert all(math.isfinite(s) and s > 0 for s in found)
    assert set(threads) == {1}
    assert torch.get_num_threads() == before


# --- reasons -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OUT_OF_MEMORY),
        (MemoryError(), OUT_OF_MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), OUT_OF_MEMORY),
        (RuntimeError("No working C++ compiler found in cpp.cxx"), NO_COMPILER),
        (ValueError("out of memory of my own\nand more"), "ValueError"),
    ],
)
def test_kinds_of_failure(error, kind):
    reason = reason_of(error)
    assert reason.kind == kind
    assert "\n" not in reason.message


def test_a_reason_keeps_no_frame_alive():
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise RuntimeError("outer") from inner
    except RuntimeError as error:
        kept = error
    reason_of(kept)
    assert kept.__traceback__ is kept.__context__ is kept.__cause__ is None


# --- models and inputs -------------------------------------------------------------------------


def placed(spec, dtype="fp32", channels_last=False, **request):
    request = Request(dtype=dtype, **request)
    subject = resolve(str(spec), request)
    where = loading.Placement(torch.device("cpu"), dtype, channels_last)
    return loading.ready_model(subject, request, where), loading.ready_inputs(subject, request, where)


def test_no_weight_is_all_zero_or_unfilled(nets):
    model, _ = placed(f"{nets}:Zeros", input_size=(8, 8))
    for name, p in model.named_parameters():
        assert p.any(), name
        assert p.isfinite().all(), name
        assert not p.requires_grad


def test_norms_hold_the_statistics_of_what_they_see():
    model, inputs = placed("resnet18", input_size=(64,))
    assert not any(m._forward_pre_hooks for m in model.modules())  # nothing is left that would be timed
    assert any((m.running_mean != 0).any() for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.inference_mode():
        out = model(*inputs.args)
    assert out.isfinite().all()
    assert out.abs().max() < 1e3


def test_weights_and_inputs_are_seeded():
    (one, x), (two, y) = placed("resnet18", input_size=(32,)), placed("resnet18", input_size=(32,))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert torch.equal(x.args[0], y.args[0])
    assert x.args[0].any()


def test_dtype_and_memory_format_reach_weights_and_inputs():
    model, inputs = placed("resnet18", "bf16", True, input_size=(32,), batch_size=2)
    assert inputs.args[0].dtype == model.conv1.weight.dtype == torch.bfloat16
    assert inputs.args[0].is_contiguous(memory_format=torch.channels_last)
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_model_that_has_to_know_its_size_is_built_for_it():
    model, inputs = placed("timm:vit_tiny_patch16_224", input_size=(64,))
    assert model.patch_embed.img_size == (64, 64)
    assert inputs.args[0].shape == (1, 3, 64, 64)


def test_a_users_module_stays_as_it_was(net_file):
    found = bench([f"{net_file}:READY"], dtypes=["bf16"], input_size=8, **QUICK)
    assert isinstance(found[0], BenchResult)
    ready = resolve(f"{net_file}:READY", Request(input_size=(8,))).build()
    assert ready.conv.weight.dtype == torch.float32


def test_zero_inputs_of_the_user_are_filled(tmp_path):
    path = tmp_path / "zero.py"
    path.write_text(NETS + "\ndef example_inputs(batch_size=1):\n    return torch.zeros(batch_size, 8)\n")
    _, inputs = placed(f"{path}:Zeros")
    assert inputs.args[0].any()


def test_inputs_that_a_file_keeps_stay_as_they_were(tmp_path):
    path = tmp_path / "kept.py"
    path.write_text(NETS + "\nexample_inputs = torch.zeros(1, 8, 2, 2)\n\ndef net():\n    return nn.ReLU()\n")
    _, inputs = placed(f"{path}:net", channels_last=True)
    _, again = placed(f"{path}:net")
    assert inputs.args[0].any()
    assert again.args[0].is_contiguous()
    assert torch.equal(inputs.args[0], again.args[0])


# --- memory ------------------------------------------------------------------------------------


def test_peak_memory_in_closed_form(nets):
    """Weights 1000x1000 and 1000x10, input and hidden 64x1000, output 64x10; fp32."""
    found = bench([f"{nets}:Plain"], batch_sizes=[64], input_size=(1, 1000), **QUICK)[0]
    expected = 4 * (1_000_000 + 10_000 + 64_000 + 64_000 + 640)
    assert found.peak_memory_bytes == pytest.approx(expected, rel=0.01)


def test_what_does_not_fit_is_not_tried(nets, monkeypatch):
    """Linux hands out memory that it does not have, and kills who uses it."""
    monkeypatch.setattr(running, "available_bytes", lambda _device: 1 << 20)
    monkeypatch.setattr(running, "_prepared", lambda *_: pytest.fail("was built"))
    found = bench([f"{nets}:Plain"], input_size=(1, 1000), **QUICK)
    assert isinstance(found[0], BenchFailure)
    assert found[0].kind == OUT_OF_MEMORY
    assert "1.05MB are free" in found[0].message


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert memory.available_bytes(torch.device("cpu")) == 600_000
    assert memory.total_bytes(torch.device("cpu")) == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes(torch.device("cpu")) > 600_000


def planned_case(name, size, batch_size=1, dtype="fp32"):
    values = {"size_bytes": size, "peak_activation_bytes": 0}
    made = ModelProfile(name, "file", (), batch_size, dtype, "eval", "total", values, {})
    return Planned(Case(name, batch_size, dtype), made, None)


def test_groups_fit_and_hold_neighbours_at_the_same_settings():
    cases = [planned_case(n, 40, b) for n in "ab" for b in (1, 8)]
    groups = [[(p.case.spec, p.case.batch_size) for p in g] for g in grouped(cases, 100)]
    assert groups == [[("a", 1), ("b", 1)], [("a", 8), ("b", 8)]]
    assert [len(g) for g in grouped([planned_case("x", 500)], 100)] == [1]
    mixed = [planned_case("a", 1, dtype=d) for d in ("tf32", "fp32", "bf16")]
    assert [[p.case.dtype for p in g] for g in grouped(mixed, 100)] == [["fp32", "bf16"], ["tf32"]]
    assert max(len(g) for g in grouped([planned_case(str(i), 1) for i in range(20)], 100)) == 8


# --- bench -------------------------------------------------------------------------------------


def test_every_setting_is_measured_with_its_environment(net_file):
    told = []
    specs = [f"{net_file}:Net", f"{net_file}:build"]
    found = bench(specs, batch_sizes=(1, 3), dtypes=("fp32", "bfloat16"), input_size=8, threads=1, **QUICK,
                  progress=lambda name, done: told.append(done))  # fmt: skip
    assert [(r.name, r.dtype, r.batch_size) for r in found] == [
        (s, d, b) for s in specs for d in ("fp32", "bf16") for b in (1, 3)
    ]
    for r in found:
        assert r.input_shape == ((r.batch_size, 3, 8, 8),)
        assert r.samples_ms
        assert r.threads == 1
        assert {"torch", "date", "cpu", "threads", "system", "load_average", "device"} <= set(r.environment)
        assert r.prediction is None
    assert told == sorted(told)
    assert told[-1] == steps(8)


def test_out_of_memory_is_one_row(nets):
    found = bench([f"{nets}:Greedy", f"{nets}:Broken"], batch_sizes=(1, 2), input_size=(8,), **QUICK)
    assert [type(r) for r in found] == [BenchResult, BenchFailure, BenchFailure, BenchFailure]
    assert found[1].kind == OUT_OF_MEMORY
    assert "batch 2, fp32" in found[1].message
    assert "only without data" in found[2].message


def test_switches_are_set_back(net_file):
    before = torch.get_num_threads(), torch.backends.cudnn.conv.fp32_precision, torch.is_inference_mode_enabled()
    bench([f"{net_file}:Net"], input_size=8, threads=1, **QUICK)
    after = torch.get_num_threads(), torch.backends.cudnn.conv.fp32_precision, torch.is_inference_mode_enabled()
    assert after == before


def test_fp32_is_not_tf32_unless_asked_for():
    with machine.precision("fp32"):
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "ieee"
    with machine.precision("tf32"):
        assert torch.backends.cudnn.conv.fp32_precision == torch.backends.cuda.matmul.fp32_precision == "tf32"


def test_no_compiler_is_said_clearly(net_file, monkeypatch):
    def compiled(model, dynamic):
        def run(*_):
            raise RuntimeError("No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'g++')")

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    found = bench([f"{net_file}:Net"], input_size=8, compile=True, **QUICK)
    assert found[0].kind == NO_COMPILER
    assert "install g++" in found[0].message


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"models": ["no_such_net"]}, UnknownName),
        ({"models": "resnet18"}, UsageError),
        ({"device": "tpu"}, UnknownName),
        ({"dtypes": ["int4"]}, BadInput),
        ({"dtypes": ["tf32"]}, BadInput),
        ({"batch_sizes": [0]}, UsageError),
        ({"batch_sizes": []}, UsageError),
        ({"hardware": "no_such_machine"}, UnknownName),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(options, error, monkeypatch):
    monkeypatch.setattr(running, "measured", lambda *_: pytest.fail("ran"))
    with pytest.raises(error):
        bench(**{"models": ["resnet18"]} | options)


def test_a_named_machine_has_to_have_the_dtype():
    with pytest.raises(BadInput, match="has no bf16"):
        bench(["resnet18"], dtypes=["bf16"], hardware=device())


def test_a_dtype_that_the_device_lacks(monkeypatch):
    monkeypatch.setattr(machine, "_lacking", lambda dtype, _device: "no such unit" if dtype == "fp16" else "")
    with pytest.raises(BadInput, match="has no fp16: no such unit"):
        bench(["resnet18"], dtypes=["fp32", "fp16"])


# --- predictions -------------------------------------------------------------------------------


def test_predicted_for_the_machine_that_was_calibrated_last(net_file):
    spec = f"{net_file}:Net"
    catalogue.save(device(name="old", environment={"date": "2020-01-01"}))
    catalogue.save(device(name="new", environment={"date": "2021-01-01"}))
    catalogue.save(device(name="gpu", kind="gpu", environment={"date": "2022-01-01"}))
    catalogue.save(device(name="elsewhere", environment={"date": "2023-01-01", catalogue.HOST: "another"}))
    found = bench([spec], dtypes=["fp32", "bf16"], input_size=8, **QUICK)
    assert found[0].prediction.device.name == "new"
    assert found[0].prediction.level == "this machine"
    assert found[0].ratio == pytest.approx(found[0].predicted_ms / found[0].latency_ms)
    assert found[1].prediction is None  # it has no bf16


def test_predicted_for_a_named_machine(net_file):
    found = bench([f"{net_file}:Net"], input_size=8, hardware="h100", **QUICK)
    assert found[0].prediction.device.name == "h100"
    assert found[0].prediction.dtype == "fp32"


# --- CUDA ----------------------------------------------------------------------------------------


@cuda
@needs_cuda
def test_cuda_measures_with_events():
    found = bench(["resnet18"], dtypes=["fp32", "bf16"], device="cuda", channels_last=True, input_size=64, **QUICK)
    assert all(isinstance(r, BenchResult) for r in found)
    assert found[0].device.startswith("cuda")
    assert {"cuda", "cudnn", "compute_capability"} <= set(found[0].environment)
    assert found[0].peak_memory_bytes >= profile("resnet18").values["size_bytes"]


@cuda
@needs_cuda
def test_cuda_out_of_memory_is_one_row_and_frees():
    before = torch.cuda.memory_allocated()
    found = bench(["resnet18"], batch_sizes=[1, 1_000_000], device="cuda", **QUICK)
    assert [type(r) for r in found] == [BenchResult, BenchFailure]
    assert found[1].kind == OUT_OF_MEMORY
    assert torch.cuda.memory_allocated() <= before + (1 << 20)
