"""Pictures: their data first, then what can be asserted of the drawing; how it looks is looked at."""

import random
import re
import subprocess
import sys
import time
import warnings
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from modelcmp.errors import BadInput, OutputError
from modelcmp.metrics import METRICS
from modelcmp.records import ModelProfile
from modelcmp.reports.plots import bars, check_picture, growth, save, scatter
from modelcmp.reports.plots.data import Axis

MACS, PARAMS, AI, TOP1 = (METRICS[k] for k in ("macs", "params", "ai", "top1"))
NASTY = "<script>alert(1)</script> $x_1$ 模型 \x1b[31m\udcff"


def profile(name, source="torchvision", batch_size=1, size=224, uncounted=None, **values):
    shape = ((batch_size, 3, size, size),)
    return ModelProfile(name, source, shape, batch_size, "fp32", "eval", "total", values, uncounted or {})


def front(profiles, x="macs", y="top1"):
    """Positions that no other beats, lower x and higher y being better."""
    at = [(p.values[x], -p.values[y]) for p in profiles]
    return [i for i, a in enumerate(at) if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in at)]


def cloud(count, seed=0, long=True):
    """Models whose accuracy rises with their MACs, below a bound."""
    draw = random.Random(seed)
    made = []
    for i in range(count):
        exponent = draw.uniform(7.5, 11.5)
        top1 = min(92.0, 62 + (exponent - 7.5) * 8 - sum(abs(draw.gauss(0, 3)) for _ in range(4)))
        name = f"timm:vit_base_patch16_rope_reg1_gap_{i}" if long else f"efficientnet_b{i}"
        made.append(profile(name, "timm" if i % 9 else "torchvision", macs=10**exponent, top1=top1))
    return made


@pytest.fixture
def four():
    return [
        profile("b", macs=2e9, params=2e6, top1=75.0),
        profile("a", macs=1e8, params=1e6, top1=70.0),
        profile("c", macs=5e9, params=3e6, top1=72.0),
        profile("d", macs=9e9, params=4e6, top1=80.0),
    ]


def sizes(over, ais):
    """One model whose AI takes the given values as it grows."""
    made = []
    for i, ai in enumerate(ais):
        n = 2**i
        values = dict.fromkeys(("macs", "traffic_bytes", "fused_traffic_bytes", "minimal_traffic_bytes"), n * 1e8)
        values |= {"ai": ai, "peak_activation_bytes": n * 1e6}
        made.append(profile("net", **{"batch_size" if over == "batch_size" else "size": n}, **values))
    return made


# --- data --------------------------------------------------------------------------------------


def test_an_axis_is_logarithmic_where_the_values_ask_for_it(four):
    data = scatter(four, MACS, TOP1)
    assert data.x.log  # 90 times
    assert not data.y.log
    assert not scatter(four, PARAMS, TOP1).x.log  # 4 times
    far = [profile("a", macs=0, top1=0.5), profile("b", macs=1e9, top1=90.0)]
    assert not scatter(far, MACS, TOP1).x.log  # zero has no logarithm
    assert not scatter(far, MACS, TOP1).y.log  # percent never


def test_unknown_values_are_left_out_and_named(four):
    more = [*four, profile("no top1", macs=1e9), profile("nan", macs=float("nan"), top1=1.0)]
    data = scatter(more, MACS, TOP1)
    assert [p.name for p in data.points] == ["b", "a", "c", "d"]
    assert data.left_out == ("no top1", "nan")


def test_points_carry_what_a_table_writes(four):
    data = scatter([profile("p", macs=2e9, top1=75.04, uncounted={"aten.x": 1})], MACS, TOP1)
    assert (data.points[0].x_text, data.points[0].y_text) == ("≥2.00G", "75.0%")


def test_the_front_is_a_line_from_left_to_right(four):
    assert scatter(four, MACS, TOP1, front(four)).line == ((1e8, 70.0), (2e9, 75.0), (9e9, 80.0))
    assert [p.name for p in scatter(four, MACS, TOP1, front(four)).points if p.front] == ["b", "a", "d"]


def test_a_front_of_more_metrics_has_members_but_no_line(four):
    data = scatter(four, MACS, TOP1, front=range(4))  # c is beaten by b in these two
    assert data.line == ()
    assert all(p.front for p in data.points)


def test_no_line_where_neither_end_is_better():
    two = [profile("a", max_width=1, top1=1.0), profile("b", max_width=2, top1=2.0)]
    assert scatter(two, METRICS["max_width"], TOP1, [0, 1]).line == ()


