"""A machine's roofs: read off probes of known size, kept whole or not at all."""

import json
from pathlib import Path

import pytest
import torch

import modelcmp
from modelcmp.errors import BadInput
from modelcmp.hardware import catalogue
from modelcmp.measuring import calibrate as calibrating
from modelcmp.measuring import machine
from modelcmp.measuring.calibrate import calibrate
from modelcmp.measuring.plan import Plan
from modelcmp.measuring.probes import CHAIN, LAUNCHES, TINY_KERNELS, probe_modules, probe_specs
from modelcmp.reports import calibration_table

SMALL = {"linear 256x256x256", "conv 3x3 1x512x7", "relu, small", "batch norm, small"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "devices"
    monkeypatch.setenv("MODELCMP_DEVICES", str(path))
    return path


@pytest.fixture
def few(monkeypatch):
    """A few small probes, briefly, on a machine with a small cache."""

    def chosen(kind, cache_bytes=0):
        specs = probe_specs(kind, 1 << 20)
        return tuple(s for s in specs if s.label in SMALL or s.group in ("copy", "launch"))

    monkeypatch.setattr(calibrating, "probe_specs", chosen)
    monkeypatch.setattr(calibrating, "QUICK", Plan(0.004, turns=2, least=1))
    monkeypatch.setattr(calibrating, "FULL", Plan(0.004, turns=2, least=1))


@pytest.fixture
def still(monkeypatch):
    """A clock by which every run takes a millisecond, and no fit to what that would mean."""
    monkeypatch.setattr(calibrating, "fitted", lambda device, timed: (device, [t.probe for t in timed]))
    monkeypatch.setattr(calibrating, "cpu_turn", lambda _threads: lambda _run, _seconds: [2e-3, 1e-3, 3e-3])


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_probes_can_be_profiled(kind):
    found = probe_modules(kind)
    labels = [label for label, _, _ in found]
    assert len(set(labels)) == len(labels)
    for label, module, inputs in found:
        p = modelcmp.profile(module, inputs)
        assert p.traffic_bytes > 0, label
        assert not p.uncounted, label
        if not label.startswith(("copy", "max", "concat")):
            assert p.flops > 0, label


def test_probes_have_the_work_that_their_names_say():
    work = {label: modelcmp.profile(module, inputs) for label, module, inputs in probe_modules("cpu")}
    assert work["linear 256x256x256"].macs == 256**3
    assert work["conv 3x3 1x64x56"].macs == 64 * 64 * 9 * 56 * 56
    assert work["depthwise 3x3 8x192x28"].macs == 8 * 192 * 9 * 28 * 28
    assert work["bmm 12x197x64x197"].macs == 12 * 197 * 64 * 197
    spec = next(s for s in probe_specs("cpu") if s.label == "copy, memory")
    assert work["copy, memory"].traffic_bytes == 2 * 4 * spec.shapes[0][0]  # read and written


def test_probes_hold_numbers_where_they_run():
    spec = next(s for s in probe_specs("cpu") if s.label == "linear 256x256x256")
    module, (x,) = spec.made("bf16", "cpu")
    assert x.dtype == module.weight.dtype == torch.bfloat16
    assert x.any()
    assert module.weight.any()


def test_roofs_follow_from_the_fastest_samples(few, still, folder):
    found = calibrate(dtypes=["fp32"], threads=1, quick=True)
    roofs = found.device
    probes = {p.label: p for p in found.probes}
    assert {p.seconds for p in found.probes} == {2e-3}
    assert {p.best_s for p in found.probes} == {1e-3}
    work = max(2 * 256**3, 2 * 512 * 512 * 9 * 49)
    assert roofs.matrix_flops == {"fp32": pytest.approx(work / 1e-3)}
    assert roofs.vector_flops["fp32"] == max(p.flops for p in found.probes if p.group == "vector") / 1e-3
    assert roofs.bandwidth_bytes_s == probes["copy, memory"].traffic_bytes / 1e-3
    copies = [probes[label].traffic_bytes / 1e-3 for label in ("copy, cache", "copy, memory")]
    assert roofs.cache_bandwidth_bytes_s == max(copies)  # a cache is no slower than memory
    assert roofs.launch_s == pytest.approx(1e-3 / CHAIN)
    assert roofs.kernel_s > 0
    assert roofs.measured
    assert (roofs.kind, roofs.units, found.threads) == ("cpu", 1, 1)
    assert {"host", "torch", "date", "cpu", "threads"} <= set(roofs.environment)
    assert not folder.exists()  # keeping it is the caller's


def test_launches_are_timed_once_for_all_types(few, still):
    found = calibrate(dtypes=["fp32", "bf16"], quick=True)
    labels = [p.label for p in found.probes]
    assert labels.count(LAUNCHES) == labels.count(TINY_KERNELS) == 1
    assert labels.count("linear 256x256x256") == 2
    assert found.device.dtypes == ("fp32", "bf16")


def test_progress_ends_at_a_hundred(few, still):
    told = []
    calibrate(dtypes=["fp32", "bf16"], progress=lambda _label, percent: told.append(percent))
    assert told == sorted(told)
    assert told[-1] == 100


def test_emulated_types_are_left_out(monkeypatch):
    monkeypatch.setattr(calibrating, "_trial", lambda dtype: {"fp32": 1.0, "bf16": 0.5, "fp16": 50.0}[dtype])
    assert calibrating.default_dtypes(torch.device("cpu")) == ["fp32", "bf16"]


@pytest.mark.parametrize("options", [{"dtypes": ["int8"]}, {"dtypes": ["tf32"]}])
def test_what_the_machine_lacks_is_refused(options):
    with pytest.raises(BadInput):
        calibrate(**options)


def test_command_keeps_the_machine_and_bench_uses_it(cli, few, folder, net_file):
    code, out, err = cli("calibrate", "--quick", "--dtype", "fp32", "--threads", 1)
    assert code == 0, err
    assert "memory bandwidth" in out
    assert "FLOP/s" in out
    kept = list(folder.glob("*.toml"))
    assert len(kept) == 1
    assert str(kept[0]) in err
    assert catalogue.find("this").name == kept[0].stem
    assert catalogue.find("this").efficiencies
    assert "fitted to" in out
    code, out, err = cli("bench", f"{net_file}:Net", "-i", 8, "--time", "0.02", "--format", "json")
    assert code == 0, err
    assert json.loads(out)["models"][0]["hardware"] == kept[0].stem


def test_command_json_holds_roofs_and_probes(cli, few, still, folder):
    code, out, err = cli("calibrate", "--quick", "--dtype", "fp32", "--name", "my_box", "--format", "json")
    assert code == 0, err
    document = json.loads(out)
    assert document["machine"]["name"] == "my_box"
    assert document["machine"]["measured"] is True
    assert document["environment"]["torch"]
    assert {"label", "seconds", "best_s", "flops_s", "bytes_s", "dtype"} <= set(document["probes"][0])
    assert (folder / "my_box.toml").is_file()


def test_interrupted_it_keeps_nothing(cli, few, folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibrating, "interleaved", interrupted)
    code, out, _ = cli("calibrate", "--quick")
    assert code == 130
    assert out == ""
    assert not folder.exists()


def test_a_calibration_replaces_the_one_before_whole(cli, few, still, folder):
    for _ in range(2):
        code, _, err = cli("calibrate", "--quick", "--dtype", "fp32", "--name", "box")
        assert code == 0, err
    assert [p.name for p in folder.iterdir()] == ["box.toml"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "cuda"], "--device cpu"),
        (["--dtype", "fp8"], "unknown dtype"),
        (["--name", "My Box"], "a-z, 0-9 and _"),
        (["--name", "h100"], "is taken"),
    ],
)
def test_bad_requests_are_one_line(cli, folder, options, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, out, err = cli("calibrate", *options)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_noise_is_named(few, still, monkeypatch):
    monkeypatch.setattr(calibrating, "cpu_turn", lambda _threads: lambda _run, _seconds: [1e-3, 2e-3, 9e-3])
    assert "noisy" in calibration_table.noise_line(calibrate(dtypes=["fp32"]))


@pytest.mark.parametrize(("busy", "noisy"), [(90.0, True), (3.0, False)])
def test_other_programs_are_named(few, still, monkeypatch, busy, noisy):
    """Under a steady load nothing spreads, and everything is slow."""
    monkeypatch.setattr(machine.psutil, "cpu_percent", lambda _seconds: busy)
    monkeypatch.setattr(calibrating, "cpu_turn", lambda _threads: lambda _run, _seconds: [1e-3])
    line = calibration_table.noise_line(calibrate(dtypes=["fp32"]))
    assert ("90.0% of the CPU" in line) is noisy
    assert bool(line) is noisy


def test_markdown_and_csv_rows(few, still):
    found = calibrate(dtypes=["fp32"])
    assert calibration_table.calibration_markdown(found).startswith("| Roof | Measured | By |")
    assert len(calibration_table.calibration_csv_rows(found)) == len(found.probes)


def test_name_and_cache_of_this_machine(tmp_path, monkeypatch):
    assert set(machine.own_name(torch.device("cpu"))) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    for cpu, shared in (("cpu0", "0-1"), ("cpu1", "0-1"), ("cpu2", "2-3")):
        for index, (level, size, kind) in enumerate((("1", "32K", "Data"), ("3", "16384K", "Unified"))):
            place = tmp_path / cpu / "cache" / f"index{index}"
            place.mkdir(parents=True)
            for name, text in (("level", level), ("size", size), ("type", kind), ("shared_cpu_list", shared)):
                (place / name).write_text(text + "\n")
    monkeypatch.setattr(machine, "_SYSFS", tmp_path)
    assert machine.cache_bytes(torch.device("cpu")) == 2 * (16384 << 10)
    monkeypatch.setattr(machine, "_SYSFS", Path("/nowhere"))
    assert machine.cache_bytes(torch.device("cpu")) > 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_roofs(folder):
    found = calibrate("cuda", dtypes=["fp32", "bf16"], quick=True)
    assert found.device.kind == "gpu"
    assert found.device.matrix_flops["bf16"] > 0
    assert found.device.cache_bandwidth_bytes_s > 0
    assert catalogue.save(found.device).is_file()
