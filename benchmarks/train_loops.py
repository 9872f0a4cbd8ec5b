"""The loops that `train_overhead.py` runs side by side: one function a loop, all given the same work.

Each trains a model that was built from the same seed, on the same batches in the same order, with the same
optimizer, and computes per step: forward, cross-entropy, backward, the optimizer's step, zeroed gradients, the loss as
a number, and how many of the batch were right. Each is timed by the same clock over whole epochs of training: making
the order, fetching batches and recording count; validation, checkpoints and building do not. Lightning is imported
where it is run.
"""

from __future__ import annotations

import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler, TensorDataset

from modelcmp.tensor_files import save_tensors
from modelcmp.tracking.reading import open_session
from modelcmp.training.batches import epoch_order
from modelcmp.training.config import Config
from modelcmp.training.loop import SAVE_EVERY_S, Loop, Places
from modelcmp.training.names import folder_name
from modelcmp.training.optimisation import make_optimizer
from modelcmp.training.plan import Plan, make_plan, settings_of
from modelcmp.training.progress import Listener, Progress
from modelcmp.training.recorder import Recorder
from modelcmp.training.runtime import seed_all
from modelcmp.training.stopping import StopSign

clock = time.perf_counter
#: First steps of a round that are not timed: they find caches cold, and memory that was given back.
WARM = 2


@dataclass(frozen=True, slots=True)
class Work:
    """What every loop is to do: so many steps of each of so many epochs (of a single one where not all)."""

    plan: Plan
    inputs: Tensor  # (N, *shape), normalised float32
    targets: Tensor  # (N,)
    folder: Path  # for checkpoints
    steps: int
    epochs: int = 1

    def model(self) -> nn.Module:
        """The model with its initial weights."""
        seed_all(self.plan.config.seed)
        return self.plan.entrants[0].build()

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the config."""
        return make_optimizer(self.plan.config.optimizer, model.parameters())

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """Positions of each batch of an epoch, (b,) each."""
        order = epoch_order(len(self.targets), self.plan.config.seed, epoch)
        return order.split(self.plan.config.batch_size)[: self.steps]

    def after_epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer, saved: float) -> float:
        """Validate, and write a checkpoint if the last is as old as ours has to be; timed in no loop.

        ``saved`` is when the last one was written; when it is now.

        Whatever waits for the disk finds its caches cold in the next step: all loops have to.
        """
        examples = self.plan.data.val
        model.eval()
        with torch.no_grad():
            for positions in torch.arange(len(examples)).split(self.plan.config.batch_size):
                x, y = examples.batch(positions)
                F.cross_entropy(model(x), y).item()
        if clock() - saved < SAVE_EVERY_S:
            return saved
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        save_tensors(state, self.folder / "checkpoint.pt")
        return clock()


@dataclass(frozen=True, slots=True)
class Round:
    """How long the training epochs took after the first WARM steps, and the loss of every step."""

    seconds: float
    losses: list[float]

    @property
    def steps_per_second(self) -> float:
        """Over all epochs together."""
        return (len(self.losses) - WARM) / self.seconds


def make_work(model: Any, data: Any, batch_size: int, folder: Path) -> Work:
    """Load the data and fit the model, each as a config names it, for one whole epoch; raises ModelcmpError."""
    settings = {"models": [model], "data": data, "batch_size": batch_size, "device": "cpu"}
    plan = make_plan(Config.model_validate(settings))
    inputs, targets = plan.data.train.batch(torch.arange(len(plan.data.train)))
    return Work(plan, inputs, targets, folder, plan.steps_per_epoch)


# -- ours -------------------------------------------------------------------------------------------


def ours(work: Work) -> Round:
    """The loop of `compare-models train` as it runs where stderr is no terminal: session, checkpoint each epoch."""
    from modelcmp_cli.live import Lines

    with redirect_stderr(io.StringIO()):
        return _ours(work, Lines())


def ours_with_bars(work: Work) -> Round:
    """The same with the progress bars of a terminal."""
    from modelcmp_cli.live import Bars

    with redirect_stderr(_Terminal()), Bars() as bars:
        bars.planned({work.plan.entrants[0].label: work.epochs * work.steps})
        return _ours(work, bars)


def _ours(work: Work, listener: Listener) -> Round:
    plan, entrant = work.plan, work.plan.entrants[0]
    config = plan.config.model_copy(update={"epochs": work.epochs, "max_steps": work.epochs * work.steps})
    with tempfile.TemporaryDirectory(dir=work.folder) as folder:
        workspace = Path(folder) / "workspace"
        run = workspace / folder_name(entrant.label)
        recorder = Recorder.open(workspace, entrant.label, entrant.spec, config, settings_of(plan))
        learner = replace(plan, config=config).learner(entrant)
        places = Places(run / "checkpoint.pt", run / "best.pt", run)
        loop = _TimedLoop(entrant.label, learner, config, plan.data, Progress(), recorder, places, listener, StopSign())
        listener.started(entrant.label, 0)
        loop.run()
        recorder.close()
        plan.runtime.accelerator.free_memory()
        return Round(loop.timed, [row["loss"] for row in open_session(run).tracks["train"]])


class _TimedLoop(Loop):
    """Our loop, its training epochs timed from outside: with all that happens in them."""

    timed = 0.0

    def _train_epoch(self, epoch: int) -> None:
        self._start = clock()
        super()._train_epoch(epoch)
        self.timed += clock() - self._start

    def _after_step(self, stop: bool, last: bool) -> bool:
        if self.progress.step == WARM:
            self.timed, self._start = 0.0, clock()
        return super()._after_step(stop, last)


class _Terminal(io.TextIOBase):
    """Takes what is drawn and shows it to nobody."""

    def isatty(self) -> bool:
        """So that bars are drawn."""
        return True

    def write(self, text: str) -> int:
        """Drop it."""
        return len(text)


# -- by hand ----------------------------------------------------------------------------------------


def bare(work: Work) -> Round:
    """What a careful person writes: tensors indexed with a permutation, nothing recorded but sums and losses."""
    return _by_hand(work, lambda epoch: ((work.inputs[i], work.targets[i]) for i in work.batches(epoch)))


def bare_loader(work: Work) -> Round:
    """The same on DataLoader(TensorDataset(...)), without worker processes; its sampler gives the common order."""
    order = _Order(work)
    loader = DataLoader(TensorDataset(work.inputs, work.targets), work.plan.config.batch_size, sampler=order)

    def feed(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order.epoch = epoch
        return cast("Iterator[tuple[Tensor, Tensor]]", iter(loader))

    return _by_hand(work, feed)


def _by_hand(work: Work, feed: Callable[[int], Iterator[tuple[Tensor, Tensor]]]) -> Round:
    model = work.model()
    optimizer = work.optimizer(model)
    seconds, losses, saved = 0.0, [], clock()
    for epoch in range(1, work.epochs + 1):
        start = clock()
        model.train()
        loss_sum = correct = seen = 0.0
        for x, y in feed(epoch):
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            value = loss.item()
            losses.append(value)
            if len(losses) == WARM:
                seconds, start = 0.0, clock()
            loss_sum += value * len(y)
            correct += (logits.argmax(1) == y).sum().item()
            seen += len(y)
        seconds += clock() - start
        saved = work.after_epoch(model, optimizer, saved)
    return Round(seconds, losses)


class _Order(Sampler[int]):
    """An epoch's positions one by one, as RandomSampler gives them (its cost is that of ``shuffle=True``)."""

    def __init__(self, work: Work) -> None:
        self._work, self.epoch = work, 1

    def __iter__(self) -> Iterator[int]:
        yield from torch.cat(self._work.batches(self.epoch)).tolist()

    def __len__(self) -> int:
        return sum(map(len, self._work.batches(self.epoch)))


