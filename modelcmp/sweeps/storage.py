"""Where a search is recorded: an SQLite file, a journal file or a database, opened so that errors are one line.

SQLite files are kept in WAL mode with ``synchronous=NORMAL``: what a process has written survives its being killed.
WAL needs memory shared between processes; on a network file system use a journal file.
"""

from __future__ import annotations

import os
import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import BadInput, ModelcmpError, OutputError, first_line
from ..files import check_folder

FILE = "study.db"
_SQLITE, _JOURNAL = "sqlite:///", "journal:///"
_SQLITE_ENDS, _JOURNAL_ENDS = (".db", ".sqlite", ".sqlite3"), (".log", ".journal", ".jsonl")
#: Seconds for which a locked file is waited for.
PATIENCE = 30.0
#: The packages of drivers whose modules are called otherwise.
_PACKAGES = {
    "psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "pymysql",
    "mysql": "mysql-connector-python",
}  # fmt: skip
#: What a study's file holds, also one that has been damaged since.
_SQLITE_SIGNS, _JOURNAL_SIGNS = (b"SQLite format 3\0", b"CREATE TABLE studies"), (b'"op_code"',)


def storage_url(storage: str | None, folder: Path) -> str:
    """The URL of a storage as a config names it; ``study.db`` in the sweep's folder by default. Raises BadInput.

    A bare file name lies in the sweep's folder; ``$NAME`` is taken from the environment, for passwords.

    >>> storage_url("all.journal", Path("sweep")).startswith("journal:///")
    True
    >>> storage_url("postgresql://me@host/db", Path("sweep"))
    'postgresql://me@host/db'
    """
    storage = FILE if storage is None else _with_environment(storage)
    if "://" in storage:
        return storage
    path = (Path(storage) if os.path.dirname(storage) else folder / storage).absolute()
    if path.suffix.lower() in _JOURNAL_ENDS:
        return f"{_JOURNAL}{path}"
    if path.suffix.lower() not in _SQLITE_ENDS:
        raise BadInput(
            f"storage {storage!r} is no place for a study: write a file that ends in .db (SQLite) or .log (journal), "
            "or the URL of a database, such as postgresql://user@host/name"
        )
    if "?" in str(path):
        raise BadInput(f"{path}: the path of an SQLite file cannot hold a '?' in Optuna; choose another folder")
    return f"{_SQLITE}{path}"


def _with_environment(storage: str) -> str:
    """Each name is replaced once: what the environment holds, a secret, is not searched for names again."""

    def value(found: re.Match[str]) -> str:
        name = found[1].strip("{}")
        if name not in os.environ:
            plain = ", or write %24 for a plain $" if "://" in storage else ""
            raise BadInput(f"storage {shown(storage)}: the environment has no {found[0]}: export it first{plain}")
        return os.environ[name]

    return re.sub(r"(?a)\$(\w+|\{\w+\})", value, storage)


def file_of(url: str) -> Path | None:
    """The file that an SQLite or journal URL names; None for a database."""
    for scheme in (_SQLITE, _JOURNAL):
        if url.startswith(scheme):
            return Path(url.removeprefix(scheme).partition("?")[0])
    return None


def shown(url: str) -> str:
    """A storage as messages name it: its file, or its URL without the password.

    >>> shown("mysql+pymysql://me:s3cret@host/db"), shown("sqlite:////tmp/study.db")
    ('mysql+pymysql://me:***@host/db', '/tmp/study.db')
    """
    path = file_of(url)
    if path is not None:
        return str(path)
    hidden = re.sub(r"^([^:/]+://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&]\w*password=)[^&]*", r"\1***", hidden)


def open_storage(url: str, *, create: bool, checked: bool = True, timeout: float = PATIENCE) -> Any:
    """Open the storage of a URL with Optuna; ``checked=False`` leaves out the look at its tables' version.

    Raises BadInput where it is missing, no study or of another Optuna, or where the driver is not installed;
    OutputError where it cannot be written; ModelcmpError where it is locked or damaged, or a database out of reach.
    """
    path = file_of(url)
    if path is not None:
        _check_file(path, create)
    with quiet(), told(url):
        if url.startswith(_JOURNAL):
            assert path is not None
            return _open_journal(path, create)
        if url.startswith("sqlite"):
            return _open_sqlite(url, path, create, checked, timeout)
        return _open_database(url, checked)


