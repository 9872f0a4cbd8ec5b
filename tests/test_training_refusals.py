"""What cannot be trained is refused before training, with the place in the config; what can be passes."""

import textwrap

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from modelcmp.errors import BadInput, ModelcmpError
from modelcmp.tracking.exporters import exporter
from modelcmp.training.config_file import load_config, make_config, open_document
from modelcmp.training.data.base import all_finite
from modelcmp.training.optimisation import make_loss
from modelcmp.training.places import located
from modelcmp.training.plan import make_plan, settings_of

SMALL = {"name": "digits", "kwargs": {"size": 8}}


def planned(**settings):
    """The plan of 20 steps in two epochs of a small perceptron, unless it is said otherwise."""
    return make_plan(make_config({"models": ["mlp"], "data": SMALL, "epochs": 2, "device": "cpu", **settings}))


@pytest.fixture
def code(tmp_path):
    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write


NETS = """
    import torch
    from torch import nn

    READY = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    HEAD = nn.Linear(64, 10)
    SCALE = torch.tensor([0.5])

    def cached():
        return READY

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = HEAD

        def forward(self, x):
            return self.head(x.flatten(1))

    class Frozen(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(64, 10))
            self.requires_grad_(False)

    class Empty(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10]

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", SCALE)
            self.head = nn.LazyLinear(10)

        def forward(self, x):
            return self.head(x.flatten(1) * self.scale)
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("READY", r"mine-READY is not built anew each time: 1\.weight was made when its file was imported"),
        ("cached", r"mine-cached is not built anew each time"),
        ("Shared", r"mine-Shared is not built anew each time: head\.weight"),
        ("Frozen", "mine-Frozen has nothing to train: all its parameters are frozen"),
        ("Empty", "mine-Empty has nothing to train: it has no parameters"),
    ],
)
def test_models_that_cannot_be_trained(code, name, message):
    with pytest.raises(BadInput, match=message) as refused:
        planned(models=["mlp", f"{code(NETS)}:{name}"])
    assert refused.value.place == ("models", 1)


def test_a_constant_made_at_import_and_lazy_layers_are_fine(code):
    (entrant,) = planned(models=f"{code(NETS)}:Scaled").entrants
    assert entrant.params == entrant.trainable_params == 64 * 10 + 10
    assert [tuple(shape) for shape, _ in entrant.weights] == [(10, 64), (10,)]


def test_an_optimizer_that_refuses_a_model_names_it():
    with pytest.raises(BadInput, match=r"^mlp: optimizer muon: .*2D parameters") as refused:
        planned(optimizer="muon")
    assert refused.value.place == ("optimizer",)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adafactor", "rprop", "asgd", "nadam"])
def test_optimizers_that_pass(name):
    assert planned(optimizer=name).entrants


def test_an_optimizer_of_the_device_passes():
    assert planned(optimizer={"name": "adam", "fused": True}).entrants


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("lbfgs", "optimizer lbfgs .*several times a step.*: take sgd"),
        ("SparseAdam", "optimizer SparseAdam needs sparse gradients.*: take adam"),
        ({"name": "adam", "betas": 3}, "optimizer adam: "),
        ({"name": "sgd", "momentum": float("nan")}, "momentum is nan: give finite numbers"),
        ({"name": "adam", "betas": [0.9, float("nan")]}, "betas is .*nan.*: give finite numbers"),
    ],
)
def test_optimizers_that_are_refused(optimizer, message):
    with pytest.raises(BadInput, match=message):
        planned(optimizer=optimizer)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ({"name": "onecycle", "total_steps": 5}, "total_steps 5, and the run 20 steps"),
        ({"name": "OneCycleLR", "max_lr": 0.1, "total_steps": 1}, "total_steps 1, and the run 2 epochs"),
        ({"name": "cosine", "T_max": 0}, "step 1 of 20: "),
        ({"name": "StepLR", "step_size": 0}, "epoch 1 of 2: "),
        ({"name": "ExponentialLR", "gamma": float("nan")}, "gamma is nan: give finite numbers"),
        ({"name": "ExponentialLR", "gamma": -1}, r"learning rate to -0\.001 after epoch 1"),
        ({"name": "ExponentialLR", "gamma": 1e300, "interval": "step"}, "learning rate to inf after step 2"),
        ({"name": "LambdaLR", "lr_lambda": 3}, "not callable"),
        ({"name": "MultiStepLR", "milestones": 3}, "not iterable"),
        ({"name": "cosine", "warmup_steps": 20}, "warmup_steps is 20, and the whole run has 20 steps"),
        ({"name": "onecycle", "warmup_steps": 2}, "onecycle warms up by itself"),
        ({"name": "StepLR", "step_size": 1, "warmup_steps": 2}, "warmup_steps goes with interval: step"),
    ],
)
def test_schedules_that_fail_on_the_way(scheduler, message):
    with pytest.raises(BadInput, match=message) as refused:
        planned(scheduler=scheduler)
    assert refused.value.place == ("scheduler",)


@pytest.mark.parametrize(
    "scheduler",
    [
        *("cosine", "linear", "onecycle", "constant", "PolynomialLR"),
        {"name": "cosine", "warmup_steps": 19},
        {"name": "StepLR", "step_size": 1},
        {"name": "CosineAnnealingWarmRestarts", "T_0": 3, "interval": "step"},
        {"name": "OneCycleLR", "max_lr": 0.1, "total_steps": 2},
    ],
)
def test_schedules_that_pass(scheduler):
    assert planned(scheduler=scheduler).entrants


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("NLLLoss", "takes log-probabilities.*: take cross_entropy"),
        ("BCELoss", "takes probabilities.*: take bce"),
        ("SoftMarginLoss", "takes classes -1 and 1.*: take bce"),
        *((name, "known: auto, cross_entropy, bce, MultiMarginLoss") for name in ("MSELoss", "CTCLoss", "KLDivLoss")),
        ({"name": "cross_entropy", "label_smoothing": 2}, "label_smoothing must be between"),
        ({"name": "MultiMarginLoss", "margin": float("nan")}, "margin is nan: give finite numbers"),
        ({"name": "cross_entropy", "ignore_indx": 1}, "did you mean 'ignore_index'"),
        *(
            ({"name": "cross_entropy", "weight": weight}, "weight is .*: give ")
            for weight in ([1] * 9, [1] * 11, [1] * 9 + [-1], [1] * 9 + [float("nan")], [0] * 10, ["a"] * 10, "a", 3)
        ),
    ],
)
def test_losses_that_are_refused(loss, message):
    with pytest.raises(BadInput, match=message) as refused:
        planned(loss=loss)
    assert refused.value.place[0] == "loss"


def losses(config, outputs, logits, targets):
    return float(make_loss(make_config({"models": ["mlp"], "loss": config}).loss, outputs)(logits, targets))


def test_losses_are_torch_s():
    x, y = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2, 1, 0])
    weight = torch.tensor([1.0, 2.0, 0.0])
    given = {"name": "cross_entropy", "weight": [1, 2, 0]}  # whole numbers
    assert losses(given, 3, x, y) == pytest.approx(float(F.cross_entropy(x, y, weight)))
    given = {"name": "multimarginloss", "p": 2}
    assert losses(given, 3, x, y) == pytest.approx(float(F.multi_margin_loss(x, y, p=2)))
    one, which = x[:, :1], y % 2
    by_hand = F.binary_cross_entropy_with_logits(one[:, 0], which.float(), pos_weight=torch.tensor(3.0))
    assert losses({"name": "bce", "pos_weight": 3}, 1, one, which) == pytest.approx(float(by_hand))


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "cross_entropy", "weight": [1, 2, 5]},
        {"name": "cross_entropy", "ignore_index": 2},
        {"name": "cross_entropy", "weight": [1, 2, 5], "ignore_index": 1},
        {"name": "MultiMarginLoss", "weight": [1, 2, 5]},
        "cross_entropy",
    ],
)
def test_batches_of_a_loss_add_up(loss):
    criterion = make_loss(make_config({"models": ["mlp"], "loss": loss}).loss, 3)
    x, y = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 2, 1, 0, 0])
    parts = [(x[:3], y[:3]), (x[3:], y[3:])]
    total = sum(float(criterion(a, b)) * criterion.weight(b) for a, b in parts) / sum(
        criterion.weight(b) for _, b in parts
    )
    assert total == pytest.approx(float(criterion(x, y)))


DATA = """
    import torch
    from torch.utils.data import Dataset

    class Images(Dataset):
        def __init__(self, count=12, side=8, broken=()):
            self.targets, self.side, self.broken, self.read = [i % 3 for i in range(count)], side, broken, 0

        def __len__(self):
            return len(self.targets)

        def __getitem__(self, i):
            self.read += 1
            if i in self.broken:
                raise KeyError("boom")
            return torch.zeros(1, self.side, self.side), self.targets[i]

    PARTS = {"train": Images(300), "val": Images(), "test": Images()}

    def good():
        return PARTS

    def splits(split, **change):
        return {"train": Images(), "val": Images(), "test": Images(), split: Images(**change)}

    def other(split):
        return splits(split, side=9)

    def broken(split):
        return splits(split, broken=(0,))

    def broken_end(split):
        return splits(split, broken=(11,))
