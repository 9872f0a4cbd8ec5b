"""GPUs that are shared by request, without hardware: what counts is what CUDA_VISIBLE_DEVICES says in each job."""

import os
import pickle
from collections import Counter
from pathlib import Path

import pytest

from modelcmp.engines import ENGINES, Job, Limits, Options, Task
from modelcmp.engines.devices import all_devices
from modelcmp.engines.jobs import processors
from modelcmp.errors import UsageError

TESTS = str(Path(__file__).parent)
TASK = Task("engine_tasks:act")


@pytest.fixture(autouse=True)
def _tasks_are_importable(monkeypatch):
    monkeypatch.syspath_prepend(TESTS)


def run(engine, *payloads, **options):
    """The jobs' values, in order."""
    with ENGINES[engine](TASK, Options(**options)) as running:
        running.submit(Job(str(n), payload) for n, payload in enumerate(payloads))
        outcomes = {int(o.job.name): o for o in running.results()}
    assert [outcomes[n].error for n in range(len(payloads))] == [None] * len(payloads)
    return [outcomes[n].value for n in range(len(payloads))]


def most_at_once(spans):
    """Of (begin, end): the most that overlap at one time."""
    return max(sum(b <= moment < e for b, e in spans) for moment, _ in spans)


def by_device(seen):
    """(begin, end) of the jobs of each device."""
    found = {}
    for device, began, ended in seen:
        found.setdefault(device, []).append((began, ended))
    return found


# --- what can be asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 0}, "gpus is 0: it must be above 0"),
        ({"gpus": -1}, "gpus is -1"),
        ({"gpus": 1.5}, r"gpus is 1.5: a job has a part of one GPU, such as 0.25, or whole ones"),
        ({"gpus": float("nan")}, "gpus is nan"),
        ({"cpus": 0}, "cpus is 0: it must be above 0"),
        ({"cpus": float("inf")}, "cpus is inf"),
    ],
)
def test_what_is_no_share_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Options(**options)


# --- this machine ------------------------------------------------------------------------------------------------


