"""Dumping from anyone's training loop: two lines."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from torch import nn

from ..errors import BadInput, ModelcmpError
from .capture import Place
from .contents import Contents, contents_of
from .options import DumpOptions, dump_options, whole
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
        self._origin: Place | None = None  # where the run begins, or goes on, as far as the folder is concerned
        self._told = self._closed = self._claimed = False

    @property
    def closed(self) -> bool:
        """Whether it was closed; it takes no step then."""
        return self._closed

    @property
    def stopped(self) -> str:
        """Why dumping has stopped: an error, or the disk budget; empty while it goes on."""
        return self._writer.stopped if self._writer is not None else ""

    def start(self, model: nn.Module, optimizer: Any = None) -> None:
        """Dump the state before the first step, as batch 0; does nothing after it."""
        self._enter()
        if self._writer is not None and self._step == 0:
            place = Place(self._epoch, 0, 0)
            self._begins(0)
            self._dump(place, contents_of(model, optimizer), None, bool(self.options.stored))
            self._tell()

    def step(
        self, model: nn.Module, optimizer: Any = None, *, loss: Any = None, acc: Any = None, batch: Any = None,
        epoch: int | None = None, batch_index: int | None = None,
    ) -> None:  # fmt: skip
        """Count a step of the optimizer, and dump where it is time; call it after ``optimizer.step()``.

        ``loss`` and ``acc``: numbers or tensors, of this batch. ``batch``: inputs and targets, for their fingerprint.
        ``epoch``: its number; where the first one given is 0, one is added to each. ``batch_index``: the batch's
        position in the epoch from 0, as ``enumerate`` gives it; left out, calls are counted. A position that is not
        larger than the last begins the next epoch. Raises BadInput for what is no model or optimizer, no number of an
        epoch or batch, and where another dumper writes into the folder; ModelcmpError after ``close()``.
        """
        self._enter()
        before = self._count(epoch, batch_index)
        if self._writer is None or self._writer.stopped:
            self._tell()
            return
        due = self.options.due(self._epoch, self._batch, before)
        if due is not None:
            place = Place(self._epoch, self._batch, self._step)
            self._dump(place, contents_of(model, optimizer), batch, due == "full", loss, acc)
        elif self._step == 1:
            self._writer.prepare(contents_of(model, optimizer), batch)
        self._tell()

    def epoch(self, number: int) -> None:
        """Say which epoch the next steps belong to; 0 as the first one means that they count from 0."""
        number = whole("epoch", number, 0)
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
        """Count from where a checkpoint was made: epoch and batch from 1 (the last one done), steps over all epochs.

        ``batch`` is 0 before the epoch's first. Raises BadInput for other numbers.
        """
        self._epoch, self._batch = whole("epoch", epoch, 1), whole("batch", batch, 0)
        self._step = whole("step", step, 0)
        self._origin = Place(self._epoch, self._batch + 1 if self._step or self._batch else 0, self._step)

    def flush(self) -> None:
        """Wait until all dumps so far are on the disk."""
        if self._writer is not None:
            self._writer.flush()
            self._tell()

    def close(self) -> None:
        """Flush, and raise what went wrong in the background as an OutputError of one line."""
        self._end()
        if self._writer is not None and self._writer.error is not None:
            raise self._writer.error

    def __enter__(self) -> BatchDumper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:  # what ended training says more than this
            self._end()

    def _enter(self) -> None:
        """Before each step: refuse what can only go wrong."""
        if self._closed:
            raise ModelcmpError("BatchDumper is closed: make another one, with go_on() where the run goes on")
        if self._writer is not None and not self._claimed:
            _claim(self, self._writer)
            self._claimed = True

    def _end(self) -> None:
        self._closed = True
        if self._writer is not None:
            self._writer.close()
            self._tell()

    def _dump(
        self, place: Place, contents: Contents, batch: Any, full: bool, loss: Any = None, acc: Any = None
    ) -> None:
        assert self._writer is not None
        everything = Place(0, 0, 0)  # of no checkpoint, no later epoch: another run than the one that lies there
        taken = self._writer.take(contents, place, batch, full, self._origin or everything)
        if taken is not None:
            self._writer.send(taken, loss, acc)

    def _count(self, epoch: int | None, batch_index: int | None) -> int:
        """Move on by a step; the batch of the step before in this epoch."""
        at = None if batch_index is None else whole("batch_index", batch_index, 0)
        if epoch is not None:
            self.epoch(epoch)
        if at is not None and at < self._batch:
            self.next_epoch()
        before = self._batch
        self._batch = self._batch + 1 if at is None else at + 1
        self._step += 1
        if self._step == 1:
            self._begins(self._batch)
        return before

    def _begins(self, batch: int) -> None:
        """A run whose first step is in a later epoch goes on."""
        if self._origin is None and self._epoch > 1:
            self._origin = Place(self._epoch, batch, 0)

    def _tell(self) -> None:
        """Say once that dumping has stopped, and what was left out."""
        while self._writer is not None and self._writer.notes:
            warnings.warn(f"dumping: {self._writer.notes.popleft()}", stacklevel=3)
        if self._writer is not None and self._writer.stopped and not self._told:
            self._told = True
            warnings.warn(self._writer.stopped, stacklevel=3)


#: The dumpers that are in use, and their writers, by folder; those that are forgotten are not held.
_USED: WeakValueDictionary[Path, BatchDumper] = WeakValueDictionary()
_WRITING: WeakValueDictionary[Path, DumpWriter] = WeakValueDictionary()


def _claim(dumper: BatchDumper, writer: DumpWriter) -> None:
    """Take a folder for a dumper; raises BadInput where another one writes into it."""
    folder = writer.folder.resolve()
    other = _USED.get(folder)
    if other is not None and other is not dumper and not other.closed:
        raise BadInput(f"another BatchDumper writes into {writer.folder}: close() it first, or take another folder")
    left = _WRITING.get(folder)
    if left is not None:  # of a dumper that was dropped without close()
        left.close()
    _USED[folder], _WRITING[folder] = dumper, writer


def _writes() -> bool:
    """Whether this is the process that writes: the first of several."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"