# -- Lightning --------------------------------------------------------------------------------------


def lightning(work: Work) -> Round:
    """Lightning's Trainer at its fastest: no logger, bars, checkpoints or summary; batches indexed as in ``bare``.

    Loss and accuracy are given to ``self.log`` each step.
    """
    module = _lightning_module(work)
    with _quiet():
        from lightning import Trainer

        trainer = Trainer(
            accelerator="cpu", devices=1, max_epochs=work.epochs, logger=False, enable_progress_bar=False,
            enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
            use_distributed_sampler=False, default_root_dir=work.folder,
        )  # fmt: skip
        trainer.fit(module, train_dataloaders=_Feed(work))
    return Round(module.seconds, [float(loss) for loss in module.losses])


def _lightning_module(work: Work) -> Any:
    with _quiet():
        from lightning import LightningModule

    class Module(LightningModule):  # type: ignore[misc]  # lightning is not always installed
        """The model as Lightning's documentation writes it."""

        def __init__(self) -> None:
            super().__init__()
            self.model, self.losses, self.seconds, self.saved = work.model(), [], 0.0, clock()

        def training_step(self, batch: tuple[Tensor, Tensor], _number: int) -> Tensor:
            x, y = batch
            logits = self.model(x)
            loss = F.cross_entropy(logits, y)
            self.log("loss", loss)
            self.log("accuracy", (logits.argmax(1) == y).sum() / len(y))
            self.losses.append(loss.detach())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return work.optimizer(self.model)

        def on_train_epoch_start(self) -> None:
            self._start = clock()

        def on_train_batch_end(self, *_: Any) -> None:
            if len(self.losses) == WARM:
                self.seconds, self._start = 0.0, clock()

        def on_train_epoch_end(self) -> None:
            self.seconds += clock() - self._start
            self.saved = work.after_epoch(self.model, self.optimizers().optimizer, self.saved)
            self.model.train()

    return Module()


class _Feed:
    """Batches by indexing; Lightning tells the epoch as it tells a sampler."""

    def __init__(self, work: Work) -> None:
        self._work, self._epoch = work, 1
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Counted from 0."""
        self._epoch = epoch + 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return ((self._work.inputs[i], self._work.targets[i]) for i in self._work.batches(self._epoch))

    def __len__(self) -> int:
        return self._work.steps


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice away."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- the register -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contender:
    """A loop, what the tables call it, and the package that it needs."""

    label: str
    run: Callable[[Work], Round]
    package: str = "torch"

    @property
    def installed(self) -> bool:
        """Whether it can run here."""
        return find_spec(self.package) is not None


LOOPS = {
    "ours": Contender("modelcmp", ours),
    "bars": Contender("modelcmp with progress bars", ours_with_bars),
    "bare": Contender("by hand, tensors indexed", bare),
    "loader": Contender("by hand, DataLoader", bare_loader),
    "lightning": Contender("Lightning's Trainer", lightning, "lightning"),
}
