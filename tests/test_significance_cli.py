"""``compare-models significance``: what it prints, writes and refuses."""

import csv
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from modelcmp_cli.app import app
from training_results import SETTINGS
from typer.testing import CliRunner

from modelcmp.errors import ModelcmpError
from modelcmp.sweeps.statistics.significance import significance
from modelcmp.training.evaluation.predictions import Predictions, predictions_path, save_predictions
from modelcmp.training.grouping import load_groups
from modelcmp.training.results import RunResult, save_result

N, K = 200, 5


def trained(root, name, seed, signal, status="finished"):
    """A run of one seed in a workspace of its own, as trials leave it."""
    folder = root / f"{name}-seed-{seed}" / f"comparison-{name}"
    targets = np.random.default_rng(5).integers(0, K, N)
    logits = np.random.default_rng([seed, *name.encode()]).normal(size=(N, K))
    logits[np.arange(N), targets] += signal
    p = Predictions(targets, logits, tuple("vwxyz"), False, np.arange(N))
    path = predictions_path(folder, "test")
    path.parent.mkdir(parents=True)
    done = status == "finished"
    if done:
        save_predictions(p, path)
    test = {"accuracy": float((p.labels() == targets).mean()), "loss": float(p.losses().mean())} if done else None
    save_result(RunResult(name, name, status, settings={**SETTINGS, "seed": seed}, test=test), folder)
    return folder.parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("trials") / "runs"
    for seed in range(4):
        trained(root, "good", seed, 4.0)
        trained(root, "[red]poor", seed, 2.0)
        trained(root, "near", seed, 3.95, "diverged" if seed == 2 else "finished")
    return root


def call(*words, width=80):
    return CliRunner(env={"COLUMNS": str(width), "NO_COLOR": "1"}).invoke(app, ["significance", *map(str, words)])


def said(*words, **given):
    done = call(*words, **given)
    assert done.exit_code == 0, done.output
    return done.stdout


def every(runs):
    return sorted(runs.iterdir())


def test_tables_and_sentences(runs):
    text = said(*every(runs))
    flat = " ".join(text.split())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "cannot be told apart in test accuracy" in flat
    assert "better than [red]poor" in flat
    assert "Of 4 runs of near 1 diverged" in flat
    assert re.search(r"near +\S+ ± \S+ % .* 3 of 4 +a ", text)
    assert re.search(r"\[red\]poor +\S+ ± \S+ % .* 4 +b ", text)
    assert "A better" in text
    assert "not separable" in text


def test_long_names_are_folded_and_pairs_are_numbered(tmp_path):
    names = ["se_resnet3d_" + "wide_" * 9 + end for end in ("a", "b", "c")]
    for name, seed in itertools.product(names, (0, 1)):
        trained(tmp_path, name, seed, 3.0)
    lines = said(tmp_path).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in "".join(lines)
    tables = "".join(line[1:].split("  ")[0].strip() for line in lines[: lines.index(next(
        line for line in lines if "cannot be told apart" in line or "is better" in line))])  # fmt: skip
    for name in names:
        assert tables.count(name) == 1  # its row
    assert {line.split("  ")[0].strip() for line in lines} >= {"1 - 2", "1 - 3", "2 - 3"}


def settled(root, name, values, status="finished", message="", key="accuracy"):
    """Runs of a test figure without predictions."""
    for seed, value in enumerate(values):
        result = RunResult(name, name, status, message=message, settings={**SETTINGS, "seed": seed}, test={key: value})
        folder = root / f"{name}-seed-{seed}" / f"comparison-{name}"
        folder.mkdir(parents=True)
        save_result(result, folder)


def test_of_many_pairs_those_that_matter_are_shown(tmp_path):
    for i, name in enumerate("abcdefgh"):
        settled(tmp_path, name, [0.9 - 0.02 * i, 0.91 - 0.02 * i, 0.9 - 0.021 * i])
    lines = said(tmp_path).splitlines()
    found = [line[1:6] for line in lines if re.match(r" [a-h] - [a-h] ", line)]
    assert found == [f"a - {b}" for b in "bcdefgh"] + [f"{a} - {b}" for a, b in itertools.pairwise("bcdefgh")]
    assert "--format csv for all 28 pairs" in " ".join(lines)
    assert len(said(tmp_path, "--format", "csv").splitlines()) == 29
    markdown = said(tmp_path, "--format", "markdown")
    assert sum(bool(re.match(r"\| [a-h] - [a-h] \|", line)) for line in markdown.splitlines()) == 28
    assert "--format csv" not in markdown


def test_intervals_are_cut_where_no_share_can_be(tmp_path):
    settled(tmp_path, "a", [0.99, 0.5])
    settled(tmp_path, "b", [0.3, 0.9])
    text = said(tmp_path)
    assert re.search(r"^ a .* 0 to 100 ", text, re.MULTILINE)
    assert "-100 to 100" in text
    assert not re.search(r"\d{4}| 1[0-9][1-9] ", text)
    assert "Student's intervals can be wider than a share can be" in " ".join(text.split())
    document = json.loads(said(tmp_path, "--format", "json"))
    assert document["comparisons"][0]["spreads"][0]["low"] < 0
    assert document["comparisons"][0]["spreads"][0]["high"] > 1
    assert document["comparisons"][0]["differences"][0]["high"] > 1