def test_what_cannot_be_an_axis_is_refused(four):
    with pytest.raises(BadInput, match="bound is text"):
        scatter(four, METRICS["bound"], TOP1)
    with pytest.raises(BadInput, match="no model has both ai and top1"):
        scatter(four, AI, TOP1)


@pytest.mark.parametrize(("key", "value", "text"), [
    ("macs", 1e9, "1G"), ("macs", 2.5e6, "2.5M"), ("size_bytes", 2e8, "200MB"), ("top1", 80.0, "80%"),
    ("ai", 0.05, "0.05"), ("depth", 100, "100"),
])  # fmt: skip
def test_tick_texts(key, value, text):
    assert Axis(METRICS[key], False).tick(value) == text


def test_bars_mark_the_best_and_say_what_is_unknown():
    data = bars([profile("a", macs=2e9, ai=3.0), profile("b", macs=1e9, uncounted={"x": 2})], [MACS, AI])
    assert [b.text for b in data.panels[0].bars] == ["2.00G", "≥1.00G"]
    assert [b.best for b in data.panels[0].bars] == [False, True]
    assert [(b.text, b.value, b.best) for b in data.panels[1].bars] == [("3.00", 3.0, False), ("?", None, False)]


def test_too_many_bars_are_refused(four):
    with pytest.raises(BadInput, match="13 models are too many for bars: keep the best with --top 12"):
        bars([four[0]] * 13)
    with pytest.raises(BadInput, match="bound is text"):
        bars(four, [METRICS["bound"]])
    with pytest.raises(BadInput, match="at least one"):
        bars([])


@pytest.mark.parametrize("over", ["batch_size", "input_size"])
def test_growth_is_in_order_and_marks_changes_of_class(over):
    data = growth(sizes(over, [5.0, 9.0, 20.0, 45.0, 60.0])[::-1], over)
    assert data.xs == (1, 2, 4, 8, 16)
    assert data.changes == ((4, "balanced"), (16, "compute-bound"))
    assert [len(p.series) for p in data.panels] == [1, 3, 1, 1]
    assert data.panels[2].series[0].values == (5.0, 9.0, 20.0, 45.0, 60.0)


def test_growth_wants_one_model_at_several_sizes(four):
    with pytest.raises(BadInput, match="not of 4"):
        growth(four, "batch_size")
    with pytest.raises(BadInput, match="at least two batch sizes"):
        growth(four[:1], "batch_size")
    with pytest.raises(BadInput, match="twice"):
        growth([*sizes("batch_size", [1.0, 2.0]), sizes("batch_size", [3.0])[0]], "batch_size")
    with pytest.raises(BadInput, match="has no input size"):
        growth([ModelProfile("n", "", (), 1, "fp32", "eval", "total", {}, {})] * 2, "input_size")


