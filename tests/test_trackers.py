"""Sessions in other tools, read back with what those tools read with."""

import json
import math
import struct
import subprocess
import sys
import time

import pytest

from modelcmp import Session
from modelcmp.errors import ModelcmpError, UnknownName
from modelcmp.tracking.exporters import EXPORTERS, exporter
from modelcmp.tracking.reading import open_session
from modelcmp.tracking.replay import replay


def record(root, tracker, name="cnn", **options):
    """A session of five rows with a NaN among them."""
    file = root / "weights.bin"
    file.write_bytes(b"weights")
    with Session(
        name, "ws", readme="about it", tags=["a", "b" * 100], local_path=root, exporters=[tracker], **options
    ) as s:
        s.params.set(lr=0.1, model={"depth": 2})
        s.log("begins")
        for i in range(5):
            s.track("train").append(loss=1 / (i + 1), epoch=i, step=10 * i, note="text", ok=True, none=None)
        s.track("val").append(loss=math.nan, epoch=0)
        s.track("val").append(loss=0.25, epoch=1)
        s.files.upload(file, path="/models")
    assert s.problems == []
    return s


def resumed(root, tracker, keep=3):
    """Go on with the first ``keep`` rows of train: two rows come again, one is new."""
    with Session("cnn", "ws", local_path=root, exporters=[tracker], resume=True) as s:
        s.track("train").truncate(keep)
        for i in range(keep, 6):
            s.track("train").append(loss=1 / (i + 1), epoch=i, step=10 * i)
        s.params.set(lr=0.1, more=1)
    assert s.problems == []
    return s


# TensorBoard


