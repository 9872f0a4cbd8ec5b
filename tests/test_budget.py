"""Budgets: reading them, judging against them, and what pipelines get to see."""

import json
import re
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from modelcmp.budget import Baseline, Case, Limit, Settings, certainty, judge
from modelcmp.budget_file import amount, read_budget
from modelcmp.errors import BadInput
from modelcmp.metrics import METRICS
from modelcmp.records import Machine, ModelFailure, ModelProfile
from modelcmp.reports import budget_report as report

ROOT = Path(__file__).resolve().parent.parent
NASTY = "a,b:c%\n<&\"'>\x1b\udcff"
RESNET18 = 11_689_512


def profile(name="net", uncounted=None, **values):
    shape = ((1, 3, 8, 8),)
    return ModelProfile(name, "file", shape, 1, "fp32", "eval", "total", values, uncounted or {})


def written(tmp_path, text):
    path = tmp_path / "budget.toml"
    path.write_text(text, "utf-8")
    return path


def read(tmp_path, text, **given):
    return read_budget(written(tmp_path, text), given)


def verdicts(tmp_path, text, found):
    return [v for case in read(tmp_path, text).cases for v in judge(found, case)]


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "text", "value"), [
    ("params", "30M", 30e6), ("params", "1.5 G", 1.5e9), ("params", "1e6", 1e6), ("params", "12", 12),
    ("size_bytes", "5GB", 5e9), ("size_bytes", "512 MiB", 512 * 2**20), ("size_bytes", "2gb", 2e9),
    ("size_bytes", "7", 7), ("top1", "95%", 95), ("top1", "95.5", 95.5), ("ai", ".5", 0.5), ("depth", "1k", 1000),
])  # fmt: skip
def test_amounts(key, text, value):
    assert amount(text, METRICS[key]) == pytest.approx(value)


@pytest.mark.parametrize(("text", "ms"), [("4 ms", 4), ("250us", 0.25), ("250 µs", 0.25), ("0.5s", 500), ("4", 4)])
def test_times(text, ms):
    assert amount(text, METRICS["latency_ms"]) == pytest.approx(ms)


@pytest.mark.parametrize(("key", "text"), [
    ("params", "30MB"), ("params", "30m"), ("params", "many"), ("params", "-3"), ("size_bytes", "2 ms"),
    ("top1", "95M"), ("params", ""), ("params", "nan"), ("params", "1_000"),
])  # fmt: skip
def test_wrong_units_are_refused_with_an_example(key, text):
    with pytest.raises(BadInput, match=rf"is no amount of {key}: write "):
        amount(text, METRICS[key])


def test_the_direction_follows_the_metric(tmp_path):
    case = read(tmp_path, '[limits]\nparams = "30M"\nai = 8\nmax_width = {min = 4, max = 9}').cases[0]
    assert [(x.metric.key, x.relation, x.target) for x in case.limits_for("any")] == [
        ("params", "max", 30e6), ("ai", "min", 8.0), ("max_width", "max", 9.0), ("max_width", "min", 4.0),
    ]  # fmt: skip


def test_aliases_are_keys_too(tmp_path):
    (case,) = read(tmp_path, '[limits]\npeak-memory = "2GB"\nclass = {equals = "compute-bound"}').cases
    assert [x.metric.key for x in case.limits_for("m")] == ["peak_activation_bytes", "bound"]


def test_settings_go_file_then_options_then_case(tmp_path):
    text = '[settings]\nbatch_size = 8\ndtype = "bf16"\ninput_size = [3, 64, 64]\n[limits]\nai = 1\n'
    text += '[[case]]\nname = "big"\nbatch_size = 64\nlimits = {ai = 2}'
    base, big = read(tmp_path, text, dtype="fp16", hardware="h100").cases
    assert base.settings == Settings(8, "3x64x64", "fp16", hardware="h100")
    assert big.settings == Settings(64, "3x64x64", "fp16", hardware="h100")
    assert big.name == "big"


def test_patterns_change_limits_and_take_them_away(tmp_path):
    text = '[limits]\nparams = "1M"\nai = 8\n[models."resnet*".limits]\nparams = "30M"\nai = false\ndepth = 9\n'
    text += '[models.resnet18.limits]\nparams = "12M"\n[[case]]\nmodels = "vit_*"\nlimits = {layers = 5}'
    base, vits = read(tmp_path, text).cases
    of = {name: {x.metric.key: x.target for x in base.limits_for(name)} for name in ("net", "resnet50", "resnet18")}
    assert of == {
        "net": {"params": 1e6, "ai": 8.0},
        "resnet50": {"params": 30e6, "depth": 9.0},
        "resnet18": {"params": 12e6, "depth": 9.0},
    }
    assert vits.limits_for("resnet18") == ()
    assert len(vits.limits_for("vit_b_16")) == 1


