"""The names that a checkpoint's pickle may hold, and what each stands for here. No other name is accepted.

Nothing of the named modules is called: a "call" of ``collections.OrderedDict`` gives a dict, one of
``torch._utils._rebuild_tensor_v2`` a :class:`TensorSpec`, one of ``argparse.Namespace`` an :class:`Unread`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch


class ForbiddenName(Exception):
    """A pickle that names something which is not on the list; ``name`` is dotted, and fit to be printed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name if re.fullmatch(r"[\w.]{1,200}", name) else ascii(name[:200])


class StorageType(NamedTuple):
    """What ``torch.FloatStorage`` says; no dtype where we cannot read its numbers (quantised ones)."""

    dtype: torch.dtype | None


class StorageSpec(NamedTuple):
    """A run of numbers in the file, by its key."""

    dtype: torch.dtype | None
    key: str
    elements: int
    view: Any = None  # (key, first element, elements) of a part of it; in the old format only


class TensorSpec(NamedTuple):
    """A tensor as a view of a storage; offset and stride in elements of ``dtype``. Not checked yet."""

    storage: StorageSpec
    dtype: torch.dtype
    offset: Any
    shape: Any
    stride: Any


class Unread(NamedTuple):
    """Something harmless that we have no use for, and in a state dict, something that cannot be compared."""

    what: str


class Name(NamedTuple):
    """A name on the list."""

    dotted: str


@dataclass(slots=True)
class NumpyType:
    """A NumPy dtype, by its code such as "f8"."""

    code: str
    order: str = "<"

    def with_state(self, state: Any) -> None:
        """Take the byte order from the state that NumPy pickles."""
        self.order = ">" if state[1] == ">" else "<"


Call = Callable[..., Any]
_PLAIN = frozenset({str, int, float, bool, bytes, type(None)})


def look_up(module: Any, name: Any) -> Any:
    """What a name stands for; raises ForbiddenName.

    >>> look_up("torch", "FloatStorage")
    StorageType(dtype=torch.float32)
    """
    dotted = f"{_MODULES.get(module, module)}.{name}"
    value = _VALUES.get(dotted)
    if value is None and dotted not in _CALLS:
        raise ForbiddenName(dotted)
    return Name(dotted) if value is None else value


def call(function: Any, arguments: Any) -> Any:
    """What the call of a listed name gives; raises TypeError for anything else."""
    if type(function) is Unread:
        return function
    if type(function) is not Name or type(arguments) is not tuple:
        raise TypeError("a call of something that is no function in its pickle")
    return _CALLS[function.dotted](*arguments)


def storage(identity: Any) -> StorageSpec:
    """The storage that a persistent id of torch names: ("storage", type, key, device, elements[, view])."""
    kind, of, key, _, elements, *view = identity
    if kind != "storage" or type(of) is not StorageType or type(elements) is not int or elements < 0:
        raise ValueError("a reference that names no tensor data in its pickle")
    return StorageSpec(of.dtype, str(key), elements, view[0] if view else None)


