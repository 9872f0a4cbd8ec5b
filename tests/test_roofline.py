"""Rooflines: points against the closed form, the table and the picture."""

import csv
import io
import json
import math
import random
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from modelcmp.errors import BadInput
from modelcmp.hardware.device import Device
from modelcmp.hardware.prediction import KernelTime, Prediction
from modelcmp.kernels import Kernel
from modelcmp.reports.plots import save
from modelcmp.reports.plots.framing import frame
from modelcmp.reports.plots.roofline import check_drawable, duration, roofline
from modelcmp.reports.roofline_table import machine_lines, roofline_markdown, roofline_tables

PEAK, BANDWIDTH, LAUNCH = 100e12, 2e12, 5e-6
NASTY = "<script>alert(1)</script> $x_1$ 模型 \x1b[31m"


def device(**changes):
    given = {"name": "box", "title": "A box", "kind": "gpu", "matrix_flops": {"fp16": PEAK},
             "vector_flops": {"fp16": PEAK / 8}, "bandwidth_bytes_s": BANDWIDTH, "cache_bytes": 10**6,
             "memory_bytes": 10**10, "units": 10, "launch_s": LAUNCH, "kernel_s": 1e-6}  # fmt: skip
    return Device(**given | changes)


def timed(flops, traffic, module="layer", op="aten.conv2d", count=1, launch=LAUNCH):
    kernel = Kernel(module, op, "conv", "fp16", flops, flops / 2, traffic / 2, traffic / 2, 0, calls=count)
    return KernelTime(kernel, flops / PEAK, traffic / BANDWIDTH, launch)


def prediction(kernels, name="net", machine=None):
    seconds = sum(t.seconds * t.kernel.calls for t in kernels)
    machine = machine or device()
    return Prediction(name, machine, "fp16", 1, "datasheet", False, tuple(kernels), seconds, "memory", 0.0, 0)


@pytest.fixture
def mixed():
    """A copy, a small, a memory-bound and a compute-bound kernel."""
    return prediction([
        timed(0, 1e8, "copy", "aten.clone"), timed(1e3, 1e4, "tiny"), timed(1e9, 1e9, "norm", count=3),
        timed(1e12, 1e9, "conv"),
    ])  # fmt: skip


def test_the_ridge_is_peak_over_bandwidth(mixed):
    machine = roofline([mixed]).machine
    assert machine.ridge == PEAK / BANDWIDTH == 50
    assert machine.attainable(50) == PEAK
    assert machine.attainable(25) == PEAK / 2
    assert machine.attainable(5000) == PEAK


def test_places_follow_the_closed_form(mixed):
    places = {p.module: p for p in roofline([mixed], "layer").models[0].places}
    conv, norm, tiny = places["conv"], places["norm"], places["tiny"]
    assert (conv.ai, conv.roofline_class, conv.bound) == (1000, "compute-bound", "compute")
    assert conv.seconds == pytest.approx(1e12 / PEAK + LAUNCH)
    assert conv.attainable_flop_s == PEAK
    assert (norm.ai, norm.calls, norm.roofline_class, norm.bound) == (1, 3, "memory-bound", "memory")
    assert norm.seconds == pytest.approx(3 * (1e9 / BANDWIDTH + LAUNCH))
    assert norm.attainable_flop_s == BANDWIDTH
    assert tiny.bound == "launches"
    assert sum(p.share_pct for p in places.values()) == pytest.approx(100)
    assert sum(roofline([mixed]).models[0].shares_pct.values()) == pytest.approx(100)


def test_no_point_is_above_the_roof():
    draw = random.Random(0)
    kernels = [timed(10 ** draw.uniform(3, 13), 10 ** draw.uniform(3, 10), f"m{i % 40}") for i in range(400)]
    for by in ("op", "layer", "model"):
        data = roofline([prediction(kernels)], by)
        for place in data.models[0].points:
            assert place.flop_s <= data.machine.attainable(place.ai) * (1 + 1e-9)
        for spot in frame(data).spots:
            assert spot.flop_s <= data.machine.attainable(spot.ai) * 1.1  # summed of points alike to two digits


