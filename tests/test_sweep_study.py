"""Methods, pruners and the study of one architecture."""

import inspect
import itertools
import pickle
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from modelcmp.errors import BadInput, UnknownName
from modelcmp.sweeps.methods import METHODS, PRUNERS, pruner_of, sampler_of
from modelcmp.sweeps.records import Objective
from modelcmp.sweeps.space import Space
from modelcmp.sweeps.storage import open_storage, quiet, storage_url
from modelcmp.sweeps.study import Reporter, changed, open_study

LOSS, ACCURACY = Objective("val_loss", "low"), Objective("val_accuracy", "high")
SPACE = Space.from_plain(
    {
        "lr": {"min": 1e-4, "max": 1.0, "log": True},
        "optimizer.name": ["adam", "sgd"],
        "optimizer.momentum": {"min": 0.0, "max": 0.99, "when": {"optimizer.name": ["sgd"]}},
    }
)


def choice(name, **keywords):
    return SimpleNamespace(name=name, keywords=keywords)


def opened(tmp_path, name="s/cnn", objectives=(LOSS,), identity=None, file="study.log"):
    """A study in a journal, which is quicker than SQLite where the storage is not the point."""
    storage = open_storage(storage_url(str(tmp_path / file), tmp_path), create=True)
    return open_study(storage, name, objectives, identity or {})


def loss(params):
    return abs(np.log10(params["lr"]) + 2) + params.get("optimizer.momentum", 0.3)


def search(study, sampler, count):
    """Ask and tell until the study has so many trials."""
    while len(study.trials()) < count:
        asked = study.ask(SPACE, sampler)
        study.tell(asked.number, "finished", [loss(asked.params)] * len(study.objectives), {})
    return [dict(t.params) for t in study.trials()]


# -- methods and pruners --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in METHODS if n != "grid"])
def test_each_method_searches(tmp_path, name):
    few = {"n_startup_trials": 2} if name in ("gp", "tpe") else {}
    study = opened(tmp_path)
    params = search(study, sampler_of(choice(name, **few), 3, **({"parallel": True} if name == "tpe" else {})), 4)
    assert len({p["lr"] for p in params}) == 4
    assert all(1e-4 <= p["lr"] <= 1 and ("optimizer.momentum" in p) == (p["optimizer.name"] == "sgd") for p in params)
    momenta = [p["optimizer.momentum"] for p in params if "optimizer.momentum" in p]
    assert len(set(momenta)) == len(momenta)


@pytest.mark.parametrize("name", ["tpe", "nsga2", "random"])
def test_methods_for_several_objectives(tmp_path, name):
    study = opened(tmp_path, objectives=(LOSS, ACCURACY))
    search(study, sampler_of(choice(name), 3, objectives=2), 3)
    assert METHODS[name].several


def test_a_grid_draws_nothing():
    assert sampler_of(choice("grid", seed=3), 0) is None


def test_tpe_learns(tmp_path):
    """By chance the loss is 1.4 in the mean: 1 of a rate uniform over four decades, 0.4 of the momentum."""
    params = search(opened(tmp_path), sampler_of(choice("tpe"), 1), 30)
    assert np.mean([loss(p) for p in params[-12:]]) < 0.9


@pytest.mark.parametrize(
    ("name", "keywords", "hint"),
    [
        ("tpe", {"n_startup_trails": 3}, "takes no 'n_startup_trails': did you mean 'n_startup_trials'"),
        ("tpe", {"n_startup_trials": "many"}, "n_startup_trials is 'many': give a whole number"),
        ("tpe", {"gamma": 3}, "takes no 'gamma'"),
        ("random", {"n_startup_trials": 3}, "takes no"),
        ("nsga2", {"population_size": 1}, "population_size"),
        ("qmc", {"qmc_type": "sobolev"}, "halton"),
        ("grid", {"points": 3}, "method grid takes no 'points'"),
        ("random", {"seed": -1}, "0 or more"),
    ],
)
def test_wrong_keywords_of_methods(name, keywords, hint):
    with pytest.raises(BadInput, match=hint):
        sampler_of(choice(name, **keywords), 0)


@pytest.mark.parametrize(
    ("name", "keywords", "hint"),
    [
        ("median", {"warmup": 3}, "pruning median takes no 'warmup': did you mean 'n_warmup_steps'"),
        ("percentile", {"percentile": 120}, "between 0 and 100"),
        ("hyperband", {"min_resource": 1.5}, "min_resource is 1.5: give a whole number"),
        ("patient", {"wrapped_pruner": None}, "takes no 'wrapped_pruner'"),
        ("successive_halving", {"reduction_factor": 1}, "reduction_factor"),
    ],
)
def test_wrong_keywords_of_pruners(name, keywords, hint):
    with pytest.raises(BadInput, match=hint):
        pruner_of(choice(name, **keywords))


