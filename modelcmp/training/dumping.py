"""A model's dumps while it trains: what its steps computed, beside the loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ..dumps.capture import Place, Taken
from ..dumps.contents import Contents, contents_of
from ..dumps.writer import DumpWriter
from .checkpoint import model_state, optimizer_state
from .config import Config
from .learner import Learner
from .progress import Progress


class Dumping:
    """Dumps the steps of a learner; the processes that only help to train give what they hold and write nothing.

    ``warn`` is told once, where dumping stops. A learner without dumps costs nothing.
    """

    def __init__(
        self, learner: Learner, config: Config, progress: Progress, folder: Path, warn: Callable[[str], None]
    ) -> None:
        self._learner, self._progress, self._warn = learner, progress, warn
        self.options = config.dumping
        self._initial = config.dump is None or config.dump.initial
        writes = self.options is not None and learner.runtime.main
        self._writer = DumpWriter(folder, self.options) if writes and self.options is not None else None
        self._taken: Taken | None = None
        self._told = False

    @property
    def error(self) -> str:
        """What went wrong, if dumping stopped for it."""
        return str(self._writer.error or "") if self._writer is not None else ""

    @property
    def due(self) -> bool:
        """Whether the last step was one that is dumped: its loss and accuracy are wanted."""
        p = self._progress
        return self.options is not None and self.options.due(p.epoch, p.batch) is not None

    def begin(self) -> None:
        """Watch the learner; drop what was dumped after the checkpoint; dump the state before the first step."""
        options, p = self.options, self._progress
        if options is None:
            return
        self._learner.watch = self._watch
        if self._writer is not None:
            self._writer.begin(Place(p.epoch, p.batch + 1 if p.step else 0, p.step))
        if self._initial and p.step == 0:
            self._take(Place(p.epoch, 0, 0), None, bool(options.stored))
            self._send(None, None)

    def after_step(self, loss: float, accuracy: float) -> None:
        """Have the dump of the last step written, if one was taken, with its figures."""
        self._send(loss, accuracy)
        self._tell()

    def flush(self) -> None:
        """Wait until all dumps so far are on the disk: a checkpoint must not be ahead of them."""
        if self._writer is not None:
            self._writer.flush()
            self._tell()

    def close(self, loss: float, accuracy: float) -> None:
        """Write what was taken last, and end."""
        self._learner.watch = None
        if self._writer is not None:
            self._send(loss, accuracy)
            self._writer.close()
            self._tell()

    def _watch(self, inputs: Tensor, targets: Tensor) -> None:
        """Copy what a step has left; the loop counts it afterwards."""
        assert self.options is not None
        p = self._progress
        place = Place(p.epoch, p.batch + 1, p.step + 1)
        due = self.options.due(place.epoch, place.batch)
        whole = self._learner.runtime.share.of == 1
        batch = (inputs, targets) if whole else None
        if due is not None:
            self._take(place, batch, due == "full")
        elif place.step == 1 and self._writer is not None and not self._learner.runtime.sharded:
            self._writer.prepare(self._contents(), batch)

    def _take(self, place: Place, batch: Any, full: bool) -> None:
        if self._writer is None and not self._learner.runtime.sharded:
            return
        contents = self._contents()  # by all processes where each holds a part
        if self._writer is not None:
            self._taken = self._writer.take(contents, place, batch, full)

    def _send(self, loss: float | None, accuracy: float | None) -> None:
        if self._writer is not None and self._taken is not None:
            self._writer.send(self._taken, loss, accuracy)
        self._taken = None

    def _contents(self) -> Contents:
        learner = self._learner
        if not learner.runtime.sharded:
            return contents_of(learner.plain, learner.optimizer)
        return _gathered(learner)

    def _tell(self) -> None:
        while self._writer is not None and self._writer.notes:
            self._warn(f"dumping: {self._writer.notes.popleft()}")
        if self._writer is not None and self._writer.stopped and not self._told:
            self._told = True
            self._warn(self._writer.stopped)


def _gathered(learner: Learner) -> Contents:
    """Whole tensors of a model that is dealt out over processes; all of them must call this."""
    grads = {name: p.grad for name, p in learner.model.named_parameters() if p.grad is not None}
    state = optimizer_state(learner)
    groups = state.get("param_groups", [])
    names = [list(group["params"]) for group in groups]
    numbers = {name: i for i, name in enumerate(name for group in names for name in group)}
    plain = {
        "state": {numbers[name]: entry for name, entry in state.get("state", {}).items()},
        "param_groups": [
            {**g, "params": [numbers[n] for n in inside]} for g, inside in zip(groups, names, strict=True)
        ],
    }
    return Contents(
        weights=model_state(learner),
        grads={name: grad.full_tensor() if hasattr(grad, "full_tensor") else grad for name, grad in grads.items()},
        optimizer=plain,
        optimizer_name=type(learner.optimizer.optimizer).__name__,
        names=names,
    )