def test_a_kernel_without_launch_is_on_the_roof():
    data = roofline([prediction([timed(1e12, 1e9, "a", launch=0), timed(1e9, 1e9, "b", launch=0)])])
    for place in data.models[0].places:
        assert place.flop_s == pytest.approx(data.machine.attainable(place.ai))


@pytest.mark.parametrize(("by", "count"), [("op", 5), ("layer", 2), ("model", 1)])
def test_grouping_keeps_the_sums(by, count):
    kernels = [timed(1e9 * (i + 1), 1e8, "ab"[i % 2], count=2) for i in range(5)]
    model = roofline([prediction(kernels)], by).models[0]
    assert len(model.places) == count
    assert sum(p.flops for p in model.places) == 2 * sum(t.kernel.flops for t in kernels) == model.total.flops
    assert sum(p.seconds for p in model.places) == pytest.approx(model.seconds)
    assert [p.seconds for p in model.places] == sorted((p.seconds for p in model.places), reverse=True)


def test_copies_have_no_point_but_a_share(mixed):
    model = roofline([mixed]).models[0]
    assert "copy" not in {p.module for p in model.points}
    copy = 1e8 / BANDWIDTH + LAUNCH
    assert model.pointless_pct == pytest.approx(100 * copy / mixed.seconds)


def test_repeated_blocks_are_one_point_with_all_their_time():
    shown = frame(roofline([prediction([timed(1e10, 1e8, f"h.{i}.mlp") for i in range(12)] + [timed(1e9, 1e9, "x")])]))
    assert [s.name for s in shown.spots] == ["h.*.mlp ×12", "x"]
    assert shown.spots[0].seconds == pytest.approx(12 * (1e10 / PEAK + LAUNCH))


def test_the_frame_holds_the_ridge_and_next_to_all_of_the_time():
    kernels = [timed(1e12, 1e9, "conv", count=50), timed(1, 8, "scalar"), timed(1e9, 1e9, "norm", count=50)]
    shown = frame(roofline([prediction(kernels)]))
    assert shown.x[0] < 50 < shown.x[1]
    assert shown.y[0] < PEAK < shown.y[1]
    assert [s.name for s in shown.spots] == ["conv", "norm"]
    assert 0 < shown.outside_pct < 0.5
    for s in shown.spots:
        assert shown.x[0] < s.ai < shown.x[1]
        assert shown.y[0] < s.flop_s < shown.y[1]


def test_a_model_of_nothing_but_copies_has_a_frame():
    shown = frame(roofline([prediction([timed(0, 1e8)])]))
    assert shown.spots == ()
    assert shown.x[0] < 50 < shown.x[1]


def test_what_cannot_be_one_roofline_is_refused(mixed):
    with pytest.raises(BadInput, match="at least one"):
        roofline([])
    with pytest.raises(BadInput, match="one machine"):
        roofline([mixed, prediction([timed(1, 1)], machine=device(name="other"))])
    with pytest.raises(BadInput, match="9 models cannot be told apart"):
        check_drawable([""] * 9)


@pytest.mark.parametrize(("seconds", "text"), [
    (1.234e-3, "1.23 ms"), (56.7e-6, "56.7 µs"), (2.5, "2.50 s"), (9.9999e-4, "1 ms"), (5e-9, "5 ns"), (0, "0 s"),
    (123.4, "123 s"),
])  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds).replace("1.00", "1") == text


def test_time_is_split_between_the_kernel_and_its_launch():
    model = roofline([prediction([timed(1e12, 1e9, "a", launch=0.01)])]).models[0]
    assert model.shares_pct == {"compute": pytest.approx(50), "memory": 0, "launches": pytest.approx(50)}


def test_convolutions_in_fp32_stand_under_the_tf32_roof():
    machine = device(matrix_flops={"fp32": PEAK / 10, "tf32": PEAK}, vector_flops={"fp32": PEAK / 10})
    kernels = [KernelTime(Kernel(kind, "aten.x", kind, "fp32", 2e10, 1e10, 1e9, 0, 0), 1e-3, 1e-3, 0)
               for kind in ("conv", "gemm")]  # fmt: skip
    found = Prediction("net", machine, "fp32", 1, "datasheet", False, tuple(kernels), 2e-3, "memory", 0.0, 0)
    data = roofline([found])
    assert (data.machine.ridge, data.machine.highest_flop_s) == (5, PEAK)
    assert data.machine.vector_flop_s is None
    conv, gemm = sorted(data.models[0].places, key=lambda p: p.module)
    assert (conv.ai, conv.roofline_class, conv.attainable_flop_s) == (20, "memory-bound", 20 * BANDWIDTH)
    assert (gemm.ai, gemm.roofline_class, gemm.attainable_flop_s) == (20, "compute-bound", PEAK / 10)
    assert "convolutions run in tf32: peak 100TFLOP/s, ridge 50.00 FLOP/byte" in machine_lines(data.machine)


