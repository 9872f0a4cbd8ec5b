"""Several profiles side by side, as :func:`modelcmp.compare` returns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import BadInput
from .metrics import METRICS, Metric, find
from .pareto import pareto_front, parse_axes
from .ranking import ranked
from .records import LayerRecord, ModelFailure, ModelProfile, OpRecord
from .tabular import frame, notebook_table, profile_row
from .where import Condition, parse

if TYPE_CHECKING:
    import pandas

    from .joining import Joined

#: What a condition can name besides metrics and joined columns.
IDENTITY = ("name", "source", "batch_size")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Profiles in order, and the models that could not be profiled.

    ``joined`` are the columns that :meth:`join` added. Each method returns a new comparison:
    ``compare(["timm:vit_*"]).where("macs < 5e9").sorted("ai").top(10)``.
    """

    profiles: tuple[ModelProfile, ...]
    failures: tuple[ModelFailure, ...] = ()
    joined: tuple[Metric, ...] = ()

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

    def find(self, name: str) -> Metric:
        """The metric or joined column of a name; raises UnknownName."""
        return find(name, self.joined)

    def sorted(self, by: str | Metric, reverse: bool = False) -> Comparison:
        """The same in the natural order of a metric, best first; raises UnknownName."""
        entry = self.find(by) if isinstance(by, str) else by
        return replace(self, profiles=ranked(self.profiles, entry, reverse))

    def where(self, condition: str | Condition) -> Comparison:
        """Only the models that a condition holds for: ``"macs < 5e9 and params < 30e6"``.

        Raises BadInput or UnknownName.
        """
        test = self.condition(condition) if isinstance(condition, str) else condition
        return replace(self, profiles=tuple(p for p in self.profiles if test.holds(_figures(p))))

    def condition(self, text: str) -> Condition:
        """A condition read, its names checked; raises BadInput or UnknownName."""
        return parse(text, lambda name: name if name in IDENTITY else self.find(name).key)

    def top(self, count: int) -> Comparison:
        """The first ones."""
        return replace(self, profiles=self.profiles[:count])

    def join(self, table: str | Path | Joined, remark: Callable[[str], None] = lambda _text: None) -> Comparison:
        """Add a CSV file's columns by model name; ``remark`` is told which models it does not know.

        Raises BadInput.
        """
        from . import joining

        read = table if isinstance(table, joining.Joined) else joining.read_joined(Path(table))
        clash = [c.key for c in read.columns for j in self.joined if c.key == j.key and c.unit != j.unit]
        if clash:
            raise BadInput(f"{read.path}: {clash[0]} is text in one joined table and a number in another: rename one")
        added = tuple(c for c in read.columns if c.key not in METRICS and c.key not in {j.key for j in self.joined})
        return replace(self, profiles=joining.join(self.profiles, read, remark), joined=(*self.joined, *added))

    def pareto(self, axes: str | tuple[Metric, ...]) -> Comparison:
        """The same with ``values["pareto"]`` telling who is on the front of ``"top1:macs"``.

        Raises BadInput or UnknownName.
        """
        chosen = parse_axes(axes, self.find) if isinstance(axes, str) else axes
        front = pareto_front(self.profiles, chosen)
        marked = (replace(p, values={**p.values, "pareto": i in front}) for i, p in enumerate(self.profiles))
        return replace(self, profiles=tuple(marked))

    @property
    def front(self) -> tuple[ModelProfile, ...]:
        """The models on the Pareto front, in order; none before :meth:`pareto`."""
        return tuple(p for p in self.profiles if p.values.get("pareto"))

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


def _figures(profile: ModelProfile) -> dict[str, object]:
    return {"name": profile.name, "source": profile.source, "batch_size": profile.batch_size, **profile.values}
