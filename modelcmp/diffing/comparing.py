"""Measuring two dumps: every pair of tensors in one pass over both files, in constant memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dumps.tensor import Record, TensorRef
from ..engines.jobs import processors
from .recovering import Moment
from .streams import CHUNK, Buffers, GradientStream, Stream, check_record, tensor_stream
from .sums import FIELDS, Sums
from .tally import Tally
from .tensors import Change


@dataclass(frozen=True, slots=True)
class Job:
    """One pair of tensors to measure; ``first_*``: where they were in the first dump."""

    a: TensorRef | Moment
    b: TensorRef | Moment
    change_a: Change | None = None
    change_b: Change | None = None
    first_a: TensorRef | None = None
    first_b: TensorRef | None = None

    @property
    def alike(self) -> bool:
        """Whether both are stored as one floating-point type, so that ULPs have a meaning."""
        if isinstance(self.a, Moment) or isinstance(self.b, Moment):
            return False
        return self.a.dtype == self.b.dtype and self.a.dtype.is_floating_point

    @property
    def nbytes(self) -> int:
        """Bytes to read in A."""
        return self.a.nbytes


class Comparer:
    """Measures pairs of dumps with a thread for each core; a context manager."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or processors()
        self._pool = ThreadPoolExecutor(self._threads, "diff")
        self._mine = threading.local()
        self._all: list[Buffers] = []

    def __enter__(self) -> Comparer:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.release(set())

    def measure(self, work: Sequence[Job | Mapping[str, Any] | None]) -> Sums:
        """A row for each: measured, as given, or unknown for None. Raises DumpError."""
        found = [_UNKNOWN if item is None or isinstance(item, Job) else item for item in work]
        jobs = {row: item for row, item in enumerate(work) if isinstance(item, Job)}
        list(self._pool.map(self._checked, shared_records(jobs.values())))
        for results in self._pool.map(self._measured, self._shares(jobs)):
            for row, sums in results:
                found[row] = sums
        return Sums.of(found)

    def release(self, keep: set[Path]) -> None:
        """Close the files that are no longer needed; no job may be running."""
        for buffers in self._all:
            buffers.close(keep)

    def _shares(self, jobs: Mapping[int, Job]) -> list[list[tuple[int, Job]]]:
        """Jobs in lots: the small ones together and first, then the large ones by size.

        Small tensors are work for Python, of which only one thread runs at a time; large ones are work for the kernel.
        """
        order = sorted(jobs.items(), key=lambda item: -item[1].nbytes)
        small = [item for item in order if item[1].nbytes < _SMALL_BYTES]
        large = order[: len(order) - len(small)]
        fair = sum(job.nbytes for _, job in large) / (8 * self._threads)
        lots, size = [small] if small else [], float("inf")
        for item in large:
            if size >= fair:
                lots.append([])
                size = 0
            lots[-1].append(item)
            size += item[1].nbytes
        return lots

    def _measured(self, jobs: Sequence[tuple[int, Job]]) -> list[tuple[int, Mapping[str, Any]]]:
        buffers = self._buffers()
        with np.errstate(all="ignore"):
            return [(row, measure(job, buffers)) for row, job in jobs]

    def _checked(self, place: tuple[Path, Record]) -> None:
        check_record(*place, self._buffers())

    def _buffers(self) -> Buffers:
        """This thread's own."""
        buffers: Buffers | None = getattr(self._mine, "buffers", None)
        if buffers is None:
            buffers = self._mine.buffers = Buffers()
            self._all.append(buffers)
        return buffers


#: Reading and measuring so much takes no longer than arranging for it.
_SMALL_BYTES = 1 << 17
_UNKNOWN = dict.fromkeys(FIELDS, float("nan"))


def shared_records(jobs: Iterable[Job]) -> set[tuple[Path, Record]]:
    """The stretches of files whose checksum covers more than one tensor, so that no tensor can be checked alone."""
    refs = (ref for job in jobs for ref in (job.a, job.b) if isinstance(ref, TensorRef))
    return {(r.path, r.record) for r in refs if r.dense and r.crc32 is None and r.record.crc32 is not None}


def measure(job: Job, buffers: Buffers) -> Mapping[str, Any]:
    """The sums of one pair of tensors; raises DamagedDump."""
    a, b = _stream(job.a, job.change_a, buffers, 0), _stream(job.b, job.change_b, buffers, 2)
    first = _first(job, buffers)
    tally = Tally(job.alike, first is not None)
    left = a.elements
    while left:
        count = min(CHUNK, left)
        x, y = a.read(count), b.read(count)
        if job.alike:
            tally.add(x.values, y.values, x.bits, y.bits)
        else:
            tally.add(x.values, y.values, None, None)
        if first is not None:
            tally.add_ways(x.values, y.values, first[0].read(count).values, first[1].read(count).values)
        left -= count
    return tally.row()


def _stream(source: TensorRef | Moment, change: Change | None, buffers: Buffers, slot: int) -> Stream:
    if not isinstance(source, Moment):
        return tensor_stream(source, buffers, slot, change, check=True)
    now = tensor_stream(source.now, buffers, slot, change, check=False)
    before = source.before and tensor_stream(source.before, buffers, slot + 1, change, check=False)
    return GradientStream(now, before or None, source.keep, source.take)


def _first(job: Job, buffers: Buffers) -> tuple[Stream, Stream] | None:
    if job.first_a is None or job.first_b is None:
        return None
    a = tensor_stream(job.first_a, buffers, 1, job.change_a, check=False)
    return a, tensor_stream(job.first_b, buffers, 3, job.change_b, check=False)