def _check_file(path: Path, create: bool) -> None:
    """Refuse what is not there, or cannot be made."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder: name the file of the study, such as {path / FILE}")
    if create:
        check_folder(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        raise BadInput(f"there is no study at {path}: `compare-models sweep` writes one")


def _open_sqlite(url: str, path: Path | None, create: bool, checked: bool, timeout: float) -> Any:
    if path is None or str(path) == ":memory:":
        raise BadInput(f"{url} would be gone with the process: name a file, such as sqlite:///{FILE}")
    check_tables(path, create, timeout)
    from optuna.storages import RDBStorage

    connect = {"creator": partial(_connect, str(path), timeout)}
    found = RDBStorage(_plain(url), connect, skip_compatibility_check=not checked, skip_table_creation=not checked)
    return _placed(found, url)


def _plain(url: str) -> str:
    """Optuna fills templates in URLs: braces of a path or a password must stay as they are."""
    return url.replace("{", "{{").replace("}", "}}")


def _connect(path: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=timeout, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def check_tables(path: Path, create: bool, timeout: float = PATIENCE) -> None:
    """Refuse an SQLite file that is another program's, or none at all; an empty one may become a study.

    Only SQLite opens the file: closing another descriptor of it would drop the locks that this process holds on it
    (sqlite.org/howtocorrupt.html, 2.2). Raises BadInput; ModelcmpError for a study that is damaged; sqlite3.Error
    where SQLite itself cannot read it.
    """
    if not path.exists() or path.stat().st_size == 0:
        if not create:
            raise BadInput(f"{path} is empty: it is no study")
        return
    connection = sqlite3.connect(path, timeout=timeout)
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        if "not a database" not in str(error):
            raise
        connection.close()  # what is none has no locks to lose
        raise _unreadable(path, "SQLite cannot read it as a database", _SQLITE_SIGNS) from error
    finally:
        connection.close()
    if tables and "studies" not in tables:
        raise BadInput(f"{path} is a database of another program, it holds no studies; name another file")
    if not tables and not create:
        raise BadInput(f"{path} is empty: it is no study")


def _open_journal(path: Path, create: bool) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _check_journal(path)
    backend = JournalFileBackend(str(path))
    if create:
        _mend(path)
    try:
        return _placed(JournalStorage(backend), f"{_JOURNAL}{path}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, first_line(error), _JOURNAL_SIGNS) from error


def _unreadable(path: Path, said: str, signs: tuple[bytes, ...]) -> ModelcmpError:
    """A study that is damaged, or BadInput for a file that never was one: the wrong name."""
    with path.open("rb") as file:
        start = file.read(2**20)
    kind = ModelcmpError if any(sign in start for sign in signs) else BadInput
    return kind(f"{path} is damaged or no study: {said}; move it away, or name another")


def _check_journal(path: Path) -> None:
    """Refuse a file that begins as no journal does, so that nothing is written to it."""
    if path.exists():
        with path.open("rb") as file:
            if file.read(1) not in (b"", b"{"):
                raise BadInput(f"{path} is no study: it is not a journal of Optuna; name another file")


def _mend(path: Path) -> None:
    """Cut off a last line that was torn (a full disk): what is appended to it would spoil the file."""
    from optuna.storages.journal import JournalFileSymlinkLock

    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read(1) in (b"", b"\n"):
            return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        with path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    finally:
        lock.release()


def _open_database(url: str, checked: bool) -> Any:
    from optuna.storages import RDBStorage

    found = RDBStorage(_plain(url), skip_compatibility_check=not checked, skip_table_creation=not checked)
    return _placed(found, url)


def _placed(storage: Any, url: str) -> Any:
    """The storage, with the URL that it was opened by, for messages."""
    storage.modelcmp_url = url
    return storage


def url_of(storage: Any) -> str:
    """The URL that a storage was opened by."""
    return str(getattr(storage, "modelcmp_url", None) or getattr(storage, "url", "the storage"))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from logging and warning; what it was set to before holds again afterwards."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


# -- errors in words ------------------------------------------------------------------------------


@contextmanager
def told(url: str) -> Iterator[None]:
    """Say in one line what a storage could not do; raises BadInput, OutputError or ModelcmpError."""
    try:
        yield
    except ModelcmpError:
        raise
    except Exception as error:
        found = _in_words(error, url)
        if found is None:
            raise
        raise found from error


_LOCKED = ("database is locked", "database table is locked", "Lock wait timeout", "could not obtain lock")
_DAMAGED = ("malformed", "not a database", "no such table", "no such column", "disk I/O error")
_READ_ONLY = ("readonly database", "unable to open database file", "Read-only file system", "Permission denied")
_FULL = ("disk is full", "No space left")


def _in_words(error: Exception, url: str) -> ModelcmpError | None:
    """What an error of a storage means; None for one that is no storage's."""
    chain = list(_chain(error))
    text, place = " ".join(str(e) for e in chain), shown(url)
    said = _masked(first_line(chain[-1]), url)
    if not any(_of_storage(e) for e in chain):
        return None
    if any(words in text for words in _LOCKED):
        return ModelcmpError(
            f"{place} is locked: another process is writing to it; wait for it, or stop it, and try again"
        )
    if any(words in text for words in _FULL):
        return OutputError(f"{place} cannot be written: the disk is full; make room and go on")
    if any(words in text for words in _READ_ONLY):
        return OutputError(f"{place} cannot be written: {said}; check who may write the file and its folder")
    if any(words in text for words in _DAMAGED):
        return ModelcmpError(f"{place} is damaged or no study: {said}; move it away, or name another")
    return _of_versions(chain, text, url) or ModelcmpError(f"{place} cannot be used: {said}")


