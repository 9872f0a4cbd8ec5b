"""The pairs of dumps of two runs, each measured once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from ..dumps.dump import Dump
from ..dumps.finding import DumpFile, find_dumps
from ..dumps.reading import open_dump
from ..dumps.tensor import TensorRef
from ..errors import DumpError, ModelcmpError
from .aligning import align
from .comparing import Comparer, Job
from .grouping import groups, select
from .pairing import Headed, Pairing, pair_up
from .records import Alignment, DumpPair, Kind, Side, Skipped, TensorPair
from .recovering import moment
from .request import Request, Watcher
from .tensors import Plan, Planned

T = TypeVar("T")
R = TypeVar("R")

#: A file that cannot be read and is younger than this may still be written.
_FRESH_S = 10.0
#: A pair of tensors, and how it is to be measured, or what is known of it.
Work = tuple[TensorPair, Job | Mapping[str, Any] | None]


class Series:
    """Two runs that may still grow, in the order of training."""

    def __init__(self, a: Path, b: Path, request: Request) -> None:
        self.a, self.b, self.request = a, b, request
        self.pairs: list[DumpPair] = []
        self.pairing = Pairing((), (), (), "")
        self.alignment = Alignment(())
        self.skipped: dict[Path, Skipped] = {}
        self._plan: Plan | None = None
        self._first: tuple[Dump, Dump] | None = None  # the first with weights: how far all has moved since
        self._last: tuple[Dump, Dump] | None = None
        self._done: set[tuple[Path, Path]] = set()
        self._heads: dict[Path, Headed] = {}
        self._shared: dict[tuple[TensorPair, ...], tuple[TensorPair, ...]] = {}

    def update(self, watcher: Watcher) -> None:
        """Measure what has not been measured yet; raises ModelcmpError."""
        self.skipped.clear()
        files = find_dumps(self.a), find_dumps(self.b)
        self.pairing = pair_up(*files, self.request.align, self._head)
        left = [(x, y) for x, y in self.pairing.pairs if (x.path, y.path) not in self._done]
        watcher.planned(len(left))
        with Comparer(self.request.threads) as comparer:
            for (file_a, file_b), (a, b) in ahead(left, lambda pair: (self._open(pair[0]), self._open(pair[1]))):
                if a is not None and b is not None:
                    self._add(file_a, file_b, a, b, comparer)
                watcher.advanced()
        if self.skipped and not self.pairs:
            raise ModelcmpError(f"nothing could be compared: {next(iter(self.skipped.values())).reason}")

    def _add(self, file_a: DumpFile, file_b: DumpFile, a: Dump, b: Dump, comparer: Comparer) -> None:
        try:
            pair = self._compared(a, b, comparer)
        except DumpError as error:
            self._skip(next((f.path for f in (file_b, file_a) if str(f.path) in str(error)), file_a.path), error)
            return
        self._done.add((file_a.path, file_b.path))
        self._last = a, b
        self.pairs.append(pair)
        comparer.release({d.path for d in self._first or ()})

    def _compared(self, a: Dump, b: Dump, comparer: Comparer) -> DumpPair:
        plan = self._plan = self._plan or self._made(a, b)
        first = self._first or ((a, b) if a.weights and b.weights else None)
        planned = plan.of(a, b)
        found: list[Work] = [(p.pair, _job(p, a, b, first)) for p in planned] + self._gradients(planned, a, b)
        found += plan.statistics(a, b, {(pair.kind, pair.name) for pair, _ in found})
        tensors = self._kept(tuple(pair for pair, _ in found))
        step = a.step if a.step is not None else len(self.pairs)
        sides = [self._lean(s, i) for i, s in enumerate((side(a), side(b, plan.to_a)))]
        sums = comparer.measure([work for _, work in found])
        self._first = first  # now that its checksums are known to be right
        return DumpPair(step, sides[0], sides[1], tensors, sums)

    def _lean(self, new: Side, which: int) -> Side:
        """A side that shares its settings with the last one where they are the same: they seldom change."""
        last = self.pairs[-1] if self.pairs else None
        known = (last.a, last.b)[which].settings if last is not None else None
        return replace(new, settings=known) if known == new.settings else new

    def _made(self, a: Dump, b: Dump) -> Plan:
        """Which tensor is which, from the first dumps of both."""
        shapes_a, shapes_b = shapes(a), shapes(b)
        self.alignment = align(shapes_a, shapes_b, self.request.given)
        known = groups(shapes_a, self.request.head)
        return Plan(self.alignment, known, set(select(known, self.request.filters)))

    def _gradients(self, planned: Sequence[Planned], a: Dump, b: Dump) -> list[Work]:
        """Gradients that the dumps do not hold, out of the optimizers' moments."""
        found: list[Work] = []
        last_a, last_b = self._last or (None, None)
        for p in planned:
            if p.pair.kind != "weight" or p.change_a or p.change_b or p.key_a in a.grads or p.key_b in b.grads:
                continue
            moment_a, moment_b = moment(a, last_a, p.key_a), moment(b, last_b, p.key_b)
            if moment_a is not None and moment_b is not None:
                found.append((replace(p.pair, kind="grad", recovered=True), Job(moment_a, moment_b)))
        return found

    def _kept(self, found: tuple[TensorPair, ...]) -> tuple[TensorPair, ...]:
        """The same object for the same tensors: thousands of dumps share it."""
        return self._shared.setdefault(found, found)

    def _open(self, file: DumpFile) -> Dump | None:
        try:
            return open_dump(file)
        except DumpError as error:
            self._skip(file.path, error)
            return None

    def _skip(self, path: Path, error: ModelcmpError) -> None:
        """Name a file that cannot be compared; raises the error where the request is strict."""
        if self.request.strict:
            raise error
        fresh = path.is_file() and time.time() - path.stat().st_mtime < _FRESH_S
        self.skipped[path] = Skipped(str(path), f"{error}{'; it may still be being written' if fresh else ''}")

    def _head(self, file: DumpFile) -> Headed:
        if file.path not in self._heads:
            dump = self._open(file)
            if dump is None:
                return Headed(file, file.step)
            inputs = (dump.fingerprint or {}).get("inputs")
            self._heads[file.path] = Headed(file, dump.step if dump.step is not None else file.step, dump.loss, inputs)
        return self._heads[file.path]


