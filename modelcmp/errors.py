"""Every error that modelcmp raises on purpose.

::

    ModelcmpError                 exit code 1
    ├── UsageError                exit code 2: the request itself is wrong
    │   ├── UnknownName           no such model, metric, convention, format ...
    │   └── BadInput              an input size, keyword or file that cannot be used
    ├── BuildError                the model's own code raised while it was built
    ├── ForwardError              the model's own forward raised, with the place where it did
    ├── NeedsData                 forward asks for real values, which meta tensors do not have
    ├── DumpError                 a dump or checkpoint that cannot be compared
    │   ├── ForeignFile           no checkpoint at all: a picture, a text, another program's archive
    │   ├── DamagedDump           cut off, changed since it was written, or without what it should hold
    │   └── RefusedDump           not safe to read, or written by a newer modelcmp
    └── OutputError               a result cannot be written where it was asked for

The message says what, where and how to fix it; the command line prints it as one line.
"""

from __future__ import annotations


class ModelcmpError(Exception):
    """Base of all errors that modelcmp raises on purpose."""

    exit_code = 1


class UsageError(ModelcmpError):
    """The request itself is wrong: nothing was computed."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no registry holds, with what was probably meant."""

    def __init__(self, kind: str, name: str, hint: str) -> None:
        super().__init__(f"unknown {kind} {name!r}: {hint}")
        self.kind, self.name, self.hint = kind, name, hint


class BadInput(UsageError):
    """An input size, keyword argument or file that cannot be used."""


class BuildError(ModelcmpError):
    """The model's own code raised while the model was built."""


class ForwardError(ModelcmpError):
    """The model's own forward raised; the message names the module and the shapes it was given."""


class NeedsData(ModelcmpError):
    """Forward depends on real values (``.item()``, NMS, boolean masks), which meta tensors lack."""


class DumpError(ModelcmpError):
    """A dump or checkpoint that cannot be compared; the message names the file and says why."""


class ForeignFile(DumpError):
    """A file that is no checkpoint: a picture, a text, another program's archive."""


class DamagedDump(DumpError):
    """A file that was cut off or changed since it was written, or that lacks what it should hold."""


class RefusedDump(DumpError):
    """A file that is not safe to read, or that a newer modelcmp wrote: nothing in it was run."""


class OutputError(ModelcmpError):
    """A result cannot be written where it was asked for."""


def first_line(error: BaseException) -> str:
    """What an error says in its first line, or its type where it says nothing.

    >>> first_line(ValueError("too wide\\nfor this")), first_line(KeyError())
    ('too wide', 'KeyError')
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def own_words(error: BaseException) -> str:
    """An error's type and the first line of what it says.

    >>> own_words(ValueError("too wide")), own_words(KeyError())
    ('ValueError: too wide', 'KeyError')
    """
    kind, words = type(error).__name__, first_line(error)
    return kind if words == kind else f"{kind}: {words}"
