"""A sampler that draws the same for trial k, whether or not the search was stopped before. Imports Optuna."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler


def derived(seed: int, number: int, name: str = "") -> int:
    """The seed of one trial, or of one of its parameters: below 2**32."""
    return int(np.random.SeedSequence([seed, number, zlib.crc32(name.encode())]).generate_state(1)[0])


class Numbered(BaseSampler):  # type: ignore[misc]
    """Makes the sampler of each trial anew, from a seed and the trial's number.

    A search that was killed and goes on therefore draws what it would have drawn. Parameters that are drawn one by
    one have a seed each, so that it does not matter which of them a killed trial had already. Several studies may
    share it: their trials of one number have one seed.
    """

    def __init__(self, make: Callable[[int], Any], seed: int) -> None:
        self._make, self._seed = make, seed
        self._key, self._sampler = (-1, -1), make(derived(seed, 0))

    def _of(self, study: Any, trial: Any) -> Any:
        """The sampler of a trial; it is kept from what is drawn together to the drawing of it."""
        key = (study._study_id, trial.number)
        if key != self._key:
            self._key, self._sampler = key, self._make(derived(self._seed, trial.number))
        return self._sampler

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        """The parameters that are drawn together."""
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        """Draw them."""
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """Draw one of the others."""
        sampler = self._make(derived(self._seed, trial.number, param_name))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Any, trial: Any) -> None:
        """What the sampler does when a trial begins, or is begun again: its numbers start over."""
        self._key = (-1, -1)
        self._of(study, trial).before_trial(study, trial)

    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
        """What the sampler does when a trial is told."""
        self._of(study, trial).after_trial(study, trial, state, values)


def drawing(seed: int) -> Numbered:
    """A sampler that draws each parameter by itself."""
    return Numbered(lambda of: RandomSampler(seed=of), seed)
