"""Weights & Biases: offline by default, so that no account and no network is needed."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..layout import make_folder, read_object, write_object
from ..values import numbers
from .exporter import Run

_LONGEST_TAG = 64


class Wandb:
    """Writes ``<folder>/wandb/offline-run-...``; ``wandb sync`` uploads it. Options of ``wandb.init`` are passed on.

    Each track is drawn over its own step, ``<track>/step``.
    """

    name = "wandb"
    packages = ("wandb",)

    def __init__(self, mode: str = "offline", **options: Any) -> None:
        self._mode, self._options = mode, options
        self._run: Any = None
        self._tracks: set[str] = set()

    def open(self, run: Run) -> None:
        """Begin a run; on resume one with the id of the last, which is joined to it when both are synced."""
        if self._mode == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its crash reports use the network
        import wandb

        settings = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True)
        self._tracks = set()
        make_folder(run.folder / "wandb")
        self._run = wandb.init(**{
            "project": re.sub(r"[/\\#?%:]", "-", run.workspace), "name": run.name, "notes": run.readme or None,
            "tags": [tag[:_LONGEST_TAG] for tag in run.tags if tag], "dir": str(run.folder), "id": _run_id(run),
            "mode": self._mode, "resume": "allow", "reinit": "create_new", "settings": settings, **self._options,
        })  # fmt: skip

    def params(self, values: Mapping[str, Any]) -> None:
        """Set the config."""
        self._run.config.update(dict(values), allow_val_change=True)

    def row(self, track: str, row: Mapping[str, Any], step: int) -> None:
        """Add the numbers of a row to the history."""
        if track not in self._tracks:
            self._run.define_metric(f"{track}/*", step_metric=f"{track}/step")
            self._tracks.add(track)
        self._run.log({f"{track}/{key}": value for key, value in numbers(row)} | {f"{track}/step": step})

    def log(self, level: str, message: str) -> None:
        """Nothing: its log is what the terminal shows."""

    def file(self, path: Path, prefix: str) -> None:
        """Add a file to those of the run; a link where the file system has them, for none of ours is changed."""
        place = Path(self._run.dir) / prefix.strip("/") / path.name
        make_folder(place.parent)
        place.unlink(missing_ok=True)
        try:
            os.link(path, place)
        except OSError:
            shutil.copy2(path, place)
        self._run.save(str(place), base_path=self._run.dir)

    def rewind(self, track: str, step: int) -> None:
        """Nothing: an offline history only grows. Rows that come again are drawn over the same steps."""

    def flush(self) -> None:
        """Nothing: its own process writes."""

    def close(self, failed: bool = False) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish(exit_code=int(failed))
            self._run = None


def _run_id(run: Run) -> str:
    """The id of the run that was shown of this folder when it is resumed, else a new one, which is kept."""
    path = run.folder / "wandb" / "run.json"
    kept, _ = read_object(path)
    if run.resume and kept and isinstance(kept.get("id"), str):
        return str(kept["id"])
    write_object(path, {"id": (found := secrets.token_hex(4))})
    return found
