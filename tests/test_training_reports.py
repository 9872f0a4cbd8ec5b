"""Trained models ranked, in tables, files and pictures; how pictures look is looked at."""

import csv
import io
import json
import math
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
from rich.console import Console
from training_results import SETTINGS, history, run

from modelcmp.errors import BadInput, OutputError, UnknownName
from modelcmp.reports.fairness_table import fairness_lines, fairness_markdown, fairness_table
from modelcmp.reports.plots.comparison import NAMES, draw_comparison
from modelcmp.reports.plots.training import confusions, metric_bars, score_curves, split_of, training_curves
from modelcmp.reports.training_files import CSV_NAME, JSON_NAME, summary_csv, summary_json, write_summary
from modelcmp.reports.training_table import training_lines, training_markdown, training_tables, winner_line
from modelcmp.training.fairness import fairness, unequal
from modelcmp.training.results import RunResult, load_result, save_result
from modelcmp.training.summary import (
    RANK_KEYS,
    check_key,
    rank_runs,
    run_medals,
    run_places,
    summary_rows,
    unique_names,
)

NASTY = "[red]vit[/red] $x$ 模型"


def plain(name, accuracy=None, status="finished", **fields):
    """A run with one figure: enough where no picture is drawn."""
    val = (
        None
        if accuracy is None
        else {"accuracy": accuracy, "intervals": {"accuracy": [accuracy - 0.02, accuracy + 0.01]}}
    )
    return RunResult(name=name, model=name, status=status, val=val, **fields)


@pytest.fixture(scope="module")
def four():
    return [
        run("cnn", seed=0, signal=3),
        run("resnet", seed=1, signal=4),
        run("timm:vit_tiny_patch16_224", seed=2, signal=2),
        run(NASTY, seed=3, status="diverged", message="the loss is NaN at step 212", steps=212),
    ]


@pytest.fixture(scope="module")
def spots():
    return [run("Simple CNN 3D", k=2, seed=0, signal=1.5), run("SE-ResNet3D", k=2, seed=1, signal=3)]


