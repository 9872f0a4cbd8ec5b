"""timm: every model builds and profiles; published figures where they are for the same architecture."""

import pytest
import timm

import modelcmp
from modelcmp.sources import SOURCES

NAMES = SOURCES["timm"].names()


@pytest.mark.parametrize("name", NAMES[::35])
def test_a_sample_profiles(name):
    profile = modelcmp.profile(f"timm:{name}")
    assert profile.macs > 0
    assert not profile.uncounted
    assert not profile.notes, "no timm classifier needs to be run for real"


@pytest.mark.slow
def test_every_model_profiles():
    result = modelcmp.compare([f"timm:{name}" for name in NAMES])
    assert not result.failures
    assert not {p.name: p.uncounted for p in result if p.uncounted}


@pytest.mark.parametrize(
    "name",
    ["resnet50", "convnext_tiny", "vit_tiny_patch16_224", "mobilenetv3_small_050", "swin_tiny_patch4_window7_224"],
)
def test_parameters_are_timms_own(name):
    expected = sum(p.numel() for p in timm.create_model(name).parameters())
    assert modelcmp.profile(f"timm:{name}").params == expected


#: (GMACs, activations in millions, parameters in millions) of timm's published benchmark tables, which follow
#: fvcore's convention, at the size given.
PUBLISHED = {
    "tinynet_e": (0.03, 0.69, 2.04, 106),
    "mobilenetv3_small_050": (0.03, 0.92, 1.59, 224),
    "lcnet_035": (0.03, 1.04, 1.64, 224),
    "lcnet_050": (0.05, 1.26, 1.88, 224),
    "test_vit": (0.04, 0.48, 0.37, 160),
    "test_vit2": (0.05, 0.64, 0.46, 160),
    "test_byobnet": (0.03, 0.43, 0.46, 160),
    "test_efficientnet": (0.06, 0.55, 0.36, 160),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables(name):
    gmacs, macts, params, size = PUBLISHED[name]
    profile = modelcmp.profile(f"timm:{name}", convention="fvcore", input_size=size)
    assert profile.flops / 1e9 == pytest.approx(gmacs, rel=0.01, abs=0.0051)
    assert profile.activations / 1e6 == pytest.approx(macts, rel=0.01, abs=0.0051)
    assert profile.params / 1e6 == pytest.approx(params, rel=0.01, abs=0.0051)


def test_a_size_that_the_architecture_must_know():
    profile = modelcmp.profile("timm:vit_tiny_patch16_224", input_size=256)
    tokens = 16 * 16 + 1
    assert profile.layers[0].output_shapes[-1][-2:] == (16, 16)
    assert profile.params == modelcmp.profile("timm:vit_tiny_patch16_224").params + (tokens - 197) * 192


def test_tags_pick_a_configuration():
    assert modelcmp.profile("timm:resnet50.a1_in1k").input_shape == ((1, 3, 224, 224),)
