"""Showing a stored session in trackers afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .exporters import Exporter, Run
from .feed import Feed
from .reading import open_session
from .uploads import stored_file
from .values import step_of


def replay(folder: str | os.PathLike[str], exporters: Iterable[Exporter | str]) -> tuple[str, ...]:
    """Export all of a stored session, with the times of then; what could not be read or shown.

    Begins new runs; TensorBoard shows the stored rows in place of what it had of the folder.
    Raises BadInput where there is no session, UnknownName or ModelcmpError for a tracker.
    """
    stored = open_session(folder)
    problems = list(stored.problems)
    feed = Feed((exporters,) if isinstance(exporters, str) else exporters, problems.append)
    feed.open(Run(stored.name, stored.workspace, stored.folder.absolute(), stored.tags, stored.readme))
    if stored.params:
        feed.params(stored.params)
    for entry in stored.logs:
        feed.log(str(entry.get("level", "info")), str(entry.get("message", "")))
    for name, rows in stored.tracks.items():
        if rows:
            feed.rewind(name, min(step_of(row, place) for place, row in enumerate(rows)))
        feed.rows(name, rows, 0)
    for entry in stored.files:
        feed.file(stored_file(stored.folder.absolute(), entry), str(entry.get("path") or "/"))
    feed.close(failed=False)
    return tuple(problems)
