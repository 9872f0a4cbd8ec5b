"""Diffs in tables, files and pictures, against the closed forms that diff_results is made from."""

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diff_results import (
    MOVED,
    NORM,
    SHAPE,
    diff,
    diverging,
    everything,
    identical,
    long_names,
    one_pair,
    pair,
    side,
    strangers,
    tensor,
    turning_nan,
    weights,
)
from rich.console import Console

from modelcmp.diffing.records import Alignment, DumpPair, Finding, Skipped, Verdict
from modelcmp.errors import OutputError
from modelcmp.files import write_parts
from modelcmp.reports.diff_files import CSV_NAME, JSON_NAME, TOTALS, csv_parts, json_parts, write_files
from modelcmp.reports.diff_outputs import screens, text, write_diff
from modelcmp.reports.diff_series import Series, batch_agreement, series
from modelcmp.reports.diff_table import short, tables
from modelcmp.reports.plots.diff import diff_curves, epochs, thinned
from modelcmp.reports.plots.diff_heat import BROKEN, EQUAL, FIGURE, MOST_COLUMNS, MOST_ROWS, UNKNOWN, heat_map, layered

ROOT = Path(__file__).resolve().parent.parent
NASTY = "[red]fc[/red].\x1b[31mweight\n|x"


def nothing():
    return diff((), "nothing in common", "The runs have no tensor in common.", alignment=Alignment((), ("a",), ("b",)))


def screen(found, width=80):
    console = Console(width=width, file=io.StringIO(), force_terminal=False, markup=False, highlight=False)
    for part in screens(found, width):
        console.print(part)
    return console.file.getvalue()


def rows_of(found):
    return list(csv.DictReader(io.StringIO("".join(csv_parts(found)))))


