"""Several seeds of each architecture, each in its own configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, ModelcmpError
from ..training.config import Config
from ..training.names import CONFIG
from ..training.plan import make_plan
from ..training.results import RunResult, load_result
from ..training.runtime import configured
from ..training.stopping import StopSign, watching_signals
from ..training.workspace import Workspace, differences, found_from_anywhere, near
from .crew import Crew, Ended, Means, stop_file
from .progress import Listener, Silent
from .units import Unit, data_of, data_words

_ALONE = Means()


@dataclass(frozen=True, slots=True)
class Seeded:
    """What became of all seeds, and where they lie."""

    folder: Path
    results: tuple[RunResult, ...]
    lost: tuple[Ended, ...]  # units without any result


def separate(config: Config) -> dict[str, Config]:
    """A config of its own for each architecture, by label."""
    labelled = zip(config.labels, config.models, strict=True)
    return {
        label: config.model_copy(update={"models": [m.model_copy(update={"label": label})], "workspace": None})
        for label, m in labelled
    }


def seed_units(configs: Mapping[str, Config], seeds: Sequence[int], folder: Path) -> list[Unit]:
    """A unit for each architecture and seed, seed by seed, so that what is done can be compared at any time."""
    return [
        Unit(f"{label}-seed-{seed}", folder / "runs" / f"{label}-seed-{seed}",
             config.model_copy(update={"seed": seed}), test=True, stop_file=stop_file(folder))
        for seed in seeds
        for label, config in configs.items()
    ]  # fmt: skip


def run_trials(
    configs: Mapping[str, Config], seeds: Sequence[int], folder: Path, means: Means = _ALONE,
    listener: Listener | None = None,
) -> Seeded:  # fmt: skip
    """Train every architecture with every seed, select on validation and test each once; what is done stays.

    Raises BadInput for what cannot be trained, or a folder that holds other trials, before anything is trained;
    Interrupted after a signal, with all saved.
    """
    listener, folder = listener or Silent(), folder.absolute()
    units = seed_units(configs, seeds, folder)
    _check_same(folder, configs)
    with watching_signals(StopSign(), stop_file(folder)) as sign, Workspace(folder).locked():
        stop_file(folder).unlink(missing_ok=True)
        left = [unit for unit in units if not _done(unit)]
        _try_out([u for u in left if u.config.seed == left[0].config.seed], listener)
        listener.planned(
            {label: len(seeds) for label in configs},
            {label: sum(u.label == label and u not in left for u in units) for label in configs},
        )
        lost = _train(left, means, listener, sign)
        sign.check(f"stopped; what was trained is saved, the same command goes on with {near(folder)}")
    found = [load_result(unit.run) for unit in units if unit.run.is_dir()]
    return Seeded(folder, tuple(found), tuple(lost))


def _train(left: Sequence[Unit], means: Means, listener: Listener, sign: StopSign) -> list[Ended]:
    lost: list[Ended] = []
    waiting = iter(left)

    def draw() -> Unit | None:
        unit = next(waiting, None)
        if unit is not None:
            listener.began(unit.label, unit.name, f"seed {unit.config.seed}")
        return unit

    def note(ended: Ended) -> None:
        if ended.result is None:
            lost.append(ended)
        listener.ended(ended.unit.label, ended.unit.name, _words(ended), "")

    if left:
        with Crew(means, listener, sign) as crew:
            crew.work(draw, note)
    return lost


def _words(ended: Ended) -> str:
    """How a unit went."""
    r = ended.result
    if r is None or r.status != "finished":
        return f"failed: {ended.error}" if r is None else f"{r.status}: {r.message}"
    figures = r.test or r.val or {}
    return f"{'test' if r.test else 'val'} accuracy {figures['accuracy']:.4f}, loss {figures['loss']:.4f}"


def _try_out(units: Sequence[Unit], listener: Listener) -> None:
    """Plan each architecture once, so that what is wrong is said before anything is trained; raises ModelcmpError."""
    listener.phase("loading data and checking models")
    for unit in units:
        with configured(unit.config):
            make_plan(unit.config, data=data_of(unit.config))
    if units and (said := data_words(units[0].config)):
        listener.noted(said)


def _done(unit: Unit) -> bool:
    """Whether a unit has nothing left to do."""
    try:
        result = load_result(unit.run)
    except ModelcmpError:
        return False
    tested = result.status == "finished" and (result.test is not None or not unit.test)
    return tested or result.status in ("pruned", "diverged")


def _check_same(folder: Path, configs: Mapping[str, Config]) -> None:
    """Refuse a folder in which an architecture has runs of another configuration; raises BadInput."""
    for label, config in configs.items():
        for run in sorted(folder.glob(f"runs/{label}-seed-*/{CONFIG}")):
            there = Workspace(run.parent).config()
            if there.labels != (label,):
                continue
            here = found_from_anywhere(config.model_copy(update={"seed": there.seed}))
            if changed := differences(there, here):
                raise BadInput(
                    f"{near(run.parent)} holds {label} with other settings ({'; '.join(changed)}): "
                    "name another folder with --out-dir, or remove that one"
                )