def test_data_imports_nothing_that_draws():
    check = (
        "import sys, modelcmp.reports.plots, modelcmp.reports.plots.data\n"
        "assert not {'matplotlib', 'jinja2', 'numpy', 'torch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


# --- drawing -----------------------------------------------------------------------------------


def drawn(picture):
    from modelcmp.reports.plots.saving import draw
    from modelcmp.reports.plots.style import house_style

    with house_style():
        figure = draw(picture, "Title", "batch 1, fp32").figure
        figure.draw_without_rendering()
    return figure


def name_boxes(figure):
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    names = [t for t in figure.axes[0].texts if t.get_gid() == "name"]
    return np.array([Text.get_window_extent(t, renderer).extents for t in names]).reshape(-1, 4)


def overlaps(a, b):
    return (a[:, None, :2] < b[None, :, 2:]).all(axis=2) & (b[None, :, :2] < a[:, None, 2:]).all(axis=2)


@pytest.mark.parametrize(
    ("count", "long", "with_front", "named"),
    [(80, False, True, 1.0), (1400, True, True, 0.85), (38, False, False, 0.85)],
)
def test_names_overlap_nothing_and_stay_inside(count, long, with_front, named):
    profiles = cloud(count, long=long)
    members = front(profiles) if with_front else []
    figure = drawn(scatter(profiles, MACS, TOP1, members))
    boxes, ax = name_boxes(figure), figure.axes[0]
    assert len(boxes) >= named * (len(members) or count)
    assert overlaps(boxes, boxes).sum() == len(boxes)  # each with itself
    at = ax.transData.transform([(profiles[i].values["macs"], profiles[i].values["top1"]) for i in members] or [(1, 1)])
    assert not overlaps(boxes, np.hstack([at - 7, at + 7])).any()
    frame = ax.get_window_extent().extents
    assert (boxes[:, :2] >= frame[:2] - 0.5).all()
    assert (boxes[:, 2:] <= frame[2:] + 0.5).all()


def test_a_large_cloud_is_drawn_in_seconds(tmp_path):
    profiles = cloud(1400)
    members = front(profiles)
    start = time.perf_counter()
    save(scatter(profiles, MACS, TOP1, members), tmp_path / "cloud.png", title="t", caption="c")
    assert time.perf_counter() - start < 15  # about 2 on an idle machine


@pytest.mark.parametrize("make", [
    lambda: scatter([profile(NASTY, macs=1e9, top1=70.0)], MACS, TOP1, [0]),
    lambda: bars([profile(NASTY, macs=1e9), profile("b", macs=0)], [MACS, AI]),
    lambda: growth(sizes("batch_size", [5.0, None, 60.0]), "batch_size"),
    lambda: growth(sizes("batch_size", [None, None]), "batch_size"),
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_every_picture_draws_in_every_format_without_a_warning(make, suffix, tmp_path):
    path = tmp_path / f"picture{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(make(), path, title=NASTY, caption=NASTY)
    assert path.stat().st_size > 1000


def test_a_png_has_its_size(four, tmp_path):
    path = tmp_path / "a.png"
    save(scatter(four, MACS, TOP1, [1]), path, title="t", caption="c")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(data[i : i + 4], "big") for i in (16, 20)] == [1600, 1040]


def test_an_svg_keeps_text_as_text_and_reads_no_mathematics(four, tmp_path):
    path = tmp_path / "a.svg"
    save(scatter([profile("$x_1$", macs=1e9, top1=70.0), *four], MACS, TOP1), path, title="$\\alpha$ <b>", caption="c")
    texts = ["".join(t.itertext()).strip() for t in ET.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")]
    assert {"$x_1$", "$\\alpha$ <b>", "a", "b"} <= set(texts)


def test_no_text_is_read_as_mathematics():
    from matplotlib.text import Text

    figure = drawn(
        scatter([profile("$x_1$", "$s$", macs=1e9, top1=70.0), profile("b", macs=2e9, top1=7.0)], MACS, TOP1)
    )
    assert not any(t.get_parse_math() for t in figure.findobj(Text))


def test_the_same_picture_has_the_same_bytes(tmp_path):
    picture = scatter(cloud(60), MACS, TOP1, [0, 1, 2])
    for name in ("a.svg", "b.svg"):
        save(picture, tmp_path / name, title="t", caption="c")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_page_escapes_names_and_has_a_tooltip_for_each_point(four, tmp_path):
    path = tmp_path / "a.html"
    save(scatter([*four, profile(NASTY, macs=1e9, top1=71.0)], MACS, TOP1, [0, 1]), path, title=NASTY, caption=NASTY)
    text = path.read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $x_1$ 模型" in text
    assert len(re.findall(r"<use [^>]*><title>", text)) == 5
    assert "<title>b\nMACs: 2.00G\nTop-1 accuracy: 75.0%\non the Pareto front</title>" in text
    assert 'data-value="2000000000.0"' in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)  # nothing from elsewhere


@pytest.mark.parametrize(("picture", "count"), [
    (lambda: bars([profile(n, macs=1e9, ai=2.0) for n in "abc"], [MACS, AI]), 6),
    (lambda: growth(sizes("batch_size", [5.0, 20.0, 60.0]), "batch_size"), 18),
])  # fmt: skip
def test_bars_and_growth_have_tooltips_too(picture, count, tmp_path):
    save(picture(), tmp_path / "a.html", title="t", caption="c")
    assert (tmp_path / "a.html").read_text("utf-8").count("<title>") == count + 1  # the page's own


def test_other_formats_are_refused_before_any_work(four, tmp_path):
    picture = scatter(four, MACS, TOP1)
    for name in ("a.pdf", "a", "a.txt"):
        with pytest.raises(BadInput, match=r"\.png, \.svg or \.html"):
            save(picture, tmp_path / name, title="t", caption="c")
    with pytest.raises(OutputError, match="there is no folder"):
        check_picture(tmp_path / "missing" / "a.png")


def test_a_picture_is_written_whole_or_not_at_all(four, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        save(scatter(four, MACS, TOP1), path, title="t", caption="c")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_drawing_leaves_the_users_settings_alone(tmp_path):
    check = f"""
import sys, matplotlib
from pathlib import Path
from modelcmp.metrics import METRICS
from modelcmp.records import ModelProfile
from modelcmp.reports.plots import bars, save
matplotlib.rcParams["font.size"] = 31
before = matplotlib.rcParams.copy()
one = ModelProfile("n", "", (), 1, "fp32", "eval", "total", {{"macs": 1}}, {{}})
save(bars([one], [METRICS["macs"]]), Path({str(tmp_path)!r}) / "a.png")
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", check], check=True)
