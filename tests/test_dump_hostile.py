"""Damaged and hostile files: a clear error or an unharmed read, never a wrong number, never a call."""

import collections
import os
import pickle
import random
import re
import struct
import tracemalloc
import zipfile
import zlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from modelcmp.dumps.dumper import BatchDumper
from modelcmp.dumps.finding import find_dumps
from modelcmp.dumps.reading import open_dump
from modelcmp.errors import DamagedDump, DumpError, RefusedDump

PLACES = 200


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dump of each format, and where tensor data lies in it."""
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30), nn.Linear(30, 10))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(8, 40)).sum().backward()
    optimizer.step()
    names = [[n for n, _ in model.named_parameters()]]
    data = {
        "schema": 2, "epoch": 1, "batch": 10, "step": 10, "loss": 0.5, "acc": 0.25, "optimizer": "Adam",
        "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
        "optimizer_param_names": names, "flat": None, "grads": {"part": torch.arange(100.0)[10:50]},
    }  # fmt: skip
    torch.save(data, folder / "torch.pt")
    torch.save(data, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file(model.state_dict(), folder / "plain.safetensors")
    for format in ("pt", "safetensors"):
        with BatchDumper(folder / format, interval=1, format=format) as dumper:
            dumper.step(model, optimizer, loss=0.5, batch=(torch.rand(8, 40), torch.zeros(8)))
        find_dumps(folder / format)[0].path.rename(folder / f"ours.{format}")
    return {p.name: (p.read_bytes(), *read(p)) for p in folder.iterdir() if p.is_file()}


def refs(dump):
    return {**dump.weights, **{f"g/{n}": r for n, r in dump.grads.items()}, **dump.optimizer_state}


def read(path):
    """The plain values of a dump, and its tensors' descriptions and bytes, in order."""
    dump = open_dump(path)
    plain = (dump.schema, dump.epoch, dump.batch, dump.step, dump.loss, dump.acc, dump.fingerprint, dump.optimizer,
             dump.scalars, dump.settings, dump.notes)  # fmt: skip
    found = refs(dump)
    shapes = {n: (r.dtype, r.shape, r.offset, r.nbytes) for n, r in found.items()}
    return plain, shapes, {n: r.load().reshape(-1).view(torch.uint8).numpy().tobytes() for n, r in found.items()}


def in_data(entry, place):
    _, _, shapes, _ = entry
    return any(offset <= place < offset + nbytes for _, _, offset, nbytes in shapes.values())


def outcome(path, data):
    path.write_bytes(data)
    try:
        return read(path)
    except DumpError as error:
        words = str(error)
    assert str(path) in words
    assert "\n" not in words
    return None


def flipped(data, place, bit):
    data = bytearray(data)
    data[place] ^= 1 << bit
    return bytes(data)


