"""What is recorded of the machine and of the state of the code."""

import importlib.metadata
import os
import platform
import shutil
import subprocess

import pytest

from modelcmp import Session
from modelcmp.tracking.provenance import provenance


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "a.py").write_text("one\ntwo\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_state_of_a_repository(repository):
    clean = provenance(repository)["git"]
    assert clean == {
        "commit": git(repository, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False, "diff_stat": None,
    }  # fmt: skip
    (repository / "new.txt").write_text("untracked files are no change")
    assert provenance(repository)["git"] == clean
    (repository / "a.py").write_text("one\nzwei\ndrei\n")
    changed = provenance(repository)["git"]
    assert changed == clean | {"dirty": True, "diff_stat": "1 file changed, 2 insertions(+), 1 deletion(-)"}
    git(repository, "checkout", "-q", "--detach")
    assert provenance(repository)["git"] == changed | {"branch": None}


def test_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    nothing = {"commit": None, "branch": None, "dirty": None, "diff_stat": None}
    assert provenance(tmp_path)["git"] == nothing
    assert provenance(tmp_path / "none")["git"] == nothing
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance(tmp_path)["git"] == nothing


def test_machine_and_packages(tmp_path):
    found = provenance(tmp_path)
    assert found["python"] == platform.python_version()
    assert found["cpu"]["count"] == os.cpu_count()
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")
    assert set(found) == {"python", "platform", "cpu", "packages", "command", "git"}  # no name of machine or user
    with Session("s", local_path=tmp_path) as s:
        s.params.set(environment=found)
        assert s.params.get()["environment.packages.torch"] == found["packages"]["torch"]
        assert s.params.get()["environment.command"] == found["command"]
