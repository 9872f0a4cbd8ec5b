"""Dumps out of other people's training loops: Lightning's and Hugging Face's Trainer.

::

    lightning.Trainer(callbacks=[lightning_callback("outputs/reference_model", interval=10)])
    transformers.Trainer(..., callbacks=[trainer_callback("outputs/reference_model", interval=10)])

Both dump once for each step of the optimizer, after it and before the gradients are zeroed; batches are counted in
steps of the optimizer, epochs from 1. Under gradient accumulation the loss is that of the step, and the batch is the
list of what was accumulated. The optimizer is the first where there are several. Options are BatchDumper's.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import ModelcmpError
from .options import dump_options

_LIGHTNING = ("lightning.pytorch", "pytorch_lightning")
_ACC = ("acc", "accuracy")


def lightning_callback(folder: Any, interval: int = 10, **options: Any) -> Any:
    """A callback for Lightning's Trainer, of both packages: lightning and pytorch_lightning.

    The loss is the one that ``training_step`` returns; so is ``acc``, where it returns a dict that has it. Names are
    those of the LightningModule. Raises ModelcmpError without the package, BadInput for options that make no sense.
    """
    feed = _Feed(folder, interval, options)
    return _lightning_class()(feed)


def trainer_callback(folder: Any, interval: int = 10, **options: Any) -> Any:
    """A callback for ``transformers.Trainer``; the same object cannot serve two trainers at once.

    Batch and loss are what the model's forward is given and returns, so there is no loss where the Trainer computes it
    (``compute_loss_func``, label smoothing). Names are those of the model that the Trainer was given. Raises
    ModelcmpError without the package, BadInput for options that make no sense.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise ModelcmpError("transformers is not installed: `pip install transformers`") from error
    return _trainer_class(transformers.TrainerCallback)(_Feed(folder, interval, options))


