"""The config of a sweep: what is read, what is refused and where, and the config of each trial."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelcmp.errors import BadInput
from modelcmp.sweeps.config import (
    Budget,
    Choice,
    differences,
    read_kept,
    read_sweep,
    sweep_data,
    sweep_yaml,
    trial_config,
)
from modelcmp.sweeps.records import Objective
from modelcmp.training.config_file import as_data, load_config
from modelcmp.training.yaml_text import parse

EXAMPLE = """\
models: [cnn, mlp]
data: mnist_5k
epochs: 5
name: mnist
method: {name: tpe, n_startup_trials: 5, seed: 1}
objective: val_accuracy
trials: 20
pruning: median
space:
  lr: {min: 1.0e-5, max: 0.1, log: true}
  batch_size: [32, 64, 128]
  optimizer.momentum: {values: [0.0, 0.9], when: {optimizer.name: sgd}}
  optimizer.name: [adam, sgd]
  epochs: {min: 2, max: 10, step: 2}
  models:
    cnn: {kwargs.width: [16, 32]}
    mlp: {kwargs.hidden: [64, 128], lr: [0.001, 0.01]}
"""
GRID = "models: cnn\nspace:\n  lr: [0.001, 0.1]\n  batch_size: [512, 1024]\n"


def read(text, overrides=(), given=None, stem="sweep"):
    return read_sweep(parse(text, "s.yaml"), overrides, given or {}, stem)


def searched(entry, extra=""):
    """A sweep of one model with one more line of space."""
    return f"models: cnn\ntrials: 3\nmethod: random\n{extra}space:\n  batch_size: [8, 16]\n  {entry}\n"


def test_the_example_means_what_it_says():
    sweep = read(EXAMPLE)
    assert (sweep.name, sweep.base.labels, sweep.base.data.name) == ("mnist", ("cnn", "mlp"), "mnist_5k")
    assert sweep.method == Choice("tpe", {"n_startup_trials": 5, "seed": 1})
    assert sweep.objectives == (Objective("val_accuracy", "high"),)
    assert (sweep.budget, sweep.pruning, sweep.storage) == (Budget("trials", 20), Choice("median"), None)
    assert sweep.spaces["cnn"].plain() == {
        "lr": {"min": 1e-5, "max": 0.1, "log": True},
        "batch_size": [32, 64, 128],
        "optimizer.name": ["adam", "sgd"],
        "optimizer.momentum": {"values": [0.0, 0.9], "when": {"optimizer.name": ["sgd"]}},
        "epochs": {"min": 2, "max": 10, "step": 2},
        "kwargs.width": [16, 32],
    }
    assert next(iter(sweep.spaces["mlp"].plain())) == "lr"
    assert sweep.spaces["mlp"].plain()["lr"] == [0.001, 0.01]
    assert sweep.spaces["mlp"].size() == 2 * 3 * (1 + 2) * 5 * 2


def test_defaults():
    sweep = read(GRID, stem="my search, 2nd")
    assert (sweep.name, sweep.method, sweep.budget) == ("my-search-2nd", Choice("grid"), Budget("trials", None))
    assert sweep.objectives == (Objective("val_accuracy", "high"),)
    assert read(GRID, ["trials=3"]).method == Choice("tpe")
    assert read(GRID, ["select_by=val_loss"]).objectives == (Objective("val_loss", "low"),)
    assert read(GRID, ["pruning=none"]).pruning is None
    assert read(GRID, ["trials=4", "method=grid"]).budget == Budget("trials", None)


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ("space.lr.max=0.5", lambda s: s.spaces["cnn"].plain()["lr"] == {"min": 1e-5, "max": 0.5, "log": True}),
        ("space.optimizer.name=[sgd]", lambda s: s.spaces["mlp"].plain()["optimizer.name"] == ["sgd"]),
        ("space.optimizer.betas=[[0.9, 0.9]]", lambda s: "optimizer.betas" in s.spaces["cnn"].paths),
        ("space.models.cnn.kwargs.width=[1]", lambda s: s.spaces["cnn"].plain()["kwargs.width"] == [1]),
        ("space.models.mlp={batch_size: [7]}", lambda s: s.spaces["mlp"].plain()["batch_size"] == [7]),
        ("trials=5", lambda s: s.budget == Budget("trials", 5)),
        ("budget={minutes: 1.5}", lambda s: s.budget == Budget("minutes", 1.5)),
        ("budget.flops=1e15", lambda s: s.budget == Budget("flops", 1e15)),
        ("epochs=3", lambda s: s.base.epochs == 3),
        ("optimizer.weight_decay=0.1", lambda s: s.base.optimizer.keywords == {"weight_decay": 0.1}),
        ("objective=[val_loss, latency]", lambda s: [o.key for o in s.objectives] == ["val_loss", "latency_ms"]),
        ("storage=study.journal", lambda s: s.storage == "study.journal"),
    ],
)
def test_set_reaches_everything(said, check):
    text = EXAMPLE.replace("pruning: median\n", "")
    assert check(read(text, [said]))
    assert parse(text, "").data == parse(EXAMPLE.replace("pruning: median\n", ""), "").data


def test_set_replaces_the_shared_list_but_not_a_models_own():
    sweep = read(EXAMPLE, ["space.lr=[1, 2]"])
    assert sweep.spaces["cnn"].plain()["lr"] == [1, 2]
    assert sweep.spaces["mlp"].plain()["lr"] == [0.001, 0.01]


def test_a_label_may_hold_dots():
    text = "models: [{name: cnn, label: cnn.v2}]\nspace: {lr: [0.1, 0.2]}"
    sweep = read(text, ["space.models.cnn.v2.kwargs.width=[8]", "space.models.cnn.v2.lr=[0.3]"])
    assert sweep.spaces["cnn.v2"].plain() == {"lr": [0.3], "kwargs.width": [8]}


def test_options_work_on_the_whole_document():
    sweep = read(
        EXAMPLE, given={"trials": 7, "epochs": 3, "models": ["mlp"], "space": {"lr": [0.1]}, "method": "random"}
    )
    assert (sweep.budget.amount, sweep.base.epochs, list(sweep.spaces)) == (7, 3, ["mlp"])
    with pytest.raises(BadInput, match=r"^--trials and --set budget.minutes both say how much"):
        read(EXAMPLE, ["budget.minutes=3"], {"trials": 7})


REFUSED = [
    ("models: cnn", r"s\.yaml: 'space' is missing.*compare-models train"),
    ("models: cnn\nspace:", r"s\.yaml:2: space: name what is searched"),
    ("models: cnn\nspace: {}", r"s\.yaml:2: space: name what is searched"),
    ("models: [cnn, mlp]\nspace:\n  models:\n    cnn: {lr: [1]}", r"s\.yaml:2: space: nothing is searched for mlp"),
    ("models: cnn\nspace:\n  models:\n    cn: {lr: [1]}", r"s\.yaml:4: .*no model 'cn': did you mean 'cnn'"),
    ("models: cnn\nspace:\n  models:\n    cnn: [1]", r"s\.yaml:4: space\.models\.cnn: write its keys"),
    ("models: cnn\nspce: {lr: [1]}", r"s\.yaml:2: unknown key 'spce': did you mean 'space'"),
    ("models: cnn\nepocs: 2\nspace: {lr: [1]}", r"s\.yaml:2: unknown key 'epocs': did you mean 'epochs'"),
    ("models: cnn\npruning: median\nspace: {lr: [1]}\nmetod: grid", r"s\.yaml:4: .*'method'"),
    (searched("lr: []"), r"s\.yaml:6: space\.lr: the list is empty"),
    (searched("lr: [0.1, 0.2, 0.1]"), r"s\.yaml:6: space\.lr: 0\.1 is given twice"),
    (searched("kwargs.flag: [true, 1]"), r"s\.yaml:6: .*1 is given twice"),
    (searched("kwargs.x: [2020-01-01]"), r"s\.yaml:6: .*neither a number"),
    (searched("kwargs.x: [.nan]"), r"s\.yaml:6: .*neither a number"),
    (searched("lr: 0.1"), r"s\.yaml:6: space\.lr: 0\.1 is one value: put it beside `space`"),
    (searched("lr: {min: 1, max: 1}"), r"s\.yaml:6: .*min 1 is not below max 1"),
    (searched("lr: {min: 0, max: 1, log: true}"), r"s\.yaml:6: .*begins above 0, not at 0"),
    (searched("lr: {min: 0.1, max: 1, log: true, step: 0.1}"), r"s\.yaml:6: .*step and log"),
    (searched("lr: {min: 0.1, max: 1, points: 3, step: 0.1}"), r"s\.yaml:6: .*step and points"),
    (searched("lr: {min: 0.1, max: 1, step: 2}"), r"s\.yaml:6: .*step 2 is not above 0 and at most max - min = 0\.9"),
    (searched("lr: {min: 0.1, max: 1, step: 0}"), r"s\.yaml:6: .*step 0 is not above 0"),
    (searched("lr: {min: 0.1, max: 1, points: 1}"), r"s\.yaml:6: .*from 2 to 100,000, not 1"),
    (searched("lr: {min: 0.1, max: 1, points: true}"), r"s\.yaml:6: .*not True"),
    (searched("lr: {min: 0.1, max: big}"), r"s\.yaml:6: .*max is a number, not 'big'"),
    (searched("lr: {min: 0.1, max: .inf}"), r"s\.yaml:6: .*max is a number"),
    (searched("lr: {min: 0.1}"), r"s\.yaml:6: .*max missing"),
    (searched("lr: {values: [1], max: 2}"), r"s\.yaml:6: .*values and max cannot be told together"),
    (searched("lr: {min: 0.1, max: 1, lgo: true}"), r"s\.yaml:6: .*unknown word 'lgo': did you mean 'log'"),
    (searched("lr: {min: 0.1, max: 1, log: 10}"), r"s\.yaml:6: .*log is true or false"),
    (searched("lr: {values: 3}"), r"s\.yaml:6: .*values are a list"),
    (searched("optimizer: {name: [adam, sgd]}"), r"s\.yaml:6: .*with dots: `optimizer\.name"),
    (
        searched("lr: {values: [1], when: {optimizer.name: sgd}}"),
        r"s\.yaml:6: .*'optimizer.name', which is not searched",
    ),
    (searched("lr: {values: [1], when: {batch: 8}}"), r"s\.yaml:6: .*did you mean 'batch_size'"),
    (
        searched("lr: {values: [1], when: {batch_size: 9}}"),
        r"s\.yaml:6: .*batch_size is never 9: it is one of \[8, 16\]",
    ),
    (searched("lr: {values: [1], when: {lr: 1}}"), r"s\.yaml:6: .*lr -> lr: "),
    (
        searched("lr: {values: [1], when: {clip_norm: 1}}\n  clip_norm: {values: [1], when: {lr: 1}}"),
        r"s\.yaml:6: .*lr -> clip_norm -> lr",
    ),
    (
        searched(
            "clip_norm: {values: [1, 2], when: {batch_size: 8}}\n"
            "  lr: {values: [1], when: {clip_norm: 1, batch_size: [16]}}"
        ),
        r"s\.yaml:7: space\.lr: it never applies: .*different values of batch_size",
    ),
    (
        searched("clip_norm: {min: 1, max: 2.5}\n  lr: {values: [1], when: {clip_norm: 2}}"),
        r"s\.yaml:7: .*clip_norm is never 2: a single number of a range",
    ),
    (searched("batchsize: [1]"), r"s\.yaml:6: .*unknown key 'batchsize': did you mean 'batch_size'"),
    (searched("hidden: [1]"), r"s\.yaml:6: .*unknown key 'hidden': .*kwargs\.X"),
    (searched("epochs.x: [1]"), r"s\.yaml:6: .*epochs has nothing inside"),
    (searched("kwargs: [1]"), r"s\.yaml:6: .*name one keyword"),
    (searched("seed: [1, 2]"), r"s\.yaml:6: .*seed cannot be searched: .*compare-models trials"),
    (searched("data: [digits]"), r"s\.yaml:6: .*only data\.kwargs\.X"),
    (searched("data.root: [a]"), r"s\.yaml:6: .*only data\.kwargs\.X"),
    (searched("device: [cpu]"), r"s\.yaml:6: .*device cannot be searched: it decides nothing that is learnt"),
    (searched("select_by: [val_loss]"), r"s\.yaml:6: .*the objective says"),
    (searched("lr: [1]\n  optimizer.lr: [2]"), r"s\.yaml:7: .*lr is short for optimizer\.lr"),
    (
        searched("lr: [1]\n  optimizer: [{name: adam, lr: 1}]"),
        r"s\.yaml:6: .*optimizer is searched as a whole, with lr",
    ),
    (
        searched("optimizer: [adam]\n  optimizer.name: [sgd]"),
        r"s\.yaml:7: .*optimizer is searched as a whole, with name",
    ),
    (searched("lr: [1]", "objective: test_accuracy\n"), r"s\.yaml:4: .*the test split is opened once.*val_accuracy"),
    (searched("lr: [1]", "objective: calibration\n"), r"s\.yaml:4: .*test split.*val_calibration_error"),
    (searched("lr: [1]", "objective: acuracy\n"), r"s\.yaml:4: .*did you mean"),
    (searched("lr: [1]", "objective: accuracy\n"), r"s\.yaml:4: .*write val_accuracy"),
    (searched("lr: [1]", "objective: epochs\n"), r"s\.yaml:4: .*'epochs' is nothing that a search can improve"),
    (searched("lr: [1]", "objective: [params, val_loss, params]\n"), r"s\.yaml:4: objective: params is given twice"),
    (searched("lr: [1]", "objective: []\n"), r"s\.yaml:4: .*list is empty"),
    (searched("lr: [1]", "budget: {steps: 4}\n"), r"s\.yaml:4: budget: trials says how much already"),
    (searched("lr: [1]", "objective: params\npruning: median\n"), r"s\.yaml:5: pruning: .*figure of every epoch"),
    (searched("lr: [1]", "objective: [val_loss, params]\npruning: median\n"), r"s\.yaml:5: pruning: .*only objective"),
    (searched("lr: [1]", "pruning: medain\n"), r"s\.yaml:4: .*did you mean 'median'"),
    (searched("lr: [1]", "pruning: {name: median, patience: 3}\n"), r"s\.yaml:4: .*takes no 'patience'"),
    (searched("lr: [1]", "name: a/b\n"), r"s\.yaml:4: .*letters, digits"),
    (searched("lr: [1]", "storage: 3\n"), r"s\.yaml:4: .*URL of a database"),
    (f"{GRID}method: tqe\n", r"s\.yaml:5: .*did you mean 'tpe'"),
    (f"{GRID}method: {{name: tpe, startup: 3}}\ntrials: 2", r"s\.yaml:5: .*takes no 'startup'"),
    (f"{GRID}method: [tpe]\n", r"s\.yaml:5: .*write a name, or"),
    (f"{GRID}method: random\n", r"s\.yaml:5: method: random could go on for ever: .*trials: 20"),
    (f"{GRID}budget: {{trials: 3, steps: 4}}\n", r"s\.yaml:5: budget: it has 2 units"),
    (f"{GRID}budget: {{hours: 3}}\n", r"s\.yaml:5: .*unknown unit 'hours'"),
    (f"{GRID}budget: 20\n", r"s\.yaml:5: .*budget: \{minutes: 30\}"),
    (f"{GRID}budget:\n  minutes: 0\n", r"s\.yaml:6: .*minutes is a number above 0, not 0"),
    (f"{GRID}trials: 2.5\n", r"s\.yaml:5: .*trials is a whole number above 0, not 2\.5"),
    (f"{GRID}trials: true\n", r"s\.yaml:5: .*not True"),
    (
        f"{GRID}method: grid\ntrials: 3\n",
        r"s\.yaml:6: trials: a grid covers all its 4 points \(cnn\): leave trials out",
    ),
    (f"{GRID}method: grid\nbudget: {{minutes: 3}}\n", r"s\.yaml:6: budget: .*leave budget out"),
    (f"{GRID}  clip_norm: {{min: 1, max: 2.0}}\n", r"s\.yaml:5: space\.clip_norm: a grid needs the values"),
    (f"{GRID}  max_steps: {{min: 1, max: 50000}}\n", r"s\.yaml:2: this grid has 200,000 points"),
    (searched("epochs:\n    - 3\n    - 0"), r"s\.yaml:8: epochs=0: .*greater than or equal to 1"),
    (searched("epochs:\n    min: -2\n    max: 3"), r"s\.yaml:7: epochs=-2: "),
    (searched("lr: {min: 0, max: 1}"), r"s\.yaml:6: lr=0: "),
    (searched("precision: [fp32, fp8]"), r"s\.yaml:6: precision=fp8: "),
    (searched("early_stopping.patienc: [3]"), r"s\.yaml:6: early_stopping\.patienc=3: .*did you mean 'patience'"),
    (
        searched("scheduler: [cosine, null]\n  scheduler.warmup_steps: {values: [0, -1], when: {scheduler: cosine}}"),
        r"s\.yaml:7: scheduler\.warmup_steps=-1: ",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refusals_name_the_line_and_the_way_out(text, message):
    with pytest.raises(BadInput, match=f"^{message}"):
        read(text)


def test_an_option_is_quoted_instead_of_a_line():
    for override, message in (
        ("space.lr=[]", r"^--set space\.lr: the list is empty"),
        ("space.batch_size=[0]", r"^--set space\.batch_size: batch_size=0: "),
        ("trials=-1", r"^--set trials: "),
        ("batch_sise=1", r"^--set batch_sise: unknown key 'batch_sise': did you mean 'batch_size'"),
    ):
        with pytest.raises(BadInput, match=message):
            read(EXAMPLE, [override])


RICH = """\
models: [mlp, {name: mlp, kwargs: {hidden: 32}}, {name: cnn, label: "7.x"}]
lr: 0.05
augment: [flip, {name: crop, padding: 4}]
tags: ["1e5", x]
name: 2024
storage: "sqlite:///a b.db"
objective: [val_loss, params]
budget: {flops: 2.5e+12}
method: random
space:
  optimizer: [adam, {name: sgd, momentum: 0.9}]
  scheduler: [null, cosine, "1e3"]
  scheduler.warmup_steps: {values: [0, 10], when: {scheduler: cosine}}
  augment: [[], [flip]]
  augment.0.p: {min: 0, max: 1, step: 0.3, when: {augment: [flip]}}
  models:
    mlp-2: {clip_norm: {min: 1, max: 5.0, points: 3}, scheduler: [linear, cosine]}
