"""The profile cache: equal to the last digit, keyed by all that decides, safe among processes, never in the way."""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import modelcmp
from modelcmp.metrics import METRICS, evaluate
from modelcmp.profiling.many import Means, Work, profile_many
from modelcmp.records import CONVENTIONS, ModelProfile
from modelcmp.sources import Request
from modelcmp.sources.identity import cache_key
from modelcmp.store.cache import FILE, Cache, Key
from modelcmp.store.entry import as_text, entry_of, from_text, profile_of

KEY = Key("a digest", "source", "name")
ENTRY = {"values": {"macs": 1}, "differing": {}, "notes": []}


def quiet(_text):
    raise AssertionError(_text)


def kept(folder, spec, request=None, mode="eval", convention="total"):
    with Cache(folder, quiet) as cache:
        return profile_many([Work(spec, request or Request(), mode)], convention, Means(cache), lambda *_: None)[0]


@pytest.mark.parametrize("spec", ["resnet18", "vit_b_16", "timm:mobilenetv3_small_050", "raft_small"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_cached_and_fresh_answers_are_equal_to_the_last_digit(spec, mode, tmp_path):
    for convention in CONVENTIONS:
        fresh = modelcmp.profile(spec, mode=mode, convention=convention)
        made, read = (kept(tmp_path, spec, mode=mode, convention=convention) for _ in range(2))
        for profile in (made, read):
            assert profile == fresh
            assert {k: type(v) for k, v in profile.values.items()} == {k: type(v) for k, v in fresh.values.items()}
            assert list(profile.values) == list(METRICS)
            for field in fields(ModelProfile):
                if field.name != "trace":
                    assert getattr(profile, field.name) == getattr(fresh, field.name)


def test_metrics_say_rightly_whether_the_convention_changes_them():
    for spec in ("resnet18", "vit_b_16", "timm:lambda_resnet26t"):
        trace = modelcmp.profile(spec).trace
        first, *others = (evaluate(trace, convention) for convention in CONVENTIONS)
        for key, metric in METRICS.items():
            if not metric.by_convention:
                assert all(values[key] == first[key] for values in others), key


def test_an_entry_survives_text():
    profile = modelcmp.profile("resnet18")
    entry = entry_of(profile)
    assert from_text(as_text(entry)) == json.loads(json.dumps(entry))
    assert profile_of(from_text(as_text(entry)), "resnet18", "total", ()).values == profile.values


NET = """
import json
from torch import nn
from blocks.conv import Conv
def build(width=8): return Conv(width)
"""
CONV = """
from torch import nn
from .size import KERNEL
class Conv(nn.Conv2d):
    def __init__(self, width): super().__init__(3, width, KERNEL)
"""


@pytest.fixture
def package(tmp_path):
    """net.py and the modules beside it that it imports."""
    (tmp_path / "blocks").mkdir()
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "blocks" / "__init__.py").write_text("")
    (tmp_path / "blocks" / "conv.py").write_text(CONV)
    (tmp_path / "blocks" / "size.py").write_text("KERNEL = 3\n")
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    return tmp_path


def test_the_key_follows_the_files_that_are_imported(package):
    spec = f"{package}/net.py:build"

    def digest():
        return cache_key(spec, Request(), "eval").digest

    before = digest()
    (package / "unrelated.py").write_text("x = 2\n")
    assert digest() == before
    for changed in ("net.py", "blocks/conv.py", "blocks/size.py", "blocks/__init__.py"):
        old = (package / changed).read_text()
        (package / changed).write_text(old + "# changed\n")
        assert digest() != before, changed
        (package / changed).write_text(old)
        assert digest() == before


@pytest.mark.slow
def test_changed_code_beside_a_file_gives_new_figures(package):
    spec, request = f"{package}/net.py:build", Request(input_size=(3, 8, 8))
    cli = [sys.executable, "-m", "modelcmp_cli", spec, "-i", "3x8x8", "--format", "json", "--cache-dir", package / "c"]

    def params():
        return json.loads(subprocess.run(cli, check=True, capture_output=True).stdout)["models"][0]["params"]

    assert params() == 8 * (3 * 9 + 1)
    assert kept(package / "c", spec, request).params == 8 * (3 * 9 + 1)
    (package / "blocks" / "size.py").write_text("KERNEL = 5\n")
    assert params() == 8 * (3 * 25 + 1)


def test_the_key_follows_the_request():
    base = cache_key("resnet18", Request(), "eval").digest
    assert cache_key("torchvision:resnet18", Request(), "eval").digest == base
    others = [
        cache_key("timm:resnet18", Request(), "eval"),
        cache_key("resnet18", Request(batch_size=2), "eval"),
        cache_key("resnet18", Request(input_size=(224,)), "eval"),
        cache_key("resnet18", Request(dtype="bf16"), "eval"),
        cache_key("resnet18", Request(kwargs={"num_classes": 10}), "eval"),
        cache_key("resnet18", Request(reparam=True), "eval"),
        cache_key("resnet18", Request(), "train"),
    ]
    assert len({base, *(key.digest for key in others)}) == len(others) + 1
    assert cache_key("resnet18", Request(kwargs={"norm_layer": object()}), "eval") is None


@pytest.mark.parametrize("package", ["torch", "torchvision", "timm"])
def test_the_key_follows_the_versions(package, monkeypatch):
    from modelcmp import environment

    before = cache_key("resnet18", Request(), "eval").digest
    real = environment.installed_version
    monkeypatch.setattr(environment, "installed_version", lambda name: "9.9" if name == package else real(name))
    environment.stamp.cache_clear()
    try:
        assert cache_key("resnet18", Request(), "eval").digest != before
    finally:
        environment.stamp.cache_clear()


def test_the_stamp_follows_our_own_code_and_packages_in_place(tmp_path, monkeypatch):
    from modelcmp import environment

    digests = set()
    file = tmp_path / "formulas.py"
    for text in ("one", "two"):
        file.write_text(text)
        monkeypatch.setattr(environment, "_own_files", lambda: [file])
        environment.stamp.cache_clear()
        digests.add(environment.stamp())
    environment.stamp.cache_clear()
    assert len(digests) == 2
    assert environment._own_files.__name__ == "<lambda>"
    monkeypatch.undo()
    assert {"metrics.py", "tracer.py", "contraction.py", "timm.py"} <= {p.name for p in environment._own_files()}
    assert environment._state_in_place("torch") == ""


def test_a_hit_imports_no_torch(tmp_path):
    cli = [sys.executable, "-m", "modelcmp_cli", "resnet18", "--cache-dir", str(tmp_path)]
    first = subprocess.run(cli, check=True, capture_output=True, text=True)
    words = ["compare-models", "resnet18", "--cache-dir", str(tmp_path), "--where", "macs > 1", "--pareto", "ai:macs"]
    check = (
        f"import sys; from modelcmp_cli import main; sys.argv = {words!r}\n"
        "try: main.run()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'torchvision', 'timm', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    second = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert "11.7M" in first.stdout
    assert "11.7M" in second.stdout


WRITER = """
import sys
from pathlib import Path
from modelcmp.store.cache import Cache, Key
cache = Cache(Path(sys.argv[1]), lambda text: sys.exit(text))
for i in range(200):
    cache.put(Key(f"{sys.argv[2]} {i}", "s", "n"), {"values": {"x": "y" * 1500}, "differing": {}, "notes": []})
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(i)]) for i in range(4)]
    assert [w.wait() for w in writers] == [0, 0, 0, 0]
    assert Cache(tmp_path, quiet).info().profiles == 800


def test_what_was_put_survives_a_kill(tmp_path):
    code = WRITER.replace("range(200)", "range(50)") + "\nimport os; os.kill(os.getpid(), 9)\n"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path), "a"]).returncode == -9
    assert Cache(tmp_path, quiet).info().profiles == 50


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("create table theirs (x)")
    connection.execute("insert into theirs values (1)")
    connection.commit()
    connection.close()


def scrambled(path):
    with Cache(path.parent, quiet) as cache:
        for i in range(300):
            cache.put(Key(str(i), "s", "n"), {**ENTRY, "notes": ["x" * 500]})
    data = bytearray(path.read_bytes())
    data[4096:40960] = os.urandom(36864)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [lambda p: p.write_text("no database" * 500), foreign, scrambled])
def test_a_corrupt_or_foreign_file_is_set_aside_and_rebuilt(damage, tmp_path):
    damage(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    said = []
    with Cache(tmp_path, said.append) as cache:
        cache.get([Key(str(i), "s", "n") for i in range(300)])
        cache.put(KEY, ENTRY)
        assert cache.get([KEY]) == {KEY: ENTRY}
    (aside,) = [p for p in tmp_path.iterdir() if ".broken-" in p.name and "-wal" not in p.name and "-shm" not in p.name]
    assert aside.read_bytes() == before
    assert len(said) == 1
    assert str(aside) in said[0]


def test_a_damaged_entry_is_made_anew(tmp_path):
    kept(tmp_path, "resnet18")
    for damage in (
        "{",
        "[]",
        '{"values": {}, "differing": {}, "notes": []}',
        '{"values": 3, "differing": 4, "notes": 5}',
    ):
        connection = sqlite3.connect(tmp_path / FILE)
        connection.execute("update profiles set entry = ?", (damage,))
        connection.commit()
        connection.close()
        assert kept(tmp_path, "resnet18").params == 11_689_512


@pytest.mark.parametrize("folder", ["/proc/none", "/dev/null/none"])
def test_a_place_that_cannot_be_written_costs_only_the_speed(folder, cli):
    code, out, err = cli("resnet18", "--cache-dir", folder)
    assert code == 0
    assert "11.7M" in out
    assert "profiles are not kept" in err
    assert len([line for line in err.splitlines() if "warning" in line]) == 1


def only_for_reading(monkeypatch):
    """Let SQLite refuse every file that is not opened as one that cannot change."""
    real = sqlite3.connect

    def refusing(place, *args, **kwargs):
        if not str(place).endswith("immutable=1"):
            raise sqlite3.OperationalError("unable to open database file")
        return real(place, *args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", refusing)


def test_a_file_that_can_only_be_read_still_answers(tmp_path, monkeypatch):
    kept(tmp_path, "resnet18")
    only_for_reading(monkeypatch)
    cache = Cache(tmp_path, quiet)
    key = cache_key("resnet18", Request(), "eval")
    assert cache.get([key])
    cache.put(KEY, ENTRY)
    assert not cache.get([KEY])


def test_a_full_disk_is_said_once_and_the_rest_goes_on(tmp_path):
    said = []
    cache = Cache(tmp_path, said.append)
    cache.put(KEY, ENTRY)
    cache._connection.execute("pragma max_page_count = 4")
    for i in range(20):
        cache.put(Key(str(i), "s", "n"), {**ENTRY, "notes": ["x" * 3000]})
    assert len(said) == 1
    assert "full" in said[0]
    assert cache.get([KEY])


def test_no_cache_leaves_no_trace(cli, own_cache):
    assert cli("resnet18", "--no-cache")[0] == 0
    assert list(own_cache.iterdir()) == []


def test_info_and_clear(cli, own_cache, monkeypatch):
    assert "not made yet" in cli("cache", "info")[1]
    cli("resnet18", "timm:resnet18")
    code, out, _ = cli("cache", "info")
    assert code == 0
    assert str(own_cache) in out
    assert "2 (1 timm, 1 torchvision)" in out
    info = json.loads(cli("cache", "info", "--json")[1])
    assert (info["profiles"], info["stale"], info["by_source"]) == (2, 0, {"timm": 1, "torchvision": 1})
    assert "0 profiles forgotten" in cli("cache", "clear", "--stale")[2]
    assert "2 profiles forgotten" in cli("cache", "clear")[2]
    assert json.loads(cli("cache", "info", "--json")[1])["profiles"] == 0


def test_the_folder_is_the_one_asked_for_then_the_variable_then_the_platforms(tmp_path, monkeypatch):
    from modelcmp.store.place import cache_folder

    assert cache_folder(tmp_path) == tmp_path
    assert str(cache_folder()) == os.environ["MODELCMP_CACHE"]
    monkeypatch.delenv("MODELCMP_CACHE")
    assert cache_folder().name == "modelcmp"
    assert cache_folder(Path("~/x")) == Path.home() / "x"


def answers(folder, spec):
    """Parameters by way of the cache and without it, each in a process of its own."""
    found = []
    for options in (["--cache-dir", folder], ["--no-cache"]):
        words = [sys.executable, "-m", "modelcmp_cli", spec, "-i", "3x8x8", "--format", "json", *map(str, options)]
        done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=folder)
        found.append(json.loads(done.stdout)["models"][0]["params"])
    return found


USES = "from torch import nn\n{uses}\ndef build(): return nn.Conv2d(3, {width}, 3)\n"
EDITS = {
    "a package's own __init__": (
        "pk/mod.py", "WIDTH = 8", "WIDTH", {"pk/__init__.py": "from . import mod\nmod.WIDTH = {n}\n"},
    ),
    "a star import": (
        "net.py", "from pkg import *", "cfg.N",
        {"pkg/__init__.py": '__all__ = ["cfg"]', "pkg/cfg.py": "N = {n}\n"},
    ),
    "a literal name": (
        "net.py", "import importlib; h = importlib.import_module('hlp')", "h.N", {"hlp.py": "N = {n}\n"},
    ),
    "another folder on the path": (
        "net.py", "import os, sys; sys.path.insert(0, os.path.dirname(__file__) + '/lib'); import hlp", "hlp.N",
        {"lib/hlp.py": "N = {n}\n"},
    ),
    "a file that is read": ("net.py", "width = int(open(__file__ + '.txt').read())", "width", {"net.py.txt": "{n}"}),
    "a namespace folder": ("net.py", "from space import cfg", "cfg.N", {"space/cfg.py": "N = {n}\n"}),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_anywhere_is_seen(edit, tmp_path):
    place, uses, width, files = EDITS[edit]
    for n in (16, 1024):
        for name, text in {place: USES.format(uses=uses, width=width), **files}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text.format(n=n) if name in files else text)
        for _ in range(2):
            found = kept(tmp_path / "c", f"{tmp_path / place}:build", Request(input_size=(3, 8, 8)))
            assert found.params == n * 28


@pytest.mark.slow
def test_a_folder_of_data_does_not_hide_a_module(tmp_path, monkeypatch):
    (tmp_path / "hlp").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "net.py").write_text(USES.format(uses="import hlp", width="hlp.N"))
    real = tmp_path / "real.py"
    (tmp_path / "lib" / "hlp.py").symlink_to(real)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"), prepend=os.pathsep)
    for n in (16, 32):
        real.write_text(f"N = {n}\n")
        assert answers(tmp_path, f"{tmp_path}/net.py:build") == [n * 28, n * 28]


def test_a_file_edited_while_it_is_profiled_is_not_kept(tmp_path):
    (tmp_path / "cfg.py").write_text("N = 16\n")
    (tmp_path / "net.py").write_text(USES.format(uses="import cfg", width="cfg.N"))
    work = Work(f"{tmp_path}/net.py:build", Request(input_size=(3, 8, 8)))
    cache = Cache(tmp_path, quiet)

    def edit(_name, done):
        if not done:
            (tmp_path / "cfg.py").write_text("N = 32\n")

    profile_many([work], "total", Means(cache), edit)
    assert cache.info().profiles == 0


def test_an_edit_is_seen_by_the_same_process(tmp_path):
    request = Request(input_size=(3, 8, 8))
    (tmp_path / "net.py").write_text(USES.format(uses="import cfgsame", width="cfgsame.N"))
    for n in (16, 1024):
        (tmp_path / "cfgsame.py").write_text(f"N = {n}\n")
        assert kept(tmp_path, f"{tmp_path}/net.py:build", request).params == n * 28


def test_two_files_that_change_the_path_do_not_share_modules(tmp_path):
    place = "str(pathlib.Path(__file__).resolve().parents[1] / 'lib')"
    uses = f"import sys, pathlib; sys.path.insert(0, {place}); import hlp2"
    for n in (16, 32):
        for folder in ("src", "lib"):
            (tmp_path / str(n) / folder).mkdir(parents=True)
        (tmp_path / str(n) / "src" / "net.py").write_text(USES.format(uses=uses, width="hlp2.N"))
        (tmp_path / str(n) / "lib" / "hlp2.py").write_text(f"N = {n}\n")
    found = modelcmp.compare([f"{tmp_path}/{n}/src/net.py:build" for n in (16, 32)], input_size="3x8x8")
    assert [p.params for p in found] == [16 * 28, 32 * 28]
    modelcmp.profile(f"{tmp_path}/16/src/net.py:build", input_size="3x8x8")
    assert [p for p in sys.path if "/32/" in p] == []


def test_timms_switches_are_part_of_the_key(monkeypatch):
    from timm.layers import set_fused_attn

    from modelcmp import environment

    before = cache_key("timm:vit_tiny_patch16_224", Request(), "eval")
    set_fused_attn(False)
    try:
        assert cache_key("timm:vit_tiny_patch16_224", Request(), "eval") is None
    finally:
        set_fused_attn(True)
    assert cache_key("timm:vit_tiny_patch16_224", Request(), "eval") == before
    monkeypatch.setenv("TIMM_REENTRANT_CKPT", "1")
    environment.stamp.cache_clear()
    assert cache_key("timm:vit_tiny_patch16_224", Request(), "eval") != before
    monkeypatch.undo()
    environment.stamp.cache_clear()


@pytest.mark.parametrize(
    "damage",
    [
        "update profiles set entry = replace(entry, '11689512', '91689512')",
        "update profiles set entry = cast(x'fffe7b' as text)",
        "drop table profiles",
        "alter table profiles rename column checksum to sum",
    ],
)
def test_a_changed_digit_and_a_broken_table_are_not_believed(damage, tmp_path):
    kept(tmp_path, "resnet18")
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute(damage)
    connection.commit()
    connection.close()
    said = []
    for _ in range(2):
        with Cache(tmp_path, said.append) as cache:
            means = Means(cache)
            assert profile_many([Work("resnet18", Request())], "total", means, lambda *_: None)[0].params == 11_689_512
    assert len(said) <= 1
    assert Cache(tmp_path, quiet).info().profiles == 1


def test_a_held_cache_is_left_alone(tmp_path, monkeypatch):
    from modelcmp.store import cache as module

    monkeypatch.setattr(module, "_WAIT_S", 0.1)
    holder = sqlite3.connect(tmp_path / FILE)
    holder.execute("create table t (x)")
    holder.execute("begin exclusive")
    said = []
    Cache(tmp_path, said.append).put(KEY, ENTRY)
    holder.rollback()
    holder.close()
    assert len(said) == 1
    assert "locked" in said[0]
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_what_cannot_be_cleared_is_an_error(tmp_path, cli, monkeypatch):
    kept(tmp_path, "resnet18")
    only_for_reading(monkeypatch)
    code, _, err = cli("cache", "clear", "--cache-dir", tmp_path)
    assert code == 1
    assert "cannot clear" in err


def test_what_a_model_prints_is_no_part_of_the_result(tmp_path, cli):
    (tmp_path / "noisy.py").write_text("print('hello')\n" + USES.format(uses="", width="4"))
    _, out, err = cli(f"{tmp_path}/noisy.py:build", "-i", "3x8x8", "--format", "json", "--no-cache")
    assert json.loads(out)["models"][0]["params"] == 4 * 28
    assert "hello" in err
