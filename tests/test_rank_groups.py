"""Groups of runs ranked by their means; means and spreads are held to Python's own statistics."""

import csv
import io
import json
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from training_results import SETTINGS

from modelcmp.reports import group_outputs
from modelcmp.reports.group_ranking import rank_groups
from modelcmp.reports.group_table import best_line, missing_lines
from modelcmp.reports.significance_table import _group_columns
from modelcmp.sweeps.statistics.records import Difference, Significance
from modelcmp.sweeps.statistics.significance import significance
from modelcmp.training.grouping import Run, group_runs
from modelcmp.training.results import RunResult, save_result
from modelcmp.training.summary import RANK_KEYS, check_key

NASTY = "[red]vit[/red]|&_模型"
ACCURACIES = {"cnn": (0.90, 0.92, 0.94), "mlp": (0.80, 0.85, 0.84), NASTY: (0.5,)}
ENTRY = RANK_KEYS["val_accuracy"]


def result(name, seed, accuracy, status="finished", message="", settings=None, **fields):
    """A run of one figure on each split, the test split's a percent lower."""
    done = status == "finished"
    val = {"accuracy": accuracy, "loss": 1 - accuracy} if done else None
    test = {"accuracy": accuracy - 0.01, "loss": 1.1 - accuracy} if done else None
    told = {**SETTINGS, "seed": seed, **(settings or {})}
    return RunResult(name, name, status, message, val=val, test=test, settings=told, train_seconds=2.5, **fields)


def grouped(*results):
    return group_runs(Run(r, Path(f"/w{i}/comparison-{r.name}")) for i, r in enumerate(results))


@pytest.fixture
def three():
    """Three models of three, three and one seeds; runs that broke."""
    finished = [result(n, seed, a) for n, found in ACCURACIES.items() for seed, a in enumerate(found, 1)]
    return grouped(
        *finished,
        result("mlp", 4, 0, "diverged", "the loss is NaN at step 7"),
        result("mlp", 5, 0, "failed", "out of memory"),
        result("gone", 1, 0, "diverged", "the loss is NaN at step 2"),
    )


