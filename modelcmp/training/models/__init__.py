"""Built-in models: small networks fitted to the shape of the data and to its number of classes."""

from __future__ import annotations

from . import mlp, resnet, se_resnet3d, simple, simple3d, vit  # noqa: F401  (each registers what it holds)
from .base import MODELS, BuiltIn

__all__ = ["MODELS", "BuiltIn"]
