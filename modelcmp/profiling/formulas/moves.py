"""Operations that move or create data: bytes, no arithmetic."""

from __future__ import annotations

from math import prod
from typing import Any

from .base import Cost, Shape, formula

Out = tuple[Shape, ...]


@formula(
    "aten.embedding",
    "aten.index_select",
    "aten.gather",
    "aten.take",
    "aten.take_along_dim",
    "aten.index",
    "aten._unsafe_index",
    kind="lookup",
    gathered=(0,),
    outputs=1,
)
def gather(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Rows looked up in a table: no FLOPs, and only the rows that come out are read."""
    return Cost(width=out[0][-1] if out and out[0] else 0)


@formula(
    "aten._embedding_bag", "aten._embedding_bag_forward_only", "aten.embedding_bag", kind="lookup", rows=1, outputs=1
)
def embedding_bag(w: Shape, indices: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Rows looked up and summed by bag: one addition for each element looked up.

    >>> embedding_bag((1000, 16), (40,), (8,), out=((8, 16),)).other
    640
    """
    return Cost(other=prod(indices) * w[1], width=w[1])


@formula("aten.clone", "aten.copy", "aten._to_copy", "aten.to", "aten.contiguous", "aten.reshape", "aten.flatten",
         "aten._reshape_copy", "aten._unsafe_view", "aten.cat", "aten.concat", "aten.stack", "aten.repeat",
         "aten.tile",
         "aten.repeat_interleave", "aten.roll", "aten.flip", "aten.rot90", "aten.pad", "aten.constant_pad_nd",
         "aten.reflection_pad1d", "aten.reflection_pad2d", "aten.reflection_pad3d", "aten.replication_pad1d",
         "aten.replication_pad2d", "aten.replication_pad3d", "aten.pixel_shuffle", "aten.pixel_unshuffle",
         "aten.channel_shuffle", "aten.native_channel_shuffle", "aten.im2col", "aten.unfold_copy",
         "aten.tril", "aten.triu", "aten.view_as_complex_copy", "aten.narrow_copy", "aten.block_diag",
         "aten.masked_select", "aten.nonzero", "aten.unique_dim", "aten._unique2", "aten.one_hot",
         "aten.float", "aten.half", "aten.type_as", "aten.slice_copy", "aten.split_copy",
         "aten.split_with_sizes_copy",
         "aten.permute_copy", "aten.expand_copy", "aten.select_copy", "aten.diag_embed", "aten._conj_copy",
         "aten.resolve_conj",
         "aten.slice_scatter", "aten.select_scatter", "aten.diagonal_scatter", "aten.as_strided_scatter",
         "aten.lift_fresh_copy",
         "aten.unbind_copy", "aten._to_sparse", "aten._to_dense", "aten.quantize_per_tensor",
         "aten.dequantize", "aten.combinations", "aten.cartesian_prod", "aten._pack_padded_sequence",
         "aten._pad_packed_sequence", "quantized.cat",
         kind="move")  # fmt: skip
def move(*_: Any, out: Out, **__: Any) -> Cost:
    """Copies: what is read is written."""
    return Cost()


@formula("aten.copy_", "aten.set_data", kind="move", writes_only=True)
def overwrite(*_: Any, out: Out, **__: Any) -> Cost:
    """Copies into an existing tensor, which is not read."""
    return Cost()


@formula("aten.fill_", "aten.zero_", "aten.fill", "aten.zeros", "aten.ones", "aten.full", "aten.zeros_like",
         "aten.ones_like", "aten.full_like", "aten.new_zeros", "aten.new_ones", "aten.new_full", "aten.arange",
         "aten.linspace", "aten.logspace", "aten.eye", "aten.rand", "aten.randn", "aten.randint", "aten.rand_like",
         "aten.randn_like", "aten.randint_like", "aten.randperm", "aten.scalar_tensor", "aten.normal", "aten.normal_",
         "aten.uniform", "aten.uniform_", "aten.bernoulli_", "aten.random_", "aten.exponential_", "aten.tril_indices",
         "aten.triu_indices", "aten.empty_like", "aten.new_empty", "aten._efficientzerotensor", "aten.hann_window",
         "aten.hamming_window", "aten.multinomial", kind="create", writes_only=True)  # fmt: skip
def create(*_: Any, out: Out, **__: Any) -> Cost:
    """New contents from nothing: written, not computed."""
    return Cost()


@formula(
    "aten.scatter",
    "aten.index_put",
    "aten._index_put_impl",
    "aten._unsafe_index_put",
    "aten.index_copy",
    kind="move",
    scatters=True,
)
def scatter(*_: Any, out: Out, **__: Any) -> Cost:
    """Values written at indices: no arithmetic."""
    return Cost()


@formula("aten.masked_scatter", "aten.index_fill", "aten.put", kind="move")
def fill_at(*_: Any, out: Out, **__: Any) -> Cost:
    """Values written where a mask or index says, how many is not known: no arithmetic."""
    return Cost()


@formula(
    "aten.scatter_add", "aten.scatter_reduce", "aten.index_add", "aten.index_reduce", kind="reduction", scatters=True
)
def scatter_add(x: Shape, *args: Any, out: Out, **__: Any) -> Cost:
    """Values added at indices: one addition for each value scattered."""
    shapes = [a for a in args if isinstance(a, tuple)]
    return Cost(other=prod(shapes[-1]) if shapes else 0)


@formula("aten.col2im", "aten.unfold_backward", kind="reduction")
def col2im(x: Shape, *_: Any, out: Out, **__: Any) -> Cost:
    """Overlapping patches or windows summed: one addition an input element."""
    return Cost(other=prod(x))
