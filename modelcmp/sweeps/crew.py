"""Who does the work of a search: this process, or the processes of an engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..engines import ENGINES, Engine, Job, Options, Outcome, Task
from ..errors import ModelcmpError, OutputError
from ..training.results import RunResult, load_result
from ..training.stopping import Interrupted, StopSign
from .progress import Listener
from .units import Unit, run_unit

#: How often a unit is run again whose process was lost.
MOST_LOSSES = 3
_TASK = Task("modelcmp.sweeps.units:run_in_job")


@dataclass(frozen=True, slots=True)
class Means:
    """How units are trained: one after the other, or side by side in an engine."""

    jobs: int | None = None  # at once; None: one here, as many as there is room for on a cluster
    engine: str = "local"
    address: str | None = None
    gpus: float | None = None  # of one unit
    cpus: float | None = None

    @property
    def alone(self) -> bool:
        """Whether everything happens in this process."""
        return self.jobs in (None, 1) and self.engine == "local" and self.gpus is None


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a unit: a result, or why there is none."""

    unit: Unit
    result: RunResult | None
    error: str = ""


class Crew:
    """Trains units; used as a context, which leaves no process behind.

    A unit whose process is lost is run again, from its checkpoint.
    """

    def __init__(self, means: Means, listener: Listener, sign: StopSign) -> None:
        self._means, self._listener, self._sign = means, listener, sign
        self._stack = ExitStack()
        self._here: deque[Unit] = deque()
        self._engine: Engine | None = None
        self._losses: dict[str, int] = {}

    def __enter__(self) -> Self:
        if not self._means.alone:
            m = self._means
            options = Options(workers=m.jobs, batch_size=1, address=m.address, gpus=m.gpus, cpus=m.cpus)
            self._listener.phase("starting processes")
            self._engine = self._stack.enter_context(ENGINES[m.engine](_TASK, options))
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def slots(self) -> int:
        """How many units are trained at once."""
        return 1 if self._engine is None else self._engine.slots

    def work(self, draw: Callable[[], Unit | None], note: Callable[[Ended], None]) -> None:
        """Train what ``draw`` gives until it gives None or a signal came, and ``note`` each end.

        A unit is drawn when there is a slot for it, so that it can follow from what was noted before.
        Raises OutputError where nothing more can be written.
        """
        busy = 0

        def fill() -> None:
            nonlocal busy
            while busy < self.slots and not self._sign.up and (unit := draw()) is not None:
                self._submit(unit)
                busy += 1

        fill()
        while busy:
            for ended in self._ended():
                busy -= 1
                note(ended)
                fill()

    def _submit(self, unit: Unit) -> None:
        if self._engine is None:
            self._here.append(unit)
        else:
            self._engine.submit([Job(unit.name, unit)])

    def _ended(self) -> Iterator[Ended]:
        """Each unit's end as it comes, until nothing is left; units may be added meanwhile."""
        if self._engine is None:
            while self._here:
                yield self._run_here(self._here.popleft())
            return
        for outcome in self._engine.results():
            if not self._again(outcome):
                yield _ended(outcome)

    def _run_here(self, unit: Unit) -> Ended:
        try:
            return Ended(unit, run_unit(unit, self._listener.training(unit.name), self._sign))
        except Interrupted:
            return Ended(unit, load_result(unit.run) if unit.run.is_dir() else None)
        except OutputError:
            raise
        except ModelcmpError as error:
            return Ended(unit, None, str(error))

    def _again(self, outcome: Outcome) -> bool:
        """Run a unit again whose process was lost, if that was not too often."""
        unit: Unit = outcome.job.payload
        if outcome.error is None or outcome.error.kind != "Crashed" or self._sign.up:
            return False
        self._losses[unit.name] = self._losses.get(unit.name, 0) + 1
        if self._losses[unit.name] >= MOST_LOSSES:
            return False
        self._listener.warned(f"{outcome.error.message}: {unit.name} goes on from its checkpoint")
        self._submit(unit)
        return True


def _ended(outcome: Outcome) -> Ended:
    unit: Unit = outcome.job.payload
    if outcome.error is None:
        return Ended(unit, load_result(unit.run))
    if outcome.error.kind == OutputError.__name__:
        raise OutputError(outcome.error.message)
    return Ended(unit, None, outcome.error.message)


def stop_file(folder: Path) -> Path:
    """Through which processes that train are asked to stop."""
    return folder / ".stop"
