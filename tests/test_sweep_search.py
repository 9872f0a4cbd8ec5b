"""Each trial of a search is trained and recorded exactly once, whatever is killed in between."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from modelcmp.errors import BadInput, ModelcmpError
from modelcmp.sweeps import crew
from modelcmp.sweeps.best import best, chosen, front, spent, unfair
from modelcmp.sweeps.config import read_sweep
from modelcmp.sweeps.crew import Ended
from modelcmp.sweeps.listing import list_sweep
from modelcmp.sweeps.progress import Silent
from modelcmp.sweeps.records import Objective, Sweep, Trial
from modelcmp.sweeps.search import search
from modelcmp.training.results import RunResult
from modelcmp.training.yaml_text import parse

CLI = Path(__file__).parent.parent / "cli" / "compare_models.py"
YAML = """
models: [mlp]
data: {name: digits, kwargs: {size: 8}}
epochs: 3
threads: 1
name: grid
space:
  lr: [0.0001, 0.001, 0.01, 0.1]
  batch_size: [32, 256]
"""


def sweep_of(text, **given):
    return read_sweep(parse(text, "sweep.yaml"), given=given)


@pytest.fixture
def made_up(monkeypatch):
    """Trainings that only look up what they reach; the units in the order in which they were trained."""
    trained = []

    def run(unit, listener, sign):
        trained.append(unit)
        c = unit.config
        accuracy = 1 - abs(c.optimizer.lr - 0.01) - abs(c.batch_size - 64) / 1e4
        result = {
            "status": "finished", "epochs": c.epochs, "steps": 10, "train_seconds": 6.0, "flops_per_epoch": 100,
            "settings": {"train_examples": 100, "batch_size": c.batch_size, "seed": c.seed}, "params": 7,
            "val": {"accuracy": accuracy, "loss": 1 - accuracy},
        }  # fmt: skip
        return RunResult(unit.label, c.models[0].name, **{**result, **getattr(run, "as_well", lambda _: {})(unit)})

    monkeypatch.setattr(crew, "run_unit", run)
    run.trained = trained
    return run


def test_a_grid_covers_each_point_of_each_architecture_once(made_up, tmp_path):
    found = search(sweep_of(YAML.replace("[mlp]", "[mlp, cnn]")), tmp_path / "s")
    assert Counter((t.model, t.params["lr"], t.params["batch_size"]) for t in found.trials) == {
        (m, lr, size): 1 for m in ("mlp", "cnn") for lr in (0.0001, 0.001, 0.01, 0.1) for size in (32, 256)
    }
    assert {t.state for t in found.trials} == {"finished"}
    top = best(found.of("cnn"), found.objectives)
    assert (top.params, top.values) == ({"lr": 0.01, "batch_size": 32}, (pytest.approx(1 - 32 / 1e4),))
    # turns: neither architecture is ahead by more than one
    models = [u.label for u in made_up.trained]
    assert all(abs(models[:i].count("mlp") - models[:i].count("cnn")) <= 1 for i in range(len(models)))
    assert not any(u.test for u in made_up.trained)
    assert all(u.config.select_by == "val_accuracy" for u in made_up.trained)
    search(sweep_of(YAML.replace("[mlp]", "[mlp, cnn]")), tmp_path / "s")
    assert len(made_up.trained) == 16  # nothing was left to do


def test_what_a_killed_coordinator_left_is_trained_under_its_number(made_up, tmp_path):
    class Killed(Exception):
        """Stands for a process that is gone."""

    class KillsItself(Silent):
        def ended(self, model, name, words, best):
            if name == "mlp-0002":
                raise Killed

        def began(self, model, name, words):
            if name == "mlp-0005":
                raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            search(sweep_of(YAML), tmp_path / "s", listener=KillsItself())
    assert [t.state for t in list_sweep(tmp_path / "s").trials].count("unfinished") == 1
    found = search(sweep_of(YAML), tmp_path / "s")
    assert [t.state for t in found.trials] == ["finished"] * 8
    assert [u.name for u in made_up.trained] == [f"mlp-{i:04}" for i in range(8)]


def test_random_and_tpe_go_on_with_what_they_would_have_drawn(made_up, tmp_path):
    for method in ("random", "tpe"):
        text = YAML.replace("[0.0001, 0.001, 0.01, 0.1]", "{min: 0.0001, max: 0.1, log: true}")
        text += f"method: {{name: {method}{', n_startup_trials: 2' if method == 'tpe' else ''}}}\n"
        whole = search(sweep_of(text, trials=7), tmp_path / f"{method}-whole")
        for count in (2, 5, 7):  # more trials are the same search, going on
            parts = search(sweep_of(text, trials=count), tmp_path / f"{method}-parts")
        assert [t.params for t in parts.trials] == [t.params for t in whole.trials]
        assert len({t.params["lr"] for t in whole.trials}) == 7


def test_another_space_is_refused_and_nothing_changes(made_up, tmp_path):
    search(sweep_of(YAML), tmp_path / "s")
    with pytest.raises(BadInput, match=r"space of mlp: batch_size.*\[32, 256\].*another folder") as error:
        search(sweep_of(YAML.replace("[32, 256]", "[32, 128]")), tmp_path / "s")
    assert "\n" not in str(error.value)
    assert len(list_sweep(tmp_path / "s").trials) == 8


@pytest.mark.parametrize(
    ("budget", "expected"),
    [("{trials: 3}", 3), ("{steps: 45}", 5), ("{minutes: 0.25}", 3), ("{flops: 4000}", 4)],
)  # each trial takes 10 steps, 0.1 minutes and 100·10 FLOPs at batch 100
def test_budgets_are_the_same_for_all(made_up, tmp_path, budget, expected):
    text = YAML.replace("[mlp]", "[mlp, cnn]").replace("[32, 256]", "[100]") + f"method: random\nbudget: {budget}\n"
    found = search(sweep_of(text), tmp_path / "s")
    assert [len(found.of(m)) for m in found.models] == [expected, expected]
    assert unfair(found) == []


def test_what_diverges_or_fails_is_counted_and_said(made_up, tmp_path):
    def broken(unit):
        if unit.config.optimizer.lr == 0.1:
            return {"status": "diverged", "message": "the loss became nan at step 3", "val": None}
        if unit.config.optimizer.lr == 0.01:
            return {"status": "failed", "message": "RuntimeError: no luck", "val": None}
        return {}

    made_up.as_well = broken
    found = search(sweep_of(YAML), tmp_path / "s")
    assert spent(found.trials).states == {"finished": 4, "diverged": 2, "failed": 2}
    assert spent(found.trials).steps == 80
    assert {t.message for t in found.trials if t.state == "diverged"} == {"the loss became nan at step 3"}


def test_a_budget_of_steps_ends_although_every_trial_fails(made_up, tmp_path):
    made_up.as_well = lambda unit: {"status": "failed", "message": "no", "steps": 0, "val": None}
    found = search(sweep_of(YAML + "method: random\nbudget: {steps: 100}\n"), tmp_path / "s")
    assert 3 <= len(found.trials) <= 20
    assert {t.state for t in found.trials} == {"failed"}


def test_an_objective_that_is_not_logged_says_which_are(made_up, tmp_path):
    with pytest.raises(BadInput, match=r"mlp has not logged the objective val_auc; it logged val_accuracy, val_loss"):
        search(sweep_of(YAML + "objective: val_auc\n"), tmp_path / "s")


def test_several_objectives_make_a_front(made_up, tmp_path):
    def sizes(unit):
        return {"params": unit.config.batch_size}

    made_up.as_well = sizes
    found = search(sweep_of(YAML + "objective: [val_accuracy, params]\n"), tmp_path / "s")
    assert [(t.params["lr"], t.params["batch_size"]) for t in front(found.trials, found.objectives)] == [(0.01, 32)]
    with pytest.raises(BadInput, match="--by val_accuracy"):
        chosen(found)
    assert chosen(found, "params")["mlp"].values[1] == 32


def test_ties_in_one_objective_are_broken_by_the_others():
    objectives = (Objective("val_accuracy", "high"), Objective("params", "low"))
    tried = [Trial("m", i, "finished", {}, values) for i, values in enumerate([(0.7, 5.0), (0.8, 5.0), (0.8, 9.0)])]
    assert best(tried, objectives, "params").number == 1
    assert best(tried, objectives).number == 1


def test_two_coordinators_do_not_share_a_folder(made_up, tmp_path):
    from filelock import FileLock

    (tmp_path / "s").mkdir()
    with FileLock(str(tmp_path / "s" / ".lock")), pytest.raises(ModelcmpError, match="another process"):
        search(sweep_of(YAML), tmp_path / "s")


def test_a_unit_whose_process_is_lost_three_times_has_failed(tmp_path):
    from modelcmp.engines import Failure, Job, Outcome
    from modelcmp.sweeps.units import Unit
    from modelcmp.training.stopping import StopSign

    class Loses:
        slots = 1

        def __init__(self):
            self.jobs, self.count = [], 0

        def submit(self, jobs):
            self.jobs += jobs

        def results(self):
            while self.jobs:
                self.count += 1
                yield Outcome(self.jobs.pop(0), error=Failure("Crashed", "u crashed its process"))

    unit = Unit("u", tmp_path, sweep_of(YAML).base)
    team, ends = crew.Crew(crew.Means(), Silent(), StopSign()), []
    team._engine = Loses()
    units = iter([unit])
    team.work(lambda: next(units, None), ends.append)
    assert (team._engine.count, ends) == (3, [Ended(unit, None, "u crashed its process")])
    assert Job is not None


def test_the_winner_that_was_tuned_more_is_told():
    def trials(model, count, top, flops=100):
        return tuple(Trial(model, i, "finished", {}, (top - i / 100,), steps=10, flops=flops) for i in range(count))

    def told(a, b, unit="trials"):
        return unfair(Sweep("s", "", "random", (Objective("val_accuracy", "high"),), ("a", "b"), a + b, unit))

    (said,) = told(trials("a", 8, 0.9), trials("b", 4, 0.8))
    assert "a is ahead, but was tuned more than b: 8 trials against 4 trials" in said
    assert told(trials("a", 4, 0.9), trials("b", 8, 0.8)) == []  # the loser had more
    assert told(trials("a", 8, 0.9, 100), trials("b", 1, 0.8, 2000), "flops") == []  # more trials, but less work
    (said,) = told(trials("a", 1, 0.9, 2000), trials("b", 8, 0.8, 100), "flops")
    assert "2.00k FLOPs against 800 FLOPs" in said


def test_a_study_has_one_folder(made_up, tmp_path):
    text = YAML + f"storage: {tmp_path / 'shared.db'}\n"
    search(sweep_of(text), tmp_path / "one")
    with pytest.raises(BadInput, match=r"grid/mlp' is searched from .*/one: go on there, or give"):
        search(sweep_of(text), tmp_path / "two")
    (tmp_path / "one").rename(tmp_path / "moved")
    search(sweep_of(text), tmp_path / "moved")
    assert len(made_up.trained) == 8


def test_force_and_a_storage_of_its_own_name(made_up, tmp_path):
    from modelcmp.sweeps.folder import start_over

    for suffix in ("db", "journal"):
        folder, config = tmp_path / suffix, sweep_of(YAML + f"storage: mine.{suffix}\n")
        search(config, folder)
        other = sweep_of(YAML.replace("[32, 256]", "[64]") + f"storage: mine.{suffix}\n")
        start_over(folder, other)
        assert len(search(other, folder).trials) == 4
        assert search(other, folder).trials  # and again


# -- real processes, really killed ------------------------------------------------------------------------


def start(folder, config):
    command = [sys.executable, str(CLI), "sweep", "--config", str(config), "--out-dir", str(folder), "--jobs", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ended_trials(folder):
    try:
        return sum(t.state == "finished" for t in list_sweep(folder).trials)
    except ModelcmpError:
        return 0


def wait_for(process, folder, count, limit_s):
    end = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < end and ended_trials(folder) < count:
        time.sleep(0.05)


def kill_a_worker(process):
    children = [c for c in psutil.Process(process.pid).children() if "modelcmp.engines.worker" in " ".join(c.cmdline())]
    if children:
        os.kill(random.choice(children).pid, signal.SIGKILL)


def check_nothing_lost_or_doubled(tmp_path, coordinators, workers, seed):
    random.seed(seed)
    config = tmp_path / "sweep.yaml"
    config.write_text(YAML)
    folder = tmp_path / "s"
    for count in coordinators:
        process = start(folder, config)
        wait_for(process, folder, count, 60)
        time.sleep(random.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = start(folder, config)
    for count in workers:
        wait_for(process, folder, count, 60)
        time.sleep(random.uniform(0, 0.2))
        kill_a_worker(process)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    found = list_sweep(folder)
    whole = search(sweep_of(YAML), tmp_path / "whole")
    assert [(t.number, t.state, t.params) for t in found.trials] == [
        (t.number, "finished", t.params) for t in whole.trials
    ]
    # The same best. Single bits may differ: a worker has one thread from its start.
    assert [t.values for t in found.trials] == [pytest.approx(t.values, abs=0.02) for t in whole.trials]
    assert best(found.trials, found.objectives).params == best(whole.trials, whole.objectives).params
    assert len(list((folder / "runs").iterdir())) == len(found.trials) == 8


def test_no_trial_is_lost_or_doubled_by_kill_9(tmp_path):
    check_nothing_lost_or_doubled(tmp_path, coordinators=(2,), workers=(4,), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_nor_by_many_kills(tmp_path, seed):
    """At most two workers: a trial whose process is lost three times has failed."""
    check_nothing_lost_or_doubled(tmp_path, coordinators=(0, 1, 3), workers=(4, 6), seed=seed)


def test_a_running_search_may_be_listed_from_outside(made_up, tmp_path, monkeypatch):
    """With pruning, each trial opens the study once more in this process: its locks on the file must stay."""
    look = (
        "from modelcmp.sweeps.listing import list_sweep\n"
        f"print([t.state for t in list_sweep({str(tmp_path / 's')!r}).trials].count('finished'))"
    )
    seen = []

    def run(unit, listener, sign):
        unit.reports.report(1, 0.5)
        done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
        seen.append(int(done.stdout))
        return made_up(unit, listener, sign)

    monkeypatch.setattr(crew, "run_unit", run)
    found = search(sweep_of(YAML + "pruning: median\n"), tmp_path / "s")
    assert seen == list(range(8))  # whoever looks sees all that was recorded
    assert [t.state for t in found.trials] == ["finished"] * 8


@pytest.mark.slow
def test_a_sweep_on_ray_records_the_same(tmp_path):
    (tmp_path / "sweep.yaml").write_text(YAML)
    command = [sys.executable, str(CLI), "sweep", "--config", "sweep.yaml", "--out-dir", "s", "--engine", "ray"]
    done = subprocess.run([*command, "--jobs", "2"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = list_sweep(tmp_path / "s")
    whole = search(sweep_of(YAML), tmp_path / "whole")
    assert [(t.state, t.params) for t in found.trials] == [(t.state, t.params) for t in whole.trials]
    assert [t.values for t in found.trials] == [pytest.approx(t.values, abs=0.02) for t in whole.trials]
