"""What a measurement has to be read with: the machine, the versions, the command. No names, no folders."""

from __future__ import annotations

import os
import platform
import re
import shlex
from datetime import date
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from speed_tools import TOOLS

_ABSOLUTE = re.compile(r"(?<![\w./:])/(?:[\w.+@-]+/)*([\w.+@-]+)")


def describe(arguments: list[str], load: float, script: str = "benchmarks/profile_speed.py") -> str:
    """The environment and the command line as Markdown list items; ``load`` is the load average at the start."""
    return "\n".join(
        (
            f"- Date: {date.today().isoformat()}",
            f"- CPU: {cpu()}, {cores()} cores, load average {load:.1f} at the start; {platform.system()}",
            f"- Python {platform.python_version()}; {', '.join(versions())}",
            f"- Command: `{command_line(arguments, script)}`",
        )
    )


def cpu() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> list[str]:
    """Torch, torchvision, timm and every peer that is installed, by the name of its distribution."""
    owners = packages_distributions()
    packages = ("torch", "torchvision", "timm", *(tool.package for tool in TOOLS.values()))
    names = dict.fromkeys(owners.get(package, [package])[0] for package in packages)
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def command_line(arguments: list[str], script: str = "benchmarks/profile_speed.py") -> str:
    """The command as it can be typed again; folders outside of the checkout are left out.

    >>> command_line(["--models", "resnet18", "--command", "/opt/venv/bin/python /src/cli/compare_models.py"])
    "python benchmarks/profile_speed.py --models resnet18 --command 'python compare_models.py'"
    """
    return shlex.join(["python", script, *(without_folders(a) for a in arguments)])


def without_folders(text: str) -> str:
    """Text with absolute paths cut down to their last part.

    >>> without_folders("can't open '/home/me/net.py' (docs/net.md)")
    "can't open 'net.py' (docs/net.md)"
    """
    return _ABSOLUTE.sub(r"\1", text)