"""


@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("other", r"different shapes \(train \(1, 8, 8\), .*\(1, 9, 9\)"),
        ("broken", r"Images\[0\] raised KeyError: 'boom'"),
        ("broken_end", r"Images\[11\] raised KeyError: 'boom'"),
    ],
)
def test_each_split_of_a_data_set_is_looked_into(code, split, factory, message):
    with pytest.raises(ModelcmpError, match=message) as refused:
        planned(data={"name": f"{code(DATA)}:{factory}", "kwargs": {"split": split}})
    assert refused.value.place == ("data",)


def test_looking_into_a_data_set_reads_little_of_it(code):
    data = planned(data=f"{code(DATA)}:good").data
    assert [data.split(name).dataset.read <= 3 for name in ("train", "val", "test")] == [True] * 3


def test_a_data_set_that_is_not_as_it_says(code):
    own = """
        import dataclasses
        from modelcmp.training.data import load_data

        def make():
            small, large = load_data("digits", size=8), load_data("digits", size=9)
            return dataclasses.replace(small, val=large.val)
    """
    with pytest.raises(BadInput, match="its val split has samples of 1x9x9, not 1x8x8"):
        planned(data=f"{code(own)}:make")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_seen(value):
    x = torch.zeros(2, 3)
    assert all_finite(x)
    x[1, 2] = value
    assert not all_finite(x)


def test_options_of_trackers():
    with pytest.raises(BadInput, match="tracker tensorboard takes no 'logdr': did you mean 'logdir'"):
        exporter("tensorboard", logdr="x")
    with pytest.raises(BadInput, match="tracker mlflow takes no 'experimnt': did you mean 'experiment'") as refused:
        planned(trackers=["tensorboard", {"name": "mlflow", "experimnt": 3}])
    assert refused.value.place == ("trackers", 1)
    assert exporter("tensorboard", logdir="x").name == "tensorboard"


def test_early_stopping_and_schedule_in_words():
    plan = planned(early_stopping={"patience": 3, "min_delta": 0.1}, scheduler={"name": "cosine", "warmup_steps": 3})
    found = settings_of(plan)
    assert (found["early_stopping"], found["scheduler"]) == (
        "val_loss, patience 3, min_delta 0.1",
        "cosine(warmup_steps=3)",
    )
    assert settings_of(planned(early_stopping=5))["early_stopping"] == "val_loss, patience 5"
    assert settings_of(planned())["early_stopping"] == settings_of(planned())["scheduler"] == "none"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models:\n  - cnn\n  - {name: mlp, kwargs: {dropout: 2}}", r"x\.yaml:3: mlp could not be built: .*dropout"),
        ("models: mlp\ndevice: cpu\nprecision: fp16", r"x\.yaml:3: precision fp16 needs a CUDA device"),
        ("models: mlp\nprecision: fp32\ndevice: cuda:99", r"x\.yaml:3: device cuda:99: this machine has"),
        ("models: mlp\n\ndata: {name: mnist, root: nosuch}", r"x\.yaml:3: no mnist in nosuch"),
        ("models: mlp\nloss:\n  name: bce", r"x\.yaml:2: loss bce does not go with data of 10 classes"),
        ("models: mlp\nscheduler:\n  name: cosine\n  T_mx: 3", r"x\.yaml:4: .*did you mean 'T_max'"),
    ],
)
def test_what_only_torch_can_judge_has_its_line(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ModelcmpError, match=message), located(open_document(path)):
        make_plan(load_config(path))
