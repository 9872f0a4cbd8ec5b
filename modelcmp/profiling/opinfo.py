"""What the tracer knows of an op before it runs: view or not, what it overwrites, how it is counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .formulas import Formula, lookup

#: Schemas that promise a view and sometimes copy; what happened is read off the result's storage.
_MAYBE_VIEW = frozenset({
    "reshape", "contiguous", "flatten", "to", "type_as", "ravel", "float", "half", "resolve_conj",
    "resolve_neg", "expand_as", "_reshape_alias", "pin_memory", "cpu", "cuda", "real",
})  # fmt: skip

#: Results whose shape or value depends on the numbers in the input.
_NEEDS_DATA = frozenset({
    "aten._local_scalar_dense", "aten.item", "aten.is_nonzero", "aten.nonzero", "aten.nonzero_numpy", "aten.argwhere",
    "aten.masked_select", "aten._unique", "aten._unique2", "aten.unique_dim", "aten.unique_consecutive",
    "aten.unique_dim_consecutive", "aten.equal", "aten.allclose", "aten.bincount", "torchvision.nms",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class OpInfo:
    """Facts of one op overload that do not depend on its arguments."""

    name: str  # "aten.conv2d"
    formula: Formula | None
    view: bool  # always a view: costs nothing
    mutates: tuple[int, ...]  # positions of the arguments that it writes
    returns_mutated: bool  # an in-place op returns what it wrote
    inplace_view: bool  # changes shape or strides of its argument
    composite: bool  # has no kernel of its own: take it apart
    needs_data: bool
    silent: bool  # not a kernel at all: allocations, metadata, assertions


_SILENT = frozenset({
    "empty", "empty_strided", "new_empty", "new_empty_strided", "empty_like", "empty_permuted", "lift_fresh", "detach",
    "detach_", "alias", "_assert_async", "_assert_scalar", "_functional_assert_async", "sym_size", "sym_stride",
    "sym_numel", "resize_", "set_", "requires_grad_", "is_same_size", "_assert_tensor_metadata",
    "device", "_nested_tensor_size", "_has_compatible_shallow_copy_type", "result_type", "_shape_as_tensor",
})  # fmt: skip

_KNOWN: dict[Any, OpInfo] = {}


def opinfo(func: Any) -> OpInfo:
    """The facts of an op overload, computed once."""
    info = _KNOWN.get(func)
    if info is None:
        info = _KNOWN[func] = _inspect(func)
    return info


def _inspect(func: Any) -> OpInfo:
    name = f"{func.namespace}.{func._opname}"
    schema = func._schema
    mutates = tuple(i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write)
    aliases = [r.alias_info for r in schema.returns]
    view = bool(aliases) and not mutates and all(a is not None and not a.is_write for a in aliases)
    found = lookup(func)
    maybe = func._opname in _MAYBE_VIEW
    silent = func._opname in _SILENT
    return OpInfo(
        name=name,
        formula=found,
        view=view and not maybe and found is None and not silent,
        mutates=mutates,
        returns_mutated=bool(mutates) and any(a is not None and a.is_write for a in aliases),
        inplace_view=torch.Tag.inplace_view in func.tags,
        composite=found is None and not maybe and not silent and not view and _is_composite(func),
        needs_data=name in _NEEDS_DATA,
        silent=silent,
    )


def _is_composite(func: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))
