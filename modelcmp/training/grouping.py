"""Runs of one model that differ in nothing but the seed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, UnknownName
from ..registry import suggest
from ..where import parse
from .fairness import LABELS
from .finding import read_runs, search
from .results import RunResult
from .summary import BROKEN, RANK_KEYS

#: What a seed decides: it makes no configuration of its own.
SEEDED = ("seed", "order_digest")
#: Facts of the machine: they move figures by rounding alone, so that they split no group and are noted instead.
MACHINE = ("device", "threads", "torch")
#: Recorded when the test split is opened, and so of tested runs alone: noted where it differs.
_TESTED = "data_digest_test"
#: What follows from other settings: told only where these do not tell groups apart.
_DERIVED = ("model", "params", "train_examples", "val_examples", "data_digest_train", "data_digest_val")
#: Recorded beside the settings.
_OWN: Mapping[str, Callable[[RunResult], Any]] = {
    "model": lambda r: r.model,
    "params": lambda r: r.params,
    "selected_by": lambda r: r.selected_by,
}
_NONE = (None, "", "none")
_DIGEST_SHOWN = 12
_EXAMPLE = "test_accuracy > 0.9 and lr < 0.01"  # of a condition


@dataclass(frozen=True, slots=True)
class Run:
    """A result and the folder that it was read from."""

    result: RunResult
    folder: Path


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one model whose settings are the same save the seed."""

    name: str  # "cnn"; where one model has several configurations "cnn lr=0.001"
    runs: tuple[Run, ...]  # by seed; what diverged or failed too
    settings: Mapping[str, Any]  # what differs between the groups at hand, by key of RunResult.settings

    @property
    def results(self) -> tuple[RunResult, ...]:
        """The results alone."""
        return tuple(run.result for run in self.runs)

    @property
    def label(self) -> str:
        """What the model is called in its workspaces."""
        return self.runs[0].result.name


def load_groups(places: Sequence[Path], where: str | None = None) -> tuple[list[Group], list[str]]:
    """Groups of all runs in and below some folders that meet a condition, and what could not be read.

    Curves are left out of results. Raises BadInput for a folder without runs, a condition that cannot be read or that
    no run meets, UnknownName for a name in it that no run has.
    """
    runs, problems = load_all(places)
    return group_runs(select(runs, where)), problems


