"""Real training loops of Lightning and Hugging Face's Trainer: what is dumped is what the loop had."""

import sys

import pytest
import torch
from torch import nn

from modelcmp.dumps import callbacks
from modelcmp.dumps.finding import find_dumps
from modelcmp.dumps.reading import open_dump
from modelcmp.errors import BadInput, ModelcmpError

DATA = torch.linspace(-1, 1, 24).view(12, 2)


def equal(refs, tensors):
    return set(refs) == set(tensors) and all(torch.equal(refs[n].load(), t) for n, t in tensors.items())


def opened(folder):
    return [open_dump(file) for file in find_dumps(folder)]


def snapshot(model):
    return {n: t.detach().clone() for n, t in model.state_dict().items()}


# --- Lightning


def lightning(name):
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install lightning")


def module_of(L):
    class Regressor(L.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
            self.truth = []  # what the loop had: after each step of the optimizer

        def training_step(self, batch, index):
            loss = self.net(batch).square().mean()
            self.last = loss.item()
            return {"loss": loss, "acc": torch.tensor(index / 10)}

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

        def optimizer_step(self, *args, **kwargs):
            super().optimizer_step(*args, **kwargs)
            moments = [s["exp_avg"].clone() for s in self.trainer.optimizers[0].state_dict()["state"].values()]
            grads = {n: p.grad.clone() for n, p in self.named_parameters()}
            self.truth.append((snapshot(self), moments, grads, self.last))

    return Regressor()


def fit(L, folder, *, callback, epochs=2, **more):
    module = module_of(L)
    first = snapshot(module)
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=[callback], **more,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(DATA, batch_size=3))
    return module, first


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_lightning(tmp_path, package):
    L = lightning(package)
    callback = callbacks.lightning_callback(tmp_path, interval=1, include=("weights", "grads", "optimizer"))
    module, first = fit(L, tmp_path, callback=callback)
    start, *dumps = opened(tmp_path)
    assert (start.epoch, start.batch, start.step) == (1, 0, 0)
    assert equal(start.weights, first)
    assert [(d.epoch, d.batch, d.step) for d in dumps] == [
        (e, b, 4 * (e - 1) + b) for e in (1, 2) for b in (1, 2, 3, 4)
    ]
    for i, (dump, (weights, moments, grads, loss)) in enumerate(zip(dumps, module.truth, strict=True)):
        assert equal(dump.weights, weights)
        assert equal(dump.grads, grads)
        assert all(
            torch.equal(dump.optimizer_state[f"{n}/exp_avg"].load(), m) for n, m in zip(grads, moments, strict=True)
        )
        assert dump.loss == pytest.approx(loss, abs=1e-9)
        assert dump.acc == pytest.approx(i % 4 / 10)
        assert dump.fingerprint["size"] == 3
        assert dump.optimizer == "Adam"
    assert len({d.fingerprint["inputs"] for d in dumps}) == 4


