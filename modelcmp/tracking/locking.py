"""One writer at a time: a lock that ends with the process that holds it."""

from __future__ import annotations

from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

from ..errors import BadInput


class WriterLock:
    """Keeps other processes from writing the same session; does nothing where the file system has no locks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIOWrapper | None = None

    def take(self) -> None:
        """Take the lock; raises BadInput when another process holds it."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        with suppress(OSError):
            self._file = self.path.open("a", encoding="utf-8")
        if self._file is None:
            return
        try:
            # A record lock is not inherited: data loading processes that outlive a killed run do not keep it.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self.release()
            raise BadInput(
                f"{self.path.parent} is being written by another process; wait for it, or choose another name"
            ) from error
        except OSError:
            self.release()

    def release(self) -> None:
        """Give the lock back, also when it was never taken."""
        if self._file is not None:
            self._file.close()
            self._file = None
