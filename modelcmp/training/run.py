"""A comparison: several architectures trained under the same settings, selected on validation, then tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engines import ENGINES
from ..errors import BadInput, ModelcmpError
from .config import Config
from .dump_size import DumpEstimate, check_room, estimate
from .entrants import Entrant
from .names import CONFIG
from .one import test_one, train_one
from .plan import Plan, make_plan
from .progress import Listener, Silent
from .results import FILE as RESULT
from .results import RunResult, load_result
from .runtime import configured
from .side_by_side import Means, train_side_by_side
from .stopping import Interrupted, StopSign, watching_signals
from .workspace import Workspace, begin, check_free, check_unchanged, default_path, near

_ALONE = Means()
#: Whether dumps may take what they will.
Agree = Callable[[DumpEstimate], bool]


@dataclass(frozen=True, slots=True)
class Trained:
    """What became of a comparison, in the order of its config, and where it lies."""

    workspace: Path
    results: tuple[RunResult, ...]
    main: bool = True  # whether this process is the one that reports


def train(
    config: Config, *, force: bool = False, means: Means = _ALONE, listener: Listener | None = None,
    agree: Agree = lambda _estimate: True,
) -> Trained:  # fmt: skip
    """Train every architecture of a config into its workspace, a new one unless the config names it.

    ``agree`` is asked whether dumps may take what they will. Raises BadInput for what cannot be trained, before
    anything is written; Interrupted after a signal, with all saved.
    """
    workspace = Workspace(Path(config.workspace) if config.workspace else default_path())

    def check(w: Workspace, plan: Plan) -> None:
        check_free(w, config, force)
        _agreed(plan, w, agree, afresh=force)

    return _run(config, workspace, means, listener, check, lambda w, plan: begin(w, config, plan.data.digests, force))


def resume(
    path: Path, *, means: Means = _ALONE, listener: Listener | None = None, agree: Agree = lambda _estimate: True
) -> Trained:
    """Go on with the comparison in a workspace: models that are finished are not trained again.

    Raises BadInput where the folder holds none, or where config or data have changed; Interrupted after a signal.
    """
    workspace = Workspace(path)
    config = workspace.config()

    def enter(w: Workspace, plan: Plan) -> None:
        check_unchanged(w, config, plan.data.digests)

    return _run(config, workspace, means, listener, lambda w, plan: _agreed(plan, w, agree), enter)


def _agreed(plan: Plan, workspace: Workspace, agree: Agree, afresh: bool = False) -> None:
    """Whether there is room for the dumps, and nobody minds; raises BadInput."""
    left = [e for e in plan.entrants if afresh or finished(workspace, e.label, Silent()) is None]
    found = estimate(plan, left, workspace)
    if found is None:
        return
    check_room(found, workspace)
    if not agree(found):
        raise BadInput("not started: set `dump: {keep_last: 10}` or a disk_budget, or a larger dump_interval")


def _run(
    config: Config,
    workspace: Workspace,
    means: Means,
    listener: Listener | None,
    check: Callable[[Workspace, Plan], None],
    enter: Callable[[Workspace, Plan], None],
) -> Trained:
    """Plan, ``check``, lock the workspace, ``enter`` it, and compare; processes that only help follow the first."""
    ENGINES[means.engine]
    with configured(config), watching_signals(StopSign(), workspace.stop_file) as sign:
        listener = listener or Silent()
        listener.phase("loading data and checking models")
        plan = make_plan(config)
        if not means.alone and plan.runtime.share.of > 1:
            raise BadInput("several processes share each model here: leave --jobs and --engine out")
        workspace = Workspace(plan.runtime.told(workspace.path))
        if not plan.runtime.main:
            plan.runtime.told(None)
            return _all(plan, workspace, means, Silent(), sign)
        try:
            sign.check("stopped before training")
            check(workspace, plan)
            with workspace.locked():
                enter(workspace, plan)
                plan.runtime.told(None)
                return _all(plan, workspace, means, listener, sign)
        except Interrupted as stop:
            raise Interrupted(stop.number, f"{stop}{_way_on(workspace)}") from None


def _way_on(workspace: Workspace) -> str:
    if not (workspace.path / CONFIG).is_file():
        return ""
    return f"; go on with `compare-models train --resume {near(workspace.path)}`"


def _all(plan: Plan, workspace: Workspace, means: Means, listener: Listener, sign: StopSign) -> Trained:
    """Train all, then test all: nobody looks at the test split before every choice is made."""
    known = {e.label: plan.runtime.told(finished(workspace, e.label, listener)) for e in plan.entrants}
    left = [e for e in plan.entrants if known[e.label] is None]
    listener.planned({e.label: plan.steps if e in left else 0 for e in plan.entrants})
    trained = _train(plan, left, workspace, means, listener, sign)
    listener.phase("testing")
    results = [_tested(plan, e, workspace, known[e.label] or trained[e.label]) for e in plan.entrants]
    return Trained(workspace.path, tuple(results), plan.runtime.main)


def _train(
    plan: Plan, left: list[Entrant], workspace: Workspace, means: Means, listener: Listener, sign: StopSign
) -> Mapping[str, RunResult]:
    """The results of the models that are left, one after the other or side by side."""
    if not means.alone:
        return train_side_by_side(plan, left, workspace, means, listener, sign)
    results = {}
    for entrant in left:
        if plan.runtime.share.of == 1:
            sign.check("stopped between two models; what was trained is saved")
        results[entrant.label] = train_one(plan, entrant, workspace, listener, sign)
    return results


def _tested(plan: Plan, entrant: Entrant, workspace: Workspace, result: RunResult) -> RunResult:
    """The result with what the test split says, if training came to its end."""
    if result.status != "finished" or result.test is not None:
        return result
    return test_one(plan, entrant, workspace, result)


def finished(workspace: Workspace, label: str, listener: Listener) -> RunResult | None:
    """A model's result if there is nothing left to train; a damaged one is made again from the checkpoint."""
    folder = workspace.run(label)
    if not (folder / RESULT).is_file():
        return None
    try:
        result = load_result(folder)
    except ModelcmpError as error:
        listener.warned(f"{error}; {label} goes on from its checkpoint")
        return None
    return result if result.status in ("finished", "pruned", "diverged") else None
