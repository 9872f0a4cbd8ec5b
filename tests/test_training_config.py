"""The config: what is read, what is refused, and where."""

import subprocess
import sys

import pytest

from modelcmp.errors import BadInput, UnknownName
from modelcmp.training.config import Config
from modelcmp.training.config_file import as_yaml, load_config, make_config, recipes
from modelcmp.training.workspace import differences
from modelcmp.training.yaml_text import parse

EXAMPLE = """\
models: [cnn, resnet, {name: "timm:vit_tiny_patch16_224", kwargs: {img_size: 32, patch_size: 4}}]
data: digits            # or {name: cifar10, root: data/}
epochs: 10
batch_size: 128
optimizer: {name: adam, lr: 0.001}
seed: 123
dump_interval: 10
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return path

    return write


def test_the_example_means_what_it_says(written):
    config = load_config(written(EXAMPLE))
    assert [m.name for m in config.models] == ["cnn", "resnet", "timm:vit_tiny_patch16_224"]
    assert config.models[2].kwargs == {"img_size": 32, "patch_size": 4}
    assert config.labels == ("cnn", "resnet", "vit_tiny_patch16_224")
    assert (config.data.name, config.epochs, config.batch_size, config.seed) == ("digits", 10, 128, 123)
    assert (config.optimizer.name, config.optimizer.lr, config.dump_interval) == ("adam", 0.001, 10)


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("models: cnn\nlr: 0.1", lambda c: (c.optimizer.name, c.optimizer.lr) == ("adam", 0.1)),
        ("models: cnn\nlr: 1e-2\noptimizer: sgd", lambda c: (c.optimizer.name, c.optimizer.lr) == ("sgd", 0.01)),
        ("models: cnn\nbatch_comparison_interval: 5", lambda c: c.dump_interval == 5),
        ("models: cnn\noptimizer: {name: sgd, momentum: 0.9}", lambda c: c.optimizer.keywords == {"momentum": 0.9}),
        ("models: cnn\nearly_stopping: 3", lambda c: c.early_stopping.patience == 3),
        ("models: cnn\naugment: flip", lambda c: c.augment[0].name == "flip"),
        ("models: cnn\nscheduler: cosine", lambda c: c.scheduler.name == "cosine"),
        ("models: cnn\ntrackers: [tensorboard]", lambda c: c.trackers[0].name == "tensorboard"),
        ("models: [mlp, mlp, {name: mlp, label: wide}]", lambda c: c.labels == ("mlp", "mlp-2", "wide")),
    ],
)
def test_short_forms(written, text, check):
    assert check(load_config(written(text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [cnn]\nepocs: 3", r"x\.yaml:2: unknown key 'epocs': did you mean 'epochs'"),
        ("models:\n  - cnn\n  - name: mlp\n    kwags: {}", r"x\.yaml:4: unknown key 'kwags': did you mean 'kwargs'"),
        ("models: [cnn]\nepochs: ten", r"x\.yaml:2: epochs: .*not 'ten'"),
        ("models: [cnn]\nepochs: 0", r"x\.yaml:2: epochs: .*greater than or equal to 1, not 0"),
        ("models: [cnn]\n\nprecision: fp8", r"x\.yaml:3: precision: .*'fp16', not 'fp8'"),
        ("models: [cnn]\ndevice: gpu", r"x\.yaml:2: device: write auto, cpu, cuda"),
        ("models: [cnn]\nearly_stopping: {patience: 0}", r"x\.yaml:2: early_stopping\.patience"),
        ("epochs: 3", r"'models' is missing: name at least one"),
        ("models: []", r"x\.yaml:1: models: "),
        ("models: [cnn]\nepochs: 1\nepochs: 2", r"x\.yaml:3: the key 'epochs' is given twice"),
        ("models: [cnn\nepochs: 1", r"x\.yaml:\d: this is not YAML"),
        ("- cnn", r"x\.yaml: a config is made of `key: value` lines"),
        ("models: [cnn]\nlr: 0.1\noptimizer: {name: sgd, lr: 0.2}", r"x\.yaml:2: lr is 0\.1 here and 0\.2"),
        (
            "models: [cnn]\ndump_interval: 1\nbatch_comparison_interval: 2",
            r"x\.yaml:3: .*older name of 'dump_interval'",
        ),
        ("models: [{name: cnn, label: ../x}]", r"label '\.\./x' makes no file name"),
        ("models: [{name: cnn, label: a}, {name: mlp, label: A}]", r"two models have the label 'A'"),
        ("models: [cnn]\nx: !!python/object/apply:os.system ['true']", r"x\.yaml:2: this is not YAML"),
        ("models: [cnn]\ntrackers: [tensorbord]", r"tensorboard"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(written, text, message):
    with pytest.raises((BadInput, UnknownName), match=message):
        load_config(written(text))


def test_overrides_go_over_the_file_and_options_over_them(written):
    config = load_config(
        written(EXAMPLE),
        overrides=["lr=0.01", "optimizer.name=sgd", "data.kwargs.size=8", "models.0.kwargs.width=4", "tags=[a, b]"],
        given={"epochs": 2, "lr": 0.5},
    )
    assert (config.optimizer.name, config.optimizer.lr, config.epochs) == ("sgd", 0.5, 2)
    assert config.data.kwargs == {"size": 8}
    assert config.models[0].kwargs == {"width": 4}
    assert config.tags == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "write key=value"),
        ("epocs=3", "--set epocs: unknown key 'epocs': did you mean 'epochs'"),
        ("epochs=ten", "--set epochs: epochs: .*not 'ten'"),
        ("models.7.name=cnn", "no position in a list of 3"),
        ("tags=[a", "this is not YAML"),
    ],
)
def test_wrong_overrides(written, override, message):
    with pytest.raises(BadInput, match=message):
        load_config(written(EXAMPLE), overrides=[override])


def test_a_config_is_read_back_as_it_was_written(written):
    config = load_config(written(EXAMPLE), overrides=["scheduler={name: cosine, eta_min: 1e-5}", "early_stopping=4"])
    again = load_config(written(as_yaml(config)))
    assert again == config
    assert not differences(config, again)


def test_yaml_numbers_are_those_of_yaml_1_2():
    assert parse("[1e-3, 1.5E+2, .5e1, 1e5, 0x10, 1_000, e3, on]", "x").data[:4] == [0.001, 150.0, 5.0, 1e5]


def test_every_recipe_is_a_config():
    assert {"quickstart", "spots3d", "mnist", "cifar10"} <= set(recipes())
    for name in recipes():
        assert load_config(recipe=name).models


def test_nothing_but_what_computes_makes_two_configs_differ():
    a = make_config({"models": ["cnn"]})
    assert not differences(a, make_config({"models": ["cnn"], "tags": ["x"], "workspace": "w", "trackers": ["mlflow"]}))
    assert differences(a, make_config({"models": ["cnn"], "lr": 0.1})) != []


def test_each_key_is_described():
    assert all(field.description for field in Config.model_fields.values())


def test_a_config_is_judged_without_torch(written):
    path = written("models: [cnn]\nepocs: 3")
    code = (
        "import sys\nfrom pathlib import Path\nfrom modelcmp.training.config_file import load_config\n"
        "try:\n    load_config(Path(sys.argv[1]))\nexcept Exception:\n    pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
