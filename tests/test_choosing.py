"""--where, --join, --pareto, --top on comparisons and on the command line."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelcmp
from modelcmp.comparison import Comparison
from modelcmp.errors import BadInput, UnknownName
from modelcmp.joining import read_joined
from modelcmp.metrics import METRICS, find
from modelcmp.pareto import pareto_front, parse_axes
from modelcmp.records import ModelProfile

FIVE = ("alexnet", "resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x1_0")


def profile(name="m", size=224, **values):
    return ModelProfile(
        name, "here", ((1, 3, size, size),), 1, "fp32", "eval", "total", dict.fromkeys(METRICS) | values, {}
    )


@pytest.fixture(scope="module")
def five():
    return modelcmp.compare(FIVE)


def dominated(costs, i):
    """By the definition: another is as good everywhere and better somewhere."""
    return any(all(a <= b for a, b in zip(o, costs[i], strict=True)) and o != costs[i] for o in costs)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=25))
def test_the_front_is_what_nothing_dominates(costs):
    axes = (find("macs"), find("params"), find("ai"))
    profiles = [profile(macs=a, params=b, ai=-c) for a, b, c in costs]
    assert pareto_front(profiles, axes) == {i for i in range(len(costs)) if not dominated(costs, i)}


def test_unknown_figures_are_on_no_front():
    profiles = [
        profile(macs=5, top1=80.0),
        profile(macs=1, top1=None),
        profile(macs=9, top1=70.0),
        profile(macs=5, top1=80.0),
    ]
    assert pareto_front(profiles, (find("top1"), find("macs"))) == {0, 3}


def test_directions_are_natural_or_given():
    assert [a.better for a in parse_axes("top1:macs:ai", find)] == ["high", "low", "high"]
    assert [a.better for a in parse_axes("layers=high:max_width=low", find)] == ["high", "low"]
    for text, message in (
        ("top1", "two metrics"), ("top1:top1", "two metrics"), ("bound:macs", "text"),
        ("max_width:macs", "max_width=low"),
        ("macs=up:params", "macs=low"), ("", "two metrics"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            parse_axes(text, find)
    with pytest.raises(UnknownName):
        parse_axes("top1:mac", find)


def test_a_comparison_is_narrowed_step_by_step(five):
    found = five.where("macs < 1e9 and params < 3e6").sorted("top1")
    assert [p.name for p in found] == ["shufflenet_v2_x1_0", "squeezenet1_1"]
    assert [p.name for p in five.pareto("top1:macs").front] == ["mobilenet_v2", "shufflenet_v2_x1_0"]
    assert len(five.top(2)) == 2
    assert five.front == ()


def test_published_accuracy_is_that_of_the_size_profiled():
    from torchvision.models import ResNet50_Weights, ViT_H_14_Weights

    best = ResNet50_Weights.IMAGENET1K_V2.meta["_metrics"]["ImageNet-1K"]
    assert modelcmp.profile("resnet50").top1 == best["acc@1"]
    assert modelcmp.profile("resnet50").top5 == best["acc@5"]
    linear = ViT_H_14_Weights.IMAGENET1K_SWAG_LINEAR_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert modelcmp.profile("vit_h_14", input_size=224).top1 == linear
    assert modelcmp.profile("resnet50", input_size=192).top1 is None
    assert modelcmp.profile("resnet50", kwargs={"num_classes": 10}).top1 is None
    assert modelcmp.profile("fcn_resnet50").top1 is None
    assert modelcmp.profile("timm:resnet50").top1 is None


TABLE = "model,top1,img_size,params,price ($),notes\n"


@pytest.fixture
def table(tmp_path):
    """A file with the given lines below a header."""

    def write(text, head=TABLE):
        path = tmp_path / "accuracy.csv"
        path.write_text(head + text, encoding="utf-8")
        return path

    return write


def joined(path, *profiles):
    said = []
    return Comparison(profiles).join(path, said.append), said


def test_columns_join_by_name_source_and_tag(table):
    path = table("resnet18,71.5,224,11.7,1,a\nvit.big,80,224,5,2,b\nvit.small,70,224,5,3,c\nx.py:Net,60,224,1,4,d\n")
    names = ("timm:resnet18", "timm:vit", "timm:vit.small", "x.py:Net")
    found, said = joined(path, *map(profile, names), profile("other", top1=1.0))
    assert [p.values["top1"] for p in found] == [71.5, 80, 70, 60, 1.0]
    assert [p.values["params_joined"] for p in found] == [11.7, 5, 5, 1, None]
    assert [p.values["price"] for p in found] == [1, 2, 3, 4, None]
    assert [p.values["notes_joined"] for p in found] == ["a", "b", "c", "d", None]
    assert [m.key for m in found.joined] == ["img_size", "params_joined", "price", "notes_joined"]
    assert found.find("price").better == "low"
    assert said == [f"{path}: has a row for 4 of 5 models"]
    assert [p.name for p in found.where("price > 2").sorted("price")] == ["timm:vit.small", "x.py:Net"]


def test_of_several_rows_that_of_the_profiled_size_is_taken(table):
    path = table("net.a,80,288,1,1,\nnet.b,70,224,1,1,\n")
    found, said = joined(path, profile("net", size=224), profile("timm:net", size=288), profile("net", size=160))
    assert [p.values["top1"] for p in found] == [70, 80, 80]
    assert len(said) == 1
    assert "another image size" in said[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no table"),
        (b"model,a\n", "holds no table"),
        (b"model,a\nresnet18,1,2\n", "line 2: 3 cells under 2 headings"),
        (b"model,a,a\nresnet18,1,2\n", "twice"),
        (b"model,a b,a-b\nresnet18,1,2\n", "same column"),
        (b"\x80\xff\x00", "not a text file"),
    ],
)
def test_a_table_that_cannot_be_read_is_said(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_joined(path)
    with pytest.raises(BadInput, match="cannot read"):
        read_joined(tmp_path / "none.csv")


def test_unknown_cells_and_other_delimiters(table):
    path = table("resnet18;76.1%;\nvgg11;n/a;1e3\n", head="\ufeffName;Acc@1;Speed\n")
    read = read_joined(path)
    assert {name: rows[0].figures for name, rows in read.rows.items()} == {
        "resnet18": {"Acc_1": 76.1, "Speed": None}, "vgg11": {"Acc_1": None, "Speed": 1000.0},
    }  # fmt: skip
    assert [(c.key, c.label) for c in read.columns] == [("Acc_1", "Acc@1"), ("Speed", "Speed")]


def test_the_command_line_narrows(cli, table):
    path = table("alexnet,1\nresnet18,2\nmobilenet_v2,3\n", head="model,speed\n")
    code, out, err = cli(*FIVE, "--join", path, "--where", "speed < 3 or macs < 200M", "--sort-by", "speed", "--top", 2)
    assert code == 0
    assert "2 models shown of 5 profiled, 3 of them with" in " ".join(out.split())
    assert out.index("resnet18") < out.index("alexnet")
    assert "has a row for 3 of 5 models" in err
    rows = list(csv.DictReader(io.StringIO(cli(*FIVE, "--join", path, "--format", "csv")[1])))
    assert [r["speed"] for r in rows] == ["1", "2", "3", "", ""]
    assert "pareto" not in rows[0]
    rows = list(csv.DictReader(io.StringIO(cli(*FIVE, "--join", path, "-c", "speed,macs", "-f", "csv")[1])))
    assert {"speed", "macs"} < set(rows[0])
    assert not {"params", "top1"} & set(rows[0])


def test_the_command_line_marks_and_draws_the_front(cli, tmp_path):
    plot = tmp_path / "front.svg"
    code, out, _ = cli(*FIVE, "--pareto", "top1:macs", "--plot", plot)
    assert code == 0
    assert [line.count("◆") for line in out.splitlines() if "_v2" in line] == [1, 1]
    assert "Pareto front (top1 high, macs low): 2 of 5 models" in out
    assert plot.read_text().lstrip().startswith("<?xml")
    document = json.loads(cli(*FIVE, "--pareto", "top1:macs", "--format", "json")[1])
    assert {m["name"] for m in document["models"] if m["pareto"]} == {"mobilenet_v2", "shufflenet_v2_x1_0"}
    only = cli(*FIVE, "--pareto", "top1:macs", "--front-only", "--format", "markdown")[1]
    assert "| ◆ mobilenet_v2 |" in only
    assert "alexnet" not in only


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "nope > 1"], "unknown metric 'nope'"),
        (["--where", "__import__('os').getcwd() == 1"], "function call"),
        (["--pareto", "macs"], "two metrics"),
        (["--front-only"], "--pareto"),
        (["--plot", "x.png"], "--pareto"),
        (["--pareto", "ai:macs", "--plot", "x.pdf"], ".png, .svg or .html"),
        (["--join", "none.csv"], "cannot read none.csv"),
        (["--timeout", "soon"], "no time"),
        (["--memory-limit", "much"], "no amount of memory"),
        (["--engine", "slurm"], "unknown engine"),
        (["--address", "auto"], "--engine ray"),
        (["--top", "0"], "--top"),
        (["--jobs", "0"], "--jobs"),
    ],
)
def test_wrong_choices_are_refused_before_any_work(cli, arguments, message, monkeypatch):
    from modelcmp.profiling import many

    monkeypatch.setattr(many, "profile_many", lambda *_: pytest.fail("work was done"))
    code, out, err = cli("resnet18", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_headings_like_ours_do_not_shadow_ours(table):
    path = table("a,1,2,3,4,5\n", head="model,Params,MACs,AI,Size,error\n")
    found, _ = joined(path, profile("a", params=10, macs=20, ai=30.0, size_bytes=40))
    assert [m.key for m in found.joined] == ["Params_joined", "MACs_joined", "AI_joined", "Size_joined", "error_joined"]
    assert [found.find(n).key for n in ("params", "MACs", "ai", "size", "Params_joined")] == [
        "params", "macs", "ai", "size_bytes", "Params_joined",
    ]  # fmt: skip
    assert not found.where("params < 5").profiles
    assert [p.values["TOP1".lower()] for p in joined(table("a,7\n", head="model,Top1\n"), profile("a"))[0]] == [7]


def test_rows_of_files_belong_to_files(table):
    path = table("resnet18.py:build,99\n", head="model,acc\n")
    found, _ = joined(path, profile("resnet18"), profile("resnet18.py:build"))
    assert [p.values["acc"] for p in found] == [None, 99]


def test_figures_that_are_none_are_unknown(table):
    path = table("a,nan%\nb,inf\nc,1e999\nd,80\ne,9007199254740993\n", head="model,acc\n")
    found, _ = joined(path, *map(profile, "abcde"))
    assert [p.values["acc"] for p in found] == [None, None, None, 80, 9007199254740993]
    assert [p.name for p in found.sorted("acc")][:2] == ["e", "d"]


def test_text_where_a_figure_belongs_is_refused(table):
    with pytest.raises(BadInput, match=r"row 3: top1 is '69.8 \(V1\)'"):
        read_joined(table("a,80\nb,69.8 (V1)\n", head="model,top1\n"))
    first, second = table("a,80\n", head="model,foo\n"), None
    found, _ = joined(first, profile("a"))
    second = table("a,word\n", head="model,foo\n")
    with pytest.raises(BadInput, match="foo is text in one"):
        found.join(second)


def test_one_odd_size_does_not_spoil_the_others(table):
    path = table("a,80,224\na,81,288\nb,70,unknown size\n", head="model,acc,img_size\n")
    found, _ = joined(path, profile("a", size=288), profile("b"))
    assert [p.values["acc"] for p in found] == [81, 70]


def test_hostile_cells_do_not_reach_the_terminal(table, cli):
    path = table("resnet18,\x1b[31mred\x1b]0;title\x07,1\n", head="model,wo\x1b[1mrd,None\n")
    code, out, err = cli("resnet18", "--join", path, "--columns", "wo_1mrd", "--where", "None_ == 1")
    assert code == 0
    assert "\x1b[31m" not in out + err
    assert "red" in out


def test_medals_are_those_of_all_models(cli):
    out = cli(*FIVE, "--sort-by", "top1", "--reverse", "--top", 2)[1]
    assert "🥇" not in out
    assert "🥇" in cli(*FIVE, "--sort-by", "top1", "--top", 2)[1]


def test_nothing_to_draw_is_said_beside_the_table(cli, tmp_path):
    code, _, err = cli("resnet18", "--where", "macs < 1", "--pareto", "top1:macs", "--plot", tmp_path / "x.png")
    assert code == 1
    assert "is not drawn" in err
    assert not (tmp_path / "x.png").exists()


def test_an_empty_option_is_no_option_left_out(cli):
    for option in ("--where", "--pareto", "--sort-by", "--timeout", "--memory-limit"):
        assert cli("resnet18", option, "")[0] == 2, option
