"""The local engine: many jobs, none of which can take another down."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from modelcmp.engines import ENGINES, Failure, Job, Limits, Options, Task
from modelcmp.errors import ModelcmpError, UsageError

TESTS = str(Path(__file__).parent)
TASK = Task("engine_tasks:act", "engine_tasks:prepare", ("once",))
MB = 10**6


@pytest.fixture(autouse=True)
def _tasks_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(TESTS)


@pytest.fixture(autouse=True)
def _nothing_stays():
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    yield
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def local(task=TASK, **options):
    return ENGINES["local"](task, Options(**options))


def jobs(*payloads):
    return [Job(f"job{n}", p) for n, p in enumerate(payloads)]


def run(*payloads, task=TASK, **options):
    """Values and errors by the name of the job."""
    with local(task, **options) as engine:
        engine.submit(jobs(*payloads))
        return {o.job.name: o.value if o.error is None else o.error for o in engine.results()}


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def pid_in(path):
    return int(path.read_text()) if path.exists() and path.read_text() else 0


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


# --- what comes back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"workers": 1}, {"workers": 2, "batch_size": 7}, {"workers": 3}])
def test_every_job_has_one_outcome(options):
    assert run(*[("echo", n * n) for n in range(100)], **options) == {f"job{n}": n * n for n in range(100)}


def test_one_worker_keeps_the_order():
    with local(workers=1) as engine:
        engine.submit(jobs(("echo", 0), ("exit", 1), ("echo", 2), ("raise", "ValueError", "x"), ("echo", 4)))
        assert [o.job.name for o in engine.results()] == [f"job{n}" for n in range(5)]


def test_outcomes_stream_within_a_batch():
    with local(workers=1, batch_size=16) as engine:
        engine.submit(jobs(("echo", 1), ("sleep", 30)))
        began = time.monotonic()
        assert next(engine.results()).value == 1
        assert time.monotonic() - began < 10


def test_jobs_can_follow_while_results_are_read_and_after():
    with local(workers=2) as engine:
        engine.submit([Job("3", ("echo", 3))])
        seen = []
        for outcome in engine.results():
            seen.append(outcome.value)
            if outcome.value:
                engine.submit([Job("less", ("echo", outcome.value - 1))])
        assert seen == [3, 2, 1, 0]
        engine.submit([Job("late", ("echo", "late"))])
        assert [o.value for o in engine.results()] == ["late"]


def test_a_process_is_prepared_once_and_kept():
    seen = run(*[("about",)] * 20, workers=2)
    assert all(about["prepared"] == [("once",)] for about in seen.values())
    assert len({about["pid"] for about in seen.values()}) <= 2


def test_there_are_never_more_processes_than_jobs():
    with local(workers=8) as engine:
        engine.submit(jobs(("about",), ("about",)))
        assert len(list(engine.results())) == 2
        assert len(psutil.Process().children()) <= 2


def test_a_process_finds_itself_where_we_are(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere/else"])
    about = run(("about",), workers=1000)["job0"]
    assert (about["cwd"], about["path"], about["threads"]) == (str(tmp_path), sys.path, "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert run(("about",))["job0"]["threads"] == "5"


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_exceptions_are_outcomes():
    seen = run(
        ("raise", "ValueError", "no such luck"),
        ("raise", "ModelcmpError", "give --seed"),
        ("raise", "SystemExit", "3"),
        ("unpicklable",),
        ("unreadable",),
        lambda: None,
        ("echo", 1),
        workers=1,
    )
    assert seen["job0"] == Failure("ValueError", "ValueError: no such luck")
    assert seen["job1"] == Failure("ModelcmpError", "give --seed")
    assert seen["job2"] == Failure("SystemExit", "SystemExit: 3")
    assert "pickle" in seen["job3"].message
    assert seen["job4"] == Failure("ValueError", "ValueError: not here")
    assert "pickle" in seen["job5"].message
    assert seen["job6"] == 1


@pytest.mark.parametrize(
    ("crash", "cause"),
    [(("exit", 3), "exit code 3"), (("signal", "SIGSEGV"), "SIGSEGV"), (("signal", "SIGKILL"), "SIGKILL")],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_costs_one_job(crash, cause, workers):
    seen = run(*[("echo", n) for n in range(6)], crash, *[("echo", n) for n in range(7, 12)], workers=workers)
    failure = seen.pop("job6")
    assert failure.kind == "Crashed"
    assert failure.message.startswith(f"job6 crashed its process ({cause}")
    assert seen == {f"job{n}": n for n in range(12) if n != 6}


def test_a_job_over_its_time_is_stopped():
    began = time.monotonic()
    seen = run(("echo", 0), ("sleep", 60), ("echo", 2), workers=1, limits=Limits(timeout_s=0.5))
    assert seen == {"job0": 0, "job1": Failure("TimedOut", "job1 was stopped after 0.5 s (--timeout)"), "job2": 2}
    assert time.monotonic() - began < 10


def test_the_time_of_a_batch_is_not_the_time_of_a_job():
    limits = Limits(timeout_s=1.0)
    assert run(*[("sleep", 0.2)] * 8, workers=1, batch_size=8, limits=limits) == {f"job{n}": 0.2 for n in range(8)}


def test_a_slow_reader_costs_no_job_its_time():
    with local(workers=1, batch_size=4, limits=Limits(timeout_s=0.3)) as engine:
        engine.submit(jobs(*[("echo", n) for n in range(4)]))
        values = []
        for outcome in engine.results():
            values.append(outcome.value)
            time.sleep(0.4)
        assert values == [0, 1, 2, 3]


def test_a_job_over_the_memory_limit_is_stopped():
    seen = run(("hold", 200, 60), ("echo", 1), workers=1, limits=Limits(memory_bytes=150 * MB))
    assert seen == {"job0": Failure("OutOfMemory", "job0 needed more than 150MB (--memory-limit)"), "job1": 1}


def test_memory_that_earlier_jobs_left_is_not_held_against_a_job():
    hold = ("hold", 80, 0.3)
    seen = run(("leak", 80), hold, ("hold", 200, 60), hold, workers=1, limits=Limits(memory_bytes=150 * MB))
    assert seen["job1"] == seen["job3"] == 80 * 2**20
    assert seen["job2"] == Failure("OutOfMemory", "job2 needed more than 150MB (--memory-limit)")


def test_a_limit_below_the_start_is_the_users_error():
    with pytest.raises(UsageError, match=r"--memory-limit 2.00MB is less than a worker needs to start \(.*MB\)"):
        run(("echo", 1), limits=Limits(memory_bytes=2 * MB))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Task("engine_tasks:act", "engine_tasks:prepare_raises"), "no worker process can start: the weights are gone"),
        (Task("engine_tasks:act", "engine_tasks:prepare_exits"), "died on the way .exit code 7"),
        (Task("engine_tasks:act", "engine_tasks:nothing"), "no attribute 'nothing'"),
        (Task("no_such_module:act"), "No module named 'no_such_module'"),
    ],
)
def test_a_process_that_cannot_start_ends_the_run(task, message):
    with pytest.raises(ModelcmpError, match=message):
        run(*[("echo", n) for n in range(50)], task=task, workers=2)


def test_processes_that_die_soon_never_loop():
    task = Task("engine_tasks:act", "engine_tasks:prepare_and_die_soon")
    try:
        said = " ".join(failure.message for failure in run(*[("sleep", 0.5)] * 3, task=task, workers=1).values())
    except ModelcmpError as error:
        said = str(error)
    assert "exit code 9" in said


@pytest.mark.parametrize("options", [{"workers": 0}, {"batch_size": 0}, {"address": "auto"}])
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError):
        local(**options)


def test_an_unknown_engine():
    with pytest.raises(UsageError, match="did you mean 'local'"):
        ENGINES["locl"]


# --- leaving nothing behind --------------------------------------------------------------------------------------


def test_cancel_stops_what_is_under_way(tmp_path):
    noted = tmp_path / "pid"
    with local(workers=2) as engine:
        engine.submit(jobs(("echo", 0), ("note", str(noted), 60), *[("sleep", 60)] * 20))
        results = engine.results()
        assert next(results).value == 0
        assert wait_until(lambda: pid_in(noted))
        engine.cancel()
        assert not alive(pid_in(noted))
        assert psutil.Process().children() == []
        assert list(results) == []
        engine.submit([Job("again", ("echo", 1))])
        assert [o.value for o in engine.results()] == [1]


def read_badly():
    with local(workers=2) as engine:
        engine.submit(jobs(("echo", 0), *[("sleep", 60)] * 5))
        for outcome in engine.results():
            raise KeyError(outcome.job.name)


def test_an_error_of_the_reader_stops_the_jobs():
    with pytest.raises(KeyError):
        read_badly()
    assert psutil.Process().children() == []


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from modelcmp.engines import ENGINES, Job, Options, Task
print("a script without a main guard")
with ENGINES["local"](Task("engine_tasks:act"), Options(workers=2)) as engine:
    engine.submit(Job("job", payload) for payload in {payloads!r})
    for outcome in engine.results():
        print(outcome.value if outcome.error is None else outcome.error.kind, flush=True)
"""


