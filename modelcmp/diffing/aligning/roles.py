"""What a module does, told from its name: the renames between torchvision, timm, transformers and home-made code.

A path such as ``encoder.layers.encoder_layer_3.self_attention.out_proj`` becomes ``encoder.block.3.attn_out``: where it
stands, in words that all libraries share, and its role. Two modules of different roles are never paired by shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

_ATTENTION = r"(?:(?:\w*_)?attention|(?:\w*_)?attn|(?:\w*_)?selfattention|(?:\w*_)?encdecattention|att|mha|sa|mixer)"
_AT = rf"(?:{_ATTENTION}\.)?(?:{_ATTENTION}\.|self\.|fn\.|inner_attn\.)?"
_FFN = r"(?:mlp|ffn|ff|feed_?forward|mlp_block|densereludense|fc|feedforward_network)\.(?:net\.|layers\.|fn\.)?"
_SKIP = r"(?:downsample|shortcut|skip|skip_connection|identity_conv|residual_conv|proj_shortcut)"

#: Inside a block of a stack: role -> what its path ends in (lower case).
_IN_BLOCK = {
    "q": rf"{_AT}(?:q|query|q_proj|to_q|q_lin|wq|query_proj|q_linear|linear_q)",
    "k": rf"{_AT}(?:k|key|k_proj|to_k|k_lin|wk|key_proj|k_linear|linear_k)",
    "v": rf"{_AT}(?:v|value|v_proj|to_v|v_lin|wv|value_proj|v_linear|linear_v)",
    "qkv": rf"{_AT}(?:qkv|in_proj|c_attn|wqkv|to_qkv|qkv_proj)",
    "qkv_by_head": rf"{_AT}query_key_value",  # rows of q, k and v alternate by head: no plain slices
    "kv": rf"{_AT}(?:kv|to_kv|kv_proj)",
    "attn_out": (
        rf"{_ATTENTION}\.(?:self\.)?(?:proj|out_proj|c_proj|o_proj|out_lin|to_out|to_out\.0|wo|o|output\.dense|dense"
        r"|linear_out|fc_out)"
    ),
    "fc1": rf"{_FFN}(?:fc_?1|0|linear_?1|lin_?1|c_fc|w_1|wi|dense_h_to_4h|up_proj|dense_?1)"
    r"|linear_?1|intermediate\.dense|pwconv1|fc1|lin1",
    "fc2": rf"{_FFN}(?:fc_?2|2|3|linear_?2|lin_?2|c_proj|w_?2|wo|dense_4h_to_h|down_proj|dense_?2)"
    r"|linear_?2|output\.dense|pwconv2|fc2|lin2",
    "gate": rf"{_FFN}(?:gate_proj|w1)",
    "gated_up": rf"{_FFN}w3",  # beside w1 and w2, in LLaMA's names
    "norm1": r"norm_?1|ln_?1|layernorm_?1|layer_?norm_?1|layernorm_before|norm_before|self_attn_layer_norm"
    r"|sa_layer_norm|input_layernorm|attention_norm|attention\.output\.layernorm|attn_norm|attn_ln|pre_attn_norm",
    "norm2": r"norm_?2|ln_?2|layernorm_?2|layer_?norm_?2|layernorm_after|norm_after|output_layer_norm|ffn_norm"
    r"|post_attention_layernorm|final_layer_norm|output\.layernorm|mlp_norm|mlp_ln|pre_mlp_norm",
    "norm3": r"norm_?3|ln_?3|layernorm_?3|layer_?norm_?3",
    "norm_cross": r"encoder_attn_layer_norm|crossattention\.output\.layernorm|cross_attn_ln|cross_attention_norm",
    "scale1": r"ls_?1(?:\.gamma|\.scale)?|gamma_1|layer_scale_?1(?:\.lambda1|\.scale|\.gamma)?|lambda_1",
    "scale2": r"ls_?2(?:\.gamma|\.scale)?|gamma_2|layer_scale_?2(?:\.lambda1|\.scale|\.gamma)?|lambda_2",
    "scale": r"gamma|layer_scale|layer_scale_parameter|ls(?:\.gamma)?|layerscale(?:\.gamma)?",
    "rel_pos": r"(?:\w+\.)*relative_position_bias_table",
    "rel_pos_index": r"(?:\w+\.)*relative_position_index",
    "merge": r"(?:downsample\.)?reduction",
    "skip_conv": rf"{_SKIP}|{_SKIP}\.(?:0|conv|convolution)|proj\.0",
    "skip_norm": rf"{_SKIP}\.(?:1|bn|norm|normalization)|proj\.1|bn_shortcut|downsample_bn",
}
#: Outside of blocks.
_AT_TOP = {
    "head": r"fc|classifier|head|heads|heads\.head|head\.fc|head\.linear|classifier\.\d|last_linear|classif"
    r"|mlp_head|mlp_head\.\d|output_layer|classification_head",
    "lm_head": r"lm_head|output_projection",
    "embed_norm": r"(?:embeddings\.|patch_embed\.|emb_)(?:layer_?norm|norm|ln)",  # before final_norm: the first wins
    "final_norm": r"(?:\w+\.)?(?:ln_f|ln|ln_post|post_layernorm|norm_f|final_norm|layernorm|norm|final_layer_norm)"
    r"|head\.norm",
    "cls_token": r"(?:\w+\.)*(?:class_token|cls_token|cls|class_embedding)",
    "pos_embed": r"(?:\w+\.)*(?:pos_embed|pos_embedding|position_embeddings?|positional_embedding|wpe|pos_emb"
    r"|embed_positions|position_encodings?|pos_embeddings?)",
    "patch_embed": r"(?:\w+\.)*(?:conv_proj|patch_embed|patch_embed\.proj|patch_embeddings?"
    r"|patch_embeddings?\.projection|patch_embeddings?\.proj|to_patch_embedding)",
    "tok_embed": r"(?:\w+\.)*(?:wte|word_embeddings?|embed_tokens|tok(?:en)?_embeddings?|token_emb|tok_emb)",
    "type_embed": r"(?:\w+\.)*(?:token_type_embeddings?|segment_embeddings?|type_embed(?:dings?)?)",
    "pooler": r"pooler|pooler\.dense",
}
_COMPILED = {
    inside: [(role, re.compile(rf"(?:.*?\.)??(?P<ending>{ends})")) for role, ends in table.items()]
    for inside, table in ((True, _IN_BLOCK), (False, _AT_TOP))
}
_CROSS = re.compile(r"cross|encoder_attn|encdec|enc_dec|multihead_attn")
_STACK = r"(?:layers?|blocks?|resblocks|h|stages?|levels|residual_group)"
_TAIL = 5  # a role is told by no more components than this
_SYNONYMS = (
    (re.compile(r"^(?:bn|ln|gn|layer_?norm|batch_?norm|group_?norm|normalization)(?=_?\d*$)"), "norm"),
    (re.compile(r"^(?:convolution|conv2d|conv3d)(?=_?\d*$)"), "conv"),
    (re.compile(r"^(?:shortcut|downsample|skip|skip_connection|proj_shortcut)$"), "skip"),
    (re.compile(r"^(?:linear|dense|lin)(?=_?\d*$)"), "fc"),
    (re.compile(r"^(?:embeddings|embedding|embed)$"), "embed"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A path in words that libraries share."""

    path: str  # "encoder.block.3.attn_out"
    role: str  # "attn_out"; "" where none is known
    place: str  # "encoder.block.3"


