"""Writing dumps beside training: a thread, a bounded queue, one reason to stop."""

from __future__ import annotations

import atexit
import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ModelcmpError, OutputError, own_words
from ..files import new_file_mode
from . import safetensors_file, torch_file
from .buffers import Buffer, Pool
from .capture import Capture, Place, Taken, with_slots
from .contents import Contents
from .hashing import batch_fingerprint
from .layout import Layout, Slot
from .ledger import Ledger
from .options import DumpOptions
from .thinning import LARGE, apart, remainder
from .writing import write_file

#: Added to the niceness of the thread that writes, where each thread has its own.
_NICER = 5
_NOTHING = Layout((), 0, 0, 0)


class DumpWriter:
    """Copies at the step, writes in the background; stops dumping, never training, where something goes wrong.

    ``stopped`` says why, in one line; ``error`` is the OutputError behind it, None where a budget was used up;
    ``notes`` says what was left out, each thing once.
    """

    def __init__(self, folder: Path, options: DumpOptions) -> None:
        self.folder, self.options = folder, options
        self.stopped = ""
        self.error: OutputError | None = None
        self._pool = Pool(options.queue_size)
        self._capture = Capture(folder, options, self._pool)
        self._ledger = Ledger(folder, options, self._thinned)
        self._noted: set[str] = set()
        self.notes: deque[str] = deque()
        self._mode = new_file_mode()
        self._todo: deque[Callable[[], None]] = deque()
        self._change = threading.Condition()
        self._busy = self._over = self._begun = False
        self._thread: threading.Thread | None = None
        self._at_exit = _flushed_at_exit(self)

    def begin(self, place: Place) -> None:
        """Remove the dumps of this place and later ones that an earlier run left, or this one before a checkpoint."""
        self._begun = True
        try:
            self._ledger.begin(place.epoch, place.batch)
        except OSError as error:
            self._stop(error)

    def prepare(self, contents: Contents, batch: Any = None) -> None:
        """Have memory ready before the first dump."""
        try:
            size, pinned = self._capture.size(contents, batch)
        except Exception as error:
            self._stop(error)
        else:
            self._do(lambda: self._pool.warm(size, pinned))

    def take(
        self, contents: Contents, place: Place, batch: Any = None, full: bool = True, begun_at: Place | None = None
    ) -> Taken | None:
        """Copy a dump into memory; None where dumping has stopped or cannot go on.

        ``begun_at``: where the first dump removes what lies there and later, its own place by default.
        """
        if self.stopped:
            return None
        try:
            if not self._begun:
                self.begin(begun_at or place)
            taken = self._capture.take(contents, place, batch, full)
            for key, kind in self._capture.left_out.items():
                self._note(f"{key!r} is of the type {kind}, which no dump can hold: left out")
            return taken
        except Exception as error:  # whatever it is, training goes on
            self._stop(error)
            return None

    def send(self, taken: Taken, loss: Any = None, acc: Any = None) -> None:
        """Have a dump written; returns at once."""
        taken.loss, taken.acc = self._held("loss", loss), self._held("acc", acc)
        self._do(lambda: self._write(taken))

    def flush(self) -> None:
        """Wait until all that was sent is on the disk."""
        with self._change:
            self._change.wait_for(lambda: not self._todo and not self._busy)

    def close(self) -> None:
        """Flush, and end the thread. A second call does nothing."""
        self.flush()
        with self._change:
            self._over = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        atexit.unregister(self._at_exit)

    # -- in the thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        with suppress(OSError, AttributeError):  # on Linux a thread has a niceness of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + _NICER)
        while True:
            with self._change:
                self._change.wait_for(lambda: self._todo or self._over)
                if not self._todo:
                    return
                task, self._busy = self._todo.popleft(), True
            try:
                task()
            except Exception as error:  # whatever it is, training goes on
                self._stop(error)
            finally:
                with self._change:
                    self._busy = False
                    self._change.notify_all()

    def _write(self, taken: Taken) -> None:
        try:
            if self.stopped:
                return
            self._pool.warm(taken.buffer.size, taken.buffer.pinned)
            for event in taken.ready:
                event.synchronize()
            self._write_now(taken)
        finally:
            self._pool.give(taken.buffer)

    def _write_now(self, taken: Taken) -> None:
        late = self._completed(taken)
        pieces = self._pieces(taken.buffer.memory, taken.layout, taken.record, late)
        counted = taken.full and taken.place.batch > 0
        self.stopped = self._ledger.refusal(taken.path, sum(map(len, pieces)), counted)
        if self.stopped:
            return
        size = write_file(taken.path, *pieces, self._mode)
        rest = None
        if late and self.options.keep_last is not None:
            small = {k: v for k, v in taken.record.items() if k not in LARGE}
            rest = self._later(taken.path, small, late)
        self._ledger.add(taken.path, size, rest, counted)

    def _later(self, path: Path, record: dict[str, Any], late: dict[str, bytes]) -> Callable[[], int]:
        """Writes what stays of a dump when its tensors go."""
        return lambda: write_file(path, *self._pieces(memoryview(b""), _NOTHING, record, late), self._mode)

    def _thinned(self, path: Path) -> int:
        """Rewrite a dump of an earlier session to its statistics; where it cannot be read it stays."""
        try:
            record, late = remainder(path)
            pieces = _rendered(path.suffix[1:], memoryview(b""), _NOTHING, record, late)
        except Exception:
            return path.stat().st_size
        return write_file(path, *pieces, self._mode)

    def _completed(self, taken: Taken) -> dict[str, bytes]:
        """Add to a record what can be found out from its copy; the storages that are not in the buffer."""
        late: dict[str, bytes] = {}
        slots = taken.layout.slots
        taken.record = with_slots(taken.record, slots) | {"loss": _number(taken.loss), "acc": _number(taken.acc)}
        if taken.seen:
            taken.record["stats"], late = _stats(with_slots(taken.seen, slots), taken.buffer)
        taken.record["batch_fingerprint"] = None
        if taken.batch is not None:
            inputs, targets = _in_memory(with_slots(taken.batch, taken.behind), taken.buffer)
            taken.record["batch_fingerprint"] = batch_fingerprint(inputs, targets)
        return late

    def _pieces(
        self, memory: memoryview, layout: Layout, record: dict[str, Any], late: dict[str, bytes]
    ) -> tuple[bytes, memoryview, bytes]:
        """The parts of a file, as write_file takes them."""
        return _rendered(self.options.format, memory, layout, record, late)

    # -- in training ----------------------------------------------------------------------------------

    def _do(self, task: Callable[[], None]) -> None:
        with self._change:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="dumps", daemon=True)
                self._thread.start()
            self._todo.append(task)
            self._change.notify_all()

    def _held(self, name: str, value: Any) -> Any:
        """A number as it is now; on a GPU without waiting for it. None for what is no number."""
        if isinstance(value, Tensor):
            if value.numel() == 1 and not value.is_complex():
                return value.detach().clone()
        elif value is None:
            return None
        else:
            with suppress(TypeError, ValueError, OverflowError):
                return float(value.item() if getattr(value, "size", None) == 1 else value)
        shape = getattr(value, "shape", None)
        what = type(value).__name__ if shape is None else f"{type(value).__name__} of shape {tuple(shape)}"
        self._note(f"{name} is a single number, not a {what}: left out")
        return None

    def _note(self, words: str) -> None:
        if words not in self._noted:
            self._noted.add(words)
            self.notes.append(words)

    def _stop(self, error: BaseException) -> None:
        if self.stopped:
            return
        words = str(error) if isinstance(error, ModelcmpError) else own_words(error)
        self.error = OutputError(f"dumping has stopped, training went on: {words}")
        self.stopped = str(self.error)