def test_names_that_are_not_there():
    with pytest.raises(UnknownName, match="did you mean 'random'"):
        sampler_of(choice("randm"), 0)
    with pytest.raises(UnknownName, match="did you mean 'median'"):
        pruner_of(choice("medain"))


def test_every_pruner_is_made_and_takes_its_keywords():
    made = {name: type(pruner_of(choice(name))).__name__ for name in PRUNERS}
    assert made["median"] == "MedianPruner"
    assert isinstance(pruner_of(None), optuna.pruners.NopPruner)
    for name, pruning in PRUNERS.items():
        taken = inspect.signature(getattr(optuna.pruners, pruning.pruner)).parameters
        assert set(pruning.preset) <= set(taken), name


def test_modules_that_are_looked_through_import_no_optuna():
    code = (
        "import modelcmp.sweeps.methods, modelcmp.sweeps.study, modelcmp.sweeps.listing, sys\n"
        "assert not {'optuna', 'torch', 'scipy', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- the same search again ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [("random", "study.db"), ("tpe", "study.db"), ("random", "study.log"), ("tpe", "study.log"), ("qmc", "study.log"),
     ("nsga2", "study.log")],
)  # fmt: skip
def test_a_search_that_was_stopped_draws_the_same(tmp_path, name, file):
    """Stopped after a trial was told, after it was begun, and in the middle of drawing its parameters."""

    def sampler():
        return sampler_of(choice(name, **({"n_startup_trials": 4} if name == "tpe" else {})), 11)

    whole = search(opened(tmp_path, "whole/cnn", file=file), sampler(), 9)
    search(opened(tmp_path, "parts/cnn", file=file), sampler(), 5)
    asked = opened(tmp_path, "parts/cnn", file=file).ask(SPACE, sampler())
    assert asked.number == 5
    again = opened(tmp_path, "parts/cnn", file=file)
    (left,) = again.unfinished(SPACE, sampler())
    assert (left.number, left.params) == (5, asked.params)
    again.tell(5, "finished", [loss(left.params)], {})
    if name != "qmc":  # its sequence is counted on when it is asked
        again.ask(SimpleNamespace(suggest=lambda t: t.suggest_float("lr", 1e-4, 1.0, log=True)), sampler())
        again = opened(tmp_path, "parts/cnn", file=file)
        (left,) = again.unfinished(SPACE, sampler())
        again.tell(6, "finished", [loss(left.params)], {})
    assert search(again, sampler(), 9) == whole


def test_seeds_differ_between_trials_and_searches(tmp_path):
    one, two = (search(opened(tmp_path, f"{s}/cnn"), sampler_of(choice("random"), s), 25) for s in (1, 2))
    rates = np.log10([p["lr"] for p in one + two])
    assert len(set(rates)) == 50
    assert abs(rates.mean() + 2) < 4 * 4 / np.sqrt(12 * 50)  # uniform over four decades: sd 4/sqrt(12)
    given = search(opened(tmp_path, "3/cnn"), sampler_of(choice("random", seed=1), 99), 5)
    assert given == one[:5]


# -- grids ----------------------------------------------------------------------------------------

GRID = Space.from_plain({"a": list(range(5)), "b": [{"x": 1}, {"x": 2}], "c": [True, None, "t"]})


def test_a_grid_is_asked_point_by_point(tmp_path):
    study, points = opened(tmp_path, identity={"space": GRID.plain()}, file="study.db"), GRID.points()
    for _ in range(3):
        study.enqueue([GRID.to_optuna(p) for p in points])
    assert study.trials() == ()  # a point is recorded when it is begun
    assert points[3] == {"a": 0, "b": {"x": 2}, "c": True}
    asked = []
    while (found := study.ask(GRID, None)) is not None:
        asked.append(dict(found.params))
        study.tell(found.number, "finished", [0.0], {})
    assert len(points) == 30
    assert asked == points == [dict(t.params) for t in study.trials()]
    study.enqueue([GRID.to_optuna(p) for p in points])
    assert study.ask(GRID, None) is None


def test_points_that_others_enqueued_are_asked_first(tmp_path):
    study = opened(tmp_path)
    with quiet():
        study.optuna.enqueue_trial({"lr": 0.125})
    asked = study.ask(SPACE, sampler_of(choice("tpe"), 0))
    assert (asked.number, asked.params["lr"]) == (0, 0.125)


