"""Runs are found wherever they lie, chosen by conditions, and grouped by all but the seed."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from training_results import SETTINGS, run

from modelcmp.errors import BadInput, ModelcmpError, UnknownName
from modelcmp.training import finding
from modelcmp.training.finding import find_runs, load_runs
from modelcmp.training.grouping import (
    Run,
    counted_runs,
    group_notes,
    group_runs,
    load_all,
    load_groups,
    picks_by_result,
    repeated_seeds,
    select,
)
from modelcmp.training.results import RunResult, load_result, save_result


def result(name="cnn", seed=1, accuracy=0.9, status="finished", settings=None, **fields):
    """A run with one figure; settings over those of the others."""
    val = {"accuracy": accuracy} if accuracy is not None else None
    told = {**SETTINGS, "seed": seed, "order_digest": f"{seed:016x}", "kwargs": "none", **(settings or {})}
    return RunResult(name, fields.pop("model", name), status, val=val, settings=told, **fields)


def runs_of(*results):
    return [Run(r, Path(f"/w{i}/comparison-{r.name}")) for i, r in enumerate(results)]


def groups_of(*results):
    return group_runs(runs_of(*results))


def names(groups):
    return {group.name: [r.settings["seed"] for r in group.results] for group in groups}


def kept(folder, *results):
    """Saves results into a workspace."""
    for r in results:
        (folder / f"comparison-{r.name}").mkdir(parents=True)
        save_result(r, folder / f"comparison-{r.name}")
    return folder


# --- groups --------------------------------------------------------------------------------------


def test_seeds_are_one_group_in_order_and_other_settings_are_not():
    groups = groups_of(result(seed=3), result(seed=1), result(seed=2, settings={"lr": 0.1}), result("mlp", seed=1))
    assert names(groups) == {"cnn lr=0.001": [1, 3], "cnn lr=0.1": [2], "mlp": [1]}
    assert [dict(g.settings) for g in groups] == [{"lr": 0.001}, {"lr": 0.1}, {"lr": 0.001}]
    assert groups[0].label == "cnn"


def test_one_configuration_has_no_settings_to_tell():
    (group,) = groups_of(result(seed=1), result(seed=2, status="diverged", accuracy=None))
    assert (group.name, dict(group.settings), len(group.runs)) == ("cnn", {}, 2)


@pytest.mark.parametrize("key", ["batch_size", "optimizer", "scheduler", "precision", "max_epochs", "kwargs",
                                 "processes", "data_digest_train", "split_seed", "unheard_of"])  # fmt: skip
def test_every_setting_makes_a_configuration(key):
    groups = groups_of(result(settings={key: "a=1"}), result(seed=2, settings={key: "a=2"}))
    assert len(groups) == 2
    assert all(list(g.settings) == [key] for g in groups)


@pytest.mark.parametrize("changes", [{"threads": 4}, {"device": "cuda"}, {"torch": "2.16"}, {"order_digest": "0"},
                                     {"data_digest_test": "1"}, {"max_steps": None}, {"augment": "none"}])  # fmt: skip
def test_the_machine_and_what_the_seed_decides_do_not(changes):
    assert len(groups_of(result(), result(seed=2, settings=changes))) == 1


def test_other_models_selection_and_sizes_of_one_label_are_told_apart():
    assert [g.name for g in groups_of(result(), result(seed=2, model="timm:cnn"))] == [
        "cnn model=cnn",
        "cnn model=timm:cnn",
    ]
    assert [g.name for g in groups_of(result(params=10), result(seed=2, params=20))] == [
        "cnn params=10",
        "cnn params=20",
    ]
    assert len(groups_of(result(), result(seed=2, selected_by="val_loss"))) == 2


def test_keywords_speak_for_themselves_and_tell_sizes():
    groups = groups_of(
        result(params=10, settings={"kwargs": "width=16"}), result(params=20, settings={"kwargs": "width=32"})
    )
    assert [g.name for g in groups] == ["cnn width=16", "cnn width=32"]
    assert all(list(g.settings) == ["kwargs"] for g in groups)
    assert groups_of(result(), result(settings={"kwargs": "width=8"}))[0].name == "cnn kwargs=none"


def test_what_follows_from_the_data_is_not_told_twice():
    other = {"data": "mnist", "data_digest_train": "00", "data_digest_val": "11", "train_examples": 60000}
    assert [list(g.settings) for g in groups_of(result(), result(settings=other))] == [["data"], ["data"]]


def test_names_stay_apart_where_shown_digits_do_not():
    groups = groups_of(result(settings={"lr": 0.0012345678}), result(settings={"lr": 0.0012345679}))
    assert len({g.name for g in groups}) == 2


def test_notes_say_repeated_seeds_and_other_machines():
    groups = groups_of(result(seed=7), result(seed=7), result(seed=8, settings={"threads": 4, "device": "cuda"}))
    assert repeated_seeds(groups[0]) == {7: 2}
    repeated, device = group_notes(groups)
    assert "cnn (7: 2 runs)" in repeated
    assert device.startswith("Device differs between the seeds of cnn (cpu, cuda)")
    assert group_notes(groups_of(result(), result(seed=2))) == []


def test_each_seed_counts_once_and_unknown_seeds_each():
    (group,) = groups_of(
        result(seed=7, status="diverged"), result(seed=7, accuracy=0.8), result(seed=7, accuracy=0.7),
        result(seed=8, status="failed"), result(seed=8, status="diverged"),
    )  # fmt: skip
    counted = counted_runs(group, lambda r: r.status == "finished")
    assert [(r.result.status, r.result.val["accuracy"]) for r in counted] == [("finished", 0.8), ("failed", 0.9)]
    assert "cnn (7: 3 runs, 1 diverged, 8: 2 runs, 1 failed, 1 diverged)" in group_notes([group])[0]
    bare = [replace(r, settings={}) for r in (result(), result(), result())]
    assert len(counted_runs(groups_of(*bare)[0], lambda r: True)) == 3


# --- conditions ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def four():
    return runs_of(
        result(seed=1), result(seed=2, accuracy=0.8, settings={"lr": 0.1}), result("mlp", seed=1, accuracy=0.7),
        result("mlp", seed=2, accuracy=0.99, status="diverged", message="NaN", settings={"lr": 0.1}),
    )  # fmt: skip


@pytest.mark.parametrize(("where", "left"), [
    ('lr < 0.01 and model == "cnn"', [0]), ("lr == 0.1", [1, 3]), ('status == "finished"', [0, 1, 2]),
    ("val_accuracy > 0.75", [0, 1]), ("seed == 1 or val_accuracy < 0.9", [0, 1, 2]), ("batch_size > 2", [0, 1, 2, 3]),
    ("status in ['diverged', 'failed']", [3]), ('label == "mlp" and not lr > 0.01', [2]), ('workspace == "w3"', [3]),
])  # fmt: skip
def test_conditions_choose_runs(four, where, left):
    assert [four.index(r) for r in select(four, where)] == left


def test_conditions_that_cannot_be_are_refused(four):
    with pytest.raises(UnknownName, match="did you mean 'batch_size'"):
        select(four, "batchsize > 2")
    with pytest.raises(BadInput, match="none of 4 runs"):
        select(four, "lr > 5")
    with pytest.raises(BadInput, match="function call"):
        select(four, "__import__('os')")
    with pytest.raises(BadInput, match="cannot be evaluated"):
        select(four, 'lr < "a"')


def test_choosing_by_results_is_noticed():
    assert picks_by_result("lr < 1 and test_accuracy > 0.9")
    assert not picks_by_result("lr < 1 and params < 5")
    assert not picks_by_result(None)


# --- finding -------------------------------------------------------------------------------------


def test_runs_are_found_on_every_level(tmp_path):
    sweep = tmp_path / "all" / "sweep"
    for i in (1, 2):
        kept(sweep / "runs" / f"cnn-seed-{i}", result(seed=i))
    kept(tmp_path / "all" / "single", result("mlp"))
    run_folder = sweep / "runs" / "cnn-seed-1" / "comparison-cnn"
    for place, n in ((run_folder, 1), (run_folder.parent, 1), (sweep / "runs", 2), (sweep, 2), (tmp_path / "all", 3)):
        assert len(find_runs([place])) == n
    assert find_runs([run_folder.parent, sweep]) == [run_folder, sweep / "runs" / "cnn-seed-2" / "comparison-cnn"]
    assert find_runs([sweep, run_folder.parent])[0] == run_folder  # all of the second is there already
    groups, problems = load_groups([tmp_path / "all"], "seed < 5")
    assert names(groups) == {"cnn": [1, 2], "mlp": [1]}
    assert problems == []


def test_dumps_and_weights_are_not_looked_into_and_links_do_not_loop(tmp_path, monkeypatch):
    folder = kept(tmp_path / "w", result())
    for name in ("trained_models", "batch_dumps", ".hidden"):
        (folder / name).mkdir()
    (folder / "comparison-cnn" / "batch_dumps" / "epoch_001").mkdir(parents=True)
    (folder / "again").symlink_to(tmp_path)
    (folder / "nowhere").symlink_to(tmp_path / "missing")
    visited = []
    scandir = os.scandir
    monkeypatch.setattr(finding.os, "scandir", lambda path: (visited.append(Path(path).name), scandir(path))[1])
    assert [p.name for p in find_runs([folder])] == ["comparison-cnn"]
    assert not {"trained_models", "batch_dumps", ".hidden", "epoch_001"} & set(visited)
    assert len(visited) < 10


def test_what_cannot_be_read_is_a_problem_and_no_abort(tmp_path):
    kept(tmp_path / "a", result())
    kept(tmp_path / "b", result(seed=2))
    (tmp_path / "b" / "comparison-cnn" / "result.json").write_text("{")
    (tmp_path / "c" / "comparison-cnn").mkdir(parents=True)
    (tmp_path / "c" / "comparison-cnn" / "session.json").write_text("{}")
    groups, problems = load_groups([tmp_path])
    assert names(groups) == {"cnn": [1]}
    assert len(problems) == 2
    assert "cannot be read" in problems[0]
    assert "holds no result yet" in problems[1]
    with pytest.raises(BadInput, match="does not exist"):
        load_groups([tmp_path / "nowhere"])
    with pytest.raises(BadInput, match="no trained model"):
        load_groups([tmp_path / "c" / "comparison-cnn" / "session.json"])
    (tmp_path / "a" / "comparison-cnn" / "result.json").write_text("[]")
    with pytest.raises(ModelcmpError, match="not a result"):
        load_groups([tmp_path])


def test_runs_stand_in_the_order_of_their_config_and_are_named_after_workspaces(tmp_path):
    kept(tmp_path / "w", result("a"), result("b"))
    (tmp_path / "w" / "config.yaml").write_text("models: [{name: cnn, label: b}, {name: cnn, label: a}]\n")
    assert [r.name for r in load_runs([tmp_path / "w"])[0]] == ["b", "a"]
    kept(tmp_path / "v", result("c"))
    assert [r.name for r in load_runs([tmp_path / "w", tmp_path / "v"])[0]] == ["w/b", "w/a", "v/c"]


def test_a_result_without_curves_is_else_the_same(tmp_path):
    save_result(run("cnn", n=120), tmp_path)
    whole, light = asdict(load_result(tmp_path)), asdict(load_result(tmp_path, curves=False))
    for split in ("val", "test"):
        for curve in ("roc", "pr"):
            assert whole[split].pop(curve)
            assert light[split].pop(curve) is None
    assert whole == light
    other = json.loads((tmp_path / "result.json").read_text("utf-8"))
    (tmp_path / "result.json").write_text(json.dumps(other))  # laid out by another program: read as it is
    assert load_result(tmp_path, curves=False).val["roc"]


def test_grouping_imports_no_torch():
    check = "import sys, modelcmp.training.grouping\nassert not {'torch', 'scipy', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_thousand_runs_are_one_listing(tmp_path):
    text = json.dumps({"schema": 1, **asdict(result())}, indent=1)
    for i in range(1000):
        folder = tmp_path / "runs" / f"cnn-{i:04}" / "comparison-cnn"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(text.replace('"seed": 1', f'"seed": {i}'))
    runs, problems = load_all([tmp_path])
    (group,) = group_runs(runs)
    assert [r.settings["seed"] for r in group.results] == list(range(1000))
    assert problems == []
    assert replace(runs[0].result, settings={}) == replace(runs[-1].result, settings={})
