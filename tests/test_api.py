"""The Python API: specs, modules, inputs of every form, results as frames and HTML."""

import html

import pytest
import torch
from torch import nn

import modelcmp
from modelcmp.errors import BadInput, BuildError, ForwardError, UnknownName, UsageError


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, a, b=None, *, extra=None):
        total = a if b is None else a + b
        return {"logits": self.fc(total if extra is None else total + extra["x"])}


X = torch.zeros(3, 4)


@pytest.mark.parametrize("inputs", [X, (X,), (X, X), [X, X], {"a": X}, {"a": X, "b": X}, {"a": X, "extra": {"x": X}}])
def test_inputs_of_every_form(inputs):
    assert modelcmp.profile(TwoInputs(), inputs).macs == 3 * 4 * 2


def test_a_dict_as_the_only_positional_input():
    class Net(nn.Module):
        def forward(self, batch):
            return batch["x"] @ batch["y"]

    assert modelcmp.profile(Net(), ({"x": torch.zeros(2, 3), "y": torch.zeros(3, 5)},)).macs == 30


def test_meta_inputs_and_a_meta_model():
    with torch.device("meta"):
        net = nn.Linear(4, 2)
    assert modelcmp.profile(net, torch.empty(3, 4, device="meta")).macs == 24


def test_forward_that_needs_numbers_runs_on_the_given_inputs():
    class Net(nn.Module):
        def forward(self, x):
            return x[x > 0] * 2

    profile = modelcmp.profile(Net(), torch.tensor([1.0, -1.0, 2.0]))
    assert profile.notes
    assert profile.ops[-1].output_shapes == ((2,),)
    with pytest.raises(ForwardError, match="real tensors"):
        modelcmp.profile(Net(), torch.empty(3, device="meta"))


def test_metrics_are_attributes():
    profile = modelcmp.profile("resnet18")
    assert profile.params == profile.values["params"] == 11689512
    assert profile.bound == "balanced"
    with pytest.raises(AttributeError, match="nonsense"):
        _ = profile.nonsense


def test_frames():
    comparison = modelcmp.compare(["resnet18", "mobilenet_v2"], sort_by="macs")
    frame = comparison.to_frame()
    assert list(frame.index) == ["mobilenet_v2", "resnet18"]
    assert set(modelcmp.METRICS) <= set(frame.columns)
    profile = comparison["resnet18"]
    assert profile.to_frame("layers")["macs"].sum() == profile.macs
    assert profile.to_frame("ops")["traffic_bytes"].sum() == profile.traffic_bytes
    assert len(profile.to_frame()) == 1
    with pytest.raises(UnknownName):
        profile.to_frame("rows")
    assert comparison.layers["resnet18"] == profile.layers
    assert comparison[0].name == "mobilenet_v2"
    with pytest.raises(KeyError):
        comparison["vgg11"]


def test_html_is_escaped():
    net = nn.ReLU()
    profile = modelcmp.profile(net, X)
    evil = "<img src=x onerror=alert(1)>"
    shown = modelcmp.Comparison((profile,), (modelcmp.ModelFailure(evil, "BuildError", evil),))._repr_html_()
    assert "<img" not in shown
    assert html.escape(evil) in shown
    assert "ReLU" in profile._repr_html_()


def test_failures_are_listed_and_the_rest_compared():
    class Broken(nn.Module):
        def forward(self, x):
            raise RuntimeError("it broke")

    result = modelcmp.compare([(Broken(), X), "resnet18"])
    assert [p.name for p in result] == ["resnet18"]
    assert result.failures[0].name == "Broken"
    assert "it broke" in result.failures[0].message


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("resnet81",), UnknownName),
        (("resnet18", X), UsageError),
        ((nn.ReLU(),), UsageError),
        (("nowhere.py:f",), BadInput),
    ],
)
def test_errors(arguments, error):
    with pytest.raises(error):
        modelcmp.profile(*arguments)


@pytest.mark.parametrize(
    "option", [{"mode": "x"}, {"convention": "x"}, {"dtype": "x"}, {"batch_size": 0}, {"input_size": "x"}]
)
def test_wrong_options(option):
    with pytest.raises(UsageError):
        modelcmp.profile("resnet18", **option)


def test_build_errors_show_the_models_own_words():
    with pytest.raises(BuildError, match="depth"):
        modelcmp.profile("resnet18", kwargs={"depth": 3})


@pytest.mark.parametrize(("dtype", "size"), [("fp16", 2), ("bf16", 2), ("fp64", 8)])
def test_bytes_follow_the_dtype(dtype, size):
    full, other = modelcmp.profile("resnet18"), modelcmp.profile("resnet18", dtype=dtype)
    assert other.macs == full.macs
    assert other.traffic_bytes * 4 == full.traffic_bytes * size


def test_batch():
    one, eight = modelcmp.profile("resnet18"), modelcmp.profile("resnet18", batch_size=8)
    assert eight.macs == 8 * one.macs
    assert eight.weight_bytes == one.weight_bytes
    assert eight.params == one.params


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_kwargs_reach_the_factory(source):
    profile = modelcmp.profile(f"{source}:resnet18", kwargs={"num_classes": 10})
    assert profile.params == 11689512 - 990 * 513


def test_video_sizes():
    profile = modelcmp.profile("r3d_18", input_size="8x96x96")
    assert profile.input_shape == ((1, 3, 8, 96, 96),)


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    for name in (
        "resnet18",
        "fcn_resnet50",
        "ssdlite320_mobilenet_v3_large",
        "raft_small",
        "quantized_resnet18",
        "timm:resnet18",
    ):
        assert modelcmp.profile(name).params > 0
