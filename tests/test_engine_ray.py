"""The Ray engine: the same jobs as Ray tasks, on one local Ray for all tests."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from modelcmp.engines import ENGINES, Failure, Job, Limits, Options, Task, ray_cluster
from modelcmp.errors import ModelcmpError, UsageError

TESTS = str(Path(__file__).parent)
TASK = Task("engine_tasks:act", "engine_tasks:prepare", ("once",))


def test_without_ray_the_error_names_the_fix(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'modelcmp\[ray\]'"):
        ENGINES["ray"](TASK, Options())


pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """A Ray that this process has started itself, as a notebook might; its address."""
    from modelcmp.engines.ray_cluster import import_ray

    ray = import_ray()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(autouse=True)
def _tasks_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(TESTS)


def jobs(*payloads):
    return [Job(f"job{n}", p) for n, p in enumerate(payloads)]


def run(*payloads, task=TASK, **options):
    """Values and errors by the name of the job; each job has one outcome."""
    with ENGINES["ray"](task, Options(**options)) as engine:
        engine.submit(jobs(*payloads))
        outcomes = list(engine.results())
    assert len({o.job.name for o in outcomes}) == len(outcomes) == len(payloads)
    return {o.job.name: o.value if o.error is None else o.error for o in outcomes}


@pytest.mark.usefixtures("cluster")
def test_every_job_has_one_outcome():
    assert run(*[("echo", n * n) for n in range(300)]) == {f"job{n}": n * n for n in range(300)}


@pytest.mark.usefixtures("cluster")
def test_outcomes_stream_within_a_batch():
    with ENGINES["ray"](TASK, Options(workers=1, batch_size=2)) as engine:
        engine.submit(jobs(("echo", 1), ("sleep", 60)))
        began = time.monotonic()
        assert next(engine.results()).value == 1
        assert time.monotonic() - began < 20


@pytest.mark.usefixtures("cluster")
def test_jobs_can_follow_while_results_are_read():
    with ENGINES["ray"](TASK, Options()) as engine:
        engine.submit([Job("2", ("echo", 2))])
        seen = []
        for outcome in engine.results():
            seen.append(outcome.value)
            if outcome.value:
                engine.submit([Job("less", ("echo", outcome.value - 1))])
        assert seen == [2, 1, 0]


@pytest.mark.usefixtures("cluster")
def test_a_process_is_prepared_once_and_kept_from_batch_to_batch():
    seen = run(*[("about",)] * 12, batch_size=2).values()
    assert all(about["prepared"] == [("once",)] for about in seen)
    assert {about["cwd"] for about in seen} == {os.getcwd()}
    assert len({about["pid"] for about in seen}) <= 4


@pytest.mark.usefixtures("cluster")
def test_a_bad_job_costs_only_itself():
    seen = run(
        ("echo", 0),
        ("signal", "SIGSEGV"),
        ("raise", "ModelcmpError", "give --seed"),
        ("sleep", 60),
        ("hold", 200, 60),
        ("unpicklable",),
        ("unreadable",),
        lambda: None,
        ("echo", 8),
        limits=Limits(timeout_s=2.0, memory_bytes=150 * 10**6),
    )
    assert (seen["job0"], seen["job8"]) == (0, 8)
    assert seen["job1"] == Failure("Crashed", "job1 crashed its process (SIGSEGV)")
    assert seen["job2"] == Failure("ModelcmpError", "give --seed")
    assert seen["job3"] == Failure("TimedOut", "job3 was stopped after 2 s (--timeout)")
    assert seen["job4"] == Failure("OutOfMemory", "job4 needed more than 150MB (--memory-limit)")
    assert "pickle" in seen["job5"].message
    assert seen["job6"] == Failure("ValueError", "ValueError: not here")
    assert "pickle" in seen["job7"].message


@pytest.mark.usefixtures("cluster")
def test_the_batch_of_a_killed_ray_worker_runs_again(tmp_path):
    counted = [("count", str(tmp_path / name)) for name in ("a", "b", "c", "d")]
    killer = ("kill_parent_once", str(tmp_path / "killed"))
    seen = run(*counted[:2], killer, *counted[2:], workers=1, batch_size=5)
    assert seen == {"job0": None, "job1": None, "job2": "again", "job3": None, "job4": None}
    assert [(tmp_path / name).read_text().count("x") for name in ("c", "d")] == [1, 1]


@pytest.mark.usefixtures("cluster")
@pytest.mark.slow
def test_what_ray_gives_up_is_one_job(tmp_path):
    seen = run(("echo", 0), ("kill_parent",), ("echo", 2), ("echo", 3), workers=1, batch_size=4)
    failure = seen.pop("job1")
    assert failure.kind == "Crashed"
    assert failure.message.startswith("job1 was given up by Ray after 3 retries: ")
    assert seen == {"job0": 0, "job2": 2, "job3": 3}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("task", "limits", "message"),
    [
        (Task("engine_tasks:act", "engine_tasks:prepare_raises"), Limits(), "no worker .* the weights are gone"),
        (TASK, Limits(memory_bytes=10**6), "--memory-limit 1.00MB is less than a worker needs"),
    ],
)
def test_a_process_that_cannot_start_ends_the_run(task, limits, message):
    with pytest.raises(ModelcmpError, match=message):
        run(*[("echo", n) for n in range(50)], task=task, limits=limits)


@pytest.mark.usefixtures("cluster")
def test_cancel_stops_what_is_under_way(tmp_path):
    noted = tmp_path / "pid"
    with ENGINES["ray"](TASK, Options()) as engine:
        engine.submit(jobs(("note", str(noted), 60), *[("sleep", 60)] * 5))
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.05)
        engine.cancel()
        assert list(engine.results()) == []
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(noted.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(noted.read_text()))


def test_a_connection_that_somebody_else_made_is_kept_and_respected(cluster):
    import ray

    assert run(("echo", 1), address=cluster) == {"job0": 1}
    assert ray.is_initialized()
    with pytest.raises(UsageError, match=r"call ray.shutdown\(\) before 10.0.0.1:6379"):
        run(("echo", 1), address="10.0.0.1:6379")
    with pytest.raises(UsageError, match="runtime_env"):
        run(("echo", 1), runtime_env={"env_vars": {"A": "1"}})


DRIVER = """
import sys
sys.path.insert(0, {tests!r})
from modelcmp.engines import ENGINES, Job, Options, Task
from modelcmp.errors import ModelcmpError
try:
    with ENGINES["ray"](Task("engine_tasks:act"), Options(**{options!r})) as engine:
        engine.submit(Job("job", payload) for payload in {payloads!r})
        for outcome in engine.results():
            print(outcome.value if outcome.error is None else outcome.error.kind, flush=True)