def screen(tables, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def unfolded(text):
    """A table's text without what folding puts between the parts of a name."""
    return "".join(text.split())


# --- order ---------------------------------------------------------------------------------------


def test_best_first_then_unknown_then_broken():
    broken = plain("broken", 0.99, "diverged")
    runs = [
        plain("unknown"),
        plain("c", 0.7),
        broken,
        plain("a", 0.9),
        plain("failed", status="failed"),
        plain("b", 0.8),
    ]
    assert [r.name for r in rank_runs(runs)] == ["a", "b", "c", "unknown", "broken", "failed"]
    assert run_places(runs) == [None, 3, None, 1, None, 2]


def test_a_loss_is_better_small_and_a_nan_is_unknown():
    runs = [RunResult(n, n, "finished", test={"loss": v}) for n, v in (("a", 0.5), ("b", math.nan), ("c", 0.1))]
    assert [r.name for r in rank_runs(runs, "test_loss")] == ["c", "a", "b"]
    assert RANK_KEYS["test_loss"].value(runs[1]) is None


def test_medals_are_shared_and_broken_runs_get_none():
    runs = [plain("a", 0.9), plain("b", 0.8), plain("c", 0.9), plain("d", 0.95, "diverged"), plain("e", 0.7)]
    assert run_medals(runs) == {0: "🥇", 1: "🥉", 2: "🥇"}
    assert run_places(runs) == [1, 3, 1, None, 4]
    assert run_medals([plain("a", 0.9), plain("b", 0.9)]) == {}


def test_equal_values_keep_their_order():
    runs = [plain(n, 0.9) for n in "cab"]
    assert [r.name for r in rank_runs(runs)] == ["c", "a", "b"]


@pytest.mark.parametrize(("name", "said"), [
    ("val_acuracy", "did you mean 'val_accuracy'"), ("accuracy", "val_accuracy or test_accuracy"), ("f1", "test_f1"),
    ("epochs", "rank key"), ("", "rank key"),
])  # fmt: skip
def test_an_unknown_key_says_what_was_meant(name, said):
    with pytest.raises(UnknownName, match=said):
        check_key(name)


def test_keys_are_found_by_alias_and_with_hyphens():
    assert check_key("latency").key == "latency_ms"
    assert check_key("calibration").key == "test_calibration_error"
    assert check_key("Val-Accuracy").key == "val_accuracy"


def test_without_a_key_what_selected_the_epochs_ranks():
    runs = [
        RunResult(n, n, "finished", selected_by="val_loss", val={"loss": v, "accuracy": v})
        for n, v in (("a", 0.5), ("b", 0.1))
    ]
    assert [r.name for r in rank_runs(runs, None)] == ["b", "a"]
    assert [r.name for r in rank_runs([replace(runs[0], selected_by="val_accuracy"), runs[1]], None)] == ["a", "b"]


def test_every_key_writes_a_figure_of_a_full_run(four):
    for entry in RANK_KEYS.values():
        assert entry.text(four[0]) not in ("", "?", "None"), entry.key
        assert entry.text(RunResult("x", "x", "failed")) in ("?", "0", "0.00 µs"), entry.key


def test_figures_are_written_with_half_of_their_interval():
    entry, result = RANK_KEYS["val_accuracy"], plain("a", 0.9)
    assert entry.text(result) == "90.0 %"
    assert entry.text_with_interval(result) == "90.0 ±1.5 %"
    throughput = RANK_KEYS["throughput"].value(plain("a", latency_ms={"1": 1.0, "128": 16.0}))
    assert throughput == pytest.approx(8000)


# --- fairness ------------------------------------------------------------------------------------


def same(name, **changes):
    fields = {"steps": 400, "epochs": 10, "params": len(name)}
    return RunResult(
        name, name, "finished", settings={**SETTINGS, **changes.pop("settings", {})}, **{**fields, **changes}
    )


def test_equal_settings_are_equal_and_what_differs_by_nature_is_no_complaint():
    rows = {row.key: row for row in fairness([same("cnn"), same("resnet")])}
    assert rows["lr"].equal
    assert rows["lr"].texts() == ("0.001", "0.001")
    assert not rows["params"].equal
    assert not rows["params"].unfair
    assert unequal([same("cnn"), same("resnet")]) == ()
    assert fairness_lines([same("cnn"), same("vit")]) == ["All models had the same settings, data and number of steps."]
    assert fairness_lines([same("cnn")]) == []


def test_unequal_things_are_said_aloud():
    runs = [same("cnn"), same("resnet"), same("vit", steps=380, settings={"lr": 0.01, "data_digest_train": "f" * 64})]
    assert unequal(runs) == (
        "training split differs: ffffffffffff (vit), 4f0c4f0c4f0c (cnn and resnet)",
        "learning rate differs: 0.01 (vit), 0.001 (cnn and resnet)",
        "vit trained 380 steps, cnn and resnet 400",
    )


def test_a_setting_that_only_some_recorded_is_unequal_and_digests_differ_past_what_is_shown():
    a, b = same("a", settings={"dropout": 0.1}), same("b")
    assert "dropout differs: 0.1 (a), ? (b)" in unequal([a, b])
    a, b = (same(n, settings={"data_digest_val": "0" * 20 + n}) for n in "ab")
    assert f"validation split differs: {'0' * 20}a (a), {'0' * 20}b (b)" in unequal([a, b])


def test_runs_of_one_name_are_told_apart():
    assert unique_names([same("cnn"), same("vit"), same("cnn")]) == ["cnn", "vit", "cnn (2)"]
    assert unequal([same("cnn"), same("cnn", steps=1)])[0] in ("cnn trained 400 steps, cnn (2) 1",)


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("by", ["val_accuracy", "test_f1", "params", "latency"])
def test_tables_fit_and_keep_every_name(four, width, by):
    tables = training_tables(four, width, by)
    text = screen(tables, width)
    assert max(map(len, text.splitlines())) <= width
    for table in tables:
        names = next(column for column in table.columns if column.header == "Model")
        assert names.overflow == "fold"  # a name goes on in the next line
        assert sorted(cell.plain for cell in names.cells) == sorted(r.name for r in four)
    assert "…" not in text


def test_the_table_is_in_order_with_medals_and_says_who_broke(four):
    tables = training_tables(four, 80)
    assert len(tables) == 2
    lines = [line for line in screen(tables[:1], 80).splitlines() if "%" in line or "diverged" in line]
    assert [line.split()[0] for line in lines] == ["🥇", "🥈", "🥉", "[red]vit[/red]"]
    assert "resnet" in lines[0]
    accuracy = four[1].val["accuracy"]
    assert f"{100 * accuracy:.1f} %" in lines[0]
    low, high = four[1].test["intervals"]["accuracy"]
    assert f"{100 * four[1].test['accuracy']:.1f} ±{50 * (high - low):.1f} %" in lines[0]
    assert len(training_tables(four, 200)) == 1


def test_a_table_of_one_run_or_of_none_that_worked():
    assert "🥇" not in screen(training_tables([plain("a", 0.9)], 80), 80)
    text = screen(training_tables([plain("a", status="failed"), plain("b", status="diverged")], 80), 80)
    assert "failed" in text
    assert "diverged" in text


def test_lines_say_why_and_what_was_noted(four):
    lines = training_lines(four)
    assert f"{NASTY} diverged: the loss is NaN at step 212" in lines
    assert lines[0] == "Ranked by validation accuracy."
    noted = replace(four[0], test={**four[0].test, "notes": ["no examples of c2"]})
    assert "cnn, test: no examples of c2" in training_lines([noted])


def test_the_winner_is_named_and_overlap_is_said():
    assert winner_line([plain("a", 0.9), plain("b", 0.5)]) == "a is best in validation accuracy: 90.0 %, b 50.0 %"
    assert winner_line([plain("a", 0.90), plain("b", 0.89)]).endswith("so that this split does not separate them")
    assert winner_line([plain("a", 0.9), plain("b", 0.9)]).startswith("a and b share the best")
    assert winner_line([plain("a", 0.9), plain("b", status="failed")]) == ""


def test_markdown_has_a_row_a_model_and_escapes(four):
    rows = [line for line in training_markdown(four).splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(four)
    assert rows[2].startswith("| 🥇 resnet | ")
    assert len({line.count("|") for line in rows}) == 1
    assert "a\\|b" in training_markdown([plain("a|b", 0.9)])
    table = fairness_markdown([same("cnn"), same("vit", steps=1)])
    assert "| steps trained | ≠ | 400 (cnn); 1 (vit) |" in table
    assert table.rstrip().endswith("cnn trained 400 steps, vit 1")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_fairness_table_fits_and_marks_what_differs(four, width):
    text = screen([fairness_table(four, width)], width)
    assert max(map(len, text.splitlines())) <= width
    assert "[red]vit[/red]" in unfolded(text)
    signs = {line.split("  ")[0].strip(): sign for line in text.splitlines() for sign in "=≠·" if f" {sign} " in line}
    assert signs["steps trained"] == "≠"
    assert signs["learning rate"] == "="
    assert signs["parameters"] == "·"


# --- files ---------------------------------------------------------------------------------------


def test_rows_hold_every_key_unrounded_with_intervals(four):
    rows = summary_rows(four, "val_accuracy")
    assert [r["name"] for r in rows] == ["resnet", "cnn", "timm:vit_tiny_patch16_224", NASTY]
    best = rows[0]
    assert set(RANK_KEYS) <= set(best)
    assert best["test_auc"] == four[1].test["auc"]
    assert [best["test_auc_low"], best["test_auc_high"]] == four[1].test["intervals"]["auc"]
    assert best["latency_ms_batch_128"] == 20.0
    assert (rows[-1]["place"], rows[-1]["test_accuracy"], rows[-1]["status"]) == (None, None, "diverged")


def test_the_csv_reads_back(four):
    rows = list(csv.DictReader(io.StringIO(summary_csv(four))))
    assert len(rows) == 4
    assert float(rows[0]["val_accuracy"]) == four[1].val["accuracy"]
    assert rows[3]["test_accuracy"] == ""
    assert rows[3]["message"] == "the loss is NaN at step 212"


def test_the_json_document(four, tmp_path):
    assert [p.name for p in write_summary(four, tmp_path)] == [CSV_NAME, JSON_NAME]
    found = json.loads((tmp_path / JSON_NAME).read_text("utf-8"))
    assert {"schema", "tool", "environment", "selected_by", "ranking", "fairness", "runs"} <= set(found)
    assert found["schema"] == 1
    assert found["selected_by"] == "val_accuracy"
    assert [(e["place"], e["medal"], e["status"]) for e in found["ranking"]][::3] == [
        (1, "🥇", "finished"),
        (None, None, "diverged"),
    ]
    assert found["ranking"][0]["value"] == four[1].val["accuracy"]
    assert {row["key"] for row in found["fairness"] if not row["equal"] and not row["by_nature"]} == {"trained_steps"}
    assert found["runs"][0]["test"]["confusion"] == four[1].test["confusion"]
    assert "roc" not in found["runs"][0]["test"]
    assert found["runs"][3]["history"][-1]["val_loss"] is None  # NaN is no JSON
    assert found == json.loads(json.dumps(summary_json(four)))
    with pytest.raises(OutputError):
        write_summary(four, tmp_path / "missing")


def test_a_saved_result_gives_the_same_tables_and_rows(four, tmp_path):
    save_result(four[1], tmp_path)
    back = load_result(tmp_path)
    assert summary_rows([back]) == summary_rows(four[1:2])
    assert screen(training_tables([back], 80), 80) == screen(training_tables(four[1:2], 80), 80)


def test_tables_and_rows_need_neither_torch_nor_numpy():
    check = (
        "import sys, modelcmp.training.summary, modelcmp.training.fairness, modelcmp.reports.plots.comparison\n"
        "assert not {'torch', 'numpy', 'sklearn', 'matplotlib', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


# --- pictures: data ------------------------------------------------------------------------------


def test_curves_leave_out_what_is_not_finite(four):
    data = training_curves([*four, plain("none", history=())])
    assert data.missing == ("none",)
    diverged = data.lines[3]
    assert [e for e, _ in diverged.points("val_loss")] == [1, 2, 3, 4, 5]
    assert data.lines[0].points("val_loss") == [(row["epoch"], row["val_loss"]) for row in four[0].history]
    assert data.log_loss  # the diverging loss is 30 times the smallest
    assert not training_curves(four[:1]).log_loss


def test_histories_of_infinities_text_and_missing_keys_are_no_trouble():
    odd = (
        {"epoch": 1, "val_loss": math.inf},
        {"val_loss": 0.5},
        {"epoch": 3, "val_loss": None, "train_loss": -math.inf},
    )
    data = training_curves([plain("a", history=odd)])
    assert data.lines[0].points("val_loss") == [(2.0, 0.5)]
    assert data.values("accuracy") == []


def test_bars_are_the_figures_of_the_test_split_with_their_intervals(four):
    data = metric_bars(four)
    assert data.split == "test"
    assert [label for label, _ in data.panels] == ["Accuracy", "Precision", "Recall", "F1", "AUC"]
    bar = data.panels[4][1][1]
    assert [bar.value, bar.low, bar.high] == [four[1].test["auc"], *four[1].test["intervals"]["auc"]]
    assert data.missing == (NASTY,)
    assert split_of([plain("a", 0.9)]) == "val"
    assert metric_bars([plain("a", 0.9, "diverged")]).missing == ("a",)  # what it reached before says nothing
    assert metric_bars([plain("a", 0.9)]).panels[0][1][0].value == 0.9


def test_confusion_shares_are_of_rows(four):
    data = confusions(four)
    assert [p.name for p in data.panels] == [r.name for r in four[:3]]
    assert data.missing == (NASTY,)
    for panel in data.panels:
        assert all(sum(row) == pytest.approx(1) for row in panel.shares())
        assert sum(map(sum, panel.counts)) == 300
    empty = replace(data.panels[0], counts=((0, 0), (1, 3)), classes=("a", "b"))
    assert empty.shares() == [[0, 0], [0.25, 0.75]]


def test_score_curves_name_models_without_a_curve_and_keep_colours(four, spots):
    data = score_curves([four[3], *four[:3]])
    assert data.missing == (NASTY,)
    assert [c.colour for c in data.curves] == [1, 2, 3]
    assert (data.average, data.positives) == ("macro", None)
    single = score_curves(spots[:1])
    assert single.average == "class spot"
    assert single.positives == pytest.approx(spots[0].test["per_class"]["spot"]["support"] / 300)
    assert single.curves[0].auc == spots[0].test["auc"]


# --- pictures: drawing ---------------------------------------------------------------------------


def sizes(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return [int.from_bytes(data[i : i + 4], "big") for i in (16, 20)]


def drawn(results, folder):
    """All pictures, any warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = draw_comparison(results, folder, f"title {NASTY}")
    assert [p.name for p in made] == list(NAMES)
    assert all(300 <= min(sizes(p)) <= max(sizes(p)) < 6000 for p in made)
    return made


def test_four_pictures_of_several_models_one_of_them_broken(four, tmp_path):
    drawn(four, tmp_path)


def test_pictures_of_one_epoch_and_two_classes(spots, tmp_path):
    drawn([replace(r, history=history(1), best_epoch=1, epochs=1) for r in spots], tmp_path)


def test_pictures_say_so_where_there_is_nothing_to_show(tmp_path):
    drawn(
        [plain("a", status="failed"), plain("b", 0.4, "diverged", history=({"epoch": 1, "val_loss": math.nan},))],
        tmp_path,
    )
    with pytest.raises(BadInput, match="no trained model"):
        draw_comparison([], tmp_path)
    with pytest.raises(OutputError, match="no folder"):
        draw_comparison([plain("a")], tmp_path / "missing")


def figure(draw, data):
    from modelcmp.reports.plots.style import house_style

    with house_style():
        made = draw(data, "")
        made.draw_without_rendering()
    return made


def marks(made, gid):
    return [a for ax in made.axes for a in (*ax.lines, *ax.texts) if a.get_gid() == gid]


def test_the_kept_epoch_is_ringed_and_the_break_is_crossed(four):
    from modelcmp.reports.plots.draw_training import draw_training_curves

    made = figure(draw_training_curves, training_curves(four))
    rings, crosses = marks(made, "best"), marks(made, "broken")
    assert [ring.get_xdata()[0] for ring in rings] == [8.0] * 6  # three models, two panels
    assert [cross.get_xdata()[0] for cross in crosses] == [5.0] * 2
    dashed = [line for line in marks(made, "train-loss") if line.get_linestyle() == "--"]
    assert len(dashed) == 4
    assert {line.get_linestyle() for line in marks(made, "val-loss")} == {"-"}


def test_numbers_are_in_the_cells_of_ten_classes_and_not_of_forty(four):
    from modelcmp.reports.plots.draw_evaluation import draw_confusions

    few = figure(draw_confusions, confusions(four[:1]))
    counts = sorted(int(t.get_text()) for t in marks(few, "count"))
    assert counts == sorted(c for row in four[0].test["confusion"] for c in row if c)
    panel = replace(confusions(four[:1]).panels[0], classes=tuple(map(str, range(40))), counts=((1,) * 40,) * 40)
    many = figure(draw_confusions, replace(confusions(four[:1]), panels=(panel,)))
    assert marks(many, "count") == []


def test_whiskers_span_the_intervals(four):
    from modelcmp.reports.plots.draw_training import draw_metric_bars

    made = figure(draw_metric_bars, metric_bars(four))
    whiskers = [list(line.get_xdata()) for line in made.axes[0].lines if line.get_gid() == "interval"]
    assert whiskers == [r.test["intervals"]["accuracy"] for r in four[:3]]


def test_legends_hold_the_areas(spots):
    from modelcmp.reports.plots.draw_evaluation import draw_score_curves

    made = figure(draw_score_curves, score_curves(spots))
    texts = [t.get_text() for t in made.axes[1].get_legend().get_texts()]
    for text, result in zip(texts, spots, strict=True):
        found = result.test
        assert text == f"{result.name}\nAUC {100 * found['auc']:.1f} %, AP {100 * found['average_precision']:.1f} %"
