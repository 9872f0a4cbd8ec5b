"""The folder of a comparison: what lies where, whose it is, and that nobody else writes into it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BadInput, ModelcmpError, OutputError
from ..files import write_whole
from .config import Config
from .config_file import as_yaml, load_config
from .names import folder_name

CONFIG = "config.yaml"
#: Keys that may change when a run goes on: they decide nothing that is computed.
_FREE = ("workspace", "tags", "trackers", "description", "workers", "checkpoint_interval")
#: What a comparison writes besides the folders of its models.
_OURS = (CONFIG, "trained_models", "model_comparison_summary.csv", "model_comparison_summary.json", ".stop",
         "comparison_training_curves.png", "comparison_metrics.png", "comparison_confusion_matrices.png",
         "comparison_roc_curves.png")  # fmt: skip


class Workspace:
    """The folder of a comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def run(self, label: str) -> Path:
        """The folder of a model's session."""
        return self.path / folder_name(label)

    def weights(self, label: str) -> Path:
        """The file of a model's best weights."""
        return self.path / "trained_models" / f"{label}_comparison.pt"

    @property
    def stop_file(self) -> Path:
        """Through which processes that train are asked to stop."""
        return self.path / ".stop"

    def config(self) -> Config:
        """The config of the comparison; raises BadInput where the folder holds none."""
        if not (self.path / CONFIG).is_file():
            raise BadInput(f"{self.path} is no workspace of `compare-models train`: it holds no {CONFIG}")
        return load_config(self.path / CONFIG)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out; raises ModelcmpError where one is at work."""
        try:
            with FileLock(str(self.path / ".lock"), timeout=0):
                yield
        except Timeout:
            raise ModelcmpError(
                f"{self.path} is being trained in by another process: wait, or name another workspace"
            ) from None


def near(path: Path) -> Path:
    """A path from the current folder, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def default_path() -> Path:
    """A new folder's name."""
    return Path(f"comparison-{datetime.now():%Y%m%dT%H%M%S}")


def begin(workspace: Workspace, config: Config, force: bool = False) -> None:
    """Make a workspace for a config; ``force`` clears what another comparison left there. Raises OutputError."""
    path = near(workspace.path)
    try:
        if force:
            _clear(workspace)
        workspace.path.mkdir(parents=True, exist_ok=True)
        (workspace.path / "trained_models").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    text = (
        f"# Go on with it, or see it again:\n#   compare-models train --resume {path}\n#   compare-models rank {path}\n"
    )
    write_whole(workspace.path / CONFIG, text + as_yaml(config))


def check_free(workspace: Workspace, config: Config, force: bool = False) -> None:
    """Refuse a folder that is in use; raises BadInput."""
    path = workspace.path
    shown = near(path)
    if path.exists() and not path.is_dir():
        raise BadInput(f"{shown} is a file: name a folder for --out-dir")
    if force or not (path / CONFIG).is_file():
        return
    changed = differences(workspace.config(), config)
    if changed:
        raise BadInput(
            f"{shown} holds a comparison of another config ({'; '.join(changed)}): "
            "name another folder with --out-dir, or start over in it with --force"
        )
    raise BadInput(
        f"{shown} holds this comparison already: `compare-models train --resume {shown}` goes on with it, "
        f"`compare-models rank {shown}` shows it, --force starts over"
    )


def differences(old: Config, new: Config) -> list[str]:
    """The keys that decide figures and differ, with both values.

    >>> differences(Config(models=["cnn"]), Config(models=["cnn"], epochs=3, tags=["x"]))
    ['epochs: 10 there, 3 here']
    """
    a, b = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [f"{k}: {_short(a[k])} there, {_short(b[k])} here" for k in a if k not in _FREE and a[k] != b[k]]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if v not in (None, {}, 0)}
        return str(value.get("name")) if set(value) == {"name"} else str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)


def _clear(workspace: Workspace) -> None:
    """Remove what a comparison wrote, and nothing else."""
    for folder in workspace.path.glob(folder_name("*")):
        if (folder / "session.json").is_file():
            shutil.rmtree(folder)
    for name in _OURS:
        place = workspace.path / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