def scalars(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    return [(e.step, e.value) for e in events.Scalars(tag)]


def texts(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return [e.tensor_proto.string_val[0].decode() for e in events.Tensors(tag)]


def five(n=5):
    return [(10 * i, pytest.approx(1 / (i + 1))) for i in range(n)]


def test_tensorboard(tmp_path):
    s = record(tmp_path, "tensorboard")
    board = s.folder / "tensorboard"
    assert scalars(board / "train", "train/loss") == five()
    assert scalars(board / "train", "train/ok") == [(10 * i, 1.0) for i in range(5)]
    (first, nan), second = scalars(board / "val", "val/loss")
    assert (first, math.isnan(nan), second) == (0, True, (1, 0.25))
    assert "| model.depth | 2 |" in texts(board, "params")[-1]
    assert texts(board, "log") == ["**info** begins"]


def test_tensorboard_goes_on_after_what_was_kept(tmp_path):
    record(tmp_path, "tensorboard")
    s = resumed(tmp_path, "tensorboard")
    assert scalars(s.folder / "tensorboard" / "train", "train/loss") == five(6)  # each step once
    assert len(scalars(s.folder / "tensorboard" / "val", "val/loss")) == 2  # the other track has lost nothing


def test_tensorboard_replayed(tmp_path):
    s = record(tmp_path, exporter("tensorboard", logdir=tmp_path / "live"))
    assert replay(s.folder, ["tensorboard"]) == ()
    assert scalars(s.folder / "tensorboard" / "train", "train/loss") == five()
    replay(s.folder, ["tensorboard"])  # takes the place of the first
    assert scalars(s.folder / "tensorboard" / "train", "train/loss") == five()
    assert scalars(tmp_path / "live" / "ws" / "cnn" / "train", "train/loss") == five()


def test_tensorboard_keeps_the_times_of_the_rows(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Session("s", local_path=tmp_path) as s:
        s.track("t").append(loss=1, _ts=1234.5)
    replay(s.folder, "tensorboard")
    assert EventAccumulator(str(s.folder / "tensorboard" / "t")).Reload().Scalars("t/loss")[0].wall_time == 1234.5


# W&B


def wandb_records(folder, runs=1):
    """The records of the runs below a folder, once W&B's process has written the last of each."""
    deadline = time.monotonic() + 20
    while True:
        records = list(wandb_records_now(folder))
        if [r.WhichOneof("record_type") for r in records].count("exit") == runs or time.monotonic() > deadline:
            return records
        time.sleep(0.05)


def wandb_records_now(folder):
    """LevelDB's log format around W&B's own messages."""
    from wandb.proto import wandb_internal_pb2

    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        data, at, piece = path.read_bytes(), 7, b""
        while at + 7 < len(data):
            if 32768 - at % 32768 < 7:  # no room for a header: the block is filled with zeros
                at += 32768 - at % 32768
                continue
            _, length, kind = struct.unpack_from("<IHB", data, at)
            piece += data[at + 7 : at + 7 + length]
            at += 7 + length
            if kind in (1, 4) and at <= len(data):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(piece)
                piece = b""
                yield record


def wandb_history(folder, runs=1):
    for record in wandb_records(folder, runs):
        if record.WhichOneof("record_type") == "history":
            yield {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}


def test_wandb_offline_and_its_resume(tmp_path, capfd):
    s = record(tmp_path, "wandb")
    runs = [r.run for r in wandb_records(s.folder) if r.WhichOneof("record_type") == "run"]
    assert {(r.project, r.display_name, r.notes) for r in runs} == {("ws", "cnn", "about it")}
    assert list(runs[0].tags) == ["a", "b" * 64]
    rows = [row for row in wandb_history(s.folder) if "train/loss" in row]
    assert [(r["train/step"], r["train/loss"]) for r in rows] == five()
    config = {
        "".join(u.nested_key) or u.key: json.loads(u.value_json)
        for r in wandb_records(s.folder)
        if r.WhichOneof("record_type") == "config"
        for u in r.config.update
    }
    assert (config["lr"], config["model.depth"]) == (0.1, 2)
    saved = [f.path for r in wandb_records(s.folder) if r.WhichOneof("record_type") == "files" for f in r.files.files]
    assert "models/weights.bin" in saved
    assert [p.read_bytes() for p in s.folder.glob("wandb/offline-run-*/files/models/weights.bin")] == [b"weights"]
    resumed(tmp_path, "wandb")
    assert {r.run.run_id for r in wandb_records(s.folder, 2) if r.WhichOneof("record_type") == "run"} == {
        runs[0].run_id
    }
    steps = [row["train/step"] for row in wandb_history(s.folder, 2) if "train/loss" in row]
    assert sorted(steps) == [0, 10, 20, 30, 30, 40, 40, 50]  # what came again is drawn over the same steps
    assert capfd.readouterr() == ("", "")


# MLflow


def test_mlflow_its_resume_and_replay(tmp_path, capfd):
    s = record(tmp_path, "mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'ws' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ws")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {"lr": "0.1", "model.depth": "2"}
    assert (run.info.run_name, run.info.status) == ("cnn", "FINISHED")
    assert run.data.tags["mlflow.note.content"] == "about it"

    def history(key, run=run):
        return sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, key))

    assert history("train/loss") == five()
    assert math.isnan(history("val/loss")[0][1])
    assert {a.path for a in client.list_artifacts(run.info.run_id)} == {"log.txt", "models"}
    at_ms = [m.timestamp for m in client.get_metric_history(run.info.run_id, "train/loss")]
    assert at_ms == [round(1000 * row["_ts"]) for row in open_session(s.folder).tracks["train"]]

    with Session("cnn", "ws", local_path=tmp_path, exporters=["mlflow"], resume=True) as s:
        s.track("train").append(loss=1 / 6, step=50)
        s.params.set(lr=0.2, more=1)
    assert s.problems == []
    (run,) = client.search_runs([experiment.experiment_id])
    assert history("train/loss") == five(6)
    assert run.data.params == {"lr": "0.1", "model.depth": "2", "more": "1"}
    assert run.data.tags["param.lr"] == "0.2"  # MLflow's parameters stay as they were

    assert replay(s.folder, "mlflow") == ()
    second = next(r for r in client.search_runs([experiment.experiment_id]) if r.info.run_id != run.info.run_id)
    assert history("train/loss", second) == five(6)
    assert not list(tmp_path.glob("mlruns"))
    assert capfd.readouterr() == ("", "")


# All of them


class Recording:
    """A tracker that keeps what it is told, and fails when it is told to."""

    name = "recording"

    def __init__(self, fails_at=""):
        self.calls, self.fails_at = [], fails_at

    def __getattr__(self, method):
        def call(*arguments, **keywords):
            self.calls.append((method, *arguments))
            if method == self.fails_at:
                raise RuntimeError(f"no {method} today")

        return call


def test_a_new_tracker_is_one_entry(tmp_path, monkeypatch):
    made = []
    monkeypatch.setitem(EXPORTERS._things, "dummy", lambda **options: made.append(Recording(**options)) or made[-1])
    s = record(tmp_path, "dummy")
    names = [call[0] for call in made[0].calls]
    assert names[0] == "open"
    assert names[-1] == "close"
    assert ("params", {"lr": 0.1, "model.depth": 2}) in made[0].calls
    assert ("log", "info", "begins") in made[0].calls
    rows = [call for call in made[0].calls if call[0] == "row"]
    assert [(track, step) for _, track, _, step in rows] == [
        *(("train", 10 * i) for i in range(5)), ("val", 0), ("val", 1),
    ]  # fmt: skip
    assert rows[0][2] == open_session(s.folder).tracks["train"][0]
    file, prefix = next(call[1:] for call in made[0].calls if call[0] == "file")
    assert (file.read_bytes(), prefix) == (b"weights", "/models")


@pytest.mark.parametrize("method", ["open", "params", "row", "log", "file", "rewind", "flush", "close"])
def test_a_tracker_that_fails_costs_nothing_else(method, tmp_path):
    bad, good = Recording(method), Recording()
    with Session("s", local_path=tmp_path, exporters=[bad, good]) as s:
        s.params.set(a=1)
        s.log("x")
        s.files.upload(__file__)
        for i in range(3):
            s.track("t").append(i=i)
            s.flush()
        s.track("t").truncate(1)
        s.track("t").append(i=3)
    assert s.problems == [f"tracker recording is off: RuntimeError: no {method} today"]
    stored = open_session(s.folder)
    assert [row["i"] for row in stored.tracks["t"]] == [0, 3]
    assert s.problems[0] in [e["message"] for e in stored.logs if e["level"] == "warn"]
    assert [call[0] for call in bad.calls].count(method) == (2 if method == "close" else 1)
    assert [call[2]["i"] for call in good.calls if call[0] == "row"] == [0, 1, 2, 3]
    assert [call[1:] for call in good.calls if call[0] == "rewind"] == [("t", 1)]
    assert good.calls[-1][0] == "close"


def test_rows_that_never_reached_the_disk_are_not_shown(tmp_path):
    tracker = Recording()
    with Session("s", local_path=tmp_path, exporters=[tracker]) as s:
        s.track("t").append(i=0)
        s.track("t").append(i=1)
        s.track("t").truncate(1)
    assert [call[2]["i"] for call in tracker.calls if call[0] == "row"] == [0]
    assert "rewind" not in [call[0] for call in tracker.calls]


def test_a_run_that_fails_is_shown_as_such(tmp_path):
    ended = []
    tracker = Recording()
    tracker.close = lambda failed=False: ended.append(failed)

    def run():
        with Session("s", local_path=tmp_path, exporters=[tracker]):
            raise KeyError("x")

    with pytest.raises(KeyError):
        run()
    assert ended == [True]


def test_unknown_and_missing_trackers(tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match="did you mean 'tensorboard'"):
        Session("s", local_path=tmp_path, exporters=["tensorbord"])
    monkeypatch.setattr("modelcmp.tracking.exporters.find_spec", lambda name: None)
    for name in EXPORTERS:
        with pytest.raises(ModelcmpError, match=rf"pip install 'modelcmp\[{name}\]'"):
            exporter(name)
    assert not list(tmp_path.iterdir())


def test_trackers_are_not_imported_before_they_are_used():
    code = (
        "import modelcmp.tracking.exporters, sys;"
        "assert not {'tensorboard', 'wandb', 'mlflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