def _of_versions(chain: list[BaseException], text: str, url: str) -> BadInput | None:
    """A driver that is not there, or tables of another Optuna."""
    place, kind = shown(url), url.partition(":")[0].partition("+")[0]
    if "no longer compatible" in text and "storage upgrade" in text:
        return BadInput(f"{place} was made by an older Optuna: run `optuna storage upgrade --storage {place_url(url)}`")
    if "no longer compatible" in text:
        return BadInput(f"{place} was made by a newer Optuna: run `pip install -U optuna`")
    if any(isinstance(e, ImportError) for e in chain):
        return BadInput(f"{place} cannot be used: the driver of {kind} is not installed: {_driver_hint(chain, kind)}")
    if any(type(e).__name__ in ("NoSuchModuleError", "ArgumentError") for e in chain):
        return BadInput(f"{place} is no URL of a database: write sqlite:///file.db, postgresql://... or mysql://...")
    return None


def _driver_hint(chain: list[BaseException], kind: str) -> str:
    """How to get the driver whose import failed."""
    names = [e.name for e in chain if isinstance(e, ImportError) and e.name]
    if not names:
        return "install the one that SQLAlchemy wants for it"
    module = names[-1].partition(".")[0]
    how = f", and write {kind}+pymysql://..." if module == "MySQLdb" else ""
    return f"`pip install {_PACKAGES.get(module, module)}`{how}"


def place_url(url: str) -> str:
    """The URL as it may be printed: without its password."""
    return url if file_of(url) is not None else shown(url)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_ROOTS = ("sqlalchemy", "optuna", "sqlite3", "psycopg2", "psycopg", "pymysql", "MySQLdb", "alembic")


def _of_storage(error: BaseException) -> bool:
    kind = type(error)
    own = kind.__module__.partition(".")[0] in _ROOTS
    return own or isinstance(error, ImportError | OSError) or "no longer compatible" in str(error)


def _masked(text: str, url: str) -> str:
    """A driver's words without the password."""
    password = re.search(r"://[^:/@]*:(.*)@", url)
    return text.replace(password[1], "***") if password and password[1] else text
