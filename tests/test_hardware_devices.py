"""The machines: are their figures right, what is refused in a file, and what the listing shows."""

import csv
import dataclasses
import io
import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcmp.errors import BadInput, OutputError, UnknownName
from modelcmp.hardware import catalogue
from modelcmp.hardware.device import DTYPES, Device
from modelcmp.hardware.efficiency import COEFFICIENTS
from modelcmp.hardware.toml_text import KEYS, devices_of, load, render

ROOT = Path(__file__).resolve().parent.parent
RAW = tomllib.loads((ROOT / "modelcmp" / "hardware" / "devices.toml").read_text("utf-8"))
ROWS = {name: row for name, row in RAW.items() if name != "typical"}
MIB, GIB = 2**20, 2**30

GOOD = """
[my_card]
title = "A card"
kind = "gpu"
units = 10
matrix_tflops = { fp32 = 10, fp16 = 40 }
vector_tflops = { fp32 = 10 }
bandwidth_gb_s = 500
cache_mib = 4
memory_gib = 8
"""


@pytest.fixture
def my_toml(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(GOOD)
    return path


def measured(name="my_box", **changed):
    device = Device(
        name=name, title="My box", kind="cpu", matrix_flops={"fp32": 1.1e11, "bf16": 3e11 / 7},
        vector_flops={"fp32": 1e11 / 3}, bandwidth_bytes_s=2.3e10, cache_bytes=33_554_432, memory_bytes=2**34 + 1,
        units=4, launch_s=3.21e-6, kernel_s=1e-7, measured=True, efficiencies={"gemm": 0.81},
        environment={"host": platform.node(), "torch": "2.10"},
    )  # fmt: skip
    return dataclasses.replace(device, **changed)


# -- the figures ----------------------------------------------------------------------------------

# Typed from the data sheets, apart from devices.toml: type, dense TFLOP/s, GB/s, cache MiB, memory GiB.
PUBLISHED = [
    ("a100", "fp16", 312, 2039, 40, 80),
    ("a100", "fp32", 19.5, 2039, 40, 80),
    ("a100_40gb", "tf32", 156, 1555, 40, 40),
    ("h100", "bf16", 989.4, 3352, 50, 80),
    ("h100", "fp8", 1978.9, 3352, 50, 80),
    ("h100_pcie", "fp16", 756, 2039, 50, 80),
    ("h200", "fp16", 989.4, 4800, 50, 141),
    ("b200", "bf16", 2250, 8000, 126, 180),
    ("v100", "fp16", 125, 900, 6, 32),
    ("t4", "int8", 130, 320, 4, 16),
    ("l4", "fp16", 121, 300, 48, 24),
    ("l40s", "bf16", 362.05, 864, 96, 48),
    ("rtx3090", "fp16", 71, 936, 6, 24),  # fp32 accumulation, not the 142 of fp16 accumulation
    ("rtx4090", "bf16", 165.2, 1008, 72, 24),
    ("rtx5090", "fp16", 209.5, 1792, 96, 32),
    ("mi300x", "fp16", 1307.4, 5325, 256, 192),
    ("m1", "fp32", 2.6, 68.25, 8, 16),
    ("epyc_9654", "fp64", 3.686, 460.8, 384, 6144),
]


@pytest.mark.parametrize(("name", "dtype", "tflops", "gb_s", "cache", "memory"), PUBLISHED)
def test_published_figures(name, dtype, tflops, gb_s, cache, memory):
    device = catalogue.find(name)
    assert device.peak_flops(dtype) == pytest.approx(tflops * 1e12)
    assert device.bandwidth_bytes_s == pytest.approx(gb_s * 1e9)
    assert (device.cache_bytes, device.memory_bytes) == (cache * MIB, memory * GIB)


# fp16 FMAs a clock and multiprocessor of the tensor cores, by architecture, with their boost clock in GHz.
TENSOR = {
    "v100": (512, 1.53), "t4": (512, 1.59), "a100": (1024, 1.41), "a10": (512, 1.695), "rtx_a6000": (512, 1.8),
    "l4": (512, 2.04), "l40s": (512, 2.52), "rtx_pro_6000": (512, 2.617), "jetson_orin": (1024, 1.3),
    "h100": (2048, 1.83), "h100_pcie": (2048, 1.62), "h200": (2048, 1.83), "b200": (4096, 1.86), "mi300x": (1024, 2.1),
    # GeForce: half of 512 with fp32 accumulation
    "rtx2080ti": (256, 1.635), "rtx3080": (256, 1.71), "rtx3090": (256, 1.695), "rtx4080": (256, 2.505),
    "rtx4090": (256, 2.52), "rtx5080": (256, 2.617), "rtx5090": (256, 2.407),
}  # fmt: skip


@pytest.mark.parametrize("name", TENSOR)
def test_tensor_peaks_follow_from_units_and_clock(name):
    fmas, clock = TENSOR[name]
    device = catalogue.find(name)
    assert device.peak_flops("fp16") == pytest.approx(device.units * fmas * 2 * clock * 1e9, rel=0.02)


@pytest.mark.parametrize("name", ROWS)
def test_rows_are_whole(name):
    device, row = catalogue.find(name), ROWS[name]
    assert row["sources"], "every row names its source"
    assert device.year
    assert not device.measured
    assert {"fp32", *device.vector_flops} <= set(device.matrix_flops)
    assert all(device.matrix_flops[dtype] >= peak for dtype, peak in device.vector_flops.items())
    if "tf32" in device.matrix_flops:  # tensor cores that know both run both alike
        assert device.matrix_flops["fp16"] == device.matrix_flops["bf16"]
    if name != "core_i7_1370p":  # cores of two kinds
        fp32 = row["units"] * row["fp32_lanes"] * 2 * row["clock_ghz"] * 1e9
        assert device.vector_flops["fp32"] == pytest.approx(fp32, rel=0.02)


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_launch_costs_are_those_of_the_kind(kind):
    found = {(d.launch_s, d.kernel_s) for d in catalogue.devices().values() if d.kind == kind}
    assert found == {{"gpu": (6e-6, 2.5e-6), "cpu": (3e-6, 1e-6)}[kind]}


def test_required_machines():
    names = (
        "a100 a100_40gb h100 h100_pcie h200 b200 l4 l40s t4 v100 a10 rtx3090 rtx4090 rtx5090 rtx_pro_6000 jetson_orin"
    )
    names += " m1 m2 m2_max m3_max m4 m4_max mi300x xeon_8480 xeon_8380 epyc_9654 epyc_7763 core_i7_1370p ryzen_7950x"
    assert set(names.split()) <= set(catalogue.devices())


# -- finding --------------------------------------------------------------------------------------


def test_find_by_name_and_file(my_toml):
    assert catalogue.find("H100").name == "h100"
    assert catalogue.find(str(my_toml)).name == catalogue.find(f"{my_toml}:my_card").name == "my_card"


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("rtx309", UnknownName, "did you mean 'rtx3090'"),
        ("rtx309", UnknownName, "`compare-models hardware` lists them"),
        ("zzz", UnknownName, "unknown machine 'zzz': `compare-models hardware` lists them"),
        ("this", UnknownName, "run `compare-models calibrate`"),
        ("Local", UnknownName, "run `compare-models calibrate`"),
        ("none.toml", BadInput, "cannot read none.toml: No such file"),
        ("{my}:my_crad", UnknownName, "did you mean 'my_card'"),
    ],
)
def test_not_found(name, error, says, my_toml):
    with pytest.raises(error, match=re.escape(says)):
        catalogue.find(name.format(my=my_toml))


