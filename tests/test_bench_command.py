"""What is shown of measured times: tables, files, pictures, and the command itself."""

import csv
import io
import json
from dataclasses import replace

import pytest
import torch
from bench_results import NETS, device, prediction, result

from modelcmp.errors import UnknownName
from modelcmp.hardware import catalogue
from modelcmp.measuring.bench import bench
from modelcmp.measuring.results import OUT_OF_MEMORY, BenchFailure, BenchResult
from modelcmp.measuring.samples import median
from modelcmp.reports import bench_table
from modelcmp.reports.plots import save
from modelcmp.reports.plots.measured import measured


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(NETS)
    return path


# --- tables, files, pictures -------------------------------------------------------------------


def outcomes():
    return [
        result("resnet18", (10.0, 10.5, 11.0), 1, prediction=prediction(9.0)),
        result("mobilenet_v2", (100.0, 105.0, 109.0), 32, "bf16", prediction(20.0), 5e8),
        BenchFailure("mobilenet_v2", 256, "bf16", OUT_OF_MEMORY, "mobilenet_v2 (batch 256, bf16): out of memory"),
    ]


def text_of(tables, width=80):
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 160])
def test_table_fits_with_names_whole(width):
    rows = [o for o in outcomes() if isinstance(o, BenchResult)]
    tables = bench_table.bench_tables(rows, width)
    text = text_of(tables, width)
    assert len(tables) == 1
    assert max(map(len, text.splitlines())) <= width
    assert "mobilenet_v2" in text
    for cell in ("10.5", "10.1–10.9", "0.857", "500MB"):
        assert cell in text


def test_table_says_who_ran_out_of_memory():
    text = text_of(bench_table.bench_tables(outcomes(), 120), 120)
    assert "out of memory" in text
    assert "256" in text


def test_tables_that_are_split_name_each_row():
    rows = [result("timm:vit_base_patch16_clip_quickgelu_224", batch_size=b, dtype=d, prediction=prediction(9.0))
            for b in (1, 64) for d in ("fp32", "bf16")]  # fmt: skip
    tables = bench_table.bench_tables(rows, 60)
    text = text_of(tables, 60)
    assert len(tables) > 1
    assert text.count("64 bf16") == len(tables)
    assert max(map(len, text.splitlines())) <= 60


def test_best_of_rows_that_compare():
    rows = outcomes()
    assert bench_table._best(rows) == {"Samples/s": 1}  # latencies of two batch sizes do not
    same = [result("a", (2.0,)), result("b", (1.0,))]
    assert bench_table._best(same) == {"Samples/s": 1, "Median ms": 1, "Peak mem": 0}


def test_sorting_keeps_failures_at_the_end():
    rows = outcomes()
    assert [o.name for o in bench_table.ordered(rows[::-1], "latency")] == ["resnet18", "mobilenet_v2", "mobilenet_v2"]
    assert bench_table.ordered(rows, "throughput")[0].batch_size == 32
    with pytest.raises(UnknownName):
        bench_table.check_sort("size")


def test_noise_is_named_with_what_to_do():
    assert bench_table.noise_line([result()]) == ""
    line = bench_table.noise_line([result(), result("shaky", (5.0, 10.0, 15.0))])
    assert "1 of 2" in line
    assert "shaky" in line
    assert "--threads" in line
    steady = replace(result(), environment={"cpu_busy_pct": "80"})
    assert "other programs had 80.0% of the CPU" in bench_table.noise_line([steady])


def test_picture_of_predictions_leaves_out_what_has_none():
    data = measured([*outcomes(), result("alone")])
    assert data.predicted
    assert [m.name for m in data.marks] == ["resnet18", "mobilenet_v2"]
    assert data.left_out == ("mobilenet_v2", "alone")
    assert data.in_band == 1
    assert data.label(data.marks[1]) == "mobilenet_v2, batch 32, bf16"


