"""A run that was stopped, however, ends bitwise equal to one that never was."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from modelcmp.errors import BadInput, ModelcmpError
from modelcmp.tracking.reading import open_session
from modelcmp.training import run
from modelcmp.training.config_file import make_config
from modelcmp.training.progress import Silent
from modelcmp.training.stopping import Interrupted
from modelcmp.training.workspace import Workspace

NET = """
from torch import nn

def net(num_classes):  # all that draws or keeps something from step to step
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(8 * 36, num_classes)
    )
"""
CONFIG = {
    "data": {"name": "digits", "kwargs": {"size": 8}},
    "epochs": 3,
    "batch_size": 100,
    "optimizer": {"name": "adamw", "lr": 0.01},
    "scheduler": {"name": "cosine", "warmup_steps": 4},
    "augment": ["noise"],
    "clip_norm": 1.0,
    "checkpoint_interval": 5,
}


class StopAt(Silent):
    """Sends this process a signal after some step."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def stepped(self, name, step, loss, accuracy, rate):
        if step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def whole(net, tmp_path_factory):
    """A run that nothing disturbed."""
    return trained(net, tmp_path_factory.mktemp("whole") / "w")


def config(net, workspace, **changes):
    return make_config(
        {"models": [{"name": f"{net}:net", "label": "net"}], "workspace": str(workspace), **CONFIG, **changes}
    )


def trained(net, workspace, **changes):
    return run.train(config(net, workspace, **changes)).workspace


def state(workspace):
    """Everything that must be equal."""
    folder = Workspace(workspace).run("net")
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    for key in ("seconds", "epoch_seconds", "peak_memory_bytes"):
        checkpoint["progress"].pop(key)
    for row in checkpoint["progress"]["history"]:
        row.pop("seconds")
    best = torch.load(Workspace(workspace).weights("net"), weights_only=True)
    tracks = {
        name: [{k: v for k, v in row.items() if k not in ("_ts", "seconds")} for row in rows]
        for name, rows in open_session(folder).tracks.items()
    }
    return checkpoint, best, tracks


def assert_same(a, b, path=""):
    """Bit by bit, through dicts and lists."""
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{i}")
    else:
        assert a == b, path


@pytest.mark.parametrize("step", [1, 13, pytest.param(30, marks=pytest.mark.slow)])  # 13 steps an epoch
def test_a_signal_finishes_the_step_and_resume_ends_bitwise_equal(step, net, whole, tmp_path):
    with pytest.raises(Interrupted, match=f"stopped after step {step} ") as stop:
        run.train(config(net, tmp_path / "w"), listener=StopAt(step))
    assert stop.value.exit_code == 130
    assert run.resume(tmp_path / "w").results[0].status == "finished"
    assert_same(state(whole), state(tmp_path / "w"))


def test_two_stops_are_no_more_than_one(net, whole, tmp_path):
    with pytest.raises(Interrupted):
        run.train(config(net, tmp_path / "w"), listener=StopAt(7, signal.SIGTERM))
    with pytest.raises(Interrupted) as stop:
        run.resume(tmp_path / "w", listener=StopAt(20, signal.SIGTERM))
    assert stop.value.exit_code == 143
    run.resume(tmp_path / "w")
    assert_same(state(whole), state(tmp_path / "w"))


@pytest.mark.parametrize("after", [0.2])
def test_kill_loses_no_more_than_the_steps_since_the_last_checkpoint(after, net, whole, tmp_path):
    path = tmp_path / "w"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_training_resume as t, pathlib\n"
        "t.trained(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), epochs=3)"
    )
    here = os.path.dirname(__file__)
    child = subprocess.Popen([sys.executable, "-c", code, here, str(net), str(path)], stderr=subprocess.DEVNULL)
    checkpoint = Workspace(path).run("net") / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(after)
    child.kill()
    child.wait()
    assert checkpoint.exists()
    open_session(checkpoint.parent)  # readable as it is
    run.resume(path)
    assert_same(state(whole), state(path))


def test_a_finished_model_is_not_trained_again(net, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "w")
    steps = []

    class Count(Silent):
        def stepped(self, name, step, *_):
            steps.append(step)

    assert run.resume(tmp_path / "w", listener=Count()).results[0].steps == 39
    assert not steps


