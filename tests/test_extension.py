"""One place for each kind of extension: a dummy added there shows up everywhere."""

import csv
import io
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import modelcmp
from modelcmp import metrics
from modelcmp.comparison import Comparison
from modelcmp.profiling.formulas import base
from modelcmp.reports import export, guide, tables
from modelcmp.sources import SOURCES, Inputs, Subject


@pytest.fixture
def dummy_metric(monkeypatch):
    monkeypatch.setattr(metrics.METRICS, "_things", dict(metrics.METRICS._things))

    @metrics.metric("dummy", "Dummy", "Dum", "size", "count", "low", "A dummy.", "Not at all.", alias="dum")
    def _dummy(t, v, c):
        return 42 + len(t.ops)

    return "dummy"


def test_a_metric_shows_up_everywhere(dummy_metric):
    profile = modelcmp.profile(nn.ReLU(), torch.empty(2, 3))
    comparison = Comparison((profile,))
    assert profile.dummy == 43
    assert metrics.find("dum").key == "dummy"
    assert comparison.sorted("dummy").to_frame()["dummy"].item() == 43
    rows = export.comparison_rows(comparison)
    assert json.loads(export.json_text(rows))[0]["dummy"] == 43
    assert next(csv.DictReader(io.StringIO(export.csv_text(rows))))["dummy"] == "43"
    assert any("Dum" in [c.header for c in t.columns] for t in tables.full_tables(comparison, 200))
    assert "`dummy` (`dum`)" in guide.metric_table()


def test_a_formula_is_used_and_documented(monkeypatch):
    lib = torch.library.Library("modelcmp_dummy", "DEF")
    lib.define("double(Tensor x) -> Tensor")
    lib.impl("double", lambda x: x.clone(), "CompositeExplicitAutograd")
    lib.impl("double", lambda x: torch.empty_like(x), "Meta")

    class Net(nn.Module):
        def forward(self, x):
            return torch.ops.modelcmp_dummy.double(x)

    unknown = modelcmp.profile(Net(), torch.empty(2, 3))
    assert unknown.ops[0].macs is None
    assert unknown.uncounted == {"modelcmp_dummy.double": 1}

    monkeypatch.setattr(base, "FORMULAS", dict(base.FORMULAS))
    from modelcmp.profiling import entries, opinfo

    monkeypatch.setattr(opinfo, "_KNOWN", {})
    monkeypatch.setattr(entries, "_CACHE", {})

    @base.formula("modelcmp_dummy.double", kind="pointwise")
    def double(x, *, out):
        """Doubles."""
        return base.Cost(other=7)

    assert modelcmp.profile(Net(), torch.empty(2, 3)).flops == 7
    assert "modelcmp_dummy.double" in guide.formula_table()


def test_a_source_is_named_and_listed(monkeypatch, capsys):
    class Dummy:
        name = "dummy"

        def names(self):
            return ["tiny"]

        def has(self, name):
            return name == "tiny"

        def subject(self, name, request):
            return Subject(
                name, "dummy", lambda: nn.Linear(4, 2), lambda r, d: Inputs((torch.empty(r.batch_size, 4, device=d),))
            )

    monkeypatch.setattr(SOURCES, "_things", dict(SOURCES._things))
    SOURCES.add("dummy", Dummy())
    assert modelcmp.profile("dummy:tiny", batch_size=3).macs == 24
    assert modelcmp.profile("tiny").params == 10
    from modelcmp_cli.commands.models import list_models

    assert list_models("tiny") == 0
    assert "dummy:tiny\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="registered twice"):
        SOURCES.add("dummy", Dummy())


def test_a_built_in_model_a_data_set_and_a_tracker_are_trained_with(monkeypatch, cli, tmp_path):
    from modelcmp.tracking.exporters import EXPORTERS
    from modelcmp.training.data import DATA
    from modelcmp.training.data.base import DataSet, InMemory
    from modelcmp.training.models import MODELS
    from modelcmp.training.models.base import built_in

    for registry in (MODELS, DATA, EXPORTERS):
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    rows = []

    @built_in("dummy_net", "a dummy", ranks=(1,))
    def dummy_net(shape, outputs, *, scale: int = 1):
        return nn.Linear(shape[0] * scale, outputs)

    from modelcmp.training.data.factories import data_set

    @data_set("dummy_data", "a dummy")
    def dummy_data(split_seed, *, width: int = 3):
        examples = InMemory(torch.eye(width), torch.arange(width))
        names = tuple(f"class {i}" for i in range(width))
        return DataSet("dummy_data", names, (width,), examples, examples, lambda: examples, {"train": "0"})

    class Dummy:
        def __getattr__(self, name):
            return lambda *args, **kwargs: rows.append((name, args))

    EXPORTERS.add("dummy_tracker", lambda **options: Dummy())
    code, out, err = cli(
        "train", "-m", "dummy_net", "--data", "dummy_data", "--epochs", "1", "--set", "trackers=dummy_tracker",
        "-o", tmp_path / "w", "--format", "csv",
    )  # fmt: skip
    assert code == 0, err
    assert next(csv.DictReader(io.StringIO(out)))["params"] == "12"
    assert {"open", "params", "row", "close"} <= {name for name, _ in rows}


def test_a_rank_key_is_a_column_of_the_summary(monkeypatch):
    from training_results import run as made

    from modelcmp.reports.training_files import summary_csv
    from modelcmp.training import summary

    monkeypatch.setattr(summary.RANK_KEYS, "_things", dict(summary.RANK_KEYS._things))
    entry = summary.RANK_KEYS["params"]
    summary.RANK_KEYS.add("dummy", replace(entry, key="dummy", label="Dummy", get=lambda r: 42.0))
    rows = list(csv.DictReader(io.StringIO(summary_csv([made("a")], by="dummy"))))
    assert float(rows[0]["dummy"]) == 42


def test_an_engine_is_named_and_used(monkeypatch, cli):
    from modelcmp.engines import ENGINES, Outcome
    from modelcmp.profiling import many

    class Here:
        def __init__(self, task, options):
            self.jobs = []

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            self.cancel()

        def submit(self, jobs):
            self.jobs += jobs

        def results(self):
            while self.jobs:
                job = self.jobs.pop()
                yield Outcome(job, many.run(job.payload))

        def cancel(self):
            self.jobs.clear()

    monkeypatch.setattr(ENGINES, "_things", dict(ENGINES._things))
    ENGINES.add("here", Here)
    code, out, _ = cli("resnet18", "squeezenet1_1", "--engine", "here", "--format", "csv", "--columns", "params")
    assert code == 0
    assert [row["name"] for row in csv.DictReader(io.StringIO(out))] == ["resnet18", "squeezenet1_1"]
    code, _, err = cli("resnet18", "--engine", "her")
    assert code == 2
    assert "'here'" in err
