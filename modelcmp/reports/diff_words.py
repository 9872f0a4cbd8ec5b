"""What a diff says in sentences, for the terminal, Markdown and the pictures. Text from files is made printable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..diffing.records import Finding, RunDiff, Skipped, Status, Verdict
from ..units import UNKNOWN

#: Verdicts that differences of weights say something about.
COMPARABLE: tuple[Status, ...] = ("identical", "within tolerance", "within noise", "diverged")
_KINDS = {"grad": "gradient", "optimizer": "optimizer state", "nan": "NaN or Inf"}
_NAMED = 3  # of things that are left out; the rest is counted
_SHOWN = 15  # findings; files have all
_SKIPPED = 8  # files


def clean(text: str) -> str:
    """Text from a file without the control characters that would move the cursor or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


# -- numbers --------------------------------------------------------------------------------------


def size(value: float | None) -> str:
    """A difference, three significant digits; 0 is exactly 0.

    >>> size(1.23456e-7), size(0.0), size(1234.5), size(float("nan"))
    ('1.23e-07', '0', '1.23e+03', '?')
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    return f"{value:.3g}"


def ratio(value: float) -> str:
    """A quotient near 1, with the digits that tell it from 1.

    >>> ratio(1.00213), ratio(3e4), ratio(float("nan"))
    ('1.0021', '3e+04', '?')
    """
    return UNKNOWN if math.isnan(value) else f"{value:.4f}" if 0.01 < value < 100 else f"{value:.3g}"


def cosine(angle_rad: float) -> str:
    """A cosine from its angle, so that what is near 1 keeps its digits.

    >>> cosine(0.0), cosine(1e-7), cosine(0.5), cosine(float("nan"))
    ('1', '1 − 5.0e-15', '0.8776', '?')
    """
    if math.isnan(angle_rad):
        return UNKNOWN
    rest = 2 * math.sin(angle_rad / 2) ** 2
    if rest == 0:
        return "1"
    return f"1 − {rest:.1e}" if rest < 1e-3 else f"{math.cos(angle_rad):.4f}"


def whole(value: float) -> str:
    """A count; large ones with three digits.

    >>> whole(12.0), whole(123456789.0), whole(float("nan"))
    ('12', '1.23e+08', '?')
    """
    if math.isnan(value):
        return UNKNOWN
    return f"{value:.0f}" if value < 1e6 else f"{value:.3g}"


# -- the verdict ----------------------------------------------------------------------------------


def status_line(verdict: Verdict) -> str:
    """The verdict in words, its status first."""
    return f"{verdict.status[0].upper()}{verdict.status[1:]}{after_status(verdict)}"


def after_status(verdict: Verdict) -> str:
    """What follows the status in one sentence with it.

    >>> after_status(Verdict("identical", "Identical (0 ULP)."))
    ' (0 ULP).'
    >>> after_status(Verdict("diverged", "The first batch differs."))
    '. The first batch differs.'
    """
    words = clean(verdict.words)
    if words.lower().startswith(verdict.status):
        return words[len(verdict.status) :]
    return f". {words}" if words else ""


def place_words(found: Finding, tensor: bool = True) -> str:
    """Where a finding is; "" where it is nowhere in particular.

    >>> place_words(Finding("weight", "it differs", 50, 1, 50, "fc.weight"))
    'step 50 (epoch 1, batch 50), fc.weight'
    """
    inner = [f"{word} {n}" for word, n in (("epoch", found.epoch), ("batch", found.batch)) if n is not None]
    place = f"step {found.step}" if found.step is not None else ""
    if inner:
        place = f"{place} ({', '.join(inner)})" if place else ", ".join(inner)
    named = clean(found.tensor) if tensor and found.tensor else ""
    return ", ".join(part for part in (place, named) if part)


def what_words(found: Finding) -> str:
    """The kind of a finding.

    >>> what_words(Finding("optimizer", "it differs"))
    'optimizer state'
    """
    return _KINDS.get(found.what, clean(found.what))


def finding_line(found: Finding) -> str:
    """A finding with its place, where the sentence does not say it."""
    words, place = clean(found.words), place_words(found, tensor=False)
    if not place or (found.step is not None and f"step {found.step}" in words.lower()):
        return words
    return f"{place}: {words}"


def shown_findings(diff: RunDiff) -> tuple[list[Finding], int]:
    """The findings to print, serious ones before remarks, and how many more there are."""
    ordered = sorted(diff.verdict.findings, key=lambda f: not f.serious)
    return ordered[:_SHOWN], max(0, len(ordered) - _SHOWN)


# -- what was compared ----------------------------------------------------------------------------


def header(diff: RunDiff) -> list[tuple[str, str]]:
    """What was compared with what, and how."""
    rows = [("A", clean(diff.a)), ("B", clean(diff.b)), ("Compared", _pairs_words(diff)), ("Tensors", _tensors(diff))]
    if diff.filter != "all":
        rows.append(("Filter", clean(diff.filter)))
    if diff.tolerance.rtol or diff.tolerance.atol:
        rows.append(("Tolerance", f"rtol {diff.tolerance.rtol:g}, atol {diff.tolerance.atol:g}"))
    if diff.floor is not None:
        rows.append(
            ("Noise floor", f"{_counted(len(diff.floor), 'pair')} of dumps of A and a run that differs by noise")
        )
    return rows


def _pairs_words(diff: RunDiff) -> str:
    """How many pairs, over which steps, matched by what."""
    if not diff.pairs:
        return "nothing"
    steps = [p.step for p in diff.pairs if p.a.step is not None]
    if not steps:
        over = ""
    elif len(diff.pairs) == 1:
        over = f", step {steps[0]}"
    else:
        over = f", steps {steps[0]} to {steps[-1]}"
    how = f", matched by {clean(diff.align)}" if len(diff.pairs) > 1 else ""
    return f"{_counted(len(diff.pairs), 'pair')} of dumps{over}{how}"


def _tensors(diff: RunDiff) -> str:
    """How many tensors have a counterpart, by kind; how many have none."""
    tensors = {(t.kind, t.name, t.name_b): t for p in diff.pairs for t in p.tensors}.values()
    counts = [(k, sum(t.kind == k for t in tensors)) for k in ("weight", "buffer", "grad", "optimizer")]
    words = {"weight": "weight", "buffer": "buffer", "grad": "gradient", "optimizer": "optimizer tensor"}
    parts = [_counted(n, words[k]) for k, n in counts if n]
    alone = [(len(diff.alignment.only_a), "A"), (len(diff.alignment.only_b), "B")]
    parts += [f"{n} only in {side}" for n, side in alone if n]
    return ", ".join(parts) or "none in common"


def _counted(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


# -- what was not compared ------------------------------------------------------------------------


def left_out_lines(diff: RunDiff) -> list[str]:
    """Dumps without a partner, files that were skipped, tensors that could not be compared: counted and named."""
    lines = [
        f"{_counted(len(names), 'dump')} of {side} without a partner: {_some(names)}"
        for side, names in (("A", diff.unmatched_a), ("B", diff.unmatched_b))
        if names
    ]
    if diff.skipped:
        lines.append(f"{_counted(len(diff.skipped), 'file')} skipped:")
        lines += [_skipped_line(s) for s in diff.skipped[:_SKIPPED]]
        more = len(diff.skipped) - _SKIPPED
        lines += [f"and {more} more, in detailed_comparison.json (--output)"] if more > 0 else []
    return lines + _tensor_lines(diff)


def _skipped_line(skipped: Skipped) -> str:
    """The reason, which mostly begins with the path."""
    reason = clean(skipped.reason)
    return reason if reason.startswith(clean(skipped.path)) else f"{clean(skipped.path)}: {reason}"


def _tensor_lines(diff: RunDiff) -> list[str]:
    lines = [
        f"{_counted(len(names), 'tensor')} only in {side}: {_some(names)}"
        for side, names in (("A", diff.alignment.only_a), ("B", diff.alignment.only_b))
        if names
    ]
    if diff.alignment.ambiguous:
        may = [f"{name} ({' or '.join(others)})" for name, others in diff.alignment.ambiguous]
        lines.append(f"{_counted(len(may), 'ambiguous name')}, not compared; settle with --map: {_some(may, '; ')}")
    tensors = {id(p.tensors): p.tensors for p in diff.pairs}.values()
    problems = dict.fromkeys(f"{t.name}: {t.problem}" for each in tensors for t in each if t.problem)
    if problems:
        lines.append(f"{_counted(len(problems), 'tensor')} could not be measured: {_some(list(problems), '; ')}")
    return lines


def _some(names: Sequence[str], between: str = ", ") -> str:
    """The first few, and how many more."""
    shown = between.join(clean(n) for n in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
