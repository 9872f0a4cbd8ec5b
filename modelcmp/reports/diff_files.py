"""A diff as CSV (one row a pair of dumps) and JSON (one entry a tensor of each pair): unrounded, unknown is no number.

docs/diff_files.md states every column and key.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..diffing.measures import MEASURES, derive
from ..diffing.records import DumpPair, RunDiff, Side, TensorPair
from ..diffing.sums import SINGLE
from ..environment import environment
from ..files import write_parts
from ..tabular import Row
from .diff_series import GROUPS, Series, batch_agreement, group_word, series
from .export import plain

SCHEMA = 1
CSV_NAME = "model_comparison.csv"
JSON_NAME = "detailed_comparison.json"
#: Measures that are whole numbers.
_COUNTS = frozenset({"elements", "max_index", "ulp_max", "nan_a", "nan_b", "inf_a", "inf_b"})
_TENSOR_KEYS = tuple(m.key for m in MEASURES if m.key != "max_index")
#: What a group of tensors has.
TOTALS = tuple(m.key for m in MEASURES if m.key not in SINGLE)


def write_files(diff: RunDiff, folder: Path, detailed: bool = True) -> list[Path]:
    """Write the CSV, and the JSON if ``detailed``, into a folder, each whole or not at all; raises OutputError."""
    write_parts(folder / CSV_NAME, csv_parts(diff))
    if not detailed:
        return [folder / CSV_NAME]
    # What no encoding holds (an undecodable byte of a path) becomes JSON's own escape of it.
    write_parts(folder / JSON_NAME, (part.encode("utf-8", "backslashreplace") for part in json_parts(diff)))
    return [folder / CSV_NAME, folder / JSON_NAME]


# -- CSV ------------------------------------------------------------------------------------------


def csv_parts(diff: RunDiff) -> Iterator[str]:
    """The time series line by line: a header, then one line a pair of dumps."""
    over = series(diff)
    totals = _csv_totals(over)
    yield _csv_line([*_HEAD, *totals])
    agreement = [batch_agreement(p.a, p.b) for p in diff.pairs]
    scalars = zip(over.difference("loss").tolist(), over.difference("acc").tolist(), strict=True)
    for i, (pair, (loss, acc)) in enumerate(zip(diff.pairs, scalars, strict=True)):
        a, b = pair.a, pair.b
        yield _csv_line([
            pair.step, a.epoch, a.batch, b.step, b.epoch, b.batch, a.loss, b.loss, _known(loss), a.acc, b.acc,
            _known(acc), agreement[i], *(column[i] for column in totals.values()),
        ])  # fmt: skip


_HEAD = ("step", "epoch", "batch", "step_b", "epoch_b", "batch_b", "loss_a", "loss_b", "loss_difference", "acc_a",
         "acc_b", "acc_difference", "batch_agreement")  # fmt: skip


def _csv_totals(over: Series) -> dict[str, list[Any]]:
    """Columns of the kinds that there are, from the weights on; of all groups, whatever the filter."""
    columns: dict[str, list[Any]] = {}
    for kind in sorted(over.kinds, key=("weight", "buffer", "grad", "optimizer").index):
        for group in GROUPS:
            found = over.totals(kind, group)
            columns |= {f"{kind}_{group_word(group)}_{key}": _cells(key, found[key]) for key in TOTALS}
    return columns


def _csv_line(cells: Sequence[Any]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


# -- JSON -----------------------------------------------------------------------------------------


def json_parts(diff: RunDiff) -> Iterator[str]:
    """The document piece by piece: the head, then each checkpoint with a line for each of its tensors."""
    head = json.dumps(plain(_head(diff)), indent=2, ensure_ascii=False, allow_nan=False)
    yield head.removesuffix("\n}") + ',\n  "checkpoints": ['
    identities: dict[int, list[str]] = {}
    for i, pair in enumerate(diff.pairs):
        yield (",\n    " if i else "\n    ") + _dumps(_checkpoint(pair))[:-1] + ', "tensors": ['
        if id(pair.tensors) not in identities:
            identities[id(pair.tensors)] = [_identity(t) for t in pair.tensors]
        yield from _tensor_lines(pair, identities[id(pair.tensors)])
        yield "]}"
    yield "],\n"
    yield '  "floor": ' + ("null" if diff.floor is None else "[")
    for i, pair in enumerate(diff.floor or ()):
        yield (",\n    " if i else "\n    ") + _dumps(_checkpoint(pair))
    yield ("" if diff.floor is None else "]") + "\n}\n"


def _head(diff: RunDiff) -> Row:
    return {
        "schema": SCHEMA,
        "tool": {"name": "modelcmp", "version": __version__},
        "environment": environment(),
        "a": diff.a, "b": diff.b, "filter": diff.filter, "align": diff.align, "tolerance": asdict(diff.tolerance),
        "verdict": asdict(diff.verdict),
        "alignment": {
            "matches": [asdict(m) for m in diff.alignment.matches],
            "only_a": diff.alignment.only_a, "only_b": diff.alignment.only_b,
            "ambiguous": [{"name": name, "may_be": may} for name, may in diff.alignment.ambiguous],
        },
        "measures": {m.key: m.meaning for m in MEASURES},
        "unmatched": {"a": diff.unmatched_a, "b": diff.unmatched_b},
        "skipped": [asdict(s) for s in diff.skipped],
        "warnings": diff.warnings,
    }  # fmt: skip


def _checkpoint(pair: DumpPair) -> Row:
    """A pair of dumps without its tensors."""
    over = Series((pair,))
    totals = {
        kind: {group_word(g): {key: _cells(key, over.totals(kind, g)[key])[0] for key in TOTALS} for g in GROUPS}
        for kind in over.kinds
    }
    places = {"step": pair.step, "epoch": pair.a.epoch, "batch": pair.a.batch}
    return places | {"batch_agreement": batch_agreement(pair.a, pair.b), "a": _side(pair.a), "b": _side(pair.b),
                     "loss_difference": _known(float(over.difference("loss")[0])),
                     "acc_difference": _known(float(over.difference("acc")[0])), "totals": totals}  # fmt: skip


def _side(side: Side) -> Row:
    """What a dump says; a loss that is NaN or infinite is null, and ``not_finite`` says what it was."""
    broken = {k: str(v) for k in ("loss", "acc") if (v := getattr(side, k)) is not None and not math.isfinite(v)}
    said = {k: getattr(side, k) for k in ("path", "epoch", "batch", "step", "loss", "acc", "optimizer", "notes")}
    row = said | {"settings": side.settings, "scalars": side.scalars, "fingerprint": _without_samples(side)}
    found: Row = plain(row | ({"not_finite": broken} if broken else {}))
    return found


def _without_samples(side: Side) -> Row | None:
    """The fingerprint without its list of examples, which is as long as a batch."""
    if side.fingerprint is None:
        return None
    return {k: v for k, v in side.fingerprint.items() if k != "sample_hashes"}


def _tensor_lines(pair: DumpPair, identities: Sequence[str]) -> Iterator[str]:
    """One line a tensor; what does not change over time is made into text once, in ``identities``."""
    columns = derive(pair.sums)
    values = [_cells(key, columns[key]) for key in _TENSOR_KEYS]
    places = _cells("max_index", columns["max_index"])
    equal = [None if math.isnan(v) else bool(v) for v in pair.sums["hash_equal"].tolist()]
    for i, (tensor, row) in enumerate(zip(pair.tensors, zip(*values, strict=True), strict=True)):
        found = dict(zip(_TENSOR_KEYS, row, strict=True))
        found |= {"max_at": _place(places[i], tensor.shape), "hash_equal": equal[i]}
        yield (",\n      " if i else "\n      ") + identities[i] + _dumps(found)[1:]


def _identity(tensor: TensorPair) -> str:
    """The first half of a tensor's line."""
    return _dumps(asdict(tensor))[:-1] + ", "


def _place(flat: int | None, shape: tuple[int, ...]) -> list[int] | None:
    """Where in the tensor a place of the flattened one is."""
    if flat is None or flat >= math.prod(shape):
        return None
    return [int(i) for i in np.unravel_index(flat, shape)]


def _cells(key: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> list[Any]:
    """Numbers as files hold them: counts whole, what is unknown None."""
    found = values.tolist()
    if key in _COUNTS:
        return [int(v) if math.isfinite(v) else None for v in found]
    return [v if math.isfinite(v) else None for v in found]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