def screen(renderables, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for item in renderables:
        console.print(item, markup=False)
    return console.file.getvalue()


def joined(text):
    return " ".join(text.split())


# --- order ---------------------------------------------------------------------------------------


def test_means_decide_and_nothing_is_dropped(three):
    ranked = rank_groups(three)
    assert [r.group.name for r in ranked] == ["cnn", "mlp", NASTY, "gone"]
    assert [r.place for r in ranked] == [1, 2, 3, None]
    assert [r.medal for r in ranked] == ["🥇", "🥈", "🥉", ""]
    assert ranked[1].spread.mean == pytest.approx(statistics.mean(ACCURACIES["mlp"]))
    assert ranked[1].spread.std == pytest.approx(statistics.stdev(ACCURACIES["mlp"]))
    assert dict(ranked[1].spread.missing) == {"diverged": 1, "failed": 1}
    assert [r.group.name for r in rank_groups(three, "val_loss")][:2] == ["cnn", "mlp"]


def test_equal_means_share_a_place_and_one_alone_gets_no_medal():
    groups = grouped(result("a", 1, 0.9), result("b", 1, 0.9), result("c", 1, 0.8))
    assert [(r.place, r.medal) for r in rank_groups(groups)] == [(1, "🥇"), (1, "🥇"), (3, "🥉")]
    assert {r.medal for r in rank_groups(groups[:2])} == {""}


def significant(names, apart):
    """Every pair, of which some can be told apart; letters as a reader would give them."""
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    made = tuple(
        Difference(a, b, "val_accuracy", "Welch t", 3, 3, 0.1, 0, 1, 0.01, 0.01, 1.0, (a, b) in apart) for a, b in pairs
    )
    letters = {"a": "a", "b": "ab", "c": "b", "d": "c"}
    return Significance("val_accuracy", "high", 0.95, 0.05, (), made, {n: letters[n] for n in names})


def test_what_cannot_be_told_apart_from_the_first_shares_its_place():
    groups = grouped(*(result(n, 1, a) for n, a in zip("abcd", (0.9, 0.89, 0.88, 0.5), strict=True)))
    apart = {("a", "c"), ("a", "d"), ("b", "d"), ("c", "d")}
    ranked = rank_groups(groups, None, significant("abcd", apart))
    assert [(r.place, r.medal, r.letters) for r in ranked] == [
        (1, "🥇", "a"), (1, "🥇", "ab"), (3, "🥉", "b"), (4, "", "c")
    ]  # fmt: skip
    assert [r.medal for r in rank_groups(groups, None, significant("abcd", set()))] == [""] * 4


# --- screens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(60, 100, 3))
def test_the_head_of_short_names_is_whole(width):
    groups = grouped(*(result(n, s, 0.5 + s / 7) for n in "ab" for s in (1, 2)))
    assert "Model" in screen(group_outputs.screens(groups, width), width)


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("by", [None, "test_loss", "params", "latency"])
def test_screens_fit_and_name_everyone(three, width, by):
    text = screen(group_outputs.screens(three, width, by), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert all(name in "".join(text.split()) for name in ("cnn", "mlp", NASTY, "gone"))


def test_cells_are_mean_and_spread_and_counts_of_runs(three):
    lines = screen(group_outputs.screens(three, 80), 80).splitlines()
    cnn, mlp, vit, gone = (next(line for line in lines if mark in line) for mark in ("🥇", "🥈", "🥉", "gone"))
    assert "92.0 ± 2.0 %" in cnn
    assert "83.0 ± 2.6 %" in mlp
    assert (cnn.split()[-1], mlp.split()[-1], vit.split()[-1], gone.split()[-1]) == ("3", "3/5", "1", "0/1")
    assert "50.0 %" in vit
    assert "diverged" in gone


def test_lines_say_what_is_missing_and_why(three):
    text = joined(screen(group_outputs.screens(three, 140), 140))
    assert "mlp: 1 of 5 diverged (the loss is NaN at step 7); 1 of 5 failed (out of memory)" in text
    assert "gone: 1 of 1 diverged (the loss is NaN at step 2)" in text
    assert "± is one standard deviation over seeds (n - 1)" in text
    pruned = grouped(result("a", 1, 0, "pruned", "below the median"), result("a", 2, 0, "pruned"), result("a", 3, 0.5))
    assert missing_lines(pruned, ["val_accuracy"]) == ["a: 2 of 3 were pruned (below the median)"]
    untested = grouped(replace(result("a", 1, 0.5), test=None))
    assert missing_lines(untested, ["test_loss"]) == ["a: 1 of 1 finished without test loss"]
    reasons = grouped(*(result("a", i, 0, "failed", f"reason {i}") for i in range(9)))
    assert missing_lines(reasons, [])[0].endswith("(reason 0; reason 1; reason 2; 6 further reasons)")
    many = grouped(*(result(f"m{i}", 1, 0, "failed") for i in range(40)))
    assert missing_lines(many, [])[-1] == "28 more groups are not complete."


def test_only_differing_settings_have_columns_and_the_rest_is_named():
    long = "adamw(betas=(0.9, 0.999), weight_decay=0.01, amsgrad=True, foreach=False, maximize=False)"
    settings = [{"lr": 0.1, "optimizer": long, "max_steps": None}, {"lr": 0.01, "optimizer": "sgd", "max_steps": 5}]
    groups = grouped(
        *(result("cnn", seed, 0.9 - i / 10, settings=s) for i, s in enumerate(settings) for seed in (1, 2))
    )
    text = screen(group_outputs.screens(groups, 80), 80)
    head = next(line for line in text.splitlines() if "Model" in line)
    assert head.split()[:3] == ["Model", "lr", "max_steps"]
    assert "batch_size" not in text
    assert "Without a column of their own: optimizer" in joined(text)
    assert "optimizer" in screen(group_outputs.screens(groups, 200), 200).splitlines()[1]
    markdown = group_outputs.text(groups, "markdown")
    assert long in markdown
    assert "| Model | lr | optimizer | max_steps |" in markdown.replace("| optimizer | lr |", "| lr | optimizer |")


def test_top_shows_the_first_of_all_and_the_winner_is_named(three):
    text = joined(screen(group_outputs.screens(three, 100, top=2), 100))
    assert "Only the first 2 of 4 groups are shown." in text
    assert "🥉" not in text
    assert "cnn has the best mean of validation accuracy: 92.0 ± 2.0 %, mlp 83.0 ± 2.6 %" in text
    assert best_line(rank_groups(three[:1]), ENTRY) == ""
    same = grouped(result("a", 1, 0.9), result("b", 1, 0.9))
    assert best_line(rank_groups(same), ENTRY) == "a and b share the best validation accuracy: 90.0 %"


def test_the_first_alone_keeps_its_place_and_what_it_was_ranked_by(three):
    text = joined(screen(group_outputs.screens(three, 100, top=1), 100))
    assert "🥇 cnn" in text
    assert "Ranked by the mean of validation accuracy over seeds. Only the best of 4 groups is shown." in text
    assert "| 🥇 cnn |" in group_outputs.text(three, "markdown", top=1)
    (row,) = json.loads(group_outputs.text(three, "json", top=1))["groups"]
    assert (row["place"], row["medal"]) == (1, "🥇")


def test_a_repeated_seed_is_no_missing_run_in_any_table():
    groups = grouped(result("a", 1, 0.9), result("a", 1, 0.8), result("a", 2, 0.6), result("b", 1, 0.5))
    line = next(line for line in screen(group_outputs.screens(groups, 100), 100).splitlines() if "🥇" in line)
    assert line.split()[-1] == "2"
    assert "75" in line  # the mean of 0.9 and 0.6
    count = next(c for c in significance_columns(groups) if c.head == "Runs")
    assert count.cells == ("2", "1")
    assert "Repeated seeds: a (1: 2 runs)" in joined(screen(group_outputs.screens(groups, 100), 100))
    again = grouped(result("a", 1, 0, "diverged", "NaN"), result("a", 1, 0.8), result("b", 1, 0, "diverged"))
    text = joined(screen(group_outputs.screens(again, 100), 100))
    assert "80.0 %" in text
    assert "a (1: 2 runs, 1 diverged)" in text
    assert "a: 1 of" not in text
    (found,) = [g for g in rank_groups(again) if g.group.name == "a"]
    assert (found.spread.values, dict(found.spread.missing)) == ((0.8,), {})


def significance_columns(groups):
    return _group_columns(significance(groups, "val_accuracy"))


def test_what_was_ranked_is_said_where_all_runs_broke_and_where_some_did():
    broken = grouped(*(result(n, s, 0, "diverged") for n in "ab" for s in (1, 2)))
    text = joined(screen(group_outputs.screens(broken, 100), 100))
    assert "Not ranked: no run has a figure for validation accuracy." in text
    assert "one run each" not in text
    some = grouped(result("a", 1, 0.9), result("a", 2, 0, "diverged"), result("b", 1, 0.8))
    text = joined(screen(group_outputs.screens(some, 100), 100))
    assert "Ranked by the mean of validation accuracy over seeds." in text
    assert "±" not in text
    text = screen(group_outputs.screens(grouped(result("a", 1, 0.9), result("b", 1, 0.8)), 100), 100)
    assert "Ranked by validation accuracy, of one run each." in text


# --- files ---------------------------------------------------------------------------------------


def test_csv_and_json_carry_every_seed(three):
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(group_outputs.text(three, "csv")))}
    for name, values in ACCURACIES.items():
        assert [float(rows[name][f"val_accuracy_seed_{i}"]) for i in range(1, len(values) + 1)] == list(values)
        assert float(rows[name]["val_accuracy_mean"]) == pytest.approx(statistics.fmean(values))
        assert int(rows[name]["val_accuracy_n"]) == len(values)
    assert float(rows["cnn"]["val_accuracy_std"]) == pytest.approx(statistics.stdev(ACCURACIES["cnn"]))
    assert rows[NASTY]["val_accuracy_std"] == ""
    assert (rows["mlp"]["missing"], rows["mlp"]["runs"], rows["mlp"]["finished"]) == (
        "diverged: 1; failed: 1",
        "5",
        "3",
    )
    found = json.loads(group_outputs.text(three, "json"))
    assert (found["schema"], found["ranked_by"]) == (1, "val_accuracy")
    groups = {g["name"]: g for g in found["groups"]}
    assert groups["mlp"]["figures"]["val_accuracy"]["seeds"] == {"1": 0.8, "2": 0.85, "3": 0.84, "4": None, "5": None}
    assert groups["mlp"]["figures"]["val_accuracy"]["missing"] == {"diverged": 1, "failed": 1}
    assert [r["status"] for r in groups["mlp"]["runs"]].count("finished") == 3
    assert groups["gone"]["place"] is None


