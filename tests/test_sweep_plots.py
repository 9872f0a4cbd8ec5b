"""Pictures of searches, of runs over seeds and of what can be told apart: their data, then what is drawn."""

import html
import math
import re
import statistics
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import optuna
import pytest
from matplotlib.image import imread
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from modelcmp.errors import BadInput, OutputError
from modelcmp.reports.plots.seeds import learning_bands, save_trials_plots, seed_strip
from modelcmp.reports.plots.significance import diagram, save_diagram
from modelcmp.reports.plots.style import house_style
from modelcmp.reports.plots.sweep import save_study_plots, save_sweep_overview
from modelcmp.reports.plots.sweep_progress import draw_overview, sweep_overview
from modelcmp.reports.plots.sweep_study import (
    best_so_far,
    coordinates,
    front_of,
    history,
    importances,
    slices,
    study_data,
)
from modelcmp.sweeps.records import Objective, Sweep, Trial
from modelcmp.sweeps.statistics.records import Significance, Spread
from modelcmp.training.grouping import Group, Run
from modelcmp.training.results import RunResult

LOSS, ACCURACY, PARAMS = Objective("val_loss", "low"), Objective("val_accuracy", "high"), Objective("params", "low")
LR = FloatDistribution(1e-5, 0.1, log=True)
NAME = CategoricalDistribution(["adam", "sgd"])
MOMENTUM = FloatDistribution(0.0, 0.9)
SPACE = {"lr": LR, "optimizer.name": NAME, "optimizer.momentum": MOMENTUM}


