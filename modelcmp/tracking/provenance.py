"""What a run was made with: machine, packages, command and the state of the code."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..environment import installed_version

#: Packages whose versions are recorded.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "modelcmp", "accelerate")
_CPUINFO = Path("/proc/cpuinfo")
_GIT_TIMEOUT_S = 10.0


def provenance(code_folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Python, platform, CPU, packages, command line, and git's state of ``code_folder`` (the working folder).

    Names neither the machine nor its user; a part that cannot be found out is None. Takes no torch: what is known of
    a GPU is for the caller to add. ``Params.set(environment=provenance())`` makes it flat.
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        "packages": {name: installed_version(name) for name in PACKAGES},
        "command": list(sys.argv),
        "git": git_state(Path.cwd() if code_folder is None else Path(code_folder)),
    }


def _cpu_model() -> str | None:
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text("utf-8", "replace"), re.MULTILINE)
    except OSError:
        named = None
    return named[1].strip() if named else platform.processor() or None


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, branch (None when detached), whether tracked files are changed, and how much; None outside git."""
    state = _git(folder, "status", "--porcelain", "--untracked-files=no")
    if state is None:
        return {"commit": None, "branch": None, "dirty": None, "diff_stat": None}
    branch = _git(folder, "symbolic-ref", "--short", "--quiet", "HEAD")
    return {
        "commit": _git(folder, "rev-parse", "--verify", "--quiet", "HEAD"),
        "branch": branch,
        "dirty": bool(state),
        "diff_stat": _git(folder, "diff", "HEAD", "--shortstat") or None,
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None without git, outside a repository, or when it takes too long."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # looks, and leaves the index alone
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, timeout=_GIT_TIMEOUT_S, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip()
