"""Which types automatic mixed precision computes in: the rules of ``torch.autocast`` on CUDA.

Source: PyTorch, *Automatic Mixed Precision*, "CUDA Op-Specific Behavior".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..records import OpRecord

FULL, HALF = 4, 2  # bytes of an element

_LOW_TEXT = """
    conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution
    linear mm addmm mv addmv bmm baddbmm addbmm matmul addr chain_matmul einsum
    scaled_dot_product_attention lstm gru rnn_tanh rnn_relu prelu
"""
_HIGH_TEXT = """
    layer_norm native_layer_norm group_norm softmax log_softmax pow exp expm1 log log10 log2 log1p rsqrt reciprocal sum
    cumsum prod cumprod linalg_vector_norm norm softplus logsumexp acos asin cosh erfinv sinh tan cosine_similarity
    cdist pdist upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa
"""
_LOW, _HIGH = frozenset(_LOW_TEXT.split()), frozenset(_HIGH_TEXT.split())
_KEEPS = frozenset({"batch_norm", "rms_norm", "index", "embedding"})  # weights of another type change nothing


@dataclass(frozen=True, slots=True)
class Cast:
    """A conversion that autocast puts before an op."""

    elements: int
    weight: bool  # of a weight: once a pass
    before_bytes: int  # of an element
    after_bytes: int


@dataclass(frozen=True, slots=True)
class Typed:
    """An op as autocast runs it."""

    op: OpRecord
    casts: tuple[Cast, ...]
    element_bytes: int  # that it computes in
    read_bytes: int
    write_bytes: int
    weight_bytes: int


@dataclass(slots=True)
class _Types:
    """Bytes of an element of each buffer; 0 where it is no floating-point number."""

    of: dict[int, int] = field(default_factory=dict)
    cast: set[int] = field(default_factory=set)  # weights that were converted in this pass


def autocast(ops: tuple[OpRecord, ...], fast_norms: frozenset[str] = frozenset()) -> Iterator[Typed]:
    """The ops of an fp32 trace as autocast runs them.

    ``fast_norms`` ("layer_norm", "group_norm") run in half precision, as timm's ``--fast-norm`` has them.
    """
    types = _Types()
    for op in ops:
        if op.dtype.startswith("float"):
            yield _floating(op, types, fast_norms)
        else:
            types.of.update((w.buffer, 0) for w in op.writes)
            yield Typed(op, (), FULL, op.input_bytes, op.output_bytes, op.weight_bytes)


def _floating(op: OpRecord, types: _Types, fast_norms: frozenset[str]) -> Typed:
    name, in_place = op.op.removeprefix("aten."), op.op.endswith("_")
    fast = name in fast_norms
    low, high = name in _LOW or fast, name in _HIGH and not fast and not in_place
    wanted = HALF if low else FULL if high else 0
    casts, sizes, read_bytes = [], [], 0
    for access in op.reads:
        size = types.of.get(access.buffer, FULL)
        elements = access.nbytes // FULL
        if size and wanted and size != wanted:
            casts.append(Cast(elements, False, size, wanted))
            size = wanted
        sizes.append(size)
        read_bytes += elements * size if size else access.nbytes
    weight_bytes = 0
    for buffer, nbytes in op.weights:
        if low and buffer not in types.cast and not fast:
            casts.append(Cast(nbytes // FULL, True, FULL, HALF))
            types.cast.add(buffer)
        weight_bytes += nbytes // FULL * (HALF if low else FULL)
    element = wanted or _widest(name, sizes, op)
    write_bytes = 0
    for access in op.writes:
        size = types.of.get(access.buffer, FULL) if in_place else element
        types.of[access.buffer] = size
        write_bytes += access.nbytes // FULL * size if size else access.nbytes
    return Typed(op, tuple(casts), element, read_bytes, write_bytes, weight_bytes)


def _widest(name: str, sizes: list[int], op: OpRecord) -> int:
    """Type promotion: a tensor without dimensions does not widen, a norm's weight or a table neither."""
    widens = op.weights and (() not in op.input_shapes or any(nbytes > FULL for _, nbytes in op.weights))
    weights = [FULL] if widens and name not in _KEEPS else []
    return max([*sizes, *weights], default=FULL) or FULL