@pytest.fixture(autouse=True)
def quiet():
    """Nothing that we draw may warn; Optuna's own notes on studies made here are not ours."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    optuna.logging.set_verbosity(before)


def frozen(params, value=None, state="COMPLETE", space=SPACE, **attributes):
    several = isinstance(value, tuple)
    return create_trial(
        state=TrialState[state], params=params, distributions={k: space[k] for k in params},
        value=None if several else value, values=value if several else None, user_attrs=attributes,
    )  # fmt: skip


def study_of(*trials, directions=("minimize",)):
    made = optuna.create_study(directions=list(directions), study_name="mnist/cnn")
    made.add_trials(list(trials))
    return made


def small_study():
    """Six trials: three finished, one of each other fate."""
    return study_of(
        frozen({"lr": 0.1, "optimizer.name": "adam"}, 0.9),
        frozen({"lr": 0.01, "optimizer.name": "sgd", "optimizer.momentum": 0.9}, None, "PRUNED"),
        frozen({"lr": 0.001, "optimizer.name": "sgd", "optimizer.momentum": 0.5}, 0.3),
        frozen({"lr": 0.1, "optimizer.name": "adam"}, None, "PRUNED", modelcmp={"status": "diverged"}),
        frozen({"lr": 0.1, "optimizer.name": "adam"}, None, "FAIL"),
        frozen({"lr": 0.01, "optimizer.name": "sgd", "optimizer.momentum": 0.0}, 0.5),
    )


def drawn(figure, gid):
    """Every artist of a group id."""
    return [a for ax in figure.axes for a in ax.get_children() if a.get_gid() == gid]


# -- a study --------------------------------------------------------------------------------------


def test_history_keeps_the_best_and_names_the_lost():
    made = history(study_data("cnn", small_study(), [LOSS]))
    assert made.points == ((0, 0.9), (2, 0.3), (5, 0.5))
    assert made.best == ((0, 0.9), (1, 0.9), (2, 0.3), (3, 0.3), (4, 0.3), (5, 0.3))
    assert made.lost == {"pruned": (1,), "diverged": (3,), "failed": (4,)}
    assert best_so_far([None, 0.2, 0.1, 0.4, None], "high") == (None, 0.2, 0.2, 0.4, 0.4)


def test_a_figure_that_is_not_finite_is_counted_not_drawn():
    data = study_data("cnn", study_of(frozen({"lr": 0.1}, math.inf), frozen({"lr": 0.01}, 0.5)), [LOSS])
    assert history(data).points == ((1, 0.5),)
    assert data.lost == {"not finite": (0,)}


def test_slices_have_a_point_for_each_finished_trial_that_drew_the_parameter():
    cuts = {s.parameter.name: s.points for s in slices(study_data("cnn", small_study(), [LOSS]))}
    assert cuts["lr"] == ((0.1, 0.9, 0), (0.001, 0.3, 2), (0.01, 0.5, 5))
    assert cuts["optimizer.name"] == ((0, 0.9, 0), (1, 0.3, 2), (1, 0.5, 5))
    assert cuts["optimizer.momentum"] == ((0.5, 0.3, 2), (0.0, 0.5, 5))


def test_coordinates_are_scaled_and_absent_parameters_stay_absent():
    made = coordinates(study_data("cnn", small_study(), [LOSS]))
    found = {axis.label: axis.places for axis in made.axes}
    assert found["Validation loss"] == pytest.approx((1.0, 0.0, 1 / 3))
    assert found["lr"] == pytest.approx((1.0, 0.0, 0.5))  # by their logarithms
    assert found["optimizer.name"] == (0.0, 1.0, 1.0)
    assert found["optimizer.momentum"] == (None, 1.0, 0.0)
    assert made.quality == (0.0, 1.0, 0.5)
    for axis in made.axes:
        assert all(-1e-6 <= height <= 1 + 1e-6 for height, _ in axis.ticks), axis.label


def test_none_is_a_choice_of_its_own_and_not_an_absent_parameter():
    space = {"a": CategoricalDistribution([None, True, "x"]), "b": LR}
    trials = [frozen({"a": a, "b": 0.01}, i * 0.1, space=space) for i, a in enumerate([None, True, "x"])]
    trials.append(frozen({"b": 0.01}, 0.7, space=space))
    made = coordinates(study_data("cnn", study_of(*trials), [LOSS]))
    assert made.axes[1].places == (0.0, 0.5, 1.0, None)
    assert [text for _, text in made.axes[1].ticks] == ["None", "True", "x"]


def test_the_front_is_that_of_brute_force():
    random = np.random.default_rng(3)
    values = [tuple(map(float, row)) for row in random.integers(0, 6, (60, 3))]
    space = {"lr": LR}
    trials = [frozen({"lr": 0.01}, v, space=space) for v in values]
    data = study_data("cnn", study_of(*trials, directions=("maximize", "minimize", "minimize")),
                      [ACCURACY, PARAMS, LOSS])  # fmt: skip

    def beats(a, b):
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    expected = tuple(not any(beats(other, v) for other in values) for v in values)
    assert front_of(data) == expected
    assert 0 < sum(expected) < len(values)


@pytest.mark.parametrize(("direction", "objective"), [("minimize", LOSS), ("maximize", ACCURACY)])
def test_importance_finds_what_decides(direction, objective):
    random = np.random.default_rng(0)
    space = {"lr": FloatDistribution(0, 1), "noise": FloatDistribution(0, 1)}
    trials = []
    for _ in range(80):
        lr, noise = map(float, random.uniform(0, 1, 2))
        far = (lr - 0.3) ** 2
        trials.append(frozen({"lr": lr, "noise": noise}, far if objective is LOSS else 1 - far, space=space))
    made = study_of(*trials, directions=(direction,))
    found = importances(study_data("cnn", made, [objective]), made)
    assert found.names == ("lr", "noise")
    assert found.shares[0][0] > 0.8
    assert sum(found.shares[0]) == pytest.approx(1.0)


def test_importance_of_several_objectives_looks_at_the_better_end_of_each():
    """At the worse end of the accuracy the other parameter decides: a wrong sign swaps them."""
    random = np.random.default_rng(0)
    space = {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)}
    trials = []
    for _ in range(150):
        a, b = map(float, random.uniform(0, 1, 2))
        accuracy = 0.9 if a > 0.9 else 0.1 if b > 0.9 else 0.5
        trials.append(frozen({"a": a, "b": b}, (accuracy, b), space=space))
    made = study_of(*trials, directions=("maximize", "minimize"))
    found = importances(study_data("cnn", made, [ACCURACY, LOSS]), made)
    accuracy, loss = (dict(zip(found.names, row, strict=True)) for row in found.shares)
    assert accuracy["a"] > accuracy["b"]
    assert loss["b"] > loss["a"]


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ([frozen({"lr": 0.1 / (i + 1)}, 0.1 * i) for i in range(8)], "only lr varied"),
        ([frozen({"lr": 0.1}, 0.1) for _ in range(8)], "no parameter varied"),
        ([frozen({"lr": 0.1 / (i + 1), "optimizer.momentum": 0.1 * i}, 0.1) for i in range(3)], "4 finished trials"),
    ],
)
def test_why_there_is_no_importance_is_said(trials, words, tmp_path):
    paths, notes = save_study_plots({"cnn": study_of(*trials)}, tmp_path, [LOSS])
    assert len(notes) == 1
    assert notes[0].startswith("cnn: no importance of parameters")
    assert words in notes[0]
    assert {p.name for p in paths} == {f"sweep_cnn_{end}.png" for end in ("history", "coordinates", "slices")}


# -- files of a study -----------------------------------------------------------------------------


def test_pictures_of_a_study(tmp_path):
    from modelcmp.reports.plots.sweep_coordinates import draw_coordinates
    from modelcmp.reports.plots.sweep_draw import draw_history, draw_slices

    paths, notes = save_study_plots({"cnn": small_study()}, tmp_path, [LOSS])
    assert [p.name for p in paths] == ["sweep_cnn_history.png", "sweep_cnn_coordinates.png", "sweep_cnn_slices.png"]
    assert "4 finished trials" in notes[0]
    assert all(imread(p).std() > 0.01 for p in paths)
    data = study_data("cnn", small_study(), [LOSS])
    with house_style():
        figure = draw_history(data, history(data), "")
        assert drawn(figure, "trials")[0].get_offsets().tolist() == [[0, 0.9], [2, 0.3], [5, 0.5]]
        assert list(drawn(figure, "lost-diverged")[0].get_xdata()) == [3]
        assert list(drawn(figure, "winner")[0].get_xdata()) == [2]
        figure = draw_slices(data, slices(data), 0, "")
        assert [len(found.get_offsets()) for found in drawn(figure, "slice")] == [3, 3, 2]
        figure = draw_coordinates(data, coordinates(data), "")
        assert len(drawn(figure, "trials")[0].get_segments()) == 3
        assert "belongs to a trial without that parameter" in figure.get_supxlabel()


@pytest.mark.parametrize("kind", ["png", "html"])
def test_a_search_without_a_finished_trial_is_said(kind, tmp_path):
    lost = study_of(frozen({"lr": 0.1}, None, "FAIL"), frozen({"lr": 0.1}, None, "FAIL"))
    paths, notes = save_study_plots({"cnn": study_of(), "mlp": lost}, tmp_path, [LOSS], kind)
    assert not paths
    assert notes == [
        "cnn: nothing to draw, none of 0 trials finished",
        "mlp: nothing to draw, none of 2 trials finished (2 failed)",
    ]


def test_one_trial_and_a_constant_objective_can_be_drawn(tmp_path):
    studies = {
        "one": study_of(frozen({"lr": 0.1}, 0.5)),
        "same": study_of(*(frozen({"lr": 0.1 / 3**i, "optimizer.momentum": 0.5}, 0.0) for i in range(5))),
    }
    paths, _ = save_study_plots(studies, tmp_path, [LOSS])
    assert len(paths) == 6


def test_several_objectives_have_a_front(tmp_path):
    from modelcmp.reports.plots.sweep_draw import draw_front

    values = [(0.9, 100.0), (0.8, 50.0), (0.7, 80.0), (0.95, 1000.0), (0.5, 50.0)]
    trials = [frozen({"lr": 0.1 / (i + 1), "optimizer.momentum": 0.9 / (1 + i % 3)}, v) for i, v in enumerate(values)]
    made = study_of(*trials, directions=("maximize", "minimize"))
    paths, _ = save_study_plots({"cnn": made}, tmp_path, [ACCURACY, PARAMS])
    ends = {p.stem.removeprefix("sweep_cnn_") for p in paths}
    assert {"front", "coordinates", "slices_val_accuracy", "slices_params"} <= ends
    with house_style():
        figure = draw_front(study_data("cnn", made, [ACCURACY, PARAMS]), "")
    front = drawn(figure, "front")[0].get_offsets().tolist()
    assert sorted(front) == [[0.8, 50.0], [0.9, 100.0], [0.95, 1000.0]]


def test_labels_cannot_leave_the_folder_or_share_a_file(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    trial = frozen({"lr": 0.1}, 0.5)
    studies = {name: study_of(trial) for name in ("../out", "a/b", "a:b", "A-b")}
    paths, _ = save_study_plots(studies, folder, [LOSS])
    assert len({p.name.lower() for p in paths}) == len(paths) == 12
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in paths)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        save_study_plots({"cnn": small_study()}, tmp_path / "no", [LOSS])


def hostile_study():
    bad = "</script><script>document.title='x'</script>"
    space = {"<b>bold</b>": CategoricalDistribution([bad, "$\\frac{$"]), "lr": LR}
    trials = [
        frozen({"<b>bold</b>": space["<b>bold</b>"].choices[i % 2], "lr": 0.1 / (i + 1)}, 0.1 * i, space=space)
        for i in range(8)
    ]
    return study_of(*trials)


def test_the_page_needs_no_network_and_names_stay_text(tmp_path):
    label = '<img src=x onerror="alert(1)">'
    paths, notes = save_study_plots({label: hostile_study()}, tmp_path, [LOSS], "html")
    text = paths[0].read_text("utf-8")
    assert not notes
    assert len(paths) == 1
    assert len(re.findall(r"<h2>", text)) == 4
    assert 4e6 < len(text) < 8e6, "plotly.js stands in it once"
    shown = re.sub(r"<script[^>]*>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<script|<link|src=[\"']|href=|http", shown.replace(html.escape(label), ""))
    assert not [tag for tag in re.findall(r"<script[^>]*>", text) if "http" in tag]
    assert "<script>document.title" not in text
    assert "&lt;img src=x" in text
    assert label not in text
    assert "<b>bold" not in text


def test_plotly_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(BadInput, match=r"pip install 'modelcmp\[plotly\]'"):
        save_study_plots({"cnn": small_study()}, tmp_path, [LOSS], "html")
    assert len(save_study_plots({"cnn": small_study()}, tmp_path, [LOSS])[0]) == 3


def test_the_data_of_pictures_load_nothing_heavy():
    code = (
        "import modelcmp.reports.plots.sweep, modelcmp.reports.plots.seeds, modelcmp.reports.plots.significance, sys\n"
        "assert not {'torch', 'optuna', 'matplotlib', 'plotly', 'scipy', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- all architectures ----------------------------------------------------------------------------


def trial(model, number, value=None, state="finished", **fields):
    return Trial(model, number, state, {}, None if value is None else (value,), **fields)


def test_progress_adds_up_what_was_spent():
    trials = (
        trial("cnn", 0, 0.9, train_seconds=60), trial("cnn", 1, None, "pruned", train_seconds=30),
        trial("cnn", 2, 0.95, train_seconds=90), trial("cnn", 3, None, "unfinished", train_seconds=500),
        trial("mlp", 0, None, "diverged", train_seconds=6),
    )  # fmt: skip
    made = sweep_overview(Sweep("mnist", "", "tpe", (ACCURACY,), ("cnn", "mlp"), trials, "minutes"))
    assert [c.name for c in made.courses] == ["cnn"]
    assert made.missing == ("mlp",)
    assert made.courses[0].spent == (1.0, 1.5, 3.0)
    assert made.courses[0].best == ((0.9, 0.9, 0.95),)
    with house_style():
        figure = draw_overview(made)
    assert drawn(figure, "trials")[0].get_offsets().tolist() == [[1.0, 0.9], [3.0, 0.95]]


def test_progress_is_in_the_order_in_which_trials_ended():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ends = (30, 10, 20)
    trials = tuple(
        trial("cnn", i, v, steps=s, ended=start + timedelta(seconds=s))
        for i, (v, s) in enumerate(zip((0.1, 0.3, 0.2), ends, strict=True))
    )
    course = sweep_overview(Sweep("s", "", "tpe", (LOSS,), ("cnn",), trials, "steps")).courses[0]
    assert course.spent == (10, 30, 60)
    assert course.values == ((0.3, 0.2, 0.1),)


def test_progress_falls_back_to_trials_where_costs_are_unknown(tmp_path):
    trials = (trial("cnn", 0, 0.9, flops=10**9), trial("cnn", 1, 0.8))
    sweep = Sweep("s", "", "tpe", (ACCURACY,), ("cnn",), trials, "flops")
    made = sweep_overview(sweep)
    assert (made.unit, made.courses[0].spent) == ("trials", (1.0, 2.0))
    assert "FLOPs" in made.note
    assert save_sweep_overview(sweep, tmp_path).name == "sweep_progress.png"


def test_an_objective_that_is_never_finite_leaves_the_other_its_panel():
    trials = tuple(Trial("cnn", i, "finished", {}, (0.9, math.inf)) for i in range(3))
    made = sweep_overview(Sweep("s", "", "tpe", (ACCURACY, LOSS), ("cnn",), trials))
    with house_style():
        figure = draw_overview(made)
    assert [len(drawn_line.get_xdata()) for drawn_line in drawn(figure, "best")] == [3]


def test_progress_without_a_trial_says_so(tmp_path):
    assert imread(save_sweep_overview(Sweep("s", "", "tpe", (LOSS,), ("cnn",), ()), tmp_path)).std() > 0


# -- over seeds -----------------------------------------------------------------------------------


def result(name, seed, accuracy=None, losses=(), status="finished"):
    test = None if accuracy is None else {"accuracy": accuracy, "loss": 1 - accuracy}
    rows = tuple({"epoch": e, "train_loss": v, "val_loss": v, "val_accuracy": 0.5} for e, v in enumerate(losses, 1))
    return RunResult(name, name, status, settings={"seed": seed}, test=test, history=rows)


def group(name, *results):
    return Group(name, tuple(Run(r, Path()) for r in results), {})


def test_strips_hold_every_run_and_count_the_lost():
    values = [0.98, 0.96, 0.97]
    runs = [result("cnn", s, v) for s, v in enumerate(values)]
    made = seed_strip([group("cnn", *runs, result("cnn", 9, 0.1, status="diverged"))], ("test_accuracy",))
    strip = made.panels[0][1][0]
    assert strip.points == ((0, 0.98), (1, 0.96), (2, 0.97))
    assert (strip.mean, strip.std) == pytest.approx((0.97, 0.01))
    assert strip.missing == {"diverged": 1}
    assert strip.quartiles is None


def test_a_box_has_the_quartiles_of_numpy():
    values = list(np.random.default_rng(1).normal(0.9, 0.01, 9))
    runs = [result("cnn", s, float(v)) for s, v in enumerate(values)]
    strip = seed_strip([group("cnn", *runs)], ("test_accuracy",)).panels[0][1][0]
    assert strip.quartiles == pytest.approx(tuple(np.percentile(values, (25, 50, 75))))
    assert strip.std == pytest.approx(np.std(values, ddof=1))


def test_bands_are_of_the_seeds_that_are_still_there():
    runs = (
        result("cnn", 0, losses=(1.0, 0.5, 0.25)), result("cnn", 1, losses=(3.0, 0.7)),
        result("cnn", 2, losses=(2.0, math.nan)), result("cnn", 3, losses=(9.0, 99.0), status="diverged"),
    )  # fmt: skip
    made = learning_bands([group("cnn", *runs)], ("train_loss", "lr"))
    band = made.panels[0][1][0]
    assert [(p.epoch, p.runs, p.mean, p.std) for p in band.points] == [
        (1, 3, 2.0, 1.0),
        (2, 2, pytest.approx(0.6), pytest.approx(statistics.stdev((0.5, 0.7)))),
        (3, 1, 0.25, None),
    ]
    assert (band.runs, len(band.whole)) == (3, 1)
    assert made.broken == {"cnn": 1}
    assert made.panels[1] == ("lr", ())


def test_pictures_over_seeds(tmp_path):
    from modelcmp.reports.plots.seeds_draw import draw_bands, draw_strips

    groups = [
        group("cnn", *(result("cnn", s, 0.98 + 0.001 * s, (1.0 + s, 0.5 + s)) for s in range(8))),
        group("mlp", result("mlp", 0, 0.93, (1.0, 0.6)), result("mlp", 1, None, (2.0,), "diverged")),
    ]
    paths = save_trials_plots(groups, tmp_path, "mnist")
    assert [p.name for p in paths] == ["trials_seeds.png", "trials_curves.png"]
    with house_style():
        figure = draw_strips(seed_strip(groups), "")
        assert [len(found.get_offsets()) for found in drawn(figure, "runs")] == [8, 1, 8, 1]
        assert len(drawn(figure, "box")) == len(drawn(figure, "median")) == 2
        assert "mlp (1 diverged)" in figure.get_supxlabel()
        ends = drawn(figure, "std")[1].get_xdata()
        assert (ends[1] - ends[0]) / 2 == pytest.approx(statistics.stdev(0.98 + 0.001 * s for s in range(8)))
        figure = draw_bands(learning_bands(groups), "")
        assert list(drawn(figure, "mean")[0].get_ydata()) == [4.5, 4.0]
        assert "Left out, because they diverged or failed: mlp (1)." in figure.get_supxlabel()


def test_a_single_point_is_seen_and_counted():
    from modelcmp.reports.plots.seeds_draw import draw_strips

    lost = [result("flaky", s, None, status="diverged") for s in (1, 2, 3)]
    groups = [group("flaky", result("flaky", 0, 0.9), *lost)]
    with house_style():
        figure = draw_strips(seed_strip(groups), "")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["flaky\n1 of 4 runs"]
    assert drawn(figure, "mean") == drawn(figure, "std") == []  # a diamond would hide the point
    assert all(found.get_alpha() == 1 for found in drawn(figure, "runs"))
    assert "Diamond" not in figure.get_supxlabel()
    assert "that needs two seeds" in figure.get_supxlabel()


def test_a_repeated_seed_is_one_point_and_one_line():
    groups = [group("cnn", result("cnn", 1, 0.9, (1.0,)), result("cnn", 1, 0.1, (9.0,)), result("cnn", 2, 0.8, (2.0,)))]
    assert seed_strip(groups, ("test_accuracy",)).panels[0][1][0].points == ((1, 0.9), (2, 0.8))
    band = learning_bands(groups).panels[0][1][0]
    assert (band.runs, band.points[0].mean) == (2, 1.5)


def test_one_epoch_is_a_point_with_a_bar_and_the_caption_says_so():
    from modelcmp.reports.plots.seeds_draw import draw_bands

    groups = [group(n, *(result(n, s, None, (1.0 + s,)) for s in (0, 1, 2))) for n in ("cnn", "mlp")]
    with house_style():
        figure = draw_bands(learning_bands(groups), "")
    low, high = drawn(figure, "bar")[0].get_ydata()
    assert (low, high) == pytest.approx((1.0, 3.0))  # 2 ± 1
    assert drawn(figure, "band") == []
    assert "Points: mean over seeds. Bars: ±" in figure.get_supxlabel()
    first, second = (line.get_xdata()[0] for line in drawn(figure, "mean")[:2])
    assert first != second
    keys = figure.axes[-1].get_legend().get_lines()
    assert [(line.get_marker(), line.get_linewidth()) for line in keys] == [("o", 0), ("o", 0)]
    with house_style():
        figure = draw_bands(learning_bands([group("cnn", result("cnn", 0, None, (1.0, 0.5)))]), "")
    assert figure.get_supxlabel() == "Lines: one seed each, so that there is no spread."


def test_groups_of_which_every_run_broke_are_drawn_as_words(tmp_path):
    from modelcmp.reports.plots.seeds_draw import draw_strips

    broken = [group("cnn", result("cnn", 0, status="diverged"), result("cnn", 1, status="failed"))]
    assert len(save_trials_plots(broken, tmp_path)) == 2
    with house_style():
        assert "cnn (1 diverged, 1 failed)" in draw_strips(seed_strip(broken), "").get_supxlabel()
    with pytest.raises(BadInput, match="no group"):
        save_trials_plots([], tmp_path)


# -- what can be told apart -----------------------------------------------------------------------


def spread(name, mean, half=0.01):
    ends = (None, None) if mean is None else (mean - half, mean + half)
    values = () if mean is None else (mean,) * 5
    return Spread(name, "test_loss", values, (1, 2, 3, 4, 5), {"failed": 5} if mean is None else {}, mean, half, *ends)


def verdict(letters, means):
    spreads = tuple(spread(name, mean) for name, mean in means.items())
    return Significance("test_loss", "low", 0.95, 0.05, spreads, (), letters, ("Few seeds.",))


def test_bars_join_what_shares_a_letter():
    means = {"c": 0.3, "a": 0.1, "lost": None, "b": 0.2, "d": 0.4}
    made = diagram(verdict({"a": "x", "b": "xy", "c": "z", "d": "y", "lost": ""}, means))
    assert [s.name for s in made.rows] == ["a", "b", "c", "d", "lost"]
    assert [(bar.letter, bar.rows) for bar in made.bars] == [("x", (0, 1)), ("y", (1, 3))]


def test_the_diagram_has_means_whiskers_and_bars(tmp_path):
    from modelcmp.reports.plots.significance_draw import draw_diagram

    made = verdict({"a": "x", "b": "xy", "c": "z", "d": "y"}, {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "lost": None})
    with house_style():
        figure = draw_diagram(diagram(made))
    assert [float(m.get_xdata()[0]) for m in drawn(figure, "mean")] == [0.1, 0.2, 0.3, 0.4]
    assert list(drawn(figure, "interval")[1].get_xdata()) == pytest.approx([0.19, 0.21])
    bars = [[round(float(y)) for y in bar.get_ydata()] for bar in drawn(figure, "bar")]
    assert bars == [[0, 1], [1, 1], [3, 3]], "thick over members alone: c is no member of y"
    assert [t.get_text() for t in drawn(figure, "missing")] == ["no figure (5 failed)"]
    caption = figure.get_supxlabel()
    assert "cannot be told apart" in caption
    assert "Few seeds." in caption
    for suffix in (".png", ".svg"):
        save_diagram(made, tmp_path / f"diagram{suffix}")
        assert (tmp_path / f"diagram{suffix}").stat().st_size > 5000
    with pytest.raises(BadInput, match=r"\.png or \.svg"):
        save_diagram(made, tmp_path / "diagram.txt")


def test_a_diagram_without_figures_says_so(tmp_path):
    save_diagram(verdict({}, {"a": None}), tmp_path / "none.png")
    with pytest.raises(BadInput, match="no group"):
        save_diagram(verdict({}, {}), tmp_path / "none.png")


def test_whole_numbers_and_many_choices_have_a_place():
    space = {"n": IntDistribution(1, 64), "c": CategoricalDistribution([f"choice {i}" for i in range(40)])}
    trials = [frozen({"n": 2**i, "c": f"choice {9 * i}"}, 0.1 * i, space=space) for i in range(4)]
    data = study_data("cnn", study_of(*trials), [LOSS])
    assert data.parameters[1].choices == ("choice 0", "choice 9", "choice 18", "choice 27")  # the tried alone
    assert [p for p, _, _ in slices(data)[0].points] == [1.0, 2.0, 4.0, 8.0]
