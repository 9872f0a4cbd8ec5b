"""Evaluating runs again, from the predictions that they kept or from their weights: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadInput, ModelcmpError
from .data.base import SplitName
from .judging import judge, judge_again
from .one import best_model
from .plan import Plan, make_plan
from .results import FILE as RESULT
from .results import RunResult, load_result, save_result
from .runtime import configured
from .workspace import CONFIG, Workspace, check_unchanged

SPLITS: tuple[SplitName, ...] = ("val", "test")


def find_runs(places: Iterable[Path]) -> list[Path]:
    """The folders of trained models in workspaces and among folders given; raises BadInput for any other."""
    found: list[Path] = []
    for place in places:
        files = [place / RESULT] if (place / RESULT).is_file() else sorted(place.glob(f"*/{RESULT}"))
        inside = [file.parent for file in files]
        if not inside:
            raise BadInput(f"{place} {_why_empty(place)}")
        found += [run for run in inside if run not in found]
    return found


def _why_empty(place: Path) -> str:
    if not place.exists():
        return "does not exist: name a workspace or a run of `compare-models train`"
    if (place / CONFIG).is_file() or (place / "session.json").is_file():
        return f"holds no result yet: `compare-models train --resume {place}` goes on with it"
    return "holds no trained model: name a workspace or a run of `compare-models train`"


def load_runs(places: Sequence[Path]) -> tuple[list[RunResult], list[str]]:
    """The results of all runs, in the order of their config, and what could not be read.

    Of several workspaces, the names say which. Raises BadInput where there are no runs.
    """
    runs = find_runs(places)
    several = len({run.absolute().parent for run in runs}) > 1
    results, problems = [], []
    for run in sorted(runs, key=lambda run: (_rank_of_workspace(run, runs), _place_in_config(run))):
        try:
            result = load_result(run)
        except ModelcmpError as error:
            problems.append(str(error))
            continue
        results.append(replace(result, name=f"{run.absolute().parent.name}/{result.name}") if several else result)
    if not results:
        raise ModelcmpError("; ".join(problems))
    return results, problems


def _rank_of_workspace(run: Path, runs: Sequence[Path]) -> int:
    return [r.absolute().parent for r in runs].index(run.absolute().parent)


def _place_in_config(run: Path) -> int:
    folder = run.absolute().parent
    if not (folder / CONFIG).is_file():
        return 0
    try:
        names = [Workspace(folder).run(label).name for label in Workspace(folder).config().labels]
    except ModelcmpError:
        return 0  # it is needed for the order only
    return names.index(run.name) if run.name in names else len(names)


def evaluate_again(
    run: Path, *, from_weights: bool = False, tell: Callable[[str], Any] = lambda _words: None
) -> RunResult:
    """Evaluate a run's predictions again and keep the figures in its result; raises ModelcmpError.

    Where predictions are missing, or ``from_weights`` asks for it, the best weights make them anew.
    """
    result = load_result(run)
    if result.best_epoch is None:
        raise BadInput(f"{run} has no weights to evaluate: its training {result.status} ({result.message})")
    splits = SPLITS if result.status == "finished" else SPLITS[:1]  # what is not finished has not seen the test split
    kept = {split: None if from_weights else judge_again(run, split) for split in splits}
    if None in kept.values():
        tell(f"predicting with the weights of {result.name}")
        kept |= _from_weights(run, result.name, [split for split, found in kept.items() if found is None])
    result = replace(result, val=kept["val"], test=kept.get("test"))
    save_result(result, run)
    return result


def _from_weights(run: Path, label: str, splits: Sequence[SplitName]) -> dict[SplitName, dict[str, Any] | None]:
    workspace = Workspace(run.absolute().parent)
    config = workspace.config()
    if label not in config.labels:
        raise BadInput(f"{workspace.path} has no model {label!r} in its config: {', '.join(config.labels)}")
    with configured(config):
        plan: Plan = make_plan(config, [config.labels.index(label)])
        check_unchanged(workspace, config, plan.data.digests)
        model = best_model(plan, plan.entrants[0], workspace)
        return {s: judge(model, plan.data, s, plan.runtime, config.batch_size, run) for s in splits}
