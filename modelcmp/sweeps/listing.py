"""What a search has recorded, read back without Optuna where its tables are known, and never written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from ..errors import BadInput
from ..registry import suggest
from ..training.names import CONFIG
from .records import BudgetUnit, Objective, Sweep, Trial
from .storage import FILE, file_of, open_storage, quiet, shown, storage_url, told
from .study_tables import RawStudy, read_studies, read_trials, tables
from .study_trial import BUDGET, IDENTITY, decoder, from_frozen, trial_record


def list_sweep(place: Path | str, name: str | None = None, intermediate: bool = False) -> Sweep:
    """Read a sweep from its folder, or from a storage's file or URL.

    ``name`` is the sweep's, or a single study's, where the storage holds several; ``intermediate`` reads the figures
    of each epoch, too. Studies that others made with Optuna are read as far as they go. Raises BadInput, or
    ModelcmpError for a damaged one.
    """
    url, folder = find_storage(place)
    with told(url), tables(url) as query:
        if query is not None:
            studies = read_studies(query)
            chosen_name, chosen = _choose(studies, name, url)
            read_trials(query, chosen, intermediate)
            return _sweep(chosen_name, url, chosen, folder)
    return list_by_optuna(url, name, intermediate, folder)


def list_by_optuna(url: str, name: str | None = None, intermediate: bool = False, folder: Path | None = None) -> Sweep:
    """The same through Optuna's API: slower, for every storage that Optuna reads. Raises BadInput."""
    storage = open_storage(url, create=False)
    with quiet(), told(url):
        found = storage.get_all_studies()
        studies = [
            RawStudy(s.study_name, [d.name.lower() for d in s.directions], dict(s.user_attrs), key=s._study_id)
            for s in found
        ]
        chosen_name, chosen = _choose(studies, name, url)
        for study in chosen:
            trials = storage.get_all_trials(study.key, deepcopy=False)
            study.trials = [from_frozen(t, intermediate) for t in trials]
    return _sweep(chosen_name, url, chosen, folder)


def find_storage(place: Path | str) -> tuple[str, Path | None]:
    """The URL of the storage that a sweep's folder, a file or a URL means, and the sweep's folder; raises BadInput."""
    if isinstance(place, str) and "://" in place:
        path = file_of(place)
        return place, None if path is None else _around(path)
    path = Path(place)
    if path.is_dir():
        return _of_folder(path), path
    if not path.exists():
        raise BadInput(f"there is no sweep at {path}: name its folder, its storage's file, or a database URL")
    return _of_file(path), _around(path)


def _of_folder(folder: Path) -> str:
    """The storage that its config names, else the file that stands in it."""
    named = _named(folder / CONFIG)
    if named is None and not (folder / FILE).exists():
        raise BadInput(f"{folder} holds no sweep: there is neither {FILE} nor a {CONFIG} that names a storage")
    return storage_url(named, folder)


def _named(config: Path) -> str | None:
    """The storage that a config names."""
    from ..training.yaml_text import parse

    if not config.is_file():
        return None
    try:
        data = parse(config.read_text("utf-8"), str(config)).data
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{config} cannot be read: {error}") from error
    named = data.get("storage") if isinstance(data, Mapping) else None
    return named if isinstance(named, str) else None


def _of_file(path: Path) -> str:
    """A file is known by its name, else by its first bytes."""
    if path.suffix.lower() in (".db", ".sqlite", ".sqlite3"):  # not opened here: see storage.check_tables
        return f"sqlite:///{path.absolute()}"
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"SQLite format 3"):
        return f"sqlite:///{path.absolute()}"
    if start.startswith(b"{"):
        return f"journal:///{path.absolute()}"
    raise BadInput(f"{path} is no study: it is neither an SQLite file nor a journal of Optuna")


def _around(path: Path) -> Path | None:
    """The sweep's folder, where the file lies in one."""
    return path.parent if (path.parent / CONFIG).is_file() or (path.parent / "runs").is_dir() else None


def _choose(studies: Sequence[RawStudy], name: str | None, url: str) -> tuple[str, list[RawStudy]]:
    """The studies of one sweep: all that are called ``<name>/...``, or the one of that very name."""
    sweeps: dict[str, list[RawStudy]] = {}
    for study in studies:
        sweeps.setdefault(_sweep_name(study.name), []).append(study)
    if not sweeps:
        raise BadInput(f"{shown(url)} holds no study yet: `compare-models sweep` makes them")
    if name is None and len(sweeps) > 1:
        raise BadInput(f"{shown(url)} holds several sweeps: name one of {', '.join(sweeps)}")
    wanted = name if name is not None else next(iter(sweeps))
    if wanted in sweeps:
        return wanted, sweeps[wanted]
    for study in studies:
        if study.name == wanted:
            return _sweep_name(study.name), [study]
    raise BadInput(f"{shown(url)} holds no sweep {wanted!r}: {suggest(wanted, sweeps)}")


def _sweep_name(study: str) -> str:
    """A study without a model in its name is a sweep by itself."""
    return study.rpartition("/")[0] or study


def _sweep(name: str, url: str, studies: Sequence[RawStudy], folder: Path | None) -> Sweep:
    identity: Mapping[str, Any] = next(
        (s.attributes[IDENTITY] for s in studies if isinstance(s.attributes.get(IDENTITY), Mapping)), {}
    )
    models = tuple(s.name.rpartition("/")[2] for s in studies)
    unit, budget = _budget(studies)
    return Sweep(
        name=name, storage=url, method=_method(identity), objectives=_objectives(studies[0], identity), models=models,
        trials=tuple(t for m, s in zip(models, studies, strict=True) for t in _trials(m, s)),
        budget_unit=unit, budget=budget, folder=folder,
    )  # fmt: skip


def _trials(model: str, study: RawStudy) -> list[Trial]:
    identity = study.attributes.get(IDENTITY)
    decode = decoder(identity if isinstance(identity, Mapping) else {})
    return [trial_record(model, raw, decode) for raw in study.trials]


def _method(identity: Mapping[str, Any]) -> str:
    method = identity.get("method")
    method = method.get("name") if isinstance(method, Mapping) else method
    return method if isinstance(method, str) else ""


def _objectives(study: RawStudy, identity: Mapping[str, Any]) -> tuple[Objective, ...]:
    """Their keys where the search left them, else numbered values; their directions are the study's."""
    named = identity.get("objectives")
    named = [named] if isinstance(named, str | Mapping) else named if isinstance(named, list) else []
    keys = [n.get("key") if isinstance(n, Mapping) else n[0] if isinstance(n, list) and n else n for n in named]
    if len(keys) != len(study.directions) or not all(isinstance(k, str) for k in keys):
        count = len(study.directions)
        keys = ["value"] if count == 1 else [f"value {i}" for i in range(count)]
    return tuple(
        Objective(str(k), "high" if d == "maximize" else "low") for k, d in zip(keys, study.directions, strict=True)
    )


def _budget(studies: Sequence[RawStudy]) -> tuple[BudgetUnit, dict[str, float | None]]:
    """The unit and each architecture's share; a study that tells none has none."""
    unit: BudgetUnit = "trials"
    shares: dict[str, float | None] = {}
    for study in studies:
        told_budget = study.attributes.get(BUDGET)
        if isinstance(told_budget, Mapping) and told_budget.get("unit") in get_args(BudgetUnit):
            unit = told_budget["unit"]
            shares[study.name.rpartition("/")[2]] = told_budget.get("amount")
    return unit, shares