def load_all(places: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """All runs in and below some folders, and what could not be read or has no result yet; raises ModelcmpError."""
    found = search(places)
    read, problems = read_runs(found, curves=False)
    problems += [f"{folder} holds no result yet: it is being trained, or was interrupted" for folder in found.begun]
    return [Run(result, folder) for folder, result in read], problems


# -- conditions -----------------------------------------------------------------------------------


def select(runs: Sequence[Run], where: str | None) -> list[Run]:
    """The runs that meet a condition over settings and figures, such as ``lr < 0.01 and test_accuracy > 0.9``.

    Names are those of RANK_KEYS, of the settings, and name, label, model, status, message and workspace. A figure of a
    run that diverged or failed is unknown. Raises BadInput where none does, UnknownName for an unknown name.
    """
    if where is None:
        return list(runs)
    settings = dict.fromkeys(key for run in runs for key in run.result.settings)
    names = {**_ROW, **dict.fromkeys(RANK_KEYS), **settings}
    aliases = {entry.alias: entry.key for entry in RANK_KEYS.values() if entry.alias}

    def resolve(name: str) -> str:
        key = name if name in names else aliases.get(name, "")
        if not key:
            raise UnknownName("figure or setting", name, suggest(name, [*names, *aliases]))
        return key

    condition = parse(where, resolve, _EXAMPLE)
    kept = [run for run in runs if condition.holds({key: _figure(run, key) for key in condition.names})]
    if not kept:
        raise BadInput(f"none of {len(runs)} runs meets --where {where!r}: loosen it")
    return kept


def picks_by_result(where: str | None) -> bool:
    """Whether a condition looks at what runs reached: means over seeds that were chosen so are too good."""
    return any(word in RANK_KEYS and RANK_KEYS[word].split for word in re.findall(r"\w+", where or ""))


_ROW: Mapping[str, Callable[[Run], Any]] = {
    "name": lambda run: run.result.name,
    "label": lambda run: run.result.name,
    "model": lambda run: run.result.model,
    "status": lambda run: run.result.status,
    "message": lambda run: run.result.message,
    "selected_by": lambda run: run.result.selected_by,
    "workspace": lambda run: run.folder.parent.name,
}


def _figure(run: Run, key: str) -> Any:
    if key in _ROW:
        return _ROW[key](run)
    if key in RANK_KEYS:
        entry = RANK_KEYS[key]
        return None if entry.split and run.result.status in BROKEN else entry.value(run.result)
    return run.result.settings.get(key)


# -- groups ---------------------------------------------------------------------------------------


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Runs of one model, label and configuration together, in order of their first run; in a group by seed.

    Every setting makes a configuration save the seed, what follows from it (SEEDED), and facts of the machine
    (MACHINE). A setting that is not recorded is the same as one that is none.
    """
    buckets: dict[str, list[Run]] = {}
    for run in runs:
        buckets.setdefault(_identity(run.result), []).append(run)
    groups = [sorted(bucket, key=_by_seed) for bucket in buckets.values()]
    firsts = [group[0].result for group in groups]
    keys = _differing(firsts)
    return [
        Group(name, tuple(group), {key: setting(group[0].result, key) for key in keys})
        for name, group in zip(_names(firsts, keys), groups, strict=True)
    ]


def setting(result: RunResult, key: str) -> Any:
    """What a run was told under a key of its settings, or what it is; None where nothing is recorded."""
    return _OWN[key](result) if key in _OWN else result.settings.get(key)


def setting_text(key: str, value: Any) -> str:
    """A setting as a table shows it.

    >>> setting_text("lr", 0.00001), setting_text("max_steps", None), setting_text("data_digest_val", "93ab" * 4)
    ('1e-05', 'none', '93ab93ab93ab')
    """
    if value in _NONE:
        return "none"
    if "digest" in key:
        return str(value)[:_DIGEST_SHOWN]
    return f"{value:g}" if isinstance(value, float) else str(value)


def seed_of(result: RunResult) -> int | None:
    """The seed of a run; None where it is not recorded."""
    found = result.settings.get("seed")
    return found if isinstance(found, int) else None


def counted_runs(group: Group, has: Callable[[RunResult], bool]) -> tuple[Run, ...]:
    """The runs of a group with each seed once: its first run that ``has`` what is asked for, else its first run.

    The same seed again is no further evidence. Runs that did not record a seed count each.
    """
    chosen: dict[int | str, Run] = {}
    for i, run in enumerate(group.runs):
        seed = seed_of(run.result)
        key = f"run {i}" if seed is None else seed
        if key not in chosen or (has(run.result) and not has(chosen[key].result)):
            chosen[key] = run
    return tuple(chosen.values())


def _by_seed(run: Run) -> tuple[bool, int, str]:
    seed = seed_of(run.result)
    return seed is None, seed or 0, str(run.folder)


def _told(result: RunResult) -> dict[str, Any]:
    """All that makes a configuration."""
    left_out = {*SEEDED, *MACHINE, _TESTED}
    return {
        **{key: value for key, value in result.settings.items() if key not in left_out},
        **{key: get(result) for key, get in _OWN.items()},
    }


def _identity(result: RunResult) -> str:
    """The same for two runs of one group."""
    told = {key: value for key, value in _told(result).items() if value not in _NONE}
    return json.dumps([result.name, told], sort_keys=True, default=str)


def _differing(firsts: Sequence[RunResult]) -> list[str]:
    """Settings that are not the same in all groups, without those that follow from others."""
    recorded = dict.fromkeys(key for r in firsts for key in _told(r))
    keys = [*(k for k in ("kwargs", *LABELS) if k in recorded), *(k for k in recorded if k not in ("kwargs", *LABELS))]
    keys = [key for key in dict.fromkeys(keys) if len({_plain(r, key) for r in firsts}) > 1]
    kept = [key for key in keys if key not in _DERIVED]
    for key in (k for k in _DERIVED if k in keys):
        told: dict[tuple[str, ...], set[str]] = {}
        for r in firsts:
            told.setdefault((r.name, *(_plain(r, k) for k in kept)), set()).add(_plain(r, key))
        if any(len(values) > 1 for values in told.values()):
            kept.append(key)
    return kept


def _plain(result: RunResult, key: str) -> str:
    value = setting(result, key)
    return "none" if value in _NONE else json.dumps(value, sort_keys=True, default=str)


def _names(firsts: Sequence[RunResult], keys: Sequence[str]) -> list[str]:
    """The label of each group, with what tells it from others of that label."""
    by_label: dict[str, list[RunResult]] = {}
    for r in firsts:
        by_label.setdefault(r.name, []).append(r)
    telling = {
        label: [key for key in keys if len({_plain(r, key) for r in same}) > 1] for label, same in by_label.items()
    }
    names = [" ".join([r.name, *(_said(r, key, setting_text) for key in telling[r.name])]) for r in firsts]
    if len(set(names)) < len(names):  # they differ past the digits shown
        names = [" ".join([r.name, *(_said(r, key, lambda _, v: str(v)) for key in telling[r.name])]) for r in firsts]
    return names


def _said(result: RunResult, key: str, write: Callable[[str, Any], str]) -> str:
    """``lr=0.001``; keywords of a model speak for themselves."""
    text = write(key, setting(result, key))
    return text if key == "kwargs" and "=" in text else f"{key}={text}"


# -- what to know of them -------------------------------------------------------------------------


def group_notes(groups: Sequence[Group]) -> list[str]:
    """What may mislead within groups: seeds that are there twice, other machines, other test data."""
    notes = []
    if twice := {g.name: found for g in groups if (found := repeated_seeds(g))}:
        said = [
            f"{g.name} ({', '.join(_repeated(g, seed, n) for seed, n in twice[g.name].items())})"
            for g in groups
            if g.name in twice
        ]
        notes.append(
            f"Repeated seeds: {listed(said)}; the same again is no further evidence, "
            "the first run that has a figure counts."
        )
    for key in (*MACHINE, _TESTED):
        if mixed := [f"{g.name} ({', '.join(values)})" for g in groups if len(values := _values(g, key)) > 1]:
            notes.append(f"{LABELS.get(key, key).capitalize()} differs between the seeds of {listed(mixed)}.")
    return notes


def _repeated(group: Group, seed: int, runs: int) -> str:
    """``7: 2 runs, 1 diverged``."""
    lost = Counter(r.status for r in group.results if seed_of(r) == seed and r.status != "finished")
    return ", ".join([f"{seed}: {runs} runs", *(f"{n} {status}" for status, n in lost.items())])


def repeated_seeds(group: Group) -> dict[int, int]:
    """How many runs each seed has that more than one has."""
    counted = Counter(seed for r in group.results if (seed := seed_of(r)) is not None)
    return {seed: n for seed, n in counted.items() if n > 1}


def _values(group: Group, key: str) -> list[str]:
    """What is recorded under a key, each once."""
    found = (r.settings.get(key) for r in group.results)
    return list(dict.fromkeys(setting_text(key, value) for value in found if value not in _NONE))


def listed(words: Sequence[str], most: int = 4) -> str:
    """The first words with commas, and how many more there are."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
