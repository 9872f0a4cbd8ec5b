"""Many models: answered from the cache, profiled in this process, or on an engine."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias

from ..engines import ENGINES, Job, Options, Task
from ..engines.jobs import processors
from ..environment import PACKAGES, stamp
from ..errors import ModelcmpError, UsageError
from ..records import ModelFailure, ModelProfile
from ..sources import SOURCES, Request, identify
from ..sources.identity import cache_key
from ..store.cache import Cache, Key
from ..store.entry import Entry, entry_of, profile_of
from .memory import be_thrifty

Progress = Callable[[str, int], None]
Result = ModelProfile | ModelFailure

#: Fewer models than this for each process are not worth its imports.
_WORTH_A_PROCESS = 24
_MOST_BY_ITSELF = 8  # processes that are started unasked
_USAGE_ERRORS = ("UsageError", "UnknownName", "BadInput")
_Outcome: TypeAlias = tuple[int, Entry | ModelFailure]


@dataclass(frozen=True, slots=True)
class Work:
    """One model to profile, and how."""

    spec: str
    request: Request
    mode: str = "eval"
    kernels: bool = False  # what predictions need is wanted too


@dataclass(frozen=True, slots=True)
class Means:
    """Where models are profiled: the engine, its options, and the cache before it.

    Without options for it the local engine is used only when there is much to do.
    """

    cache: Cache | None = None
    engine: str = "local"
    options: Options = field(default_factory=Options)


def profile_many(work: Sequence[Work], convention: str, means: Means, progress: Progress) -> list[Result]:
    """The profile of each piece of work, or why there is none, in order.

    ``progress`` is told the name that was begun or finished, and how many are done. Raises UsageError
    when nothing could be profiled because of the request itself; UnknownName before any work.
    """
    notes = [identify(w.spec)[2] for w in work]
    results: dict[int, Result] = {}
    keys = _keys(work) if means.cache is not None else {}
    for i, entry in _known(keys, means.cache, any(w.kernels for w in work)):
        profile = _read(entry, work[i], convention, notes[i])
        if profile is not None:
            results[i] = profile
    missing = {i: w for i, w in enumerate(work) if i not in results}
    progress("", len(results))
    for i, made in _made(missing, means, lambda name: progress(name, len(results))):
        if isinstance(made, ModelFailure):
            results[i] = made
        else:
            if means.cache is not None and i in keys and _holds(keys[i], work[i]):
                means.cache.put(keys[i], made)
            results[i] = profile_of(made, work[i].spec, convention, notes[i])
        progress(work[i].spec, len(results))
    _refuse_if_all_were_wrong(results)
    return [results[i] for i in range(len(work))]


def _keys(work: Sequence[Work]) -> dict[int, Key]:
    keys = ((i, cache_key(w.spec, w.request, w.mode)) for i, w in enumerate(work))
    return {i: key for i, key in keys if key is not None}


def _holds(key: Key, work: Work) -> bool:
    """Whether the user's own files are still those that the key was made of."""
    return key.source in SOURCES or cache_key(work.spec, work.request, work.mode) == key


def _known(keys: dict[int, Key], cache: Cache | None, with_kernels: bool) -> Iterator[tuple[int, Entry]]:
    found = cache.get(list(keys.values()), with_kernels) if cache is not None and keys else {}
    return ((i, found[key]) for i, key in keys.items() if key in found)


def _read(entry: Entry, work: Work, convention: str, notes: tuple[str, ...]) -> ModelProfile | None:
    """The profile of a cached entry; None where the entry is damaged, so that it is made anew."""
    try:
        return profile_of(entry, work.spec, convention, notes)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _made(missing: dict[int, Work], means: Means, begun: Callable[[str], None]) -> Iterator[_Outcome]:
    """Entries and failures as they are made."""
    if not missing:
        return iter(())
    workers = _workers(len(missing), means)
    return _on_engine(missing, means, workers) if workers else _in_process(missing, begun)


