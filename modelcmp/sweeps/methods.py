"""How configurations are chosen, and how hopeless trials are found: Optuna's samplers and pruners by name.

Nothing here imports Optuna before a sampler is asked for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import BadInput, first_line
from ..registry import Registry
from ..training.arguments import check_arguments
from .storage import quiet


class Chosen(Protocol):
    """A method or pruner as a config names it."""

    @property
    def name(self) -> str:
        """In METHODS or PRUNERS."""

    @property
    def keywords(self) -> Mapping[str, Any]:
        """What else was given."""


@dataclass(frozen=True, slots=True)
class Method:
    """A way to choose the next configuration."""

    name: str
    description: str
    sampler: str = ""  # Optuna's class; none for our own list of points
    several: bool = False  # whether it looks at several objectives
    anew: bool = True  # whether each trial gets a sampler, and seed, of its own
    preset: Mapping[str, Any] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()  # keywords of Optuna's that have lost their effect
    lies: bool = False  # whether it can keep trials that run side by side apart

    def make(self, keywords: Mapping[str, Any], seed: int, objectives: int, parallel: bool) -> Any:
        """Its sampler for one search, None for a grid; a ``seed`` among the keywords wins over ``seed``.

        Raises BadInput for keywords that it does not take, or more objectives than it can look at.
        """
        check_objectives(self, objectives)
        keywords = {**self.preset, **({"constant_liar": parallel} if self.lies else {}), **keywords}
        if not self.sampler:
            _check(f"method {self.name}", _takes_seed, keywords, frozenset())
            return None
        kind = _class("samplers", self.sampler)
        _check(f"method {self.name}", kind, keywords, self.refused)
        seed = _seed(keywords.pop("seed", seed), self.name)
        return _sampler(self, kind, keywords, seed)


def _sampler(method: Method, kind: Any, keywords: Mapping[str, Any], seed: int) -> Any:
    from .study_sampler import Numbered, derived, drawing

    def made(of: int) -> Any:
        with quiet():
            return kind(**keywords, seed=of)

    try:
        if method.anew:
            return Numbered(made, seed)
        keywords = {**keywords, "independent_sampler": drawing(seed)}
        return made(derived(seed, 0))
    except (ValueError, TypeError) as error:
        raise BadInput(f"method {method.name}: {first_line(error)}") from error


def _takes_seed(*, seed: int = 0) -> None:
    """The signature of a grid: a seed means nothing to it, and does no harm."""


def _seed(seed: Any, name: str) -> int:
    if not isinstance(seed, int) or seed < 0:
        raise BadInput(f"method {name}: seed is {seed!r}: give a whole number of 0 or more")
    return seed


def check_objectives(method: Method, objectives: int) -> None:
    """Refuse several objectives for a method that looks at one; raises BadInput."""
    if objectives > 1 and not method.several:
        able = " or ".join(m.name for m in METHODS.values() if m.several)
        raise BadInput(f"method {method.name} looks at one objective, not {objectives}: take {able}")


@dataclass(frozen=True, slots=True)
class Pruning:
    """A way to find trials that are not worth finishing."""

    name: str
    description: str
    pruner: str  # Optuna's class
    preset: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[Any, ...] = ()  # leading arguments that are ours

    def make(self, keywords: Mapping[str, Any]) -> Any:
        """Its pruner; raises BadInput for keywords that it does not take."""
        kind = _class("pruners", self.pruner)
        keywords = {**self.preset, **keywords}
        what = f"pruning {self.name}"
        _check(what, kind, keywords, frozenset(), skip=len(self.given))
        try:
            with quiet():
                return kind(*self.given, **keywords)
        except (ValueError, TypeError) as error:
            raise BadInput(f"{what}: {first_line(error)}") from error


def _class(module: str, name: str) -> Callable[..., Any]:
    from importlib import import_module

    found: Callable[..., Any] = getattr(import_module(f"optuna.{module}"), name)
    return found


_PLAIN = {"int", "float", "bool", "str", "None"}


def _check(
    what: str, kind: Callable[..., Any], keywords: Mapping[str, Any], refused: frozenset[str], skip: int = 0
) -> None:
    """Refuse keywords that a constructor does not take, of a wrong type, or that no file can hold; raises BadInput."""

    def standing_in() -> None: ...

    found = list(inspect.signature(kind).parameters.values())[skip:]
    usable = [p.replace(annotation=_words(p.annotation), kind=p.KEYWORD_ONLY) for p in found if p.name not in refused]
    plain = [p for p in usable if {part.strip() for part in p.annotation.split("|")} <= _PLAIN]
    standing_in.__signature__ = inspect.Signature(plain)  # type: ignore[attr-defined]
    check_arguments(what, standing_in, keywords)


def _words(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def sampler_of(chosen: Chosen, seed: int, objectives: int = 1, parallel: bool = False) -> Any:
    """The sampler of a config's ``method``, None for a grid; raises UnknownName or BadInput."""
    return METHODS[chosen.name].make(chosen.keywords, seed, objectives, parallel)


def pruner_of(chosen: Chosen | None) -> Any:
    """The pruner of a config's ``pruning``; without one a pruner that lets all pass. Raises UnknownName or BadInput."""
    return PRUNERS["none"].make({}) if chosen is None else PRUNERS[chosen.name].make(chosen.keywords)


METHODS: Registry[Method] = Registry("method")
PRUNERS: Registry[Pruning] = Registry("pruning")

_OLD_TPE = frozenset({
    "consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "warn_independent_sampling",
})  # fmt: skip
_WARNS = frozenset({"warn_independent_sampling", "warn_asynchronous_seeding"})

for _method in (
    Method("grid", "every combination, once", several=True),
    Method("random", "drawn independently", "RandomSampler", several=True),
    Method(
        "tpe", "near what was good so far (tree-structured Parzen estimator; Bergstra et al., 2011)", "TPESampler",
        several=True, refused=_OLD_TPE, lies=True,
    ),
    Method("gp", "by a Gaussian process: few, costly trials", "GPSampler", refused=_WARNS, several=True),
    Method(
        "qmc", "spread evenly (Sobol or Halton sequence)", "QMCSampler", several=True, anew=False, refused=_WARNS,
        preset={"scramble": True},
    ),
    Method("nsga2", "a genetic search for a Pareto front (Deb et al., 2002)", "NSGAIISampler", several=True),
):  # fmt: skip
    METHODS.add(_method.name, _method)

for _pruning in (
    Pruning("median", "worse than the median of earlier trials at the same epoch", "MedianPruner"),
    Pruning(
        "percentile", "outside the best share of earlier trials at the same epoch", "PercentilePruner",
        {"percentile": 25.0},
    ),
    Pruning("hyperband", "several rounds of successive halving (Li et al., 2018)", "HyperbandPruner"),
    Pruning(
        "successive_halving", "not among the best share at doubling epochs (ASHA; Li et al., 2020)",
        "SuccessiveHalvingPruner",
    ),
    Pruning("patient", "no better for some epochs", "PatientPruner", {"patience": 3}, given=(None,)),
    Pruning("none", "every trial is finished", "NopPruner"),
):  # fmt: skip
    PRUNERS.add(_pruning.name, _pruning)
