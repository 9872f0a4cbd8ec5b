"""The user's own code, as people really write it."""

import collections
import dataclasses
import json
import os

import pytest
import torch
from torch import nn

import modelcmp
from modelcmp.errors import BadInput, BuildError, ForwardError, UsageError
from modelcmp.files import write_whole

HEAD = "import torch\nfrom torch import nn\n"


def params(spec, **options):
    return modelcmp.profile(str(spec), **options).params


def test_siblings_of_the_same_name_in_two_folders(tmp_path):
    for folder, width in (("a", 4), ("b", 400)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "blocks.py").write_text(f"W = {width}\n")
        (tmp_path / folder / "net.py").write_text(
            HEAD + "from blocks import W\ndef build():\n    return nn.Linear(8, W)\n"
        )
    found = [params(f"{tmp_path}/{f}/net.py:build", input_size="1x8") for f in ("a", "b", "a")]
    assert found == [36, 3600, 36]


def test_an_import_inside_the_factory(tmp_path):
    (tmp_path / "sib.py").write_text("W = 3\n")
    (tmp_path / "net.py").write_text(HEAD + "def build():\n    from sib import W\n    return nn.Linear(8, W)\n")
    assert params(f"{tmp_path}/net.py:build", input_size="1x8") == 27


def test_relative_imports_in_a_package(tmp_path):
    (tmp_path / "pk").mkdir()
    (tmp_path / "pk" / "__init__.py").write_text("")
    (tmp_path / "pk" / "blocks.py").write_text("W = 5\n")
    (tmp_path / "pk" / "net.py").write_text(HEAD + "from .blocks import W\ndef build():\n    return nn.Linear(8, W)\n")
    assert params(f"{tmp_path}/pk/net.py:build", input_size="1x8") == 45


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import sys\nsys.exit(0)\ndef build(): return nn.ReLU()\n", "SystemExit"),
        ("import sys\nexample_inputs = torch.rand(1)\ndef build(): sys.exit(0)\n", "SystemExit"),
        ("def build(:\n", "SyntaxError"),
        ("def build(): return nn.ReLU()\ndef example_inputs(): raise ValueError('bad example')\n", "bad example"),
    ],
)
def test_what_goes_wrong_in_a_file_leaves_the_others(tmp_path, body, error):
    (tmp_path / "net.py").write_text(HEAD + body)
    result = modelcmp.compare([f"{tmp_path}/net.py:build", "resnet18"])
    assert [p.name for p in result] == ["resnet18"]
    assert error in result.failures[0].message


def test_a_forward_that_exits_is_an_error():
    class Net(nn.Module):
        def forward(self, x):
            raise SystemExit(0)

    with pytest.raises(ForwardError, match="SystemExit"):
        modelcmp.profile(Net(), torch.zeros(1))


def test_a_wrong_model_in_the_middle_leaves_the_others(tmp_path):
    (tmp_path / "net.py").write_text(HEAD + "def build(): return nn.ReLU()\n")
    result = modelcmp.compare([f"{tmp_path}/net.py:build", "timm:resnet18.bogus", "resnet18"])
    assert [p.name for p in result] == ["resnet18"]
    assert len(result.failures) == 2
    with pytest.raises(BadInput, match="--input-size"):
        modelcmp.compare([f"{tmp_path}/net.py:build"])


@pytest.mark.parametrize(
    ("spec", "kwargs"),
    [
        ("resnet18", {"weights": "DEFAULT"}),
        ("timm:resnet18", {"pretrained": True}),
        ("fcn_resnet50", {"weights_backbone": "DEFAULT"}),
    ],
)
def test_weights_are_refused(spec, kwargs):
    with pytest.raises(BadInput, match="never loaded"):
        modelcmp.profile(spec, kwargs=kwargs)


