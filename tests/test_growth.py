"""How figures grow with batch and input size."""

import csv
import io

import pytest

import modelcmp
from modelcmp.errors import BadInput
from modelcmp.growth import parse_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,4,…,256", (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        ("1,2,...,5", (1, 2, 3, 4, 5)),
        ("128,160,...,512", tuple(range(128, 513, 32))),
        ("1, 3, 9, ..., 81", (1, 3, 9, 27, 81)),
        ("8,12,18,...,27", (8, 12, 18, 27)),
        ("1,2,4,...,16,32,64", (1, 2, 4, 8, 16, 32, 64)),
        ("7", (7,)),
        ("4,4,2", (4, 2)),
    ],
)
def test_series(text, values):
    assert parse_values(text, "--batch") == values


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "1.5",
        "x",
        "1,...",
        "...,5",
        "1,...,5",
        "1,2,4,...,100",
        "4,2,...,1",
        "1,2,...,99999999",
        "1" * 12,
    ],
)
def test_series_that_cannot_be_read(text):
    with pytest.raises(BadInput, match="--batch"):
        parse_values(text, "--batch")


def rows(cli, *arguments):
    code, out, err = cli("scale", *arguments, "--format", "csv")
    assert code == 0, err
    return list(csv.DictReader(io.StringIO(out)))


def test_batches_follow_the_closed_form(cli):
    """Weights once a batch, the rest a sample: bytes = W + b·A, and MACs = b·M."""
    found = rows(cli, "resnet18", "--batch", "1,2,4,...,64")
    one, two = (int(r["traffic_bytes"]) for r in found[:2])
    for row in found:
        batch = int(row["batch_size"])
        assert int(row["macs"]) == batch * 1_814_073_344
        assert int(row["traffic_bytes"]) == (2 * one - two) + batch * (two - one)
        assert int(row["weight_bytes"]) == int(found[0]["weight_bytes"])


def test_the_turn_is_at_the_exact_batch(cli):
    code, out, _ = cli("scale", "resnet18", "--batch", "1,2,4,...,64")
    assert code == 0
    assert "compute-bound from batch 17 on" in out
    assert modelcmp.profile("resnet18", batch_size=16).bound == "balanced"
    assert modelcmp.profile("resnet18", batch_size=17).bound == "compute-bound"


def test_input_sizes(cli, tmp_path):
    found = rows(cli, "resnet18", "--input-size", "128,160,...,256", "--batch", "2")
    assert [r["input_shape"] for r in found] == [f"2x3x{n}x{n}" for n in (128, 160, 192, 224, 256)]
    plot = tmp_path / "g.html"
    code, out, _ = cli("scale", "resnet18", "--input-size", "128,256", "--plot", plot)
    assert code == 0
    assert "balanced throughout" in out
    assert "<svg" in plot.read_text()


def test_sizes_a_model_refuses_are_told_and_the_rest_shown(cli):
    code, out, err = cli("scale", "vit_b_16", "--input-size", "224,225,256")
    assert code == 1
    assert "225" not in out
    assert "224" in out
    assert "vit_b_16" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["resnet18"],
        ["resnet18", "--batch", "4"],
        ["resnet18", "--batch", "1,2", "--input-size", "128,160"],
        ["resnet18", "--batch", "1,x"],
        ["resnet81", "--batch", "1,2"],
        ["resnet18", "--batch", "1,2", "--plot", "x.bmp"],
    ],
)
def test_what_cannot_be_meant_is_refused(cli, arguments):
    code, out, err = cli("scale", *arguments)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1


def test_markdown_and_narrow_terminals(cli):
    out = cli("scale", "resnet18", "--batch", "1,2", "--format", "markdown")[1]
    assert out.startswith("| Batch | MACs | Traffic | AI | Peak | Class |\n| ---: |")
    for line in cli("scale", "timm:vit_base_patch16_224", "--batch", "1,256")[1].splitlines():
        assert len(line) <= 80
