"""Two processes that share a model train as one does, and only the first of them writes."""

import os
import sys
from subprocess import run as execute

import pytest
import torch

from modelcmp.tracking.reading import open_session
from modelcmp.training.api import train
from modelcmp.training.evaluation.predictions import load_predictions
from modelcmp.training.results import load_result

# 1,258 samples: batches of 97 are shared 49 to 48, the last one holds 94; 269 test samples
YAML = """\
models: [{name: mlp, kwargs: {hidden: 16}}, {name: vit, kwargs: {depth: 2, dim: 16}}]
data: {name: digits, kwargs: {size: 8}}
batch_size: 97
epochs: 2
max_steps: 20
optimizer: {name: sgd, lr: 0.1}
clip_norm: 1.0
dump_interval: 6
dump: {include: [weights, optimizer, grads]}
device: cpu
threads: 1
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Results of one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "x.yaml").write_text(YAML)
    return folder, train(folder / "x.yaml", workspace=folder / "w").results


@pytest.mark.skipif(sys.platform != "linux", reason="starts processes that talk through gloo on this machine")
@pytest.mark.parametrize(
    "launcher",
    [
        ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "modelcmp_cli", "train"),
        pytest.param(
        ("accelerate.commands.launch", "--use_fsdp", "--num_processes", "2", "--num_machines", "1", "--mixed_precision",
         "no", "--dynamo_backend", "no", "--main_process_port", "29514", "-m", "modelcmp_cli", "train"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["torchrun, DDP", "accelerate launch, FSDP"],
)  # fmt: skip
def test_two_processes_train_as_one(launcher, alone, tmp_path):
    (tmp_path / "x.yaml").write_text(YAML)
    done = execute(
        [sys.executable, "-m", *launcher, "--config", "x.yaml", "--out-dir", "w"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Ranked by validation accuracy") == 1  # the other process says nothing
    alone_folder, results = alone
    for one in results:
        folder = tmp_path / "w" / f"comparison-{one.name}"
        two = load_result(folder)
        assert two.settings["processes"] == 2
        assert two.settings["order_digest"] == one.settings["order_digest"]
        for a, b in zip(one.history, two.history, strict=True):
            assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-4)
            assert b["val_loss"] == pytest.approx(a["val_loss"], rel=1e-4)
            assert b["train_accuracy"] == pytest.approx(a["train_accuracy"], abs=2e-3)
        assert two.test["examples"] == one.test["examples"] == 269
        assert two.test["loss"] == pytest.approx(one.test["loss"], rel=1e-4)
        positions = load_predictions(folder / "predictions" / "test.npz").positions
        assert positions.tolist() == list(range(269))
        assert_same_dumps(alone_folder / "w" / folder.name, folder)
        session = open_session(folder)
        assert not session.problems
        assert [row["step"] for row in session.tracks["train"]] == list(range(1, 21))


def assert_same_dumps(one, two):
    """Of the whole model, by the first process alone; who holds a part of a batch makes no fingerprint of it."""
    files = sorted(p.relative_to(one) for p in one.rglob("batch_*.pt"))
    assert files == sorted(p.relative_to(two) for p in two.rglob("batch_*.pt"))
    assert len(files) == 4  # before training, and steps 6, 12, 19 (13 steps an epoch)
    for path in files:
        a, b = (torch.load(folder / path, weights_only=True) for folder in (one, two))
        assert (a["step"], a["optimizer_param_names"]) == (b["step"], b["optimizer_param_names"])
        assert a["optimizer_state_dict"]["param_groups"] == b["optimizer_state_dict"]["param_groups"]
        assert b["batch_fingerprint"] is None
        for key in ("model_state_dict", "grads"):
            assert a[key].keys() == b[key].keys()
            for name, tensor in a[key].items():
                assert torch.allclose(tensor, b[key][name], rtol=1e-3, atol=1e-4), (path, name)
