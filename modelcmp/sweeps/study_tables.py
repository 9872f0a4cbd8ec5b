"""Studies and trials read from Optuna's tables with plain SQL: 10,000 trials in a fraction of a second.

Only for the one layout of tables that is known here (VERSION); others are read through Optuna's API.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from .storage import PATIENCE, check_tables, file_of
from .study_trial import FACTS, Raw

#: Alembic's name of the layout: that of Optuna 3.2 to 5.0 at least.
VERSION = "v3.2.0.a"

#: Runs a query, gives its rows.
Query = Callable[[str], Sequence[Sequence[Any]]]


@dataclass(slots=True)
class RawStudy:
    """A study as Optuna keeps it."""

    name: str
    directions: list[str]  # "maximize"
    attributes: dict[str, Any] = field(default_factory=dict)
    trials: list[Raw] = field(default_factory=list)
    key: int = -1  # in the tables


@contextmanager
def tables(url: str) -> Iterator[Query | None]:
    """A way to query the tables behind a URL; None where it has none, or their layout is not the known one."""
    if url.startswith("journal:"):
        yield None
        return
    with _sqlite(url) if file_of(url) is not None else _database(url) as query:
        yield query if _known(query) else None


def _known(query: Query) -> bool:
    try:
        return [tuple(row) for row in query("SELECT version_num FROM alembic_version")] == [(VERSION,)]
    except Exception as error:  # each driver has its own error for a table that is missing
        if "alembic_version" not in str(error):
            raise
        return False


@contextmanager
def _sqlite(url: str) -> Iterator[Query]:
    """An SQLite file, which is not written; the standard library opens it faster than SQLAlchemy."""
    path = file_of(url)
    assert path is not None
    check_tables(path, create=False)
    connection = _reading(path)
    try:
        yield lambda text: connection.execute(text).fetchall()
    finally:
        connection.close()


def _reading(path: Path) -> sqlite3.Connection:
    """Also where the file or its folder cannot be written, as its side files cannot either."""
    problem: sqlite3.Error | None = None
    for mode in ("mode=rw", "mode=ro", "mode=ro&immutable=1"):
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=PATIENCE)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("SELECT count(*) FROM sqlite_master")
            return connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise
            problem = problem or error
    assert problem is not None
    raise problem


@contextmanager
def _database(url: str) -> Iterator[Query]:
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield lambda words: connection.execute(text(words)).fetchall()
    finally:
        engine.dispose()


def read_studies(query: Query) -> list[RawStudy]:
    """All studies in the order in which they were made, without their trials."""
    found = {
        key: RawStudy(name, [], key=key)
        for key, name in query("SELECT study_id, study_name FROM studies ORDER BY study_id")
    }
    for key, direction in query("SELECT study_id, direction FROM study_directions ORDER BY study_id, objective"):
        found[key].directions.append(direction.lower())
    for key, name, value in query(f"SELECT study_id, {_KEY}, value_json FROM study_user_attributes"):
        found[key].attributes[name] = json.loads(value)
    return list(found.values())


#: ``key`` is a word of MySQL's own; with its table before it every database takes it for a column.
_KEY = "study_user_attributes.key"


def read_trials(query: Query, studies: Sequence[RawStudy], intermediate: bool) -> None:
    """Fill in the trials of some studies.

    Trials are read before their values: one that ends meanwhile is listed as running, never as finished without.
    """
    found: dict[int, Raw] = {}
    keys = ", ".join(str(int(s.key)) for s in studies)
    of_study = {s.key: s for s in studies}
    for trial_id, number, key, state, started, ended in query(
        "SELECT trial_id, number, study_id, state, datetime_start, datetime_complete FROM trials "
        f"WHERE study_id IN ({keys}) ORDER BY number"
    ):
        found[trial_id] = Raw(number, state, started=_moment(started), ended=_moment(ended))
        of_study[key].trials.append(found[trial_id])
    mine = f"trial_id IN (SELECT trial_id FROM trials WHERE study_id IN ({keys}))"
    _read_params(query, found, mine)
    _read_values(query, found, mine)
    _read_attributes(query, found, mine, keys)
    if intermediate:
        _read_intermediate(query, found, mine)


def _read_params(query: Query, found: dict[int, Raw], mine: str) -> None:
    rows = query(
        f"SELECT trial_id, param_name, param_value, distribution_json FROM trial_params WHERE {mine} ORDER BY param_id"
    )
    for trial_id, name, value, distribution in rows:
        if trial_id in found:
            found[trial_id].params[name] = _decoder(distribution)(value)


def _read_values(query: Query, found: dict[int, Raw], mine: str) -> None:
    rows = query(f"SELECT trial_id, value, value_type FROM trial_values WHERE {mine} ORDER BY trial_id, objective")
    for trial_id, value, kind in rows:
        if trial_id in found:
            found[trial_id].values = [*(found[trial_id].values or ()), _figure(value, kind)]


def _read_attributes(query: Query, found: dict[int, Raw], mine: str, keys: str) -> None:
    table = "trial_user_attributes"
    for trial_id, value in query(f"SELECT trial_id, value_json FROM {table} WHERE {table}.key = '{FACTS}' AND {mine}"):
        if trial_id in found:
            found[trial_id].facts = json.loads(value)
    table = "trial_system_attributes"
    begun = f"(SELECT trial_id FROM trials WHERE study_id IN ({keys}) AND state IN ('WAITING', 'RUNNING'))"
    rows = query(f"SELECT trial_id, value_json FROM {table} WHERE {table}.key = 'fixed_params' AND trial_id IN {begun}")
    for trial_id, value in rows:
        if trial_id in found:
            found[trial_id].fixed = json.loads(value)


def _read_intermediate(query: Query, found: dict[int, Raw], mine: str) -> None:
    rows = query(
        "SELECT trial_id, step, intermediate_value, intermediate_value_type FROM trial_intermediate_values "
        f"WHERE {mine}"
    )
    for trial_id, step, value, kind in rows:
        if trial_id in found:
            found[trial_id].intermediate = [*found[trial_id].intermediate, (step, _figure(value, kind))]


def _figure(value: float | None, kind: str) -> float:
    """A figure; the tables keep infinities and NaN by name."""
    named = {"INF_POS": "inf", "INF_NEG": "-inf", "NAN": "nan"}
    return float(named[kind]) if kind in named else float(value if value is not None else "nan")


@cache
def _decoder(distribution: str) -> Callable[[float], Any]:
    """From the number that stands in the table to the parameter."""
    document = json.loads(distribution)
    if document["name"] == "CategoricalDistribution":
        choices = document["attributes"]["choices"]
        return lambda value: choices[int(value)]
    return int if document["name"].startswith("Int") else float


def _moment(value: Any) -> datetime | None:
    """A moment of the tables, which are in UTC without saying so."""
    if value is None:
        return None
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC)