def start(*payloads, script=None):
    """A driver of its own, from a file or from the command line."""
    code = textwrap.dedent(DRIVER).format(tests=TESTS, payloads=payloads)
    if script is not None:
        script.write_text(code)
    arguments = ["-c", code] if script is None else [str(script)]
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("from_file", [True, False])
def test_only_the_driver_writes_to_its_output(from_file, tmp_path):
    process = start(("print", "gossip"), script=tmp_path / "driver.py" if from_file else None)
    out, err = process.communicate(timeout=30)
    assert out == "a script without a main guard\nNone\n"
    assert err == "gossip\ngossip"


@pytest.mark.parametrize("verb", ["note", "hog_the_lock"])
def test_a_killed_driver_takes_its_workers_with_it(verb, tmp_path):
    noted = tmp_path / "pid"
    process = start(("note", str(noted), 60) if verb == "note" else ("hog_the_lock", str(noted)))
    assert wait_until(lambda: pid_in(noted))
    process.kill()
    process.communicate()
    patience = 3 if verb == "note" or sys.platform == "linux" else 60
    assert wait_until(lambda: not alive(pid_in(noted)), patience)


def test_ctrl_c_is_the_drivers_to_handle(tmp_path):
    noted = tmp_path / "pid"
    process = start(("note", str(noted), 60))
    assert wait_until(lambda: pid_in(noted))
    os.kill(pid_in(noted), signal.SIGINT)
    time.sleep(0.2)
    assert alive(pid_in(noted))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert err.count("KeyboardInterrupt") == 1
    assert not alive(pid_in(noted))


def test_the_price_of_a_job():
    with local(workers=2) as engine:
        engine.submit(jobs(*[("echo", 0)] * 2))
        list(engine.results())
        began = time.monotonic()
        engine.submit(jobs(*[("echo", n) for n in range(2000)]))
        assert sum(1 for _ in engine.results()) == 2000
        assert time.monotonic() - began < 2.0  # 1 ms each; measured 0.02
