"""What a session folder holds after kills, torn writes and full disks."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from modelcmp import Session
from modelcmp.errors import BadInput, OutputError
from modelcmp.tracking.reading import open_session

WRITER = """
import sys
from modelcmp import Session
s = Session("s", local_path=sys.argv[1]).open()
i = s.track("train").count
while True:
    for _ in range(7):
        s.track("train").append(i=i, loss=1 / (i + 1))
        i += 1
    s.log("flushing", count=i)
    s.params.set(count=i)
    s.flush()
    print(i, flush=True)
"""


def values(folder, track="train", column="i"):
    return [row[column] for row in open_session(folder).tracks.get(track, [])]


def kill_after(process, seconds):
    """Kill the writer; the last count that it said it had flushed."""
    first = int(process.stdout.readline())
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split(b"\n")[:-1]
    process.wait()
    return int(rest[-1]) if rest else first


def test_everything_flushed_survives_a_kill(tmp_path):
    folder, rng, flushed = tmp_path / "default" / "s", random.Random(5), 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        before, flushed = flushed, kill_after(process, rng.uniform(0.0, 0.1))
        found = values(folder)
        assert found == list(range(len(found)))  # nothing lost in between, nothing twice
        assert len(found) >= flushed > before
        stored = open_session(folder)
        assert stored.params["count"] >= flushed
        assert [e["sequenceNumber"] for e in stored.logs] == list(range(len(stored.logs)))
        flushed = len(found)
    with Session("s", local_path=tmp_path) as s:
        s.track("train").append(i=-1)
    assert values(folder) == [*range(flushed), -1]
    assert json.loads((folder / "tracks" / "train" / "metadata.json").read_text())["totalDataPoints"] == flushed + 1


@pytest.fixture
def flushed_often(tmp_path):
    """A session's folder, and (size of the track's file, rows in it) after each flush."""
    rng, sizes, rows = random.Random(3), [(0, 0)], 0
    with Session("s", local_path=tmp_path) as s:
        data = s.folder / "tracks" / "train" / "data.msgpack"
        for _ in range(8):
            for _ in range(rng.randrange(1, 30)):
                s.track("train").append(i=rows, loss=rng.random(), text="\n" * rng.randrange(3))
                rows += 1
            s.flush()
            sizes.append((data.stat().st_size, rows))
    return s.folder, data, sizes


def test_a_track_that_is_torn_anywhere(flushed_often):
    folder, data, sizes = flushed_often
    whole, rng = data.read_bytes(), random.Random(4)
    for n, cut in enumerate([*(size for size, _ in sizes), *(rng.randrange(len(whole)) for _ in range(250))]):
        # A block counts when all of it but its closing newline is there.
        there = max(rows for size, rows in sizes if size - (size > 0) <= cut)
        data.write_bytes(whole[:cut])
        assert values(folder) == list(range(there)), cut
        if n % 8:
            continue
        with Session("s", local_path=folder.parent.parent) as s:
            assert s.track("train").count == there
            s.track("train").append(i=-1)
        assert values(folder) == [*range(there), -1]
        assert open_session(folder).problems == ()


def test_a_mended_track_says_so(flushed_often):
    folder, data, sizes = flushed_often
    data.write_bytes(data.read_bytes()[:-3])
    assert "track 'train': unfinished end" in open_session(folder).problems[0]
    with Session("s", local_path=folder.parent.parent) as s:
        assert len(s.problems) == 1
    assert "mended: track 'train': unfinished end" in open_session(folder).logs[-1]["message"]
    assert data.stat().st_size == sizes[-2][0]


def test_damage_in_the_middle_costs_its_blocks_only(flushed_often):
    folder, data, sizes = flushed_often
    whole, rng = data.read_bytes(), random.Random(6)
    for _ in range(40):
        block = rng.randrange(1, len(sizes) - 1)
        (begin, first), (end, last) = sizes[block - 1], sizes[block]
        data.write_bytes(whole[:begin] + b"\xc1" * (end - begin - 1) + whole[end - 1 :])
        assert values(folder) == [*range(first), *range(last, sizes[-1][1])]
        assert open_session(folder).problems == (f"track 'train': bytes {begin} to {end} are damaged",)


def test_a_file_of_something_else_is_no_rows(flushed_often):
    folder, data, _ = flushed_often
    rng = random.Random(7)
    for content in (b"\0" * 500, b"hello\n" * 50, rng.randbytes(3000), b"\n" * 9, b""):
        data.write_bytes(content)
        assert values(folder) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_is_torn_anywhere(seed, tmp_path):
    with Session("s", local_path=tmp_path) as s:
        for i in range(5):
            s.log(f"line {i} é\u2028", i=i)
    log = s.folder / "logs" / "logs.jsonl"
    whole = log.read_bytes()
    rng = random.Random(seed)
    for cut in sorted(rng.randrange(len(whole)) for _ in range(5)):
        log.write_bytes(whole[:cut])
        there = whole[:cut].count(b"\n")
        assert [e["metadata"]["i"] for e in open_session(s.folder).logs] == list(range(there))
        with Session("s", local_path=tmp_path) as s:
            s.log("after")
        entries = open_session(s.folder).logs
        assert [e["sequenceNumber"] for e in entries] == list(range(len(entries)))
        assert entries[-1]["message"] == "after"


def test_torn_json_is_reported_and_set_aside(tmp_path):
    with Session("s", readme="why", local_path=tmp_path) as s:
        s.params.set(a=1)
        s.track("t").append(a=1)
        s.files.upload(__file__)
    torn = [s.folder / p for p in ("parameters.json", "session.json", "tracks/t/metadata.json")]
    torn.append(s.folder / "files" / ".files_metadata.json")
    for path in torn:
        path.write_bytes(path.read_bytes()[:20])
    stored = open_session(s.folder)
    assert (stored.readme, stored.params, stored.files, len(stored.tracks["t"])) == ("why", {}, [], 1)
    assert len(stored.problems) == 3
    with Session("s", local_path=tmp_path) as s:
        s.params.set(b=2)
        assert len(s.problems) == 4
    assert open_session(s.folder).problems == ()
    assert open_session(s.folder).params == {"b": 2}
    assert open_session(s.folder).readme == "why"  # from the twin
    assert len((s.folder / "parameters.json.damaged").read_bytes()) == 20
    for path in s.folder.glob("*.json"):
        path.write_text("[")
    assert open_session(s.folder).name == "s"
    Session("s", local_path=tmp_path).open().close()
    assert open_session(s.folder).problems == ()


FULL = """
import resource, sys
from modelcmp import Session
from modelcmp.errors import OutputError
s = Session("s", local_path=sys.argv[1]).open()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
i = 0
try:
    while True:
        for _ in range(50):
            s.track("train").append(i=i, loss=1 / (i + 1))
            i += 1
        s.flush()
        print(i, flush=True)