def driver(folder, monkeypatch, *lines):
    """A machine whose nvidia-smi prints these lines, or fails where there are none."""
    script = folder / "nvidia-smi"
    said = "\n".join(f"echo '{line}'" for line in lines) or "echo 'no devices were found'; exit 6"
    script.write_text(f"#!/bin/sh\n{said}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_two_workers_a_device_at_half_a_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    seen = run("local", *[("device", 0.3)] * 8, gpus=0.5, batch_size=1)
    spans = by_device(seen)
    assert set(spans) == {"4", "7"}
    assert all(most_at_once(one) <= 2 for one in spans.values())
    assert most_at_once([(b, e) for _, b, e in seen]) == 4  # and none stands idle


def test_whole_gpus_are_never_shared(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    spans = by_device(run("local", *[("device", 0.2)] * 4, gpus=2, workers=9, batch_size=1))
    assert set(spans) == {"0,1", "2,3"}  # the fifth is of no use to anybody
    assert all(most_at_once(one) == 1 for one in spans.values())


def test_the_device_of_a_crashed_worker_goes_to_the_next(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with ENGINES["local"](TASK, Options(gpus=1, batch_size=1)) as engine:
        assert engine.slots == 2
        engine.submit(Job(str(n), ("exit", 1) if n % 2 else ("device", 0.1)) for n in range(8))
        outcomes = list(engine.results())
    assert Counter(o.error.kind for o in outcomes if o.error) == {"Crashed": 4}
    assert all(most_at_once(s) == 1 for s in by_device([o.value for o in outcomes if not o.error]).values())


def test_the_driver_is_asked_where_nothing_is_set(tmp_path, monkeypatch):
    driver(tmp_path, monkeypatch, "GPU 0: NVIDIA H200 (UUID: GPU-8e3f)", "GPU 1: NVIDIA H200 (UUID: GPU-77aa)")
    assert {device for device, *_ in run("local", *[("device", 0.2)] * 2, gpus=1, batch_size=1)} == {
        "GPU-8e3f",
        "GPU-77aa",
    }


def test_of_a_divided_gpu_the_parts_count(tmp_path, monkeypatch):
    part = "  MIG 3g.71gb     Device  {}: (UUID: MIG-{})"
    driver(tmp_path, monkeypatch, "GPU 0: H200 (UUID: GPU-a)", part.format(0, "x"), part.format(1, "y"),
           "GPU 1: H200 (UUID: GPU-b)")  # fmt: skip
    assert all_devices() == ("MIG-x", "MIG-y", "GPU-b")


@pytest.mark.parametrize(
    ("listed", "gpus", "message"),
    [
        (None, 0.5, "asks for 0.5 GPU, and this machine shows none: `nvidia-smi -L`"),
        ("", 1, "CUDA_VISIBLE_DEVICES is '', which hides all"),
        ("-1", 1, "CUDA_VISIBLE_DEVICES is '-1', which hides all"),
        ("0,1", 4, "asks for 4 GPUs, and this machine has 2: ask for fewer"),
    ],
)
def test_without_enough_devices_there_is_one_clear_error(tmp_path, monkeypatch, listed, gpus, message):
    driver(tmp_path, monkeypatch)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    with pytest.raises(UsageError, match=message):
        run("local", ("device", 0), gpus=gpus)


def test_cpus_of_a_job_are_its_threads_and_bound_the_workers(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert run("local", ("about",), cpus=2 if processors() > 1 else 1)[0]["threads"] == str(min(2, processors()))
    with ENGINES["local"](TASK, Options(cpus=processors())) as engine:
        assert engine.slots == 1
    with ENGINES["local"](TASK, Options(cpus=0.5)) as engine:
        assert engine.slots == 2 * processors()
    with pytest.raises(UsageError, match="asks for 1000 CPUs"):
        run("local", ("device", 0), cpus=1000)


# --- Ray ---------------------------------------------------------------------------------------------------------

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """A Ray with two GPUs that exist in its books alone, and CPUs for four jobs."""
    from modelcmp.engines.ray_cluster import import_ray

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        ray = import_ray()
        ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False,
                 logging_level="ERROR")  # fmt: skip
        yield
        ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_ray_shares_two_devices_among_four_jobs():
    seen = run("ray", *[("device", 3.0)] * 4, gpus=0.5, cpus=0.5, batch_size=1)
    spans = by_device(seen)
    assert set(spans) == {"0", "1"}
    assert all(most_at_once(one) <= 2 for one in spans.values())


@pytest.mark.usefixtures("cluster")
def test_ray_runs_the_job_of_a_lost_worker_again(tmp_path):
    assert run("ray", ("kill_parent_once", str(tmp_path / "killed")), gpus=1) == ["again"]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 3}, r"asks for 1 CPU and 3 GPUs, .* \(the most: 4 CPUs and 2 GPUs\): ask for fewer"),
        ({"cpus": 64}, r"asks for 64 CPUs, .* \(the most: 4 CPUs\)"),
    ],
)
def test_what_no_machine_has_is_refused_at_once(options, message):
    with pytest.raises(UsageError, match=message):
        run("ray", ("device", 0), **options)


@pytest.mark.usefixtures("cluster")
def test_slots_are_what_fits_into_the_cluster():
    for options, slots in (({}, 4), ({"gpus": 1}, 2), ({"gpus": 0.25}, 4), ({"gpus": 0.25, "cpus": 0.5}, 8),
                           ({"workers": 3}, 3)):  # fmt: skip
        with ENGINES["ray"](TASK, Options(**options)) as engine:
            assert engine.slots == slots


def test_the_process_of_a_ray_worker_is_made_anew_for_other_devices(monkeypatch):
    """Where Ray keeps its worker for the next job, that job's GPUs may be others."""
    from modelcmp.engines import ray_worker

    def said(payload):
        ((data, error),) = ray_worker.run_batch(setup, [("job", pickle.dumps(payload))])
        assert error is None
        return pickle.loads(data)

    setup = ray_worker.Setup(TASK, Limits(), None, (TESTS,))
    seen, pids = [], []
    try:
        for devices in ("0", "0", "1"):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
            seen.append(said(("device", 0))[0])
            pids.append(said(("about",))["pid"])
    finally:
        ray_worker._drop()
    assert seen == ["0", "0", "1"]
    assert pids[0] == pids[1] != pids[2]
