"""The commands of sweeps and trials as a user types them."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from modelcmp.sweeps import crew
from modelcmp.sweeps.listing import list_sweep
from modelcmp.training.results import RunResult

YAML = """
models: [mlp]
data: {name: digits, kwargs: {size: 8}}
epochs: 1
threads: 1
space:
  lr: [0.001, 0.01]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a sweep.yaml, to work in."""
    (tmp_path / "sweep.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_search_to_significance(here, cli):
    """The documented way, with real trainings."""
    (here / "sweep.yaml").write_text(YAML.replace("[mlp]", "[mlp, {name: mlp, label: small, kwargs: {hidden: 8}}]"))
    code, out, err = cli("sweep", "--config", "sweep.yaml")
    assert code == 0, err
    assert re.search(r"🥇 +mlp +\d\d\.\d %", out)
    assert "mlp: lr=0.01 (trial 1)" in out  # ten times the rate learns more in one epoch
    assert "compare-models trials --from-sweep sweep --best --seeds 5" in err
    assert {p.name for p in (here / "sweep").iterdir()} >= {"study.db", "runs", "config.yaml", "sweep_summary.csv"}
    assert not list((here / "sweep").rglob("test.npz"))  # no trial has seen the test split

    code, out, err = cli("trials", "--from-sweep", "sweep", "--best", "--seeds", "3", "--format", "json")
    assert code == 0, err
    runs = [run for group in json.loads(out)["groups"] for run in group["runs"]]
    assert sorted({run["seed"] for run in runs}) == [124, 125, 126]  # 123 has helped to choose
    assert len(runs) == 6

    code, out, err = cli("significance", "trials-sweep", "--format", "json")
    assert code == 0, err
    difference = json.loads(out)["comparisons"][0]["differences"][0]
    assert difference["method"] == "paired t"
    assert (difference["n_a"], difference["n_b"]) == (3, 3)
    code, out, _ = cli("rank", "trials-sweep", "--significance")
    assert code == 0
    assert "3" in out

    code, out, err = cli("evaluate", *sorted(str(p) for p in (here / "sweep" / "runs").glob("mlp-0000/*mlp")))
    assert code == 0, err
    assert not list((here / "sweep").rglob("test.npz"))  # nor does it afterwards


@pytest.fixture
def quick(monkeypatch):
    """Trainings that only say what they would reach."""

    def run(unit, listener, sign):
        lr = unit.config.optimizer.lr
        if lr > 1:
            return RunResult(unit.label, "mlp", "diverged", "the loss became nan at step 3")
        value = {"accuracy": 0.9 - lr, "loss": lr}
        settings = {"seed": unit.config.seed, "lr": lr}
        return RunResult(unit.label, "mlp", "finished", val=value, settings=settings, steps=3, train_seconds=0.5)

    monkeypatch.setattr(crew, "run_unit", run)


def test_rerunning_goes_on_and_more_trials_are_the_same_search(here, cli, quick):
    more = ("--set", "space.lr={min: 0.001, max: 0.1, log: true}", "--method", "random", "--quiet")
    assert cli("sweep", "-c", "sweep.yaml", "--trials", "3", *more)[0] == 0
    first = list_sweep(here / "sweep").trials
    assert cli("sweep", "-c", "sweep.yaml", "--trials", "5", *more)[0] == 0
    after = list_sweep(here / "sweep").trials
    assert (len(first), len(after)) == (3, 5)
    assert after[:3] == first
    code, out, _ = cli("sweep", "--resume", "sweep", "--format", "json")
    assert (code, len(json.loads(out)["trials"])) == (0, 5)


def test_force_forgets_what_was_recorded(here, cli, quick):
    assert cli("sweep", "-c", "sweep.yaml", "-q")[0] == 0
    code, _, err = cli("sweep", "-c", "sweep.yaml", "-q", "--set", "space.lr=[0.002]")
    assert code == 2
    assert "space of mlp: lr was [0.001, 0.01]" in err.replace("\n", " ")
    assert cli("sweep", "-c", "sweep.yaml", "-q", "--set", "space.lr=[0.002]", "--force")[0] == 0
    assert [t.params for t in list_sweep(here / "sweep").trials] == [{"lr": 0.002}]


def test_a_model_that_diverges_in_every_trial_is_said(here, cli, quick):
    code, out, err = cli("sweep", "-c", "sweep.yaml", "-q", "--set", "space.lr=[5, 10]")
    assert code == 1
    assert "mlp: all of its 2 trials diverged: the loss became nan at step 3" in " ".join(out.split())
    assert "mlp has no finished trial" in err
    code, _, err = cli("trials", "--from-sweep", "sweep")
    assert code == 1
    assert "no trial in sweep has finished: `compare-models study sweep` says why" in err


def test_an_unfinished_search_is_said(here, cli, quick, monkeypatch):
    from modelcmp.sweeps import trials
    from modelcmp.training.stopping import Interrupted

    def stop(self, draw, note):
        raise Interrupted(2, "stopped")

    real = crew.Crew.work
    monkeypatch.setattr(crew.Crew, "work", stop)
    assert cli("sweep", "-c", "sweep.yaml", "-q")[0] == 130
    one = lambda self, draw, note: real(self, draw, lambda ended: note(ended) or stop(0, 0, 0))  # noqa: E731
    monkeypatch.setattr(crew.Crew, "work", one)
    assert cli("sweep", "-c", "sweep.yaml", "-q")[0] == 130
    code, out, _ = cli("study", "sweep")
    assert code == 0
    assert "2 trials of each architecture, not done yet: 1 of mlp" in " ".join(out.split())
    monkeypatch.setattr(trials, "run_trials", lambda *_: (_ for _ in ()).throw(Interrupted(2, "far enough")))
    code, _, err = cli("trials", "--from-sweep", "sweep", "-q")
    assert "the search in sweep is not done (1 trials of mlp are missing)" in err
    assert code == 130


def test_study_lists_and_exports(here, cli, quick):
    (here / "sweep.yaml").write_text(YAML.replace("[0.001, 0.01]", "{min: 0.001, max: 1, points: 30}"))
    cli("sweep", "-c", "sweep.yaml", "-q")
    code, out, _ = cli("study", "sweep")
    assert code == 0
    assert "20 of 30 trials; --top 30 shows all." in out
    assert all(len(line) <= 80 for line in out.splitlines())
    rows = list(csv.DictReader(io.StringIO(cli("study", "sweep", "--format", "csv")[1])))
    assert len(rows) == 30
    assert [float(r["val_accuracy"]) for r in rows] == sorted((float(r["val_accuracy"]) for r in rows), reverse=True)
    assert float(rows[0]["param.lr"]) == 0.001
    numbers = [r["number"] for r in csv.DictReader(io.StringIO(cli("study", "sweep", "--in-order", "-f", "csv")[1]))]
    assert numbers == [str(i) for i in range(30)]
    code, out, _ = cli("study", "sweep/study.db", "--top", "2", "--format", "markdown")
    assert (code, out.count("| mlp-")) == (0, 2)
    assert cli("study", "sweep", "--plots", "pictures/of/it")[0] == 0
    assert (here / "pictures" / "of" / "it" / "sweep_mlp_history.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweep", "-q"], "nothing to search"),
        (["sweep", "-c", "none.yaml"], "none.yaml"),
        (["sweep", "-c", "sweep.yaml", "--set", "space={}"], "space"),
        (["sweep", "-c", "sweep.yaml", "--set", "space.lr=[]"], "--set space.lr: the list is empty"),
        (["sweep", "-c", "sweep.yaml", "--objective", "val_acuracy"], "val_accuracy"),
        (["sweep", "-c", "sweep.yaml", "--objective", "test_accuracy"], "the test split is opened once"),
        (["sweep", "-c", "sweep.yaml", "--method", "gird"], "grid"),
        (["sweep", "-c", "sweep.yaml", "--method", "grid", "--trials", "1"], "a grid covers all its 2 points"),
        (["sweep", "-c", "sweep.yaml", "--resume", "x"], "leave the other settings out"),
        (["sweep", "--resume", "x"], "x is no folder of `compare-models sweep`"),
        (["study", "x"], "there is no sweep at x"),
        (["study", "sweep.yaml"], "is no study"),
        (["trials", "-m", "mlp", "--seeds", "1,2,1"], "seed 1 is given twice"),
        (["trials", "-m", "mlp", "--seeds", "0"], "between 1 and 10000"),
        (["trials", "-m", "mlp", "--seeds", "a"], "such as 5, or the seeds themselves"),
        (["trials", "-m", "mlp", "--best"], "add --from-sweep FOLDER"),
        (["trials", "--from-sweep", "x"], "x is no folder of `compare-models sweep`"),
        (["trials", "-m", "mlp", "--metric", "test_acuracy"], "test_accuracy"),
        (["train", "-c", "sweep.yaml"], "compare-models sweep --config"),
    ],
)
def test_bad_input_is_one_line(here, cli, words, expected):
    code, out, err = cli(*words)
    assert (code, out) == (2, ""), err
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert sorted(p.name for p in here.iterdir()) == ["sweep.yaml"]


def test_trials_of_other_settings_are_refused(here, cli, quick, monkeypatch):
    from modelcmp.sweeps import trials

    (here / "t" / "runs" / "mlp-seed-1").mkdir(parents=True)
    monkeypatch.setattr(trials, "_try_out", lambda units, listener: None)
    Path("t/runs/mlp-seed-1/config.yaml").write_text("models: [{name: mlp, label: mlp}]\nepochs: 7\nseed: 1\n")
    code, _, err = cli("trials", "-m", "mlp", "--epochs", "3", "--seeds", "1,", "-o", "t")
    assert code == 2
    assert "epochs: 7 there, 3 here" in err


def test_a_folder_of_something_else_is_left_alone(here, cli, quick):
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    code, _, err = cli("sweep", "-c", "sweep.yaml", "-o", "mine")
    assert code == 2
    assert "holds something else" in err
    assert [p.name for p in (here / "mine").iterdir()] == ["thesis.txt"]


def test_a_damaged_study_is_said(here, cli, quick):
    cli("sweep", "-c", "sweep.yaml", "-q")
    (here / "sweep" / "study.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    for name in ("study.db-wal", "study.db-shm"):
        (here / "sweep" / name).unlink(missing_ok=True)
    for words in (["study", "sweep"], ["sweep", "-c", "sweep.yaml", "-q"]):
        code, _, err = cli(*words)
        assert code == 1
        assert "study.db" in err
        assert "damaged" in err
        assert err.count("\n") == 1


def test_the_seed_of_the_search_is_warned_of_and_a_folder_holds_one_configuration(here, cli, quick, monkeypatch):
    from modelcmp.sweeps import trials

    monkeypatch.setattr(trials, "_try_out", lambda units, listener: None)
    cli("sweep", "-c", "sweep.yaml", "-q")
    for seed in (123, 5):
        (here / "t" / "runs" / f"mlp-seed-{seed}").mkdir(parents=True)
        text = f"models: [{{name: mlp, label: mlp}}]\nepochs: 7\nseed: {seed}\n"
        (here / "t" / "runs" / f"mlp-seed-{seed}" / "config.yaml").write_text(text)
    code, _, err = cli("trials", "--from-sweep", "sweep", "--seeds", "123,124", "-o", "t")
    assert code == 2
    assert "warning: seed 123 is that of the search" in err
    assert "epochs: 7 there, 1 here" in err  # although neither seed of the other runs may be asked for
    code, _, err = cli("trials", "--from-sweep", "sweep", "--seeds", "77,", "-o", "t")
    assert code == 2
    assert "warning" not in err
    assert "name another folder" in err


@pytest.mark.parametrize("seeds", ["10", [], [1, 1], [1.5], [-1], [True]])
def test_seeds_from_python_are_checked(tmp_path, seeds):
    import modelcmp

    with pytest.raises(modelcmp.ModelcmpError, match=r"^seeds: "):
        modelcmp.trials({"models": ["mlp"]}, seeds, folder=tmp_path)
