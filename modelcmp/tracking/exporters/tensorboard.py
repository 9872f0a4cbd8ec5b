"""TensorBoard: event files in the session folder, a run of its own for each track."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..values import numbers
from .exporter import Run


class TensorBoard:
    """Writes ``<folder>/tensorboard/<track>/events...`` with tags ``<track>/<column>``; parameters and log as text.

    With a ``logdir``: ``<logdir>/<workspace>/<name>/<track>/``, since many workspaces have sessions of one name. What
    is set first of the parameters is shown by the HParams tab, too, beside the last values of all tracks.

    Each track has an event file of its own, so that rewinding one leaves the others alone.
    """

    name = "tensorboard"
    packages = ("tensorboard",)

    def __init__(self, logdir: str | os.PathLike[str] | None = None) -> None:
        self._logdir = logdir
        self._root = Path()
        self._events: dict[str, Events] = {}
        self._params: dict[str, Any] = {}
        self._lines = 0

    def open(self, run: Run) -> None:
        """Add event files beside those that are there."""
        below = Path(run.workspace, run.name)
        self._root = run.folder / "tensorboard" if self._logdir is None else Path(self._logdir) / below
        self._events, self._params, self._lines = {}, {}, 0
        if run.readme or run.tags:
            self._of("").text("about", f"{run.readme}\n\n{' '.join(f'`{tag}`' for tag in run.tags)}", 0)

    def _of(self, track: str) -> Events:
        if track not in self._events:
            self._events[track] = Events(self._root / track)
        return self._events[track]

    def params(self, values: Mapping[str, Any]) -> None:
        """Show all parameters as a table of text; those that are set first to the HParams tab, which reads no more."""
        if not self._params:
            self._of("").hparams({k: v for k, v in values.items() if isinstance(v, bool | int | float | str)})
        self._params |= values
        rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in sorted(self._params.items())]
        self._of("").text("params", "\n".join(["| parameter | value |", "| --- | --- |", *rows]), 0)

    def row(self, track: str, row: Mapping[str, Any], step: int) -> None:
        """Add the numbers of a row as scalars."""
        self._of(track).scalars({f"{track}/{key}": value for key, value in numbers(row)}, step, row.get("_ts"))

    def log(self, level: str, message: str) -> None:
        """Add a line as text."""
        self._of("").text("log", f"**{level}** {message}", self._lines)
        self._lines += 1

    def file(self, path: Path, prefix: str) -> None:
        """Nothing: event files hold no files."""

    def rewind(self, track: str, step: int) -> None:
        """Have TensorBoard drop what it read of this track from a step on."""
        self._of(track).restart(step)

    def flush(self) -> None:
        """Hand the events to the operating system."""
        for events in self._events.values():
            events.flush()

    def close(self, failed: bool = False) -> None:
        """Close the event files."""
        for events in self._events.values():
            events.close()
        self._events = {}


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


class Events:
    """One event file; written by this thread, with tensorboard's own record format."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files by name: later ones must sort last.
        self._file: BinaryIO = open(folder / f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}", "xb")  # noqa: SIM115
        self._writer = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def _write(self, wall_time: float | None = None, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(wall_time=time.time() if wall_time is None else wall_time, **what)
        self._writer.write(event.SerializeToString())

    def scalars(self, values: Mapping[str, float], step: int, wall_time: float | None) -> None:
        """Add scalars of one step."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(wall_time, step=step, summary=summary)

    def text(self, tag: str, text: str, step: int) -> None:
        """Add a text in Markdown."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode("utf-8", "replace")], tensor_shape=shape)
        self._write(step=step, summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]))

    def hparams(self, values: Mapping[str, bool | int | float | str]) -> None:
        """Say that this folder is a run with these hyperparameters; what lies below it are its metrics."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        start = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for key, value in values.items():
            kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
            setattr(start.hparams[key], f"{kind}_value", value)
        held = plugin_data_pb2.HParamsPluginData(session_start_info=start, version=metadata.PLUGIN_DATA_VERSION)
        plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME, content=held.SerializeToString())
        known, nothing = SummaryMetadata(plugin_data=plugin), metadata.NULL_TENSOR
        found = Summary.Value(tag=metadata.SESSION_START_INFO_TAG, metadata=known, tensor=nothing)
        self._write(summary=Summary(value=[found]))

    def restart(self, step: int) -> None:
        """Say that the steps from here on come again."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._write(step=step, session_log=SessionLog(status=SessionLog.START))

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
