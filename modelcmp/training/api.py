"""Training from Python: :func:`train` a config, or go on with a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import run
from .config import Config
from .config_file import load_config, make_config
from .progress import Listener
from .run import Trained
from .side_by_side import Means


def train(
    config: Mapping[str, Any] | str | Path | Config,
    *,
    workspace: str | Path | None = None,
    force: bool = False,
    jobs: int = 1,
    engine: str = "local",
    listener: Listener | None = None,
) -> Trained:
    """Train several architectures under identical settings, select on validation and test once.

    ``config`` is plain data, the path of a YAML file or a :class:`Config`; its keys are those of docs/training.md.
    ``force`` starts over in a workspace that is in use, ``jobs`` trains that many models side by side. The result has
    the ``workspace`` folder and a :class:`~modelcmp.training.results.RunResult` for each model, in order.
    Raises BadInput before anything is trained; Interrupted after a signal, with all saved.
    """
    given = {} if workspace is None else {"workspace": str(workspace)}
    return run.train(checked(config, given), force=force, means=Means(jobs, engine), listener=listener)


def resume(workspace: str | Path, *, jobs: int = 1, engine: str = "local", listener: Listener | None = None) -> Trained:
    """Go on with a run that was interrupted; what is finished is not trained again. Raises BadInput."""
    return run.resume(Path(workspace), means=Means(jobs, engine), listener=listener)


def checked(config: Mapping[str, Any] | str | Path | Config, given: Mapping[str, Any]) -> Config:
    """The config of whatever names one, with some keys over it; raises BadInput."""
    if isinstance(config, Config):
        return config.model_copy(update=dict(given))
    if isinstance(config, str | Path):
        return load_config(Path(config), given=given)
    return make_config({**config, **given})