@pytest.mark.parametrize(("text", "message"), [
    ('[limit]\nparams = "30M"', "unknown key 'limit' at the top: did you mean 'limits'"),
    ('[limits]\nparms = "30M"', r"\[limits\]: unknown metric 'parms': did you mean 'params'"),
    ('[limits]\nparams = "30MB"', r"\[limits\] params: '30MB' is no amount of params: write \"30M\""),
    ("[limits]\nparams = true", "True is no limit"),
    ("[limits]\nparams = -1", "-1 is no limit"),
    ("[limits]\nparams = nan", "nan is no limit"),
    ("[limits]\nparams = false", "False is no limit"),
    ("[limits]\nparams = [1]", "is no limit"),
    ("[limits]\nmax_width = 9", "neither end of max_width is better"),
    ('[limits]\nbound = "balanced"', "bound is text: write bound = {equals"),
    ('[limits]\nbound = {max = "balanced"}', "bound is text"),
    ("[limits]\nparams = {}", "write {max"),
    ("[limits]\nparams = {most = 3}", r"unknown key 'most' in \[limits\] params: known: equals, max, min"),
    ("[limits]\nparams = {max = 3, equals = 3}", "or {equals"),
    ("[limits]\nai = {max = 3, min = 4}", "max is below its min"),
    ("[limits]\nsize = 1\nsize_bytes = 2", "size_bytes is limited twice"),
    ('[limits]\nparams = {equals = "+2%"}', "relative to the baseline"),
    ("", "it holds no limit"),
    ("[settings]\nbatch_size = 2", "it holds no limit"),
    ("[settings]\nbatchsize = 2\n[limits]\nai = 1", "did you mean 'batch_size'"),
    ("[settings]\nbatch_size = true\n[limits]\nai = 1", "batch_size = True is not a whole number"),
    ("[settings]\ncompiled = 1\n[limits]\nai = 1", "compiled = 1 is not true or false"),
    ("[settings]\ndtype = 16\n[limits]\nai = 1", "dtype = 16 is not text"),
    ("limits = 3", "limits is a table"),
    ("[case]\nname = 'x'", r"written \[\[case\]\]"),
    ("[[case]]\nname = 'x'", r"\[\[case\]\] x holds no limit"),
    ("[[case]]\nnam = 'x'\nlimits = {ai = 1}", "did you mean 'name'"),
    ("[[case]]\nname = 'x'\nlimits = {ai = 1}\n[[case]]\nname = 'x'\nlimits = {ai = 1}", "two cases are called 'x'"),
    ("[[case]]\nmodels = 3\nlimits = {ai = 1}", "a pattern or a list"),
    ("[models.x]\nparams = 3", r"unknown key 'params' in \[models.'x'\]"),
    ("[limits\n", "is not TOML: .*line 1"),
])  # fmt: skip
def test_mistakes_name_the_file_and_what_was_meant(tmp_path, text, message):
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, text)
    assert "budget.toml" in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(BadInput, match=r"cannot read the budget .*none.toml: No such file"):
        read_budget(tmp_path / "none.toml")


# --- judging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "value", "state", "headroom"), [
    ("params = 100", 100, "ok", 0.0), ("params = 100", 101, "broken", -1.0), ("params = 100", 75, "ok", 25.0),
    ("ai = 8", 8.0, "ok", 0.0), ("ai = 8", 7.0, "broken", -12.5), ("ai = {max = 8}", 9.0, "broken", -12.5),
    ("params = {equals = 5}", 5, "ok", None), ("params = {equals = 5}", 6, "broken", None),
    ('bound = {equals = "balanced"}', "balanced", "ok", None),
    ('bound = {equals = "balanced"}', "memory-bound", "broken", None),
    ("ai = 8", None, "unknown", None), ("ai = 8", float("nan"), "unknown", None), ("params = 0", 0, "ok", None),
])  # fmt: skip
def test_verdicts(tmp_path, limit, value, state, headroom):
    key = limit.split(" ")[0]
    (verdict,) = verdicts(tmp_path, f"[limits]\n{limit}", profile(**{key: value}))
    assert verdict.state == state
    if headroom is not None:
        assert verdict.headroom_pct == pytest.approx(headroom)