def _tensor(of: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorSpec | Unread:
    """``_rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks[, {"conj": ..., "neg": ...}])``."""
    if type(of) is not StorageSpec:
        raise TypeError("a tensor without data in its pickle")
    if of.dtype is None:
        return Unread("quantised")
    if len(rest) > 2 and rest[2]:
        return Unread("lazily conjugated or negated")
    return TensorSpec(of, of.dtype, offset, shape, stride)


def _typed_tensor(of: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> TensorSpec | Unread:
    """``_rebuild_tensor_v3(storage, offset, shape, stride, requires_grad, hooks, dtype[, metadata])``."""
    made = _tensor(of, offset, shape, stride, *rest[:2], *rest[3:])
    if not isinstance(rest[2], torch.dtype):
        raise TypeError("a tensor without a dtype in its pickle")
    return made if isinstance(made, Unread) else made._replace(dtype=rest[2])


def _of_type(function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    return call(function, arguments)


def _first(value: Any, *_: Any) -> Any:
    return value


def _unread(what: str) -> Call:
    return lambda *_: Unread(what)


def entries(keys: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
    """A dict of the entries whose keys are plain; others are of no use, and hashing deep ones can hang or crash."""
    return {k: v for k, v in zip(keys, values, strict=True) if type(k) in _PLAIN}


def plain(items: Iterable[Any]) -> list[Any]:
    """The items that are plain values."""
    return [item for item in items if type(item) in _PLAIN]


def _dict(items: Any = (), *_: Any) -> dict[Any, Any]:
    if type(items) is dict:
        return dict(items)
    return entries(*zip(*items, strict=True)) if type(items) in (list, tuple) and items else {}


def _list(items: Any = (), *_: Any) -> list[Any]:
    return list(items) if type(items) in (list, tuple) else []


def _set(items: Any = ()) -> set[Any]:
    return set(plain(items)) if type(items) in (list, tuple) else set()


def _bytes(text: Any = b"", encoding: Any = "latin1", *_: Any) -> bytes:
    """``_codecs.encode(text, "latin1")`` and ``bytearray(text, "latin-1")``: how protocol 2 writes bytes."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an unknown form in its pickle")
    return text.encode("latin-1")


def _numpy_number(kind: Any, data: Any) -> Any:
    """A NumPy scalar as a Python number."""
    if not isinstance(kind, NumpyType) or not isinstance(data, bytes) or not re.fullmatch(r"[biufc]\d\d?", kind.code):
        return Unread("a NumPy object")
    return np.frombuffer(data, dtype=kind.order + kind.code, count=1)[0].item()


def _numpy_type(code: Any, *_: Any) -> NumpyType:
    return NumpyType(str(code))


_MODULES = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "torch.tensor": "torch._tensor",
    "posix": "os",
    "nt": "os",
}
_STORAGES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64, "Untyped": torch.uint8,
    "QInt8": None, "QUInt8": None, "QInt32": None, "QUInt4x2": None, "QUInt2x4": None,
}  # fmt: skip
_VALUES: dict[str, Any] = {str(v): v for v in vars(torch).values() if isinstance(v, torch.dtype)} | {
    f"{module}.{name}Storage": StorageType(dtype)
    for module in ("torch", "torch.storage", "torch.cuda")
    for name, dtype in _STORAGES.items()
}
#: Seen in people's checkpoints beside the tensors; their contents are of no use here.
_HARMLESS = (
    "argparse.Namespace", "types.SimpleNamespace", "builtins.range", "builtins.slice", "builtins.object",
    "builtins.int", "builtins.float", "builtins.str", "builtins.bool",
    "datetime.datetime", "datetime.date", "datetime.timedelta", "datetime.timezone",
    "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath",
    "pathlib._local.PosixPath", "pathlib._local.WindowsPath",
    "numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
    "torch.device", "torch.Generator", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer", "torch.Tensor",
    "torch.torch_version.TorchVersion", "torch.serialization._get_layout",
    "torch.per_tensor_affine", "torch.per_tensor_symmetric", "torch.per_channel_affine",
    "torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams",
    "lightning.fabric.utilities.data.AttributeDict", "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict", "lightning.pytorch.utilities.parsing.AttributeDict",
)  # fmt: skip
_CALLS: dict[str, Call] = {name: _unread(name) for name in _HARMLESS} | {
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "collections.defaultdict": _dict,
    "collections.deque": _list,
    "builtins.dict": _dict,
    "builtins.list": _list,
    "builtins.tuple": _list,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "builtins.complex": complex,
    "builtins.bytearray": _bytes,
    "builtins.bytes": _bytes,
    "_codecs.encode": _bytes,
    "torch.Size": _first,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _unread("of another device"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unread("without data (saved from the meta device)"),
    "torch._utils._rebuild_sparse_tensor": _unread("sparse"),
    "torch._utils._rebuild_nested_tensor": _unread("nested"),
    "torch._utils._rebuild_qtensor": _unread("quantised"),
    "torch._utils._rebuild_wrapper_subclass": _unread("of a tensor subclass"),
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray.scalar": _numpy_number,
    "numpy._core.multiarray.scalar": _numpy_number,
}
