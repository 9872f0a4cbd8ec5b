"""The classifier head, against what torchvision and timm say of their own models, and nets made by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelcmp.diffing.grouping import groups, select
from modelcmp.errors import BadInput


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def alphabetical(tensors):
    """As safetensors keeps them."""
    return {name: tensors[name] for name in sorted(tensors)}


def head_of(tensors, **kwargs):
    """The modules with a tensor in the head."""
    return {name.rpartition(".")[0] for name, group in groups(tensors, **kwargs).items() if group == "mlp"}


# ---------------------------------------------------------------------- torchvision, timm, transformers, our own


@pytest.fixture
def real_plan(monkeypatch):
    """RegNet plans its widths with tensors of real numbers, also where the model is built without any."""
    from torchvision.models.regnet import BlockParams

    plan = BlockParams.from_init_params

    def on_cpu(*args, **kwargs):
        with torch.device("cpu"):
            return plan(*args, **kwargs)

    monkeypatch.setattr(BlockParams, "from_init_params", on_cpu)


def test_every_classifier_of_torchvision(real_plan):
    """The head is the linear layers in its classifier, fc, head or heads, or those that give the classes."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models)
    assert len(names) >= 80
    without = []
    for name in names:
        with torch.device("meta"):
            options = {"transform_input": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
            model = torchvision.models.get_model(name, weights=None, num_classes=123, **options)
        linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
        parts = ("classifier", "fc", "head", "heads")
        truth = {n for n, m in linear.items() if n.split(".")[0] in parts or m.out_features == 123}
        if name == "googlenet":
            truth |= {"aux1.fc1", "aux2.fc1"}
        assert head_of(shapes(model)) == truth, name
        assert head_of(alphabetical(shapes(model))) == truth, name
        without += [] if truth else [name]
    assert set(without) == {"squeezenet1_0", "squeezenet1_1"}  # their classifier is a convolution


TIMM = (
    "resnet50", "vit_base_patch16_224", "deit_base_distilled_patch16_224", "swin_tiny_patch4_window7_224",
    "convnext_tiny", "convnextv2_atto", "efficientnet_b0", "mobilenetv3_small_100", "regnety_004", "densenet121",
    "vgg11", "mixer_b16_224", "resmlp_12_224", "levit_128s", "maxvit_tiny_tf_224", "coatnet_0_224", "caformer_s18",
    "xcit_nano_12_p8_224", "beit_base_patch16_224", "eva02_tiny_patch14_224", "cait_xxs24_224", "pit_ti_224",
    "poolformer_s12", "efficientvit_b0", "inception_next_atto", "mambaout_femto", "ghostnet_100", "hrnet_w18_small",
    "visformer_tiny", "edgenext_xx_small", "fastvit_t8", "repvgg_a0", "inception_v4", "nfnet_f0", "pvt_v2_b0",
    "twins_pcpvt_small", "volo_d1_224", "tiny_vit_5m_224",
)  # fmt: skip


@pytest.mark.parametrize("name", TIMM)
def test_classifiers_that_timm_names(name):
    import timm

    with torch.device("meta"):
        model = timm.create_model(name, num_classes=123)
    named = model.default_cfg["classifier"]
    classifiers = {named} if isinstance(named, str) else set(named)
    modules = dict(model.named_modules())
    assert all(isinstance(modules[c], nn.Linear) for c in classifiers)
    for tensors in (shapes(model), alphabetical(shapes(model))):
        head = head_of(tensors)
        assert classifiers <= head
        top = {c.split(".")[0] for c in classifiers} | {"pre_logits"}
        assert {m.split(".")[0] for m in head} <= top  # and nothing of the backbone


@pytest.mark.parametrize("name", ["dla34", "dpn48b", "resnetv2_50x1_bit"])
def test_convolutions_as_classifiers_are_no_mlp(name):
    import timm

    with torch.device("meta"):
        model = timm.create_model(name)
    assert head_of(shapes(model)) == set()


def test_language_models():
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with torch.device("meta"):
        bert = BertForSequenceClassification(BertConfig(vocab_size=50, **small))
        gpt2 = GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
        )
    assert head_of(shapes(bert)) == {"bert.pooler.dense", "classifier"}
    assert head_of(shapes(gpt2)) == {"lm_head"}


def test_built_in_models():
    """Each ends in its classifier; an MLP is all of it."""
    from modelcmp.training.models import MODELS

    for name, model in MODELS.items():
        built = model.build((1, 28, 28) if 3 in model.ranks else (1, 16, 16, 16), 10)
        linear = {n: m for n, m in built.named_modules() if isinstance(m, nn.Linear)}
        head = head_of(shapes(built))
        assert {n for n, m in linear.items() if m.out_features == 10} <= head, name
        assert (head == set(linear)) == (name in ("mlp", "cnn", "simple_cnn", "simple_cnn3d", "resnet")), name


# ---------------------------------------------------------------------- nets made by hand


