"""``--join accuracy.csv``: columns of a table added to profiles by model name."""

from __future__ import annotations

import csv
import io
import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import BadInput
from .metrics import METRICS, Better, Metric, Unit, Value
from .records import ModelProfile

#: Columns that may hold the model's name, the likeliest first; without any of them the first column does.
_NAME_COLUMNS = ("model", "name", "spec", "model_name", "arch", "architecture")
#: Columns that tell at which image size a row was measured.
_SIZE_COLUMNS = ("img_size", "infer_img_size", "image_size", "input_size", "size")
_UNKNOWN = ("", "na", "n/a", "nan", "null", "none", "-", "?")
#: What is better small, read off a column's name; everything else is better large.
_LOW = re.compile(
    r"loss|err|time|latency|memory|bytes|flops|macs|macts|params?(_|$)|_ms$|_s$|cost|price", re.IGNORECASE
)
_TAKEN = {"name", "source", "input_shape", "batch_size", "dtype", "mode", "convention", "uncounted", "pareto", "notes",
          "error"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JoinedRow:
    """One line of a table: its figures, and the image size that they were measured at."""

    figures: dict[str, Value]
    size: Value = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A table read from a file: its columns as metrics, and its rows by model name."""

    path: Path
    columns: tuple[Metric, ...]
    rows: Mapping[str, tuple[JoinedRow, ...]]
    by_stem: Mapping[str, tuple[JoinedRow, ...]]  # by the name before its tag


def read_joined(path: Path) -> Joined:
    """Read a CSV or TSV file with a header; raises BadInput with what is wrong and where."""
    rows = _read(path)
    if not rows or not rows[0]:
        raise BadInput(f"{path} holds no table: it wants a header line and one line a model")
    heads = list(rows[0])
    at = next((h for wanted in _NAME_COLUMNS for h in heads if h.strip().lower() == wanted), heads[0])
    sizes = next((h for wanted in _SIZE_COLUMNS for h in heads if h.strip().lower() == wanted), None)
    keys = {head: _key(head) for head in heads if head != at}
    if len(set(keys.values())) < len(keys):
        raise BadInput(f"{path}: two headings mean the same column ({', '.join(keys)}): rename one")
    columns = {head: [_parsed(row[head]) for row in rows] for head in keys}
    texts = {head for head, values in columns.items() if any(isinstance(v, str) for v in values)}
    _refuse_text(path, {head: columns[head] for head in keys if keys[head] in METRICS})
    by_name: dict[str, tuple[JoinedRow, ...]] = {}
    by_stem: dict[str, tuple[JoinedRow, ...]] = {}
    for i, row in enumerate(rows):
        figures = {keys[h]: _plain(columns[h][i], row[h], h in texts) for h in keys}
        line = JoinedRow(figures, _parsed(row[sizes]) if sizes else None)
        name = row[at].strip()
        by_name[name] = (*by_name.get(name, ()), line)
        if not any(sign in name for sign in (".py", ":", "/")):
            by_stem[name.partition(".")[0]] = (*by_stem.get(name.partition(".")[0], ()), line)
    metrics = tuple(_column(h, keys[h], h in texts, path) for h in keys)
    return Joined(path, metrics, by_name, by_stem)


def _refuse_text(path: Path, columns: dict[str, list[Value]]) -> None:
    """A column that replaces a figure of ours holds numbers only."""
    for head, values in columns.items():
        for number, value in enumerate(values, 2):
            if isinstance(value, str):
                raise BadInput(
                    f"{path}, row {number}: {head} is {value!r}, no number: correct it, or leave the cell empty"
                )


def join(profiles: Sequence[ModelProfile], table: Joined, remark: Callable[[str], None]) -> tuple[ModelProfile, ...]:
    """Profiles with the table's figures among their values.

    A row belongs to a model by the name as typed, without its source, or without its tag; of several
    rows that of the profiled image size is taken, else the first.
    """
    found, elsewhere, matched = [], [], 0
    for profile in profiles:
        row = _of_size(_rows_of(profile.name, table), profile)
        matched += row is not None
        if row and row.size is not None and row.size != _size(profile):
            elsewhere.append(profile.name)
        blank = {c.key: profile.values.get(c.key) for c in table.columns}
        given = {k: v for k, v in (row.figures if row else {}).items() if v is not None}
        found.append(replace(profile, values={**profile.values, **blank, **given}))
    if matched < len(profiles):
        remark(f"{table.path}: has a row for {matched} of {len(profiles)} models")
    if elsewhere:
        remark(
            f"{table.path}: {len(elsewhere)} models were measured there at another image size than the one "
            f"profiled ({', '.join(elsewhere[:3])}{', ...' if len(elsewhere) > 3 else ''})"
        )
    return tuple(found)


def _rows_of(spec: str, table: Joined) -> tuple[JoinedRow, ...]:
    bare = spec if spec.endswith(".py") else spec.rpartition(":")[2]
    return table.rows.get(spec) or table.rows.get(bare) or table.by_stem.get(bare, ())


def _of_size(rows: Iterable[JoinedRow], profile: ModelProfile) -> JoinedRow | None:
    candidates = list(rows)
    fitting = [row for row in candidates if row.size == _size(profile)]
    return next(iter(fitting or candidates), None)


def _size(profile: ModelProfile) -> int | None:
    return profile.input_shape[0][-1] if profile.input_shape and profile.input_shape[0] else None


def _read(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not a text file: --join takes CSV with a header line") from error
    head = text.partition("\n")[0]
    delimiter = max("\t;,", key=head.count)
    text = "".join(c if c.isprintable() or c in "\r\n\t" else " " for c in text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: {error}") from error
    heads = [" ".join(h.split()) for h in lines[0][1]] if lines else []
    if len(set(heads)) < len(heads) or "" in heads:
        raise BadInput(f"{path}: its header line names a column twice or not at all ({', '.join(heads)}): rename it")
    for number, line in lines[1:]:
        if len(line) != len(heads):
            raise BadInput(
                f"{path}, line {number}: {len(line)} cells under {len(heads)} headings: quote those with {delimiter!r}"
            )
    return [dict(zip(heads, line, strict=True)) for _, line in lines[1:]]


def _key(head: str) -> str:
    """A column's name as ``--where`` can use it; one that is taken by a figure of ours gets a suffix.

    Published figures that we only pass on (top1, top5) are replaced.
    """
    key = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", head)).strip("_") or "column"
    key = f"c_{key}" if key[0].isdigit() else f"{key}_" if keyword.iskeyword(key) else key
    low = key.lower()
    if low in METRICS and METRICS[low].compute is None:
        return low
    taken = low in METRICS or low in _TAKEN or any(low == m.alias for m in METRICS.values())
    return f"{key}_joined" if taken else key


def _parsed(cell: str) -> Value:
    text = " ".join(cell.split())
    figure = text.removesuffix("%").strip()
    if figure.lower() in _UNKNOWN:
        return None
    if re.fullmatch(r"[+-]?\d{1,300}", figure):
        return int(figure)
    try:
        number = float(figure.replace("_", "x"))
    except ValueError:
        return text
    return number if math.isfinite(number) else None


def _plain(value: Value, cell: str, text: bool) -> Value:
    """A column with any text in it is text throughout."""
    return " ".join(cell.split()) if text and value is not None else value


def _column(head: str, key: str, text: bool, path: Path) -> Metric:
    if key in METRICS:
        return METRICS[key]
    better: Better = None if text else "low" if _LOW.search(key) else "high"
    unit: Unit = "text" if text else "plain"
    return Metric(key, head, head, "joined", unit, better, f"From {path.name}.", "", None, by_convention=False)
