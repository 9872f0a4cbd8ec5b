"""From a spec (``resnet18``, ``timm:vit_base_patch16_224``, ``my_net.py:build``) to a subject."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ..errors import UnknownName
from ..registry import Registry, suggest
from .factory import as_inputs, factory_subject, split_spec
from .subject import Inputs, Request, Source, Subject
from .timm import TimmSource
from .torchvision import TorchvisionSource

__all__ = ["SOURCES", "Inputs", "Request", "Source", "Subject", "as_inputs", "find_names", "identify", "resolve"]

#: Named collections of models; a bare name belongs to the first that has it.
SOURCES: Registry[Source] = Registry("source")
for _source in (TorchvisionSource(), TimmSource()):
    SOURCES.add(_source.name, _source)


def identify(spec: str) -> tuple[Source | None, str, tuple[str, ...]]:
    """Source, name and notes of a spec, without importing torch; the source is None for the user's own code.

    Raises UnknownName with suggestions.
    """
    prefix, colon, rest = spec.partition(":")
    if colon and prefix in SOURCES:
        if not SOURCES[prefix].has(rest):
            raise UnknownName(
                "model", spec, suggest(rest, SOURCES[prefix].names(), f"see `compare-models list {rest}`")
            )
        return SOURCES[prefix], rest, ()
    if split_spec(spec):
        return None, spec, ()
    owners = [source for source in SOURCES.values() if source.has(spec)]
    if not owners:
        known = [name for source in SOURCES.values() for name in source.names()]
        raise UnknownName(
            "model", spec, suggest(spec, known, "see `compare-models list`, or give path/to/net.py:factory")
        )
    others = [f"also in {o.name}, as {o.name}:NAME" for o in owners[1:]]
    return owners[0], spec, tuple(others)


def resolve(spec: str, request: Request) -> Subject:
    """The subject of a spec; raises UnknownName, BadInput or BuildError."""
    source, name, _ = identify(spec)
    if source is not None:
        return source.subject(name, request)
    parts = split_spec(name)
    assert parts is not None
    return factory_subject(spec, *parts, request)


def find_names(pattern: str = "*") -> list[tuple[str, str]]:
    """(source, name) of every model that matches a glob, or holds the text when there is no wildcard.

    ``timm:`` or ``torchvision:`` before the pattern keeps to that source.
    """
    prefix, colon, rest = pattern.partition(":")
    sources = [SOURCES[prefix]] if colon else list(SOURCES.values())
    wanted = rest if colon else pattern
    glob = wanted if any(c in wanted for c in "*?[") else f"*{wanted}*"
    return [(s.name, n) for s in sources for n in s.names() if fnmatchcase(n.lower(), glob.lower())]
