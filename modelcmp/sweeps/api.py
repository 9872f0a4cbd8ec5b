"""Sweeps, trials and their significance from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..training.config import Config
    from .progress import Listener
    from .records import Sweep
    from .statistics.records import Significance
    from .trials import Seeded


def sweep(
    config: Mapping[str, Any] | str | Path,
    *,
    folder: str | Path | None = None,
    jobs: int | None = None,
    engine: str = "local",
    listener: Listener | None = None,
) -> Sweep:
    """Search the best configuration of each architecture, or go on with the search in a folder.

    ``config`` is plain data or the path of a YAML file; its keys are those of docs/sweeping.md. ``folder`` is
    ``sweep-NAME`` by default. The result has every :class:`~modelcmp.sweeps.records.Trial` in its ``trials``.
    Raises BadInput before anything is trained; Interrupted after a signal, with all saved.
    """
    from ..training.config_file import open_document
    from ..training.yaml_text import Document
    from .config import read_sweep
    from .crew import Means
    from .search import search

    if isinstance(config, str | Path):
        found = read_sweep(open_document(Path(config)), stem=Path(config).stem)
    else:
        found = read_sweep(Document(dict(config), {}, "the config"))
    return search(found, Path(folder or f"sweep-{found.name}"), Means(jobs, engine), listener)


def trials(
    config: Mapping[str, Any] | str | Path | Config,
    seeds: int | Sequence[int] = 5,
    *,
    folder: str | Path,
    jobs: int | None = None,
    engine: str = "local",
    listener: Listener | None = None,
) -> Seeded:
    """Train each architecture of a training config with several seeds; what is there already is not trained again.

    ``seeds`` are so many from the config's on, or a list. The result has a
    :class:`~modelcmp.training.results.RunResult` for each run. Raises BadInput before anything is trained;
    Interrupted after a signal, with all saved.
    """
    from ..training.api import checked
    from .crew import Means
    from .seeds import check_seeds
    from .trials import run_trials, separate

    found = checked(config, {})
    chosen = range(found.seed, found.seed + seeds) if isinstance(seeds, int) else seeds
    return run_trials(separate(found), check_seeds(chosen), Path(folder), Means(jobs, engine), listener)


def significance(
    places: str | Path | Sequence[str | Path], by: str = "test_accuracy", *, confidence: float = 0.95,
    alpha: float = 0.05,
) -> Significance:  # fmt: skip
    """Which models can be told apart in one figure, from folders of trials, workspaces or runs.

    Raises BadInput where there are no runs, UnknownName for a figure that is none.
    """
    from ..training.grouping import load_groups
    from ..training.summary import check_key
    from .statistics.significance import significance as judged

    given = [places] if isinstance(places, str | Path) else list(places)
    groups, _ = load_groups([Path(place) for place in given])
    return judged(groups, check_key(by).key, confidence=confidence, alpha=alpha)
