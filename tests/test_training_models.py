"""Built-in models: published parameter counts, shapes, refusals, and that each of them can learn."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

import modelcmp
from modelcmp.errors import BadInput, UnknownName
from modelcmp.training.models import MODELS
from modelcmp.training.models.base import BuiltIn, built_in
from modelcmp.training.models.se_resnet3d import SqueezeExcitation
from modelcmp.training.models.vit import Attention, fitting_patch

IMAGES = ("mlp", "cnn", "simple_cnn", "resnet", "vit")
VOLUMES = ("simple_cnn3d", "se_resnet3d", "mlp")


def params(model):
    return sum(p.numel() for p in model.parameters())


def test_the_built_in_models_are_there():
    assert {"mlp", "cnn", "simple_cnn", "resnet", "vit", "simple_cnn3d", "se_resnet3d"} <= set(MODELS)
    assert all(m.description and m.name == name for name, m in MODELS.items())


@pytest.mark.parametrize(("name", "count"), [("simple_cnn3d", 17_957), ("se_resnet3d", 900_001)])
@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (1, 9, 15, 15)])
def test_published_parameter_counts(name, count, shape):
    assert params(MODELS[name].build(shape, 1)) == count


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("mlp", (1, 28, 28), 784 * 128 + 128 + 128 * 128 + 128 + 1280 + 10),
        ("cnn", (1, 28, 28), 9 * 32 + 32 + 9 * 32 * 64 + 64 + 64 * 49 * 128 + 128 + 1280 + 10),
        ("simple_cnn", (3, 32, 32), 9 * (3 * 32 + 32 * 64 + 64 * 128) + 2 * (32 + 64 + 128) + 1280 + 10),
    ],
)
def test_closed_forms_of_plain_networks(name, shape, count):
    assert params(MODELS[name].build(shape, 10)) == count


def test_resnet_20_of_the_paper():
    # He et al. 2016, table 6: 20 layers, 0.27M parameters; our 1x1 shortcuts add 2,752
    model = MODELS["resnet"].build((3, 32, 32), 10, blocks=3)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(layers) + 1 == 20
    shortcuts = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
    assert sum(map(params, shortcuts)) == 16 * 32 + 32 * 64
    assert params(model) - sum(map(params, shortcuts)) - 2 * (32 + 64) == 269_722


def test_the_vit_is_timm_s():
    ours = MODELS["vit"].build((3, 32, 32), 10, patch_size=8, dim=48, depth=2, heads=3).eval()
    theirs = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=10, norm_layer=nn.LayerNorm
    ).eval()
    names = {"patch_embed.proj": "patches", "blocks": "layers", "attn.qkv": "attention.qkv", "mlp.fc1": "mlp.0"}
    names |= {"attn.proj": "attention.out", "mlp.fc2": "mlp.3", "cls_token": "cls", "pos_embed": "positions"}
    state = {}
    for key, value in theirs.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key] = value
    ours.load_state_dict(state)
    for module in (m for m in ours.modules() if isinstance(m, nn.LayerNorm)):
        module.eps = theirs.norm.eps
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_squeeze_and_excitation_by_hand():
    torch.manual_seed(0)
    module, x = SqueezeExcitation(8, 4), torch.randn(2, 8, 3, 4, 5)
    mean = x.mean((2, 3, 4))
    weight = torch.sigmoid(F.relu(mean @ module.squeeze.weight.T) @ module.excite.weight.T)
    torch.testing.assert_close(module(x), torch.einsum("bc,bcdhw->bcdhw", weight, x))
    assert module.squeeze.out_features == 2


def test_attention_is_torch_s_own():
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3, 0.0), nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


@pytest.mark.parametrize(("name", "least", "most"), [("resnet", 15, 40), ("vit", 5, 60)])
def test_cost_at_32_by_32(name, least, most):
    profile = modelcmp.profile(MODELS[name].build((3, 32, 32), 10), torch.zeros(1, 3, 32, 32))
    assert least * 1e6 < profile.macs < most * 1e6
    assert not profile.uncounted


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 20), (2, 64, 48), (1, 28, 28)])
@pytest.mark.parametrize("outputs", [1, 7])
def test_images_of_any_size(name, shape, outputs):
    model = MODELS[name].build(shape, outputs)
    assert model(torch.randn(2, *shape)).shape == (2, outputs)


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("shape", [(1, 5, 7, 7), (2, 9, 15, 12)])
def test_volumes_of_any_size(name, shape):
    assert MODELS[name].build(shape, 3)(torch.randn(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize("name", MODELS)
def test_weights_follow_the_caller_s_seed(name):
    shape = (1, 8, 8, 8) if 3 not in MODELS[name].ranks else (1, 16, 16)

    def built(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in MODELS[name].build(shape, 4).parameters()])

    assert torch.equal(built(3), built(3))
    assert not torch.equal(built(3), built(4))


@pytest.fixture
def one_thread():
    """Small tensors gain nothing from more, and lose much where other programs have the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", MODELS)
