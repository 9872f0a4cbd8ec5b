"""Tensors that stand in for images and clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadInput
from .subject import Dims

if TYPE_CHECKING:
    import torch

DTYPES = {
    "fp32": "float32", "float32": "float32", "fp16": "float16", "float16": "float16", "half": "float16",
    "bf16": "bfloat16", "bfloat16": "bfloat16", "fp64": "float64", "float64": "float64", "double": "float64",
}  # fmt: skip


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a short name; raises BadInput for others."""
    import torch

    if name not in DTYPES:
        raise BadInput(f"unknown dtype {name!r}: use fp32, fp16, bf16 or fp64")
    dtype: torch.dtype = getattr(torch, DTYPES[name])
    return dtype


def short_name(dtype: torch.dtype) -> str:
    """The short name of a torch dtype ("fp32"), else its own."""
    long = str(dtype).removeprefix("torch.")
    return next((short for short, name in DTYPES.items() if name == long), long)


def sample(shape: Dims, dtype: str, device: str) -> torch.Tensor:
    """One input tensor: empty on meta, random in [0, 1) elsewhere."""
    import torch

    if device == "meta":
        return torch.empty(shape, dtype=torch_dtype(dtype), device="meta")
    return torch.rand(shape, device=device).to(torch_dtype(dtype))


def parse_size(text: str) -> Dims:
    """Read ``224``, ``3x224x224`` or ``16x112x112``; raises BadInput.

    >>> parse_size("224"), parse_size("3x224x224")
    ((224,), (3, 224, 224))
    """
    try:
        dims = tuple(int(part) for part in text.lower().replace("×", "x").replace(",", "x").split("x"))
    except ValueError:
        dims = ()
    if not dims or min(dims) < 1:
        raise BadInput(f"input size {text!r} is not a size: write 224, 256x192, 3x224x224 or 16x112x112")
    return dims


def fit_size(default: Dims, wanted: Dims | None) -> Dims:
    """The shape of one sample when a size is asked for; missing dimensions stay at their default.

    ``default`` is (C, H, W), or (C, T, H, W) for clips.

    >>> fit_size((3, 224, 224), (160,)), fit_size((3, 16, 112, 112), (8, 96, 96))
    ((3, 160, 160), (3, 8, 96, 96))
    """
    if wanted is None:
        return default
    if len(wanted) == 1:
        return default[:-2] + wanted * 2
    if len(wanted) > len(default):
        raise BadInput(
            f"input size {'x'.join(map(str, wanted))} has more dimensions than {'x'.join(map(str, default))}"
        )
    return default[: len(default) - len(wanted)] + wanted