except ModelcmpError as error:
    print(error)
"""


def drive(*payloads, seconds=60, environment=(), **options):
    """Standard output and error of a driver of its own."""
    code = textwrap.dedent(DRIVER).format(tests=TESTS, payloads=payloads, options=options)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **dict(environment)},
        check=True,
    )
    return done.stdout, done.stderr


def test_a_ray_of_our_own_is_silent_and_goes_with_us(tmp_path):
    noted = tmp_path / "pid"
    killer = ("kill_parent_once", str(tmp_path / "killed"))
    out, err = drive(("note", str(noted), 0), ("print", "gossip"), killer, workers=1)
    assert (out, err) == ("None\nNone\nagain\n", "")
    assert not psutil.pid_exists(int(noted.read_text()))


def test_a_running_cluster_is_used_and_left_alone(cluster, tmp_path):
    import ray

    token = {"RAY_AUTH_MODE": "token"}.items()  # which Ray wants by default of those who join a local one
    (tmp_path / "mine.py").write_text("def hello(name):\n    return 'hello ' + name\n")
    assert drive(("echo", 1), address=cluster, environment=token)[0] == "1\n"
    carried = {"working_dir": str(tmp_path)}
    assert drive(("call", "mine:hello", "you"), address=cluster, runtime_env=carried, environment=token)[0] == (
        "hello you\n"
    )
    assert ray.cluster_resources()["CPU"] == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "host", "no.such.host.invalid:6379"])
def test_an_address_where_no_cluster_answers(address):
    began = time.monotonic()
    out, _ = drive(("echo", 1), address=address)
    assert address in out
    assert out.count("\n") == 1
    assert time.monotonic() - began < 20


NONE_RUNNING = "no Ray cluster is running on this machine or at RAY_ADDRESS: start one with `ray start --head`, or "


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize("start", ["Could not find any running Ray instance. ", "version mismatch"])
def test_no_cluster_to_be_found_is_said_with_what_helps(monkeypatch, start, where):
    import ray

    def init(address, **_):
        raise ConnectionError(f"{start}Please specify the one to connect to by setting ... variable.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    if where == "there":
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ModelcmpError) as caught:
        ray_cluster.connect(Options(address="auto"))
    said = str(caught.value)
    if where == "there":
        assert said.startswith("no Ray cluster answers at 127.0.0.1:1 ")  # which to Ray goes before auto
    else:
        assert (said == NONE_RUNNING + "leave --address out") == start.startswith("Could not")
        assert ("same version of Ray" in said) == start.startswith("version")


def test_ctrl_c_ends_a_ray_of_our_own(tmp_path):
    noted = tmp_path / "pid"
    code = textwrap.dedent(DRIVER).format(tests=TESTS, payloads=[("note", str(noted), 60)], options={"workers": 1})
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 40
    while not (noted.exists() and noted.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    deadline = time.monotonic() + 20  # Ray ends its workers after its driver
    while psutil.pid_exists(int(noted.read_text())) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(noted.read_text()))
