"""What a run does with each model: what is recorded, what is kept when one of them fails, when it may be tested."""

import json
import math
import signal

import numpy as np
import pytest
import torch
from test_training_resume import StopAt
from torch.nn import functional as F

from modelcmp.errors import BadInput, ModelcmpError
from modelcmp.tracking.reading import open_session
from modelcmp.training import run
from modelcmp.training.again import evaluate_again
from modelcmp.training.api import train
from modelcmp.training.evaluation.predictions import load_predictions
from modelcmp.training.results import load_result
from modelcmp.training.side_by_side import Means
from modelcmp.training.stopping import Interrupted
from modelcmp.training.workspace import Workspace

DIGITS = {"name": "digits", "kwargs": {"size": 8}}
MLP = {"name": "mlp", "kwargs": {"hidden": 8, "depth": 1}}


def test_each_row_has_the_rate_that_its_step_was_made_with(tmp_path):
    config = {"models": MLP, "data": DIGITS, "epochs": 2, "batch_size": 128, "lr": 0.1, "scheduler": "cosine"}
    done = train(config, workspace=tmp_path / "w")
    rates = [row["lr"] for row in open_session(done.workspace / "comparison-mlp").tracks["train"]]
    steps = len(rates)
    # Loshchilov and Hutter, SGDR, equation 5, with the smallest rate 0
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * t / steps)) for t in range(steps)], rel=1e-6)
    assert [row["lr"] for row in done.results[0].history] == [rates[steps // 2 - 1], rates[-1]]


def test_losses_with_class_weights_are_those_of_the_whole_split(tmp_path):
    weights = [1.0] * 9 + [50.0]
    config = {
        "models": MLP, "data": DIGITS, "epochs": 1, "batch_size": 7, "max_steps": 30,
        "loss": {"name": "cross_entropy", "weight": weights},
    }  # fmt: skip
    done = train(config, workspace=tmp_path / "w")
    kept = load_predictions(done.workspace / "comparison-mlp" / "predictions" / "val.npz")
    truth = F.cross_entropy(torch.from_numpy(kept.logits), torch.from_numpy(kept.targets), torch.tensor(weights))
    assert done.results[0].history[0]["val_loss"] == pytest.approx(float(truth), rel=1e-4)


def test_the_kept_weights_are_those_of_the_best_epoch_on_validation(tmp_path):
    config = {"models": MLP, "data": DIGITS, "epochs": 6, "batch_size": 64, "lr": 0.3}  # jumps up and down
    result = train(config, workspace=tmp_path / "w").results[0]
    accuracies = [row["val_accuracy"] for row in result.history]
    assert result.best_epoch == int(np.argmax(accuracies)) + 1
    assert result.val["accuracy"] == pytest.approx(max(accuracies), abs=1e-9)


def test_training_follows_a_loop_written_by_hand(tmp_path):
    """Same weights, same order, same optimizer: the same losses, bit by bit."""
    from modelcmp.training.batches import epoch_order
    from modelcmp.training.data import load_data
    from modelcmp.training.models import MODELS

    config = {"models": MLP, "data": DIGITS, "epochs": 1, "batch_size": 100, "seed": 5, "threads": 1}
    done = train(config, workspace=tmp_path / "w")
    data = load_data("digits", size=8)
    torch.manual_seed(5)
    model = MODELS["mlp"].build(data.shape, data.outputs, hidden=8, depth=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    losses = []
    for positions in epoch_order(len(data.train), 5, 1).split(100):
        x, y = data.train.batch(positions)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    rows = open_session(done.workspace / "comparison-mlp").tracks["train"]
    assert [row["loss"] for row in rows] == losses
    final = torch.load(done.workspace / "trained_models" / "mlp_comparison.pt", weights_only=True)
    assert all(torch.equal(final[k], v) for k, v in model.state_dict().items())


@pytest.mark.parametrize("error", ["AssertionError('no')", "OSError('my disk')", "SystemExit(3)", "Own('odd')"])
def test_whatever_a_model_raises_is_its_own_failure(error, tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Own(Exception):\n    pass\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, num_classes):\n        super().__init__(64, num_classes)\n"
        "    def forward(self, x):\n"
        f"        if self.training and x.is_cpu:\n            raise {error}\n"
        "        return super().forward(x.flatten(1))\n"
    )
    config = {"models": [f"{tmp_path}/net.py:Net", MLP], "data": DIGITS, "epochs": 1}
    failed, good = train(config, workspace=tmp_path / "w").results
    assert (failed.status, good.status) == ("failed", "finished")
    assert error.split("(")[0] in failed.message or error.strip(")").split("(")[1].strip("'") in failed.message
    assert load_result(tmp_path / "w" / "comparison-net-Net").status == "failed"


def test_a_test_split_that_cannot_be_read_costs_only_its_own_figures(tmp_path, monkeypatch):
    from modelcmp.training import one

    def judge(model, data, split, *rest):
        if split == "test":
            raise RuntimeError("the picture 7.png is torn")
        return real(model, data, split, *rest)

    real = one.judge
    monkeypatch.setattr(one, "judge", judge)
    result = train({"models": MLP, "data": DIGITS, "epochs": 1}, workspace=tmp_path / "w").results[0]
    assert (result.status, result.test) == ("finished", None)
    assert "testing failed: the picture 7.png is torn" in result.message
    monkeypatch.undo()
    assert run.resume(tmp_path / "w").results[0].test["examples"] == 269


def test_what_is_not_finished_has_not_seen_the_test_split(tmp_path):
    with pytest.raises(Interrupted):
        train({"models": MLP, "data": DIGITS, "epochs": 3}, workspace=tmp_path / "w", listener=StopAt(15))
    found = evaluate_again(tmp_path / "w" / "comparison-mlp", from_weights=True)
    assert found.val["examples"] == 270
    assert found.test is None
    assert not (tmp_path / "w" / "comparison-mlp" / "predictions" / "test.npz").exists()


def test_early_stopping_stops_after_its_patience(tmp_path):
    config = {
        "models": MLP,
        "data": DIGITS,
        "epochs": 50,
        "lr": 1e-12,
        "early_stopping": {"patience": 2, "min_delta": 0.1},
    }
    result = train(config, workspace=tmp_path / "w").results[0]
    assert (result.status, result.epochs) == ("finished", 3)
    assert result.message == "stopped early: no better val_loss for 2 epochs"


def test_a_stop_of_another_time_stops_nobody(tmp_path):
    with pytest.raises(Interrupted):
        train(
            {"models": MLP, "data": DIGITS, "epochs": 3}, workspace=tmp_path / "w", listener=StopAt(2, signal.SIGTERM)
        )
    (tmp_path / "w" / ".stop").write_text("x")
    assert run.resume(tmp_path / "w", means=Means(jobs=2)).results[0].status == "finished"


def test_a_run_goes_on_from_another_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "net.py").write_text(
        "from torch import nn\ndef build(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(Interrupted):
        train({"models": "net.py:build", "data": DIGITS, "epochs": 3}, workspace="w", listener=StopAt(3))
    monkeypatch.chdir(tmp_path / "there")
    assert run.resume(tmp_path / "here" / "w").results[0].status == "finished"


def test_damaged_results_and_predictions_are_named_with_what_helps(tmp_path):
    train({"models": [MLP, "cnn"], "data": DIGITS, "epochs": 1}, workspace=tmp_path / "w")
    folder = tmp_path / "w" / "comparison-mlp"
    (folder / "predictions" / "val.npz").write_bytes(b"torn")
    with pytest.raises(ModelcmpError, match="--from-weights` makes them again"):
        evaluate_again(folder)
    before = load_result(folder)
    assert evaluate_again(folder, from_weights=True).val["accuracy"] == before.val["accuracy"]
    for text in ("{", json.dumps({"schema": 1, "name": "x", "model": "y", "status": "finished", "history": 3})):
        (folder / "result.json").write_text(text)
        with pytest.raises(ModelcmpError, match=r"result\.json"):
            load_result(folder)
        assert run.resume(tmp_path / "w").results[0].val["accuracy"] == before.val["accuracy"]


def test_json_is_all_that_stdout_holds(tmp_path, cli):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Loud(nn.Linear):\n"
        "    def __init__(self, num_classes):\n        print('built')\n        super().__init__(64, num_classes)\n"
        "    def forward(self, x):\n        print('forward')\n        return super().forward(x.flatten(1))\n"
    )
    code, out, _ = cli(
        "train", "-m", f"{tmp_path}/net.py:Loud", "--set", "data.kwargs.size=8", "--epochs", "1", "--format", "json",
        "-o", tmp_path / "w",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["runs"][0]["name"] == "net-Loud"


def test_a_batch_that_holds_nan_is_blamed_for_the_loss(tmp_path):
    class Torn(torch.utils.data.Dataset):
        def __len__(self):
            return 60

        def __getitem__(self, i):
            return torch.full((3,), math.nan if i == 11 else float(i)), i % 2

    import sys
    import types

    module = types.ModuleType("torn_data")
    module.build = lambda: Torn()
    sys.modules["torn_data"] = module
    result = train({"models": "mlp", "data": "torn_data:build", "epochs": 1}, workspace=tmp_path / "w").results[0]
    assert result.status == "diverged"
    assert "its batch holds inputs that are no finite numbers" in result.message


def test_an_unknown_workspace_says_what_to_name(tmp_path):
    with pytest.raises(BadInput, match="no workspace of"):
        run.resume(tmp_path)
    assert not Workspace(tmp_path / "none").path.exists()
