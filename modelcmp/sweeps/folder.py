"""The folder of a search: its config, and that it holds no other."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from ..errors import BadInput, UsageError
from ..files import write_whole
from ..training.names import CONFIG
from ..training.plan import make_plan
from ..training.runtime import configured
from ..training.workspace import Workspace, found_from_anywhere, near
from .config import SweepConfig, differences, read_kept, sweep_yaml, trial_config
from .records import params_text
from .storage import file_of, open_storage, quiet, storage_url, told
from .units import data_of

#: What a search writes besides.
_OURS = ("runs", ".lock", ".stop", "study.*", "sweep_*")
_HINT = "# Go on with it: compare-models sweep --resume {0}\n# See it: compare-models study {0}\n"


def kept_config(folder: Path) -> SweepConfig:
    """The config of the search in a folder; raises BadInput where there is none."""
    file = folder / CONFIG
    if not file.is_file():
        raise BadInput(f"{near(folder)} is no folder of `compare-models sweep`: it holds no {CONFIG}")
    try:
        return read_kept(folder)
    except BadInput as error:
        raise BadInput(f"{near(folder)} holds no search that can be read: {error}") from error


def check_unused(folder: Path, config: SweepConfig) -> None:
    """Refuse a folder that holds another search, or something else; raises BadInput."""
    shown = near(folder)
    if not (folder / CONFIG).is_file():
        ours = (*_OURS, *([] if config.storage is None else [f"{config.storage}*", f".{config.storage}*"]))
        if folder.is_dir() and not all(any(map(p.match, ours)) for p in folder.iterdir()):
            raise BadInput(f"{shown} holds something else than a sweep: name another folder with --out-dir")
        return
    if changed := differences(kept_config(folder), placed(config)):
        raise BadInput(
            f"{shown} holds another search ({_few(changed)}): put it back, name another folder with --out-dir, or "
            "start over with --force"
        )


def _few(changed: list[str], most: int = 3, longest: int = 90) -> str:
    """The first of several differences, each cut to a length."""
    short = [words if len(words) <= longest else f"{words[: longest - 1]}…" for words in changed[:most]]
    return "; ".join(short) + (f"; and {len(changed) - most} more" if len(changed) > most else "")


def keep_config(folder: Path, config: SweepConfig) -> None:
    """Write the config into the folder, with the budget of this session; raises OutputError."""
    write_whole(folder / CONFIG, _HINT.format(near(folder)) + sweep_yaml(placed(config)))


def start_over(folder: Path, config: SweepConfig) -> None:
    """Forget what a search of this name recorded, and the runs of its trials; raises ModelcmpError."""
    import optuna

    url = storage_url(config.storage, folder)
    with Workspace(folder).locked():
        if file_of(url) is None or Path(str(file_of(url))).exists():
            storage = open_storage(url, create=True)
            with quiet(), told(url):
                names = [s.study_name for s in storage.get_all_studies()]
                for name in names:
                    if name in {f"{config.name}/{label}" for label in config.base.labels}:
                        optuna.delete_study(study_name=name, storage=storage)
        for label in config.base.labels:
            for run in (folder / "runs").glob(f"{label}-[0-9][0-9][0-9][0-9]*"):
                shutil.rmtree(run)
        (folder / CONFIG).unlink(missing_ok=True)


def placed(config: SweepConfig) -> SweepConfig:
    """The config with the user's own files named from the root, so that a search can go on from any folder."""
    storage = config.storage
    if storage is not None and "://" not in storage and "$" not in storage and os.path.dirname(storage):
        storage = os.path.abspath(storage)
    return replace(config, base=found_from_anywhere(config.base), storage=storage)


def try_out(config: SweepConfig) -> None:
    """Plan one configuration of each architecture, so that what is wrong is said first; raises ModelcmpError."""
    import optuna

    with quiet():
        drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for label, space in config.spaces.items():
        params = space.suggest(drawn.ask())
        first = trial_config(config, label, params)
        try:
            with configured(first):
                make_plan(first, data=data_of(first))
        except UsageError as error:
            raise BadInput(f"{label}, at {params_text(params)}: {error}") from error
