"""Dumps of our own training: what the steps computed, asked about before, and never in training's way."""

import io
import os
import re
import signal
import sys
from types import SimpleNamespace

import pytest
import torch

from modelcmp.dumps.finding import find_dumps
from modelcmp.dumps.reading import open_dump
from modelcmp.errors import BadInput, OutputError
from modelcmp.training import dump_size, run
from modelcmp.training.batches import epoch_order
from modelcmp.training.config_file import load_config, make_config
from modelcmp.training.data import load_data
from modelcmp.training.dump_size import estimate
from modelcmp.training.models import MODELS
from modelcmp.training.plan import make_plan
from modelcmp.training.progress import Silent
from modelcmp.training.results import load_result
from modelcmp.training.runtime import configured
from modelcmp.training.stopping import Interrupted
from modelcmp.training.workspace import Workspace

CONFIG = {
    "models": [{"name": "mlp", "kwargs": {"hidden": 16}}],
    "data": {"name": "digits", "kwargs": {"size": 8}},
    "epochs": 2,
    "batch_size": 200,  # 7 steps an epoch
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "dump_interval": 3,
    "dump": {"include": ["weights", "optimizer", "grads", "stats"], "stats_interval": 2},
}


class Ears(Silent):
    """Hears warnings, and may stop after a step."""

    def __init__(self, stop=None):
        self.words, self.stop = [], stop

    def warned(self, words):
        self.words.append(words)

    def stepped(self, name, step, loss, accuracy, rate):
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


def trained(folder, listener=None, **changes):
    config = make_config({**CONFIG, **changes, "workspace": str(folder)})
    return run.train(config, listener=listener)