def strict(found):
    """The JSON document, read by a reader that knows no NaN."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads("".join(json_parts(found)), parse_constant=refuse)


def unfolded(words):
    return "".join(words.split())


# --- files written in parts ----------------------------------------------------------------------


def test_parts_are_written_one_after_the_other(tmp_path):
    write_parts(tmp_path / "x", (part for part in ("ä", b"\xff", "b")))
    assert (tmp_path / "x").read_bytes() == b"\xc3\xa4\xffb"


def test_a_part_that_cannot_be_made_leaves_the_file_as_it_was(tmp_path):
    def parts():
        yield "new"
        raise ValueError("no more")

    (tmp_path / "x").write_text("old")
    with pytest.raises(ValueError, match="no more"):
        write_parts(tmp_path / "x", parts())
    assert (tmp_path / "x").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_parts_into_a_missing_folder_are_refused_before_any_is_made(tmp_path):
    with pytest.raises(OutputError, match="no folder"):
        write_parts(tmp_path / "none" / "x", (1 / 0 for _ in range(1)))


# --- totals --------------------------------------------------------------------------------------


def test_totals_are_one_vector_of_all_tensors():
    d = np.array([0.1, 0.2, 0.0, 0.3])
    tensors = weights(("a", "b", "fc.weight", "fc.bias"))
    over = Series((pair(1, d, tensors),))
    whole, head = over.totals("weight"), over.totals("weight", "mlp")
    assert whole["l2"][0] == pytest.approx(NORM * math.sqrt((d**2).sum()), abs=0, rel=1e-14)
    assert head["l2"][0] == pytest.approx(NORM * 0.3, abs=0, rel=1e-14)
    assert head["relative_l2"][0] == pytest.approx(0.3 / math.sqrt(2 + 0.09), abs=0, rel=1e-14)
    assert head["cosine"][0] == pytest.approx(2 / math.sqrt(2 * (2 + 0.09)), abs=0, rel=1e-14)
    assert head["per_distance"][0] == pytest.approx(NORM * 0.3 / (MOVED * math.sqrt(2)), abs=0, rel=1e-14)


@pytest.mark.parametrize("kind", ["weight", "grad", "optimizer", "buffer"])
@pytest.mark.parametrize("group", [None, "mlp", "backbone"])
def test_totals_over_time_are_those_of_each_pair(kind, group):
    found = everything()
    columns = series(found).totals(kind, group)
    for i, each in enumerate(found.pairs):
        expected = each.total(kind, group)
        for key in TOTALS:
            assert columns[key][i] == pytest.approx(expected[key], abs=0, rel=1e-14, nan_ok=True), key


def test_nothing_measured_is_unknown_and_not_equal():
    tensors = weights(("fc.weight",))
    nan = diff([pair(1, 0.0, tensors, nowhere=[0])])
    columns = series(nan).totals()
    for key in ("l2", "relative_l2", "max_abs", "cosine", "a_norm"):
        assert math.isnan(columns[key][0]), key
    assert columns["nan_b"][0] == math.prod(SHAPE)
    assert rows_of(nan)[0]["weight_total_l2"] == ""
    assert strict(nan)["checkpoints"][0]["tensors"][0]["l2"] is None
    assert heat_map(nan).states[0, 0] == BROKEN
    assert not diff_curves(nan).panels[0].all_zero
    assert "?" in screen(nan)


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "said"), [
    ({"inputs": "x", "targets": "t", "samples": "s"}, {"inputs": "x", "targets": "t", "samples": "s"}, "same"),
    ({"inputs": "x", "targets": "t", "samples": "s"}, {"inputs": "x", "targets": "u", "samples": "s"}, "other targets"),
    ({"inputs": "x", "targets": None, "samples": "s"}, {"inputs": "x", "targets": "u", "samples": "s"}, "same"),
    ({"inputs": "x", "targets": "t", "samples": "s"}, {"inputs": "y", "targets": "u", "samples": "s"}, "other order"),
    ({"inputs": "x", "samples": "s"}, {"inputs": "y", "samples": "r"}, "other"),
    ({"inputs": "x"}, {"inputs": "y"}, "other"), ({"inputs": "x"}, None, None), (None, None, None), ({}, {}, None),
])  # fmt: skip
def test_batches_are_compared_by_their_fingerprints(a, b, said):
    assert batch_agreement(side("A", 1, fingerprint=a), side("B", 1, fingerprint=b)) == said


# --- CSV -----------------------------------------------------------------------------------------


def test_csv_has_every_pair_unrounded():
    pandas = pytest.importorskip("pandas")
    found = everything()
    frame = pandas.read_csv(io.StringIO("".join(csv_parts(found))), float_precision="round_trip")
    assert frame["step"].tolist() == [10, 20, 30]
    assert frame["batch_agreement"].fillna("").tolist() == ["same", "other order", ""]
    l2 = [NORM * 1e-7 * s for s in (10, 20, 30)]
    assert frame["weight_mlp_l2"].tolist() == pytest.approx(l2, abs=0, rel=1e-14)
    assert frame["grad_mlp_l2"].tolist() == pytest.approx([NORM * 2e-6] * 3, abs=0, rel=1e-14)
    assert frame["optimizer_total_angle_rad"].tolist() == pytest.approx([3e-6] * 3, abs=0, rel=1e-9)
    for i, each in enumerate(found.pairs):
        assert frame["loss_difference"][i] == each.b.loss - each.a.loss
        assert frame["loss_a"][i] == each.a.loss  # bit for bit
    assert frame["weight_total_elements"].dtype == frame["weight_total_nan_b"].dtype == "int64"


def test_csv_tells_a_nan_loss_from_none():
    tensors = weights()
    a, b = side("A", 1, loss=0.5), side("B", 1, loss=math.nan)
    row = rows_of(diff([DumpPair(1, a, b, tensors, pair(1, 0.0, tensors).sums)]))[0]
    assert (row["loss_b"], row["acc_b"], row["loss_difference"]) == ("nan", "", "")
    assert strict(diff([DumpPair(1, a, b, tensors, pair(1, 0.0, tensors).sums)]))["checkpoints"][0]["b"]["loss"] is None


def test_csv_columns_are_those_of_the_documentation():
    words = (ROOT / "docs" / "diff_files.md").read_text("utf-8")
    for column in rows_of(identical())[0]:
        name = column.removeprefix("weight_")
        for group in ("total_", "mlp_", "backbone_"):
            name = name.removeprefix(group)
        assert f"`{name}`" in words, column


def test_no_pairs_make_a_header():
    assert "".join(csv_parts(nothing())).startswith("step,epoch,batch,")
    assert rows_of(nothing()) == []


# --- JSON ----------------------------------------------------------------------------------------


def test_json_has_every_tensor_of_every_pair():
    found = everything()
    read = strict(found)
    assert read["schema"] == 1
    assert read["tool"]["name"] == "modelcmp"
    assert [len(c["tensors"]) for c in read["checkpoints"]] == [13, 13, 13]
    fc = read["checkpoints"][2]["tensors"][7]
    assert (fc["name"], fc["group"], fc["shape"], fc["nan_b"]) == ("fc.weight", "mlp", list(SHAPE), 0)
    assert fc["l2"] == pytest.approx(NORM * 3e-6, abs=0, rel=1e-14)
    assert fc["max_at"] == [1, 2]  # 27 in (8, 25)
    assert fc["ulp_max"] == math.ceil(3e-6 * 2**23)
    misfit = read["checkpoints"][0]["tensors"][12]
    assert misfit["problem"].startswith("shapes differ")
    assert misfit["l2"] is None
    totals = read["checkpoints"][2]["totals"]
    assert set(totals) == {"weight", "buffer", "grad", "optimizer"}
    assert totals["weight"]["mlp"]["l2"] == pytest.approx(NORM * 3e-6, abs=0, rel=1e-14)
    assert totals["grad"]["backbone"]["l2"] is None
    assert len(read["floor"]) == 3
    assert "tensors" not in read["floor"][0]


def test_json_says_what_was_decided_and_left_out():
    read = strict(everything())
    assert read["verdict"]["first"]["what"] == "batch"
    assert [f["serious"] for f in read["verdict"]["findings"]] == [True, False]
    assert read["alignment"]["ambiguous"] == [{"name": "norm.weight", "may_be": ["n1.weight", "n2.weight"]}]
    assert len(read["unmatched"]["a"]) == 20
    assert read["skipped"][0]["reason"] == "it is truncated: 12 bytes"
    assert set(read["measures"]) >= set(TOTALS)
    words = (ROOT / "docs" / "diff_files.md").read_text("utf-8")
    sample = json.loads(words.split("```json")[1].split("```")[0])
    assert list(sample) == list(read)
    assert set(sample["checkpoints"][0]) == set(read["checkpoints"][0])
    assert set(sample["checkpoints"][0]["a"]) == set(read["checkpoints"][0]["a"])


def test_json_keeps_what_a_loss_was_that_is_no_number():
    sides = strict(turning_nan())["checkpoints"][-1]
    assert sides["b"]["loss"] is None
    assert sides["b"]["not_finite"] == {"loss": "nan"}
    assert "not_finite" not in sides["a"]
    assert {t["name"]: t["nan_b"] for t in sides["tensors"] if t["nan_b"]} == {"fc.weight": 3, "fc.bias": 200}


def test_json_comes_in_pieces_no_longer_than_a_few_tensors():
    few = max(map(len, json_parts(diverging([1, 2], 0, weights([f"{i}.w" for i in range(3)])))))
    parts = list(json_parts(diverging([1, 2], 0, weights([f"{i}.w" for i in range(300)]))))
    matches = 300 * 150  # the head lists the alignment
    assert max(map(len, parts[1:])) < few + matches
    assert max(map(len, parts[1:])) < 5000
    assert sum(map(len, parts)) > 300_000


def test_names_that_no_encoding_holds_are_written(tmp_path):
    found = replace(identical([1, 2]), a="runs/\udcff", skipped=(Skipped("\udcff.pt", "broken"),))
    write_files(found, tmp_path)
    assert json.loads((tmp_path / JSON_NAME).read_bytes())["a"] == "runs/\udcff"
    assert text(found, "json").encode("utf-8") == (tmp_path / JSON_NAME).read_bytes()


def test_the_folder_is_made_or_refused(tmp_path):
    write_diff(nothing(), tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / CSV_NAME).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write into"):
        write_diff(nothing(), tmp_path / "file" / "folder")


def test_text_is_what_the_files_hold(tmp_path):
    found = everything()
    assert [p.name for p in write_files(found, tmp_path)] == [CSV_NAME, JSON_NAME]
    assert text(found, "csv") == (tmp_path / CSV_NAME).read_text("utf-8")
    assert text(found, "json") == (tmp_path / JSON_NAME).read_text("utf-8")


def test_without_pairs_and_floor_json_is_still_whole():
    read = strict(nothing())
    assert read["checkpoints"] == []
    assert read["floor"] is None
    assert read["alignment"]["only_a"] == ["a"]


# --- curves --------------------------------------------------------------------------------------


def panels(found):
    return {p.title: p for p in diff_curves(found).panels}


def test_six_panels_show_both_runs():
    found = diverging()
    shown = panels(found)
    assert list(shown) == ["Weight L2", "Cosine similarity", "Loss", "Loss difference", "Accuracy",
                           "Accuracy difference"]  # fmt: skip
    assert [line.label for line in shown["Weight L2"].lines] == ["all", "mlp", "backbone"]
    assert shown["Weight L2"].lines[0].y.tolist() == pytest.approx(
        [p.total("weight")["l2"] for p in found.pairs], abs=0, rel=1e-14
    )
    last = found.pairs[-1]
    assert shown["Loss difference"].lines[0].y[-1] == abs(last.b.loss - last.a.loss)
    assert diff_curves(found).first == (50.0, "weight, step 50 (epoch 1, batch 50)")


def test_the_cosine_panel_keeps_what_one_minus_cosine_loses():
    line = panels(diff([pair(1, 1e-12, weights()), pair(2, 1e-12, weights())]))["Cosine similarity"].lines[0]
    assert line.y[0] == pytest.approx(1e-24 / 2, abs=0, rel=1e-9)  # 1 - cos x = x^2 / 2


def test_panels_of_equal_runs_are_zero():
    for panel in diff_curves(identical()).panels:
        assert panel.all_zero == (panel.title not in ("Loss", "Accuracy"))


def test_what_is_not_comparable_is_not_shown():
    curves = diff_curves(strangers())
    assert [p.title for p in curves.panels] == [
        "Loss", "Loss difference", "Accuracy", "Accuracy difference", "Norm of the weights, B / A",
        "Distance from the first dump",
    ]  # fmt: skip
    ratio, moved = curves.panels[4], curves.panels[5]
    assert ratio.lines[0].y[0] == 1.0
    assert ratio.lines[0].y[-1] == pytest.approx(
        math.sqrt(1.2), abs=0, rel=1e-12
    )  # the mean of 0.6 to 1.8, squared norms
    assert [line.y[-1] for line in moved.lines] == pytest.approx([3 * 2.0, 3 * 2.4], abs=0, rel=1e-12)
    assert any("not comparable" in words for words in curves.words)
    assert heat_map(strangers()).norms


def test_missing_figures_are_said():
    shown = panels(diverging(acc=False, loss=False))
    assert not len(shown["Accuracy"].values)
    assert shown["Accuracy"].missing == shown["Accuracy difference"].missing == "no accuracy in the dumps"
    assert shown["Loss"].missing == "no loss in the dumps"


def test_nan_is_a_gap_and_named():
    curves = diff_curves(turning_nan(start=60))
    loss = curves.panels[2]
    b = next(line for line in loss.lines if line.role == "b")
    assert np.isnan(b.y).tolist() == [s >= 60 for s in range(0, 101, 5)]
    assert [(who, steps[0]) for who, steps in loss.broken] == [("B", 60.0)]
    assert "weights of B from step 60, loss of B from step 60" in curves.words[-1]


def test_the_noise_floor_is_drawn_from_its_own_steps():
    tensors = weights()
    floor = tuple(pair(s, 1e-8, tensors) for s in (0, 50))
    lines = panels(replace(diverging(), floor=floor))["Weight L2"].lines
    assert (lines[0].role, lines[0].x.tolist()) == ("floor", [0.0, 50.0])
    assert lines[0].y.tolist() == pytest.approx([3 * NORM * 1e-8] * 2, abs=0, rel=1e-12)


def test_epochs_begin_after_the_last_step_of_the_one_before():
    every = [pair(s, 0.0, weights(), per_epoch=25) for s in (10, 20, 30, 40, 60)]
    assert epochs(every) == ((25.0, 2), (50.0, 3))
    unknown = [replace(p, a=replace(p.a, batch=None)) for p in every]
    assert epochs(unknown) == ((25.0, 2), (50.0, 3))  # halfway between the dumps
    assert epochs([replace(p, a=replace(p.a, epoch=None)) for p in every]) == ()


def test_thinning_keeps_extremes_ends_and_gaps():
    x = np.arange(10_000.0)
    y = np.sin(x / 500)
    y[1234], y[7777], y[5000] = 9.0, -9.0, np.nan
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= 1500
    assert {0.0, 1234.0, 5000.0, 7777.0, 9999.0} <= set(few_x.tolist())
    assert np.nanmax(few_y) == 9.0
    assert thinned(x[:100], y[:100])[0].tolist() == x[:100].tolist()


# --- heat map ------------------------------------------------------------------------------------


def test_cells_are_relative_l2_in_log10():
    tensors = (*weights(("a", "b", "c", "fc.weight")), tensor("d", problem="shapes differ"))
    made = pair(7, [0.0, 1e-3, 0.5, 1e-3, math.nan], tensors, broken=[3])
    heat = heat_map(diff([made]))
    assert heat.states[:, 0].tolist() == [EQUAL, FIGURE, FIGURE, BROKEN, UNKNOWN]
    assert heat.values[1:3, 0] == pytest.approx(
        [np.log10(r / math.sqrt(1 + r * r)) for r in (1e-3, 0.5)], abs=0, rel=1e-12
    )
    assert np.isnan(heat.values[[0, 3, 4], 0]).all()
    assert (heat.names, heat.steps) == (("a", "b", "c", "fc.weight", "d"), (7,))


def test_equal_hashes_are_equal_where_nothing_else_is_known():
    made = pair(1, [math.nan, math.nan], weights(("a", "b")))
    made.sums.columns["hash_equal"][:] = [1.0, 0.0]
    assert heat_map(diff([made])).states[:, 0].tolist() == [EQUAL, UNKNOWN]


def test_many_tensors_share_rows_as_one_vector():
    names = [f"blocks.{i // 2}.{('weight', 'bias')[i % 2]}" for i in range(300)]
    d = np.linspace(0.01, 0.3, 300)
    heat = heat_map(diff([pair(1, d, weights(names))]))
    assert len(heat.names) == 150 <= MOST_ROWS
    pairs = d.reshape(150, 2)
    expected = np.sqrt((pairs**2).sum(1) / (2 + (pairs**2).sum(1)))
    assert 10 ** heat.values[:, 0] == pytest.approx(expected, abs=0, rel=1e-12)
    assert any("300 tensors in 150 rows" in words for words in heat.words)


def test_rows_are_never_too_many():
    for names in ([f"w{i}" for i in range(1000)], [t.name for t in long_names(400)], ["a.b"] * 3):
        rows, places = layered(names)
        assert len(rows) <= MOST_ROWS
        assert (len(places), max(places)) == (len(names), len(rows) - 1)
        assert places == sorted(places)


def test_many_pairs_share_columns_and_keep_the_worst():
    tensors = weights(("a", "b"))
    made = [pair(s, [1e-3 if s == 1234 else 1e-6, 0.0], tensors) for s in range(3000)]
    heat = heat_map(diff(made))
    assert heat.values.shape == (2, MOST_COLUMNS)
    column = heat.values[0].argmax()
    assert heat.steps[column] <= 1234 < heat.steps[column + 1]
    assert heat.values[0, column] == pytest.approx(-3, abs=0, rel=1e-6)
    assert (heat.states[1] == EQUAL).all()


def test_where_it_started_is_marked():
    heat = heat_map(diverging())
    row, column, words = heat.first
    assert (heat.names[row], heat.steps[column]) == ("fc.bias", 50)
    assert words == "weight, step 50 (epoch 1, batch 50)"
    state = Finding("optimizer", "it differs", 20, 1, 20, "conv1.weight/exp_avg")
    found = diverging(tensors=weights())
    row, column, _ = heat_map(replace(found, verdict=replace(found.verdict, first=state))).first
    assert (heat.names[row], heat.steps[column]) == ("conv1.weight", 20)
    assert heat_map(strangers()).first is None


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [identical, diverging, one_pair, turning_nan, everything, nothing], ids=lambda m: m.__name__
)
def test_all_files_are_written(make, tmp_path):
    written = write_diff(make(), tmp_path)
    assert [p.name for p in written] == ["model_comparison.png", "layer_heatmap.png", CSV_NAME, JSON_NAME]
    assert all(p.read_bytes()[:4] == b"\x89PNG" for p in written[:2])
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in written)


def drawn(found):
    """Texts and lines of the curves, by what they are."""
    from modelcmp.reports.plots.diff_draw import draw_diff_curves
    from modelcmp.reports.plots.style import house_style

    with house_style():
        figure = draw_diff_curves(diff_curves(found), "title")
        marks = [a for ax in figure.axes for a in (*ax.texts, *ax.lines)]
    return figure, marks


def test_equal_runs_are_called_so_in_the_picture():
    _, marks = drawn(identical())
    said = [m.get_text() for m in marks if m.get_gid() == "equal"]
    assert said == ["identical: 0 in all dumps", "identical: 1 in all dumps", "the same loss in all dumps",
                    "the same accuracy in all dumps"]  # fmt: skip


def test_zeros_have_their_own_tick_below_all_figures():
    figure, _ = drawn(diverging())
    ax = figure.axes[0]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "0"
    zero = ax.get_yticks()[0]
    line = next(m for m in ax.lines if m.get_gid() == "all")
    heights = np.asarray(line.get_ydata())
    assert (heights[:10] == zero).all()  # steps 0 to 45
    assert heights[-1] == pytest.approx(math.log10(diverging().pairs[-1].total("weight")["l2"]), abs=0, rel=1e-12)
    assert ax.get_ylim()[0] < zero < heights[10:].min()


def test_where_it_started_and_what_broke_is_drawn():
    figure, marks = drawn(turning_nan(start=60))
    lines = [m for m in marks if m.get_gid() == "first" and hasattr(m, "get_xdata")]
    assert [m.get_xdata()[0] for m in lines] == [60.0] * 6
    crosses = [m for m in figure.axes[2].lines if m.get_gid() == "broken"]
    assert crosses[0].get_xdata().tolist() == list(range(60, 101, 5))


# --- terminal ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    identical, diverging, one_pair, strangers, turning_nan, everything, nothing,
    lambda: diverging(range(0, 101, 50), tensors=long_names(40)),
])  # fmt: skip
def test_the_screen_fits_eighty_columns(make):
    found = make()
    shown = screen(found)
    assert max(map(len, shown.splitlines())) <= 80
    assert found.verdict.status.upper() in shown
    assert unfolded(found.verdict.words) in unfolded(shown)


def test_the_summary_says_mean_worst_when_and_last():
    made = [pair(s, d, weights(("a",)), drift=drift) for s, d, drift in ((0, 0, 0), (10, 0.3, -0.5), (20, 0.1, 0.25))]
    rows = {row[0]: row[1:] for row in tables(diff(made))[0].cells}
    assert rows["Weights: L2"] == ("0.533", "1.2", "10", "0.4")
    assert rows["Loss, |A − B|"] == ("0.25", "0.5", "10", "0.25")
    cosines = [1, 1 / math.sqrt(1.09), 1 / math.sqrt(1.01)]
    assert rows["Weights: cosine"] == (f"{sum(cosines) / 3:.4f}", f"{cosines[1]:.4f}", "10", f"{cosines[2]:.4f}")


def test_the_ten_that_moved_apart_most_come_in_order():
    d = np.array([0.01 * i for i in range(15)])
    made = pair(5, d, weights([f"w{i:02}" for i in range(15)]), broken=[2])
    table = tables(diff([pair(1, d[::-1], made.tensors), made]))[1]
    assert [row[0] for row in table.cells] == ["w02", *(f"w{i:02}" for i in range(14, 5, -1))]
    assert table.title == "Weights that differ at step 5: 14 of 15, the 10 that differ most"
    assert table.cells[0][-1] == "3"


def test_equal_runs_have_no_table_of_tensors():
    assert len(tables(identical())) == 1
    assert "IDENTICAL" in screen(identical())


def test_one_pair_of_files_has_no_steps():
    shown = screen(one_pair())
    assert "step" not in shown.lower()
    assert "Mean" not in shown
    assert "Value" in shown


def test_long_names_are_folded_not_cut():
    tensors = long_names(12)
    lines = screen(diverging([0, 50, 100], tensors=tensors)).splitlines()
    head = next(i for i, line in enumerate(lines) if "ULP max" in line)
    column = "".join(line[: lines[head].index("Group")].strip() for line in lines[head + 2 : lines.index("Findings")])
    assert sum(t.name in column for t in tensors) == 10
    assert len(short("x" * 500)) == 120
    assert short("a.weight") == "a.weight"


def test_names_are_neither_markup_nor_escapes():
    found = diff([pair(1, 0.1, (tensor(NASTY),))], words=f"It is {NASTY}.")
    for shown in (screen(found), text(found, "markdown")):
        assert "[red]fc[/red]" in shown
        assert "\x1b" not in shown
    assert strict(found)["checkpoints"][0]["tensors"][0]["name"] == NASTY


def test_what_was_left_out_is_counted_and_named():
    shown = unfolded(screen(everything()))
    for words in (
        "20 dumps of A without a partner: A/batch_dumps/epoch_001/batch_0040.pt", "and 17 more",
        "1 file skipped:", "B/batch_dumps/epoch_001/batch_0040.pt: it is truncated: 12 bytes",
        "norm.weight (n1.weight or n2.weight)", "head.weight: shapes differ: (10, 4) and (12, 4)",
        "2 tensors only in B: extra.weight, extra.bias", "warning: A's dumps have no accuracy",
    ):  # fmt: skip
        assert unfolded(words) in shown, words


def test_many_findings_are_cut_on_the_screen_only():
    found = [Finding("jump", f"jump number {i}", i, serious=i > 2) for i in range(40)]
    many = replace(diverging(), verdict=Verdict("diverged", "They part.", found[0], tuple(found)))
    shown = screen(many)
    assert "and 25 more" in shown
    assert "jump number 3\n" in shown
    assert "jump number 0\n" not in shown  # a remark stands after what is serious
    assert len(strict(many)["verdict"]["findings"]) == 40


def test_markdown_has_the_verdict_and_tables():
    shown = text(everything(), "markdown")
    assert shown.startswith("Diverged. Another order of one batch.\n")
    assert "| Weights: L2 | 8e-06 | 1.2e-05 | 30 | 1.2e-05 |" in shown
    assert "| fc.weight | mlp | 3e-06 |" in shown
    assert "- 1 tensor only in A: aux.weight\n" in shown