@pytest.mark.parametrize("name", ["torch.pt", "ours.pt"])
def test_a_flipped_bit_in_a_torch_file(files, tmp_path, name):
    data, *whole = entry = files[name]
    rng, caught = random.Random(1), 0
    places = [rng.randrange(len(data)) for _ in range(PLACES // 2)]
    places += [rng.randrange(len(data) * 3 // 4, len(data)) for _ in range(PLACES // 2)]  # the directory is at the end
    for place in places:
        found = outcome(tmp_path / name, flipped(data, place, rng.randrange(8)))
        if in_data(entry, place):
            assert found is None, f"a flip at byte {place} of tensor data was not seen"
        assert found is None or found == tuple(whole), place
        caught += found is None
    assert caught > PLACES // 4


def test_a_flipped_bit_all_over_a_small_file(tmp_path):
    """Every third byte: structure, directory and data alike."""
    path = tmp_path / "d.pt"
    torch.save({"model_state_dict": {"a": torch.arange(6.0), "b": torch.arange(9)[2:5]}, "loss": 1.5}, path)
    data, whole, rng = path.read_bytes(), read(path), random.Random(2)
    for place in range(rng.randrange(3), len(data), 3):
        found = outcome(path, flipped(data, place, rng.randrange(8)))
        assert found is None or found == whole, place


@pytest.mark.parametrize("name", ["plain.safetensors", "ours.safetensors"])
def test_a_flipped_bit_in_safetensors(files, tmp_path, name):
    """The format has no checksum: one in the data is not seen, one in a name is another name."""
    data, plain, shapes, tensors = entry = files[name]
    rng, caught = random.Random(3), 0
    header = 8 + struct.unpack("<Q", data[:8])[0]
    places = [rng.randrange(len(data)) for _ in range(PLACES // 2)] + [
        rng.randrange(header) for _ in range(PLACES // 2)
    ]
    for place in places:
        found = outcome(tmp_path / name, flipped(data, place, rng.randrange(8)))
        if in_data(entry, place):
            assert found is not None
            assert found[1] == shapes
            assert sum(found[2][n] != tensors[n] for n in tensors) == (found[0] == plain)
        elif found is not None and name == "plain.safetensors":
            assert sorted(found[1].values(), key=str) == sorted(shapes.values(), key=str)
            assert sorted(found[2].values()) == sorted(tensors.values())
        caught += found is None
    assert caught > PLACES // 20


@pytest.mark.parametrize("name", ["torch.pt", "ours.pt", "legacy.pt", "plain.safetensors", "ours.safetensors"])
def test_a_file_that_was_cut_off(files, tmp_path, name):
    data = files[name][0]
    rng = random.Random(4)
    for size in [0, 1, 7, 8, len(data) - 1] + [rng.randrange(len(data)) for _ in range(PLACES)]:
        assert outcome(tmp_path / name, data[:size]) is None, size


def test_a_flipped_bit_in_the_old_format(files, tmp_path):
    """No checksums either: whatever comes of it, it is a read or a clear error."""
    data, *_ = entry = files["legacy.pt"]
    rng = random.Random(5)
    for _ in range(PLACES):
        place = rng.randrange(len(data))
        found = outcome(tmp_path / "d.pt", flipped(data, place, rng.randrange(8)))
        if in_data(entry, place):
            assert found is not None
            assert found[1] == entry[2]


def test_bytes_at_random(files, tmp_path):
    rng = random.Random(6)
    for name in ("torch.pt", "plain.safetensors", "legacy.pt"):
        data = files[name][0]
        for _ in range(40):
            start = rng.randrange(len(data))
            outcome(tmp_path / name, data[:start] + rng.randbytes(50) + data[start + 50 :])


# --- code


class Payload:
    """Unpickling this runs a command that leaves a file."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Eval:
    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return eval, (self.code,)


def hidden(payload):
    """A payload in every corner of a checkpoint."""
    weights = {"a": torch.ones(3)}
    state = {"state": {0: {"exp_avg": torch.ones(3), "step": payload}}, "param_groups": [{"params": [0], "lr": 0.1}]}
    deep = collections.OrderedDict(a=[({"b": (1, [payload])},)])
    return {
        "top": payload, "value": {"model_state_dict": weights, "x": payload},
        "weights": {"model_state_dict": {"a": payload}},
        "nested": {"state_dict": weights, "callbacks": {"deep": deep}},
        "optimizer": {"model_state_dict": weights, "optimizer_state_dict": state},
        "settings": {"model": weights, "optimizer": {"state": {}, "param_groups": [{"params": [0], "lr": payload}]}},
        "unused": {"a": torch.ones(3), "zzz": [payload]},
    }  # fmt: skip


@pytest.mark.parametrize("where", hidden(None))
@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_named(tmp_path, where, suffix, zipped):
    marker = tmp_path / "ran"
    path = tmp_path / f"d{suffix}"
    content = hidden(Payload(f"touch {marker}"))[where]
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(RefusedDump, match=r"holds a call to os\.system: refused, nothing was run"):
        open_dump(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_code_in_every_protocol(tmp_path, protocol, kind):
    marker = tmp_path / "ran"
    path = tmp_path / "d.pt"
    content = {"model": {"a": Payload(f"touch {marker}")}}
    if kind == "bare":
        path.write_bytes(pickle.dumps(content, protocol))
    else:
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(RefusedDump, match=r"os\.system"):
        open_dump(path)
    assert not marker.exists()


def test_the_payload_is_a_real_one(tmp_path):
    pickle.loads(pickle.dumps(Payload(f"touch {tmp_path / 'ran'}")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
        ("os", "system"), ("subprocess", "Popen"), ("torch.hub", "load"), ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_import_dotted_name"), ("functools", "partial"), ("operator", "attrgetter"),
        ("__main__", "Net"), ("numpy", "load"), ("copyreg", "_reconstructor"), ("torch.FloatStorage", "from_file"),
        ("collections", "namedtuple"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["global", "stack", "instance"])
def test_names_that_are_not_on_the_list(tmp_path, module, name, form):
    texts = b"".join(b"X" + struct.pack("<I", len(t)) + t for t in (module.encode(), name.encode()))
    code = {
        "global": f"c{module}\n{name}\n)R".encode(), "stack": texts + b"\x93)R",
        "instance": f"(i{module}\n{name}\n".encode(),
    }[form]  # fmt: skip
    path = tmp_path / "d.pt"
    pack(path, b"\x80\x04}X\x01\0\0\0a" + code + b"s.")
    with pytest.raises(RefusedDump, match=re.escape(f"a call to {module}.{name}: refused")):
        open_dump(path)


def test_what_a_file_says_stays_on_one_line(tmp_path):
    path = tmp_path / "d.pt"
    text = b"X\x0b\0\0\0a\nb\x1b[31mred"
    pack(path, b"\x80\x02" + text + text + b"\x93)R.")
    with pytest.raises(RefusedDump) as error:
        open_dump(path)
    assert str(error.value).isprintable()


def pack(path, pickled, **records):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("d/data.pkl", pickled)
        for name, data in records.items():
            archive.writestr(f"d/data/{name.removeprefix('r')}", data)


@pytest.mark.parametrize(
    "code",
    [
        b"\x82\x01.",  # EXT1: a name from a registry
        b"}X\x01\0\0\0a" + b"}" * 10 + b"R.",  # a call of a dict
        b"}" + b"h\x07.",  # never stored
        b".", b"u.", b"a.", b"t.", b"0.", b"(", b"}(", b"R.", b"\x93.", b"Q.", b"b.", b"\x8b\xff\xff\xff\xff.",
        b"X\xff\xff\xff\xffabc", b"\x8e" + b"\xff" * 8, b"\x95" + b"\xff" * 8,
        b"(" * 100_000 + b".", b"]" + b"\x85" * 200_000 + b"N}q\0.",
        b"]" * 3 + b"e." , b"(K\x01K\x02K\x03d.", b"ctorch\nFloatStorage\n)R.",
    ],
)  # fmt: skip
def test_senseless_pickles(tmp_path, code):
    path = tmp_path / "d.pt"
    pack(path, b"\x80\x02" + code)
    with pytest.raises(DumpError, match=r"d\.pt"):
        open_dump(path)


def test_deep_keys_do_not_hang_or_crash(tmp_path):
    """A tuple of itself, 200,000 deep or doubled 60 times, as a key: hashing it would end the process or time."""
    for inner in (b")" + b"\x85" * 200_000, b")" + b"2\x86" * 60):
        path = tmp_path / "d.pt"
        pack(path, b"\x80\x02}" + inner + b"K\x01s.")
        with pytest.raises(DamagedDump, match="no tensors"):
            open_dump(path)


def test_dicts_that_name_each_other_are_entered_once(tmp_path):
    value = {}
    for _ in range(30):
        value = {str(i): value for i in range(40)}
    path = tmp_path / "d.pt"
    torch.save({"model": value, "optimizer": {"state": value, "param_groups": []}, "stats": value}, path)
    with pytest.raises(DamagedDump, match="no tensors"):
        open_dump(path)


def tensor_code(shape, stride, offset=0, key=b"0", elements=3):
    def number(n):
        return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)

    def numbers(many):
        return b"(" + b"".join(map(number, many)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + key + b"X\x03\0\0\0cpu" + number(elements) + b"tQ"
    )
    rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(shape) + numbers(stride)
    return b"\x80\x02}X\x01\0\0\0a" + rebuilt + b"\x89ccollections\nOrderedDict\n)RtRs."


@pytest.mark.parametrize(
    "code",
    [
        tensor_code([4], [1]), tensor_code([3], [2]), tensor_code([2], [1], offset=2), tensor_code([3], [1], offset=-1),
        tensor_code([-3], [1]), tensor_code([3], [-1]), tensor_code([3], [1, 1]), tensor_code([1 << 62], [0]),
        tensor_code([1 << 40], [0]), tensor_code([3], [1], key=b"1"), tensor_code([3], [1], elements=4),
        tensor_code([3], [1], elements=1 << 61), tensor_code([1] * 100, [1] * 100),
    ],
)  # fmt: skip
def test_tensors_that_reach_beyond_their_data(tmp_path, code):
    path = tmp_path / "d.pt"
    pack(path, tensor_code([3], [1]), r0=struct.pack("<3f", 1, 2, 3))
    assert open_dump(path).weights["a"].load().tolist() == [1, 2, 3]
    pack(path, code, r0=struct.pack("<3f", 1, 2, 3))
    with pytest.raises(DamagedDump, match=r"d\.pt is damaged"):
        open_dump(path)


def test_absurd_sizes_take_no_memory(tmp_path):
    """Files that claim gigabytes: refused within a few megabytes."""
    paths = [tmp_path / f"{i}.{s}" for i, s in enumerate(("pt", "pt", "safetensors", "pt"))]
    pack(paths[0], tensor_code([1 << 33], [1], elements=1 << 33), r0=b"")
    pack(paths[1], tensor_code([1 << 33], [0]), r0=bytes(12))
    paths[2].write_bytes(struct.pack("<Q", 90_000_000) + b"{}" * 50)
    with zipfile.ZipFile(paths[3], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d/data.pkl", bytes(200_000_000))
    tracemalloc.start()
    for path in paths:
        with pytest.raises(DumpError):
            open_dump(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


def test_a_record_twice_or_over_another_is_refused(tmp_path):
    path = tmp_path / "d.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("d/data.pkl", tensor_code([3], [1]))
        archive.writestr("d/data/0", bytes(12))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("d/data/0", b"\1" * 12)
    with pytest.raises(DamagedDump, match="twice"):
        open_dump(path)
    pack(path, tensor_code([15], [1], elements=15), r0=bytes(12), r1=bytes(12))
    data = bytearray(path.read_bytes())
    start = data.index(b"d/data/0") + len(b"d/data/0")
    entry = data.rindex(b"d/data/0") - 46
    data[entry + 16 : entry + 28] = struct.pack("<III", zlib.crc32(data[start : start + 60]), 60, 60)  # into data/1
    path.write_bytes(data)
    with pytest.raises(DamagedDump, match="overlap"):
        open_dump(path)
