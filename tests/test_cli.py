"""The command line as people type it: results, formats, exit codes, errors in one line."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

from modelcmp.metrics import METRICS
from modelcmp.sources import SOURCES

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("resnet18", "mobilenet_v2")


def one_line(err):
    """The single line of an error."""
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


# -- the default command ----------------------------------------------------------------------


def test_a_mistyped_command_is_suggested(cli):
    for words, meant in ((["sweeep"], "sweep"), (["dif"], "diff")):
        code, _, err = cli(*words)
        assert code == 2
        assert f"`compare-models {meant}`" in err
    assert "command" not in cli("resnet1")[2]


def test_models_are_ranked_best_first(cli):
    code, out, _ = cli(*PAIR, "--sort-by", "params")
    assert code == 0
    assert out.index("mobilenet_v2") < out.index("resnet18")
    assert "🥇" in out
    code, out, _ = cli(*PAIR, "--sort-by", "ai")
    assert out.index("resnet18") < out.index("mobilenet_v2")
    assert "convention total" in out


def test_reverse(cli):
    _, out, _ = cli(*PAIR, "--sort-by", "params", "--reverse")
    assert out.index("resnet18") < out.index("mobilenet_v2")


def test_compare_is_the_default_command(cli):
    assert cli("compare", *PAIR)[1] == cli(*PAIR)[1]
    assert cli("--sort-by", "ai", *PAIR)[1] == cli(*PAIR, "--sort-by", "ai")[1]


@pytest.mark.parametrize("width", [80, 60, 200])
@pytest.mark.parametrize(
    "options", [(), ("--full",), ("--sort-by", "peak_memory"), ("--columns", ",".join(METRICS), "-H", "h100")]
)
def test_tables_fit_and_keep_the_names(cli, width, options):
    names = ("timm:vit_large_patch14_clip_quickgelu_224", "resnet18", "inception_v3")
    _, out, _ = cli(*names, *options, columns=width)
    assert max(cell_len(line) for line in out.splitlines()) <= width
    squeezed = "".join(out.split())
    assert "resnet18" in squeezed
    assert "…" not in out
    assert METRICS["ai"].short in out


def test_long_names_are_folded_not_cut(cli):
    _, out, _ = cli("timm:vit_large_patch14_clip_quickgelu_224", "--columns", "params")
    assert "timm:vit_large_patch14_clip_quickgelu_224" in out


def test_full_has_every_section(cli):
    _, out, _ = cli(*PAIR, "--full")
    for title in ("Model size", "Computational cost", "Memory traffic", "Arithmetic intensity", "Efficiency rankings"):
        assert title in out
    for entry in METRICS.values():
        assert entry.section == "latency" or entry.short in out


def test_chosen_columns_in_their_order(cli):
    _, out, _ = cli(*PAIR, "--columns", "depth,macs")
    header = next(line for line in out.splitlines() if "Model" in line)
    assert header.split() == ["Model", "Depth", "MACs"]


def test_input_sizes_are_shown_where_they_differ(cli):
    _, out, _ = cli("resnet18", "inception_v3")
    assert {"Input", "299", "224"} <= set(out.split())
    assert "Input" not in cli(*PAIR)[1]


@pytest.mark.parametrize("options", [(), ("--sort-by", "depth"), ("--sort-by", "peak_memory")])
def test_the_default_view_is_one_table(cli, options):
    """Narrow terminals lose a column, not the overview."""
    names = ("timm:vit_large_patch14_clip_quickgelu_224", "resnet18", "inception_v3")
    _, out, _ = cli(*names, *options)
    assert sum("Model" in line for line in out.splitlines()) == 1
    assert {"Params", "MACs", "AI", "Class"} <= set(out.split())


def test_a_bare_name_prefers_torchvision_and_says_so(cli):
    _, _, err = cli("resnet18", "alexnet", "vgg11")
    assert one_line(err) == "resnet18, vgg11: also in timm, as timm:NAME"


# -- files and formats --------------------------------------------------------------------------


def test_json_document(cli):
    code, out, _ = cli(*PAIR, "--format", "json")
    doc = json.loads(out)
    assert code == 0
    assert doc["schema"] == 1
    assert doc["conventions"]["flops"] == "total"
    assert {"tool", "environment", "conventions", "models", "errors"} <= set(doc)
    model = doc["models"][0]
    assert model["name"] == "resnet18"
    assert model["params"] == 11689512
    assert model["macs"] == 1814073344
    assert model["input_shape"] == [1, 3, 224, 224]
    assert set(METRICS) <= set(model)
    assert model["uncounted"] == {}


def test_csv_has_the_json_keys(cli):
    _, out, _ = cli(*PAIR, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [r["name"] for r in rows] == list(PAIR)
    assert rows[0]["traffic_bytes"] == "116950592"
    assert set(METRICS) <= set(rows[0])


def test_markdown_table(cli):
    _, out, _ = cli(*PAIR, "--format", "markdown")
    lines = out.splitlines()
    assert lines[0].startswith("| Model | Params |")
    assert len({line.count("|") for line in lines[:4]}) == 1


@pytest.mark.parametrize(("name", "start"), [("t.json", "{"), ("t.csv", "name,"), ("t.md", "| Model"), ("t.txt", "")])
def test_output_file_by_suffix(cli, tmp_path, name, start):
    path = tmp_path / name
    code, out, _ = cli("resnet18", "--output", path)
    assert (code, out) == (0, "")
    assert path.read_text().startswith(start)
    assert "resnet18" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == [name]


# -- layers -------------------------------------------------------------------------------------


def rows_of(cli, *arguments):
    return json.loads(cli("layers", *arguments, "--format", "json")[1])["models"][0]


def test_layers_sum_to_the_model(cli):
    model = rows_of(cli, "resnet18")
    for key in ("macs", "flops", "traffic_bytes", "params"):
        assert sum(row[key] for row in model["layer_rows"]) == model[key]
    assert sum(row["macs_pct"] for row in model["layer_rows"]) == pytest.approx(100)


def test_ops_sum_to_the_model(cli):
    model = rows_of(cli, "swin_t", "--ops")
    for key in ("macs", "flops", "traffic_bytes", "input_bytes"):
        assert sum(row[key] for row in model["ops"]) == model[key]


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_depth_merges_layers(cli, depth):
    model = rows_of(cli, "resnet18", "--depth", depth)
    assert sum(row["macs"] for row in model["layer_rows"]) == model["macs"]
    assert sum(row["params"] for row in model["layer_rows"]) == model["params"]
    assert max(row["module"].count(".") for row in model["layer_rows"]) < max(depth, 1)


def test_top_by(cli):
    rows = rows_of(cli, "resnet18", "--top", 3, "--by", "params")["layer_rows"]
    assert [r["module"] for r in rows] == ["layer4.0.conv2", "layer4.1.conv1", "layer4.1.conv2"]


def test_layer_table_fits(cli):
    for width in (60, 80, 160):
        _, out, _ = cli("layers", "vit_b_16", columns=width)
        assert max(cell_len(line) for line in out.splitlines()) <= width


# -- list ---------------------------------------------------------------------------------------


def test_list_is_what_the_packages_say(cli):
    import timm
    import torchvision

    _, out, _ = cli("list", "torchvision:*")
    assert out.split() == sorted(torchvision.models.list_models())
    assert set(SOURCES["timm"].names()) == set(timm.list_models())


def test_list_pattern(cli):
    _, out, _ = cli("list", "timm:vit_tiny*224")
    assert "timm:vit_tiny_patch16_224" in out.split()
    code, out, err = cli("list", "nothing_like_this")
    assert (code, out) == (1, "")
    assert "no model matches" in err


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet81"], ["resnet81", "did you mean 'resnet18'"]),
        (["timm:vit_tinny_patch16_224"], ["vit_tiny_patch16_224"]),
        (["[red]x[/red]"], ["[red]x[/red]"]),
        (["resnet18", "--sort-by", "parms"], ["metric", "'params'"]),
        (["resnet18", "--columns", "macs,nope"], ["metric", "'nope'"]),
        (["resnet18", "--format", "xml"], ["xml", "json"]),
        (["resnet18", "--convention", "fvcor"], ["'fvcore'"]),
        (["resnet18", "--mode", "training"], ["'train'"]),
        (["resnet18", "--dtype", "int3"], ["int3", "fp32"]),
        (["resnet18", "--batch-size", "0"], ["batch size 0"]),
        (["resnet18", "--batch-size", "many"], ["--batch-size", "integer"]),
        (["resnet18", "--input-size", "big"], ["'big'", "3x224x224"]),
        (["resnet18", "--input-size", "1x2x3x4x5"], ["more dimensions"]),
        (["resnet18", "--kwargs", "{x"], ["--kwargs", "JSON"]),
        (["resnet18", "--kwargs", "[1]"], ["--kwargs", "object"]),
        (["resnet18", "--bogus"], ["--bogus"]),
        (["no_such_file.py:f"], ["no_such_file.py", "path/to/file.py"]),
        (["no.such.module:f"], ["no.such.module"]),
        (["layers"], ["Usage"]),
        (["layers", "resnet18", "--ops", "--depth", "1"], ["--ops"]),
        (["layers", "resnet18", "--by", "colour"], ["figure", "colour"]),
    ],
)
def test_usage_errors_exit_2_in_one_line(cli, arguments, words):
    code, out, err = cli(*arguments)
    if words == ["Usage"]:
        assert "Usage" in out + err
        return
    assert code == 2
    assert out == ""
    line = one_line(err)
    assert line.startswith("error: ")
    for word in words:
        assert word in line


def test_output_that_is_a_directory(cli, tmp_path):
    code, _, err = cli("resnet18", "--output", tmp_path)
    assert code == 1
    assert "directory" in one_line(err)
    code, _, err = cli("resnet18", "--output", tmp_path / "no" / "t.csv")
    assert "create it first" in one_line(err)


def test_a_factory_that_raises_leaves_the_others(cli, net_file):
    code, out, err = cli(f"{net_file}:raises", f"{net_file}:build", "--input-size", "3x8x8", columns=200)
    assert code == 1
    assert "no [bold]such[/bold] luck" in err
    assert "failed" in out
    assert f"{net_file}:build" in out
    code, out, _ = cli(f"{net_file}:raises", f"{net_file}:build", "-i", "3x8x8", "--format", "json")
    doc = json.loads(out)
    assert code == 1
    assert [e["error"] for e in doc["errors"]] == ["BuildError"]
    assert len(doc["models"]) == 1


def test_inputs_that_do_not_fit_name_the_module_and_shapes(cli, net_file):
    code, _, err = cli(f"{net_file}:build", "--input-size", "4x8x8")
    assert code == 1
    assert "'conv' (Conv2d)" in err
    assert "1x4x8x8" in err


def test_factories(cli, net_file):
    macs = {}
    for name in ("Net", "build", "READY"):
        _, out, _ = cli(f"{net_file}:{name}", "-i", "3x8x8", "--format", "json")
        macs[name] = json.loads(out)["models"][0]["macs"]
    # 8x8 positions, 27 inputs and width outputs; then the head
    assert macs == {"Net": 64 * 27 * 8 + 16, "build": 64 * 27 * 8 + 16, "READY": 64 * 27 * 4 + 8}
    _, out, _ = cli(f"{net_file}:build", "-i", "3x8x8", "--kwargs", '{"width": 16}', "--format", "json")
    assert json.loads(out)["models"][0]["macs"] == 64 * 27 * 16 + 32


@pytest.mark.parametrize(
    ("name", "words", "code"),
    [
        ("biuld", "did you mean 'build'", 2),
        ("NUMBER", "is a int", 2),
        ("not_a_module -i 3", "not an nn.Module", 1),
        ("build", "--input-size", 2),
    ],
)
def test_wrong_factories(cli, net_file, name, words, code):
    got, _, err = cli(*f"{net_file}:{name}".split())
    assert got == code
    assert words in err


def test_uncounted_is_at_least_and_strict(cli, tmp_path):
    (tmp_path / "odd.py").write_text(
        "import torch\nfrom torch import nn\n"
        "lib = torch.library.Library('modelcmp_cli_test', 'DEF')\n"
        "lib.define('odd(Tensor x) -> Tensor')\n"
        "lib.impl('odd', lambda x: torch.empty_like(x), 'CompositeExplicitAutograd')\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.fc = nn.Linear(4, 4)\n"
        "    def forward(self, x):\n        return torch.ops.modelcmp_cli_test.odd(self.fc(x))\n"
    )
    code, out, err = cli(f"{tmp_path}/odd.py:Net", "-i", "1x4", columns=160)
    assert code == 0
    assert "≥16" in out
    assert "modelcmp_cli_test.odd (x1)" in err
    assert cli(f"{tmp_path}/odd.py:Net", "-i", "1x4", "--strict")[0] == 1


def test_help_has_examples(cli):
    for command in ("compare", "layers", "list", "audit"):
        code, out, _ = cli(command, "--help")
        assert code == 0
        assert "Examples" in out
        assert "compare-models" in out
    assert "Examples" in cli("--help")[1]
    assert cli("--version")[1].startswith("modelcmp ")


# -- as a process --------------------------------------------------------------------------------


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "modelcmp_cli", *arguments], capture_output=True, text=True, timeout=120, **options
    )


def test_launcher_in_the_checkout(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli" / "compare_models.py"), "resnet18", "--columns", "params"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert "11.7M" in done.stdout


def test_debug_shows_the_traceback():
    done = program("resnet81", "--debug")
    assert "Traceback" in done.stderr
    assert "did you mean 'resnet18'" in done.stderr.splitlines()[-1]
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("compare-models resnet1", "resnet18"),
        ("compare-models lay", "layers"),
        ("compare-models layers timm:vit_tiny_p", "timm:vit_tiny_patch16_224"),
        ("compare-models resnet18 --sort-by peak_m", "peak_memory"),
    ],
)
def test_shell_completion(words, expected):
    env = {
        **os.environ,
        "_COMPARE_MODELS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    assert expected in program(env=env).stdout.split()


def test_interrupt_exits_130_without_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "modelcmp_cli", "fasterrcnn_resnet50_fpn_v2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m modelcmp_cli list | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    assert "Traceback" not in done.stderr


def test_progress_goes_to_a_terminal_only():
    assert "\x1b" not in program("resnet18", env={**os.environ, "TERM": "xterm"}).stderr
    leader, follower = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "modelcmp_cli", "resnet18", "--format", "csv"],
        stdout=subprocess.PIPE, stderr=follower, env={**os.environ, "TERM": "xterm"}, check=True,
    )  # fmt: skip
    os.close(follower)
    assert b"\x1b[" in os.read(leader, 65536)
    assert b"\x1b" not in done.stdout