def test_same_config_again_gives_the_same_bits_and_another_seed_does_not(net, whole, tmp_path):
    assert_same(state(whole), state(trained(net, tmp_path / "again")))
    other = state(trained(net, tmp_path / "other", seed=7))
    with pytest.raises(AssertionError):
        assert_same(state(whole)[1], other[1])


def test_a_damaged_checkpoint_is_named(net, whole, tmp_path):
    with pytest.raises(Interrupted):
        run.train(config(net, tmp_path / "w"), listener=StopAt(7))
    file = Workspace(tmp_path / "w").run("net") / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:5000])
    result = run.resume(tmp_path / "w").results[0]
    assert result.status == "failed"
    assert "checkpoint.pt is damaged" in result.message
    assert "delete it" in result.message
    file.unlink()
    run.resume(tmp_path / "w")
    assert_same(state(whole), state(tmp_path / "w"))


@pytest.mark.parametrize("nth", [1, pytest.param(2, marks=pytest.mark.slow), 9])
def test_a_full_disk_ends_the_run_and_what_was_written_stays_good(nth, net, whole, tmp_path, monkeypatch):
    from modelcmp import tensor_files
    from modelcmp.errors import OutputError

    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) >= nth:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensor_files, "os", SimpleNamespace(fsync=fsync))
    with pytest.raises(OutputError, match="No space left on device"):
        run.train(config(net, tmp_path / "w"))
    monkeypatch.undo()
    assert not open_session(Workspace(tmp_path / "w").run("net")).problems
    run.resume(tmp_path / "w")
    assert_same(state(whole), state(tmp_path / "w"))


@pytest.mark.parametrize("step", [5, 18])  # in the first epoch, and in the second
def test_a_budget_that_ends_in_an_epoch_ends_it_after_a_stop_too(step, net, tmp_path):
    whole = trained(net, tmp_path / "whole", max_steps=step)
    with pytest.raises(Interrupted):
        run.train(config(net, tmp_path / "w", max_steps=step), listener=StopAt(step))
    assert run.resume(tmp_path / "w").results[0].epochs == (1 if step == 5 else 2)
    assert_same(state(whole), state(tmp_path / "w"))


def test_a_changed_config_or_changed_data_are_refused(net, tmp_path):
    data = tmp_path / "mine.py"
    data.write_text("import torch\ndef build():\n    return torch.rand(60, 1, 8, 8), torch.arange(60) % 3\n")
    torch.manual_seed(1)
    changes = {"data": {"name": f"{data}:build"}, "epochs": 50, "batch_size": 10}
    with pytest.raises(Interrupted):
        run.train(config(net, tmp_path / "w", **changes), listener=StopAt(7))
    torch.manual_seed(2)  # the factory draws other numbers
    with pytest.raises(BadInput, match=r"the data of .* have changed"):
        run.resume(tmp_path / "w")
    file = tmp_path / "w" / "config.yaml"
    file.write_text(file.read_text().replace("batch_size: 10", "batch_size: 20"))
    with pytest.raises(BadInput, match=r"was changed since training began \(batch_size: 10 there, 20 here\)"):
        run.resume(tmp_path / "w")


def test_a_workspace_in_use_loses_nothing_to_force(net, tmp_path):
    workspace = Workspace(tmp_path / "w")
    with workspace.locked():
        (workspace.path / "comparison-net").mkdir()
        with pytest.raises(ModelcmpError, match="being trained in by another process"):
            run.train(config(net, workspace.path), force=True)
    assert (workspace.path / "comparison-net").is_dir()


def test_force_removes_only_what_the_comparison_wrote(net, tmp_path):
    path = trained(net, tmp_path / "w", max_steps=5)
    foreign = [path / "trained_models" / "mine.pt", path / "comparison-mine" / "session.json", path / "notes.txt"]
    for file in foreign:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    with pytest.raises(BadInput, match="another config"):
        trained(net, path, max_steps=6)
    run.train(config(net, path, max_steps=6), force=True)
    assert all(file.read_text() == "mine" for file in foreign)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text("host: x")
    with pytest.raises(BadInput, match="has not written"):
        run.train(config(net, tmp_path / "other", max_steps=5), force=True)
    (path / "config.yaml").unlink()
    with pytest.raises(BadInput, match="of an unknown config"):
        trained(net, path, max_steps=6)