def read(path: str) -> Reading:
    """Read a module's path.

    >>> read("encoder.layers.encoder_layer_3.self_attention.out_proj").path
    'encoder.block.3.attn_out'
    >>> read("layer2.0.bn1").path, read("vit.layernorm").path
    ('block.1.block.0.norm1', 'final_norm')
    """
    inside, rest = _split(path.lower())
    tail = ".".join(rest.split(".")[-_TAIL:])
    role, ending = _role(tail, bool(inside))
    if role:
        place = f"{inside}.{rest}".strip(".")[: -len(ending)].rstrip(".")
        return Reading(f"{place}.{role}".strip("."), role, place)
    return Reading(".".join(filter(None, (inside, *map(_synonym, rest.split("."))))), "", inside)


@lru_cache(maxsize=1 << 14)
def _role(tail: str, inside: bool) -> tuple[str, str]:
    """A role and the ending that told it; the longest ending wins."""
    best = ("", "")
    for role, pattern in _COMPILED[inside]:
        match = pattern.fullmatch(tail)
        if match is not None and len(match["ending"]) > len(best[1]):
            best = (role, match["ending"])
    role, ending = best
    if role in ("q", "k", "v", "qkv", "kv", "attn_out") and _CROSS.search(tail):
        role = f"cross_{role}"
    return role, ending


@lru_cache(maxsize=1 << 14)
def _synonym(part: str) -> str:
    for pattern, word in _SYNONYMS:
        part = pattern.sub(word, part)
    return re.sub(r"_(?=\d+$)", "", part)


@lru_cache(maxsize=1 << 14)
def _split(path: str) -> tuple[str, str]:
    """The place of a block in shared words, and the path within the block; ("", path) outside of blocks."""
    for pattern, words in _STACKS:
        path = pattern.sub(words, path)
    found = _INNERMOST.fullmatch(path)
    return (found[1], found[2]) if found else ("", path)


def _from_one(match: re.Match[str]) -> str:
    """``layer1.0``, which counts stages from 1, as ``block.0.block.0``."""
    return f"block.{max(0, int(match[1]) - 1)}.block.{match[2]}"


_STACKS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"(?<![^.]){_STACK}\.(?:encoder|decoder)?_?(?:layer|block)_(\d+)(?=\.)"), r"block.\1"),
    (re.compile(r"(?<![^.])(?:layer|stage)_?(\d{1,9})\.(?:blocks?\.)?(\d+)(?=\.)"), _from_one),
    (re.compile(rf"(?<![^.]){_STACK}\.(\d+)(?=\.)"), r"block.\1"),
)
#: Up to the last block; else, where no component is called one, up to the first run of numbered components.
_INNERMOST = re.compile(r"((?:.*\.)?block\.\d+(?:\.\d+)*|(?:[^.\d]+\.)*?[^.]*\d(?:\.[^.]*\d)*)\.(.+)")
