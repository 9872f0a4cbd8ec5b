"""Several profiles side by side, as :func:`modelcmp.compare` returns them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .metrics import METRICS
from .ranking import ranked
from .records import LayerRecord, ModelFailure, ModelProfile, OpRecord
from .tabular import frame, notebook_table, profile_row

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Comparison:
    """Profiles in order, and the models that could not be profiled."""

    profiles: tuple[ModelProfile, ...]
    failures: tuple[ModelFailure, ...] = ()

    def __iter__(self) -> Iterator[ModelProfile]:
        return iter(self.profiles)

    def __len__(self) -> int:
        return len(self.profiles)

    def __getitem__(self, which: int | str) -> ModelProfile:
        """A profile by position or by name; raises IndexError or KeyError."""
        if not isinstance(which, str):
            return self.profiles[which]
        for profile in self.profiles:
            if profile.name == which:
                return profile
        raise KeyError(which)

    def sorted(self, by: str, reverse: bool = False) -> Comparison:
        """The same in the natural order of a metric, best first; raises UnknownName."""
        return replace(self, profiles=ranked(self.profiles, by, reverse))

    @property
    def layers(self) -> dict[str, tuple[LayerRecord, ...]]:
        """Each model's layers, by name."""
        return {p.name: p.layers for p in self.profiles}

    @property
    def ops(self) -> dict[str, tuple[OpRecord, ...]]:
        """Each model's operations, by name."""
        return {p.name: p.ops for p in self.profiles}

    def to_frame(self) -> pandas.DataFrame:
        """One row a model, indexed by name, every metric under its key."""
        return frame((profile_row(p) for p in self.profiles), ("name", *METRICS)).set_index("name", drop=True)

    def _repr_html_(self) -> str:
        return notebook_table(self.profiles, self.failures)
