"""The training loop of one model."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..tensor_files import save_tensors
from .batches import batch_count, batches, chained, epoch_order
from .checkpoint import model_state, save_checkpoint
from .config import Config
from .data.base import DataSet, all_finite
from .dumping import Dumping
from .learner import Learner, Step, finite
from .memory import MemoryMark
from .progress import Listener, Progress
from .recorder import Recorder
from .stopping import Diverged, StopSign, improved, watch

#: Steps between two looks at a GPU's losses: each look waits for it.
_LOOK_EVERY = 20
#: Epochs that follow each other faster share a checkpoint.
SAVE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where a model's files go."""

    checkpoint: Path
    best: Path
    dumps: Path


class Loop:
    """Trains one model from where its progress stands to the end of its budget."""

    def __init__(
        self, name: str, learner: Learner, config: Config, data: DataSet, progress: Progress, recorder: Recorder,
        places: Places, listener: Listener, sign: StopSign,
    ) -> None:  # fmt: skip
        self.name, self.learner, self.config, self.data = name, learner, config, data
        self.progress, self.recorder, self.places = progress, recorder, places
        self.listener, self.sign = listener, sign
        self.ending = ""  # why it ended before its epochs
        self._pending: list[tuple[int, float, Step]] = []
        self._last = (0.0, 0.0)  # loss and accuracy of the last step that was looked at
        self._inputs: Tensor | None = None  # of the last step
        self._saved = time.monotonic()
        self._memory = MemoryMark(learner.runtime.device, progress.peak_memory_bytes)
        self.dumping = Dumping(learner, config, progress, places.dumps, self._warn)
        self._look_every = 1 if learner.runtime.device.type == "cpu" else _LOOK_EVERY

    def run(self) -> None:
        """Train; raises Diverged, Interrupted, OutputError or what the model raises."""
        self.dumping.begin()
        try:
            self._train()
        finally:
            self.dumping.close(*self._last)

    def _train(self) -> None:
        for epoch in range(self.progress.epoch, self.config.epochs + 1):
            if self.progress.batch == 0 and (self._over() or self._out_of_patience()):
                return  # an epoch that was begun is ended: it has a row, and may be the best
            self._train_epoch(epoch)
            self._end_epoch()
            self._next_epoch()
            if self.learner.runtime.share.of == 1:  # several processes must agree: they do at the next step
                self.sign.check(self._words())
        self._out_of_patience()

    def _out_of_patience(self) -> bool:
        rule = self.config.early_stopping
        if rule is not None and self.progress.waited >= rule.patience:
            self.ending = f"stopped early: no better {rule.metric} for {rule.patience} epochs"
        return bool(self.ending)

    def _train_epoch(self, epoch: int) -> None:
        p = self.progress
        count = len(self.data.train)
        order = epoch_order(count, self.config.seed, epoch)
        if p.batch == 0:
            p.order_digest = chained(p.order_digest, order)
        if self._over():
            return
        self.learner.model.train()
        last = batch_count(count, self.config.batch_size)
        feed = batches(
            self.data.train,
            order,
            self.config.batch_size,
            self.learner.runtime.share,
            p.batch,
            last,
            self.config.workers,
        )
        mark = time.perf_counter()
        for batch in feed:
            p.rate, self._inputs = self.learner.rate, batch.inputs
            step = self.learner.step(batch, epoch, p.batch)
            p.batch += 1
            p.step += 1
            p.samples += batch.total
            self._pending.append((p.step, p.rate, step))
            stop = self._look() if p.step % self._look_every == 0 else False
            now = time.perf_counter()
            p.seconds, p.epoch_seconds = p.seconds + now - mark, p.epoch_seconds + now - mark
            if self._after_step(stop, p.batch == last):
                return
            mark = time.perf_counter()  # saving is no part of training's time
        self._look()

    def _after_step(self, stop: bool, last: bool) -> bool:
        """Dump and save where it is time; whether the epoch ends here. Raises Interrupted."""
        p, c = self.progress, self.config
        if self.dumping.due:
            self._look()
            self.dumping.after_step(*self._last)
        if stop:
            self._look()
            self._save()
            self.sign.check(self._words())
        if not last and c.checkpoint_interval is not None and p.step % c.checkpoint_interval == 0:
            self._look()
            self._save()
        return self._over()

    def _over(self) -> bool:
        """Whether the budget is used up."""
        p, c = self.progress, self.config
        if c.max_steps is not None and p.step >= c.max_steps:
            self.ending = f"stopped after {c.max_steps} steps (max_steps)"
        elif c.max_minutes is not None and self.learner.runtime.told(p.seconds) >= c.max_minutes * 60:
            self.ending = f"stopped after {c.max_minutes:g} minutes (max_minutes)"
        return bool(self.ending)

    def _look(self) -> bool:
        """Read the losses of the steps since the last look, record them, and hear whether to stop."""
        p, share = self.progress, self.learner.runtime.share
        stop = False
        for number, rate, step in self._pending:
            values = [float(step.loss) * step.weight, float(step.correct) * (step.count > 0), step.count, step.weight]
            if share.of > 1:
                *values, raised = self.learner.runtime.total([*values, float(self.sign.up)])
                stop = stop or raised > 0
            loss_sum, correct, count, weight = values
            loss, accuracy = self._last = (loss_sum / weight, correct / count)
            p.loss_sum, p.weight = p.loss_sum + loss_sum, p.weight + weight
            p.correct, p.seen = p.correct + correct, p.seen + int(count)
            self.recorder.step(p.epoch, number, loss, accuracy, rate)
            if not finite(loss):
                self._pending.clear()
                raise Diverged(f"the loss became {loss} at step {number} (epoch {p.epoch}){self._blame()}")
        if self._pending:
            self.listener.stepped(
                self.name, p.step, loss, p.correct / p.seen, p.samples / p.seconds if p.seconds else 0
            )
        self._pending.clear()
        if share.of == 1:
            return self.sign.up
        if stop and not self.sign.up:
            self.sign.number = signal.SIGTERM  # another process has had it
        return stop

    def _end_epoch(self) -> None:
        """Validate, keep the best weights, record the epoch."""
        p, c = self.progress, self.config
        p.peak_memory_bytes = self._memory.peak()
        self.learner.end_epoch()
        val_loss, val_accuracy = self.learner.measure(self.data.val, c.batch_size, c.workers)
        row: dict[str, float] = {
            "epoch": p.epoch, "train_loss": p.loss_sum / p.weight, "train_accuracy": p.correct / p.seen,
            "val_loss": val_loss, "val_accuracy": val_accuracy, "lr": p.rate, "seconds": p.epoch_seconds,
        }  # fmt: skip
        p.history.append(row)
        watch(p, c.early_stopping)
        if improved(row[c.select_by], p.best, c.select_by):
            p.best, p.best_epoch = row[c.select_by], p.epoch
            self._save_best()
        self.recorder.epoch(row, p.step)
        self.recorder.log(_in_words(row, c.epochs), facts=row)
        self.listener.ended_epoch(self.name, row, c.epochs)

    def _next_epoch(self) -> None:
        self.progress.begin_epoch(self.progress.epoch + 1)
        if self._save_is_due() or self._over() or self._out_of_patience() or self.progress.epoch > self.config.epochs:
            self._save()

    def _save_is_due(self) -> bool:
        """Whether what was done since the last checkpoint is worth a file: epochs may take milliseconds."""
        due = self.sign.up or time.monotonic() - self._saved >= SAVE_EVERY_S
        return bool(self.learner.runtime.told(due))

    def _save(self) -> None:
        self.dumping.flush()
        self.progress.rows = self.recorder.saved()
        save_checkpoint(self.learner, self.progress, self.places.checkpoint)
        self._saved = time.monotonic()

    def _save_best(self) -> None:
        state = on_cpu(model_state(self.learner))
        if self.learner.runtime.main:
            save_tensors(state, self.places.best)

    def _warn(self, words: str) -> None:
        """Say that something beside training went wrong."""
        self.recorder.log(words, "warning")
        self.listener.warned(f"{self.name}: {words}")

    def _blame(self) -> str:
        """Whether the data are to blame, as far as the last batch tells."""
        if self._inputs is None or all_finite(self._inputs):
            return ""
        return ": its batch holds inputs that are no finite numbers"

    def _words(self) -> str:
        """Where training stopped."""
        p = self.progress
        return f"{self.name} was stopped after step {p.step} (epoch {min(p.epoch, self.config.epochs)}) and saved"


def on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict that loads on any machine."""
    return {k: v.detach().cpu() if isinstance(v, Tensor) else v for k, v in state.items()}


def _in_words(row: Mapping[str, float], epochs: int) -> str:
    """An epoch in one line."""
    return (
        f"epoch {row['epoch']:.0f}/{epochs}: loss {row['train_loss']:.4f}, accuracy {row['train_accuracy']:.4f}, "
        f"validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.4f}, {row['seconds']:.1f} s"
    )
