"""The folder of a comparison: what lies where, whose it is, and that nobody else writes into it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import BadInput, ModelcmpError, OutputError
from ..files import write_whole
from ..tracking.names import check_name
from .config import Config
from .config_file import as_data, as_yaml, load_config, make_config
from .data.base import SplitName
from .names import CONFIG, folder_name

IDENTITY = "identity.json"
#: Keys that may change when a run goes on: they decide nothing that is computed.
_FREE = ("workspace", "tags", "trackers", "description", "workers", "checkpoint_interval", "dump_interval", "dump")
#: What a comparison writes besides the folders and weights of its models.
_OURS = (CONFIG, IDENTITY, ".stop", "model_comparison_summary.csv", "model_comparison_summary.json",
         "comparison_training_curves.png", "comparison_metrics.png", "comparison_confusion_matrices.png",
         "comparison_roc_curves.png")  # fmt: skip


class Workspace:
    """The folder of a comparison."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))

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

    @property
    def tests(self) -> bool:
        """Whether its models may be judged on the test split; trials of a search may not."""
        try:
            return bool(json.loads((self.path / IDENTITY).read_text("utf-8")).get("tests", True))
        except (OSError, ValueError, AttributeError):
            return True  # what is wrong with it is said where it is needed

    def config(self) -> Config:
        """The config of the comparison; raises BadInput where the folder holds none."""
        file = self.path / CONFIG
        if not file.is_file():
            raise BadInput(f"{near(self.path)} is no workspace of `compare-models train`: it holds no {CONFIG}")
        return load_config(file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out; raises ModelcmpError where one is at work, OutputError without a folder."""
        lock = FileLock(str(self.path / ".lock"), timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ModelcmpError(
                f"{near(self.path)} is being trained in by another process: wait, or name another folder"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot write {near(self.path)}: {error.strerror or error}") from error
        try:
            yield
        finally:
            lock.release()


def near(path: Path) -> Path:
    """A path from the current folder, where it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) and path != here else path


def default_path() -> Path:
    """A new folder's name."""
    return Path(f"comparison-{datetime.now():%Y%m%dT%H%M%S}")


def begin(
    workspace: Workspace, config: Config, digests: Mapping[SplitName, str], force: bool = False, tests: bool = True
) -> None:
    """Make a workspace for a config, inside its lock; ``force`` clears what another comparison left there.

    Without ``tests`` its models are never judged on the test split: they are tried to choose among them. Raises
    BadInput where the folder is in use, OutputError where it cannot be written.
    """
    check_free(workspace, config, force)
    path = near(workspace.path)
    try:
        if force:
            _clear(workspace, config)
        (workspace.path / "trained_models").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    kept = found_from_anywhere(config)
    identity = {"config": as_data(kept), "digests": dict(digests), "tests": tests}
    write_whole(workspace.path / IDENTITY, json.dumps(identity, indent=1) + "\n")
    hint = f"# Go on with it: compare-models train --resume {path}\n# See it again: compare-models rank {path}\n"
    write_whole(workspace.path / CONFIG, hint + as_yaml(kept))


def check_free(workspace: Workspace, config: Config, force: bool = False) -> None:
    """Refuse a folder that is in use or that holds something else; raises BadInput."""
    path, shown = workspace.path, near(workspace.path)
    check_name("workspace", path.name)
    if (path / CONFIG).is_file():
        _check_other(workspace, config, force)
    elif not force and (taken := [label for label in config.labels if workspace.run(label).exists()]):
        raise BadInput(
            f"{shown} holds {folder_name(taken[0])} of an unknown config: name another folder with --out-dir, "
            "or start over in it with --force"
        )


def _check_other(workspace: Workspace, config: Config, force: bool) -> None:
    shown = near(workspace.path)
    if not (workspace.path / IDENTITY).is_file():
        raise BadInput(f"{shown} holds a {CONFIG} that `compare-models train` has not written: name another folder")
    if force:
        return
    changed = differences(workspace.config(), found_from_anywhere(config))
    if changed:
        raise BadInput(
            f"{shown} holds a comparison of another config ({'; '.join(changed)}): "
            "name another folder with --out-dir, or start over in it with --force"
        )
    raise BadInput(
        f"{shown} holds this comparison already: `compare-models train --resume {shown}` goes on with it, "
        f"`compare-models rank {shown}` shows it, --force starts over"
    )


def check_unchanged(workspace: Workspace, config: Config, digests: Mapping[SplitName, str]) -> None:
    """Refuse to go on where the config or the data are not those that the comparison began with; raises BadInput."""
    file = workspace.path / IDENTITY
    try:
        identity = json.loads(file.read_text("utf-8"))
        began, seen = make_config(identity["config"]), identity["digests"]
    except (OSError, ValueError, TypeError, KeyError, ModelcmpError) as error:
        raise BadInput(f"{near(file)} cannot be read, which says what the comparison began with: {error}") from error
    if changed := differences(began, config):
        raise BadInput(
            f"{near(workspace.path / CONFIG)} was changed since training began ({'; '.join(changed)}): "
            "put it back, or train into another folder"
        )
    if other := [split for split in seen if seen[split] != digests.get(split)]:
        raise BadInput(
            f"the data of {near(workspace.path)} have changed since training began (split {', '.join(other)}): "
            "put them back, or train into another folder"
        )


def differences(old: Config, new: Config) -> list[str]:
    """The keys that decide figures and differ, with both values.

    >>> differences(Config(models=["cnn"]), Config(models=["cnn"], epochs=3, tags=["x"]))
    ['epochs: 10 there, 3 here']
    """
    a, b = old.model_dump(mode="json"), new.model_dump(mode="json")
    return [f"{k}: {_short(a[k])} there, {_short(b[k])} here" for k in a if k not in _FREE and a[k] != b[k]]


def found_from_anywhere(config: Config) -> Config:
    """The config with the user's own files and folders named from the root, so that a run can go on from any folder."""
    models = [m.model_copy(update={"name": _absolute(m.name)}) for m in config.models]
    root = config.data.root
    placed = {} if root is None else {"root": os.path.abspath(root)}
    data = config.data.model_copy(update={"name": _absolute(config.data.name), **placed})
    given = {"data"} & config.model_fields_set
    return config.model_copy(update={"models": models, **({"data": data} if given else {})})


def _absolute(spec: str) -> str:
    file, colon, name = spec.rpartition(":")
    if file.endswith(".py"):
        return f"{os.path.abspath(file)}{colon}{name}"
    return os.path.abspath(spec) if spec.endswith(".py") else spec


def _short(value: Any) -> str:
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if v not in (None, {}, 0)}
        return str(value.get("name")) if set(value) == {"name"} else str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return str(value)


def _clear(workspace: Workspace, config: Config) -> None:
    """Remove what the comparison of the folder's config, or one of this config, wrote, and nothing else."""
    labels: Sequence[str] = config.labels
    if (workspace.path / CONFIG).is_file():
        with suppress(ModelcmpError):  # damaged: what it named is left where it is
            labels = [*labels, *workspace.config().labels]
    for label in labels:
        if (workspace.run(label) / "session.json").is_file():
            shutil.rmtree(workspace.run(label))
        workspace.weights(label).unlink(missing_ok=True)
    for name in _OURS:
        (workspace.path / name).unlink(missing_ok=True)