def _workers(count: int, means: Means) -> int:
    """How many processes to use; 0 is this one."""
    options = means.options
    guarded = options.limits.timeout_s is not None or options.limits.memory_bytes is not None
    if means.engine != "local" or guarded or (options.workers or 1) > 1:
        return options.workers or _fitting(count)
    return 0 if options.workers == 1 else _fitting(count) if count >= 2 * _WORTH_A_PROCESS else 0


def _fitting(count: int) -> int:
    return max(1, min(processors(), count // _WORTH_A_PROCESS, _MOST_BY_ITSELF))


def _in_process(missing: dict[int, Work], begun: Callable[[str], None]) -> Iterator[_Outcome]:
    for i, work in missing.items():
        begun(work.spec)
        try:
            yield i, _entry(work)
        except ModelcmpError as error:
            yield i, ModelFailure(work.spec, type(error).__name__, str(error))


def _on_engine(missing: dict[int, Work], means: Means, workers: int) -> Iterator[_Outcome]:
    here = stamp()
    sources = {i: source.name if (source := identify(w.spec)[0]) else "" for i, w in missing.items()}
    counts = Counter(sources.values())
    task = Task(f"{__name__}:run", f"{__name__}:prepare", (tuple(filter(None, counts)),))
    # The many models of a large collection, coming last, fill the gaps that a few slow ones leave.
    ordered = sorted(missing, key=lambda i: counts[sources[i]])
    wanted = workers if means.engine == "local" else means.options.workers
    options = Options(wanted, means.options.limits, means.options.batch_size, means.options.address,
                      means.options.runtime_env)  # fmt: skip
    with ENGINES[means.engine](task, options) as engine:
        engine.submit(Job(missing[i].spec, (i, missing[i])) for i in ordered)
        for outcome in engine.results():
            i = outcome.job.payload[0]
            if outcome.error is not None:
                yield i, ModelFailure(outcome.job.name, outcome.error.kind, outcome.error.message)
            elif outcome.value[0] != here:
                yield i, _elsewhere(outcome.job.name)
            else:
                yield i, outcome.value[1]


def _elsewhere(name: str) -> ModelFailure:
    return ModelFailure(
        name, "OtherVersions",
        f"{name}: the machine that profiled it has other versions of modelcmp, torch, torchvision or timm: "
        "install the same ones there",
    )  # fmt: skip


def prepare(packages: Iterable[str]) -> None:
    """Import what profiling needs, once a process.

    Imports and models are many objects that live: looking for cycles among them every 700 is wasted.
    """
    gc.set_threshold(100_000, 50, 100)
    be_thrifty()
    import_module("modelcmp.profiling.profile")
    for name in PACKAGES:
        if name in packages:
            import_module(name)


def run(payload: tuple[int, Work]) -> tuple[str, Entry]:
    """Profile one piece of work in a worker process: the versions that made it, and the entry."""
    return stamp(), _entry(payload[1])


def _entry(work: Work) -> Entry:
    from dataclasses import replace

    from ..sources import resolve
    from .profile import profile_subject

    subject = replace(resolve(work.spec, work.request), name=work.spec)
    return entry_of(profile_subject(subject, work.request, work.mode), work.kernels)


def _refuse_if_all_were_wrong(results: dict[int, Result]) -> None:
    """Raise the first usage error when nothing else came out."""
    failures = [r for r in results.values() if isinstance(r, ModelFailure)]
    wrong = [f for f in failures if f.kind in _USAGE_ERRORS]
    if wrong and len(failures) == len(results):
        raise UsageError(wrong[0].message)


def sorted_out(results: Iterable[Any]) -> tuple[tuple[ModelProfile, ...], tuple[ModelFailure, ...]]:
    """Profiles and failures apart, each in order."""
    everything = list(results)
    return (
        tuple(r for r in everything if isinstance(r, ModelProfile)),
        tuple(r for r in everything if isinstance(r, ModelFailure)),
    )