def test_a_file_of_several_asks_which(my_toml):
    my_toml.write_text(GOOD + GOOD.replace("my_card", "other"))
    with pytest.raises(BadInput, match=r"holds my_card, other: say which, like .*my\.toml:my_card"):
        catalogue.find(str(my_toml))
    assert catalogue.find(f"{my_toml}:other").name == "other"


def test_this_is_the_last_calibrated_here(own_devices):
    for age, device in enumerate([measured("newer"), measured("older"), measured("sheet", measured=False)]):
        os.utime(catalogue.save(device), (1000 - age, 1000 - age))
    elsewhere = catalogue.save(measured("elsewhere", environment={"host": "another-machine"}))
    os.utime(elsewhere, (2000, 2000))
    assert {catalogue.find(alias).name for alias in ("this", "this_machine", "local")} == {"newer"}


def test_select():
    assert [d.name for d in catalogue.select("a100*")] == ["a100", "a100_pcie", "a100_40gb"]
    assert [d.name for d in catalogue.select("a100")] == ["a100"]
    assert [d.name for d in catalogue.select("sapphire")] == ["xeon_8480"]


# -- keeping --------------------------------------------------------------------------------------


def test_save_reads_back_and_replaces(own_devices):
    device = measured()
    path = catalogue.save(device)
    assert path == own_devices / "my_box.toml"
    assert catalogue.read(path) == [device]
    assert catalogue.find("my_box") == catalogue.devices()["my_box"] == device
    catalogue.save(measured(units=8))
    assert catalogue.find("my_box").units == 8
    assert [p.name for p in own_devices.iterdir()] == ["my_box.toml"]


POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
WHOLE = st.integers(1, 2**63)
WORDS = st.dictionaries(st.text(), st.text(), max_size=3)
TEXT = st.text(min_size=1).filter(str.strip)
PEAKS = st.dictionaries(st.sampled_from(DTYPES), POSITIVE).map(lambda peaks: {"fp32": 1.5, **peaks})
DEVICES = st.builds(
    Device, name=st.from_regex(r"[a-z0-9_]+", fullmatch=True).filter(lambda n: n not in catalogue.THIS), title=TEXT,
    kind=st.sampled_from(["gpu", "cpu"]), matrix_flops=PEAKS, vector_flops=PEAKS, bandwidth_bytes_s=POSITIVE,
    cache_bytes=WHOLE, memory_bytes=WHOLE, units=WHOLE, launch_s=POSITIVE, kernel_s=POSITIVE, year=st.none() | WHOLE,
    cache_bandwidth_bytes_s=st.none() | POSITIVE, sources=st.lists(TEXT, max_size=3).map(tuple), measured=st.booleans(),
    efficiencies=st.dictionaries(st.sampled_from(sorted(COEFFICIENTS)), st.floats(0.001, 1.0), max_size=3),
    environment=WORDS,
)  # fmt: skip


@settings(deadline=None)
@given(DEVICES)
def test_any_device_reads_back_exactly(device):
    assert devices_of(load(render(device), "x"), "x", {}) == [device]


def test_a_numpy_float_is_a_float():
    device = measured(launch_s=np.float64(0.1) / 3)
    assert catalogue.read(catalogue.save(device)) == [device]


@pytest.mark.parametrize(
    ("device", "says"),
    [
        (measured("h100"), "'h100' is a machine of the data sheets"),
        (measured("My Box"), "must be of a-z, 0-9 and _"),
        (measured("this"), "means the machine at hand"),
        (measured(units=0), "my_box: units = 0 must be above 0"),
        (measured(launch_s=float("nan")), "must be above 0 and finite"),
        (measured(sources=["a list"]), "does not read back"),
    ],
)
def test_save_refuses(device, says, own_devices):
    with pytest.raises(BadInput, match=re.escape(says)):
        catalogue.save(device)
    assert not own_devices.exists()


def test_save_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot make the folder"):
        catalogue.save(measured(), tmp_path / "file" / "devices")


def test_default_folder(monkeypatch):
    monkeypatch.delenv("MODELCMP_DEVICES")
    assert catalogue.devices_folder().parts[-2:] == ("modelcmp", "devices")


def test_own_file_in_the_way_of_a_data_sheet(own_devices):
    own_devices.mkdir()
    (own_devices / "mine.toml").write_text(GOOD.replace("my_card", "h100"))
    assert catalogue.find("h100").title.startswith("NVIDIA")
    with pytest.raises(BadInput, match=r"mine\.toml: h100 is a data sheet's machine"):
        catalogue.devices()


# -- what a file may say --------------------------------------------------------------------------


def test_units_and_typical_costs(my_toml):
    (device,) = catalogue.read(my_toml)
    assert (device.matrix_flops, device.bandwidth_bytes_s) == ({"fp32": 1e13, "fp16": 4e13}, 5e11)
    assert (device.cache_bytes, device.memory_bytes) == (4 * MIB, 8 * GIB)
    assert (device.launch_s, device.kernel_s) == (6e-6, 2.5e-6)
    assert "typical" in device.sources[-1]
    my_toml.write_text(GOOD + "launch_us = 20\nkernel_s = 1e-6\n")
    (device,) = catalogue.read(my_toml)
    assert (device.launch_s, device.kernel_s, device.sources) == (2e-5, 1e-6, ())


