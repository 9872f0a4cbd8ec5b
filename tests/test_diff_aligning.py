"""Which tensor of one model is which of another: against the names in libraries, and by what the models compute."""

import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelcmp.diffing.aligning import NameMap, align, map_text, parse_transform, read_map
from modelcmp.errors import BadInput

# ---------------------------------------------------------------------- what is compared


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Small layers are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def shapes(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def alphabetical(tensors):
    """As safetensors keeps them."""
    return {name: tensors[name] for name in sorted(tensors)}


def shaken(model, seed):
    """Every parameter and statistic random, so that no two of them can be exchanged unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
                wide = tensor[0].numel() if tensor.ndim > 1 else 0
                tensor.copy_((drawn - 0.5) * 3.4 / wide**0.5 if wide else drawn + 0.5 * name.endswith("running_var"))
    return model


def transfer(a, b, alignment):
    """A's tensors written into B through an alignment."""
    source, target = a.state_dict(), b.state_dict()
    with torch.no_grad():
        for match in alignment.matches:
            one, other = parse_transform(match.transform).apply(source[match.name], target[match.name_b])
            assert one.shape == other.shape, match
            other.copy_(one)


def assert_same_function(a, b, x, of_a=lambda y: y, of_b=lambda y: y):
    """That B computes what A computes once it has A's tensors, and the other way round."""
    for one, other, of_one, of_other in ((a, b, of_a, of_b), (b, a, of_b, of_a)):
        one, other = shaken(one, 1), shaken(other, 2)
        alignment = align(shapes(one), shapes(other))
        with torch.no_grad():
            expected = of_one(one(x))
            assert not torch.allclose(of_other(other(x)), expected, rtol=0.1)
            transfer(one, other, alignment)
            torch.testing.assert_close(of_other(other(x)), expected, rtol=1e-9, atol=1e-9)
        assert not alignment.ambiguous
    return alignment


def pairs(alignment):
    return {(m.name, m.name_b) for m in alignment.matches}


def fields(alignment):
    return {(m.name, m.name_b, m.transform) for m in alignment.matches}


# ---------------------------------------------------------------------- the same network in three libraries

IMAGES = torch.rand(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LOGITS = lambda output: output.logits  # noqa: E731


def vit_torchvision():
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, 3, 4, 32, 64, num_classes=10)


def vit_timm():
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=4, mlp_ratio=2, num_classes=10)


def vit_transformers():
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=10, layer_norm_eps=1e-6,
    )  # fmt: skip
    return ViTForImageClassification(config)


def test_vit_of_torchvision_and_timm():
    alignment = assert_same_function(vit_torchvision(), vit_timm(), IMAGES)
    assert not alignment.only_a
    assert not alignment.only_b
    assert min(m.confidence for m in alignment.matches) >= 0.9


@pytest.mark.slow
def test_vit_of_transformers_has_separate_projections():
    alignment = assert_same_function(vit_transformers(), vit_timm(), IMAGES, LOGITS)  # the last: from timm's side
    assert {m.transform for m in alignment.matches if m.name == "blocks.0.attn.qkv.weight"} == {
        "rows of A 0:32", "rows of A 32:64", "rows of A 64:96"
    }  # fmt: skip
    assert_same_function(vit_transformers(), vit_torchvision(), IMAGES, LOGITS)


@pytest.mark.slow
def test_resnet_of_transformers_registers_its_shortcut_first():
    from timm.models.resnet import Bottleneck, ResNet
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=64, hidden_sizes=[32, 64, 96, 128], depths=[2, 1, 1, 1], num_labels=10)
    assert_same_function(
        ResNetForImageClassification(config),
        ResNet(Bottleneck, [2, 1, 1, 1], channels=(8, 16, 24, 32), num_classes=10),
        IMAGES,
        LOGITS,
    )


@pytest.mark.slow
def test_convnext_of_three_libraries():
    from timm.models.convnext import ConvNeXt
    from torchvision.models.convnext import CNBlockConfig
    from torchvision.models.convnext import ConvNeXt as OfTorchvision
    from transformers import ConvNextConfig, ConvNextForImageClassification

    timm = partial(ConvNeXt, depths=(1, 2, 1, 1), dims=(8, 16, 24, 32), num_classes=10)
    stages = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, 32, 1), CNBlockConfig(32, None, 1)]
    assert_same_function(OfTorchvision(stages, num_classes=10), timm(), IMAGES)
    config = ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1], num_labels=10, layer_norm_eps=1e-6)
    assert_same_function(ConvNextForImageClassification(config), timm(), IMAGES, LOGITS)


