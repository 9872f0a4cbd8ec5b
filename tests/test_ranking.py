"""Order, medals and registries on records made by hand."""

import pytest

from modelcmp import metrics, units
from modelcmp.errors import OutputError, UnknownName
from modelcmp.files import write_whole
from modelcmp.ranking import medals, ranked, rankings
from modelcmp.records import ModelProfile


def model(name, **values):
    return ModelProfile(name, "test", ((1,),), 1, "fp32", "eval", "total", dict.fromkeys(metrics.METRICS) | values, {})


TRIO = [model("a", params=3, ai=1.0), model("b", params=1, ai=5.0), model("c", params=2, ai=5.0)]


def names(profiles):
    return "".join(p.name for p in profiles)


def test_natural_direction_and_reverse():
    assert names(ranked(TRIO, "params")) == "bca"
    assert names(ranked(TRIO, "params", reverse=True)) == "acb"
    assert names(ranked(TRIO, "ai")) == "bca"  # equal values keep their order
    assert names(ranked(TRIO, "ai", reverse=True)) == "abc"


def test_unknown_values_come_last():
    odd = [model("x"), model("y", params=5)]
    assert names(ranked(odd, "params")) == "yx"
    assert names(ranked(odd, "params", reverse=True)) == "yx"


def test_medals_are_shared_and_fair():
    assert medals(TRIO, "params") == {1: "🥇", 2: "🥈", 0: "🥉"}
    assert medals(TRIO, "ai") == {1: "🥇", 2: "🥇", 0: "🥉"}
    assert medals(TRIO[:1], "params") == {}
    assert medals([TRIO[1], model("d", params=1)], "params") == {}


def test_best_and_worst():
    found = {r.metric.key: (r.best.name, r.worst.name) for r in rankings(TRIO)}
    assert found["params"] == ("b", "a")


ALIASES = {
    "size": "size_bytes",
    "memory": "traffic_bytes",
    "efficiency": "flops_per_param",
    "peak_memory": "peak_activation_bytes",
    "peak-memory": "peak_activation_bytes",
    "AI": "ai",
}


@pytest.mark.parametrize(("alias", "key"), ALIASES.items())
def test_aliases(alias, key):
    assert metrics.find(alias).key == key


def test_unknown_metric():
    with pytest.raises(UnknownName, match="did you mean 'params'"):
        metrics.find("param")


def test_no_two_metrics_share_a_name():
    every = [n for m in metrics.METRICS.values() for n in (m.key, m.alias) if n]
    assert len(every) == len(set(every))
    assert len({m.short for m in metrics.METRICS.values()}) == len(metrics.METRICS)


WRITTEN = {0: "0", 999: "999", 1000: "1.00k", 999_950: "1.00M", 1.23456e9: "1.23G", 123.4e9: "123G", 9.996e9: "10.0G"}


@pytest.mark.parametrize(("value", "text"), [*WRITTEN.items(), (None, "?")])
def test_units(value, text):
    assert units.scaled(value) == text


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "out.csv"
    write_whole(path, "first\n")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(path, "second\n")
    assert path.read_text() == "first\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