# --- tables ------------------------------------------------------------------------------------


def shown_text(data, width, top=None):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    for item in roofline_tables(data, width, top):
        console.print(item)
    return console.file.getvalue()


def test_the_machine_is_told_first(mixed):
    first, second = machine_lines(roofline([mixed]).machine)
    assert first == "A box, fp16: peak 100TFLOP/s (12.5TFLOP/s without matrix units)"
    assert second.startswith("memory 2.00TB/s; ridge 50.00 FLOP/byte")


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_and_end_with_the_total(mixed, width):
    long = prediction([timed(1e12, 1e9, f"encoder.layers.encoder_layer_{i}.self_attention") for i in range(3)], "vit")
    text = shown_text(roofline([mixed, long]), width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert text.count("Total") == 2
    assert "net: " in text
    assert "vit: " in text
    assert ("Kind" in text) == (width >= 120)


def test_top_says_how_many_are_left_out(mixed):
    assert "2 of 4 shown" in shown_text(roofline([mixed]), 100, 2)


def test_markdown_has_every_column(mixed):
    text = roofline_markdown(roofline([mixed]))
    assert "| Place | Kind | FLOPs | Bytes | AI | Class | FLOP/s ≤ | Time | Share | Bound by |" in text
    assert "| conv | conv | 1.00T | 1.00GB | 1000.00 | compute | 100T | 10.0 ms |" in text


def test_rows_are_named_after_what_they_are(mixed):
    assert "| norm conv2d | conv |" in roofline_markdown(roofline([mixed], "op"))
    assert "| Model | FLOPs |" in roofline_markdown(roofline([mixed], "model"))


# --- pictures ----------------------------------------------------------------------------------


def many(count=60, seed=1):
    draw = random.Random(seed)
    kernels = [timed(10 ** draw.uniform(6, 12), 10 ** draw.uniform(6, 9), f"features.{i}.block.conv{i}") for i in
               range(count)]  # fmt: skip
    return prediction(kernels, f"timm:some_model_{seed}")


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
@pytest.mark.parametrize("make", [
    lambda: [prediction([timed(1e12, 1e9, NASTY), timed(1, 0, "moves nothing"), timed(1e9, 1e9)], NASTY)],
    lambda: [prediction([timed(0, 1e8)])],
    lambda: [many(seed=i) for i in range(8)],
])  # fmt: skip
def test_pictures_draw_without_a_warning(make, suffix, tmp_path):
    path = tmp_path / f"r{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(roofline(make(), "op"), path, title=NASTY, caption="batch 1")
    assert path.stat().st_size > 1000
    if suffix == ".html":
        assert "<script>alert" not in path.read_text("utf-8")


def test_every_point_has_a_tooltip(tmp_path):
    data = roofline([many(seed=1), many(seed=2)])
    save(data, tmp_path / "r.html", title="t", caption="c")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert text.count("<title>") == len(frame(data).spots) + 1  # the page's own
    assert "bound by" in text


def test_roofs_ridge_and_names_are_written(tmp_path, mixed):
    machine = device(cache_bandwidth_bytes_s=3 * BANDWIDTH)
    both = [prediction(mixed.kernels, "one", machine), prediction(mixed.kernels, "two", machine)]
    save(roofline(both), tmp_path / "r.svg", title="t", caption="c")
    root = ET.parse(tmp_path / "r.svg").getroot()
    texts = {"".join(t.itertext()).strip() for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"memory, 2.00TB/s", "cache, 6.00TB/s", "fp16 peak, 100TFLOP/s", "ridge 50.00 FLOP/byte", "conv"} <= texts
    assert "fp16 without matrix units, 12.5TFLOP/s" in texts
    assert any(t.startswith("one: 11.") and t.endswith("bound by memory") for t in texts)


def test_areas_are_times_and_names_overlap_nothing():
    from matplotlib.text import Text

    from modelcmp.reports.plots.saving import draw
    from modelcmp.reports.plots.style import house_style

    data = roofline([many(30)])
    with house_style():
        figure = draw(data, "Title", "c").figure
        figure.draw_without_rendering()
    ax = figure.axes[0]
    (points,) = [c for c in ax.collections if c.get_gid() == "points-0"]
    spots = frame(data).spots
    large = [i for i, area in enumerate(points.get_sizes()) if area > 10]
    per_second = [points.get_sizes()[i] / spots[i].seconds for i in large]
    assert len(large) > 3
    assert max(per_second) == pytest.approx(min(per_second))
    renderer = figure.canvas.get_renderer()
    boxes = np.array([Text.get_window_extent(t, renderer).extents for t in ax.texts if t.get_gid() == "name"])
    assert len(boxes) >= 3
    across = (boxes[:, None, :2] < boxes[None, :, 2:]).all(axis=2)
    assert (across & across.T).sum() == len(boxes)  # each with itself


def test_the_memory_roof_is_drawn_where_it_is(mixed):
    from modelcmp.reports.plots.saving import draw
    from modelcmp.reports.plots.style import house_style

    with house_style():
        ax = draw(roofline([mixed])).figure.axes[0]
    slopes = [line.get_data() for line in ax.lines if line.get_gid() == "roof" and line.get_ydata()[0] != PEAK]
    (x, y) = slopes[-1]
    assert y[1] / x[1] == pytest.approx(BANDWIDTH)
    assert y[0] / x[0] == pytest.approx(BANDWIDTH)
    assert (x[1], y[1]) == (pytest.approx(50), pytest.approx(PEAK))


# --- the command -------------------------------------------------------------------------------


def test_the_command_tells_and_draws(cli, tmp_path):
    plot = tmp_path / "r.png"
    code, out, err = cli("roofline", "resnet18", "mobilenet_v2", "--hardware", "h100", "--top", 3, "--plot", plot)
    assert code == 0, err
    assert "ridge " in out
    assert "3 of " in out
    assert "level calibrated" in out
    assert plot.read_bytes()[:4] == b"\x89PNG"
    assert all(len(line) <= 80 for line in out.splitlines())


def test_rows_add_up_to_the_model(cli):
    out = cli("roofline", "resnet18", "--hardware", "h100", "--dtype", "fp16", "-b", 8, "--format", "json")[1]
    document = json.loads(out)
    (model,) = document["models"]
    machine = document["machine"]
    assert machine["ridge_flop_per_byte"] == machine["matrix_flop_s"] / machine["bandwidth_bytes_s"]
    assert math.isclose(sum(p["seconds"] for p in model["places"]), model["latency_ms"] / 1e3, rel_tol=1e-6)
    known = json.loads(cli("resnet18", "--dtype", "fp16", "-b", 8, "--format", "json")[1])["models"][0]
    assert sum(p["flops"] for p in model["places"]) == known["flops"]
    rows = list(csv.DictReader(io.StringIO(cli("roofline", "resnet18", "--hardware", "h100", "-f", "csv")[1])))
    assert len(rows) > 20
    assert math.isclose(sum(float(r["share_pct"]) for r in rows), 100, rel_tol=1e-6)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--hardware", "h1000"], "h100"), (["--hardware", "h100", "--by", "layers"], "did you mean 'layer'"),
    (["--hardware", "h100", "--level", "guess"], "unknown level"), (["--hardware", "h100", "--plot", "x.pdf"], ".svg"),
    (["--hardware", "h100", "--dtype", "fp61"], "fp61"), ([], "hardware"),
    (["--hardware", "none.toml"], "none.toml"),
])  # fmt: skip
def test_what_cannot_be_meant_is_refused(cli, arguments, message):
    code, out, err = cli("roofline", "resnet18", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_failing_model_leaves_the_others(cli, net_file):
    code, out, err = cli("roofline", f"{net_file}:raises", f"{net_file}:build", "--hardware", "h100", "-i", "3x32x32")
    assert code == 1
    assert ":build:" in "".join(out.split())
    assert "luck" in err
