"""``compare-models diff``, as a user types it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
import yaml
from torch import nn

import modelcmp

PICTURES = {"model_comparison.png", "layer_heatmap.png"}


def run(folder, lr=0.1, steps=4, seed=0):
    """A run that dumps every step."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    draw = torch.Generator().manual_seed(1)
    with modelcmp.BatchDumper(folder, interval=1) as dumper:
        dumper.start(model, optimizer)
        for _ in range(steps):
            x, y = torch.randn(8, 1, 4, 4, generator=draw), torch.randint(0, 2, (8,), generator=draw)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            dumper.step(model, optimizer, loss=loss, acc=0.5, batch=(x, y))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """a, its rerun, and b with another learning rate."""
    folder = tmp_path_factory.mktemp("runs")
    for name, lr in (("a", 0.1), ("again", 0.1), ("b", 0.11)):
        run(folder / name, lr)
    return folder


def dumps(folder):
    return sorted(p for p in folder.rglob("batch_*.pt"))


def test_the_verdict_is_in_words_and_fits_80_columns(cli, runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = cli("diff", runs / "a", runs / "b")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "learning rate is 0.11, A's 0.1" in " ".join(out.split())
    assert "3.weight" in out


def test_exit_codes_serve_a_pipeline(cli, runs):
    assert cli("diff", runs / "a", runs / "b", "--fail-on", "divergence")[0] == 1
    assert cli("diff", runs / "a", runs / "again", "--fail-on", "divergence")[0] == 0
    assert cli("diff", runs / "a", runs / "b", "--fail-on", "divergence", "--rtol", "9", "--atol", "9")[0] == 0
    assert cli("diff", runs / "a", runs / "b", "--fail-on", "difference", "--rtol", "9", "--atol", "9")[0] == 1
    assert cli("diff", runs / "a", runs / "b", "--floor", runs / "again", "--fail-on", "divergence")[0] == 1


def test_all_outputs_are_written(cli, runs, tmp_path):
    code, _, err = cli("diff", runs / "a", runs / "b", "--filter", "mlp", "--output", tmp_path / "new" / "diff")
    assert code == 0
    assert "model_comparison.csv" in err
    assert {p.name for p in (tmp_path / "new" / "diff").iterdir()} == PICTURES | {
        "model_comparison.csv", "detailed_comparison.json"
    }  # fmt: skip
    table = pd.read_csv(tmp_path / "new" / "diff" / "model_comparison.csv")
    assert list(table["step"]) == [0, 1, 2, 3, 4]
    details = json.loads((tmp_path / "new" / "diff" / "detailed_comparison.json").read_text())
    assert details["schema"] == 1
    owners = {t["name"].partition("/")[0] for c in details["checkpoints"] for t in c["tensors"]}
    assert owners == {"3.weight", "3.bias", "5.weight", "5.bias"}
    for picture in PICTURES:
        assert (tmp_path / "new" / "diff" / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("style", ["json", "csv", "markdown"])
def test_formats_for_machines(cli, runs, style):
    code, out, _ = cli("diff", runs / "a", runs / "again", "--format", style)
    assert code == 0
    if style == "json":
        assert json.loads(out)["verdict"]["status"] == "identical"
    elif style == "csv":
        assert out.startswith("step,")
    else:
        assert out.startswith("Identical (0 ULP)")


def test_a_map_is_written_edited_and_used(cli, runs, tmp_path):
    """Two heads of one shape, and one run with other names: what the map says is compared."""
    state = torch.load(dumps(runs / "a")[-1], weights_only=True)["model_state_dict"]
    torch.save(state, tmp_path / "ours.pt")
    torch.save({f"net.{k}": v for k, v in state.items()}, tmp_path / "theirs.pt")
    code, out, _ = cli("diff", tmp_path / "ours.pt", tmp_path / "theirs.pt", "--write-map", tmp_path / "map.yaml")
    assert code == 0
    assert "IDENTICAL" in out
    written = yaml.safe_load((tmp_path / "map.yaml").read_text())
    assert {"a": "5.bias", "b": "net.5.bias"} in written["tensors"]
    (tmp_path / "map.yaml").write_text((tmp_path / "map.yaml").read_text().replace("b: net.3.bias", "b: net.3.bais"))
    code, _, err = cli("diff", tmp_path / "ours.pt", tmp_path / "theirs.pt", "--map", tmp_path / "map.yaml")
    assert code == 2
    assert "net.3.bias" in err
    assert "map.yaml:" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a", "nowhere"], 2, "there is no"),
        (["a", "b", "--filter", "layer9"], 2, "layer9"),
        (["a", "b", "--filter", "("], 2, "no regular expression"),
        (["a", "b", "--align", "epoch"], 2, "batch, step, auto"),
        (["a", "b", "--fail-on", "divergense"], 2, "did you mean 'divergence'"),
        (["a", "b", "--floor", "nowhere"], 2, "there is no"),
        (["a", "b", "--output", "file"], 2, "is a file"),
        (["a", "b", "--map", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["a", "file"], 1, "no checkpoint"),
        (["a", "."], 2, "name one of"),
    ],
)
def test_mistakes_get_one_line(cli, runs, monkeypatch, arguments, code, words):
    monkeypatch.chdir(runs)
    (runs / "file").write_text("hello there, this is a text\n" * 9)
    got, _, err = cli("diff", *arguments)
    assert got == code
    assert err.count("\n") == 1
    assert words in err


def test_what_is_damaged_is_named_and_strict_fails(cli, runs, tmp_path):
    shutil.copytree(runs / "b", tmp_path / "b")
    broken = dumps(tmp_path / "b")[2]
    broken.write_bytes(broken.read_bytes()[:-700])
    os.utime(broken, (1, 1))
    code, out, _ = cli("diff", runs / "a", tmp_path / "b")
    assert code == 0
    assert "1 file skipped" in out
    assert "batch_0002.pt" in "".join(out.split())
    code, _, err = cli("diff", runs / "a", tmp_path / "b", "--strict")
    assert code == 1
    assert "batch_0002.pt" in err


def test_nothing_in_common_is_a_failure(cli, tmp_path):
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pt")
    torch.save({"y": torch.ones(2, 2)}, tmp_path / "b.pt")
    code, out, _ = cli("diff", tmp_path / "a.pt", tmp_path / "b.pt")
    assert code == 1
    assert "NOTHING IN COMMON" in out


def test_follow_takes_up_what_comes_and_ends_with_the_result(runs, tmp_path):
    for name in "ab":
        shutil.copytree(runs / name, tmp_path / name)
        dumps(tmp_path / name)[-1].rename(tmp_path / f"late_{name}")
    program = [sys.executable, "-m", "modelcmp_cli", "diff", "a", "b", "--follow", "--every", "0.2", "-o", "out"]
    child = subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "4 pairs of dumps" in child.stderr.readline()
    for name in "ab":
        target = dumps(tmp_path / name)[-1].with_name("batch_0004.pt")
        (tmp_path / f"late_{name}").rename(target)
    assert "5 pairs of dumps" in child.stderr.readline()
    until = time.monotonic() + 60
    while not (tmp_path / "out" / "model_comparison.csv").exists() and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert "5 pairs" in out
    assert (tmp_path / "out" / "detailed_comparison.json").exists()


def test_the_python_function_is_the_same(runs):
    found = modelcmp.diff(runs / "a", runs / "b", filter="mlp", floor=runs / "again")
    assert found.verdict.status == "diverged"
    assert found.floor is not None
    assert modelcmp.diff(str(runs / "a"), str(runs / "b"), rtol=9, atol=9).verdict.status == "within tolerance"