def test_markdown_escapes(three):
    rows = [line for line in group_outputs.text(three, "markdown").splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(three)
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


@pytest.mark.parametrize("name", ["*x*", "_x_", "a_b_c", "__init__", "`x`", "~~x~~", "[a](b)", "a|b", "\\*x\\*",
                                  "<b>x</b>", "&lt;", "x_", NASTY])  # fmt: skip
def test_markdown_shows_names_as_they_are(name):
    """As another program reads it."""
    text = group_outputs.text(grouped(result(name, 1, 0.9), result("other", 1, 0.8)), "markdown")
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    row = next(t for i, t in enumerate(tokens) if tokens[i - 1].type == "td_open")
    assert "".join(part.content for part in row.children) == f"🥇 {name}"
    assert {part.type for part in row.children} <= {"text", "text_special"}
    (line,) = [t for t in tokens if t.type == "inline" and "has the best" in t.content]
    assert "".join(part.content for part in line.children).startswith(f"{name} has the best")


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Trials of two models with three seeds, of which one diverged, as `trials` lays them out."""
    folder = tmp_path_factory.mktemp("rank") / "trials"
    for name in ("cnn", "mlp"):
        for seed, accuracy in enumerate(ACCURACIES[name], 1):
            broken = (name, seed) == ("mlp", 3)
            made = result(name, seed, accuracy, *(("diverged", "NaN at step 3") if broken else ()))
            run = folder / "runs" / f"{name}-seed-{seed}" / f"comparison-{name}"
            run.mkdir(parents=True)
            save_result(made, run)
    return folder


def test_rank_groups_seeds_by_itself_and_runs_on_request(places, cli):
    code, out, err = cli("rank", places)
    assert (code, err) == (0, "")
    assert "92.0 ± 2.0 %" in out
    assert "mlp: 1 of 3 diverged (NaN at step 3)" in joined(out)
    code, out, _ = cli("rank", places, "--runs", "--top", "2")
    assert code == 0
    assert "cnn-seed-3/cnn" in joined(out)
    assert "cnn-seed-1/cnn" not in joined(out)
    code, out, err = cli("rank", places, "--runs", "--top", "1")
    assert "🥇 cnn-seed-3/cnn" in joined(out)
    assert "Ranked by validation accuracy. Only the best of 6 runs is shown." in joined(out)
    found = json.loads(cli("rank", places, "--runs", "--top", "1", "--format", "json")[1])
    assert [(r["place"], r["medal"]) for r in found["ranking"]] == [(1, "🥇")]
    assert "| 🥇 cnn-seed-3/cnn |" in cli("rank", places, "--runs", "--top", "1", "--format", "markdown")[1]


def test_one_seed_in_one_workspace_stays_a_table_of_runs(places, cli):
    one = places / "runs" / "cnn-seed-1"
    assert cli("rank", one)[1] == cli("rank", one, "--runs")[1]
    assert cli("rank", one, "--group")[1] != cli("rank", one)[1]


def test_rank_takes_conditions_and_refuses_wrong_ones(places, cli):
    code, out, err = cli("rank", places, "--where", 'model == "cnn" and seed < 3', "--format", "json")
    (group,) = json.loads(out)["groups"]
    assert (code, [r["seed"] for r in group["runs"]]) == (0, [1, 2])
    assert "2 of 6 runs meet" in err
    assert "too good" in cli("rank", places, "-w", "val_accuracy > 0.81")[2]
    code, _, err = cli("rank", places, "--where", "sed < 3")
    assert (code, "did you mean 'seed'" in err) == (2, True)
    assert cli("rank", places, "--where", "seed > 9")[0] == 2
    assert cli("rank", places, "--runs", "--significance")[0] == 2
    assert cli("rank", places, "--by", "acuracy")[0] == 2


def test_a_suffix_that_no_format_has_is_refused(places, cli, tmp_path):
    code, _, err = cli("rank", places, "-o", tmp_path / "r.tex")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "use one of .csv, .json, .md, .markdown, .txt, or add --format" in joined(err)
    for name, options in (("r.txt", ()), ("r", ()), ("r.2", ("--format", "table"))):
        assert cli("rank", places, "-o", tmp_path / name, *options)[0] == 0
        assert "🥇" in (tmp_path / name).read_text("utf-8")


def test_conditions_are_explained_with_figures_that_runs_have(places, cli):
    for wrong in ("test_accuracy", "test_accuracy >"):
        code, _, err = cli("rank", places, "--where", wrong)
        assert (code, "test_accuracy > 0.9 and lr < 0.01" in joined(err)) == (2, True)
        assert "macs" not in err


def test_rank_by_a_test_figure_is_by_its_mean(places, cli):
    code, out, _ = cli("rank", places, "--by", "test_loss", "--format", "csv")
    rows = list(csv.DictReader(out.splitlines()))
    assert (code, [r["name"] for r in rows]) == (0, ["cnn", "mlp"])
    losses = [1.1 - a for a in ACCURACIES["cnn"]]
    assert float(rows[0]["test_loss_mean"]) == pytest.approx(statistics.fmean(losses))
    assert check_key("test_loss").better == "low"


def test_significance_gives_letters_shared_places_and_sentences(tmp_path, cli):
    close = {"a": (0.90, 0.92, 0.91, 0.93), "b": (0.915, 0.905, 0.925, 0.91), "c": (0.5, 0.52, 0.49, 0.51)}
    for name, found in close.items():
        for seed, accuracy in enumerate(found, 1):
            run = tmp_path / "runs" / f"{name}-seed-{seed}" / f"comparison-{name}"
            run.mkdir(parents=True)
            save_result(result(name, seed, accuracy), run)
    code, out, err = cli("rank", tmp_path, "--significance", columns=120)
    assert (code, err) == (0, "")
    assert out.count("🥇") == 2
    assert "🥉" in out
    assert "share a letter" in out
    found = json.loads(cli("rank", tmp_path, "--significance", "--format", "json")[1])
    letters = {g["name"]: set(g["letters"]) for g in found["groups"]}
    assert letters["a"] & letters["b"]
    assert not letters["a"] & letters["c"]
    assert found["significance"]["metric"] == "val_accuracy"