except OutputError as error:
    print(error, flush=True)
input()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
s.close()
print(i)
"""


def test_a_file_that_can_grow_no_more(tmp_path):
    """The system takes a part of the last block, as a full disk does."""
    process = subprocess.Popen(
        [sys.executable, "-c", FULL, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    line, flushed = process.stdout.readline(), 0
    while line.strip().isdigit():
        line, flushed = process.stdout.readline(), int(line)
    assert "cannot write" in line
    assert "what was there is kept" in line
    stored = open_session(tmp_path / "default" / "s")
    assert [row["i"] for row in stored.tracks["train"]] == list(range(flushed))
    assert flushed > 0
    assert stored.problems == ()  # the part that was taken is cut again
    out, _ = process.communicate("\n")  # there is space again
    assert process.returncode == 0
    assert values(tmp_path / "default" / "s") == list(range(int(out)))
    assert int(out) > flushed


@pytest.fixture
def full_disk(monkeypatch):
    """No byte more for anything that Session appends, and for its JSON files."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill():
        monkeypatch.setattr("modelcmp.tracking.appending._write", refuse)
        monkeypatch.setattr("modelcmp.files.os.fsync", refuse)

    yield fill
    monkeypatch.undo()


def test_a_full_disk_loses_nothing_that_was_there(tmp_path, full_disk, monkeypatch):
    s = Session("s", local_path=tmp_path).open()
    s.params.set(a=1)
    s.track("train").append(i=0)
    s.flush()
    full_disk()
    s.track("train").append(i=1)
    uses = (s.flush, lambda: s.log("x"), lambda: s.params.set(a=2), lambda: s.track("train").truncate(0))
    for use in (*uses, lambda: s.files.upload(__file__)):
        with pytest.raises(OutputError, match="No space left"):
            use()
    assert s.params.get() == {"a": 1} == open_session(s.folder).params
    assert values(s.folder) == [0]
    assert open_session(s.folder).files == []
    monkeypatch.undo()
    s.flush()
    assert values(s.folder) == [0, 1]
    s.close()


def test_the_runs_own_error_comes_first_on_a_full_disk(tmp_path, full_disk):
    s = Session("s", local_path=tmp_path)

    def run():
        with s:
            full_disk()
            s.track("t").append(a=1)
            raise KeyError("the run's")

    with pytest.raises(KeyError):
        run()
    with pytest.raises(BadInput, match="not open"):
        s.log("closed all the same")


def test_two_processes_cannot_write_one_session(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        with pytest.raises(BadInput, match="being written by another process"):
            Session("s", local_path=tmp_path).open()
        assert values(tmp_path / "default" / "s")  # reading is free
    finally:
        process.kill()
        process.communicate()
    Session("s", local_path=tmp_path).open().close()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        Session("s", local_path=tmp_path / "file").open()


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    s = Session("s", local_path=tmp_path).open()
    s.log("x")
    shutil.rmtree(s.folder)
    with pytest.raises(OutputError, match="cannot write"):
        s.log("y")
    s.track("t").append(a=1)
    with pytest.raises(OutputError):
        s.close()
