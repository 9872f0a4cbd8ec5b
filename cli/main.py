"""Entry point and error boundary: every failure is one line, with an exit code that says what kind."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import traceback
from typing import NoReturn

from . import screen

#: Importing torch makes a million objects that stay: looking for garbage among them every 700
#: allocations costs half a second of the start.
_GC_THRESHOLDS = (100_000, 50, 100)


def run() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failure, 2 usage, 130 interrupted."""
    gc.set_threshold(*_GC_THRESHOLDS)
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)  # worker processes are ended, a half-made picture is not left
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no medals still gets its table
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    stopped = False
    try:
        code = _dispatch(arguments, debug)
    except KeyboardInterrupt:
        stopped = True
    except BrokenPipeError:  # the reader of our output has gone: nothing to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    if stopped or screen.interrupted.is_set():
        print("\ninterrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _interrupt(*_: object) -> NoReturn:
    """Remember the interrupt: code that is being imported may swallow the exception."""
    screen.interrupted.set()
    raise KeyboardInterrupt


def _dispatch(arguments: list[str], debug: bool) -> int:
    import typer

    from modelcmp.errors import ModelcmpError, UnknownName

    from .app import app

    usage_error = typer.BadParameter.__bases__[0]  # click's own, or the copy that typer carries
    try:
        result = app(args=arguments, prog_name="compare-models", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except typer.Exit as done:
        return int(done.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except usage_error as error:
        hint = _with_hint(error)  # an empty one has shown the help already
        return _say(hint + _command_meant(arguments), 2, debug) if hint else 2
    except ModelcmpError as error:
        unknown = isinstance(error, UnknownName) and error.kind == "model" and [error.name] == arguments[:1]
        return _say(f"{error}{_command_meant(arguments) if unknown else ''}", error.exit_code, debug)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except OSError as error:
        return _say(f"cannot write the result: {error.strerror or error}", 1, debug)
    except Exception as error:
        return _say(f"internal error: {type(error).__name__}: {error} (--debug shows the traceback)", 1, debug)


def _command_meant(arguments: list[str]) -> str:
    """A command that was probably meant where the first word is none."""
    from difflib import get_close_matches

    from .app import app

    known = [command.name for command in app.registered_commands if command.name]
    found = get_close_matches(arguments[0], known, 1, 0.75) if arguments and arguments[0] not in known else []
    return f"; or is the command `compare-models {found[0]}` meant?" if found else ""


def _with_hint(error: Exception) -> str:
    """A usage error in one line, with the command whose help tells more."""
    message = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    if not message.strip():
        return ""
    return f"{message} (see `{context.command_path} --help`)" if context is not None else message


def _say(message: str, code: int, debug: bool) -> int:
    """One line on stderr, after the traceback of the error in hand if that is wanted."""
    if debug:
        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
