"""The commands around training, as a user types them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from modelcmp.tracking.reading import open_session
from modelcmp.training.evaluation.predictions import load_predictions
from modelcmp.training.results import load_result

YAML = """\
models: [mlp, {name: cnn, kwargs: {width: 4}}]
data: {name: digits, kwargs: {size: 8}}
epochs: 2
batch_size: 200
optimizer: {name: adam, lr: 0.01}
dump_interval: 6
trackers: [tensorboard]
tags: [tiny]
"""
PICTURES = ("training_curves", "metrics", "confusion_matrices", "roc_curves")


def command(*arguments, **keywords):
    program = [sys.executable, "-m", "modelcmp_cli", *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace, and what the terminal showed."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "x.yaml").write_text(YAML)
    child = command("train", "--config", "x.yaml", "--out-dir", "w", cwd=folder, env={**os.environ, "COLUMNS": "80"})
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    return folder / "w", out, err


def test_train_ranks_with_medals_and_says_what_was_equal(trained):
    _, out, err = trained
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("🥇" in line for line in lines)
    assert "What was equal" in out
    assert "All models had the same settings" in out
    assert "mlp: epoch 2/2" in err  # plain lines where there is no terminal
    assert "cnn: epoch 2/2" in err


def test_all_outputs_are_there_and_open(trained):
    workspace = trained[0]
    for name in PICTURES:
        assert (workspace / f"comparison_{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((workspace / "model_comparison_summary.csv").open(encoding="utf-8")))
    summary = json.loads((workspace / "model_comparison_summary.json").read_text("utf-8"))
    assert {r["name"] for r in rows} == {r["name"] for r in summary["runs"]} == {"mlp", "cnn"}
    for label in ("mlp", "cnn"):
        weights = torch.load(workspace / "trained_models" / f"{label}_comparison.pt", weights_only=True)
        assert all(isinstance(t, torch.Tensor) for t in weights.values())
        result = load_result(workspace / f"comparison-{label}")
        assert sum(t.numel() for t in weights.values()) == result.params


def test_the_session_tells_the_whole_story(trained):
    session = open_session(trained[0] / "comparison-mlp")
    assert not session.problems
    assert (session.name, session.workspace) == ("comparison-mlp", "w")
    assert set(session.tags) == {"comparison", "mlp", "digits", "tiny"}
    assert session.params["architecture"] == "mlp"
    assert session.params["config.optimizer.lr"] == 0.01
    assert session.params["environment.packages.torch"]
    steps = session.tracks["train"]
    assert [row["step"] for row in steps] == list(range(1, 15))
    assert [row["epoch"] for row in steps] == [1] * 7 + [2] * 7
    assert [row["epoch"] for row in session.tracks["val"]] == [1, 2]
    assert [row["message"] for row in session.logs][-1] == "finished"
    assert list((trained[0] / "comparison-mlp").rglob("events.out.tfevents*"))


def test_the_dreamlake_package_reads_a_trained_run(trained, tmp_path):
    from dreamlake.episode import Episode

    shutil.copytree(trained[0], tmp_path / "w")  # it notes that it was there
    result = load_result(trained[0] / "comparison-mlp")
    with Episode(prefix="w/comparison-mlp", root=str(tmp_path)) as episode:
        assert episode.params.get()["config.optimizer.lr"] == 0.01
        rows = [point["data"] for point in episode.track("metrics").read()["data"]]
        assert [row["val_accuracy"] for row in rows] == [row["val_accuracy"] for row in result.history]
        (entry,) = episode.files.list(path="/models")
        episode.file(file_id=entry["id"], dest_path=str(tmp_path / "best.pt")).download()
    best = (trained[0] / "trained_models" / "mlp_comparison.pt").read_bytes()
    assert (tmp_path / "best.pt").read_bytes() == best


def test_dumps_are_plain_checkpoints(trained):
    folder = trained[0] / "comparison-mlp" / "batch_dumps"
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.pt"))
    assert files == ["epoch_001/batch_0000.pt", "epoch_001/batch_0006.pt", "epoch_002/batch_0006.pt"]
    dump = torch.load(folder / files[1], weights_only=True)
    assert {"model_state_dict", "optimizer_state_dict", "loss", "acc", "epoch", "batch"} <= dump.keys()
    row = open_session(folder.parent).tracks["train"][5]
    assert (dump["loss"], dump["acc"], dump["step"]) == (row["loss"], row["accuracy"], 6)


def test_accuracy_is_that_of_the_saved_predictions_and_of_the_saved_weights(trained):
    from modelcmp.training.data import load_data
    from modelcmp.training.models import MODELS

    data = load_data("digits", size=8)
    model = MODELS["mlp"].build(data.shape, data.outputs)
    model.load_state_dict(torch.load(trained[0] / "trained_models" / "mlp_comparison.pt", weights_only=True))
    x, y = data.test.batch(torch.arange(len(data.test)))
    with torch.no_grad():
        accuracy = float((model.eval()(x).argmax(1) == y).double().mean())
    result = load_result(trained[0] / "comparison-mlp")
    kept = load_predictions(trained[0] / "comparison-mlp" / "predictions" / "test.npz")
    assert result.test["accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert np.array_equal(kept.targets, y.numpy())
    assert result.settings["data_digest_test"]


def test_rank_orders_by_any_key(trained, cli):
    code, out, _ = cli("rank", trained[0], "--by", "params", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert code == 0
    assert float(rows[0]["params"]) < float(rows[1]["params"])
    assert cli("rank", trained[0], "--by", "val_acuracy")[0] == 2
    code, out, _ = cli("rank", trained[0] / "comparison-mlp", trained[0] / "comparison-cnn", "--by", "val_accuracy")
    assert code == 0
    assert "🥇" in out
    code, _, err = cli("rank", trained[0].parent / "nowhere")
    assert (code, "does not exist" in err) == (2, True)


def test_evaluate_finds_the_same_figures_again(trained, cli):
    run = trained[0] / "comparison-mlp"
    before = load_result(run)
    assert cli("evaluate", run)[0] == 0
    assert load_result(run) == before
    (run / "predictions" / "test.npz").unlink()
    assert cli("evaluate", run, "--from-weights")[0] == 0
    assert load_result(run).test["confusion"] == before.test["confusion"]
    assert load_result(run).test["loss"] == pytest.approx(before.test["loss"], rel=1e-5)


def test_evaluate_goes_on_where_one_run_cannot_be_read(trained, cli):
    file = trained[0] / "comparison-cnn" / "predictions" / "val.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    try:
        code, out, err = cli("evaluate", trained[0])
    finally:
        file.write_bytes(whole)
    assert code == 1
    assert "--from-weights` makes them again" in err
    assert "mlp" in out


def test_an_occupied_workspace_is_refused_and_nothing_in_it_changes(trained, cli):
    folder = trained[0].parent
    before = {p: p.stat().st_mtime_ns for p in trained[0].rglob("*") if p.is_file()}
    code, _, err = cli("train", "--config", folder / "x.yaml", "--epochs", "3", "--out-dir", trained[0])
    assert (code, "another config (epochs: 2 there, 3 here)" in err, "--force" in err) == (2, True, True)
    code, _, err = cli("train", "--config", folder / "x.yaml", "--out-dir", trained[0])
    assert (code, "--resume" in err) == (2, True)
    assert {p: p.stat().st_mtime_ns for p in trained[0].rglob("*") if p.is_file()} == before


def test_verify_says_bitwise_equal(trained, cli):
    code, out, _ = cli("verify", trained[0] / "comparison-cnn", "--steps", "3")
    assert (code, out.strip()) == (0, "cnn: bitwise equal over 3 steps, trained twice")


def test_verify_names_what_differs(tmp_path, cli):
    (tmp_path / "net.py").write_text(
        "import itertools, torch\nfrom torch import nn\ncalls = itertools.count()\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__()\n        self.first, self.head = nn.Linear(64, 8), nn.Linear(8, num_classes)\n"
        "    def forward(self, x):\n"
        "        h = self.first(x.flatten(1))\n"
        "        return self.head(h + (1e-3 if x.is_cpu and next(calls) == 6 else 0))\n"  # 4 steps, then the third
    )
    (tmp_path / "x.yaml").write_text(
        "models: [net.py:Net]\ndata: {name: digits, kwargs: {size: 8}}\nbatch_size: 64\noptimizer: sgd\nlr: 0.1\n"
    )
    child = command("verify", "x.yaml", "--steps", "4", cwd=tmp_path)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 1, err
    assert out.startswith("net-Net: differs at step 3, first in loss")


def test_a_diverging_model_is_stopped_and_the_others_go_on(tmp_path, cli):
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Bad(nn.Module):\n"
        "    def __init__(self, num_classes):\n        super().__init__()\n"
        "        self.head = nn.Linear(64, num_classes)\n"
        "        self.register_buffer('calls', torch.zeros(()))\n"
        "    def forward(self, x):\n"
        "        self.calls += self.training\n"
        "        return self.head(x.flatten(1)) * torch.where(self.calls > 3, torch.nan, 1.0)\n"
    )
    code, out, _ = cli(
        "train", "-m", f"{tmp_path}/net.py:Bad", "-m", "mlp", "--set", "data.kwargs.size=8", "--epochs", "1",
        "-b", "128", "-o", tmp_path / "w",
    )  # fmt: skip
    assert code == 1
    assert "net-Bad diverged: the loss became nan at step 4 (epoch 1)" in out
    assert load_result(tmp_path / "w" / "comparison-mlp").status == "finished"


def test_a_model_that_raises_in_training_is_named_and_the_others_go_on(tmp_path, cli):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Full(nn.Linear):\n"
        "    def __init__(self, num_classes):\n        super().__init__(64, num_classes)\n"
        "    def forward(self, x):\n"
        "        if self.training and x.is_cpu:\n"
        "            raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes')\n"
        "        return super().forward(x.flatten(1))\n"
    )
    code, out, _ = cli(
        "train", "-m", f"{tmp_path}/net.py:Full", "-m", "mlp", "--set", "data.kwargs.size=8", "--epochs", "1",
        "-b", "128", "-o", tmp_path / "w", "--quiet",
    )  # fmt: skip
    assert code == 1
    assert "ran out of memory at batch size 128: try --batch-size 64" in " ".join(out.split())
    assert load_result(tmp_path / "w" / "comparison-mlp").status == "finished"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "resnt18"], "did you mean 'resnet18'"),
        (["-m", "resnet18"], "set `data: {name: digits, kwargs: {channels: 3}}`"),
        (["-m", "timm:vit_tiny_patch16_224"], "img_size: 32"),
        (["-m", "simple_cnn3d"], "simple_cnn3d takes volumes"),
        (["-m", "cnn", "--data", "nosuch"], "unknown data set 'nosuch'"),
        (["-m", "cnn", "--set", "optimizer.momentm=1"], "takes no 'momentm'"),
        (["-m", "cnn", "--set", "optimizer=adm"], "did you mean 'adam'"),
        (["-m", "cnn", "--set", "scheduler=cosin"], "did you mean 'cosine'"),
        (["-m", "cnn", "--set", "loss=mse"], "unknown loss"),
        (["-m", "cnn", "--set", "loss=bce"], "does not go with data of 10 classes"),
        (["-m", "cnn", "--set", "augment=flp"], "did you mean 'flip'"),
        (["-m", "cnn", "--set", "precision=fp16"], "needs a CUDA device"),
        (["-m", "cnn", "--set", "trackers=[mlfow]"], "did you mean 'mlflow'"),
        (["--recipe", "quickstat"], "did you mean 'quickstart'"),
        (["--config", "nosuch.yaml"], "no file 'nosuch.yaml'"),
        (["--epochs", "3"], "nothing to train"),
        (["-m", "cnn", "--resume", "w"], "leave the other settings out"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_is_written(arguments, words, tmp_path, cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("train", *arguments, *([] if "--resume" in arguments else ["-o", "w"]))
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_missing_data_says_how_to_get_it(tmp_path, cli):
    code, _, err = cli("train", "-m", "cnn", "--data", "cifar10", "-o", tmp_path / "w")
    assert code == 1
    assert "download: true" in err


def test_a_setting_that_torch_refuses_has_its_line(tmp_path, cli):
    path = tmp_path / "x.yaml"
    path.write_text("models: [mlp]\noptimizer:\n  name: adam\n  momentm: 1\n")
    assert "x.yaml:4: optimizer adam takes no 'momentm'" in cli("train", "-c", path, "-o", tmp_path / "w")[2]


@pytest.mark.slow
def test_side_by_side_trains_the_same(trained, tmp_path):
    (tmp_path / "x.yaml").write_text(YAML.replace("trackers: [tensorboard]\n", "threads: 1\n"))
    child = command("train", "-c", "x.yaml", "-o", "w", "--jobs", "2", "--format", "json", cwd=tmp_path)
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    assert {r["name"] for r in json.loads(out)["runs"]} == {"mlp", "cnn"}
    for label in ("mlp", "cnn"):
        files = [p.name for p in (tmp_path / "w" / f"comparison-{label}" / "batch_dumps").rglob("batch_*")]
        assert sorted(files) == ["batch_0000.pt", "batch_0006.pt", "batch_0006.pt"]
    mine = load_result(tmp_path / "w" / "comparison-mlp")
    theirs = load_result(trained[0] / "comparison-mlp")
    assert mine.settings["order_digest"] == theirs.settings["order_digest"]
    assert mine.history[-1]["val_loss"] == pytest.approx(theirs.history[-1]["val_loss"], rel=1e-3)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits_with_its_number(number, code, tmp_path):
    arguments = ["-m", "mlp", "--set", "data.kwargs.size=8", "--epochs", "10000", "-b", "64", "-o", "w"]
    child = command("train", *arguments, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "w" / "comparison-mlp" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert "mlp was stopped after step" in err
    assert "--resume w" in err
    assert load_result(tmp_path / "w" / "comparison-mlp").status == "stopped"


def test_recipes_are_listed_and_printed(cli):
    code, out, _ = cli("recipes")
    assert code == 0
    assert all(name in out for name in ("quickstart", "spots3d", "mnist", "cifar10"))
    assert "models: [cnn, resnet, vit]" in cli("recipes", "--show", "quickstart")[1]
    assert cli("recipes", "--show", "quikstart")[0] == 2


def test_names_known_before_torch_are_those_of_the_registry():
    from modelcmp.training.data import DATA
    from modelcmp.training.models import MODELS
    from modelcmp.training.names import DATA_NAMES, MODEL_NAMES

    assert set(MODEL_NAMES) == set(MODELS)
    assert set(DATA_NAMES) == set(DATA)