@pytest.mark.parametrize("values", [([0.99, 0.5], [0.3, 0.9]), ([1.0, 1.0], [1.0, 1.0]), ([0.0, 0.0], [0.0, 0.02])])
def test_the_axis_of_the_diagram_ends_where_a_share_does(tmp_path, values):
    from modelcmp.reports.plots.significance import diagram
    from modelcmp.reports.plots.significance_draw import draw_diagram

    for name, row in zip("ab", values, strict=True):
        settled(tmp_path, name, row)
    (ax,) = draw_diagram(diagram(significance(load_groups([tmp_path])[0]))).axes
    low, high = ax.get_xlim()
    assert 0 <= low < high <= 1
    for line in ax.lines:
        if line.get_gid() in ("interval", "mean"):
            assert min(line.get_xdata()) >= low
            assert max(line.get_xdata()) <= high


def test_what_explains_the_tables_stands_once_after_several_figures(runs):
    text = " ".join(said(*every(runs), "--by", "test_accuracy,test_loss").split())
    one = " ".join(said(*every(runs), "--by", "test_accuracy").split())
    for words in ("p-values are adjusted", "Other examples: the", "Wilcoxon", "Of 4 runs of near"):
        assert one.count(words) == 1
        assert text.count(words) == 1
        assert text.index(words) > text.index("Test loss")
    assert text.count("is better than") == 2 * one.count("is better than")
    for style in ("markdown", "latex"):
        assert said(*every(runs), "--by", "test_accuracy,test_loss", "--format", style).count("Wilcoxon") == 1


def test_markdown_guards_a_name_once(tmp_path):
    for name in ("*x*_y", "b"):
        settled(tmp_path, name, [0.5, 0.6])
    rows = [line for line in said(tmp_path, "--format", "markdown").splitlines() if line.startswith("|")]
    assert any("*x" in row for row in rows)
    assert all("\\\\" not in row for row in rows)  # no backslash that is itself guarded


def test_when_every_run_broke_that_is_said(tmp_path):
    settled(tmp_path, "a", [0.1, 0.1], "diverged", "the loss became nan at step 2")
    settled(tmp_path, "b", [0.1], "failed", "out of memory")
    why = str(call(tmp_path).exception)
    assert "no test_accuracy (what is compared without --by)" in why
    assert "of 3 runs 2 diverged and 1 failed (the first, a: the loss became nan at step 2)" in why
    assert "lower lr" in why
    assert "no figure at all" not in why


def test_a_folder_of_workspaces_is_all_of_them(runs):
    assert said(runs) == said(*every(runs))


def test_csv_and_json_hold_the_same(runs, tmp_path):
    said(*every(runs), "--by", "test_loss,test_accuracy", "--output", tmp_path / "pairs.csv")
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    document = json.loads(said(*every(runs), "--by", "test_loss", "--by", "test_accuracy", "--format", "json"))
    pairs = [d for c in document["comparisons"] for d in c["differences"]]
    assert [c["metric"] for c in document["comparisons"]] == ["test_loss", "test_accuracy"]
    assert [(r["a"], r["b"], r["metric"]) for r in rows] == [(d["a"], d["b"], d["metric"]) for d in pairs]
    assert [float(r["difference"]) for r in rows] == [d["difference"] for d in pairs]
    for row in rows:
        if row["method"] == "paired t" and row["n_a"] == "4":
            assert float(row["difference"]) == pytest.approx(float(row["mean_a"]) - float(row["mean_b"]))


def test_markdown_and_latex(runs):
    markdown = said(*every(runs), "--format", "markdown")
    assert "| A - B |" in markdown
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("| near - ")}) == 1
    latex = said(*every(runs), "--format", "latex")
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == 2
    assert "{[}red{]}poor" in latex


def test_single_runs_are_compared_by_example(runs):
    flat = " ".join(said(runs / "good-seed-0", runs / "[red]poor-seed-0").split())
    assert "McNemar's test, one run of each" in flat
    assert "says nothing of other seeds" in flat


def test_diagram_is_drawn(runs, tmp_path):
    said(*every(runs), "--plot", tmp_path / "d.png")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--by", "test_accurcy"], "did you mean 'test_accuracy'"),
        (["--by", "accuracy"], "write val_accuracy or test_accuracy"),
        (["--by", "test_f1"], "no run has a test_f1: they have test_accuracy, test_loss"),
        (["--by", ","], "--by names no figure"),
        (["--alpha", "0"], "alpha is a share between 0 and 1"),
        (["--confidence", "95"], "confidence is a share between 0 and 1"),
        (["--by", "test_loss,test_accuracy", "--plot", "x.png"], "--plot draws one figure"),
        (["--format", "xml"], "unknown format"),
        (["--output", "pairs.xlsx"], ".xlsx"),
        (["--plot", "x.pdf"], "x.pdf"),
    ],
)
def test_bad_requests_are_refused(runs, words, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*every(runs), *words)
    assert isinstance(done.exception, ModelcmpError)
    assert done.exception.exit_code == 2
    assert why in str(done.exception)
    assert not done.stdout
    assert not list(tmp_path.iterdir())


def test_one_model_and_no_runs_are_refused(runs, tmp_path):
    one = call(*sorted(runs.glob("good-*")))
    assert "needs two models or more, and there is only good" in str(one.exception)
    assert "does not exist" in str(call(tmp_path / "nothing").exception)
    assert "holds no" in str(call(tmp_path).exception)


def test_from_the_shell(runs):
    done = subprocess.run(
        [sys.executable, "-m", "modelcmp_cli", "significance", str(runs / "good-seed-0")],
        capture_output=True, text=True, env={**os.environ}, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: telling models apart needs two models")