class Named(nn.Module):
    """Modules under given names, in their order."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def backbone():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64))


def projector():
    first, second = (
        (nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU()),
        (nn.Linear(32, 16), nn.BatchNorm1d(16), nn.ReLU()),
    )
    return nn.Sequential(*first, *second, nn.Linear(16, 2))


PROJECTOR = {"mlp.0", "mlp.1", "mlp.3", "mlp.4", "mlp.6"}
FLAT = {"fc1", "bn", "fc2"}


@pytest.mark.parametrize("order", [dict, alphabetical])
@pytest.mark.parametrize(
    ("model", "head"),
    [
        (Named(encoder=backbone(), mlp=projector()), PROJECTOR),
        (Named(mlp=projector(), encoder=backbone()), PROJECTOR),  # registered before what feeds it
        (Named(net=Named(encoder=backbone(), mlp=projector())), {f"net.{m}" for m in PROJECTOR}),
        (Named(conv=backbone(), fc1=nn.Linear(64 * 9, 24), bn=nn.BatchNorm1d(24), fc2=nn.Linear(24, 3)), FLAT),
        (Named(conv=backbone(), norm=nn.LayerNorm(64), fc=nn.Linear(64, 3)), {"fc"}),  # a norm before the chain
        (Named(rnn=nn.LSTM(4, 8), fc=nn.Linear(8, 2)), {"fc"}),
        (Named(emb=nn.Embedding(64, 8), fc1=nn.Linear(8, 8), fc2=nn.Linear(8, 2)), {"fc1", "fc2"}),
        (Named(conv=backbone()), set()),
        (nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), {"0", "1", "3"}),
        (nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)) for _ in range(3))),
         {f"{i}.{j}" for i in range(3) for j in range(2)}),
    ],
)  # fmt: skip
def test_nets_made_by_hand(model, head, order):
    assert head_of(order(shapes(model))) == head


@pytest.mark.parametrize("layers", [1, 3])
def test_linear_layers_in_blocks_and_before_them_are_backbone(layers):
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    model = Named(inp=nn.Linear(16, 32), enc=encoder, out=nn.Linear(32, 5))
    assert head_of(shapes(model)) == {"out"}
    assert head_of(alphabetical(shapes(model))) == {"out"}


def test_a_chain_ends_where_widths_do():
    model = Named(conv=backbone(), project=nn.Linear(64, 48), fc=nn.Linear(32, 3))
    assert head_of(shapes(model)) == {"fc"}


def test_norms_of_another_width_are_no_part():
    model = Named(conv=backbone(), fc1=nn.Linear(64, 24), odd=nn.BatchNorm1d(7), fc2=nn.Linear(24, 3))
    assert "odd" not in head_of(shapes(model))


PARTS = st.sampled_from(["", "weight", "bias", "kernel", "0", "1", "9" * 5000, "head", "aux1", "norm", "attn", "é\n"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.lists(PARTS, max_size=5).map(".".join), st.lists(st.integers(0, 3), max_size=3).map(tuple)))
def test_any_names_have_a_group(tensors):
    found = groups(tensors)
    assert list(found) == list(tensors)
    assert all(len(shape) <= 2 for name, shape in tensors.items() if found[name] == "mlp")


# ---------------------------------------------------------------------- choosing

TENSORS = {"conv.weight": (8, 3, 3, 3), "fc1.weight": (16, 8), "fc1.bias": (16,), "fc2.weight": (10, 16)}


def test_the_head_can_be_named():
    assert head_of(TENSORS, head=r"^conv\.") == {"conv"}
    with pytest.raises(BadInput, match=r"--head 'fc9' matches none of the 4 names: did you mean 'fc"):
        groups(TENSORS, head="fc9")
    with pytest.raises(BadInput, match=r"--head 'fc\(' is no regular expression"):
        groups(TENSORS, head="fc(")


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [
        ([], [0, 1, 2, 3]),
        (["all"], [0, 1, 2, 3]),
        (["mlp"], [1, 2, 3]),
        (["backbone"], [0]),
        (["bias$"], [2]),
        (["fc2", "backbone"], [0, 3]),
        (["weight", "mlp"], [0, 1, 2, 3]),
        (["all", "bias"], [0, 1, 2, 3]),
    ],
)
def test_filters(filters, chosen):
    assert select(groups(TENSORS), filters) == [list(TENSORS)[i] for i in chosen]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["mpl"], r"--filter 'mpl' matches none of the 4 names: did you mean 'mlp'"),
        (["fc1", "cnov"], r"--filter 'cnov' .* did you mean 'conv'"),
        (["zzz"], r"names are such as 'conv.weight', 'fc1.weight', 'fc1.bias'"),
        (["*"], r"--filter '\*' is no regular expression: nothing to repeat"),
        (["x" * 501], r"--filter has 501 characters"),
    ],
)
def test_filters_that_choose_nothing(filters, message):
    with pytest.raises(BadInput, match=message):
        select(groups(TENSORS), filters)


def test_a_group_that_is_empty():
    with pytest.raises(BadInput, match=r"--filter mlp: none of the 1 tensors .* --head REGEX"):
        select(groups({"conv.weight": (8, 3, 3, 3)}), ["mlp"])
    with pytest.raises(BadInput, match="--filter backbone: none"):
        select(groups({"fc.weight": (8, 3)}), ["backbone"])