@pytest.mark.filterwarnings("ignore")
def test_lightning_accumulates(tmp_path):
    L = lightning("lightning.pytorch")
    callback = callbacks.lightning_callback(tmp_path, interval=1)
    module, _ = fit(L, tmp_path, callback=callback, epochs=1, accumulate_grad_batches=2)
    _, *dumps = opened(tmp_path)
    assert [(d.batch, d.step) for d in dumps] == [(1, 1), (2, 2)]
    for dump, (weights, *_) in zip(dumps, module.truth, strict=True):
        assert equal(dump.weights, weights)
    net = module_of(L).net  # the first step's loss is the mean over both batches
    assert dumps[0].loss == pytest.approx(net(DATA[:6]).square().mean().item(), rel=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_an_interval_and_an_error_in_lightning(tmp_path):
    L = lightning("lightning.pytorch")

    class Stop(L.Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.current_epoch == 1 and index == 3:
                raise RuntimeError("stop")

    callback = callbacks.lightning_callback(tmp_path, interval=2)
    module = module_of(L)
    trainer = L.Trainer(
        max_epochs=9, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Stop(), callback],
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="stop"):
        trainer.fit(module, torch.utils.data.DataLoader(DATA, batch_size=3))
    assert [(d.epoch, d.batch) for d in opened(tmp_path)] == [(1, 0), (1, 2), (1, 4), (2, 2)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("steps", "rest"), [(4, [(2, 1), (2, 2), (2, 3), (2, 4)]), (6, [(2, 3), (2, 4)])])
def test_lightning_goes_on_from_a_checkpoint(tmp_path, steps, rest):
    L = lightning("lightning.pytorch")
    quiet = {
        "accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False,
    }  # fmt: skip
    loader = torch.utils.data.DataLoader(DATA, batch_size=3)

    class Save(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == steps:
                trainer.save_checkpoint(tmp_path / "last.ckpt")

    L.Trainer(max_epochs=2, callbacks=[Save()], **quiet).fit(module_of(L), loader)
    callback = callbacks.lightning_callback(tmp_path / "run", interval=1)
    L.Trainer(max_epochs=2, callbacks=[callback], **quiet).fit(module_of(L), loader, ckpt_path=tmp_path / "last.ckpt")
    dumps = opened(tmp_path / "run")
    assert [(d.epoch, d.batch) for d in dumps] == rest
    assert [d.step for d in dumps] == [4 * (e - 1) + b for e, b in rest]
    own = open_dump(tmp_path / "last.ckpt")  # Lightning's own file is read as well
    assert own.step == steps
    assert "net.0.weight/exp_avg" in own.optimizer_state


# --- Hugging Face


class Model(nn.Module):
    """A model as transformers wants it: keywords in, a dict with the loss out."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(2, 4), nn.Linear(4, 1)
        self.losses = []

    def forward(self, x, labels=None):
        out = self.head(self.body(x).tanh())
        loss = (out.squeeze(-1) - labels).square().mean()
        if self.training:
            self.losses.append(loss.item())
        return {"loss": loss, "logits": out}


def train(tmp_path, *, epochs=2, accumulate=1, **options):
    transformers = pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install transformers", exc_type=ImportError
    )
    pytest.importorskip("accelerate", reason="accelerate is not installed: pip install accelerate")
    truth, model = [], Model()

    class Witness(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            truth.append((state.global_step, snapshot(model)))

    args = transformers.TrainingArguments(
        output_dir=str(tmp_path / "hf"), num_train_epochs=epochs, per_device_train_batch_size=3, use_cpu=True,
        gradient_accumulation_steps=accumulate, report_to=[], save_strategy="no", logging_strategy="no",
        disable_tqdm=True, max_grad_norm=0, eval_strategy="epoch",
    )  # fmt: skip
    callback = callbacks.trainer_callback(tmp_path / "run", interval=1, **options)
    first = snapshot(model)
    rows = [{"x": x, "labels": x.sum()} for x in DATA]
    transformers.Trainer(
        model, args, train_dataset=rows, eval_dataset=rows[:3], callbacks=[callback, Witness()]
    ).train()
    return model, first, truth


@pytest.mark.filterwarnings("ignore")
def test_trainer(tmp_path):
    model, first, truth = train(tmp_path, include=("weights", "grads", "optimizer"))
    start, *dumps = opened(tmp_path / "run")
    assert start.step == 0
    assert equal(start.weights, first)
    assert [(d.epoch, d.batch, d.step) for d in dumps] == [
        (e, b, 4 * (e - 1) + b) for e in (1, 2) for b in (1, 2, 3, 4)
    ]
    for dump, (step, weights), loss in zip(dumps, truth, model.losses, strict=True):
        assert dump.step == step
        assert equal(dump.weights, weights)
        assert dump.loss == pytest.approx(loss, abs=1e-9)
        assert set(dump.grads) == set(weights)
        assert "head.weight/exp_avg" in dump.optimizer_state
        assert dump.fingerprint["size"] == 3
        assert dump.fingerprint["targets"] is not None
    last = dumps[-1].grads["head.weight"].load()
    assert last.abs().sum() > 0  # before zero_grad
    assert not model._forward_hooks


@pytest.mark.filterwarnings("ignore")
def test_trainer_accumulates(tmp_path):
    model, _, truth = train(tmp_path, epochs=1, accumulate=2)
    _, *dumps = opened(tmp_path / "run")
    assert [(d.batch, d.step) for d in dumps] == [(1, 1), (2, 2)] == [(s, s) for s, _ in truth]
    assert all(equal(d.weights, w) for d, (_, w) in zip(dumps, truth, strict=True))
    assert [d.loss for d in dumps] == pytest.approx([sum(model.losses[i : i + 2]) / 2 for i in (0, 2)], abs=1e-9)


def test_where_a_resumed_trainer_is():
    class State:
        def __init__(self, epoch, step):
            self.epoch, self.global_step = epoch, step

    places = [(None, 0), (0, 0), (0.5, 5), (0.9999999999, 10), (1.0, 10), (1.3, 13), (2.0, 20)]
    assert [callbacks._place(State(*p)) for p in places] == [(1, 0), (1, 0), (1, 5), (2, 0), (2, 0), (2, 3), (3, 0)]


# --- without the packages


@pytest.mark.parametrize(
    ("make", "modules", "words"),
    [
        (callbacks.lightning_callback, ("lightning.pytorch", "pytorch_lightning"), "pip install lightning"),
        (callbacks.trainer_callback, ("transformers",), "pip install transformers"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, tmp_path, make, modules, words):
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)  # importing it now fails
    with pytest.raises(ModelcmpError, match=words):
        make(tmp_path)


def test_senseless_options_are_refused_before_training(tmp_path):
    for make in (callbacks.lightning_callback, callbacks.trainer_callback):
        with pytest.raises(BadInput, match="interval"):
            make(tmp_path, interval=0)
        with pytest.raises(ModelcmpError, match="format"):
            make(tmp_path, format="zip")