def test_example_inputs_follow_dtype_and_hold_no_data(tmp_path):
    (tmp_path / "net.py").write_text(
        HEAD + "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.fc = nn.Linear(4, 4)\n"
        "    def forward(self, x, ids):\n"
        "        assert x.is_meta and ids.dtype is torch.long\n"
        "        return self.fc(x)\n"
        "example_inputs = (torch.rand(2, 4), torch.zeros(2, dtype=torch.long))\n"
    )
    profile = modelcmp.profile(f"{tmp_path}/net.py:Net", dtype="bf16")
    assert profile.input_bytes == 2 * 4 * 2
    assert not profile.notes


def test_an_ordinary_mistake_is_not_run_for_real(monkeypatch, tmp_path):
    (tmp_path / "net.py").write_text(HEAD + "def build(): return nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 5))\n")
    monkeypatch.setattr("modelcmp.profiling.profile.build_with_weights", lambda *_: pytest.fail("built for real"))
    with pytest.raises(ForwardError, match="'1' \\(Linear\\)"):
        modelcmp.profile(f"{tmp_path}/net.py:build", input_size="1x4")


@dataclasses.dataclass(slots=True)
class Output:
    logits: torch.Tensor
    nothing: object = None


@pytest.mark.parametrize(
    "wrap", [lambda y: Output(y), lambda y: {"a": [y, (y,)]}, lambda y: collections.OrderedDict(y=y)]
)
def test_outputs_of_every_kind(wrap):
    class Net(nn.Module):
        def forward(self, x):
            return wrap(x * 2)

    assert modelcmp.profile(Net(), torch.zeros(4)).minimal_traffic_bytes == 32


def test_inputs_in_odd_containers():
    class Net(nn.Module):
        def forward(self, batch):
            return batch["x"] + batch["y"].logits

    batch = collections.defaultdict(list, x=torch.zeros(4), y=Output(torch.zeros(4)))
    assert modelcmp.profile(Net(), (batch,)).flops == 4


def test_the_default_dtype_does_not_matter():
    torch.set_default_dtype(torch.float64)
    try:
        assert modelcmp.profile("resnet18").size_bytes == 46796608
    finally:
        torch.set_default_dtype(torch.float32)


def test_cuda_calls_are_no_error_without_cuda(tmp_path):
    (tmp_path / "net.py").write_text(HEAD + "def build(): return nn.Linear(4, 4).cuda()\n")
    assert params(f"{tmp_path}/net.py:build", input_size="1x4") == 20


@pytest.mark.parametrize(
    "call",
    [
        lambda: modelcmp.profile(nn.Linear, torch.zeros(1)),
        lambda: modelcmp.profile(nn.Linear(1, 1), torch.zeros(1), batch_size=8),
        lambda: modelcmp.profile("resnet18", input_size=-5),
        lambda: modelcmp.profile("resnet18", batch_size=1.5),
        lambda: modelcmp.compare("resnet18"),
    ],
)
def test_wrong_calls(call):
    with pytest.raises(UsageError):
        call()


def test_sizes_as_lists_and_tuples():
    for size in ([3, 64, 64], (64, 64), 64, "64"):
        assert modelcmp.profile("resnet18", input_size=size).input_shape == ((1, 3, 64, 64),)


def test_an_empty_frame():
    frame = modelcmp.Comparison(()).to_frame()
    assert len(frame) == 0
    assert "macs" in frame.columns


def test_output_through_a_link_and_into_a_pipe(tmp_path, cli):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    write_whole(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    cli("resnet18", "-o", pipe, "-f", "json")
    assert json.loads(os.read(reader, 1 << 16))["models"][0]["name"] == "resnet18"


def test_a_factory_that_asks_for_weights_gets_the_architecture(monkeypatch, tmp_path):
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *_a, **_k: pytest.fail("a download was tried"))
    (tmp_path / "net.py").write_text(
        HEAD + "import torchvision\ndef build(): return torchvision.models.resnet18(weights='DEFAULT')\n"
    )
    assert params(f"{tmp_path}/net.py:build", input_size="224") == 11689512


def test_errors_name_the_build(tmp_path):
    (tmp_path / "net.py").write_text(HEAD + "def build(): return nn.Linear(4)\n")
    with pytest.raises(BuildError, match="out_features"):
        modelcmp.profile(f"{tmp_path}/net.py:build", input_size="1x4")
