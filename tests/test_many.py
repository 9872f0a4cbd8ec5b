"""Many models: in processes, through the cache, on Ray; what breaks one leaves the others alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import modelcmp
from modelcmp.engines import Limits, Options
from modelcmp.errors import UsageError
from modelcmp.profiling.many import Means, Work, profile_many
from modelcmp.records import ModelFailure
from modelcmp.sources import Request
from modelcmp.store.cache import Cache

NETS = """
import ctypes, os, time
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)
    def forward(self, x):
        return self.layer(x)

def segfault() -> nn.Module: ctypes.string_at(0)
def leaves() -> nn.Module: os._exit(3)
def hangs() -> nn.Module: time.sleep(600)
def prints() -> nn.Module:
    print("hello from the model")
    return Good()
def eats() -> nn.Module:
    kept = []
    while True:
        kept.append(bytearray(50_000_000))
"""


@pytest.fixture
def nets(tmp_path):
    """A file of models that misbehave."""
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


def silent(_name, _done):
    pass


def equal(profiles, fresh):
    return [(p.values, p.notes, p.input_shape) for p in profiles] == [(f.values, f.notes, f.input_shape) for f in fresh]


SPECS = ["resnet18", "timm:resnet18", "squeezenet1_1", "timm:vit_tiny_patch16_224"]


@pytest.mark.parametrize("options", [Options(workers=1), Options(workers=2), Options(limits=Limits(timeout_s=300))])
def test_processes_give_what_this_one_gives(options):
    means = Means(options=options)
    found = profile_many([Work(s, Request()) for s in SPECS], "fvcore", means, silent)
    assert equal(found, [modelcmp.profile(s, convention="fvcore") for s in SPECS])


def test_models_that_break_their_process_are_reported_and_the_rest_go_on(nets, cli):
    code, out, err = cli(
        f"{nets}:Good", f"{nets}:segfault", f"{nets}:leaves", f"{nets}:hangs", f"{nets}:eats", f"{nets}:prints",
        f"{nets}:Good", "-i", "8", "--jobs", 2, "--timeout", "8s", "--memory-limit", "2GB", "--format", "json",
    )  # fmt: skip
    assert code == 1
    document = json.loads(out)
    assert [m["name"].rpartition(":")[2] for m in document["models"]] == ["Good", "prints"]
    errors = {e["name"].rpartition(":")[2]: (e["error"], e["message"]) for e in document["errors"]}
    assert {name: kind for name, (kind, _) in errors.items()} == {
        "segfault": "Crashed", "leaves": "Crashed", "hangs": "TimedOut", "eats": "OutOfMemory",
    }  # fmt: skip
    assert "SIGSEGV" in errors["segfault"][1]
    assert "exit code 3" in errors["leaves"][1]
    assert "after 8 s" in errors["hangs"][1]
    assert "2.00GB" in errors["eats"][1]
    assert all(message in err for _, message in errors.values())


def test_a_killed_run_keeps_what_was_done_and_a_rerun_continues(tmp_path):
    specs = ["timm:resnet*d", "timm:vit_tiny*", "timm:convnext*"]
    command = [sys.executable, "-m", "modelcmp_cli", *specs, "--jobs", "2", "--cache-dir", str(tmp_path), "-c", "macs"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    cache = Cache(tmp_path, lambda text: pytest.fail(text))
    deadline = time.monotonic() + 120
    while cache.info().profiles < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    kept = cache.info().profiles
    assert kept >= 5
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    names = [m["name"] for m in json.loads(done.stdout)["models"]]
    assert kept < len(names) == cache.info().profiles


def test_failures_are_not_kept(nets, tmp_path):
    means = Means(Cache(tmp_path, lambda text: pytest.fail(text)), options=Options(workers=1))
    work = [Work(f"{nets}:Good", Request()), Work("resnet18", Request())]
    first, second = profile_many(work, "total", means, silent)
    assert isinstance(first, ModelFailure)
    assert second.params == 11_689_512
    assert means.cache.info().profiles == 1
    with pytest.raises(UsageError, match="input is unknown"):
        profile_many(work[:1], "total", means, silent)


def test_the_api_goes_through_cache_and_processes(own_cache):
    first = modelcmp.compare(["timm:vit_tiny*_224", "resnet18"], cache=True, sort_by="macs")
    again = modelcmp.compare(["timm:vit_tiny*_224", "resnet18"], cache=True, sort_by="macs", jobs=2)
    assert first.profiles == again.profiles
    assert [p.name for p in first][-1] == "resnet18"
    assert first[0].ops == ()
    assert list(own_cache.iterdir())
    from torch import nn

    with pytest.raises(UsageError, match="specs"):
        modelcmp.compare([nn.ReLU()], cache=True)


@pytest.mark.slow
def test_ray_gives_the_same(tmp_path):
    pytest.importorskip("ray")
    means = Means(Cache(tmp_path, lambda text: pytest.fail(text)), "ray", Options(workers=1))
    found = profile_many([Work(s, Request()) for s in SPECS[:3]], "total", means, silent)
    assert equal(found, [modelcmp.profile(s) for s in SPECS[:3]])
    assert means.cache.info().profiles == 3


def test_other_versions_elsewhere_are_refused(monkeypatch):
    from modelcmp.profiling import many

    monkeypatch.setattr(many, "stamp", lambda: "another")
    (found,) = profile_many([Work("resnet18", Request())], "total", Means(options=Options(workers=2)), silent)
    assert isinstance(found, ModelFailure)
    assert "other versions" in found.message


def test_how_many_processes_are_worth_it(monkeypatch):
    from modelcmp.profiling import many

    monkeypatch.setattr(many, "processors", lambda: 16)
    assert [many._workers(n, Means()) for n in (1, 47, 48, 100, 1500)] == [0, 0, 2, 4, 8]
    assert [many._workers(n, Means(options=Options(workers=1))) for n in (1, 1500)] == [0, 0]
    assert many._workers(2, Means(options=Options(workers=3))) == 3
    assert many._workers(1, Means(options=Options(limits=Limits(timeout_s=1)))) == 1