"""


TWO = "models: [cnn, mlp]\nspace:\n  lr: [0.001, 0.1]\n  models:\n    mlp: {lr: [0.01]}\n"


@pytest.mark.parametrize("text", [EXAMPLE, GRID, TWO, RICH, searched("lr: [1]")])
def test_what_is_kept_reads_back_to_the_same(text, tmp_path):
    sweep = read(text)
    (tmp_path / "config.yaml").write_text(sweep_yaml(sweep))
    assert read_kept(tmp_path) == sweep
    again = read(json.dumps(sweep_data(sweep)))
    assert again == sweep
    assert differences(sweep, again) == []
    for label in sweep.base.labels:
        assert list(again.spaces[label].plain()) == list(sweep.spaces[label].plain())


def test_a_folder_without_a_search():
    with pytest.raises(BadInput, match="is no folder of `compare-models sweep`"):
        read_kept(Path("nowhere"))


# -- one trial --------------------------------------------------------------------------------------------


def trained(tmp_path, text, overrides):
    """What `train` makes of a file and the same settings by --set."""
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return load_config(path, overrides=overrides)


def test_a_trial_is_what_set_makes_of_a_training(tmp_path):
    sweep = read(EXAMPLE + "workspace: out\n")
    params = {"lr": 0.01, "batch_size": 64, "optimizer.name": "sgd", "optimizer.momentum": 0.9, "kwargs.hidden": 128}
    truth = trained(
        tmp_path,
        "models: [{name: mlp, label: mlp}]\ndata: mnist_5k\nepochs: 5\n",
        ["lr=0.01", "batch_size=64", "optimizer.name=sgd", "optimizer.momentum=0.9", "models.0.kwargs.hidden=128"],
    )
    found = trial_config(sweep, "mlp", params)
    assert found.model_dump() == truth.model_dump()
    assert (found.workspace, found.labels) == (None, ("mlp",))
    assert trial_config(sweep, "mlp", dict(reversed(params.items()))).model_dump() == truth.model_dump()


def test_a_trial_keeps_its_label_and_the_models_own_keywords():
    sweep = read(RICH)
    config = trial_config(sweep, "mlp-2", {"kwargs.dropout": 0.1})
    assert config.labels == ("mlp-2",)
    assert config.models[0].kwargs == {"hidden": 32, "dropout": 0.1}
    assert trial_config(sweep, "7.x", {}).models[0].name == "cnn"
    with pytest.raises(BadInput, match="no model 'mlp-3' in this sweep: did you mean 'mlp-2'"):
        trial_config(sweep, "mlp-3", {})


def test_a_searched_optimizer_keeps_the_rate_of_the_training_part():
    sweep = read(RICH)
    assert as_data(trial_config(sweep, "mlp", {"optimizer": "sgd"}))["optimizer"] == {"name": "sgd", "lr": 0.05}
    own = {"name": "sgd", "lr": 0.3}
    assert as_data(trial_config(sweep, "mlp", {"optimizer": own}))["optimizer"] == own
    assert trial_config(sweep, "mlp", {"lr": 0.7, "optimizer": {"name": "sgd"}}).optimizer.lr == 0.7
    free = read(RICH.replace("lr: 0.05\n", ""))
    assert as_data(trial_config(free, "mlp", {"optimizer": "sgd"}))["optimizer"] == {"name": "sgd"}


def test_epochs_are_selected_by_the_objective():
    def chosen(extra):
        return trial_config(read(GRID + extra), "cnn", {"lr": 0.1}).select_by

    assert chosen("") == "val_accuracy"
    assert chosen("objective: val_loss\n") == "val_loss"
    assert chosen("objective: val_loss\nselect_by: val_accuracy\n") == "val_accuracy"
    assert chosen("objective: [val_loss, params]\n") == "val_accuracy"
    assert chosen("objective: val_f1\n") == "val_accuracy"


def test_a_refused_combination_names_the_param():
    sweep = read(GRID)
    with pytest.raises(BadInput, match=r"^batch_size=0: "):
        trial_config(sweep, "cnn", {"lr": 0.1, "batch_size": 0})
    with pytest.raises(BadInput, match=r"^augment\.3\.p=1: '3' is no position|^augment\.3\.p=1: "):
        trial_config(read(RICH), "mlp", {"augment.3.p": 1})


def test_every_point_of_a_grid_makes_a_config():
    sweep = read(RICH, ["space.models.mlp-2.clip_norm.points=2"])
    for label, space in sweep.spaces.items():
        configs = [json.dumps(as_data(trial_config(sweep, label, point))) for point in space.points()]
        assert len(set(configs)) == len(configs) == space.size()


def test_params_are_not_shared_with_the_config():
    layers = [64, 32]
    config = trial_config(read(EXAMPLE), "mlp", {"kwargs.hidden": layers})
    config.models[0].kwargs["hidden"].append(1)
    assert layers == [64, 32]


# -- another search? --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("space.models.mlp.lr=[0.001, 0.1]", ["space of mlp: lr was [0.001, 0.01], is [0.001, 0.1]"]),
        ("space.batch_size=[64, 32, 128]", [
            f"space of {la}: batch_size was [32, 64, 128], is [64, 32, 128]" for la in ("cnn", "mlp")
        ]),
        ("space.models.cnn.clip_norm=[1]", ["space of cnn: clip_norm was not searched, is [1]"]),
        ("epochs=3", ["epochs: 5 there, 3 here"]),
        ("data=digits", ["data: mnist_5k there, digits here"]),
        ("objective=[val_loss, params]", ["objective was val_accuracy, is val_loss, params"]),
        ("method=random", ["method was {name: tpe, n_startup_trials: 5, seed: 1}, is random"]),
        ("name=other", ["name was mnist, is other"]),
        ("trials=100", []), ("budget.minutes=3", []), ("pruning=hyperband", []), ("storage=x.db", []),
        ("workspace=x", []), ("tags=[a]", []), ("trackers=[tensorboard]", []), ("description=x", []),
        ("workers=2", []), ("checkpoint_interval=3", []), ("dump_interval=4", []),
    ],
)  # fmt: skip
def test_what_makes_another_search(override, changed):
    text = EXAMPLE.replace("pruning: median\n", "")
    assert differences(read(text), read(text, [override])) == changed


def test_the_order_of_keys_counts_where_it_numbers_the_points():
    old, new = read(GRID), read("models: cnn\nspace:\n  batch_size: [512, 1024]\n  lr: [0.001, 0.1]\n")
    assert differences(replace(old, name="x"), replace(new, name="x")) == [
        "space of cnn: the order of keys was lr, batch_size, is batch_size, lr"
    ]
    drawn = [replace(s, method=Choice("random")) for s in (old, new)]
    assert differences(*drawn) == []


def test_train_says_that_this_is_a_search(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(EXAMPLE)
    with pytest.raises(BadInput, match=r"s\.yaml:9: 'space' describes a search: `compare-models sweep --config FILE`"):
        load_config(path)


def test_neither_torch_nor_optuna_is_needed_to_read_a_sweep():
    code = (
        "import sys\nfrom modelcmp.sweeps.config import read_sweep, sweep_yaml, trial_config\n"
        "from modelcmp.training.yaml_text import parse\n"
        f"sweep = read_sweep(parse({GRID!r}, 'x'))\nsweep_yaml(sweep)\n"
        "trial_config(sweep, 'cnn', sweep.spaces['cnn'].points()[0])\n"
        "assert not {'torch', 'optuna', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
