"""Regular expressions that people give: compiled with a clear error, and never run for ever.

Python's engine backtracks: ``(a+)+$`` takes time exponential in the length of a name, and can't be interrupted from
within. Patterns that could are run by another interpreter, which is stopped when its time is up.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from ...errors import BadInput, first_line

#: Longest pattern, in characters; and the time that a suspicious one may take over all names, in seconds.
LONGEST = 500
TIME_S = 10.0
_WORKER = """
import json, re, sys
job = json.load(sys.stdin)
pattern, to = re.compile(job["pattern"]), job["to"]
json.dump([bool(pattern.search(n)) if to is None else pattern.sub(to, n) for n in job["names"]], sys.stdout)
"""


def compiled(text: str, what: str = "the pattern") -> re.Pattern[str]:
    """Compile a regular expression; raises BadInput with the place of the fault.

    >>> compiled("*.weight", "--head")
    Traceback (most recent call last):
    ...
    modelcmp.errors.BadInput: --head '*.weight' is no regular expression: nothing to repeat at position 0
    """
    if len(text) > LONGEST:
        raise BadInput(f"{what} has {len(text)} characters; the longest allowed is {LONGEST}")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadInput(f"{what} {text!r} is no regular expression: {first_line(error)}") from error


def searched(pattern: re.Pattern[str], names: Sequence[str]) -> list[bool]:
    """For each name whether the pattern occurs in it; raises BadInput where that takes too long."""
    if _harmless(pattern.pattern, names):
        return [bool(pattern.search(name)) for name in names]
    return [bool(found) for found in _elsewhere(pattern, None, names)]


def substituted(pattern: re.Pattern[str], to: str, names: Sequence[str]) -> list[str]:
    """Each name with the pattern replaced, as ``re.sub`` does; raises BadInput for a bad replacement, or no end."""
    try:
        pattern.sub(to, "")  # reads the replacement
        if _harmless(pattern.pattern, names):
            return [pattern.sub(to, name) for name in names]
    except (re.error, IndexError) as error:
        raise BadInput(f"the replacement {to!r} of {pattern.pattern!r} is wrong: {first_line(error)}") from error
    return [str(name) for name in _elsewhere(pattern, to, names)]


def _harmless(pattern: str, names: Sequence[str]) -> bool:
    """Whether a pattern surely ends soon: few repeats, none of a group, on names of a sane length."""
    repeats = len(re.findall(r"[*+]|\{\d*,", pattern))
    return repeats <= 2 and not re.search(r"\)\s*[*+?{]|\\[1-9]|\(\?P=", pattern) and all(len(n) < 300 for n in names)


def _elsewhere(pattern: re.Pattern[str], to: str | None, names: Sequence[str]) -> list[Any]:
    """The work done by another interpreter, which can be stopped."""
    job = json.dumps({"pattern": pattern.pattern, "to": to, "names": list(names)})
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _WORKER], input=job.encode(), capture_output=True, timeout=TIME_S
        )
        return list(json.loads(done.stdout))
    except subprocess.TimeoutExpired as error:
        advice = "write it without repeats of repeats, such as (a+)+"
        raise BadInput(f"the pattern {pattern.pattern!r} takes longer than {TIME_S:g} s: {advice}") from error
    except (OSError, ValueError) as error:
        raise BadInput(f"the pattern {pattern.pattern!r} is too complicated to be run: {first_line(error)}") from error
