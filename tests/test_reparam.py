"""The deployed form: found by the modules' own methods, and the same function as before."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from timm.models import create_model
from timm.utils.model import reparameterize_model
from torch import nn

import modelcmp
from modelcmp.profiling.profile import profile_subject
from modelcmp.sources import SOURCES, Request, resolve
from modelcmp.sources.construct import build_with_weights, build_without_weights
from modelcmp.sources.reparam import deployed, reparametrised

SMALL = ("repvgg_a0", "mobileone_s0", "fastvit_t8", "ghostnetv3_050", "levit_128s", "repvit_m0_9", "efficientvit_m0")


class Branches(nn.Module):
    """Two convolutions that fold into one."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        setattr(type(self), method, type(self).fold)

    def forward(self, x):
        return self.a(x) + self.b(x) if self.b else self.a(x)

    def fold(self):
        self.a.weight += self.b.weight
        self.a.bias += self.b.bias
        self.b = None


def branches(method: str) -> nn.Module:
    return type("Own", (Branches,), {})(method)


class Replaced(nn.Sequential):
    def fuse(self):
        return self[0]


class Pair(nn.Module):
    """A ``fuse`` of another meaning."""

    def forward(self, x):
        return self.fuse(x, x)

    def fuse(self, a, b):
        return a + b


@pytest.mark.parametrize("method", ["fuse", "reparameterize", "switch_to_deploy"])
def test_methods_by_name(method):
    model = nn.Sequential(branches(method)).train()
    x = torch.rand(1, 3, 4, 4)
    folded = reparametrised(model)
    torch.testing.assert_close(folded(x), model(x))
    assert sum(p.numel() for p in folded.parameters()) * 2 == sum(p.numel() for p in model.parameters())
    assert model.training
    assert not folded.training


def test_a_root_folds_too():
    assert type(reparametrised(Replaced(nn.Linear(2, 2)))) is nn.Linear


def test_a_module_in_two_places_stays_one():
    shared = Replaced(nn.Linear(2, 2))
    folded = reparametrised(nn.Sequential(shared, nn.ReLU(), shared))
    assert type(folded[0]) is nn.Linear
    assert folded[0] is folded[2]


@pytest.mark.parametrize("model", [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)), nn.Sequential(Pair())])
def test_without_such_methods_nothing_changes(model):
    assert reparametrised(model) is model


@pytest.mark.parametrize("name", SMALL)
def test_without_data_and_for_real(name):
    """On meta the same modules come out as with weights, and they compute the same function."""
    real = build_with_weights(lambda: create_model(name)).eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for module in real.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        x = torch.rand(1, *timm.get_pretrained_cfg(name).input_size)
        folded, expected = reparametrised(real), real(x)
        assert (folded(x) - expected).abs().max() < 1e-4 * expected.abs().max()
    hollow = build_without_weights(lambda: reparametrised(create_model(name)))
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (folded, hollow)]
    assert shapes[0] == shapes[1]
    assert all(p.is_meta for p in hollow.parameters())


def test_public_option():
    built, folded = (modelcmp.profile("timm:mobileone_s0", reparam=r) for r in (False, True))
    assert folded.params < built.params / 2
    assert not {op.kind for op in folded.ops} & {"norm"}
    assert modelcmp.profile("resnet18", reparam=True).values == modelcmp.profile("resnet18").values


@pytest.mark.slow
def test_every_timm_model_folds_as_in_timm():
    folded = 0
    for name in SOURCES["timm"].names():
        subject = resolve(f"timm:{name}", Request())
        model = build_without_weights(subject.build)
        if build_without_weights(lambda model=model: reparametrised(model)) is model:
            continue
        folded += 1
        theirs = replace(subject, build=lambda build=subject.build: reparameterize_model(build().eval(), inplace=True))
        values = [profile_subject(s, Request()).values for s in (deployed(subject), theirs)]
        assert values[0] == values[1], name
    assert folded > 90