class _Feed:
    """Collects what a step was made of, and hands it to a BatchDumper that is made when training begins.

    Not earlier: only then is known which of several processes this one is.
    """

    def __init__(self, folder: Any, interval: int, options: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {"include": ("weights", "optimizer"), "interval": interval, **options}
        dump_options(**given)
        self.folder, self.interval, self.options = folder, interval, dict(options)
        self.dumper: Any = None
        self.batches: list[Any] = []
        self.losses: list[Any] = []

    def begin(self, model: Any, optimizer: Any, epoch: int = 1, batch: int = 0, step: int = 0) -> None:
        """Make the dumper; ``step`` > 0 goes on from a checkpoint. Epochs count from 1."""
        from .dumper import BatchDumper

        if self.dumper is not None:  # of a training that ended without its hook
            self.dumper.__exit__(RuntimeError, None, None)
        self.dumper = BatchDumper(self.folder, self.interval, **self.options)
        self.forget()
        if step:
            self.go_on(epoch, batch, step)
        self.dumper.start(model, optimizer)

    def go_on(self, epoch: int, batch: int, step: int) -> None:
        """Count from the last step that was done."""
        self.dumper.go_on(epoch=epoch, batch=batch, step=step)

    def add(self, batch: Any, loss: Any) -> None:
        """A batch went forward; ``loss`` is its part of the step's."""
        self.batches.append(batch)
        self.losses.append(loss.detach() if hasattr(loss, "detach") else loss)

    def step(self, model: Any, optimizer: Any, epoch: int, batch_index: int | None = None, acc: Any = None) -> None:
        """The optimizer made a step."""
        known = [loss for loss in self.losses if loss is not None]
        loss = sum(known[1:], known[0]) if known and len(known) == len(self.losses) else None
        batch = self.batches[0] if len(self.batches) == 1 else _side_by_side(self.batches)
        self.dumper.step(model, optimizer, loss=loss, acc=acc, batch=batch, epoch=epoch, batch_index=batch_index)
        self.forget()

    def forget(self) -> None:
        """Begin to collect anew."""
        self.batches, self.losses = [], []

    def end(self) -> None:
        """Flush; raises OutputError for what went wrong in the background."""
        if self.dumper is not None:
            self.dumper.close()

    def fail(self, error: BaseException) -> None:
        """Flush, as training ends by an error that says more than ours."""
        if self.dumper is not None:
            self.dumper.__exit__(type(error), error, error.__traceback__)


def _side_by_side(batches: list[Any]) -> Any:
    """Batches that were accumulated, as one of lists: all inputs, then all targets."""
    from .hashing import split_batch

    if not batches:
        return None
    inputs, targets = zip(*map(split_batch, batches), strict=True)
    return list(inputs), list(targets)


def _lightning_class() -> type[Any]:
    """A subclass of the Callback of each of the packages that is in use."""
    loaded = [name for name in _LIGHTNING if name in sys.modules]
    bases: list[Any] = []
    for name in loaded or _LIGHTNING:
        try:
            bases.append(importlib.import_module(name).Callback)
        except ImportError:
            continue
        if not loaded:
            break
    if not bases:
        raise ModelcmpError("Lightning is not installed: `pip install lightning`")
    return type("DumpCallback", (_LightningHooks, *dict.fromkeys(bases)), {})


class _LightningHooks:
    """Lightning's hooks; mixed into its Callback."""

    def __init__(self, feed: _Feed) -> None:
        super().__init__()
        self.feed = feed
        self._steps, self._resumed = 0, False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._steps = trainer.global_step
        self._resumed = self._steps > 0
        self.feed.begin(pl_module, _optimizer(trainer), trainer.current_epoch + 1, 0, self._steps)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._resumed:  # only now is known where in the epoch
            self.feed.go_on(trainer.current_epoch + 1, batch_idx // trainer.accumulate_grad_batches, self._steps)
            self._resumed = False

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        found = outputs if isinstance(outputs, Mapping) else {"loss": outputs}
        self.feed.add(batch, found.get("loss"))  # already divided by the number of batches that are accumulated
        if trainer.global_step == self._steps:
            return
        self._steps = trainer.global_step
        acc = next((found[key] for key in _ACC if key in found), None)
        index = batch_idx // trainer.accumulate_grad_batches
        self.feed.step(pl_module, _optimizer(trainer), trainer.current_epoch + 1, index, acc)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.feed.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self.feed.fail(exception)


def _optimizer(trainer: Any) -> Any:
    return trainer.optimizers[0] if trainer.optimizers else None


def _trainer_class(base: Any) -> type[Any]:
    return type("DumpCallback", (_TrainerHooks, base), {})


class _TrainerHooks:
    """The Trainer's hooks; mixed into its TrainerCallback."""

    def __init__(self, feed: _Feed) -> None:
        super().__init__()
        self.feed = feed
        self._hook: Any = None
        self._epoch, self._accumulated = 1, 1

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self._accumulated = args.gradient_accumulation_steps
        self._release()
        self._hook = model.register_forward_hook(self._after_forward, with_kwargs=True)
        epoch, batch = _place(state)
        self.feed.begin(model, kwargs.get("optimizer"), epoch, batch, state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._epoch = _place(state)[0]
        self.feed.forget()

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.feed.step(model, kwargs.get("optimizer"), self._epoch)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._release()
        self.feed.end()

    def _after_forward(self, model: Any, given: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
        """Note what a training batch was and what it cost."""
        if not model.training:
            return
        of_all = named.get("num_items_in_batch") is not None  # then losses add up to the step's, else their mean is it
        loss = _loss(output)
        batch = {key: value for key, value in named.items() if key != "num_items_in_batch"} or given
        self.feed.add(batch, loss if loss is None or of_all else loss / self._accumulated)

    def _release(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def _loss(output: Any) -> Any:
    """The loss in what a model returns; None where there is no single number."""
    if isinstance(output, Mapping):
        found = output.get("loss")
    else:
        found = output[0] if isinstance(output, tuple) and output else getattr(output, "loss", None)
    return found.detach() if found is not None and getattr(found, "numel", int)() == 1 else None


def _place(state: Any) -> tuple[int, int]:
    """Epoch from 1, and steps done in it, out of the fraction of epochs that the Trainer counts."""
    passed = state.epoch or 0.0
    epochs = math.floor(passed + 1e-6)
    per_epoch = state.global_step / passed if passed else 0.0
    return epochs + 1, max(0, state.global_step - round(epochs * per_epoch))