def test_picture_without_predictions_shows_times():
    data = measured([result("a"), result("b", (1.0, 2.0, 3.0))])
    assert not data.predicted
    assert data.label(data.marks[0]) == "a"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
@pytest.mark.parametrize("rows", [outcomes(), [result("a $x$"), result("b")]])
def test_pictures_are_drawn(tmp_path, suffix, rows):
    path = tmp_path / f"p{suffix}"
    save(measured(rows), path, title="t", caption="c")
    assert path.stat().st_size > 1000


def test_the_calibration_with_as_many_threads_is_taken(net_file):
    catalogue.save(device(name="one", environment={"date": "2020-01-01", "threads": "1"}))
    catalogue.save(device(name="many", environment={"date": "2021-01-01", "threads": "64"}))
    for threads, name in ((1, "one"), (2, "many")):
        (found,) = bench([f"{net_file}:Net"], input_size=8, threads=threads, seconds=0.02)
        assert found.prediction.device.name == name
        assert ("--threads 64" in bench_table.threads_line([found])) is (name == "many")


# --- command line ------------------------------------------------------------------------------


def test_command_writes_a_table_and_a_picture(cli, net_file, tmp_path):
    plot = tmp_path / "p.png"
    code, out, err = cli("bench", f"{net_file}:Net", "--input-size", 8, "--time", "0.02", "--plot", plot)
    assert code == 0, err
    assert "p5–p95" in out
    assert "calibrate" in err  # how to see predictions
    assert plot.exists()


def test_command_json_has_samples_and_environment(cli, net_file):
    code, out, err = cli("bench", f"{net_file}:Net", "-i", 8, "-b", "1,2", "--time", "0.02", "--threads", 1,
                         "--hardware", "h100", "--format", "json")  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    assert document["environment"]["torch"] == torch.__version__.split("+")[0] or document["environment"]["torch"]
    assert document["environment"]["threads"] == "1"
    assert [m["batch_size"] for m in document["models"]] == [1, 2]
    for m in document["models"]:
        assert m["environment"] == document["environment"]
        assert m["latency_ms"] == pytest.approx(median(m["samples_ms"]))
        assert m["predicted_ratio"] == pytest.approx(m["predicted_ms"] / m["latency_ms"])


def test_command_goes_on_after_out_of_memory(cli, nets):
    code, out, err = cli("bench", f"{nets}:Greedy", "-i", "8x8", "-b", "1,2", "--time", "0.02", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert [bool(r["error"]) for r in rows] == [False, True]
    assert rows[0]["latency_ms"]
    assert err.count("error:") == 1
    assert "out of memory" in err
    code, out, _ = cli("bench", f"{nets}:Greedy", "-i", "8x8", "-b", "1,2", "--time", "0.02")
    assert code == 1
    assert "no memory" in out


def test_command_markdown(cli, net_file):
    code, out, _ = cli("bench", f"{net_file}:Net", "-i", 8, "--time", "0.02", "--format", "markdown")
    assert code == 0
    assert out.startswith("| Model | Batch | Dtype | Median ms |")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "cuda"], "--device cpu"),
        (["--dtype", "tf32"], "has no tf32"),
        (["--dtype", "int8"], "unknown dtype"),
        (["--batch-size", "0"], "--batch-size"),
        (["--time", "soon"], "is no time"),
        (["--sort-by", "beauty"], "unknown sort key"),
        (["--threads", "0"], "--threads"),
        (["--plot", "p.txt"], ".png, .svg or .html"),
    ],
)
def test_bad_requests_are_one_line(cli, options, words, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, out, err = cli("bench", "resnet18", *options)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_compile_measures(cli, net_file):
    code, out, err = cli("bench", f"{net_file}:Net", "-i", 8, "--time", "0.02", "--compile", "--format", "json")
    if "no working C++ compiler" in err:
        pytest.skip("torch.compile has no C++ compiler here")
    assert code == 0, err
    assert json.loads(out)["models"][0]["compiled"] is True
