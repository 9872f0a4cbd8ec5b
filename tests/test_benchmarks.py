"""The benchmark script on one tiny model: that it runs and reports, never how fast."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
PEERS = ("thop", "torchinfo", "calflops", "deepspeed", "torchscan")


@pytest.fixture(autouse=True)
def _on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def run_script(*options: str) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own."""
    command = [sys.executable, str(BENCHMARKS / "profile_speed.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_one_tiny_model_and_a_missing_peer(tmp_path: Path) -> None:
    absent = next((name for name in PEERS if find_spec(name) is None), None)
    tools = ",".join(filter(None, ["modelcmp", "bare-meta", absent]))
    target = tmp_path / "untouched.md"
    short = ("--repeats", "1", "--no-cold-start", "--no-write", "--output", str(target))
    done = run_script("--models", "squeezenet1_1", "--tools", tools, *short)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("│ modelcmp"))
    assert [cell.strip() for cell in row.split("│")][2:6] == ["1", "1", "1", "0"]  # models, within 1 %, 3 %, failed
    assert "profiled forward over bare meta forward" in done.stdout
    assert str(tmp_path) not in done.stdout
    assert not target.exists()
    if absent:
        assert "not installed" in done.stdout


def test_unknown_tool_and_bad_repeats_are_refused() -> None:
    for options in (["--tools", "abacus"], ["--repeats", "0"]):
        done = run_script(*options, "--no-write")
        assert done.returncode == 2
        assert options[1] in done.stderr


def test_a_peer_that_is_missing_is_named_in_the_table() -> None:
    from speed_report import tools_table
    from speed_results import Results, ToolRun

    table = tools_table(Results({"thop": ToolRun("thop", missing="not installed")}))
    assert table.rows[0][:2] == ("thop", "not installed")


def test_a_peer_that_fails_on_import_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from profile_speed import run_tool

    (tmp_path / "thop.py").write_text("raise ImportError('needs an older torch')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = run_tool("thop", ["squeezenet1_1"], lambda _text: None)
    assert run.missing == "fails on import: ImportError: needs an older torch"


def test_only_its_own_section_is_replaced(tmp_path: Path) -> None:
    from speed_report import write_section

    page = tmp_path / "benchmarks.md"
    around = "# Mine\n\n<!-- other:begin -->\nkeep\n<!-- other:end -->\n"
    page.write_text(f"{around}<!-- profile_speed:begin -->\nold\n<!-- profile_speed:end -->\n\nafter\n")
    write_section(page, "new")
    assert page.read_text() == f"{around}<!-- profile_speed:begin -->\nnew\n<!-- profile_speed:end -->\n\nafter\n"


def test_a_page_is_begun_and_renewed_in_place(tmp_path: Path) -> None:
    from speed_report import INTRO, write_section

    page = tmp_path / "docs" / "benchmarks.md"
    write_section(page, "first")
    write_section(page, "second")
    assert page.read_text().startswith(INTRO)
    assert page.read_text().count("profile_speed:begin") == 1
    assert "first" not in page.read_text()


def test_a_lost_marker_is_refused() -> None:
    from speed_report import replace_section

    with pytest.raises(ValueError, match="not a pair"):
        replace_section("<!-- profile_speed:begin -->\nold\n", "new")


def test_times_are_compared_over_the_models_at_which_both_worked() -> None:
    from speed_results import Results, Row, ToolRun
    from speed_tools import Sample

    def ran(seconds: float) -> Sample:
        return Sample(2e9, False, seconds / 2, seconds / 2)

    ours = ToolRun("modelcmp", (Row("a", ran(1.0), 2.0), Row("b", ran(3.0), 2.0)))
    theirs = ToolRun("fvcore", (Row("a", ran(12.0), 1.0), Row("b", error="ValueError: no")))
    results = Results({"modelcmp": ours, "fvcore": theirs})
    assert results.ratio("fvcore") == 12.0
    assert (ours.within(0.01), theirs.within(0.03), len(theirs.failed)) == (2, 0, 1)
    assert theirs.worst is not None
    assert theirs.worst.off == 2.0


def test_no_folder_of_this_machine_is_told() -> None:
    from speed_environment import command_line, without_folders

    assert (
        without_folders("no '/opt/x/lib.so', see docs/a.md or https://a.org/b/c")
        == "no 'lib.so', see docs/a.md or https://a.org/b/c"
    )
    assert "/tmp" not in command_line(["--output", "/tmp/here/b.md", "--command=/tmp/venv/bin/compare-models"])


def test_all_training_loops_do_the_same_work(tmp_path: Path) -> None:
    from dataclasses import replace

    from train_loops import LOOPS, make_work

    from modelcmp.training.runtime import configured

    work = make_work("mlp", {"name": "digits", "kwargs": {"size": 8}}, 256, tmp_path)
    with configured(work.plan.config):
        for asked in (replace(work, epochs=2), replace(work, steps=3)):
            rounds = {name: LOOPS[name].run(asked) for name in ("ours", "bars", "bare", "loader")}
            assert len(rounds["bare"].losses) == asked.epochs * asked.steps
            assert rounds["bare"].losses[-1] < rounds["bare"].losses[0]
            for name, found in rounds.items():
                assert found.losses == pytest.approx(rounds["bare"].losses, abs=1e-6), name
                assert found.seconds > 0
    assert work.steps == 5  # 1,258 samples


def test_ratios_are_taken_within_rounds_and_the_worst_is_judged() -> None:
    from train_overhead import EMPTY, Result, ratios_table, targets_table
    from train_startup import Startup

    calm = Result("a", 2, rounds=[{"ours": 100.0, "bare": 100.0}, {"ours": 50.0, "bare": 50.0}])
    slow = Result("b", 2, rounds=[{"ours": 90.0, "bare": 100.0, "lightning": 45.0}] * 2)
    empty = Result(EMPTY, 1, rounds=[{"ours": 1000.0, "bare": 2000.0}])
    assert slow.ratios("bare") == [0.9, 0.9]
    assert empty.extra_us() == pytest.approx(500)
    startup = Startup([3.0, 3.2], {("--model", "mlp"): [4.0, 4.2], ("--recipe", "quickstart"): [5.0, 5.6]})
    rows = targets_table([calm, slow, empty], startup).rows
    assert [row[2:] for row in rows] == [
        ("0.949", "no"), ("0.900", "no"), ("–", "–"), ("–", "–"), ("2.000", "yes"), ("2.000", "yes"), ("2.20", "no"),
    ]  # fmt: skip
    assert "not idle" not in ratios_table([calm, slow, empty]).notes[0]
    calm.rounds[0]["bare"] = 300.0
    assert "not idle, measure again: a (2)." in ratios_table([calm, slow, empty]).notes[0]


def test_an_unknown_case_of_training_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from train_overhead import parse

    with pytest.raises(SystemExit):
        parse(["--cases", "mlp, digits; lstm, text"])
    assert "no case 'lstm, text'" in capsys.readouterr().err
    assert parse(["--quick"]).threads == [2]
