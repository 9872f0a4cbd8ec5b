"""timm's models at the input size of their default pretrained configuration."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, UnknownName
from .images import fit_size, sample
from .installed import package_folder
from .subject import Dims, Inputs, Request, Subject

if TYPE_CHECKING:
    from torch import nn

#: Bytes, and a line break rather than ``^``: reading all of timm's files so takes 5 ms instead of 25.
_REGISTERED = re.compile(rb"\n@register_model\s*\n(?:@[^\n]*\n)*def (\w+)")


class TimmSource:
    """Every model of ``timm.list_models()``; ``NAME.TAG`` picks one of its configurations."""

    name = "timm"

    def names(self) -> list[str]:
        """All architectures, read off the installed files."""
        return list(_names())

    def has(self, name: str) -> bool:
        """Whether timm registers this architecture."""
        return name.partition(".")[0] in _known()

    def subject(self, name: str, request: Request) -> Subject:
        """The subject of an architecture."""
        if request.kwargs.get("pretrained"):
            raise BadInput(f"{name}: weights are never loaded, and no figure depends on them: leave 'pretrained' out")
        shape = _sample_shape(name)

        def build(**extra: Any) -> nn.Module:
            import timm

            return timm.create_model(name, pretrained=False, **{**request.kwargs, **extra})  # type: ignore[no-any-return]

        def inputs(request: Request, device: str) -> Inputs:
            batch = (request.batch_size, *fit_size(shape, request.input_size))
            return Inputs((sample(batch, request.dtype, device),))

        return Subject(
            name,
            self.name,
            build,
            inputs,
            lambda size: lambda: build(img_size=size[-2:] if len(size) > 1 else size * 2),
        )


def switched() -> bool:
    """Whether this process has set timm's global switches to what they are not from the start."""
    config = sys.modules.get("timm.layers.config")
    if config is None:
        return False
    fused = int(os.environ.get("TIMM_FUSED_ATTN", "1"))
    return bool(fused != config._USE_FUSED_ATTN or config._EXPORTABLE or config._SCRIPTABLE or config._NO_JIT)


@cache
def _names() -> tuple[str, ...]:
    found = set()
    for path in package_folder("timm").joinpath("models").rglob("*.py"):
        found.update(_REGISTERED.findall(path.read_bytes()))
    return tuple(sorted(name.decode() for name in found))


@cache
def _known() -> frozenset[str]:
    return frozenset(_names())


def _sample_shape(name: str) -> Dims:
    import timm

    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:
        raise UnknownName("model", f"timm:{name}", f"{error}: leave the tag out for the default") from error
    return tuple(config.input_size) if config is not None else (3, 224, 224)
