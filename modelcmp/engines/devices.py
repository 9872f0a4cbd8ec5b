"""The GPUs of this machine, and how they are shared out between worker processes; without torch."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Sequence

from ..errors import UsageError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ANSWER_WITHIN_S = 30.0
#: So that three workers at 1/3 written as 0.334 do not pass for three, and 0.3333333 does.
_ROUNDING = 1e-6


def check_share(gpus: float | None) -> None:
    """Refuse what is no number of GPUs for one job: a part of one, or whole ones; raises UsageError.

    >>> check_share(0.25), check_share(2)
    (None, None)
    >>> check_share(1.5)
    Traceback (most recent call last):
    ...
    modelcmp.errors.UsageError: gpus is 1.5: a job has a part of one GPU, such as 0.25, or whole ones
    """
    if gpus is None:
        return
    if not math.isfinite(gpus) or gpus <= 0:
        raise UsageError(f"gpus is {gpus:g}: it must be above 0; leave it out for jobs that need none")
    if gpus > 1 and gpus != int(gpus):
        raise UsageError(f"gpus is {gpus:g}: a job has a part of one GPU, such as 0.25, or whole ones")


def jobs_at_once(there: float, each: float) -> int:
    """How many jobs that ask for ``each`` fit into what is ``there``.

    >>> jobs_at_once(1, 0.25), jobs_at_once(1, 0.3333333), jobs_at_once(1, 0.4), jobs_at_once(3, 2)
    (4, 3, 2, 1)
    """
    return int(there / each + _ROUNDING)


def shares(devices: Sequence[str], gpus: float) -> list[str]:
    """What each of the workers that fit sees in ``CUDA_VISIBLE_DEVICES``; every device before any twice.

    Raises UsageError where not even one fits.

    >>> shares(["0", "1"], 0.5), shares(["0", "1", "2", "3", "4"], 2)
    (['0', '1', '0', '1'], ['0,1', '2,3'])
    """
    if gpus <= 1:
        found = list(devices) * jobs_at_once(1, gpus)
    else:
        size = int(gpus)
        found = [",".join(devices[i : i + size]) for i in range(0, len(devices) - size + 1, size)]
    if not found:
        has = f"has {len(devices)}" if devices else "shows none"
        raise UsageError(f"each job asks for {_amount(gpus)}, and this machine {has}: {_way_out(bool(devices))}")
    return found


def _amount(gpus: float) -> str:
    return f"{gpus:g} {'GPU' if gpus <= 1 else 'GPUs'}"


def _way_out(some: bool) -> str:
    if some:
        return "ask for fewer, or leave gpus out"
    if VISIBLE in os.environ:
        return f"{VISIBLE} is {os.environ[VISIBLE]!r}, which hides all; change it, or leave gpus out"
    return "`nvidia-smi -L` lists what the driver sees; leave gpus out to train on the CPU"


def devices() -> tuple[str, ...]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: what it lists, else all there are."""
    listed = os.environ.get(VISIBLE)
    return all_devices() if listed is None else visible(listed)


def visible(listed: str) -> tuple[str, ...]:
    """What a value of ``CUDA_VISIBLE_DEVICES`` shows: as CUDA reads it, up to the first that cannot be.

    >>> visible("2, 0"), visible(""), visible("-1"), visible("GPU-8e3f,MIG-1b")
    (('2', '0'), (), (), ('GPU-8e3f', 'MIG-1b'))
    """
    found: list[str] = []
    for name in (part.strip() for part in listed.split(",")):
        if not re.fullmatch(r"\d+|(?:GPU|MIG)-\S+", name) or name in found:
            break
        found.append(name)
    return tuple(found)


def all_devices() -> tuple[str, ...]:
    """The GPUs that NVIDIA's driver lists, by their UUIDs; none where it is not installed or does not answer."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, errors="replace", timeout=_ANSWER_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return listed_by_driver(done.stdout)


def listed_by_driver(text: str) -> tuple[str, ...]:
    """The UUIDs of what ``nvidia-smi -L`` prints; of a GPU that is divided (MIG) those of its parts.

    Not the numbers, which CUDA counts in another order.

    >>> listed_by_driver("GPU 0: NVIDIA H200 (UUID: GPU-8e3f)\\nGPU 1: NVIDIA H200 (UUID: GPU-77aa)\\n")
    ('GPU-8e3f', 'GPU-77aa')
    >>> listed_by_driver("GPU 0: H200 (UUID: GPU-8e3f)\\n  MIG 1g.18gb  Device  0: (UUID: MIG-1b)\\n")
    ('MIG-1b',)
    """
    found: list[str] = []
    whole = None
    for line in text.splitlines():
        match = re.search(r"\(UUID: ((GPU|MIG)-[^)]+)\)", line)
        if match is None:
            continue
        if match[2] == "GPU":
            whole = match[1]
        elif found and found[-1] == whole:
            found.pop()
        found.append(match[1])
    return tuple(found)
