"""The space of a search: which points a grid has, and what Optuna draws and stores."""

import itertools
import json
import math
import random
import subprocess
import sys
from decimal import Decimal

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from modelcmp.errors import BadInput
from modelcmp.sweeps.space import MOST, Circle, Key, Space, in_order
from modelcmp.sweeps.space_reading import read_entries, read_space
from modelcmp.sweeps.space_values import Choices, Range, values_from
from modelcmp.training.yaml_text import parse

SGD = {"name": "sgd", "momentum": 0.9}
MIXED = Space(
    (
        Key("optimizer", Choices(("adam", SGD, {"name": "sgd", "nesterov": True, "betas": [0.9, 0.99]}))),
        Key("lr", Range(1e-4, 1e-1, log=True, points=4)),
        Key("kwargs.hidden", Choices(([64], [64, 32], None)), (("optimizer", ("adam", SGD)),)),
        Key("epochs", Range(2, 7, step=2)),
        Key("clip_norm", Range(0.1, 0.5, step=0.1), (("kwargs.hidden", (None,)), ("epochs", (2, 6)))),
        Key("early_stopping", Choices((False, 3)), (("clip_norm", (0.3, 0.4, 0.5)),)),
    )
)


@pytest.fixture(autouse=True)
def quiet():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def brute(space):
    """Every combination of all listed values, what does not apply taken out, the first of equal ones kept."""
    found = []
    for values in itertools.product(*(key.values.listed() for key in space.keys)):
        whole, kept = dict(zip(space.paths, values, strict=True)), {}
        for key in space.keys:
            if all(parent in kept and kept[parent] in allowed for parent, allowed in key.when):
                kept[key.path] = whole[key.path]
        if kept not in found:
            found.append(kept)
    return found


def random_space(seed):
    """Up to five keys, each with conditions on some of those before it."""
    rng = random.Random(seed)
    keys = []
    for n in range(rng.randint(1, 5)):
        domain = rng.choice(
            [
                Choices(tuple(rng.sample(["a", "b", None, True, 7, 0.5, [1, 2], {"x": [1]}], rng.randint(1, 4)))),
                Range(0, rng.randint(1, 4)),
                Range(0.0, 0.7, step=0.2),
                Range(0.001, 10.0, log=True, points=rng.randint(2, 4)),
            ]
        )
        parents = rng.sample(keys, rng.randint(0, min(2, len(keys))))
        when = tuple((p.path, tuple(rng.sample(v := list(p.values.listed()), rng.randint(1, len(v))))) for p in parents)
        keys.append(Key(f"k{n}", domain, when))
    return Space(tuple(keys))


@pytest.mark.parametrize("seed", range(60))
def test_a_grid_has_every_combination_once(seed):
    space = random_space(seed)
    points = space.points()
    assert points == brute(space)
    assert space.size() == len(points)
    assert points == space.points()


def test_the_last_key_varies_fastest():
    space = Space((Key("lr", Choices((0.001, 0.1))), Key("batch_size", Choices((512, 1024)))))
    assert [tuple(p.values()) for p in space.points()] == [(0.001, 512), (0.001, 1024), (0.1, 512), (0.1, 1024)]


def test_a_huge_grid_is_counted_without_listing_it():
    parts = [Key(f"k{n}", Range(1, 1000)) for n in range(4)]
    last = Key("k4", Range(1, 10), (("k0", (7, 8)),))
    space = Space((*parts, last))
    assert space.size() == 2 * 1000**3 * 10 + 998 * 1000**3
    with pytest.raises(BadInput, match=r"1,018,000,000,000 points, more than 100,000.*random"):
        space.points()
    assert len(Space((Key("k", Range(1, MOST)),)).points()) == MOST


def test_a_grid_needs_the_values_of_a_range():
    space = Space((Key("epochs", Range(1, 3)), Key("lr", Range(1e-5, 0.1, log=True))))
    assert (space.size(), space.unlisted) == (None, ("lr",))
    with pytest.raises(BadInput, match=r"lr: a grid needs the values.*points: 5 or take method: random"):
        space.points()
    with pytest.raises(BadInput, match=r"dropout: .*points: 5, or a step, or"):
        Space((Key("dropout", Range(0.0, 0.5)),)).points()


