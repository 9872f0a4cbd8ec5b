"""Entry point and error boundary: every failure is one line, with an exit code that says what kind."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import NoReturn

#: Importing torch makes a million objects that stay: looking for garbage among them every 700
#: allocations costs half a second of the start.
_GC_THRESHOLDS = (100_000, 50, 100)


def run() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failure, 2 usage, 130 interrupted."""
    gc.set_threshold(*_GC_THRESHOLDS)
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        code = _dispatch(arguments, debug)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output has gone: nothing to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


def _dispatch(arguments: list[str], debug: bool) -> int:
    import typer

    from modelcmp.errors import ModelcmpError

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
        return _say(_with_hint(error), 2, debug)
    except ModelcmpError as error:
        return _say(str(error), error.exit_code, debug)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        return _say(f"internal error: {type(error).__name__}: {error} (--debug shows the traceback)", 1, debug)


def _with_hint(error: Exception) -> str:
    """A usage error in one line, with the command whose help tells more."""
    message = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context is not None else message


def _say(message: str, code: int, debug: bool) -> int:
    """One line on stderr, after the traceback of the error in hand if that is wanted."""
    if debug:
        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