# -- telling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "values", "kept", "message"),
    [
        ("finished", [0.5], "finished", ""),
        ("finished", [float("nan")], "failed", "val_loss is nan"),
        ("finished", [float("inf")], "failed", "val_loss is inf"),
        ("finished", [None], "failed", "val_loss was not measured"),
        ("finished", [0.5, 0.5], "failed", "2 values"),
        ("finished", None, "failed", "0 values"),
        ("pruned", None, "pruned", "worse"),
        ("diverged", [float("nan")], "diverged", "worse"),
        ("failed", None, "failed", "worse"),
    ],
)
def test_how_a_trial_ends(tmp_path, state, values, kept, message):
    study = opened(tmp_path)
    asked = study.ask(SPACE, sampler_of(choice("random"), 0))
    facts = {
        "message": "" if state == "finished" else "worse",
        "epochs": 2,
        "train_seconds": float("nan"),
        "flops": None,
    }
    assert study.tell(asked.number, state, values, facts) == kept
    (trial,) = study.trials()
    assert (trial.state, trial.values) == (kept, (0.5,) if kept == "finished" else None)
    assert message in trial.message
    assert bool(message) == bool(trial.message)
    assert (trial.epochs, trial.train_seconds, trial.flops) == (2, 0.0, None)
    words = {"finished": "COMPLETE", "failed": "FAIL", "pruned": "PRUNED", "diverged": "PRUNED"}
    assert study.optuna.trials[0].state.name == words[kept]


def test_telling_twice_changes_nothing(tmp_path):
    study = opened(tmp_path)
    asked = study.ask(SPACE, sampler_of(choice("random"), 0))
    study.tell(asked.number, "finished", [0.5], {"steps": 1})
    before = study.trials()
    study.tell(asked.number, "failed", None, {"steps": 2, "message": "again"})
    assert opened(tmp_path).trials() == before


