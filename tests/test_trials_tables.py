"""Means and spreads over seeds as text, tables and files, against Python's own statistics and decimal arithmetic."""

import csv
import io
import json
import re
import statistics
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console
from training_results import SETTINGS

from modelcmp.errors import OutputError, UnknownName
from modelcmp.reports.spreads import latex, mean_latex, mean_text, parts
from modelcmp.reports.trials_files import NAMES, curves_csv, write_trials
from modelcmp.reports.trials_table import STYLES, trials_lines, trials_table, trials_text
from modelcmp.sweeps.statistics.records import Spread
from modelcmp.training.grouping import Run, group_runs
from modelcmp.training.results import RunResult
from modelcmp.training.summary import RANK_KEYS

NASTY = "[red]vit_50%[/red] & $x$ #1 ~^{\\}"
LOSSES = {"cnn": (0.0561, 0.0589, 0.0554, 0.0577, 0.0574), "mlp": (0.2101, 0.2139, 0.2152, 0.2120, 0.2118)}
ACCURACY = {"cnn": (0.981, 0.983, 0.9815, 0.9828, 0.9817), "mlp": (0.936, 0.940, 0.9385, 0.9372, 0.9383)}


def spread(mean, std, n=5):
    return Spread("cnn", "test_loss", (mean,) * n, tuple(range(n)), {}, mean, std)


def grouped(*results):
    return group_runs(Run(r, Path(f"/w{i}/comparison-{r.name}")) for i, r in enumerate(results))


def result(name, seed, loss=None, accuracy=None, status="finished", message="", **settings):
    test = {"loss": loss, "accuracy": accuracy} if status == "finished" else None
    return RunResult(name, name, status, message, test=test, settings={**SETTINGS, "seed": seed, **settings})


@pytest.fixture(scope="module")
def two():
    """Five seeds of two models, and one of a third whose other seed broke."""
    rows = [
        result(n, s, loss, acc)
        for n in LOSSES
        for s, (loss, acc) in enumerate(zip(LOSSES[n], ACCURACY[n], strict=True), 1)
    ]
    return grouped(*rows, result(NASTY, 1, 1.5, 0.5), result(NASTY, 2, status="diverged", message="NaN at step 3"))


def screen(renderables, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for item in renderables:
        console.print(item, markup=False)
    return console.file.getvalue()


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "std", "key", "text"), [
    (0.05712, 0.00153, "test_loss", "0.0571 ± 0.0015"), (0.2126, 0.0024, "test_loss", "0.2126 ± 0.0024"),
    (0.98204, 0.0009, "test_accuracy", "98.204 ± 0.090 %"), (0.938, 0.0174, "test_accuracy", "93.8 ± 1.7 %"),
    (0.5, 0.0996, "test_loss", "0.50 ± 0.10"), (2.4, 9.96, "test_loss", "2 ± 10"),
    (35.0, 138.0, "test_loss", "35 ± 138"),
    (0.9, 0.0, "test_accuracy", "90 ± 0 %"), (0.9, 1e-17, "test_accuracy", "90 ± 0 %"),
    (0.9, None, "test_accuracy", "90.0 %"), (None, None, "test_accuracy", "-"),
    (83.4, 9.4, "train_seconds", "83.4 ± 9.4 s"), (7449.0, 600.0, "train_seconds", "2.07 ± 0.17 h"),
    (0.0312, 0.0011, "latency_ms", "31.2 ± 1.1 µs"), (421642.0, 0.0, "params", "422k"),
    (123.4e6, 1.7e6, "peak_memory_bytes", "123.4 ± 1.7MB"), (1.01e7, 3e6, "test_loss", "1.01e+07 ± 3e+06"),
])  # fmt: skip
def test_digits_are_those_of_the_spread(mean, std, key, text):
    assert mean_text(spread(mean, std), RANK_KEYS[key]) == text