@pytest.mark.parametrize(("limit", "value", "state"), [
    ("macs = 100", 99, "unknown"),  # at least 99: may be 101
    ("macs = 100", 101, "broken"),  # at least 101
    ("macs = {min = 100}", 101, "ok"), ("macs = {min = 100}", 99, "unknown"), ("macs = {equals = 99}", 99, "unknown"),
    ("bytes_per_flop = 1", 0.9, "ok"),  # at most 0.9
    ("bytes_per_flop = 1", 1.1, "unknown"),
    ("ai = 8", 9.0, "ok"), ("ai = 8", 7.0, "unknown"), ("ai = {max = 8}", 9.0, "broken"),
    ('bound = {equals = "balanced"}', "balanced", "unknown"), ("compute_bound_pct = 5", 9.0, "unknown"),
    ("params = 100", 99, "ok"), ("traffic_bytes = 100", 101, "broken"),
])  # fmt: skip
def test_lower_bounds_pass_only_what_they_prove(tmp_path, limit, value, state):
    key = limit.split(" ")[0]
    (verdict,) = verdicts(tmp_path, f"[limits]\n{limit}", profile(uncounted={"my.op": 1}, **{key: value}))
    assert verdict.state == state


def test_every_metric_of_a_partial_profile_has_a_certainty():
    for metric in METRICS.values():
        assert certainty(metric, 1.0, False) == "exactly"
        if metric.at_least:
            assert certainty(metric, 1.0, True) == "at least"
        assert certainty(metric, None, True) == "not"


def test_relative_limits_follow_the_baseline(tmp_path):
    case = read(tmp_path, '[limits]\nparams = "+2%"\nai = "-5%"').cases[0]
    row = {"name": "net", "input_shape": [1, 3, 8, 8], "batch_size": 1, "dtype": "fp32", "mode": "eval",
           "convention": "total", "params": 100, "ai": 8.0}  # fmt: skip
    before = Baseline("old.json", ({**row, "dtype": "fp16", "params": 1}, row))
    states = [v.state for v in judge(profile(params=102, ai=7.6), case, before)]
    assert states == ["ok", "ok"]
    assert [v.state for v in judge(profile(params=103, ai=7.59), case, before)] == ["broken", "broken"]
    assert [v.state for v in judge(profile("other", params=1, ai=99.0), case, before)] == ["unknown", "unknown"]
    assert [v.target for v in judge(profile(params=1, ai=1.0), case, before)] == [pytest.approx(102), 7.6]


def test_predictions_are_compared_on_the_same_machine_only():
    limit = Limit(METRICS["latency_ms"], "max", 1.1, relative=True)
    case = Case("", Settings(hardware="h100"), {"latency_ms": (limit,)})
    row = {"name": "net", "input_shape": [1, 3, 8, 8], "batch_size": 1, "dtype": "fp32", "mode": "eval",
           "convention": "total", "latency_ms": 2.0, "hardware": "h100", "level": "calibrated",
           "compiled": False}  # fmt: skip
    machine = Machine("h100", "H100", "calibrated", False, "fp32", 1e12, None, 1e12, 10**9)
    found = replace(profile(latency_ms=2.1), machine=machine)
    assert judge(found, case, Baseline("x", (row,)))[0].state == "ok"
    for other in ({"hardware": "a100"}, {"level": "datasheet"}, {"compiled": True}):
        assert judge(found, case, Baseline("x", ({**row, **other},)))[0].state == "unknown"


# --- reports -----------------------------------------------------------------------------------


@pytest.fixture
def nasty():
    """One limit kept, one broken and a failure, under a name that means something everywhere."""
    ends = {"params": (Limit(METRICS["params"], "max", 5.0),), "ai": (Limit(METRICS["ai"], "min", 8.0),)}
    case = Case(f"case {NASTY}", Settings(), ends)
    failed = ModelFailure(f"bad {NASTY}", "BuildError", f"message {NASTY}")
    return [report.checked(case, profile(NASTY, params=6, ai=9.0)), report.checked(case, failed)]


def test_junit_is_read_back(nasty):
    suites = ET.fromstring(report.junit(nasty).encode("utf-8"))
    assert suites.tag == "testsuites"
    first, second = suites
    assert (first.get("tests"), first.get("failures"), first.get("errors")) == ("2", "1", "0")
    assert (second.get("tests"), second.get("failures"), second.get("errors")) == ("1", "0", "1")
    params, ai = first
    assert params.find("failure").get("type") == "broken"
    assert "params is 6, must be ≤ 5" in params.find("failure").text
    assert ai.find("failure") is None
    assert params.get("classname").startswith("a,b:c%\n<&\"'>")
    assert second[0].find("error").get("type") == "BuildError"