@pytest.mark.parametrize(
    ("domain", "truth"),
    [
        (Range(2, 10, step=2), [2, 4, 6, 8, 10]),
        (Range(2, 9, step=3), [2, 5, 8]),
        (Range(3, 6), [3, 4, 5, 6]),
        (Range(0.0, 0.5, step=0.1), [float(Decimal(k) / 10) for k in range(6)]),
        (Range(0.1, 1.0, step=0.1), [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Range(1e-6, 1e-5, step=3e-6), [1e-6, 4e-6, 7e-6, 1e-5]),
        (Range(0, 10, points=5), [0, 2, 5, 8, 10]),
        (Range(1, 3, points=9), [1, 2, 3]),
        (Range(1, 1024, log=True, points=11), [2**k for k in range(11)]),
        (Range(1e-5, 0.1, log=True, points=5), [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
    ],
)
def test_values_of_a_range(domain, truth):
    listed = domain.listed()
    assert list(listed) == truth
    assert {type(v) for v in listed} == {type(truth[0])}
    assert domain.count == len(truth)


def test_what_optuna_rounds_is_set_right():
    assert Range(0.1, 1.0, step=0.1).from_optuna(0.1 + 2 * 0.1) == 0.3 != 0.1 + 2 * 0.1
    assert Range(0.0, 0.5).from_optuna(0.1 + 0.2) == 0.1 + 0.2


@pytest.mark.parametrize("points", [2, 3, 7, 50])
def test_points_are_spaced_as_numpy_has_them(points):
    linear = Range(-0.3, 2.7, points=points).listed()
    np.testing.assert_allclose(linear, np.linspace(-0.3, 2.7, points), rtol=1e-12, atol=1e-15)
    log = Range(3e-7, 0.4, log=True, points=points).listed()
    np.testing.assert_allclose(log, np.geomspace(3e-7, 0.4, points), rtol=1e-11)


@pytest.mark.parametrize(
    ("entry", "truth"),
    [
        ({"values": [0.0, 0.9]}, CategoricalDistribution((0.0, 0.9))),
        ({"values": ["adam", SGD, [1, 2]]}, CategoricalDistribution(("adam", "{name: sgd, momentum: 0.9}", "[1, 2]"))),
        ({"min": 1, "max": 9}, IntDistribution(1, 9)),
        ({"min": 1, "max": 9, "log": True}, IntDistribution(1, 9, log=True)),
        ({"min": 2, "max": 9, "step": 2}, IntDistribution(2, 8, step=2)),
        ({"min": 1, "max": 9.0}, FloatDistribution(1.0, 9.0)),
        ({"min": 1e-5, "max": 0.1, "log": True, "points": 5}, FloatDistribution(1e-5, 0.1, log=True)),
        ({"min": 0, "max": 1, "step": 0.3}, FloatDistribution(0.0, 0.9, step=0.3)),
    ],
)
def test_distributions(entry, truth):
    assert values_from(entry).distribution() == truth


@pytest.mark.parametrize("sampler", [optuna.samplers.RandomSampler(seed=1), optuna.samplers.TPESampler(seed=1)])
def test_what_optuna_draws_is_in_the_space(sampler):
    study = optuna.create_study(sampler=sampler)
    grid = MIXED.points()
    applying = {tuple(p) for p in grid}
    for _ in range(60):
        trial = study.ask()
        drawn = MIXED.suggest(trial)
        assert tuple(drawn) in applying
        assert {**drawn, "lr": 1e-4} in grid
        assert 1e-4 <= drawn["lr"] <= 1e-1
        assert MIXED.from_optuna(trial.params) == drawn
        assert trial.distributions == {path: MIXED.distributions()[path] for path in drawn}
        study.tell(trial, math.log(drawn["lr"]))
    assert len({tuple(t.params) for t in study.trials}) == len(applying)


@pytest.mark.filterwarnings("error")
def test_an_enqueued_grid_comes_back_as_it_was(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    points = MIXED.points()[::7]
    study = optuna.create_study(storage=storage, study_name="x")
    for point in points:
        study.enqueue_trial(MIXED.to_optuna(point))
    study = optuna.load_study(storage=storage, study_name="x")
    asked = [MIXED.suggest(study.ask()) for _ in points]
    assert asked == points
    assert [MIXED.from_optuna(t.params) for t in study.get_trials()] == points
    assert json.dumps(asked) == json.dumps(points)  # 2 is not 2.0, and the order is the same


@pytest.mark.parametrize("seed", range(20))
def test_plain_is_json_and_reads_back(seed):
    for space in (MIXED, random_space(seed)):
        assert Space.from_plain(json.loads(json.dumps(space.plain()))) == space


def test_an_example_has_the_value_and_what_it_needs():
    assert MIXED.example("early_stopping", 3) == {
        "optimizer": "adam", "lr": 1e-4, "kwargs.hidden": None, "epochs": 2, "clip_norm": 0.3, "early_stopping": 3,
    }  # fmt: skip
    assert MIXED.example("epochs", 4) == {"optimizer": "adam", "lr": 1e-4, "kwargs.hidden": [64], "epochs": 4}


def test_parents_come_before_what_depends_on_them():
    a, b, c = Key("a", Choices((1, 2)), (("c", (3,)),)), Key("b", Choices((1,))), Key("c", Choices((3, 4)))
    assert [k.path for k in in_order([a, b, c])] == ["b", "c", "a"]
    with pytest.raises(Circle, match="a -> c -> a"):
        in_order([b, Key("d", Choices((1,)), (("a", (1,)),)), a, Key("c", Choices((3,)), (("a", (1,)),))])


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ("", "add optimizer.name to space, or drop the when"),
        ("  epochs: [1, 2]\n", "add optimizer.name to space, or drop the when"),
        ("  optimizer.nam: [1, 2]\n", "did you mean 'optimizer.nam'?"),
    ],
)
def test_a_condition_on_what_is_not_searched_says_what_to_do(more, hint):
    text = f"space:\n  lr: {{values: [0.1, 0.01], when: {{optimizer.name: sgd}}}}\n{more}"
    document = parse(text, "s.yaml")
    with pytest.raises(BadInput) as caught:
        read_space(read_entries(document.data["space"], ["cnn"], document)["cnn"])
    assert str(caught.value).endswith(f"which is not searched: {hint}")
    assert str(caught.value).startswith("s.yaml:2: space.lr: it depends on 'optimizer.name', ")


def test_neither_optuna_nor_torch_is_needed_to_read_a_space():
    code = (
        "import sys\nfrom modelcmp.sweeps.space import Space\n"
        "space = Space.from_plain({'lr': {'min': 1e-5, 'max': 0.1, 'log': True, 'points': 3}, 'epochs': [1, 2]})\n"
        "assert len(space.points()) == 6\nassert not {'optuna', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
