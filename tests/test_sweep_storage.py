"""Where a search is recorded: URLs, files that fail, kills, and what Optuna's own tools read in it."""

import io
import json
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest

from modelcmp.errors import BadInput, ModelcmpError, OutputError
from modelcmp.sweeps import storage as storage_module
from modelcmp.sweeps.listing import find_storage, list_by_optuna, list_sweep
from modelcmp.sweeps.methods import sampler_of
from modelcmp.sweeps.records import Objective
from modelcmp.sweeps.space import Space
from modelcmp.sweeps.storage import file_of, open_storage, quiet, shown, storage_url, told
from modelcmp.sweeps.study import open_study

ACCURACY = Objective("val_accuracy", "high")
SPACE = Space.from_plain(
    {
        "lr": {"min": 1e-5, "max": 0.1, "log": True},
        "epochs": {"min": 2, "max": 10, "step": 2},
        "batch_size": [32, 64],
        "optimizer": [{"name": "adam"}, {"name": "sgd", "momentum": 0.9}],
        "augment": [["flip"], []],
    }
)
RANDOM = SimpleNamespace(name="random", keywords={})
FACTS = {"epochs": 3, "steps": 30, "train_seconds": 1.5, "flops": 10**15}


def identity(**over):
    return {"space": SPACE.plain(), "method": {"name": "random"}, "objectives": [{"key": "val_accuracy"}], **over}


