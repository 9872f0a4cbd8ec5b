"""Data of the pictures over seeds: each run as a point, and learning curves with a band."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import BadInput
from ...files import write_whole
from ...sweeps.statistics.student import mean_std
from ...training.grouping import Group, counted_runs
from ...training.results import RunResult
from ...training.summary import BROKEN, check_key, ranked_value
from .saving import rendered
from .training import number

NAMES = ("trials_seeds.png", "trials_curves.png")
#: From this number of seeds on a box is drawn too: the quartiles of fewer are the points themselves.
BOX_FROM = 8


@dataclass(frozen=True, slots=True)
class Strip:
    """One figure of one group: a point a run, each seed once."""

    name: str
    points: tuple[tuple[int | None, float], ...]  # seed and value
    mean: float | None
    std: float | None  # n - 1; None for fewer than two
    quartiles: tuple[float, float, float] | None  # for BOX_FROM points and more, linearly between them
    missing: Mapping[str, int]  # runs without the figure by their status: {"diverged": 1}


@dataclass(frozen=True, slots=True)
class SeedStrips:
    """All groups in one or more figures: ``panels`` has a key and one strip a group."""

    panels: tuple[tuple[str, tuple[Strip, ...]], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the groups, in their order."""
        return tuple(s.name for s in self.panels[0][1])


def seed_strip(groups: Sequence[Group], keys: Sequence[str] = ("test_loss", "test_accuracy")) -> SeedStrips:
    """Each run's figures by group; what diverged or failed is counted, not drawn. Raises UnknownName."""
    return SeedStrips(tuple((check_key(k).key, tuple(_strip(g, k) for g in groups)) for k in keys))


def _strip(group: Group, key: str) -> Strip:
    entry = check_key(key)
    runs = [run.result for run in counted_runs(group, lambda r: ranked_value(r, entry) is not None)]
    values = [(r.settings.get("seed"), ranked_value(r, entry), r.status) for r in runs]
    points = tuple((seed, float(v)) for seed, v, _ in values if v is not None)
    figures = [v for _, v in points]
    mean, std = mean_std(figures) if figures else (None, None)
    missing = Counter(str(status) for _, v, status in values if v is None)
    return Strip(group.name, points, mean, std, _quartiles(figures), missing)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    if len(values) < BOX_FROM:
        return None
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


# -- over epochs ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BandPoint:
    """One epoch of a group."""

    epoch: int
    runs: int  # that have a figure there
    mean: float
    std: float | None  # n - 1; None for a single run


@dataclass(frozen=True, slots=True)
class Band:
    """One group over its epochs, in one figure of the history."""

    name: str
    colour: int  # its place among all groups: the same in each picture
    points: tuple[BandPoint, ...]
    runs: int  # that took part at all

    @property
    def whole(self) -> tuple[BandPoint, ...]:
        """Epochs that all runs reached, from the first on: what follows is of those that were still there."""
        n = next((i for i, p in enumerate(self.points) if p.runs < self.runs), len(self.points))
        return self.points[:n]


@dataclass(frozen=True, slots=True)
class LearningBands:
    """All groups over their epochs: ``panels`` has a key of the history and one band a group that has any."""

    panels: tuple[tuple[str, tuple[Band, ...]], ...]
    broken: Mapping[str, int]  # runs that diverged or failed and are left out, by group
    missing: tuple[str, ...]  # groups without a finite figure


HISTORY = ("train_loss", "val_loss", "val_accuracy")


def learning_bands(groups: Sequence[Group], keys: Sequence[str] = HISTORY) -> LearningBands:
    """Mean and one standard deviation over seeds at each epoch.

    A run that stopped early counts as far as it went. Runs that diverged or failed are left out and counted.
    """
    panels = tuple((key, tuple(_band(g, i, key) for i, g in enumerate(groups))) for key in keys)
    shown = tuple((key, tuple(b for b in bands if b.points)) for key, bands in panels)
    found = {b.name for _, bands in shown for b in bands}
    broken = {g.name: count for g in groups if (count := _broken(g))}
    return LearningBands(shown, broken, tuple(g.name for g in groups if g.name not in found | broken.keys()))


def _broken(group: Group) -> int:
    """Seeds of which no run went well."""
    return sum(run.result.status in BROKEN for run in counted_runs(group, lambda r: r.status not in BROKEN))


def _band(group: Group, colour: int, key: str) -> Band:
    figures: dict[int, list[float]] = {}
    seeds = counted_runs(group, lambda r: r.status not in BROKEN and bool(_figures(r, key)))
    runs = [_figures(run.result, key) for run in seeds if run.result.status not in BROKEN]
    for run in runs:
        for epoch, value in run.items():
            figures.setdefault(epoch, []).append(value)
    points = tuple(_point(epoch, figures[epoch]) for epoch in sorted(figures))
    return Band(group.name, colour, points, sum(bool(run) for run in runs))


def _figures(result: RunResult, key: str) -> dict[int, float]:
    """Finite figures of a run by epoch."""
    found = {int(row.get("epoch", i)): number(row.get(key)) for i, row in enumerate(result.history, 1)}
    return {epoch: value for epoch, value in found.items() if value is not None}


def _point(epoch: int, values: Sequence[float]) -> BandPoint:
    mean, std = mean_std(values)
    return BandPoint(epoch, len(values), mean, std)


# -- files ----------------------------------------------------------------------------------------


def save_trials_plots(groups: Sequence[Group], folder: Path, title: str = "") -> list[Path]:
    """Draw ``trials_seeds.png`` and ``trials_curves.png`` into a folder.

    Figures are of the test split where any run was evaluated on it, else of validation. Raises BadInput without
    groups and OutputError where a file cannot be written.
    """
    if not groups:
        raise BadInput("there is no group of runs to draw")
    from .seeds_draw import draw_bands, draw_strips
    from .style import house_style
    from .training import split_of

    split = split_of([r for g in groups for r in g.results])
    strips, bands = seed_strip(groups, (f"{split}_loss", f"{split}_accuracy")), learning_bands(groups)
    behind = f": {title}" if title else ""
    with house_style():
        write_whole(folder / NAMES[0], rendered(draw_strips(strips, f"Over seeds{behind}"), "png"))
        write_whole(folder / NAMES[1], rendered(draw_bands(bands, f"Training over seeds{behind}"), "png"))
    return [folder / name for name in NAMES]