def _job(p: Planned, a: Dump, b: Dump, first: tuple[Dump, Dump] | None) -> Job | None:
    """How a pair of tensors is measured, and from where it has moved since the ``first`` dumps."""
    if p.pair.problem:
        return None
    ref_a, ref_b = tensors(a, p.pair.kind)[p.key_a], tensors(b, p.pair.kind)[p.key_b]
    if first is None or p.pair.kind not in ("weight", "buffer"):
        return Job(ref_a, ref_b, p.change_a, p.change_b)
    first_a, first_b = first[0].weights.get(p.key_a), first[1].weights.get(p.key_b)
    if first_a is None or first_b is None or first_a.shape != ref_a.shape or first_b.shape != ref_b.shape:
        return Job(ref_a, ref_b, p.change_a, p.change_b)
    return Job(ref_a, ref_b, p.change_a, p.change_b, first_a, first_b)


def ahead(items: Sequence[T], do: Callable[[T], R]) -> Iterator[tuple[T, R]]:
    """Each item with what is done to it; the next one's is done meanwhile."""
    with ThreadPoolExecutor(1, "ahead") as pool:
        coming = [pool.submit(do, item) for item in items[:1]]
        for number, item in enumerate(items):
            coming += [pool.submit(do, later) for later in items[number + 1 : number + 2]]
            yield item, coming.pop(0).result()


def shapes(dump: Dump) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's tensors, in its order."""
    if dump.weights or dump.grads:
        return {name: ref.shape for name, ref in (dump.weights or dump.grads).items()}
    return {name: (told["elements"],) for name, told in dump.stats.get("weights", {}).items()}


def tensors(dump: Dump, kind: Kind) -> Mapping[str, TensorRef]:
    """A dump's tensors of a kind, by name."""
    if kind == "grad":
        return dump.grads
    return dump.optimizer_state if kind == "optimizer" else dump.weights


def side(dump: Dump, names: Mapping[str, str] | None = None) -> Side:
    """What a dump says besides its tensors; settings by the names of A, where ``names`` translates them."""
    to_a = names or {}
    return Side(
        str(dump.path), dump.epoch, dump.batch, dump.step, dump.loss, dump.acc, dump.fingerprint,
        {to_a.get(name, name): settings for name, settings in dump.settings.items()},
        {_translated(name, to_a): value for name, value in dump.scalars.items()},
        dump.optimizer or "", tuple(dump.notes),
    )  # fmt: skip


def _translated(name: str, to_a: Mapping[str, str]) -> str:
    owner, slash, key = name.partition("/")
    return f"{to_a.get(owner, owner)}{slash}{key}"
