"""Where many independent jobs run: in processes of this machine, or on a Ray cluster.

An engine is one file here: a class that keeps the ``Engine`` protocol, and its entry in ``ENGINES``.
"""

from __future__ import annotations

from ..registry import Registry
from .jobs import Engine, EngineFactory, Failure, Job, Limits, Options, Outcome, Task

__all__ = ["ENGINES", "Engine", "EngineFactory", "Failure", "Job", "Limits", "Options", "Outcome", "Task"]

#: Named engines; each is called with a task and its options.
ENGINES: Registry[EngineFactory] = Registry("engine")


def _local(task: Task, options: Options) -> Engine:
    from .local import LocalEngine

    return LocalEngine(task, options)


def _ray(task: Task, options: Options) -> Engine:
    from .ray import RayEngine

    return RayEngine(task, options)


# An answer from the cache needs no engine: neither is loaded before it is used.
ENGINES.add("local", _local)
ENGINES.add("ray", _ray)
