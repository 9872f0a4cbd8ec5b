"""What the documentation shows is what the code says."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_blocks_are_current(generate, cli, monkeypatch):
    """The commands run in this process: importing torch for each takes most of the time."""

    def run(command):
        code, out, err = cli(*shlex.split(command)[1:])
        assert code == 0, err
        return "".join(line.rstrip() + "\n" for line in out.splitlines())

    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(generate, "run", run)
    assert not generate.stale(), "run python docs/generate.py"


def test_generator_notices_a_change(generate):
    text = "<!-- generated: metrics -->\nold\n<!-- end -->"
    assert "traffic_bytes" in generate.filled(text)


def readme_commands():
    block = re.search(r"## What it does\n\n```sh\n(.*?)```", README, re.DOTALL)[1]
    lines = [line.split(" #")[0].strip() for line in block.splitlines()]
    return [line for line in lines if "--install-completion" not in line and "net.py" not in line]


def dump(run):
    """A dump as anyone's code writes it."""
    (run / "batch_dumps" / "epoch_001").mkdir(parents=True)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    state = {"model_state_dict": model.state_dict(), "loss": 1.0, "acc": 0.5}
    torch.save(state, run / "batch_dumps" / "epoch_001" / "batch_0010.pt")


@pytest.mark.parametrize("command", readme_commands())
def test_readme_commands_run(command, cli, tmp_path, monkeypatch):
    (tmp_path / "budget.toml").write_text('[limits]\nparams = "30M"\n')
    if " diff " in command:
        dump(tmp_path / "runA"), dump(tmp_path / "runB")
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(*shlex.split(command)[1:])
    assert code == 0, err
    assert out or "wrote" in err


def test_example_of_own_model_runs(tmp_path):
    """docs/api.md: the file, and the command below it."""
    api = (ROOT / "docs" / "api.md").read_text("utf-8")
    (tmp_path / "net.py").write_text(re.search(r"```python\n(# net.py.*?)```", api, re.DOTALL)[1])
    command = re.search(r"\$ compare-models (net.py.*)", api)[1]
    done = subprocess.run(
        [sys.executable, "-m", "modelcmp_cli", *shlex.split(command), "--format", "json"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = json.loads(done.stdout)["models"][0]
    # convolution 30x30x3x128x9, head 256x10
    assert model["macs"] == 30 * 30 * 3 * 128 * 9 + 256 * 10


def test_reference_script_runs_and_its_runs_are_compared(tmp_path):
    """docs/diffing.md: the script, twice, and the command; its verdict names what was planted."""
    text = (ROOT / "docs" / "diffing.md").read_text("utf-8")
    (tmp_path / "train_reference.py").write_text(re.search(r"```python\n(# train_reference.*?)```", text, re.DOTALL)[1])
    commands = re.search(r"## Compare.*?```sh\n(.*?)```", text, re.DOTALL)[1].splitlines()
    for command in commands:
        words = shlex.split(command)
        program = ["-m", "modelcmp_cli", *words[1:]] if words[0] == "compare-models" else words[1:]
        done = subprocess.run([sys.executable, *program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "B's weight decay is 0.1, A's 0" in " ".join(done.stdout.split())
    assert {"model_comparison.png", "layer_heatmap.png", "model_comparison.csv", "detailed_comparison.json"} == {
        p.name for p in (tmp_path / "diff").iterdir()
    }


def test_zoo_example_runs(own_cache):
    api = (ROOT / "docs" / "api.md").read_text("utf-8")
    scope = {"modelcmp": __import__("modelcmp")}
    exec(compile(re.search(r"```python\n(zoo = .*?)```", api, re.DOTALL)[1], "docs/api.md", "exec"), scope)
    assert len(scope["zoo"]) == 7
    assert list(own_cache.iterdir())


def test_python_example_runs():
    api = (ROOT / "docs" / "api.md").read_text("utf-8")
    scope = {}
    exec(
        compile(re.search(r"```python\n(import torch, modelcmp.*?)```", api, re.DOTALL)[1], "docs/api.md", "exec"),
        scope,
    )
    assert scope["p"].batch_size == 8
    assert [p.name for p in scope["c"]][-1] == "Sequential"
    assert not scope["c"].failures
