"""Dumping from anyone's training loop: two lines."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import nn

from ..errors import BadInput
from .capture import Place
from .contents import contents_of
from .options import DumpOptions, dump_options
from .writer import DumpWriter


class BatchDumper:
    """Writes what a training loop computes, so that two runs can be compared step by step.

    ::

        with modelcmp.BatchDumper("outputs/reference_model", interval=10) as dumper:
            for epoch in range(epochs):
                for x, y in loader:
                    loss = criterion(model(x), y)
                    loss.backward()
                    optimizer.step()
                    dumper.step(model, optimizer, loss=loss, batch=(x, y), epoch=epoch)
                    optimizer.zero_grad()

    Files: ``<folder>/batch_dumps/epoch_001/batch_0010.pt``, every ``interval`` batches of an epoch. ``include`` names
    parts of a dump: weights, optimizer, grads, stats (statistics of every tensor each ``stats_interval`` batches).
    ``dtype`` stores floating-point tensors in another type. ``keep_last`` full dumps stay, ``disk_budget_bytes``
    (a number, or "10GB") is never passed. At most ``queue_size`` copies are in memory. Of several processes the first
    writes. Raises BadInput for options that make no sense.
    """

    def __init__(
        self, folder: str | os.PathLike[str], interval: int = 10, *, epochs: int | None = None,
        include: Iterable[str] = ("weights", "optimizer"), dtype: Any = None, format: str = "pt",
        keep_last: int | None = None, disk_budget_bytes: int | str | None = None, stats_interval: int = 1,
        queue_size: int = 2,
    ) -> None:  # fmt: skip
        self.options: DumpOptions = dump_options(
            interval=interval, epochs=epochs, include=include, dtype=dtype, format=format, keep_last=keep_last,
            disk_budget_bytes=disk_budget_bytes, stats_interval=stats_interval, queue_size=queue_size,
        )  # fmt: skip
        self._writer = DumpWriter(Path(folder), self.options) if _writes() else None
        self._epoch, self._batch, self._step = 1, 0, 0
        self._first: int | None = None  # what the first epoch is called, 0 or 1
        self._told = False

    @property
    def stopped(self) -> str:
        """Why dumping has stopped: an error, or the disk budget; empty while it goes on."""
        return self._writer.stopped if self._writer is not None else ""

    def start(self, model: nn.Module, optimizer: Any = None) -> None:
        """Dump the state before the first step, as batch 0; does nothing after it."""
        if self._writer is not None and self._step == 0 and self.options.stored:
            taken = self._writer.take(contents_of(model, optimizer), Place(self._epoch, 0, 0))
            if taken is not None:
                self._writer.send(taken)
            self._tell()

    def step(
        self, model: nn.Module, optimizer: Any = None, *, loss: Any = None, acc: Any = None, batch: Any = None,
        epoch: int | None = None, batch_index: int | None = None,
    ) -> None:  # fmt: skip
        """Count a step of the optimizer, and dump where it is time; call it after ``optimizer.step()``.

        ``loss`` and ``acc``: numbers or tensors, of this batch. ``batch``: inputs and targets, for their fingerprint.
        ``epoch``: its number; where the first one given is 0, one is added to each. ``batch_index``: the batch's
        position in the epoch from 0, as ``enumerate`` gives it; left out, calls are counted. A position that is not
        larger than the last begins the next epoch. Raises BadInput for what is no model or optimizer.
        """
        before = self._count(epoch, batch_index)
        if self._writer is None or self._writer.stopped:
            self._tell()
            return
        due = self.options.due(self._epoch, self._batch, before)
        if due is not None:
            place = Place(self._epoch, self._batch, self._step)
            taken = self._writer.take(contents_of(model, optimizer), place, batch, due == "full")
            if taken is not None:
                self._writer.send(taken, loss, acc)
        elif self._step == 1:
            self._writer.prepare(contents_of(model, optimizer), batch)
        self._tell()

    def epoch(self, number: int) -> None:
        """Say which epoch the next steps belong to; 0 as the first one means that they count from 0."""
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise BadInput(f"an epoch is a whole number from 0 or 1, not {number!r}")
        if self._first is None:
            self._first = min(number, 1)
        number += 1 - self._first
        if number < 1:
            raise BadInput("epoch 0 after epochs that count from 1")
        if number != self._epoch:
            self._epoch, self._batch = number, 0

    def next_epoch(self) -> None:
        """Begin another epoch, unless the one at hand has no step yet."""
        if self._batch:
            self._epoch, self._batch = self._epoch + 1, 0

    def go_on(self, *, epoch: int, batch: int, step: int) -> None:
        """Count from where a checkpoint was made: epoch and batch from 1 (the last one done), steps over all epochs."""
        self._epoch, self._batch, self._step = epoch, batch, step

    def flush(self) -> None:
        """Wait until all dumps so far are on the disk."""
        if self._writer is not None:
            self._writer.flush()
            self._tell()

    def close(self) -> None:
        """Flush, and raise what went wrong in the background as an OutputError of one line."""
        if self._writer is not None:
            self._writer.close()
            self._tell()
            if self._writer.error is not None:
                raise self._writer.error

    def __enter__(self) -> BatchDumper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:  # what ended training says more than this
            self._writer.close()
            self._tell()

    def _count(self, epoch: int | None, batch_index: int | None) -> int:
        """Move on by a step; the batch of the step before in this epoch."""
        if epoch is not None:
            self.epoch(epoch)
        if batch_index is not None and batch_index < self._batch:
            self.next_epoch()
        before = self._batch
        self._batch = self._batch + 1 if batch_index is None else batch_index + 1
        self._step += 1
        return before

    def _tell(self) -> None:
        """Say once that dumping has stopped."""
        if self._writer is not None and self._writer.stopped and not self._told:
            self._told = True
            warnings.warn(self._writer.stopped, stacklevel=3)


def _writes() -> bool:
    """Whether this is the process that writes: the first of several."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"