def dumps(folder):
    """Every dump of the model, by its place."""
    root = Workspace(folder).run("mlp") / "batch_dumps"
    return {
        str(p.relative_to(root).with_suffix("")): torch.load(p, weights_only=True) for p in sorted(root.rglob("*.pt"))
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return repr(a) == repr(b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dumps") / "w"
    assert trained(folder).results[0].status == "finished"
    return folder


def test_a_loop_by_hand_comes_to_the_same_dumps(whole):
    """Weights, momentum, gradients, loss and batch of every dumped step."""
    found = dumps(whole)
    data = load_data("digits", size=8)
    torch.manual_seed(123)
    model = MODELS["mlp"].build(data.shape, data.outputs, hidden=16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    assert same(found["epoch_001/batch_0000"]["model_state_dict"], dict(model.state_dict()))
    expected = ["epoch_001/batch_0000"]
    for epoch in (1, 2):
        for batch, rows in enumerate(epoch_order(len(data.train), 123, epoch).split(200), 1):
            x, y = data.train.batch(rows)
            logits = model(x)
            loss = torch.nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if batch % 3 and batch % 2:
                continue
            name = f"epoch_00{epoch}/batch_000{batch}"
            expected.append(name)
            dump = found[name]
            assert dump["loss"] == pytest.approx(loss.item(), rel=1e-6)
            assert dump["acc"] == pytest.approx(float((logits.argmax(1) == y).double().mean()))
            assert dump["batch_fingerprint"]["size"] == len(rows)
            if batch % 3:
                assert "model_state_dict" not in dump
                continue
            for key, tensors in (("model_state_dict", model.state_dict()), ("grads", named_grads(model))):
                for part, tensor in tensors.items():
                    assert torch.allclose(dump[key][part], tensor, rtol=1e-4, atol=1e-6), (name, part)
            momentum = dump["optimizer_state_dict"]["state"][0]["momentum_buffer"]
            assert torch.allclose(momentum, optimizer.state_dict()["state"][0]["momentum_buffer"], rtol=1e-4, atol=1e-6)
    assert sorted(found) == expected


def named_grads(model):
    return {name: p.grad for name, p in model.named_parameters()}


def test_the_fingerprint_is_of_what_the_model_saw(whole, tmp_path):
    other = tmp_path / "w"
    trained(other, augment=[{"name": "noise"}], epochs=1)
    a, b = dumps(whole), dumps(other)
    for name in ("epoch_001/batch_0003", "epoch_001/batch_0006"):
        first, second = a[name]["batch_fingerprint"], b[name]["batch_fingerprint"]
        assert first["targets"] == second["targets"]
        assert first["samples"] != second["samples"]


@pytest.mark.parametrize("step", [3, 10])
def test_stopped_and_gone_on_leaves_the_same_dumps(step, whole, tmp_path):
    with pytest.raises(Interrupted):
        trained(tmp_path / "w", Ears(stop=step))
    stray = tmp_path / "w" / "comparison-mlp" / "batch_dumps" / "epoch_002" / "batch_0007.pt"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of a run that came further before it was killed")
    run.resume(tmp_path / "w")
    assert same(dumps(whole), dumps(tmp_path / "w"))


@pytest.mark.parametrize("format", ["pt", "safetensors"])
def test_gone_on_keeps_the_same_dumps_whole_and_the_statistics_of_the_others(format, tmp_path):
    dump = CONFIG["dump"] | {"keep_last": 2, "format": format}
    trained(tmp_path / "whole", dump=dump)
    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", Ears(stop=10), dump=dump)
    run.resume(tmp_path / "stopped")
    sizes = [
        {str(p.relative_to(root)): p.stat().st_size for p in root.rglob("batch_0*")}
        for root in (tmp_path / "whole", tmp_path / "stopped")
    ]
    assert sizes[0].keys() == sizes[1].keys()
    assert len(sizes[0]) == 9  # the initial one, and those at 2, 3, 4, 6 of both epochs
    for path, size in sizes[0].items():
        assert sizes[1][path] == pytest.approx(size, abs=64), path
    found = [[open_dump(f) for f in find_dumps(tmp_path / name)] for name in ("whole", "stopped")]
    for a, b in zip(*found, strict=True):
        assert (a.epoch, a.batch, a.loss, a.fingerprint) == (b.epoch, b.batch, b.loss, b.fingerprint)
        assert [(n, s["hash"]) for n, s in a.stats["weights"].items()] == [
            (n, s["hash"]) for n, s in b.stats["weights"].items()
        ]
        for name, stats in a.stats["weights"].items():
            assert torch.equal(stats["histogram"].load(), b.stats["weights"][name]["histogram"].load())


def test_a_full_disk_stops_dumps_and_training_ends_well(tmp_path, monkeypatch):
    def full(path, *_):
        raise OutputError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("modelcmp.dumps.writer.write_file", full)
    ears = Ears()
    result = trained(tmp_path / "w", ears).results[0]
    assert (result.status, result.test is not None) == ("finished", True)
    assert result.dump_error.startswith("dumping has stopped, training went on: cannot write")
    assert len(ears.words) == 1
    assert load_result(tmp_path / "w" / "comparison-mlp").dump_error == result.dump_error
    log = (tmp_path / "w" / "comparison-mlp" / "logs").rglob("*")
    assert any("No space left on device" in p.read_text("utf-8") for p in log if p.is_file())


def test_the_exit_code_tells_of_dumps_that_failed(tmp_path, cli, monkeypatch):
    monkeypatch.setattr("modelcmp.dumps.writer.write_file", lambda path, *_: (_ for _ in ()).throw(OutputError("no")))
    code, out, err = cli("train", *ARGUMENTS, "--dump-interval", "2", "-o", tmp_path / "w")
    assert code == 1
    assert "mlp: dumping has stopped, training went on: no" in err
    assert "Val acc" in out


def test_a_budget_is_dealt_to_the_models_and_is_no_error(tmp_path):
    ears = Ears()
    models = [{"name": "mlp", "label": label} for label in ("a", "b")]
    done = trained(tmp_path / "w", ears, models=models, dump={"disk_budget": "700kB"})
    assert [r.dump_error for r in done.results] == ["", ""]
    assert [w.partition(":")[0] for w in ears.words] == ["a", "b"]
    for label in "ab":
        sizes = [p.stat().st_size for p in (tmp_path / "w" / f"comparison-{label}").rglob("batch_*.pt")]
        assert 0 < sum(sizes) <= 350_000


def test_a_budget_that_one_model_uses_up_is_said(tmp_path):
    models = [{"name": "mlp", "label": "small", "kwargs": {"hidden": 2}}, {"name": "mlp", "kwargs": {"hidden": 64}}]
    config = make_config({**CONFIG, "models": models, "dump": {"disk_budget": "400kB"}, "workspace": str(tmp_path)})
    with configured(config):
        plan = make_plan(config)
        found = estimate(plan, plan.entrants, Workspace(tmp_path))
    assert found.total_bytes < 400_000  # the small one leaves most of its half
    assert found.words.endswith(", where the disk budget ends")


def test_a_budget_of_less_than_one_dump_is_refused(tmp_path, cli):
    arguments = ["train", *ARGUMENTS, "--dump-interval", "1", "-o", tmp_path / "w"]
    code, out, err = cli(*arguments, "--set", "dump.disk_budget=1kB")
    assert (code, out) == (2, "")
    assert re.search(r"disk_budget 1\.00kB is less than one dump of \d+kB: nothing would be dumped", err)
    assert not list(tmp_path.iterdir())


# -- before training ----------------------------------------------------------------------------------

ARGUMENTS = ["-m", "mlp", "--set", "data.kwargs.size=8", "--epochs", "1", "-b", "200"]


@pytest.mark.parametrize(
    ("dump", "optimizer"),
    [
        ({}, "adam"),
        ({"include": ["weights", "grads"], "epochs": 1}, "sgd"),
        ({"dtype": "bfloat16", "keep_last": 2}, {"name": "sgd", "momentum": 0.9}),
        ({"include": ["weights", "optimizer", "stats"], "initial": False}, "rmsprop"),
        ({"include": ["stats"], "format": "safetensors"}, "adadelta"),
    ],
    ids=str,
)
def test_what_is_estimated_is_what_is_written(dump, optimizer, tmp_path):
    config = make_config({**CONFIG, "models": [{"name": "cnn", "kwargs": {"width": 8}}], "optimizer": optimizer,
                          "epochs": 2, "max_steps": 11, "dump": dump, "workspace": str(tmp_path / "w")})  # fmt: skip
    with configured(config):
        plan = make_plan(config)
        found = estimate(plan, plan.entrants, Workspace(tmp_path / "w"))
    run.train(config)
    files = [p.stat().st_size for p in (tmp_path / "w").rglob("batch_0*")]
    assert found.total_bytes == pytest.approx(sum(files), rel=0.25)


def test_dumps_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, cli, monkeypatch):
    monkeypatch.setattr(dump_size.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    arguments = ["train", *ARGUMENTS, "--dump-interval", "1", "-o", tmp_path / "w"]
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert "dumps will write" in err
    assert "1.00MB are free on the disk: set, under `dump:`, `disk_budget: 500kB`, `keep_last: 10`" in err
    assert not list(tmp_path.iterdir())
    assert cli(*arguments, "--set", "dump.disk_budget=500kB")[0] == 0
    monkeypatch.setattr(dump_size.shutil, "disk_usage", lambda _: SimpleNamespace(free=2000))
    assert "set, under `dump:`, `keep_last: 10`" in cli(*arguments, "--force")[2]  # no budget would do


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("y\n", 0)])
def test_large_dumps_are_asked_about_on_a_terminal(answer, code, tmp_path, cli, monkeypatch):
    monkeypatch.setattr("modelcmp_cli.commands.train._MUCH_BYTES", 1000)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr("modelcmp_cli.commands.train._on_terminal", lambda: True)
    found, _, err = cli("train", *ARGUMENTS, "--dump-interval", "3", "-o", tmp_path / "w")
    assert found == code, err
    assert "dumps of" in err
    assert (tmp_path / "w").exists() == (code == 0)
    if code == 0:
        return
    assert cli("train", *ARGUMENTS, "--dump-interval", "3", "--yes", "-o", tmp_path / "w")[0] == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("dump: {epoch: 2}", r"x\.yaml:2: unknown key 'epoch': did you mean 'epochs'"),
        ("dump:\n  include: [weights, stat]", r"x\.yaml:3: .*'stats', not 'stat'"),
        ("dump:\n  disk_budget: ten", r"x\.yaml:3: .*'ten' is no amount of memory"),
        ("dump:\n  keep_last: 0", r"x\.yaml:3: dump\.keep_last: .*not 0"),
        ("dump:\n  format: zip", r"x\.yaml:3: dump\.format: .*'pt' or 'safetensors'"),
        ("dump:\n  initial: 1", r"x\.yaml:3: dump\.initial: "),
    ],
)
def test_a_wrong_key_has_its_line(lines, words, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"models: [cnn]\n{lines}\n")
    with pytest.raises(BadInput, match=words):
        load_config(path)
