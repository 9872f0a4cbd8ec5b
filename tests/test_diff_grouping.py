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


#: One of each family; the others are slow to build.
QUICK = (
    "alexnet", "googlenet", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0",
    "swin_t", "vgg11", "vit_b_16",
)  # fmt: skip


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_classifiers_of_torchvision(every, real_plan):
    """The head is the linear layers in its classifier, fc, head or heads, or those that give the classes."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models) if every else QUICK
    assert len(names) >= (80 if every else 10)
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
    of_convolutions = {"squeezenet1_0", "squeezenet1_1"}
    assert set(without) == of_convolutions & set(names)


TIMM = (
    "resnet50", "deit_base_distilled_patch16_224", "convnext_tiny", "vgg11", "levit_128s", "caformer_s18",
    "inception_next_atto", "resmlp_12_224",
)  # fmt: skip
SLOW_TIMM = (
    "vit_base_patch16_224", "swin_tiny_patch4_window7_224", "convnextv2_atto", "efficientnet_b0",
    "mobilenetv3_small_100", "regnety_004", "densenet121", "mixer_b16_224", "maxvit_tiny_tf_224", "coatnet_0_224",
    "xcit_nano_12_p8_224", "beit_base_patch16_224", "eva02_tiny_patch14_224", "cait_xxs24_224", "pit_ti_224",
    "poolformer_s12", "efficientvit_b0", "mambaout_femto", "ghostnet_100", "hrnet_w18_small", "visformer_tiny",
    "edgenext_xx_small", "fastvit_t8", "repvgg_a0", "inception_v4", "nfnet_f0", "pvt_v2_b0", "twins_pcpvt_small",
    "volo_d1_224", "tiny_vit_5m_224",
)  # fmt: skip


@pytest.mark.parametrize("name", [*TIMM, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_TIMM)])
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


def test_the_heads_of_a_detector():
    import torchvision

    with torch.device("meta"):
        model = torchvision.models.get_model(
            "fasterrcnn_mobilenet_v3_large_fpn", weights=None, weights_backbone=None, num_classes=7
        )
    parts = {"box_head.fc6", "box_head.fc7", "box_predictor.cls_score", "box_predictor.bbox_pred"}
    for order in (dict, alphabetical):
        assert head_of(order(shapes(model))) == {f"roi_heads.{part}" for part in parts}


@pytest.mark.slow
def test_language_models():
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    with torch.device("meta"):
        bert = BertForSequenceClassification(BertConfig(vocab_size=50, **small))
        gpt2 = GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=50, bos_token_id=0, eos_token_id=0)
        )
    for order in (dict, alphabetical):
        assert head_of(order(shapes(bert))) == {"bert.pooler.dense", "classifier"}
        assert head_of(order(shapes(gpt2))) == {"lm_head"}


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


BOTH = pytest.mark.parametrize("order", [dict, alphabetical])
TIME = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))


def resblock():
    return Named(conv1=nn.Conv2d(64, 64, 3), time=nn.Linear(64, 64), conv2=nn.Conv2d(64, 64, 3))


@BOTH
@pytest.mark.parametrize(
    "model",
    [
        Named(time=TIME, conv=nn.Conv2d(3, 64, 3), out=nn.Conv2d(64, 3, 3)),
        Named(conv=nn.Conv2d(3, 64, 3), time=TIME, out=nn.Conv2d(64, 1, 3)),
        Named(fc1=nn.Linear(64, 128), fc2=nn.Linear(128, 128), conv=nn.Conv2d(4, 64, 3),
              down=nn.ModuleList([resblock(), resblock()]), norm=nn.GroupNorm(8, 64), out=nn.Conv2d(64, 4, 3)),
        Named(time=nn.Sequential(nn.Linear(32, 64, bias=False), nn.Linear(64, 64, bias=False)),
              conv=nn.Conv2d(3, 64, 3, bias=False), out=nn.Conv2d(64, 3, 3, bias=False)),
        Named(enc=nn.Conv2d(1, 8, 3), fc_mu=nn.Linear(8 * 49, 5), fc_dec=nn.Linear(5, 8 * 49),
              dec=nn.Sequential(nn.ConvTranspose2d(8, 16, 3), nn.ConvTranspose2d(16, 1, 3))),
    ],
)  # fmt: skip
def test_linear_layers_before_convolutions_that_give_the_output_are_no_head(model, order):
    assert head_of(order(shapes(model))) == set()


def two_layers(inner, out, norm):
    return nn.Sequential(nn.Linear(64, inner), *([nn.BatchNorm1d(inner)] if norm else []), nn.Linear(inner, out))


@BOTH
@pytest.mark.parametrize(
    ("parts", "head"),
    [
        ({"age": nn.Linear(64, 1), "sex": nn.Linear(64, 2)}, {"age", "sex"}),
        ({"shared": nn.Linear(64, 24), "age": nn.Linear(24, 1), "sex": nn.Linear(24, 2)}, {"shared", "age", "sex"}),
        ({"age": two_layers(24, 1, True), "race": nn.Linear(64, 5), "sex": two_layers(16, 2, False)},
         {"age.0", "age.1", "age.2", "race", "sex.0", "sex.1"}),
        ({"outs": nn.ModuleList([nn.Linear(64, 2), nn.Linear(64, 5)])}, {"outs.0", "outs.1"}),
        ({"other": nn.Linear(48, 5), "sex": nn.Linear(64, 2)}, {"sex"}),  # of another width
    ],
)  # fmt: skip
def test_heads_side_by_side(parts, head, order):
    assert head_of(order(shapes(Named(body=backbone(), **parts)))) == head


@BOTH
@pytest.mark.parametrize(
    ("model", "head"),
    [
        (Named(c1=nn.Conv2d(1, 6, 5), c2=nn.Conv2d(6, 16, 5), f1=nn.Linear(400, 120), f2=nn.Linear(120, 84),
               f3=nn.Linear(84, 10)), {"f1", "f2", "f3"}),
        (Named(body=backbone(), projector=nn.Linear(64, 32), classifier=nn.Linear(32, 4)), {"projector", "classifier"}),
        (Named(body=backbone(), pooler=nn.Linear(64, 64), a=nn.Linear(64, 4)), {"pooler", "a"}),
        (Named(body=backbone(), z=nn.Linear(64, 32), a=nn.Linear(32, 4)), {"z", "a"}),  # sorted the other way round
        (Named(rnn=nn.LSTM(4, 16, bidirectional=True), z=nn.Linear(32, 24), a=nn.Linear(24, 4)), {"z", "a"}),
        (Named(body=backbone(), part=Named(fc1=nn.Linear(64, 24), norm=nn.LayerNorm(24), fc2=nn.Linear(24, 4))),
         {"part.fc1", "part.norm", "part.fc2"}),
    ],
)  # fmt: skip
def test_chains_are_the_same_in_any_order(model, head, order):
    assert head_of(order(shapes(model))) == head


@BOTH
def test_a_square_layer_at_the_entrance_is_told_by_its_name(order):
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    assert head_of(order(shapes(Named(inp=nn.Linear(32, 32), enc=encoder, out=nn.Linear(32, 5))))) == {"out"}


PARTS = st.sampled_from(["", "weight", "bias", "kernel", "0", "1", "9" * 5000, "head", "aux1", "norm", "attn", "é\n"])


@settings(max_examples=40, deadline=None)
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
    with pytest.raises(BadInput, match=r"^--head is empty: give a regular expression$"):
        groups(TENSORS, head="")


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
        ([""], "^--filter is empty: give all, mlp, backbone or a regular expression$"),
        (["all", ""], "--filter is empty"),
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
