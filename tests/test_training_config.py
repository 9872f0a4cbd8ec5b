"""The config: what is read, what is refused, and where."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from modelcmp.errors import BadInput, UnknownName
from modelcmp.files import write_whole
from modelcmp.tracking.names import check_name
from modelcmp.training.config import Config
from modelcmp.training.config_file import as_yaml, load_config, make_config, open_document, recipes, said_over
from modelcmp.training.names import folder_name
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
        ("models: [{name: cnn, label: ../x}]", r"x\.yaml:1: models\.0\.label: .*file name.*not '\.\./x'"),
        ("models: [{name: cnn, label: a}, {name: mlp, label: A}]", r"two models have the label 'A'"),
        ("models: [cnn]\nx: !!python/object/apply:os.system ['true']", r"x\.yaml:2: this is not YAML"),
        (
            "models: [cnn]\ntrackers: [tensorbord]",
            r"x\.yaml:2: .*tracker 'tensorbord': did you mean 'tensorboard'\?$",
        ),
        ("models: [cnn]\nlr: .nan", r"x\.yaml:2: lr: .*finite number, not nan"),
        ("models: [cnn]\n\nlr: -1\noptimizer: sgd", r"x\.yaml:3: lr: .*greater than 0, not -1"),
        ("models: [cnn]\noptimizer:\n  name: sgd\n  lr: .inf", r"x\.yaml:4: optimizer\.lr: .*finite number, not inf"),
        ("models: [cnn]\nbatch_comparison_interval: 0", r"x\.yaml:2: dump_interval: .*not 0"),
        ("models: {mlp: {hidden: 3}}", r"x\.yaml:1: models\.0: write \{name: mlp, kwargs: \{hidden: 3\}\}$"),
        (
            "models: [cnn]\naugment:\n  - crop: {padding: 4}",
            r":3: augment\.0: write \{name: crop, padding: 4\}$",
        ),
        ("models: [{name: mlp, hidden: 3}]", r"unknown key 'hidden': .*its own keywords go into kwargs"),
        ("models: [cnn]\noptimizer: 3", r"x\.yaml:2: optimizer: write a name, or .*, not 3$"),
        ("models: [cnn]\nearly_stopping: true", r"x\.yaml:2: early_stopping: write a number of epochs, .*not True"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(written, text, message):
    with pytest.raises((BadInput, UnknownName), match=message):
        load_config(written(text))


def test_overrides_go_over_the_file_and_over_options(written):
    config = load_config(
        written(EXAMPLE),
        overrides=["lr=0.01", "optimizer.name=sgd", "data.kwargs.size=8", "models.0.kwargs.width=4", "tags=[a, b]"],
        given={"epochs": 2, "lr": 0.5},
    )
    assert (config.optimizer.name, config.optimizer.lr, config.epochs) == ("sgd", 0.01, 2)
    assert config.data.kwargs == {"size": 8}
    assert config.models[0].kwargs == {"width": 4}
    assert config.tags == ["a", "b"]


def test_overrides_reach_into_what_options_name(written):
    overrides = ["models.0.kwargs.x=1", "data.kwargs.size=8"]
    config = load_config(written(EXAMPLE), overrides=overrides, given={"models": ["mlp", "cnn"], "data": "mnist_5k"})
    assert [(m.name, m.kwargs) for m in config.models] == [("mlp", {"x": 1}), ("cnn", {})]
    assert (config.data.name, config.data.kwargs) == ("mnist_5k", {"size": 8})


@pytest.mark.parametrize("overrides", [["optimizer=sgd", "optimizer.momentum=0.9"], ["optimizer={name: sgd}"]])
def test_a_whole_section_leaves_what_was_said_of_its_parts(written, overrides):
    config = load_config(written(EXAMPLE), overrides=overrides[::-1], given={"lr": 0.5})
    assert (config.optimizer.name, config.optimizer.lr) == ("sgd", 0.5)
    assert config.optimizer.keywords == ({"momentum": 0.9} if len(overrides) > 1 else {})


def test_a_section_with_a_rate_replaces_that_of_the_file(written):
    config = load_config(written("models: [cnn]\nlr: 0.1"), overrides=["optimizer={name: sgd, lr: 0.2}"])
    assert (config.optimizer.name, config.optimizer.lr) == ("sgd", 0.2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "write key=value"),
        ("=3", "write key=value"),
        ("models..x=3", "write key=value"),
        ("epocs=3", "--set epocs: unknown key 'epocs': did you mean 'epochs'"),
        ("epochs=ten", "^--set epochs: input .*not 'ten'"),
        ("lr=-1", "^--set lr: input should be greater than 0, not -1$"),
        ("optimizer.lr=-1", r"^--set optimizer\.lr: input should be greater than 0, not -1$"),
        ("optimizer={name: sgd, lr: -1}", r"^--set optimizer: optimizer\.lr: input should be greater than 0, not -1$"),
        ("models.7.name=cnn", r"^--set models\.7\.name: '7' is no position in a list of 3"),
        ("tags=[a", "this is not YAML"),
    ],
)
def test_wrong_overrides(written, override, message):
    with pytest.raises(BadInput, match=message):
        load_config(written(EXAMPLE), overrides=[override])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": -1.0}, r"^--lr: input should be greater than 0, not -1\.0$"),
        ({"epochs": 0}, "^--epochs: input should be greater than or equal to 1, not 0$"),
        ({"batch_size": 0}, "^--batch-size: "),
        ({"seed": -1}, "^--seed: "),
        ({"device": "gpu"}, "^--device: write auto, .*not 'gpu'$"),
        ({"dump_interval": 0}, "^--dump-interval: "),
        ({"workspace": ""}, "^--out-dir: "),
        ({"data": 3}, "^--data: "),
        ({"models": [3]}, r"^--model: models\.0: "),
    ],
)
def test_a_wrong_option_is_called_as_it_was_typed(written, given, message):
    with pytest.raises(BadInput, match=message):
        load_config(written(EXAMPLE), given=given)


def test_the_rate_is_given_once_on_the_command_line(written):
    with pytest.raises(BadInput, match="--lr and --set optimizer both give the learning rate"):
        load_config(written(EXAMPLE), overrides=["optimizer={name: sgd, lr: 0.2}"], given={"lr": 0.1})


def test_errors_quote_the_file_or_the_option_that_holds(written):
    path = written("models:\n  - mlp\n  - name: cnn\n    kwargs:\n      width: 3\n")
    document = said_over(open_document(path), ["models.0.kwargs.depth=1", "lr=1"], {"epochs": 3})
    assert document.where(("models", 1, "kwargs", "width")) == f"{path}:5"
    assert document.where(("models", 0)) == f"{path}:2"
    assert document.where(("models", 0, "kwargs", "depth")) == "--set models.0.kwargs.depth"
    assert document.where(("optimizer", "lr")) == "--set lr"
    assert document.where(("epochs",)) == "--epochs"
    assert said_over(open_document(path), [], {"models": ["mlp"]}).where(("models", 1, "kwargs")) == "--model"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("epochs", v) for v in (True, 1.0, "1", 0)),
        *(("workers", v) for v in (1.0, -1, 100_000)),
        *(("threads", v) for v in (0, 100_000)),
        *(("lr", v) for v in (True, float("inf"), float("nan"), 0, "fast")),
        *(("max_minutes", v) for v in (float("inf"), float("nan"), True)),
        *(("clip_norm", v) for v in (float("inf"), float("nan"))),
        ("deterministic", "yes"),
        ("early_stopping", {"patience": 3, "min_delta": float("nan")}),
    ],
)
def test_numbers_are_what_they_are_called(key, value):
    with pytest.raises(BadInput, match=f"^{key}"):
        make_config({"models": ["cnn"], key: value})


@pytest.mark.parametrize(("rate", "value"), [(1, 1.0), ("1e-3", 0.001)])
def test_whole_numbers_and_text_are_rates_too(rate, value):
    assert make_config({"models": ["cnn"], "lr": rate}).optimizer.lr == value


def test_plain_data_are_checked_as_files_are():
    config = make_config({
        "models": ("mlp", "cnn"), "batch_comparison_interval": 5, "data": {"name": "mnist", "root": Path("a/b")},
        "workspace": Path("w"), "tags": ("x", "y"),
    })  # fmt: skip
    assert (config.dump_interval, config.data.root, config.workspace) == (5, str(Path("a/b")), "w")
    assert (config.labels, config.tags) == (("mlp", "cnn"), ["x", "y"])
    with pytest.raises(BadInput, match="older name of 'dump_interval'"):
        make_config({"models": ["mlp"], "batch_comparison_interval": 5, "dump_interval": 5})
    with pytest.raises(BadInput, match=r"^epochs: "):
        make_config({"models": ["mlp"], "epochs": 0})


@pytest.mark.parametrize("value", [[1, 2], None, 3, "cnn"])
def test_a_config_is_a_mapping(value):
    with pytest.raises(BadInput, match="a config is a mapping"):
        make_config(value)


def test_a_config_that_is_built_directly_is_checked():
    with pytest.raises(ValidationError, match="file name"):
        Config(models=[{"name": "mlp", "label": "a/b"}])
    with pytest.raises(ValidationError, match="two models have the label"):
        Config(models=[{"name": "mlp", "label": "a"}, {"name": "cnn", "label": "a"}])
    assert Config(models=["mlp"], lr=0.5).optimizer.lr == 0.5


@pytest.mark.parametrize(
    ("models", "labels"),
    [
        (["mlp", {"name": "cnn", "label": "mlp"}], ("mlp-2", "mlp")),
        (["mlp", "mlp", {"name": "cnn", "label": "MLP-2"}], ("mlp", "mlp-3", "MLP-2")),
    ],
)
def test_labels_that_were_given_stay(models, labels):
    assert make_config({"models": models}).labels == labels


@pytest.mark.parametrize("letter", ["x", "é", "网"])
def test_labels_become_file_names(letter, tmp_path):
    spec = f"{letter * 250}.py:build"
    made = make_config(
        {"models": [spec, spec, {"name": "mlp", "label": letter * (189 // len(letter.encode()))}]}
    ).labels
    assert len(set(made)) == 3
    for label in made:
        check_name("session", folder_name(label))
        write_whole(tmp_path / f"{label}_comparison.pt", "x")
    with pytest.raises(BadInput, match=r"models\.0\.label: .*189 bytes"):
        make_config({"models": [{"name": "mlp", "label": letter * 190}]})


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
