"""The pictures of a search: each architecture's own, and all of them over the budget they spent.

matplotlib and Optuna are imported only when something is drawn, plotly only for html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...errors import BadInput
from ...files import write_whole
from ...sweeps.records import Objective, Sweep
from .saving import rendered
from .sweep_study import StudyData, coordinates, history, importances, slices, study_data

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

Kind = Literal["png", "html"]
PROGRESS = "sweep_progress.png"


def save_study_plots(
    studies: Mapping[str, optuna.Study], folder: Path, objectives: Sequence[Objective], kind: Kind = "png"
) -> tuple[list[Path], list[str]]:
    """Draw the search of each architecture into a folder; the files, and notes on what could not be drawn and why.

    ``png`` gives ``sweep_<label>_history.png`` (``_front`` with several objectives), ``_coordinates``,
    ``_importance`` and ``_slices``. ``html`` gives one page an architecture, ``sweep_<label>.html``, with Optuna's
    own interactive plots; it needs no network. Raises BadInput where plotly is missing and OutputError where a file
    cannot be written.
    """
    paths: list[Path] = []
    notes: list[str] = []
    for label, stem in zip(studies, _stems(studies), strict=True):
        data = study_data(label, studies[label], objectives)
        if not data.finished:
            notes.append(f"{label}: {_nothing(data)}")
        elif kind == "html":
            paths.append(_save_page(data, studies[label], folder / f"{stem}.html"))
        else:
            saved, said = _save_pngs(data, studies[label], folder, stem)
            paths += saved
            notes += [f"{label}: {words}" for words in said]
    return paths, notes


def save_sweep_overview(sweep: Sweep, folder: Path) -> Path:
    """Draw all architectures over the budget they spent into ``sweep_progress.png``; raises OutputError."""
    from .style import house_style
    from .sweep_progress import draw_overview, sweep_overview

    with house_style():
        write_whole(folder / PROGRESS, rendered(draw_overview(sweep_overview(sweep)), "png"))
    return folder / PROGRESS


def _stems(labels: Mapping[str, object]) -> list[str]:
    """File names without their end: no label may lead out of the folder or onto another's file."""
    stems: list[str] = []
    for label in labels:
        stem = first = "sweep_" + (re.sub(r"[^\w.+-]+", "-", label).strip("-.") or "model")
        count = 1
        while stem.lower() in (s.lower() for s in stems):
            count += 1
            stem = f"{first}-{count}"
        stems.append(stem)
    return stems


def _nothing(data: StudyData) -> str:
    """Why a search without a finished trial has no picture."""
    lost = ", ".join(f"{len(numbers)} {state}" for state, numbers in data.lost.items())
    return f"nothing to draw, none of {len(data.trials)} trials finished" + (f" ({lost})" if lost else "")


def _save_pngs(data: StudyData, study: optuna.Study, folder: Path, stem: str) -> tuple[list[Path], list[str]]:
    from .style import house_style

    paths, notes = [], []
    for end, make in _makers(data, study):
        with house_style():
            figure = make()
            if isinstance(figure, str):
                notes.append(figure)
                continue
            path = folder / f"{stem}_{end}.png"
            write_whole(path, rendered(figure, "png"))
            paths.append(path)
    return paths, notes


def _makers(data: StudyData, study: optuna.Study) -> Iterator[tuple[str, Callable[[], Figure | str]]]:
    """The end of each file's name, and what draws it or says why not."""
    from .sweep_draw import draw_front, draw_history, draw_slices

    several = len(data.objectives) > 1
    if several:
        yield "front", partial(draw_front, data, f"Pareto front: {data.label}")
    else:
        yield "history", lambda: draw_history(data, history(data), f"History of the search: {data.label}")
    if not data.parameters:
        return
    yield "coordinates", partial(_coordinates, data)
    yield "importance", partial(_importances, data, study)
    for k, objective in enumerate(data.objectives):
        end = f"slices_{objective.key}" if several else "slices"
        yield end, partial(draw_slices, data, slices(data, k), k, f"Slices: {data.label}")


def _coordinates(data: StudyData) -> Figure:
    from .sweep_coordinates import draw_coordinates

    return draw_coordinates(data, coordinates(data), f"Parallel coordinates: {data.label}")


def _importances(data: StudyData, study: optuna.Study) -> Figure | str:
    from .sweep_draw import draw_importances

    found = importances(data, study)
    if isinstance(found, str):
        return found
    return draw_importances(data, found, f"Importance of parameters: {data.label}")


def _save_page(data: StudyData, study: optuna.Study, path: Path) -> Path:
    try:
        import plotly  # noqa: F401
    except ImportError:
        raise BadInput("html pictures of a search need plotly: pip install 'modelcmp[plotly]'") from None
    from .sweep_html import study_page

    write_whole(path, study_page(data, study))
    return path