def _flushed_at_exit(writer: DumpWriter) -> Callable[[], None]:
    """Write what is waiting when the process ends; does not keep the writer alive."""
    known = weakref.ref(writer)

    def flush() -> None:
        alive = known()
        if alive is not None and not alive.stopped:
            alive.flush()
            if alive.stopped:
                warnings.warn(alive.stopped, stacklevel=1)

    atexit.register(flush)
    return flush


def _rendered(
    format: str, memory: memoryview, layout: Layout, record: dict[str, Any], late: dict[str, bytes]
) -> tuple[bytes, memoryview, bytes]:
    if format == "pt":
        return b"", memory[: layout.body], torch_file.render(memory, layout, record, late)
    head, tail = safetensors_file.render(layout, record, late)
    return head, memory[: layout.body], tail


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _in_memory(value: Any, buffer: Buffer) -> Any:
    """A batch with its tensors over the buffer."""
    if isinstance(value, Slot):
        return buffer.view(value.offset, value.dtype, value.shape)
    if isinstance(value, dict):
        return {key: _in_memory(inner, buffer) for key, inner in value.items()}
    return [_in_memory(inner, buffer) for inner in value] if isinstance(value, list | tuple) else value


def _stats(seen: dict[str, dict[str, Slot]], buffer: Buffer) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The statistics of each tensor, their histograms in one storage."""
    from .stats import tensor_stats

    return apart({
        kind: {name: tensor_stats(buffer.view(s.offset, s.dtype, s.shape)) for name, s in named.items()}
        for kind, named in seen.items()
    })  # fmt: skip
