"""Numbers, names and places as the verdict says them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..records import DumpPair

NAMES_SHOWN = 3


def figure(value: float) -> str:
    """Three significant digits, without zeros that say nothing.

    >>> figure(0.0031), figure(1e-9), figure(40.0), figure(1.41421), figure(12345678.0)
    ('0.0031', '1e-9', '40', '1.41', '1.23e7')
    """
    text = f"{value:.3g}"
    head, exponent, power = text.partition("e")
    return f"{head}e{int(power)}" if exponent else text


def exact(value: float) -> str:
    """Enough digits to see where two numbers differ.

    >>> exact(0.01), exact(0.6931471805599453)
    ('0.01', '0.69314718056')
    """
    return f"{value:.12g}"


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers with no more digits than it takes to tell them apart, and at least four.

    >>> apart(0.69314718, 0.69314719), apart(0.5, 0.25), apart(1.0, float("nan"))
    (('0.69314718', '0.69314719'), ('0.5', '0.25'), ('1', 'nan'))
    """
    for digits in range(4, 18):
        texts = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return texts


def listed(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """A list in words, cut where it is long.

    >>> listed(["a", "b"]), listed(list("abcdef"))
    ('a and b', 'a, b, c and 3 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def many(number: int, thing: str) -> str:
    """A number of things.

    >>> many(1, "tensor"), many(3, "batch"), many(2, "weight matrix"), many(0, "loss")
    ('1 tensor', '3 batches', '2 weight matrices', '0 losses')
    """
    if number == 1:
        return f"1 {thing}"
    if thing.endswith("ix"):
        return f"{number} {thing[:-2]}ices"
    return f"{number} {thing}{'es' if thing.endswith(('ch', 's')) else 's'}"


def percent_more(ratio: float) -> str:
    """How a ratio compares with one.

    >>> percent_more(1.01), percent_more(0.5), percent_more(20.0)
    ('1 % higher', '50 % lower', '20 times')
    """
    if ratio >= 2 or ratio <= 0 or not math.isfinite(ratio):
        return f"{figure(ratio)} times"
    return f"{figure(abs(100 * (ratio - 1)))} % {'higher' if ratio > 1 else 'lower'}"


def place(pair: DumpPair) -> str:
    """Where in training a pair of dumps is, in the words of A; B's step where it is another."""
    a, b = pair.a, pair.b
    spot = f"epoch {a.epoch}, batch {a.batch}" if a.epoch is not None and a.batch is not None else ""
    if a.step is None:
        return spot or f"dump {pair.step}"
    details = ["before training"] if a.step == 0 else [spot] if spot else []
    if b.step is not None and b.step != a.step:
        details.append(f"step {b.step} of B")
    return f"step {a.step}" + (f" ({'; '.join(details)})" if details else "")


def brief(pair: DumpPair) -> str:
    """The place alone: "step 10"."""
    return place(pair) if pair.a.step is None else f"step {pair.a.step}"


def sentence(text: str) -> str:
    """Begins with a capital and ends with a stop; names keep their case."""
    text = text.strip()
    capital = text if text[:1] in "ABb" and text[1:2] in ("'", " ") else text[:1].upper() + text[1:]
    return capital if capital.endswith((".", "!")) else capital + "."