BAD = [
    ("kind =", "knid =", "my.toml: my_card has an unknown key 'knid': did you mean 'kind'?"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = -5", "my.toml: my_card: bandwidth_gb_s = -5 must be above 0"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = 0", "bandwidth_gb_s = 0 must be above 0 and finite"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = inf", "must be above 0 and finite"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = nan", "must be above 0 and finite"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = 1e999995", "must be above 0 and finite"),
    ("bandwidth_gb_s = 500", 'bandwidth_gb_s = "fast"', 'bandwidth_gb_s = "fast" is no number'),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = true", "bandwidth_gb_s = true is no number"),
    ("bandwidth_gb_s = 500", "", "my_card lacks bandwidth_gb_s"),
    ("bandwidth_gb_s = 500", "bandwidth_gb_s = 5\nbandwidth_bytes_s = 5", "says bandwidth_bytes_s twice"),
    ("units = 10", "units = 10.5", "units = 10.5 must be a whole number"),
    ('"gpu"', '"tpu"', 'kind = "tpu" must be "gpu" or "cpu"'),
    ('"A card"', "7", "title = 7 must be text in quotes"),
    ('"A card"', '" "', "must be text in quotes"),
    ("fp16 = 40", "pf16 = 40", "has an unknown type 'pf16': did you mean 'fp16'"),
    ("fp16 = 40", "fp16 = 0", "matrix_tflops ="),
    ("fp16 = 40", "fp16 = 0", "fp16 = 0 must be above 0"),
    ("{ fp32 = 10 }", "{ fp16 = 10 }", "lacks fp32, which every machine can do"),
    ("{ fp32 = 10 }", "10", "vector_tflops = 10 must be a table: { fp32 = 10, fp16 = 20 }"),
    ("[my_card]", "[My-Card]", "my.toml: the name 'My-Card' must be of a-z, 0-9 and _"),
    ("[my_card]", "[local]", "the name 'local' means the machine at hand"),
    ("[my_card]", "", "title stands outside a table: begin the device with a line [its_name]"),
    ("[my_card]", "[my_card", "my.toml is not TOML: "),
    ("units = 10", "units = 10\nunits = 10", "my.toml is not TOML: "),
    ("units = 10", f"units = {'9' * 5000}", "my.toml is not TOML: "),
    ("units = 10", 'units = 10\nsources = "me"', 'sources = "me" must be a list'),
    ("units = 10", "units = 10\nmeasured = 1", "measured = 1 must be true or false"),
    ("units = 10", "units = 10\nefficiencies = { gemm = -1 }", "gemm = -1 must be above 0"),
    ("units = 10", "units = 10\nefficiencies = { gem = 0.5 }", "has no 'gem': did you mean 'gemm'"),
    ("units = 10", "units = 10\nefficiencies = { gemm = 5000 }", "gemm = 5000 is too large"),
    ("units = 10", "units = 10\nenvironment = { torch = 2 }", "must hold text in quotes"),
    ("units = 10", "units = 10\nyear = 2020-01-01", "is no number"),
    ("units = 10", "units = 10\nclock_ghz = 1\nfp32_lanes = 128", "but 10 units * 128 lanes * 2 * 1 GHz are 2.56"),
    (GOOD, "", "my.toml holds no machine"),
]


@pytest.mark.parametrize(("good", "bad", "says"), BAD)
def test_mistakes_are_one_line_with_the_place(good, bad, says, my_toml):
    assert good in GOOD
    my_toml.write_text(GOOD.replace(good, bad))
    with pytest.raises(BadInput, match=re.escape(says)) as raised:
        catalogue.read(my_toml)
    assert "my.toml" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_not_text(my_toml):
    my_toml.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="is no UTF-8 text"):
        catalogue.read(my_toml)


# -- the command ----------------------------------------------------------------------------------


