"""Model arguments that mean many: globs, folders, lists."""

import pytest

from modelcmp.errors import BadInput, UnknownName
from modelcmp.sources import find_names
from modelcmp.sources.folder import factories
from modelcmp.sources.selection import expand

NETS = """
import torch.nn as nn
import timm
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self, width=3): super().__init__()

class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.block = Block()

class Wide(Net):
    pass

class NeedsWidth(nn.Module):
    def __init__(self, width): super().__init__()

class Config:
    pass

class _Hidden(nn.Module):
    pass

def build(): return Net(4)
def annotated(depth: int = 2) -> nn.Module: return make(depth)
def container():
    layers = nn.Sequential(nn.Linear(3, 3))
    return layers
def library(): return timm.create_model("resnet18")
def needs(width): return Net(width)
def helper(x=1): return F.relu(x)
def example_inputs(): return None
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A folder with a file of models, and some that hold none."""
    folder = tmp_path / "nets"
    folder.mkdir()
    (folder / "a.py").write_text(NETS)
    (folder / "b.py").write_text("from torch import nn\nclass Small(nn.Module): pass\n")
    (folder / "broken.py").write_text("def (:\n")
    (folder / "_private.py").write_text(NETS)
    (folder / "test_a.py").write_text(NETS)
    (folder / "notes.txt").write_text("no code")
    monkeypatch.chdir(tmp_path)
    return folder


def test_factories_are_read_off_the_source(nets):
    assert factories(nets / "a.py") == ["Wide", "build", "annotated", "container", "library"]


@pytest.mark.parametrize("argument", ["nets", "nets/", "nets/*.py", "nets/*.py:*"])
def test_a_folder_is_its_files_models(nets, argument):
    assert expand([argument]) == [
        "nets/a.py:Wide", "nets/a.py:build", "nets/a.py:annotated", "nets/a.py:container", "nets/a.py:library",
        "nets/b.py:Small", "nets/broken.py",
    ]  # fmt: skip


def test_a_file_with_an_error_shows_it(nets, cli):
    code, _, err = cli("nets/", "-i", "3x8x8", "--columns", "params")
    assert code == 1
    assert "nets/broken.py cannot be imported: SyntaxError" in err


def test_an_existing_path_is_no_glob(tmp_path, monkeypatch):
    folder = tmp_path / "nets[v2]"
    folder.mkdir()
    (folder / "b.py").write_text("from torch import nn\nclass A(nn.Module): pass\n")
    monkeypatch.chdir(tmp_path)
    assert expand(["nets[v2]/b.py:one"]) == ["nets[v2]/b.py:one"]
    (folder / "b.py").write_text("from torch import nn\nclass One(nn.Linear): pass\nclass A(nn.Module): pass\n")
    assert expand(["nets[v2]/b.py:*"]) == ["nets[v2]/b.py:A"]
    assert expand(["nets[v2]/"]) == ["nets[v2]/b.py:A"]


def test_factories_of_a_file_by_glob(nets):
    assert expand(["nets/a.py:[Wb]*"]) == ["nets/a.py:Wide", "nets/a.py:build"]
    assert expand(["nets/a.py:needs"]) == ["nets/a.py:needs"]


def test_globs_over_sources():
    vits = expand(["timm:vit_tiny*"])
    assert vits == [f"timm:{n}" for s, n in find_names("timm:vit_tiny*")]
    assert len(expand(["torchvision:*"])) == len(find_names("torchvision:*")) > 100
    assert expand(["resnet1?"]) == ["resnet18", "timm:resnet18"]
    assert expand(["timm:resnet18", "resnet18", "timm:resnet1[80]", "resnet18"]) == ["timm:resnet18", "resnet18"]


def test_lists(nets):
    (nets / "l.txt").write_text(
        "\ufeff# ours\nresnet18\n\ntimm:resnet18 # theirs\nnets/b.py:Small\r\ntorchvision:vgg1[13]\n"
    )
    assert expand(["@nets/l.txt", "alexnet"]) == [
        "resnet18", "timm:resnet18", "nets/b.py:Small", "vgg11", "vgg13", "alexnet",
    ]  # fmt: skip
    assert expand(["-"], lambda: "vgg11\nalexnet\n") == ["vgg11", "alexnet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["timm:nope*"], "no name matches"),
        (["resnet81"], "did you mean"),
        (["timm:resnet81"], "did you mean"),
        (["@nowhere.txt"], "cannot read the list nowhere.txt"),
        (["@empty.txt"], "names no model"),
        (["@wrong.txt"], r"wrong.txt, line 2"),
        (["@nested.txt"], "another list"),
        (["@binary.txt"], "not a text file"),
        (["-"], "command line only"),
        (["empty/"], "holds no model"),
        (["nets/*.py:nope*"], "holds no model"),
    ],
)
def test_what_cannot_be_meant_is_said(nets, arguments, message):
    (nets.parent / "empty.txt").write_text("# nothing\n")
    (nets.parent / "wrong.txt").write_text("resnet18\nresnet81\n")
    (nets.parent / "nested.txt").write_text("@wrong.txt\n")
    (nets.parent / "binary.txt").write_bytes(b"\xff\xfe\x00\x80")
    (nets.parent / "empty").mkdir()
    with pytest.raises((BadInput, UnknownName), match=message):
        expand(arguments)


def test_a_folder_called_like_a_model_is_the_model(nets):
    (nets.parent / "resnet18").mkdir()
    assert expand(["resnet18"]) == ["resnet18"]
    with pytest.raises(BadInput):
        expand(["resnet18/"])


def test_a_folder_beside_the_zoo(nets, cli):
    code, out, err = cli("nets/", "resnet18", "--input-size", "3x32x32", "--columns", "params")
    assert code == 1  # some of them have no forward
    assert "nets/a.py:library" in out.replace("\n", "")
    assert "11.7M" in out
    assert "nets/a.py:Wide" in err