@pytest.mark.parametrize("exponent", range(-8, 4))
@pytest.mark.parametrize("digits", ["1.04", "3.14159", "9.949", "9.96", "5.0"])
def test_rounding_is_that_of_decimal_arithmetic(exponent, digits):
    """Two significant digits of the spread, and the mean to the same place, computed in decimals."""
    std = Decimal(digits).scaleb(exponent)
    mean = Decimal("12.3456789012345")
    shown_mean, shown_std, _ = parts(float(mean), float(std), "loss")
    place = Decimal(f"{std:.1e}").adjusted() - 1
    unit = Decimal(1).scaleb(min(place, 0))
    assert Decimal(shown_std) == std.quantize(unit)
    assert abs(Decimal(shown_mean) - mean) <= unit / 2
    assert Decimal(shown_mean).as_tuple().exponent == Decimal(shown_std).as_tuple().exponent == min(place, 0)


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [50, 80, 140])
def test_the_table_has_a_row_a_model_with_n(two, width):
    tables = trials_table(two, width)
    text = screen(tables, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for table in tables:
        assert [cell.plain for cell in table.columns[0].cells] == ["cnn", "mlp", NASTY]
    row = " ".join(line for line in text.splitlines() if "cnn" in line)
    mean, std = statistics.mean(LOSSES["cnn"]), statistics.stdev(LOSSES["cnn"])
    assert f"{mean:.4f} ± {std:.4f}" in row
    mean, std = statistics.mean(ACCURACY["cnn"]), statistics.stdev(ACCURACY["cnn"])
    assert f"{100 * mean:.3f} ± {100 * std:.3f} %" in row
    assert row.split()[-1] == "5"
    assert "1/2" in text


def test_lines_count_what_is_missing(two):
    lines = trials_lines(two)
    assert lines[0] == "Mean ± one standard deviation over n seeds (n - 1)."
    assert f"{NASTY}: 1 of 2 diverged (NaN at step 3)" in lines
    with pytest.raises(UnknownName, match="test_loss"):
        trials_table(two, 80, ["test_los"])


def test_twelve_models_of_long_names_fit():
    groups = grouped(*(result(f"timm-vit_base_patch16_clip_{i}.openai_ft_in1k", s, i / 10 + s / 100, 0.5 + s / 100)
                       for i in range(12) for s in (1, 2)))  # fmt: skip
    text = screen(trials_table(groups, 80), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.count("±") == 24


# --- files ---------------------------------------------------------------------------------------


def test_files_hold_every_seed_and_read_back(two, tmp_path):
    assert [p.name for p in write_trials(two, tmp_path)] == [*NAMES.values(), "trials_curves.csv"]
    rows = {r["name"]: r for r in csv.DictReader((tmp_path / "trials_summary.csv").open(encoding="utf-8"))}
    groups = {g["name"]: g for g in json.loads((tmp_path / "trials_summary.json").read_text("utf-8"))["groups"]}
    for name, values in LOSSES.items():
        assert [float(rows[name][f"test_loss_seed_{s}"]) for s in range(1, 6)] == list(values)
        assert list(groups[name]["figures"]["test_loss"]["seeds"].values()) == list(values)
        for found in (float(rows[name]["test_loss_std"]), groups[name]["figures"]["test_loss"]["std"]):
            assert found == pytest.approx(statistics.stdev(values))
    assert groups[NASTY]["figures"]["test_loss"]["missing"] == {"diverged": 1}
    assert (rows[NASTY]["test_loss_seed_2"], rows[NASTY]["test_loss_n"]) == ("", "1")
    markdown = (tmp_path / "trials_summary.md").read_text("utf-8")
    assert all(f"| cnn | {s} | {v:.4f} |" in markdown for s, v in enumerate(LOSSES["cnn"], 1))
    tex = (tmp_path / "trials_summary.tex").read_text("utf-8")
    assert all(f"seed {s} {v:.4f}" in tex for s, v in enumerate(LOSSES["mlp"], 1))
    with pytest.raises(OutputError):
        write_trials(two, tmp_path / "missing")
    with pytest.raises(UnknownName, match="did you mean 'latex'"):
        trials_text(two, "latx")


def test_curves_are_mean_and_deviation_of_the_seeds_that_reached_the_epoch(tmp_path):
    def run(seed, *losses):
        history = tuple({"epoch": i, "val_loss": v} for i, v in enumerate(losses, 1))
        return Run(RunResult("cnn", "cnn", "finished", settings={"seed": seed}, history=history), Path(f"cnn-{seed}"))

    groups = group_runs([run(1, 0.9, 0.5), run(2, 0.7), run(3, 0.8, 0.3)])
    rows = list(csv.DictReader(io.StringIO(curves_csv(groups))))
    assert [(r["name"], r["figure"], r["epoch"], r["n"]) for r in rows] == [
        ("cnn", "val_loss", "1", "3"), ("cnn", "val_loss", "2", "2"),
    ]  # fmt: skip
    assert [float(r["mean"]) for r in rows] == pytest.approx([0.8, 0.4])
    assert [float(r["std"]) for r in rows] == pytest.approx([0.1, 0.2 / 2**0.5])


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_one_run_without_figures(style):
    assert "cnn" in trials_text(grouped(result("cnn", 1, status="failed", message="out of\nmemory")), style)


def test_what_the_spread_is_is_said_where_one_is_shown(two):
    assert trials_lines(two)[1] == f"No spread: {NASTY}; that needs two seeds."
    single = trials_lines(grouped(result("cnn", 1, 0.5, 0.9), result("mlp", 1, 0.6, 0.8)))
    assert single == ["Figures of a single seed each: a spread over seeds needs two (--seeds 2)."]
    assert "±" not in trials_text(grouped(result("cnn", 1, 0.5, 0.9)), "markdown")
    lost = trials_lines(grouped(result("cnn", 1, status="diverged", message="NaN")))
    assert lost == ["No run has any of these figures.", "cnn: 1 of 1 diverged (NaN)"]
    same = [RunResult("cnn", "cnn", "finished", params=5, settings={**SETTINGS, "seed": s}) for s in (1, 2)]
    assert trials_lines(grouped(*same), ["params"]) == ["Means over n seeds."]


def test_a_repeated_seed_counts_once():
    groups = grouped(result("cnn", 3, 0.5, 0.9), result("cnn", 3, 0.6, 0.8), result("cnn", 4, status="diverged"))
    rows = [line for line in screen(trials_table(groups, 80), 80).splitlines() if "cnn" in line]
    assert rows[0].split()[-1] == "1/2"
    (row,) = csv.DictReader(io.StringIO(trials_text(groups, "csv")))
    assert row["missing"] == "diverged: 1"
    assert "cnn: 1 of 2 diverged" in trials_lines(groups)


def test_repeated_seeds_keep_their_values():
    groups = grouped(result("cnn", 3, 0.5, 0.9), result("cnn", 3, 0.6, 0.8), result("cnn", 4, 0.7, 0.7))
    (row,) = csv.DictReader(io.StringIO(trials_text(groups, "csv")))
    assert [row[f"test_loss_seed_{s}"] for s in ("3", "3 (2)", "4")] == ["0.5", "0.6", "0.7"]
    assert "Repeated seeds: cnn (3: 2 runs)" in trials_text(groups, "markdown")


# --- LaTeX ---------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"(?<!\\)[&%#_~^]")


def test_latex_is_a_tabular_of_equal_rows(two):
    lines = [line for line in trials_text(two, "latex").splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lrrr}"
    assert [lines[i] for i in (1, 3, -2, -1)] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + len(two)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    for row in rows:
        assert row.count("$") % 2 == row.count(r"\$") % 2
        assert row.count("{") - row.count(r"\{") == row.count("}") - row.count(r"\}")
    mean, std = statistics.mean(LOSSES["cnn"]), statistics.stdev(LOSSES["cnn"])
    assert f"${mean:.4f} \\pm {std:.4f}$" in rows[1]


def test_latex_escapes_all_that_is_special():
    text = latex(NASTY)
    plain = text.replace(r"\textasciitilde{}", "").replace(r"\textasciicircum{}", "").replace(r"\textbackslash{}", "")
    assert not _SPECIAL.search(plain)
    assert not re.search(r"(?<!\\)\$", plain)
    assert latex("a--b---c") == "a-{}-b-{}-{}-c"
    assert latex(",,'x`") == r",{},\textquotesingle{}x\textasciigrave{}"
    assert latex("^~<>|") == (r"\textasciicircum{}\textasciitilde{}\textless{}\textgreater{}\textbar{}")
    assert latex("a\x00b\x7f") == "a b "
    assert mean_latex(spread(0.98204, 0.0009), RANK_KEYS["test_accuracy"]) == r"$98.204 \pm 0.090$\,\%"
    assert mean_latex(spread(1e7, 3e6), RANK_KEYS["test_loss"]) == r"$1 \times 10^{7} \pm 3 \times 10^{6}$"
    assert mean_latex(spread(None, None, 0), RANK_KEYS["test_loss"]) == "--"
