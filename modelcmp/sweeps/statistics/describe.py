"""One figure of one group of runs: its values over seeds, their mean and spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ...training.grouping import Group, Run, counted_runs, seed_of
from ...training.summary import RANK_KEYS, RankKey, check_key, ranked_value
from .records import Spread
from .student import half_width, mean_std


@dataclass(frozen=True, slots=True)
class Sample:
    """The runs of a group that have a figure, each seed once; what diverged or failed has none."""

    name: str
    runs: tuple[Run, ...]
    values: tuple[float, ...]
    seeds: tuple[int, ...]  # () where any run did not record its seed
    missing: Mapping[str, int]  # runs without the figure, by status

    def at(self, seeds: tuple[int, ...]) -> tuple[tuple[Run, ...], tuple[float, ...]]:
        """The runs and values of these seeds, in their order."""
        places = [self.seeds.index(seed) for seed in seeds]
        return tuple(self.runs[i] for i in places), tuple(self.values[i] for i in places)


def sample(group: Group, entry: RankKey) -> Sample:
    """The runs of a group that have a figure.

    Of the runs of one seed the first counts: the same again is no further evidence.
    """
    runs = counted_runs(group, lambda result: ranked_value(result, entry) is not None)
    valued = [(run, float(value)) for run in runs if (value := ranked_value(run.result, entry)) is not None]
    missing: Counter[str] = Counter(run.result.status for run in runs if ranked_value(run.result, entry) is None)
    seeds = tuple(seed for run, _ in valued if (seed := seed_of(run.result)) is not None)
    return Sample(
        group.name, tuple(run for run, _ in valued), tuple(value for _, value in valued),
        seeds if len(seeds) == len(valued) else (), dict(missing),
    )  # fmt: skip


def spread(group: Group, key: str, *, confidence: float = 0.95) -> Spread:
    """Mean, standard deviation (n - 1) and Student's interval of the mean of a figure over a group's seeds.

    Runs without the figure are counted by their status, and left out. Raises UnknownName.
    """
    entry = RANK_KEYS[key] if key in RANK_KEYS else check_key(key)
    return spread_of(sample(group, entry), entry.key, confidence)


def spread_of(found: Sample, key: str, confidence: float) -> Spread:
    """The same of runs that have been chosen."""
    if not found.values:
        return Spread(found.name, key, (), (), found.missing)
    mean, std = mean_std(found.values)
    half = None if std is None else half_width(std, len(found.values), confidence)
    ends = (None, None) if half is None else (mean - half, mean + half)
    return Spread(found.name, key, found.values, found.seeds, found.missing, mean, std, *ends)
