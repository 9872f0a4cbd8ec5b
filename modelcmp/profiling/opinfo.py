"""What the tracer knows of an op before it runs: view or not, what it overwrites, how it is counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch._C import DispatchKey
from torch._ops import HigherOrderOperator

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


#: Ops whose explicit kernel is made of counted ops.
_TAKEN_APART = frozenset({"affine_grid_generator"})


@dataclass(frozen=True, slots=True)
class OpInfo:
    """Facts of one op overload that do not depend on its arguments."""

    name: str  # "aten.conv2d"
    formula: Formula | None
    view: bool  # always a view, perhaps in place: costs nothing
    mutates: tuple[tuple[int, str], ...]  # positions and names of the arguments that it writes
    returns_mutated: bool  # an in-place op returns what it wrote
    blind: bool  # does not read what it overwrites
    parts: Callable[..., Any] | None  # runs the ops that it is made of, where it has no formula of its own
    needs_data: bool
    packs: bool  # takes weights packed in an object
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
    if isinstance(func, HigherOrderOperator):
        return _over_functions(func)
    name = f"{func.namespace}.{func._opname}"
    schema = func._schema
    written = [(i, a) for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    mutates = tuple((i, a.name) for i, a in written)
    aliases = [r.alias_info for r in schema.returns]
    view = bool(aliases) and not mutates and all(a is not None and not a.is_write for a in aliases)
    found = lookup(func)
    maybe = func._opname in _MAYBE_VIEW
    silent = func._opname in _SILENT
    known = found is not None or maybe or silent or view
    return OpInfo(
        name=name,
        formula=found,
        view=(view and not maybe and found is None and not silent) or torch.Tag.inplace_view in func.tags,
        mutates=mutates,
        returns_mutated=bool(mutates) and any(a is not None and a.is_write for a in aliases),
        blind=(found is not None and found.writes_only) or (bool(written) and all(a.is_out for _, a in written)),
        parts=None if known else _parts(func),
        needs_data=name in _NEEDS_DATA,
        packs=func.namespace == "quantized",
        silent=silent,
    )


def _parts(func: Any) -> Callable[..., Any] | None:
    """The kernel that writes an op in terms of others; of torch's explicit ones only those known to."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        return partial(func._op_dk, DispatchKey.CompositeImplicitAutograd)
    if func.namespace == "aten" and func._opname in _TAKEN_APART:
        return partial(func._op_dk, DispatchKey.CompositeExplicitAutograd)
    return None


def _branch(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    return true_fn(*operands) if pred else false_fn(*operands)


def _over_functions(func: HigherOrderOperator) -> OpInfo:
    """Operators over functions (cond, flex_attention) run their plain version, whose ops are counted."""
    parts = _branch if func._name == "cond" else func.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    return OpInfo(
        name=f"higher_order.{func._name}", formula=None, view=False, mutates=(), returns_mutated=False, blind=False,
        parts=parts, needs_data=parts is None, packs=False, silent=False,
    )  # fmt: skip