def test_each_learns_sixty_four_samples_by_heart(name):
    volumes = 3 not in MODELS[name].ranks
    shape = (1, 4, 8, 8) if volumes else (1, 16, 16)
    torch.manual_seed(0)
    x, y = torch.randn(64, *shape), torch.arange(64) % 4
    model = MODELS[name].build(shape, 4, **({"patch_size": 4} if name == "vit" else {}))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(20):
        model.train()
        for _ in range(10):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            if (model(x).argmax(1) == y).all():
                return
    pytest.fail("it has not learnt them")


@pytest.mark.parametrize(
    ("name", "shape", "kwargs", "message"),
    [
        ("cnn", (1, 16, 16, 16), {}, "not 1x16x16x16: take one of .*simple_cnn3d"),
        ("se_resnet3d", (3, 32, 32), {}, "takes volumes .*3x32x32.*mlp, cnn"),
        ("vit", (3, 32, 32), {"pach_size": 4}, "did you mean 'patch_size'"),
        ("vit", (3, 32, 32), {"patch_size": 5}, "1, 2, 4, 8, 16, 32"),
        ("vit", (3, 32, 32), {"dim": 64, "heads": 5}, "heads 5 do not divide"),
        ("vit", (3, 32, 32), {"depth": "six"}, "depth is 'six': give a whole number"),
        ("vit", (3, 127, 127), {}, "tokens"),
        ("resnet", (3, 32, 32), {"width": 0}, "width is 0"),
        ("mlp", (4,), {"hidden": True}, "hidden is True"),
        ("cnn", (1, 8, 8), {"dropout": -0.5}, "dropout is -0.5"),
    ],
)
def test_what_is_refused(name, shape, kwargs, message):
    with pytest.raises(BadInput, match=message):
        MODELS[name].build(shape, 2, **kwargs)


@pytest.mark.parametrize("typed", ["CNN", "MLP", "SE-ResNet3D", "Simple CNN", "simple-cnn3d"])
def test_names_in_other_spellings(typed):
    assert typed in MODELS
    assert MODELS[typed].name in MODELS


def test_an_unknown_name():
    assert "resnet18" not in MODELS
    with pytest.raises(UnknownName, match="did you mean 'resnet'"):
        MODELS["resnt"]


@pytest.mark.parametrize(("size", "patch"), [((32, 32), 4), ((28, 28), 4), ((16, 16), 2), ((8, 8), 1), ((64, 48), 8)])
def test_patches_divide_the_image(size, patch):
    assert fitting_patch(*size) == patch


def test_a_model_is_added_in_one_place(monkeypatch):
    monkeypatch.setattr(MODELS, "_things", dict(MODELS._things))

    @built_in("dummy", "a dummy", ranks=(2,))
    def dummy(shape, outputs, *, bias=True):
        return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1], outputs, bias))

    assert isinstance(MODELS["dummy"], BuiltIn)
    assert params(MODELS["Dummy"].build((2, 3), 4, bias=False)) == 24