def fill(storage, name="digits/cnn", trials=6, **over):
    """A study of random trials of which one diverged, one failed, one was pruned and the last is running."""
    study = open_study(storage, name, [ACCURACY], identity(**over), {"unit": "trials", "amount": trials})
    sampler = sampler_of(RANDOM, 7)
    ends = {1: "diverged", 2: "failed", 3: "pruned"}
    for _ in range(trials):
        asked = study.ask(SPACE, sampler)
        asked.trial.report(0.5, 1)
        asked.trial.report(asked.params["lr"], 2)
        if asked.number < trials - 1:
            state = ends.get(asked.number, "finished")
            facts = {**FACTS, "message": f"it {state}", "folder": f"runs/cnn-{asked.number:04}"}
            study.tell(asked.number, state, [asked.params["lr"]] if state == "finished" else None, facts)
    return study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep of two architectures; not to be written to."""
    folder = tmp_path_factory.mktemp("sweep")
    storage = open_storage(storage_url(None, folder), create=True)
    fill(storage, "digits/cnn")
    fill(storage, "digits/mlp", trials=4)
    (folder / "runs").mkdir()
    return folder


# -- URLs -----------------------------------------------------------------------------------------


def test_urls_of_storages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = Path("sweep")
    assert storage_url(None, sweep) == f"sqlite:///{tmp_path}/sweep/study.db"
    assert storage_url("all.SQLITE3", sweep) == f"sqlite:///{tmp_path}/sweep/all.SQLITE3"
    assert storage_url("./all.db", sweep) == f"sqlite:///{tmp_path}/all.db"
    assert storage_url("a/b.log", sweep) == f"journal:///{tmp_path}/a/b.log"
    assert storage_url("postgresql://h/d", sweep) == "postgresql://h/d"
    assert file_of(storage_url(None, sweep)) == tmp_path / "sweep" / "study.db"
    for wrong in ("study", "study.txt"):
        with pytest.raises(BadInput, match=r"ends in \.db"):
            storage_url(wrong, sweep)
    with pytest.raises(BadInput, match="cannot hold"):
        storage_url("what?.db", sweep)


def test_a_password_from_the_environment(monkeypatch):
    monkeypatch.setenv("OF_THE_STUDY", "s3cret")
    assert storage_url("mysql://me:$OF_THE_STUDY@host/db", Path()) == "mysql://me:s3cret@host/db"
    monkeypatch.delenv("OF_THE_STUDY")
    with pytest.raises(BadInput, match=r"mysql://me:\*\*\*@host/db: the environment has no \$OF_THE_STUDY"):
        storage_url("mysql://me:$OF_THE_STUDY@host/db", Path())
    assert storage_url("a$.db", Path("/x")) == "sqlite:////x/a$.db"


@pytest.mark.parametrize("secret", ["pa$word", "$OF_THE_STUDY", "${HOME}", "a\\1b", "$"])
@pytest.mark.parametrize("name", ["$OF_THE_STUDY", "${OF_THE_STUDY}"])
def test_what_the_environment_holds_is_taken_as_it_is(monkeypatch, name, secret):
    monkeypatch.setenv("OF_THE_STUDY", secret)
    assert storage_url(f"postgresql://me:{name}@host/db", Path()) == f"postgresql://me:{secret}@host/db"
    with pytest.raises(BadInput, match=r"the environment has no \$\{NOT_THERE\}: export it first") as caught:
        storage_url(f"postgresql://me:{name}@host/${{NOT_THERE}}", Path())
    assert secret not in str(caught.value).replace("${NOT_THERE}", "").replace("plain $", "")


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("postgresql://me:pa:ss@word@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql+psycopg2://:secret@host/db", "postgresql+psycopg2://:***@host/db"),
        ("mysql://me@host/db?password=secret&ssl=1", "mysql://me@host/db?password=***&ssl=1"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_passwords_are_not_shown(url, safe):
    assert shown(url) == safe


def test_a_driver_that_is_missing_is_named_and_the_password_is_not():
    with pytest.raises(BadInput, match=r"pip install psycopg2-binary`$") as caught:
        open_storage("postgresql+psycopg2://me:s3{cr}et@localhost/db", create=True)
    assert "et@" not in str(caught.value)
    with pytest.raises(BadInput, match=r"pip install pymysql.*mysql\+pymysql://"):
        open_storage("mysql://me:s3cret@localhost/db", create=True)
    with pytest.raises(BadInput, match="no URL of a database"):
        open_storage("nonsense://x", create=True)


@pytest.mark.parametrize(
    ("module", "hint"), [("cx_Oracle", "`pip install cx_Oracle`"), ("mysql.connector", "`pip install mysql-connector-"),
                         (None, "install the one that SQLAlchemy wants")],
)  # fmt: skip
def test_the_driver_is_called_what_its_import_was(module, hint):
    missing = ModuleNotFoundError("No module", name=module)
    with pytest.raises(BadInput) as caught, told("oracle://me:s3cret@localhost/db"):
        raise ImportError("Failed to import DB access module") from missing
    start = "oracle://me:***@localhost/db cannot be used: the driver of oracle is not installed: "
    assert str(caught.value).startswith(start + hint)


def test_a_server_that_refuses_is_one_line_without_the_password():
    from sqlalchemy.exc import OperationalError

    url = "postgresql://me:s3cret@localhost/db"
    with pytest.raises(ModelcmpError, match="cannot be used") as caught, told(url):
        raise OperationalError("select", {}, RuntimeError("no route for me with s3cret\nis it up?"))
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_braces_and_spaces(tmp_path):
    folder = tmp_path / "my {first} sweep %20"
    fill(open_storage(storage_url(None, folder), create=True))
    assert len(list_sweep(folder).trials) == 6


# -- files that fail ------------------------------------------------------------------------------


def copied(folder, path):
    """The database with what is still in its write-ahead log."""
    with sqlite3.connect(folder / "study.db") as source, sqlite3.connect(path) as target:
        source.backup(target)
    return path


def everywhere(study, pragma):
    """Set something on every connection of the pool."""
    engine = study.optuna._storage._backend.engine
    connections = [engine.connect() for _ in range(engine.pool.checkedin())]
    assert connections
    for connection in connections:
        connection.exec_driver_sql(pragma)
        connection.close()


def opened(path, **keywords):
    return open_storage(storage_url(str(path), path.parent), **keywords)


def test_what_is_not_there_is_not_made(tmp_path):
    for name in ("a.db", "a.log"):
        with pytest.raises(BadInput, match="no study at"):
            opened(tmp_path / name, create=False)
    with pytest.raises(BadInput, match="no sweep at"):
        list_sweep(tmp_path / "a.db")
    with pytest.raises(BadInput, match="holds no sweep"):
        list_sweep(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"hello, this is text\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(99), b""])
@pytest.mark.parametrize("name", ["x.db", "x.log"])
def test_files_that_are_no_study(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"x\.(db|log)"):
        list_sweep(path)
    if content:
        with pytest.raises(BadInput, match="no study"):
            opened(path, create=True)
        assert path.read_bytes() == content


def test_a_damaged_file(tmp_path, folder):
    path = copied(folder, tmp_path / "x.db")
    content = bytearray(path.read_bytes())
    content[4096:] = random.Random(0).randbytes(len(content) - 4096)
    path.write_bytes(content)
    for read in (lambda: list_sweep(path), lambda: list_by_optuna(storage_url(str(path), tmp_path))):
        with pytest.raises(ModelcmpError, match=r"x\.db is damaged or no study") as caught:
            read()
        assert caught.value.exit_code == 1


@pytest.mark.parametrize("spoilt", [slice(0, 100), slice(16, 60), slice(0, 4096)])
def test_a_damaged_beginning_of_a_study_is_a_failure_and_not_a_wrong_name(tmp_path, folder, spoilt):
    path = copied(folder, tmp_path / "x.db")
    content = bytearray(path.read_bytes())
    content[spoilt] = b"\xff" * (spoilt.stop - spoilt.start)
    path.write_bytes(content)
    for read in (lambda: list_sweep(path), lambda: opened(path, create=True)):
        with pytest.raises(ModelcmpError, match=r"x\.db is damaged or no study") as caught:
            read()
        assert caught.value.exit_code == 1


def test_a_damaged_journal_is_a_failure_and_not_a_wrong_name(tmp_path):
    path = tmp_path / "x.log"
    fill(opened(path, create=True))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], lines[2][:20], *lines[3:]]) + "\n")
    with pytest.raises(ModelcmpError, match=r"x\.log is damaged or no study") as caught:
        list_sweep(path)
    assert caught.value.exit_code == 1
    path.write_text('{"a": 1}\n' * 3)
    with pytest.raises(BadInput, match=r"x\.log is damaged or no study"):
        list_sweep(path)


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    for create in (True, False):
        with pytest.raises(BadInput, match="another program"):
            opened(path, create=create)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


@pytest.mark.parametrize(
    ("version", "hint"), [("v3.0.0.d", "optuna storage upgrade --storage"), ("v9", "newer Optuna")]
)
def test_tables_of_another_optuna(tmp_path, folder, version, hint):
    path = copied(folder, tmp_path / "x.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    with pytest.raises(BadInput, match=hint):
        opened(path, create=True)
    with pytest.raises(BadInput, match=hint):
        list_sweep(path)


def test_a_locked_file(tmp_path):
    path = tmp_path / "x.db"
    study = fill(opened(path, create=True, timeout=0.05))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(ModelcmpError, match=r"x\.db is locked: another process") as caught:
        study.tell(5, "finished", [0.5], FACTS)
    assert caught.value.exit_code == 1
    with pytest.raises(ModelcmpError, match=r"x\.db is locked: another process") as caught:
        open_study(opened(path, create=True, timeout=0.05), "digits/mlp", [ACCURACY], identity())
    assert caught.value.exit_code == 1
    assert len(list_sweep(path).trials) == 6  # reading does not wait for a writer
    blocker.execute("ROLLBACK")
    study.tell(5, "finished", [0.5], FACTS)
    assert study.trials()[5].values == (0.5,)


def test_a_full_disk(tmp_path):
    path = tmp_path / "x.db"
    study = fill(opened(path, create=True))
    everywhere(study, "PRAGMA max_page_count = 1")
    with pytest.raises(OutputError, match="the disk is full"):
        study.tell(5, "finished", [0.5], {**FACTS, "message": "x" * 200_000})


def test_a_read_only_file(tmp_path):
    study = fill(opened(tmp_path / "x.db", create=True))
    everywhere(study, "PRAGMA query_only = 1")
    with pytest.raises(OutputError, match="cannot be written"):
        study.tell(5, "finished", [0.5], FACTS)


def test_errors_that_are_no_storages_pass():
    with pytest.raises(ZeroDivisionError), told("sqlite:///x.db"):
        raise ZeroDivisionError


def test_a_journal_with_a_torn_last_line_goes_on(tmp_path):
    path = tmp_path / "x.journal"
    fill(opened(path, create=True))
    before = list_sweep(path)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    study = fill(opened(path, create=True))
    assert list_sweep(path).trials[:5] == before.trials[:5]
    assert len(list_sweep(path).trials) == len(study.trials()) == 12


def test_optunas_logging_is_left_as_it_was():
    before = optuna.logging.get_verbosity()
    with quiet():
        assert optuna.logging.get_verbosity() == optuna.logging.CRITICAL
    assert optuna.logging.get_verbosity() == before


# -- kills ----------------------------------------------------------------------------------------

GRID = Space.from_plain({"a": list(range(40)), "b": {"min": 0.0, "max": 1.0, "points": 2}})


def _grid(folder):
    """A coordinator, from its start to the last point."""
    storage = open_storage(storage_url(None, folder), create=True)
    study = open_study(storage, "s/cnn", [Objective("val_loss", "low")], {"space": GRID.plain()})
    study.enqueue([GRID.to_optuna(point) for point in GRID.points()])
    todo = study.unfinished(GRID)
    while (asked := todo.pop(0) if todo else study.ask(GRID, None)) is not None:
        study.tell(asked.number, "finished", [asked.params["a"] + asked.params["b"]], {"steps": 1})


def test_a_grid_survives_kills(tmp_path):
    """Each point exactly once, whenever the coordinator is killed."""
    draw, begun, kills = random.Random(3), time.monotonic(), 0
    context = multiprocessing.get_context("fork")
    while kills < 8 and time.monotonic() - begun < 4:
        process = context.Process(target=_grid, args=(tmp_path,))
        process.start()
        process.join(draw.uniform(0.02, 0.5))
        kills += process.is_alive()
        process.kill()
        process.join()
    with sqlite3.connect(tmp_path / "study.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert kills > 1
    process = context.Process(target=_grid, args=(tmp_path,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    found = list_sweep(tmp_path)
    assert [t.number for t in found.trials] == list(range(80))
    assert {t.state for t in found.trials} == {"finished"}
    assert sorted((t.params["a"], t.params["b"]) for t in found.trials) == [(a, b) for a in range(40) for b in (0, 1)]
    assert all(t.values == (t.params["a"] + t.params["b"],) for t in found.trials)


# -- reading back ---------------------------------------------------------------------------------


def test_both_ways_of_reading_give_the_same(folder):
    url, found = find_storage(folder)
    assert found == folder
    for intermediate in (False, True):
        ours = list_sweep(folder, intermediate=intermediate)
        assert ours == list_by_optuna(url, None, intermediate, folder)
    assert ours.name == "digits"
    assert (ours.models, ours.method, ours.objectives) == (("cnn", "mlp"), "random", (ACCURACY,))
    assert (ours.budget_unit, ours.budget) == ("trials", {"cnn": 6, "mlp": 4})
    cnn = ours.of("cnn")
    assert [t.state for t in cnn] == ["finished", "diverged", "failed", "pruned", "finished", "unfinished"]
    assert [t.values is None for t in cnn] == [False, True, True, True, False, True]
    assert cnn[1].message == "it diverged"
    assert (cnn[0].epochs, cnn[0].steps, cnn[0].train_seconds, cnn[0].flops) == (3, 30, 1.5, 10**15)
    assert cnn[0].folder == "runs/cnn-0000"
    assert cnn[0].intermediate == ((1, 0.5), (2, cnn[0].params["lr"]))
    assert all(isinstance(t.params["optimizer"], dict) and isinstance(t.params["augment"], list) for t in cnn)
    assert abs(cnn[0].started.timestamp() - time.time()) < 600  # in whatever time zone this runs


def test_a_journal_lists_as_well(tmp_path, folder):
    path = tmp_path / "x.log"
    fill(opened(path, create=True))
    assert [t.params for t in list_sweep(path).trials] == [t.params for t in list_sweep(folder).of("cnn")]


def test_a_folder_whose_config_names_the_storage(tmp_path):
    path = tmp_path / "all.db"
    fill(opened(path, create=True))
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "config.yaml").write_text(f"models: [cnn]\nstorage: {path}\n")
    assert len(list_sweep(sweep).trials) == 6
    (sweep / "config.yaml").write_text("models: [cnn\n")
    with pytest.raises(BadInput, match="not YAML"):
        list_sweep(sweep)


def test_several_sweeps_in_one_storage(tmp_path):
    path = tmp_path / "all.db"
    storage = opened(path, create=True)
    for name in ("one/cnn", "one/mlp", "two/cnn"):
        fill(storage, name, trials=2)
    with pytest.raises(BadInput, match="name one of one, two"):
        list_sweep(path)
    assert list_sweep(path, "one").models == ("cnn", "mlp")
    assert {t.model for t in list_sweep(path, "two").trials} == {"cnn"}
    assert list_sweep(path, "one/mlp").models == ("mlp",)
    with pytest.raises(BadInput, match="did you mean 'one'"):
        list_sweep(path, "on")


@pytest.mark.parametrize("name", ["x.db", "x.log"])
def test_a_study_that_was_made_without_us(tmp_path, name):
    url = storage_url(str(tmp_path / name), tmp_path)
    storage = optuna.storages.RDBStorage(url) if name == "x.db" else opened(tmp_path / name, create=True)
    with quiet():
        study = optuna.create_study(storage=storage, study_name="theirs", directions=["minimize", "maximize"])
        study.enqueue_trial({"x": 3})
        study.optimize(lambda t: (t.suggest_int("x", 0, 9), t.suggest_float("y", 0, 1)), n_trials=3)
        study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.COMPLETE, values=[float("inf"), 1.0]))
        study.enqueue_trial({"x": 4})
    found = list_sweep(tmp_path / name)
    assert (found.name, found.models, found.method, found.budget) == ("theirs", ("theirs",), "", {})
    assert found.objectives == (Objective("value 0", "low"), Objective("value 1", "high"))
    assert [dict(t.params) for t in found.trials[:4]] == [dict(t.params) for t in study.trials[:4]]
    assert [t.values for t in found.trials[:4]] == [tuple(t.values) for t in study.trials[:4]]
    assert (found.trials[4].state, found.trials[4].params) == ("waiting", {"x": 4})
    assert isinstance(found.trials[0].params["x"], int)
    assert found.trials[0].flops is None


def test_other_programs_read_what_we_wrote(folder):
    url, _ = find_storage(folder)
    with quiet():
        study = optuna.load_study(study_name="digits/cnn", storage=url)
    best = max((t for t in list_sweep(folder).of("cnn") if t.values), key=lambda t: t.values[0])
    assert (study.best_value, study.best_trial.number) == (best.values[0], best.number)
    assert study.best_params == SPACE.to_optuna(best.params)
    assert study.trials[1].user_attrs["modelcmp"]["status"] == "diverged"


def test_optuna_dashboard_serves_our_studies(folder):
    dashboard = pytest.importorskip("optuna_dashboard")
    app = dashboard.wsgi(open_storage(find_storage(folder)[0], create=False))

    def get(path, query=""):
        said = {}
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "x", "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
        }  # fmt: skip
        body = b"".join(app(environ, lambda status, headers, *_: said.update(status=status)))
        assert said["status"].startswith("200")
        return json.loads(body)

    studies = get("/api/studies")["study_summaries"]
    assert [s["study_name"] for s in studies] == ["digits/cnn", "digits/mlp"]
    served = get(f"/api/studies/{studies[0]['study_id']}", "after=0")["trials"]
    states = {"finished": "Complete", "pruned": "Pruned", "diverged": "Pruned"}
    states |= {"failed": "Fail", "unfinished": "Running"}
    ours = list_sweep(folder).of("cnn")
    assert [(t["number"], t["state"]) for t in served] == [(t.number, states[t.state]) for t in ours]
    lr = [next(p["param_internal_value"] for p in t["params"] if p["name"] == "lr") for t in served]
    assert lr == [t.params["lr"] for t in ours]


def test_ten_thousand_trials_list_in_two_seconds(tmp_path):
    """In a process that has imported nothing; no torch, and no Optuna either."""
    path = tmp_path / "study.db"
    fill(opened(path, create=True), trials=3)
    with sqlite3.connect(path) as db:
        choice = json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": [32, 64]}})
        real = json.dumps({"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "log": False}})
        whole = json.dumps({"name": "IntDistribution", "attributes": {"low": 0, "high": 9, "log": False}})
        facts = json.dumps({"status": "finished", **FACTS})
        now = "2026-01-01 00:00:00.000001"
        ids = range(4, 10_001)
        db.executemany("INSERT INTO trials VALUES (?, ?, 1, 'COMPLETE', ?, ?)", ((i, i - 1, now, now) for i in ids))
        into = "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)"
        for name, kind in (("batch_size", choice), ("lr", real), ("epochs", whole)):
            db.executemany(into, ((i, name, i % 2, kind) for i in ids))
        into = "INSERT INTO trial_values (trial_id, objective, value, value_type) VALUES (?, 0, ?, 'FINITE')"
        db.executemany(into, ((i, i / 10_000) for i in ids))
        into = "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, 'modelcmp', ?)"
        db.executemany(into, ((i, facts) for i in ids))
    code = (
        "import sys\n"
        "from modelcmp.sweeps.listing import list_sweep\n"
        f"found = list_sweep({str(tmp_path)!r})\n"
        "assert len(found.trials) == 10_000 and found.trials[-1].values == (1.0,), found.trials[-1]\n"
        "assert found.trials[-1].params == {'lr': 0.0, 'epochs': 0, 'batch_size': 32}, found.trials[-1]\n"
        "assert not {'torch', 'optuna', 'sqlalchemy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


def _write(url, name, count):
    study = open_study(open_storage(url, create=True), name, [ACCURACY], identity())
    sampler = sampler_of(RANDOM, 1)
    for _ in range(count):
        asked = study.ask(SPACE, sampler)
        study.tell(asked.number, "finished", [0.5], FACTS)


def test_two_coordinators_share_a_file(tmp_path):
    """Two sweeps at once, each with studies of its own: nobody is turned away, nothing is lost."""
    url = storage_url(None, tmp_path)
    open_storage(url, create=True)
    spawn = multiprocessing.get_context("fork")
    both = [spawn.Process(target=_write, args=(url, f"{n}/cnn", 15)) for n in ("one", "two")]
    for process in both:
        process.start()
    for process in both:
        process.join(30)
    assert [p.exitcode for p in both] == [0, 0]
    for name in ("one", "two"):
        assert [t.number for t in list_sweep(tmp_path, name).trials] == list(range(15))


def test_waiting_time_is_half_a_minute():
    assert storage_module.PATIENCE == 30
