"""Recording and reading sessions: the layout, and the dreamlake package as the other reader and writer."""

import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from dreamlake.episode import Episode

from modelcmp import Session
from modelcmp.errors import BadInput, UnknownName
from modelcmp.tracking.reading import find_sessions, open_session
from modelcmp.tracking.uploads import stored_file

NAN = float("nan")


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "_ts"} for row in rows]


@pytest.fixture
def recorded(tmp_path):
    """A session with something of everything, and the file that was uploaded."""
    weights = tmp_path / "a.pth"
    weights.write_bytes(bytes(range(256)) * 5000)
    with Session(
        name="first", workspace="ws", readme="why", tags=["cnn", "é"], local_path=tmp_path, metadata={"a": 1}
    ) as s:
        s.params.set(lr=0.1, model={"depth": 2, "sizes": (1, 2)})
        s.log("begins", level="info", device="cpu")
        s.log("line\nbreak", level="warning")
        for i in range(5):
            s.track("train").append(loss=1 / (i + 1), epoch=i)
        s.track("val/top5").append(accuracy=0.5)
        s.files.upload(str(weights), path="/models", description="best", tags=["w"])
    return s.folder, weights


def test_files_of_the_layout(recorded):
    folder, weights = recorded
    assert folder == weights.parent / "ws" / "first"
    record = json.loads((folder / "session.json").read_text())
    assert record == json.loads((folder / "episode.json").read_text())
    assert record.pop("created_at").endswith("Z")
    assert record == {
        "name": "first", "workspace": "ws", "description": "why", "tags": ["cnn", "é"], "folder": None,
        "metadata": {"a": 1}, "write_protected": False,
    }  # fmt: skip
    params = json.loads((folder / "parameters.json").read_text())
    assert params["data"] == {"lr": 0.1, "model.depth": 2, "model.sizes": [1, 2]}
    assert params["version"] == 1
    lines = [json.loads(line) for line in (folder / "logs" / "logs.jsonl").read_text().splitlines()]
    assert [(e["sequenceNumber"], e["level"], e["message"]) for e in lines] == [
        (0, "info", "begins"), (1, "warn", "line\nbreak"),
    ]  # fmt: skip
    assert lines[0]["metadata"] == {"device": "cpu"}
    assert (folder / "logs" / ".log_sequence").read_text() == "2"
    blocks = list(msgpack.Unpacker((folder / "tracks" / "train" / "data.msgpack").open("rb"), raw=False))
    assert blocks[1::2] == [10]  # each block is followed by a newline
    assert blocks[0]["loss"] == [1.0, 0.5, 1 / 3, 0.25, 0.2]
    assert blocks[0]["epoch"] == [0, 1, 2, 3, 4]
    assert abs(blocks[0]["_ts"][0] - time.time()) < 600
    about = json.loads((folder / "tracks" / "train" / "metadata.json").read_text())
    assert (about["trackId"], about["name"]) == ("local-track-train", "train")
    assert (about["totalDataPoints"], about["nextIndex"]) == (5, 5)
    (entry,) = json.loads((folder / "files" / ".files_metadata.json").read_text())["files"]
    assert entry["checksum"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (entry["path"], entry["filename"], entry["sizeBytes"]) == ("/models", "a.pth", weights.stat().st_size)
    assert (folder / "files" / "models" / entry["id"] / "a.pth").read_bytes() == weights.read_bytes()


def test_dreamlake_reads_ours(recorded, tmp_path):
    folder, weights = recorded
    with Episode(prefix="ws/first", root=str(tmp_path)) as episode:
        assert episode.params.get() == {"lr": 0.1, "model.depth": 2, "model.sizes": [1, 2]}
        assert episode.params.get(flatten=False)["model"] == {"depth": 2, "sizes": [1, 2]}
        rows = [point["data"] for point in episode.track("train").read()["data"]]
        assert without_time(rows) == [{"loss": 1 / (i + 1), "epoch": i} for i in range(5)]
        assert episode.track("val/top5").stats()["totalDataPoints"] == "1"
        assert sorted(t["name"] for t in episode.track("x").list_all()) == ["train", "val/top5"]
        assert len(episode.track("train").read_by_time(start_time=rows[2]["_ts"])["data"]) == 3
        (entry,) = episode.files.list(path="/models")
        copy = episode.file(file_id=entry["id"], dest_path=str(tmp_path / "copy")).download()  # checks the digest
        assert (tmp_path / "copy").read_bytes() == weights.read_bytes()
        assert copy
        assert (entry["description"], entry["tags"]) == ("best", ["w"])
        episode.log("theirs")
    assert [e["sequenceNumber"] for e in open_session(folder).logs] == [0, 1, 2]
    assert open_session(folder).readme == "why"


def write_with_dreamlake(root, file):
    with Episode(prefix="ws/theirs", readme="about", tags=["t"], root=str(root)) as episode:
        episode.params.set(lr=0.1, model={"depth": 2})
        episode.log("hello", level="warn", k=1)
        for i in range(3):
            episode.track("train").append(loss=float(i), epoch=i)
        episode.track("train").append(loss=3.0, note="x")  # other columns: None where there is none
        episode.track("train").append_batch([{"q": [1, 2]}, {"q": [3, 4]}])
        episode.files.upload(str(file), path="/models", tags=["w"])
    storage = episode._storage
    storage.append_to_track("ws", "theirs", "single", {"_ts": 1.5, "value": 7})


def test_we_read_dreamlakes(tmp_path):
    file = tmp_path / "b.bin"
    file.write_bytes(b"weights")
    write_with_dreamlake(tmp_path, file)
    stored = open_session(tmp_path / "ws" / "theirs")
    assert (stored.name, stored.workspace, stored.readme, stored.tags) == ("theirs", "ws", "about", ("t",))
    assert stored.params == {"lr": 0.1, "model.depth": 2}
    assert [(e["level"], e["message"], e["metadata"]) for e in stored.logs] == [("warn", "hello", {"k": 1})]
    rows = without_time(stored.tracks["train"])
    shown = [{k: v for k, v in row.items() if v is not None} for row in rows]
    assert sorted(shown, key=str) == sorted(
        [*({"loss": float(i), "epoch": i} for i in range(3)), {"loss": 3.0, "note": "x"}, {"q": [1, 2]}, {"q": [3, 4]}],
        key=str,
    )
    assert stored.tracks["single"] == [{"_ts": 1.5, "value": 7}]
    assert stored_file(stored.folder, stored.files[0]).read_bytes() == b"weights"
    assert stored.problems == ()


def test_both_go_on_with_each_others_sessions(tmp_path):
    file = tmp_path / "b.bin"
    file.write_bytes(b"weights")
    write_with_dreamlake(tmp_path, file)
    with Session("theirs", "ws", local_path=tmp_path) as s:
        assert s.track("single").append(value=8).count == 2
        s.params.set(more=1)
        s.log("ours")
        s.files.upload(file, path="models")
    with Episode(prefix="ws/theirs", root=str(tmp_path)) as episode:
        assert episode.params.get() == {"lr": 0.1, "model.depth": 2, "more": 1}
        episode.track("single").append(value=9)
        assert [p["data"]["value"] for p in episode.track("single").read()["data"]] == [7, 8, 9]
        assert len(episode.files.list()) == 1  # ours has taken the place of theirs
        episode.log("again")
    stored = open_session(tmp_path / "ws" / "theirs")
    assert [row["value"] for row in stored.tracks["single"]] == [7, 8, 9]
    assert [(e["sequenceNumber"], e["message"]) for e in stored.logs] == [(0, "hello"), (1, "ours"), (2, "again")]
    assert stored.readme == "about"


def test_reopening_goes_on(recorded, tmp_path):
    folder, _ = recorded
    before = open_session(folder)
    with Session("first", "ws", tags=["new"], local_path=tmp_path) as s:
        assert s.track("train").count == 5
        s.track("train").append(loss=0.0, epoch=5)
        assert [r["epoch"] for r in s.track("train").rows()] == [0, 1, 2, 3, 4, 5]
        s.params.set(lr=0.2, new=None)
        s.log("again")
        assert s.problems == []
    after = open_session(folder)
    assert (after.readme, after.tags, after.metadata, after.created_at) == (
        "why", ("new",), {"a": 1}, before.created_at,
    )  # fmt: skip
    assert after.tracks["train"][:5] == before.tracks["train"]
    assert after.params == {"lr": 0.2, "model.depth": 2, "model.sizes": [1, 2], "new": None}
    assert json.loads((folder / "parameters.json").read_text())["version"] == 2
    assert [e["sequenceNumber"] for e in after.logs] == [0, 1, 2]


def test_scalars_of_numpy_and_torch_are_taken_by_value(tmp_path):
    total = torch.tensor(1.0)
    with Session("s", local_path=tmp_path) as s:
        train = s.track("train")
        train.append(a=np.float32(0.5), b=np.int64(3), c=np.bool_(True), d=torch.tensor(2), e=total, f=np.array([7]))
        total += 1  # what was logged does not change with it
        train.append(a=NAN, b=float("-inf"), c=None, d="text", e=2**63 - 1, f=torch.tensor(1, dtype=torch.bfloat16))
        live = train.rows()
    stored = open_session(s.folder).tracks["train"]
    assert str(stored) == str(live)  # NaN equals nothing
    assert without_time(stored)[0] == {"a": 0.5, "b": 3, "c": True, "d": 2, "e": 1.0, "f": 7}
    assert [type(v) for v in stored[0].values()] == [float, float, int, bool, int, float, int]
    assert str(without_time(stored)[1]) == str(
        {"a": NAN, "b": float("-inf"), "c": None, "d": "text", "e": 2**63 - 1, "f": 1.0}
    )


def test_rows_keep_the_columns_they_had(tmp_path):
    rows = [{"a": 1}, {"a": None, "b": 2}, {"b": 3}, {"b": 3, "a": 4}, {}, {"a": 5}]
    with Session("s", local_path=tmp_path) as s:
        for row in rows:
            s.track("t").append(**row)
    assert without_time(open_session(s.folder).tracks["t"]) == rows


@pytest.mark.parametrize(
    "value", [[1, 2], torch.ones(2), np.zeros(0), 2**64, {"a": 1}, object(), 1j, np.datetime64("2020-01-01")]
)
def test_what_is_no_scalar_is_refused_and_the_rest_stays(value, tmp_path):
    with Session("s", local_path=tmp_path) as s:
        s.track("t").append(a=1)
        with pytest.raises(BadInput, match=r"'bad' is .*a row holds numbers, text and None"):
            s.track("t").append(bad=value)
        s.track("t").append(a=2)
    assert [row["a"] for row in open_session(s.folder).tracks["t"]] == [1, 2]


def test_odd_text_is_stored(tmp_path):
    odd = {"sp ace": 1, "π/2": 2, "": 3, "a\nb": 4}
    with Session("s", local_path=tmp_path) as s:
        s.track("t").append(**odd)
        s.track("t").append(text="\udcff")  # half of a surrogate pair is no UTF-8
        s.params.set({"weird key\n": "\udcff", 3: 4})
        s.log("\udcff", k="\udcff")
    stored = open_session(s.folder)
    assert without_time(stored.tracks["t"]) == [odd, {"text": "?"}]
    assert stored.params == {"weird key\n": "\udcff", "3": 4}
    assert stored.logs[0]["message"] == "\udcff"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../up", " a", "a\0b", "a\nb", "x" * 201, 3])
def test_names_that_are_no_folder_are_refused(name, tmp_path):
    for arguments in ({"name": name}, {"name": "a", "workspace": name}):
        with pytest.raises(BadInput, match="name"):
            Session(local_path=tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["", "a//b", "/a", "a/", "../x", "a/../b", "data.msgpack", "a/metadata.json", ".track.lock", "a\0", 3]
)
def test_track_names_that_lead_elsewhere_are_refused(name, tmp_path):
    with Session("s", local_path=tmp_path) as s:
        with pytest.raises(BadInput, match="track name"):
            s.track(name)
        with pytest.raises(BadInput):
            s.files.upload(__file__, path="/models/../../up")


def test_values_of_parameters(tmp_path):
    with Session("s", local_path=tmp_path) as s:
        s.params.set(
            dtype=torch.bfloat16,
            path=tmp_path,
            n=np.int32(3),
            x=torch.tensor(0.5),
            e={},
            s={3, 1},
            deep={"a": {"b": 1}},
        )
        assert s.params.get() == open_session(s.folder).params
    assert s.params.get() == {
        "dtype": "torch.bfloat16", "path": str(tmp_path), "n": 3, "x": 0.5, "e": {}, "s": [1, 3], "deep.a.b": 1,
    }  # fmt: skip


def test_truncating(tmp_path):
    s = Session("s", local_path=tmp_path).open()
    train = s.track("train")
    for i in range(10):
        train.append(i=i)
        if i == 6:
            s.flush()
    train.truncate(20)
    assert train.count == 10
    train.truncate(8)
    assert [r["i"] for r in train.rows()] == list(range(8))
    train.truncate(3)
    assert [r["i"] for r in train.rows()] == [0, 1, 2] == [r["i"] for r in open_session(s.folder).tracks["train"]]
    train.append(i=30)
    s.track("new").truncate(0)
    with pytest.raises(BadInput):
        train.truncate(-1)
    s.close()
    assert [r["i"] for r in open_session(s.folder).tracks["train"]] == [0, 1, 2, 30]
    about = json.loads((s.folder / "tracks" / "train" / "metadata.json").read_text())
    assert (about["totalDataPoints"], about["nextIndex"]) == (4, 4)


def test_a_closed_session_refuses(tmp_path):
    s = Session("s", local_path=tmp_path)
    assert not s.folder.exists()
    for use in (lambda: s.params, lambda: s.files, lambda: s.track("t"), lambda: s.log("x"), s.flush):
        with pytest.raises(BadInput, match="not open"):
            use()
    with s:
        track = s.track("t").append(a=1)
    s.close()
    for use in (lambda: track.append(a=2), lambda: s.params.set(a=1), lambda: s.log("x"), lambda: track.truncate(0)):
        with pytest.raises(BadInput, match="not open"):
            use()
    assert track.count == 1


def test_bad_requests(tmp_path):
    with Session("s", local_path=tmp_path) as s:
        with pytest.raises(UnknownName, match="did you mean 'error'"):
            s.log("x", level="eror")
        with pytest.raises(BadInput, match="no such file"):
            s.files.upload(tmp_path / "none")
        with pytest.raises(BadInput, match="_ts"):
            s.track("t").append(_ts=NAN)
    with pytest.raises(BadInput, match="no session"):
        open_session(tmp_path)
    with pytest.raises(BadInput, match="no folder"):
        find_sessions(tmp_path / "none")
    assert find_sessions(tmp_path / "default") == [s.folder]


def test_a_write_protected_session_stays(recorded, tmp_path):
    folder, _ = recorded
    for name in ("session.json", "episode.json"):
        (folder / name).write_text((folder / name).read_text().replace("false", "true"))
    before = (folder / "session.json").read_bytes()
    with pytest.raises(BadInput, match="write-protected"):
        Session("first", "ws", readme="other", local_path=tmp_path).open()
    assert (folder / "session.json").read_bytes() == before


def test_an_error_ends_the_session_and_is_logged(tmp_path):
    s = Session("s", local_path=tmp_path)

    def run():
        with s:
            s.track("t").append(a=1)
            raise KeyError("here")

    with pytest.raises(KeyError):
        run()
    stored = open_session(s.folder)
    assert len(stored.tracks["t"]) == 1
    assert (stored.logs[-1]["level"], stored.logs[-1]["message"]) == ("error", "ended by KeyError: 'here'")


def test_uploading_again_replaces(tmp_path):
    file = tmp_path / "a.txt"
    with Session("s", local_path=tmp_path) as s:
        for text in ("one", "two"):
            file.write_text(text)
            s.files.upload(file, path="/x", tags="t")
        s.files.upload(file)
        entries = {e["path"]: e for e in s.files.list()}
    assert sorted(entries) == ["/", "/x"]
    assert stored_file(s.folder, entries["/x"]).read_text() == "two"
    assert len([p for p in (s.folder / "files").rglob("*") if p.is_file()]) == 3  # two, and their record


def test_entries_that_lead_out_of_the_folder_are_left_out(recorded):
    folder, _ = recorded
    record = folder / "files" / ".files_metadata.json"
    good = json.loads(record.read_text())["files"][0]
    bad = [{**good, "filename": "../x"}, {**good, "id": ".."}, {**good, "path": "/../up"}, {"id": 3}, 7]
    record.write_text(json.dumps({"files": [*bad, good]}))
    assert open_session(folder).files == [good]


def test_appending_is_cheap(tmp_path):
    """Microseconds, where a write each would take a hundred."""
    with Session("s", local_path=tmp_path) as s:
        best = 1.0
        for _ in range(20):
            begin = time.perf_counter()
            for i in range(100):
                s.track("train").append(loss=0.5, lr=0.1, epoch=3, step=i)
            best = min(best, (time.perf_counter() - begin) / 100)
    assert best < 10e-6


def test_rows_wait_for_few_seconds_only(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("modelcmp.tracking.track.monotonic", lambda: clock[0])
    with Session("s", local_path=tmp_path) as s:
        s.track("val").append(a=1)
        s.track("train").append(a=1)
        assert not open_session(s.folder).tracks
        clock[0] += 6
        s.track("train").append(a=2)
        assert {name: len(rows) for name, rows in open_session(s.folder).tracks.items()} == {"train": 2, "val": 1}


def test_the_example_of_the_documentation_runs(tmp_path, monkeypatch):
    api = (Path(__file__).resolve().parent.parent / "docs" / "api.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    scope = {}
    code = re.search(r"```python\n(from modelcmp import Session.*?)```", api, re.DOTALL)[1]
    exec(compile(code, "docs/api.md", "exec"), scope)
    assert [row["loss"] for row in scope["stored"].tracks["train"]] == [1, 1 / 2, 1 / 3]
    assert scope["s"].problems == []
    assert scope["find_sessions"]("runs/digits") == [Path("runs/digits/first")]


def test_recording_needs_no_torch():
    code = (
        "from modelcmp import Session; import sys; assert not {'torch', 'numpy', 'mlflow', 'wandb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