def test_listing_fits_a_terminal(cli, own_devices):
    catalogue.save(measured("a_workstation_with_a_long_name"))
    code, out, err = cli("hardware")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert all(f" {name} " in out for name in ROWS)
    assert "measured" in out
    names = "".join(line[:15].strip() for line in out.splitlines())
    assert "a_workstation_with_a_long_name" in names  # folded, not cut
    (h100,) = (line.split() for line in out.splitlines() if line.startswith(" h100 "))
    assert h100 == ["h100", "gpu", "989T", "66.9T", "3.35TB/s", "50", "MiB", "80", "GiB", "295"]


def test_one_machine_shows_everything(cli):
    code, out, _ = cli("hardware", "rtx3090")
    assert code == 0
    for part in (
        "RTX 3090",
        "71.0T",
        "35.6T",
        "936GB/s",
        "6 MiB",
        "24 GiB",
        "82 multiprocessors",
        "6 µs",
        "white paper",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 80


def test_measured_machine_shows_what_it_was_measured_with(cli):
    catalogue.save(measured())
    code, out, _ = cli("hardware", "this")
    assert code == 0
    for part in ("peaks       measured", "gemm 0.81", "torch 2.10", "4 cores"):
        assert part in out


def test_dtype_chooses_peak_and_ridge(cli):
    _, out, _ = cli("hardware", "rtx", "--dtype", "fp8")
    (row,) = (line.split() for line in out.splitlines() if line.startswith(" rtx4090 "))
    assert (row[2], row[-1]) == ("330T", "328")
    (row,) = (line.split() for line in out.splitlines() if line.startswith(" rtx3090 "))
    assert (row[2], row[-1]) == ("-", "-")
    _, out, _ = cli("hardware", "rtx", "--dtype", "fp32")
    assert out.splitlines()[1].split().count("fp32") == 1


def test_json_and_csv(cli, tmp_path, my_toml):
    code, out, _ = cli("hardware", "a100*", "--hardware", my_toml, "--format", "json")
    document = json.loads(out)
    assert code == 0
    assert [m["name"] for m in document["machines"]] == ["a100", "a100_pcie", "a100_40gb", "my_card"]
    assert document["machines"][0]["matrix_flops"]["fp16"] == 3.12e14
    assert document["machines"][0]["ridge_flop_per_byte"]["fp16"] == pytest.approx(312e12 / 2039e9)
    file = tmp_path / "machines.csv"
    assert cli("hardware", "--output", file)[0] == 0
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(file.read_text("utf-8")))}
    assert set(rows) == set(ROWS)
    assert float(rows["m1"]["matrix_flops_fp16"]) == 2.6e12
    assert rows["m1"]["matrix_flops_bf16"] == ""
    assert rows["xeon_8480"]["ridge_dtype"] == "bf16"
    assert "data sheet" in rows["h100"]["sources"]


def test_markdown(cli):
    _, out, _ = cli("hardware", "l4*", "--format", "markdown")
    assert out.startswith("| Machine | Kind | fp16/bf16 | fp32 |")
    assert "| l40s | gpu | 362T | 91.6T | 864GB/s | 96 MiB | 48 GiB | 419 |" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["h10o"], "unknown machine 'h10o': did you mean 'h100'"),
        (["this"], "run `compare-models calibrate`"),
        (["--dtype", "pf16"], "unknown dtype 'pf16': did you mean 'fp16'"),
        (["--hardware", "none.toml"], "cannot read none.toml"),
        (["--format", "xml"], "unknown format 'xml'"),
    ],
)
def test_usage_errors_exit_2(cli, arguments, says):
    code, out, err = cli("hardware", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_catalogue_is_instant():
    code = "from modelcmp.hardware import catalogue; import modelcmp.reports.machine_table; catalogue.devices()\n"
    code += "import sys; assert not {'torch', 'pandas', 'timm', 'torchvision'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the documentation ----------------------------------------------------------------------------

DOC = ROOT / "docs" / "hardware.md"


def test_example_of_the_documentation(tmp_path):
    example = re.search(r"```toml\n(# my\.toml.*?)```", DOC.read_text("utf-8"), re.DOTALL)[1]
    path = tmp_path / "my.toml"
    path.write_text(example)
    (device,) = catalogue.read(path)
    assert device.name == "my_card"
    assert device.peak_flops("fp16") == 25.5e12


def test_documentation_lists_every_key():
    text = DOC.read_text("utf-8")
    assert not [key for key in KEYS if f"`{key}`" not in text]
