"""Finding a Ray cluster, or starting one on this machine, without a word on the screen."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ModelcmpError, UsageError
from .devices import jobs_at_once
from .jobs import Options, processors

_REACH_WITHIN_S = 5.0

#: Read when Ray is imported or started; what the user has set stays.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # else a dead worker is announced on our stdout
    "RAY_memory_monitor_refresh_ms": "0",  # else a full laptop has jobs killed and retried forever
}


def import_ray() -> Any:
    """Ray itself; raises UsageError where it is not installed."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError("the engine 'ray' needs Ray: pip install 'modelcmp[ray]'") from error
    return ray


def connect(options: Options) -> bool:
    """Connect this process to a cluster; whether that is ours to undo. Raises ModelcmpError."""
    ray = import_ray()
    if ray.is_initialized():
        _check_same(ray, options)
        return False
    address = _address(options)
    _check_reachable(address)
    try:
        with _importable():
            ray.init(address=address, runtime_env=_plain(options), log_to_driver=False, logging_level="ERROR",
                     **(_own(options) if address == "local" else {}))  # fmt: skip
    except (Exception, SystemExit) as error:  # Ray exits when what listens there is no Ray
        if isinstance(error, ConnectionError) and "Could not find any running Ray" in str(error):
            raise ModelcmpError(
                "no Ray cluster is running on this machine or at RAY_ADDRESS: start one with `ray start --head`, "
                "or leave --address out"
            ) from error
        hint = "is it the same version of Ray, and does it want a token (RAY_AUTH_MODE=token)?"
        raise ModelcmpError(f"cannot use Ray at {address}: {one_line(error)}: {hint}") from error
    return True


def _address(options: Options) -> str:
    """Where the cluster is; ``auto`` is what RAY_ADDRESS names, as it is to Ray, else this machine's own."""
    if options.address and options.address != "auto":
        return options.address
    return os.environ.get("RAY_ADDRESS") or options.address or "local"


def room(options: Options) -> int:
    """How many jobs the cluster can run at once, at least one."""
    there = import_ray().cluster_resources()
    fits = [jobs_at_once(there.get(kind, 0), each) for kind, each in _asked(options).items()]
    return max(1, min(fits))


def check_room(options: Options) -> None:
    """Refuse what no machine of the cluster has, for which Ray would wait for ever; raises UsageError."""
    asked = _asked(options)
    machines = [node.get("Resources", {}) for node in import_ray().nodes() if node.get("Alive")]
    if any(all(has.get(kind, 0) >= each for kind, each in asked.items()) for has in machines):
        return
    most = {kind: max((has.get(kind, 0) for has in machines), default=0) for kind in asked}
    raise UsageError(
        f"each job asks for {_in_words(asked)}, and no machine of the Ray cluster has that (the most: "
        f"{_in_words(most)}): ask for fewer, or start a machine that has it first"
    )


def _in_words(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {kind}{'' if amount == 1 else 's'}" for kind, amount in resources.items())


def _asked(options: Options) -> dict[str, float]:
    """What a job takes, by Ray's names."""
    return {"CPU": options.cpus or 1} | ({"GPU": options.gpus} if options.gpus is not None else {})


def one_line(error: BaseException) -> str:
    """The first line of what an error says, or its type.

    >>> one_line(ValueError("this\\nand that")), one_line(KeyError())
    ('this', 'KeyError')
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _own(options: Options) -> dict[str, Any]:
    """What a Ray of our own needs to know."""
    cpus = processors() if options.workers is None else math.ceil(options.workers * (options.cpus or 1))
    return {"num_cpus": cpus, "include_dashboard": False}


def _plain(options: Options) -> dict[str, Any] | None:
    return dict(options.runtime_env) if options.runtime_env is not None else None


def _check_same(ray: Any, options: Options) -> None:
    """Refuse what a connection that somebody else has made cannot give."""
    current = ray.get_runtime_context().gcs_address
    if options.address not in (None, "auto", current):
        raise UsageError(f"this process uses Ray at {current} already: call ray.shutdown() before {options.address}")
    if options.runtime_env is not None:
        raise UsageError("this process is connected to Ray already: give the runtime_env to its ray.init()")


def _check_reachable(address: str) -> None:
    """Knock, since Ray itself takes minutes to notice that nobody is there."""
    if address in ("local", "auto") or ("://" in address and not address.startswith("ray://")):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{address!r} is no address of a Ray cluster: write host:6379, ray://host:10001 or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise ModelcmpError(
            f"no Ray cluster answers at {address} ({error}): start one with `ray start --head`, or check the address"
        ) from error


@contextmanager
def _importable() -> Iterator[None]:
    """Let a Ray that is started now import modelcmp, also from a checkout that is not installed."""
    before = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, before] if before else [root])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
