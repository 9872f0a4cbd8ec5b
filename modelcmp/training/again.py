"""Evaluating runs again, from the predictions that they kept or from their weights: nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import BadInput, ModelcmpError
from .data.base import SplitName
from .judging import judge, judge_again
from .names import folder_name
from .one import best_model
from .plan import Plan, make_plan
from .results import FILE as RESULT
from .results import RunResult, load_result, save_result
from .runtime import configured
from .workspace import CONFIG, Workspace, check_unchanged

SPLITS: tuple[SplitName, ...] = ("val", "test")


def find_runs(places: Iterable[Path]) -> list[Path]:
    """The folders of trained models in workspaces and among folders given; raises BadInput for any other."""
    found: dict[Path, None] = {}
    for place in places:
        files = [place / RESULT] if (place / RESULT).is_file() else sorted(place.glob(f"*/{RESULT}"))
        if not files:
            raise BadInput(f"{place} {_why_empty(place)}")
        found |= dict.fromkeys(file.parent for file in files)
    return list(found)


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
    runs = [run.absolute() for run in find_runs(places)]
    workspaces = {folder: _order(folder) for folder in dict.fromkeys(run.parent for run in runs)}
    place = {folder: i for i, folder in enumerate(workspaces)}
    runs.sort(key=lambda run: (place[run.parent], workspaces[run.parent].get(run.name, len(runs))))
    results, problems = [], []
    for run in runs:
        try:
            result = load_result(run)
        except ModelcmpError as error:
            problems.append(str(error))
            continue
        several = len(workspaces) > 1
        results.append(replace(result, name=f"{run.parent.name}/{result.name}") if several else result)
    if not results:
        raise ModelcmpError("; ".join(problems))
    return results, problems


def _order(folder: Path) -> dict[str, int]:
    """Where each run of a workspace stands in its config; none where it cannot be read, for it orders and no more."""
    try:
        config = Workspace(folder).config()
    except ModelcmpError:
        return {}
    return {folder_name(label): i for i, label in enumerate(config.labels)}


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
