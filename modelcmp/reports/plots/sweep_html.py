"""Optuna's own interactive plots of one architecture's search, on one page that needs no network."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...sweeps.storage import quiet
from .sweep_axis import label_of
from .sweep_study import StudyData, importances

if TYPE_CHECKING:
    import optuna

_MOST_OBJECTIVES = 3  # that Optuna's Pareto plot has axes for
_HEIGHT = 480  # pixels, as the next two
_PANEL = 280
_WIDE = 1150


def study_page(data: StudyData, study: optuna.Study) -> str:
    """The whole page, plotly.js in it once; names stay text, also where they hold HTML."""
    parts: list[tuple[str, Markup]] = []
    notes: list[str] = []
    with quiet():
        safe = _escaped_copy(study)
        for heading, make in _plots(data, safe):
            found = make()
            if isinstance(found, str):
                notes.append(found)
                continue
            found.update_layout(title=None, template="plotly_white", height=found.layout.height or _HEIGHT,
                                margin={"t": 40, "l": 70, "r": 40, "b": 70})  # fmt: skip
            markup = found.to_html(full_html=False, include_plotlyjs=not parts, config={"displaylogo": False})
            parts.append((heading, Markup(markup)))  # plotly escapes what stands in its scripts
    loader = PackageLoader("modelcmp.reports.plots", "")
    template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("sweep.html.j2")
    lost = ", ".join(f"{len(numbers)} {state}" for state, numbers in data.lost.items())
    return template.render(label=data.label, parts=parts, notes=notes, data=data, lost=lost)


def _plots(data: StudyData, study: optuna.Study) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The heading of each plot, and what makes it or says why there is none."""
    from optuna import visualization as optunas

    names = [html.escape(label_of(o.key), quote=False) for o in data.objectives]
    if len(names) == 1:
        only = {"target_name": names[0]}
        yield "History of the search", partial(optunas.plot_optimization_history, study, **only)
        yield "Parallel coordinates", partial(optunas.plot_parallel_coordinate, study, **only)
        yield "Importance of parameters", partial(_importance, data, study, optunas)
        yield "Slices", partial(_slices, data, study, only, optunas)
        return
    yield "Pareto front", partial(_front, study, names, optunas)
    for k, name in enumerate(names):
        label, chosen = label_of(data.objectives[k].key), {"target": _figure(k), "target_name": name}
        yield f"Parallel coordinates: {label}", partial(optunas.plot_parallel_coordinate, study, **chosen)
        yield f"Importance of parameters: {label}", partial(_importance, data, study, optunas, k)
        yield f"Slices: {label}", partial(_slices, data, study, chosen, optunas)


def _figure(k: int) -> Callable[[Any], float]:
    return lambda trial: float(trial.values[k])


def _importance(data: StudyData, study: optuna.Study, optunas: Any, objective: int | None = None) -> Any:
    """Of the only objective, or of one of several: Optuna takes lower as better there."""
    found = importances(data, study)
    if isinstance(found, str):
        return found
    sign = -1.0 if objective is not None and data.objectives[objective].better == "high" else 1.0
    target = None if objective is None else lambda trial: sign * trial.values[objective]
    made = optunas.plot_param_importances(study, target=target)
    made.update_layout(showlegend=False)
    return made


def _front(study: optuna.Study, names: Sequence[str], optunas: Any) -> Any:
    if len(names) > _MOST_OBJECTIVES:
        return f"no Pareto front: Optuna draws at most {_MOST_OBJECTIVES} objectives, there are {len(names)}"
    return optunas.plot_pareto_front(study, target_names=list(names))


def _slices(data: StudyData, study: optuna.Study, chosen: Mapping[str, Any], optunas: Any) -> Any:
    """As wide as its panels ask for: the page scrolls, they do not shrink."""
    made = optunas.plot_slice(study, **chosen)
    made.update_layout(width=max(_WIDE, _PANEL * len(data.parameters)) if len(data.parameters) > 3 else None)
    return made


# -- names stay text ------------------------------------------------------------------------------


def _escaped_copy(study: optuna.Study) -> optuna.Study:
    """The study in memory, its names and choices escaped: plotly reads some HTML in every text it shows."""
    import optuna

    copy = optuna.create_study(directions=study.directions, study_name=_escaped(study.study_name))
    copy.add_trials([_escaped_trial(t) for t in study.get_trials(deepcopy=False)])
    return copy


def _escaped_trial(trial: Any) -> Any:
    from optuna.trial import create_trial

    return create_trial(
        state=trial.state,
        values=trial.values,
        params={_escaped(k): _escaped(v) for k, v in trial.params.items()},
        distributions={_escaped(k): _escaped_choices(d) for k, d in trial.distributions.items()},
        intermediate_values=trial.intermediate_values,
    )


def _escaped_choices(distribution: Any) -> Any:
    from optuna.distributions import CategoricalDistribution

    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    return CategoricalDistribution([_escaped(choice) for choice in distribution.choices])


def _escaped(value: Any) -> Any:
    return html.escape(value, quote=False) if isinstance(value, str) else value