def unescaped(text):
    for code, sign in (("%0A", "\n"), ("%0D", "\r"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def test_github_commands_are_escaped(nasty):
    lines = report.github("my,budget.toml", nasty).splitlines()
    assert len(lines) == 3  # a line each, whatever the names hold
    found = [re.fullmatch(r"::(error|notice) file=([^,:]*),title=([^,:]*)::(.*)", line) for line in lines]
    assert [m[1] for m in found] == ["error", "error", "notice"]
    assert {unescaped(m[2]) for m in found} == {"my,budget.toml"}
    assert unescaped(found[0][3]) == f"{NASTY}: params BROKEN"
    assert unescaped(found[1][4]) == f"message {NASTY}"
    assert found[2][4] == "1 of 2 limits hold; 1 broken; 1 not profiled"
    assert "%0A" in lines[0]
    assert "c%25" in lines[0]


def test_a_hairs_breadth_is_not_rounded_to_nothing(tmp_path):
    (verdict,) = verdicts(tmp_path, '[limits]\nparams = "30M"', profile(params=30_000_100))
    assert report.headroom_text(verdict) == "-0.0003%"
    assert verdict.state == "broken"


def test_an_unknown_figure_says_what_is_missing(tmp_path):
    (verdict,) = verdicts(tmp_path, '[limits]\nlatency_ms = "4 ms"', profile(latency_ms=None))
    assert verdict.state == "unknown"
    assert "name one with hardware" in report.sentence(verdict)


# --- the command -------------------------------------------------------------------------------


def test_a_kept_budget_is_0_and_a_broken_one_1(cli, tmp_path):
    path = written(tmp_path, '[limits]\nparams = "12M"\nai = 8')
    code, out, err = cli("check", "resnet18", "--budget", path)
    assert (code, err) == (0, "")
    assert "2 of 2 limits hold" in out
    code, out, _ = cli("check", "resnet18", "mobilenet_v2", "--budget", path)
    assert code == 1
    assert re.search(r"mobilenet_v2 +ai +3\.\d+ +≥ 8\.00 +-5\d\.\d% +BROKEN", out)
    assert "3 of 4 limits hold; 1 broken" in out


def test_tables_fit_80_columns(cli, tmp_path):
    path = written(tmp_path, '[limits]\npeak_memory = "1MB"\nbound = {equals = "compute-bound"}\nai = 1')
    name = "timm:vit_base_patch16_224"
    code, out, _ = cli("check", name, "mobilenet_v2", "--budget", path)
    assert code == 1
    assert all(len(line) <= 80 for line in out.splitlines())


def test_options_override_settings(cli, tmp_path):
    path = written(tmp_path, "[settings]\nbatch_size = 1\n[limits]\nai = 35")
    assert cli("check", "resnet18", "--budget", path)[0] == 1
    assert cli("check", "resnet18", "--budget", path, "--batch-size", "64")[0] == 0


def test_a_broken_model_breaks_the_budget(cli, tmp_path, net_file):
    path = written(tmp_path, "[limits]\nparams = 1e6")
    code, out, err = cli("check", f"{net_file}:raises", f"{net_file}:build", "--budget", path, "-i", "3x32x32")
    assert code == 1
    assert "no [bold]such[/bold] luck" in err
    assert "1 of 1 limits hold; 1 not profiled" in out


def test_an_operation_without_a_formula_never_passes_silently(cli, tmp_path):
    net = tmp_path / "own.py"
    net.write_text("""
import torch
from torch import nn
lib = torch.library.Library("budgettest", "FRAGMENT")
lib.define("twice(Tensor x) -> Tensor")
lib.impl("twice", lambda x: torch.empty_like(x), "Meta")
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, x):
        return torch.ops.budgettest.twice(self.conv(x))
""")
    path = written(tmp_path, '[limits]\nmacs = "1G"\nparams = "1M"')
    code, out, _ = cli("check", f"{net}:Net", "--budget", path, "-i", "3x32x32")
    assert code == 1
    assert re.search(r"macs +≥.* unknown", out)
    assert "1 of 2 limits hold; 1 unknown" in out


def test_usage_errors_are_2_and_one_line(cli, tmp_path):
    path = written(tmp_path, "[limits]\nparms = 3")
    other = tmp_path / "other.toml"
    other.write_text('[models."vit*".limits]\nparams = 3')
    relative = tmp_path / "relative.toml"
    relative.write_text('[limits]\nparams = "+2%"')
    for arguments, message in (
        (["--budget", path], "did you mean 'params'"),
        (["--budget", tmp_path / "none.toml"], "No such file"),
        (["--budget", other], "has no limit for resnet18"),
        (["--budget", relative], "add --baseline"),
        (["--budget", relative, "--baseline", relative], "is not JSON"),
        (["--budget", relative, "--format", "xml"], "unknown format"),
    ):
        code, out, err = cli("check", "resnet18", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1


def test_a_former_export_is_a_baseline(cli, tmp_path):
    path = written(tmp_path, '[limits]\nparams = "+0%"\ntraffic_bytes = {max = "+1%"}')
    old = tmp_path / "old.json"
    assert cli("resnet18", "--format", "json", "--output", old)[0] == 0
    assert cli("check", "resnet18", "--budget", path, "--baseline", old)[0] == 0
    document = json.loads(old.read_text())
    document["models"][0]["params"] -= 1
    old.write_text(json.dumps(document))
    code, out, _ = cli("check", "resnet18", "--budget", path, "--baseline", old)
    assert code == 1
    assert re.search(r"params .*\(\+0%\) .*BROKEN", out)


def test_formats(cli, tmp_path):
    path = written(tmp_path, '[limits]\nparams = "1M"')
    found = json.loads(cli("check", "resnet18", "--budget", path, "--format", "json")[1])
    assert found["holds"] is False
    assert found["models"][0]["checks"] == [
        {"metric": "params", "relation": "max", "limit": 1e6, "value": RESNET18, "known": "exactly",
         "headroom_pct": pytest.approx(100 * (1e6 - RESNET18) / 1e6), "state": "broken"}
    ]  # fmt: skip
    target = tmp_path / "budget.xml"
    assert cli("check", "resnet18", "--budget", path, "--output", target)[0] == 1
    assert ET.parse(target).getroot()[0].get("failures") == "1"
    assert "| resnet18 | params | 11.7M | ≤ 1.00M |" in cli("check", "resnet18", "--budget", path, "-f", "markdown")[1]
    assert cli("check", "resnet18", "--budget", path, "-f", "github")[1].startswith("::error file=")


def test_latency_is_predicted_where_a_machine_is_named(cli, tmp_path):
    text = '[[case]]\nname = "fast enough"\nhardware = "h100"\ndtype = "fp16"\nbatch_size = 8\n'
    text += 'limits = {latency_ms = "1 s", throughput = 8}\n[[case]]\nhardware = "h100"\nlimits = {latency_ms = "1ns"}'
    with pytest.raises(BadInput, match="no amount of latency_ms"):
        read(tmp_path, text)
    path = written(tmp_path, text.replace("1ns", "0.001us"))
    code, out, err = cli("check", "resnet18", "--budget", path, "--format", "json")
    assert (code, err) == (1, "")
    first, second = json.loads(out)["models"]
    assert [c["state"] for c in first["checks"]] == ["ok", "ok"]
    assert [c["state"] for c in second["checks"]] == ["broken"]
    assert first["throughput"] == pytest.approx(8e3 / first["latency_ms"])
    assert first["hardware"] == "h100"


# --- the documentation -------------------------------------------------------------------------


def blocks(language):
    text = (ROOT / "docs" / "budgets.md").read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_documented_budgets_are_read(tmp_path):
    assert blocks("toml")
    for text in blocks("toml"):
        tomllib.loads(text)
        assert read(tmp_path, text).cases


def test_documented_pipelines_are_yaml_and_their_commands_exist():
    import shlex

    import yaml
    from modelcmp_cli.app import app
    from typer.main import get_command

    options = {o for p in get_command(app).commands["check"].params for o in p.opts}
    scripts = [yaml.safe_load(text) for text in blocks("yaml")]
    steps = scripts[0]["jobs"]["budget"]["steps"]
    commands = [s["run"] for s in steps if "run" in s] + scripts[1]["budget"]["script"]
    checks = [shlex.split(line) for c in commands for line in c.splitlines() if "compare-models check" in line]
    assert len(checks) >= 2
    for words in checks:
        assert {w for w in words if w.startswith("--")} <= options
    assert scripts[1]["budget"]["artifacts"]["reports"]["junit"] == "budget.xml"