@pytest.mark.slow
def test_swin_of_three_libraries():
    from timm.models.swin_transformer import SwinTransformer
    from torchvision.models.swin_transformer import SwinTransformer as OfTorchvision
    from transformers import SwinConfig, SwinForImageClassification

    images = torch.rand(1, 3, 112, 112, dtype=torch.float64)
    timm = partial(SwinTransformer, img_size=112, embed_dim=12, depths=(2, 2), num_heads=(2, 4), num_classes=10)
    theirs = OfTorchvision([4, 4], 12, [2, 2], [2, 4], window_size=[7, 7], num_classes=10)
    assert_same_function(theirs, timm(), images)
    config = SwinConfig(image_size=112, embed_dim=12, depths=[2, 2], num_heads=[2, 4], num_labels=10)
    assert_same_function(SwinForImageClassification(config), timm(), images, LOGITS)


@pytest.mark.parametrize(
    ("theirs", "timm_name"),
    [
        ("regnet_y_400mf", "regnety_004"),
        pytest.param("mobilenet_v2", "mobilenetv2_100", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", "efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_convolutional_networks_of_torchvision_and_timm(theirs, timm_name):
    import timm
    import torchvision

    one = torchvision.models.get_model(theirs, weights=None, num_classes=10)
    alignment = assert_same_function(one, timm.create_model(timm_name, num_classes=10), IMAGES)
    assert not alignment.only_a
    assert not alignment.only_b


def _table(*rules):
    def truth(name):
        for pattern, to in rules:
            name = re.sub(pattern, to, name)
        return name

    return truth


def _swin_stage(match):
    """torchvision counts stages and the mergings between them in one list."""
    number = int(match[1])
    return f"layers.{number // 2}." + ("downsample." if number % 2 == 0 else f"blocks.{match[2]}")


#: Names in torchvision -> names in timm, as both libraries' sources say.
TRUTH = {
    ("resnet50", "resnet50"): _table(),
    ("densenet121", "densenet121"): _table(),
    ("vgg16", "vgg16"): _table(
        (r"classifier\.0", "pre_logits.fc1"), (r"classifier\.3", "pre_logits.fc2"), (r"classifier\.6", "head.fc")
    ),
    ("vit_b_16", "vit_base_patch16_224"): _table(
        (r"class_token", "cls_token"), (r"conv_proj", "patch_embed.proj"), (r"encoder\.pos_embedding", "pos_embed"),
        (r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."), (r"ln_(\d)", r"norm\1"),
        (r"self_attention\.in_proj_", "attn.qkv."), (r"self_attention\.out_proj", "attn.proj"),
        (r"mlp\.0", "mlp.fc1"), (r"mlp\.3", "mlp.fc2"), (r"encoder\.ln", "norm"), (r"heads\.head", "head"),
    ),
    ("swin_t", "swin_tiny_patch4_window7_224"): _table(
        (r"features\.0\.0", "patch_embed.proj"), (r"features\.0\.2", "patch_embed.norm"),
        (r"features\.(\d+)\.(\d+\.)?", _swin_stage), (r"mlp\.0", "mlp.fc1"), (r"mlp\.3", "mlp.fc2"),
        (r"^head", "head.fc"),
    ),
    ("convnext_tiny", "convnext_tiny"): _table(
        (r"features\.0", "stem"), (r"features\.([246])", lambda m: f"stages.{int(m[1]) // 2}.downsample"),
        (r"features\.([1357])\.", lambda m: f"stages.{int(m[1]) // 2}.blocks."), (r"layer_scale", "gamma"),
        (r"block\.0", "conv_dw"), (r"block\.2", "norm"), (r"block\.3", "mlp.fc1"), (r"block\.5", "mlp.fc2"),
        (r"classifier\.0", "head.norm"), (r"classifier\.2", "head.fc"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("models", TRUTH, ids="-".join)
def test_full_size_models_against_the_names_in_both_libraries(models):
    import timm
    import torchvision

    with torch.device("meta"):
        a = shapes(torchvision.models.get_model(models[0], weights=None))
        b = shapes(timm.create_model(models[1]))
    truth = {(name, TRUTH[models](name)) for name in a if TRUTH[models](name) in b}
    assert len(truth) == len(b)
    assert pairs(align(a, b)) == truth
    assert pairs(align(b, a)) == {(other, name) for name, other in truth}
    without_order = align(a, alphabetical(b))
    assert pairs(without_order) <= truth
    assert len(pairs(without_order)) > 0.7 * len(truth)
    assert {n for n, _ in truth - pairs(without_order)} <= {n for n, _ in without_order.ambiguous}


# ---------------------------------------------------------------------- language models


@pytest.mark.slow
def test_bert_against_the_encoder_of_torch():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=50,
        attn_implementation="eager", layer_norm_eps=1e-5,
    )  # fmt: skip
    layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.rand(2, 5, 32, dtype=torch.float64)
    bert = BertModel(config).encoder
    assert_same_function(bert, encoder, x, lambda output: output.last_hidden_state)
    truth = _table(
        (r"^layer\.", "layers."), (r"attention\.self\.(query|key|value)\.", r"self_attn.in_proj_"),
        (r"attention\.output\.dense", "self_attn.out_proj"), (r"attention\.output\.LayerNorm", "norm1"),
        (r"intermediate\.dense", "linear1"), (r"output\.dense", "linear2"), (r"output\.LayerNorm", "norm2"),
    )  # fmt: skip
    assert pairs(align(shapes(bert), shapes(encoder))) == {(name, truth(name)) for name in shapes(bert)}


class Block(nn.Module):
    """A GPT block with projections of its own, stored as (out, in)."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict(
            {name: nn.Linear(width, width) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        )
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        y = self.norm1(x)
        split = (
            self.attn[n](y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for n in ("q_proj", "k_proj", "v_proj")
        )
        mixed = nn.functional.scaled_dot_product_attention(*split, is_causal=True)
        x = x + self.attn["out_proj"](mixed.transpose(1, 2).flatten(2))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.token_embedding, self.pos_embedding = nn.Embedding(50, width), nn.Embedding(16, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 50, bias=False)
        self.lm_head.weight = self.token_embedding.weight

    def forward(self, tokens):
        x = self.token_embedding(tokens) + self.pos_embedding(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.norm(x))


@pytest.mark.slow
def test_gpt2_stores_its_weights_transposed_and_fused():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=50, n_positions=16, bos_token_id=0, eos_token_id=0)
    gpt2 = GPT2LMHeadModel(config)
    assert_same_function(gpt2, Gpt(), torch.arange(12).reshape(2, 6), LOGITS)
    by_name = {(m.name, m.name_b): m for m in align(shapes(Gpt()), shapes(gpt2)).matches}
    key = by_name["blocks.1.attn.k_proj.weight", "transformer.h.1.attn.c_attn.weight"]
    assert key.transform == "transpose, rows 32:64"
    square = by_name["blocks.1.attn.out_proj.weight", "transformer.h.1.attn.c_proj.weight"]
    assert square.transform == "transpose"
    assert square.confidence < 0.9
    assert "siblings" in square.how


def test_square_matrices_under_the_same_name_follow_their_siblings():
    a = {"h.0.c_attn.weight": (8, 24), "h.0.c_proj.weight": (8, 8), "wpe.weight": (8, 8), "wte.weight": (50, 8)}
    b = {**a, "h.0.c_attn.weight": (24, 8)}
    found = {m.name: m.transform for m in align(a, b).matches}
    assert found == {
        "h.0.c_attn.weight": "transpose",
        "h.0.c_proj.weight": "transpose",
        "wpe.weight": "",
        "wte.weight": "",
    }
    mixed = {"h.0.up.weight": (8, 16), **a}
    doubtful = {m.name: m for m in align(mixed, {**mixed, "h.0.c_attn.weight": (24, 8)}).matches}
    assert doubtful["h.0.c_proj.weight"].transform == ""
    assert doubtful["h.0.c_proj.weight"].confidence <= 0.5


@pytest.mark.slow
def test_decoder_of_bart_has_its_norms_in_another_order():
    from transformers import BartConfig, BartModel

    config = BartConfig(
        d_model=32, encoder_layers=1, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, vocab_size=50,
        pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    with torch.device("meta"):
        a = {n: s for n, s in shapes(BartModel(config).decoder).items() if n.startswith("layers.")}
        b = shapes(nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64), 2))
    truth = _table(
        (r"self_attn\.[qkv]_proj\.", "self_attn.in_proj_"), (r"encoder_attn\.[qkv]_proj\.", "multihead_attn.in_proj_"),
        (r"encoder_attn\.out_proj", "multihead_attn.out_proj"), (r"self_attn_layer_norm", "norm1"),
        (r"encoder_attn_layer_norm", "norm2"), (r"final_layer_norm", "norm3"), (r"fc([12])", r"linear\1"),
    )  # fmt: skip
    alignment = align(a, b)
    assert pairs(alignment) == {(name, truth(name)) for name in a}
    assert not alignment.only_b


def test_interleaved_projections_are_not_cut_into_rows():
    """BLOOM and GPT-NeoX keep q, k and v of each head side by side: plain rows would be wrong."""
    a = {f"h.{i}.attn.{n}_proj.weight": (8, 8) for i in range(2) for n in "qkv"}
    b = {f"layers.{i}.attention.query_key_value.weight": (24, 8) for i in range(2)}
    assert not align(a, b).matches


def test_keys_and_values_of_fewer_heads():
    a = {"l.0.attn.q_proj.weight": (8, 8), "l.0.attn.k_proj.weight": (2, 8), "l.0.attn.v_proj.weight": (2, 8)}
    b = {"l.0.attn.qkv_proj.weight": (12, 8)}
    cuts = {m.name: m.transform for m in align(a, b).matches}
    assert list(cuts.values()) == ["rows 0:8", "rows 8:10", "rows 10:12"]
    both = {m.name_b: m.transform for m in align(b, a).matches}
    assert both == {name: cut.replace("rows", "rows of A") for name, cut in cuts.items()}


# ---------------------------------------------------------------------- prefixes, wrappers, strangers


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.student.", "a.b.c.d."])
def test_prefixes(prefix):
    import torchvision

    with torch.device("meta"):
        a = shapes(torchvision.models.resnet18())
    b = {prefix + name: shape for name, shape in reversed(a.items())}
    for one, other, expected in ((a, b, {(n, prefix + n) for n in a}), (b, a, {(prefix + n, n) for n in a})):
        alignment = align(one, other)
        assert pairs(alignment) == expected
        assert min(m.confidence for m in alignment.matches) >= 0.9
        assert prefix in alignment.matches[0].how


def test_a_wrapper_within_names():
    a = {"encoder.0.conv.weight": (4, 3, 3, 3), "head.weight": (2, 4)}
    b = {"encoder._checkpoint_wrapped_module.0.conv.weight": (4, 3, 3, 3), "_orig_mod.head.weight": (2, 4)}
    assert {m.confidence for m in align(a, b).matches} == {0.99}


def test_a_backbone_in_another_model():
    import torchvision

    with torch.device("meta"):
        a = shapes(torchvision.models.resnet18())
    b = {"encoder." + n: s for n, s in a.items() if not n.startswith("fc.")}
    b |= {"decoder.weight": (7, 512), "decoder.bias": (7,)}
    alignment = align(a, b)
    assert pairs(alignment) == {(n, "encoder." + n) for n in a if not n.startswith("fc.")}
    assert set(alignment.only_a) == {"fc.weight", "fc.bias"}
    assert set(alignment.only_b) == {"decoder.weight", "decoder.bias"}


def test_student_and_teacher_are_both_candidates():
    import torchvision

    with torch.device("meta"):
        a = shapes(torchvision.models.resnet18())
    b = {f"{who}.{name}": shape for who in ("student", "teacher") for name, shape in a.items()}
    alignment = align(a, b)
    assert not alignment.matches
    assert {name for name, _ in alignment.ambiguous} == set(a)
    assert all({f"student.{n}", f"teacher.{n}"} <= set(others) for n, others in alignment.ambiguous)


def test_same_name_and_another_shape_is_a_match():
    (match,) = align({"fc.weight": (10, 5)}, {"fc.weight": (3, 5)}).matches
    assert (match.confidence, match.how, match.transform) == (1.0, "same name", "")
    behind = align({"a.w": (3, 4), "b.w": (2, 2), "c.w": (10, 5)}, {"m.a.w": (3, 4), "m.b.w": (2, 2), "m.c.w": (3, 5)})
    assert ("c.w", "m.c.w") in pairs(behind)


def test_nothing_in_common():
    import torchvision

    with torch.device("meta"):
        a, b = shapes(torchvision.models.resnet18()), shapes(vit_timm())
    alignment = align(a, b)
    assert not alignment.matches
    assert set(alignment.only_a) | {n for n, _ in alignment.ambiguous} == set(a)
    assert align({}, b).only_b == tuple(b)
    assert align({}, {}).matches == ()


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"p1.weight": (8, 8), "p2.weight": (8, 8)}, {"r2.weight": (8, 8), "r1.weight": (8, 8)}),
        ({"alpha.weight": (8, 8), "beta.weight": (8, 8)}, {"x1.beta.weight": (8, 8), "x2.alpha.weight": (8, 8)}),
        ({"s.weight": (8, 8), "t.weight": (8, 8)}, {"r.weight": (8, 8)}),
        ({f"l{i}.weight": (8, 8) for i in range(4)}, {f"m{i}.weight": (8, 8) for i in range(3)}),
    ],
)
def test_what_fits_several_ways_is_listed(a, b):
    alignment = align(a, b)
    assert {n for n, _ in alignment.ambiguous} == set(a)
    assert not alignment.matches


def test_order_and_shape_alone():
    """No word in common: in order, with less confidence, and the layer that only A has left out."""
    sizes = [(4, 3, 3, 3), (8, 4, 3, 3), (8, 8, 3, 3), (16, 8, 3, 3), (10, 16)]
    a = {f"t{i}.weight": s for i, s in enumerate(sizes)}
    b = {f"{name}.weight": s for name, s in zip(("ka", "lo", "mi", "nu", "pe"), sizes, strict=True)}
    alignment = align(a, b)
    assert [m.name_b for m in alignment.matches] == list(b)
    assert {m.how for m in alignment.matches} == {"order and shape"}
    assert max(m.confidence for m in alignment.matches) < 0.9
    partly = align(a, {n: s for n, s in b.items() if n != "mi.weight"})
    assert partly.only_a == ("t2.weight",)
    assert max(m.confidence for m in partly.matches) < alignment.matches[0].confidence


# ---------------------------------------------------------------------- properties

#: Words of one library and of another for the same layer.
WORDS = {
    "norm1": "ln_1", "norm2": "layer_norm2", "attn.proj": "self_attention.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj", "attn.qkv": "attn.c_attn", "conv": "convolution", "extra": "extra",
}  # fmt: skip
KNOWN_STACKS = ("blocks", "layers", "h", "encoder.layer")
WIDTHS = st.sampled_from([(4,), (8,), (4, 4), (8, 4)])


@st.composite
def networks(draw, words):
    """Tensors of A, and the true name in B of each; ``words`` gives B's word for one of A's."""
    kinds = draw(st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=5, unique=True))
    form = {kind: (draw(WIDTHS), draw(st.booleans())) for kind in kinds}
    depth = draw(st.integers(1, 12))
    stacks = draw(st.permutations(KNOWN_STACKS))[:2]
    tensors, truth = {}, {}
    for number in range(depth):
        for kind in kinds:
            shape, bias = form[kind]
            for leaf, size in (("weight", shape), *((("bias", shape[:1]),) if bias else ())):
                name = f"{stacks[0]}.{number}.{kind}.{leaf}"
                tensors[name], truth[name] = size, f"{stacks[1]}.{number}.{words(kind)}.{leaf}"
    return tensors, truth


def shuffled(draw, names):
    return draw(st.permutations(list(names)))


@settings(max_examples=50, deadline=None)
@given(networks(WORDS.__getitem__), st.data())
def test_known_words_are_matched_in_any_order(network, data):
    tensors, truth = network
    prefix = data.draw(st.sampled_from(["", "module.", "my.model."]))
    b = {prefix + truth[name]: tensors[name] for name in shuffled(data.draw, tensors)}
    alignment = align(tensors, b)
    assert pairs(alignment) == {(name, prefix + other) for name, other in truth.items()}


@settings(max_examples=50, deadline=None)
@given(networks(WORDS.__getitem__), st.data())
def test_never_sure_and_wrong(network, data):
    """Layers dropped, renumbered, added and shuffled on both sides: what is sure is right."""
    tensors, truth = network
    kept_a = [n for n in shuffled(data.draw, tensors) if data.draw(st.integers(0, 3))]
    kept_b = [n for n in shuffled(data.draw, tensors) if data.draw(st.integers(0, 3))]
    alignment = align({n: tensors[n] for n in kept_a}, {truth[n]: tensors[n] for n in kept_b})
    wrong = [m for m in alignment.matches if m.confidence >= 0.9 and truth[m.name] != m.name_b]
    assert not wrong
    named = [*(m.name for m in alignment.matches), *alignment.only_a, *(n for n, _ in alignment.ambiguous)]
    assert sorted(named) == sorted(kept_a)
    matched_b = [m.name_b for m in alignment.matches]
    assert len(matched_b) == len(set(matched_b))
    assert not set(matched_b) & set(alignment.only_b)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_strange_names_are_never_sure(data):
    """Names without a word in common, layers in random order: shapes may suggest, never assure."""
    sizes = data.draw(st.lists(WIDTHS, min_size=1, max_size=12))
    a = {f"{chr(97 + i)}q.w.weight": s for i, s in enumerate(sizes)}
    b = {f"{chr(97 + i)}z.u.weight": sizes[i] for i in data.draw(st.permutations(range(len(sizes))))}
    alignment = align(a, b)
    assert all(m.confidence < 0.9 for m in alignment.matches)
    assert all(a[m.name] in (b[m.name_b], b[m.name_b][::-1]) for m in alignment.matches)


PARTS = st.sampled_from(
    ["", "weight", "gamma", "kernel", "bias", "module", "0", "1", "9" * 5000, "layer1", "q", "k", "v", "qkv", "attn",
     "fc", "in_proj_weight", "blocks", "norm1", "downsample", "parametrizations", "original0", "é\n", "head"]
)  # fmt: skip
NAMES = st.lists(PARTS, max_size=6).map(".".join)
SHAPES = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(NAMES, SHAPES, max_size=14), st.dictionaries(NAMES, SHAPES, max_size=14))
def test_any_names_are_accounted_for(a, b):
    """Whatever the names: no error, every name in one place, transforms that fit, and a map that reads back."""
    alignment = align(a, b)
    places = [{m.name for m in alignment.matches}, set(alignment.only_a), {n for n, _ in alignment.ambiguous}]
    assert set.union(*places) == set(a)
    assert sum(map(len, places)) == len(a)
    options = {other for _, others in alignment.ambiguous for other in others}
    assert {m.name_b for m in alignment.matches} | set(alignment.only_b) | options == set(b)
    for m in alignment.matches:
        one, other = parse_transform(m.transform).shapes(a[m.name], b[m.name_b])
        assert one == other or m.confidence >= 0.9


def test_fifteen_hundred_tensors_in_a_second():
    words = {"norm1": 8, "attn.qkv": 24, "attn.proj": 8, "norm2": 8, "mlp.fc1": 32, "mlp.fc2": 8}
    a = {f"blocks.{i}.{w}.{leaf}": (n, 8) if leaf == "weight" else (n,)
         for i in range(125) for w, n in words.items() for leaf in ("weight", "bias")}  # fmt: skip
    truth = _table((r"^blocks", "encoder.layers"), (r"attn\.proj", "self_attn.out_proj"), (r"mlp\.fc", "linear"))
    strange = _table((r"^blocks\.(\d+)", lambda m: f"part.{int(m[1]) // 5}.{int(m[1]) % 5}"), (r"[a-z]+1", "xx"),
                     (r"[a-z]+2", "yy"), (r"qkv|proj", "zz"))  # fmt: skip
    for rename in (truth, strange):
        b = {rename(n) + ("" if rename is truth or "zz" not in rename(n) else n[-14:]): s for n, s in a.items()}
        assert len(b) == len(a) == 1500
        start = time.process_time()
        alignment = align(a, b)
        assert time.process_time() - start < 1
        assert len(alignment.matches) == 1500 if rename is truth else alignment


# ---------------------------------------------------------------------- transforms


def test_transforms_on_arrays():
    fused = np.arange(24.0).reshape(6, 4)
    part, stored = fused[2:4], fused.T
    cases = [("rows 2:4", part, fused), ("rows of A 2:4", fused, part), ("transpose, rows 2:4", part, stored),
             ("transpose, rows of A 2:4", stored, part), ("transpose", fused, stored),
             ("reshape", fused, fused.reshape(6, 2, 2))]  # fmt: skip
    for text, a, b in cases:
        transform = parse_transform(text)
        one, other = transform.apply(a, b)
        np.testing.assert_array_equal(one, other)
        assert transform.shapes(a.shape, b.shape) == (one.shape, other.shape)
        assert str(transform) == text


@pytest.mark.parametrize(
    "text", ["turn", "rows 4:2", "rows 1:2, rows 3:4", "rows 0:1, rows of A 0:1", "transpose,rows 0:1"]
)
def test_transforms_that_make_no_sense(text):
    with pytest.raises(BadInput, match=re.escape(text.split(", ")[0])):
        parse_transform(text)


# ---------------------------------------------------------------------- map files


def written(tmp_path, text):
    path = tmp_path / "map.yaml"
    path.write_text(text, "utf-8")
    return read_map(path)


def _separate(a):
    return {n.replace("qkv", f"{part}_proj"): (s[0] // 3, *s[1:]) if "qkv" in n else s
            for n, s in a.items() for part in ("qkv" if "qkv" in n else "q")}  # fmt: skip


@pytest.mark.parametrize("case", ["renamed", "fused", "fused in A", "ambiguous", "odd names", "transposed"])
def test_what_is_written_is_read_back(case, tmp_path):
    a = {f"blocks.{i}.{n}": s for i in range(2) for n, s in (("attn.qkv.weight", (12, 4)), ("norm1.weight", (4,)))}
    b = {n.replace("blocks", "layers"): s for n, s in a.items()}
    if case.startswith("fused"):
        b = _separate(b)
    a, b = (b, a) if case == "fused in A" else (a, b)
    if case == "ambiguous":
        a, b = a | {"x1.weight": (5, 5), "x2.weight": (5, 5)}, b | {"y.weight": (5, 5), "only.b": (9,)}
    if case == "odd names":
        odd = ["", "yes", "1.5", "a: b", "#c", "line\nautomatic: true", "ü😀\x07", "'q\"", "~", "[x]", "0:64"]
        a, b = (odds | {n: (i + 1, 7) for i, n in enumerate(odd)} for odds in (a, b))
    if case == "transposed":
        a, b = a | {"kernels.0.a.kernel": (3, 5)}, b | {"kernels.0.a.weight": (5, 3)}
    first = align(a, b)
    assert first.matches
    again = align(a, b, written(tmp_path, map_text(first)))
    assert fields(again) == fields(first)
    assert (again.only_a, again.only_b, again.ambiguous) == (first.only_a, first.only_b, first.ambiguous)
    assert bool(first.ambiguous) == (case == "ambiguous")


def test_choosing_a_commented_line_settles_it(tmp_path):
    a, b = {"x1.weight": (5, 5), "x2.weight": (5, 5)}, {"y.weight": (5, 5)}
    text = map_text(align(a, b))
    assert "#  - {a: x2.weight, b: y.weight}" in text
    text = text.replace("#  - {a: x2.weight, b: y.weight}", "  - {a: x2.weight, b: y.weight}").replace(": []", ":")
    alignment = align(a, b, written(tmp_path, text))
    assert fields(alignment) == {("x2.weight", "y.weight", "")}
    assert alignment.only_a == ("x1.weight",)


def test_the_map_overrides_the_automatics(tmp_path):
    a = {"fc1.weight": (8, 8), "fc2.weight": (8, 8), "out.weight": (3, 8), "extra.step": ()}
    crossed = "tensors:\n- {a: fc1.weight, b: fc2.weight}\n- {a: fc2.weight, b: fc1.weight, transpose: true}\n"
    alignment = align(a, a, written(tmp_path, crossed + "ignore: [step$]"))
    assert fields(alignment) == {
        ("fc1.weight", "fc2.weight", ""), ("fc2.weight", "fc1.weight", "transpose"), ("out.weight", "out.weight", "")
    }  # fmt: skip
    assert not alignment.only_a
    assert alignment.matches[0].how == "map"
    assert pairs(align(a, a, {"fc1.weight": "fc2.weight"})) >= {("fc1.weight", "fc2.weight")}
    assert pairs(align(a, a, NameMap(automatic=False))) == set()


def test_rename_rules(tmp_path):
    a = {f"layers.{i}.lin.w{k}": (4, 8) for i in range(3) for k in "ab"}
    b = {f"net.blocks.{i}.lin.w{k}": (8, 4) for i in range(3) for k in "ab"}
    direct = written(tmp_path, r"rename: [{from: 'layers\.(\d+)', to: 'net.blocks.\1', transpose: true}]")
    assert fields(align(a, b, direct)) == {(n, n.replace("layers", "net.blocks"), "transpose") for n in a}
    parts = {f"h.{i}.{n}.weight": (4, 8) for i in range(2) for n in "qk"}
    rules = r"""rename:
    - {from: 'h\.(\d+)\.q', to: 'l.\1.qk', rows: "0:4"}
    - {from: 'h\.(\d+)\.k', to: 'l.\1.qk', rows: "4:8"}"""
    cut = align(parts, {f"l.{i}.qk.weight": (8, 8) for i in range(2)}, written(tmp_path, rules))
    assert {(m.name, m.transform) for m in cut.matches} == {(n, f"rows {'0:4' if 'q' in n else '4:8'}") for n in parts}
    helped = align(a, b, written(tmp_path, r"rename: [{from: '^layers\.', to: 'blocks.'}]"))
    assert pairs(helped) == {(n, n.replace("layers", "net.blocks")) for n in a}
    assert "prefix 'net.'" in helped.matches[0].how


A = {"conv1.weight": (8, 3, 3, 3), "fc.weight": (10, 8), "fc.bias": (10,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensor: []", r"map.yaml:1: unknown key 'tensor': did you mean 'tensors'"),
        ("tensors:\n- {a: fc.weight}", r"map.yaml:2: 'b' is missing"),
        ("tensors:\n- {a: fc.weight, b: fc.weight, turn: true}", r"map.yaml:2: unknown key 'turn'"),
        ("tensors:\n\n- {a: fc.wieght, b: fc.weight}", r"map.yaml:3: A has no tensor 'fc.wieght': did you mean"),
        ("tensors:\n- {a: fc.weight, b: zzz}", r"map.yaml:2: B has no tensor 'zzz': it has 3 tensors, such as 'conv1"),
        ("tensors:\n- {a: fc.weight, b: fc.weight}\n- {a: fc.bias, b: fc.weight}", r"map.yaml:3: 'fc.weight' of B"),
        ("tensors:\n- {a: fc.weight, b: fc.weight}\n- {a: fc.weight, b: fc.bias}", r"map.yaml:3: .*first time at .*:2"),
        ("tensors:\n- {a: fc.weight, b: fc.weight, transpose: 1}", r"map.yaml:2: transpose is true or false, not 1"),
        ("tensors:\n- {a: fc.bias, b: fc.weight, rows: 16:32}", r"map.yaml:2: rows is text such as"),
        ("tensors:\n- {a: fc.bias, b: fc.weight, rows: '4:11'}", r"map.yaml:2: 'fc.weight' has 10 rows, not 4:11"),
        ("tensors:\n- {a: fc.bias, b: fc.weight, rows: x}", r"map.yaml:2: 'rows x'"),
        ("tensors:\n- {a: conv1.weight, b: conv1.weight, transpose: true}", r"map.yaml:2: only matrices"),
        ("tensors: 7", r"map.yaml:1: tensors is a list, not 7"),
        ("- x", r"map.yaml: here belong keys"),
        ("a: 1\na: 2", r"map.yaml:2: the key 'a' is given twice"),
        ("tensors: [", r"map.yaml:\d: this is not YAML"),
        ("automatic: maybe", r"map.yaml:1: automatic is true or false"),
        ("rename:\n- {from: 'fc(', to: x}", r"map.yaml:2: the pattern 'fc\(' is no regular expression"),
        ("rename:\n- {from: 'fc', to: '\\2'}", r"map.yaml:2: the replacement .* invalid group reference"),
        ("rename:\n- {from: 'nowhere', to: x}", r"map.yaml:2: the pattern 'nowhere' matches no name of A"),
        ("rename:\n- {from: '^fc.*', to: x}", r"map.yaml:2: 'fc.weight' and 'fc.bias' of A are both renamed to 'x'"),
        ("rename:\n- {from: '^fc', to: head, transpose: true}", r"map.yaml:2: B has no tensor 'head.weight'"),
        (f"rename:\n- {{from: '{'a' * 501}', to: x}}", r"map.yaml:2: the pattern has 501 characters"),
        ("ignore:\n- nothing", r"map.yaml:2: the pattern 'nothing' matches no name"),
        ("ignore: [1]", r"map.yaml:1: 1 is no name"),
        ("ignore: ['']", r"map.yaml:1: the pattern is empty"),
        ("rename:\n- {from: '', to: x}", r"map.yaml:2: the pattern is empty"),
        ("tensors:\n- {a: , b: fc.weight}", r"map.yaml:2: None is no name"),
        ("tensors:\n- {a: fc.weight, b: ''}", r"map.yaml:2: B has no tensor ''"),
        ("ambiguous:\n  fc.weight: [x]", r"map.yaml:2: B has no tensor 'x'"),
        ("!!python/object/apply:os.getcwd []", r"map.yaml:1: this is not YAML"),
    ],
)  # fmt: skip
def test_map_files_are_read_strictly(text, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        align(A, A, written(tmp_path, text))


def test_map_files_that_are_none(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("nothing.yaml", "binary", "."):
        with pytest.raises(BadInput, match="the map"):
            read_map(tmp_path / name)
    assert pairs(align(A, A, written(tmp_path, ""))) == {(n, n) for n in A}


def test_the_map_in_the_documentation_is_understood(tmp_path):
    page = (Path(__file__).parent.parent / "docs" / "aligning.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    shown = written(tmp_path, block)
    assert (len(shown.pairs), len(shown.rules), len(shown.ignore), len(shown.open)) == (5, 2, 1, 1)
    assert [str(pair.transform) for pair in shown.pairs] == ["", "transpose", "rows 0:64", "rows of A 0:64", "reshape"]


def test_a_pattern_without_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("modelcmp.diffing.aligning.patterns.TIME_S", 0.3)
    names = {"a" * 60 + "!": (1,)}
    start = time.monotonic()
    with pytest.raises(BadInput, match=r"longer than 0\.3 s"):
        align(names, names, written(tmp_path, "ignore: ['^(a+)+$']"))
    assert time.monotonic() - start < 5
    fine = written(tmp_path, r"rename: [{from: '^((?:fc|head)\.)+', to: 'top.'}]")
    assert pairs(align(A, {"top.weight": (10, 8)}, fine)) == {("fc.weight", "top.weight")}