def test_a_kill_between_facts_and_state_loses_nothing(tmp_path, monkeypatch):
    study = opened(tmp_path)
    asked = study.ask(SPACE, sampler_of(choice("random"), 0))
    monkeypatch.setattr(study.optuna, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        study.tell(asked.number, "finished", [0.5], {"steps": 1})
    again = opened(tmp_path)
    (left,) = again.unfinished(SPACE, sampler_of(choice("random"), 0))
    assert left.params == asked.params
    again.tell(left.number, "finished", [0.5], {"steps": 1})
    assert [(t.state, t.steps) for t in again.trials()] == [("finished", 1)]


def test_a_diverged_place_is_kept_away_from(tmp_path):
    """Rates above 0.01 diverge: TPE learns it, though they have no value."""
    states = []
    for seed in (1, 2):
        study, sampler = opened(tmp_path, f"{seed}/cnn"), sampler_of(choice("tpe"), seed)
        for _ in range(30):
            asked = study.ask(SPACE, sampler)
            high = asked.params["lr"] > 0.01
            study.tell(asked.number, "diverged" if high else "finished", None if high else [0.5], {})
        states += [t.state for t in study.trials()[-15:]]
    assert states.count("diverged") <= 8  # 15 by chance, and 8 with a probability of 0.8 %


# -- the best -------------------------------------------------------------------------------------


def test_the_best_is_optunas(tmp_path):
    study = opened(tmp_path, objectives=(ACCURACY,))
    assert study.best() == ()
    search(study, sampler_of(choice("random"), 2), 12)
    assert [t.number for t in study.best()] == [study.optuna.best_trial.number]


def test_the_first_of_equal_ones_is_the_best(tmp_path):
    study, sampler = opened(tmp_path, objectives=(ACCURACY,)), sampler_of(choice("random"), 2)
    for value in (0.1, 0.9, 0.9):
        study.tell(study.ask(SPACE, sampler).number, "finished", [value], {})
    assert [t.number for t in study.best()] == [1]


def test_the_front_is_optunas(tmp_path):
    study, rng = opened(tmp_path, objectives=(LOSS, ACCURACY)), np.random.default_rng(0)
    sampler = sampler_of(choice("random"), 2, objectives=2)
    for _ in range(25):
        study.tell(study.ask(SPACE, sampler).number, "finished", [float(v) for v in rng.integers(0, 12, 2)], {})
    front = {t.number for t in study.best()}
    assert front == {t.number for t in study.optuna.best_trials}
    values = {t.number: t.values for t in study.trials()}
    for i, j in itertools.product(front, values):
        assert not (values[j][0] < values[i][0] and values[j][1] > values[i][1])


# -- whose study it is ----------------------------------------------------------------------------


def test_a_study_of_another_space(tmp_path):
    old = {"space": {"lr": {"min": 0.1, "max": 1}, "a": [1, 2]}, "method": {"name": "tpe"}}
    opened(tmp_path, identity=old)
    opened(tmp_path, identity=old)
    new = {"space": {"lr": {"min": 0.1, "max": 2}, "b": [1]}, "method": {"name": "tpe"}}
    with pytest.raises(BadInput, match="another search") as caught:
        opened(tmp_path, identity=new)
    assert "space.lr.max was 1 and is 2; space.a was [1, 2] and is gone; space.b is new: [1]" in str(caught.value)
    with pytest.raises(BadInput, match="wants to minimize, and not to maximize"):
        opened(tmp_path, identity=old, objectives=(ACCURACY,))


def test_somebody_elses_study(tmp_path):
    with quiet():
        theirs = optuna.create_study(study_name="s/cnn", storage=storage_url(None, tmp_path))
        theirs.set_user_attr("of", "them")
    with pytest.raises(BadInput, match="was not made by `compare-models sweep`"):
        opened(tmp_path, file="study.db")


def test_a_kill_right_after_the_study_was_made(tmp_path):
    with quiet():
        optuna.create_study(study_name="s/cnn", storage=storage_url(None, tmp_path), direction="minimize")
    opened(tmp_path, file="study.db", identity={"a": 1})
    with pytest.raises(BadInput, match="a was 1 and is 2"):
        opened(tmp_path, file="study.db", identity={"a": 2})


def test_what_changed_is_told_by_kind():
    assert changed({"a": 1, "b": [1.0], "c": 2}, {"a": 1.0, "b": [1], "c": True}) == [
        "b was [1.0] and is [1]",
        "c was 2 and is true",
    ]
    assert changed({"a": {"b": 1}}, {"a": None}) == ['a was {"b": 1} and is null']
    assert changed({}, {}) == []


# -- pruning --------------------------------------------------------------------------------------


def reporter(study, number, pruner="median", **keywords):
    return Reporter(study.url, study.name, number, "val_loss", pruner, keywords)


@pytest.mark.parametrize("file", ["study.db", "study.log"])
def test_a_worker_prunes_through_its_own_connection(tmp_path, file):
    """The median of the values 1 to 5 at epoch 1 is 3: only what is above is given up."""
    study, sampler = opened(tmp_path, file=file), sampler_of(choice("random"), 2)
    for value in (1, 2, 3, 4, 5):
        number = study.ask(SPACE, sampler).number
        mine = pickle.loads(pickle.dumps(reporter(study, number)))
        assert [mine.report(epoch, float(value)) for epoch in (1, 2)] == [False, False]
        study.tell(number, "finished", [float(value)], {})
    for value, pruned in ((2.9, False), (3.1, True)):
        mine = reporter(study, study.ask(SPACE, sampler).number)
        assert mine.report(1, value) is pruned
        assert not mine.problem
        study.tell(mine.number, "pruned" if pruned else "finished", None if pruned else [value], {})
    assert [t.state for t in study.trials()[5:]] == ["finished", "pruned"]
    assert study.trials(intermediate=True)[0].intermediate == ((1, 1.0), (2, 1.0))


def test_a_reporter_survives_a_locked_database(tmp_path, monkeypatch):
    study = opened(tmp_path, file="study.db")
    mine = reporter(study, study.ask(SPACE, sampler_of(choice("random"), 2)).number)
    monkeypatch.setattr(
        "modelcmp.sweeps.study_reporter.open_storage", lambda url, **k: open_storage(url, timeout=0.05, **k)
    )
    blocker = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    assert mine.report(1, 0.5) is False
    blocker.execute("BEGIN IMMEDIATE")
    assert mine.report(2, 0.5) is False
    assert "goes on without pruning" in mine.problem
    assert "locked" in mine.problem
    monkeypatch.setattr("modelcmp.sweeps.study_reporter.open_storage", None)  # not tried again
    assert mine.report(3, 0.5) is False
    pickle.loads(pickle.dumps(mine))


def test_a_reporter_without_a_storage_or_a_number(tmp_path):
    study = opened(tmp_path)
    lost = Reporter(storage_url(str(tmp_path / "no.db"), tmp_path), "s/cnn", 0, "val_loss", "median")
    assert lost.report(1, 0.5) is False
    assert "no study at" in lost.problem
    mine = reporter(study, study.ask(SPACE, sampler_of(choice("random"), 2)).number)
    assert mine.report(1, float("nan")) is False
    assert not mine.problem


def test_architectures_share_a_sampler_and_draw_for_themselves(tmp_path):
    """One after the other, or in turns: the same."""
    alone = search(opened(tmp_path, "a/cnn"), sampler_of(choice("tpe", n_startup_trials=2), 4), 6)
    shared = sampler_of(choice("tpe", n_startup_trials=2), 4)
    both = [opened(tmp_path, f"b/{label}") for label in ("cnn", "mlp")]
    for count in range(1, 7):
        for study in both:
            search(study, shared, count)
    assert [[dict(t.params) for t in study.trials()] for study in both] == [alone, alone]
