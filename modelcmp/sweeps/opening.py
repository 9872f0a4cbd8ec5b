"""Optuna's own studies of a sweep, for its plots."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .records import Sweep
from .storage import open_storage, quiet, told


def load_studies(sweep: Sweep, models: Iterable[str]) -> dict[str, Any]:
    """The study of each architecture, by label; raises ModelcmpError for a storage that cannot be read."""
    import optuna

    storage = open_storage(sweep.storage, create=False)
    with quiet(), told(sweep.storage):
        names = {study.study_name for study in storage.get_all_studies()}
        called = {m: f"{sweep.name}/{m}" if f"{sweep.name}/{m}" in names else m for m in models}
        return {m: optuna.load_study(study_name=name, storage=storage) for m, name in called.items()}
