"""Which setting of the config an error is about, so that the line can be named that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..errors import BadInput, ModelcmpError, UsageError
from ..registry import suggest
from .yaml_text import Document


class UnknownKeyword(BadInput):
    """A keyword that the thing named does not take."""

    def __init__(self, what: str, key: str, known: Iterable[str]) -> None:
        names = list(known)
        hint = suggest(key, names) if names else "it has no keywords"
        super().__init__(f"{what} takes no {key!r}: {hint}")
        self.key = key


class WrongSetting(BadInput):
    """A setting that only torch, the data or a model could judge; ``place`` is its path in the config."""

    def __init__(self, message: str, place: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.place = place


class FailedSetting(ModelcmpError):
    """A setting whose own code raised, or whose files are not there; ``place`` is its path in the config."""

    def __init__(self, message: str, place: tuple[str | int, ...]) -> None:
        super().__init__(message)
        self.place = place


@contextmanager
def at(*place: str | int, keywords: tuple[str, ...] = ()) -> Iterator[None]:
    """What is wrong inside is about this setting, its keywords under ``keywords`` of it.

    Raises WrongSetting, or FailedSetting for an error that is not one of usage.
    """
    try:
        yield
    except (WrongSetting, FailedSetting):
        raise
    except ModelcmpError as error:
        inner = (*keywords, error.key) if isinstance(error, UnknownKeyword) else ()
        made = WrongSetting if isinstance(error, UsageError) else FailedSetting
        raise made(str(error), (*place, *inner)) from error


@contextmanager
def located(document: Document | None) -> Iterator[None]:
    """Put the line of the file, or the option, before what is wrong; raises BadInput or ModelcmpError."""
    try:
        yield
    except (WrongSetting, FailedSetting) as error:
        where = document.found(error.place) if document is not None else None
        if where is None:
            raise
        made = BadInput if isinstance(error, WrongSetting) else ModelcmpError
        raise made(f"{where}: {error}") from error
