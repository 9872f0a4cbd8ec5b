"""Reading dumps and checkpoints, against what torch, safetensors and zipfile read from the same files."""

import json
import os
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from modelcmp.dumps.dumper import BatchDumper
from modelcmp.dumps.finding import DumpFile, find_dumps, named
from modelcmp.dumps.optimizer_names import Groups, name_parameters
from modelcmp.dumps.reading import check_torch, open_dump
from modelcmp.errors import BadInput, DamagedDump, DumpError, ForeignFile, RefusedDump


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 5))


def trained(model, optimizer):
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.rand(3, 1, 8, 8)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def same(refs, tensors):
    """Names, dtypes, shapes and bits; NaN equal to itself."""
    assert list(refs) == list(tensors)
    for name, tensor in tensors.items():
        loaded = refs[name].load()
        assert (loaded.dtype, loaded.shape) == (tensor.dtype, tensor.shape), name
        assert loaded.contiguous().view(-1).view(torch.uint8).equal(tensor.contiguous().view(-1).view(torch.uint8)), (
            name
        )


def dump_of(model, optimizer, **more):
    return {
        "model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "loss": 0.5,
        "acc": 0.25, "epoch": 1, "batch": 10, "step": 10, "schema": 2, "optimizer": type(optimizer).__name__, **more,
    }  # fmt: skip


@pytest.fixture
def adam():
    model = net()
    return trained(model, torch.optim.Adam(model.parameters(), lr=0.01))


@pytest.mark.parametrize("zipped", [True, False])
def test_all_parts_are_what_torch_loads(tmp_path, adam, zipped):
    model, optimizer = adam
    names = [[n for n, _ in model.named_parameters()]]
    grads = {n: p.grad for n, p in model.named_parameters()}
    data = dump_of(model, optimizer, grads=grads, optimizer_param_names=names)
    torch.save(data, tmp_path / "d.pt", _use_new_zipfile_serialization=zipped)
    dump = open_dump(tmp_path / "d.pt")
    truth = torch.load(tmp_path / "d.pt", weights_only=True)
    same(dump.weights, truth["model_state_dict"])
    same(dump.grads, truth["grads"])
    assert (dump.schema, dump.epoch, dump.batch, dump.step, dump.loss, dump.acc) == (2, 1, 10, 10, 0.5, 0.25)
    assert (dump.optimizer, dump.notes) == ("Adam", ())
    state = truth["optimizer_state_dict"]["state"]
    moments = {f"{n}/{k}": state[i][k] for i, n in enumerate(names[0]) for k in ("exp_avg", "exp_avg_sq")}
    same(dump.optimizer_state, moments)
    assert dump.scalars == {f"{n}/step": 2.0 for n in names[0]}
    assert dump.settings["3.bias"]["lr"] == 0.01
    assert dump.settings["0.weight"]["betas"] == (0.9, 0.999)
    assert "params" not in dump.settings["0.weight"]


def test_a_tensor_lies_where_its_reference_says(tmp_path, adam):
    path = tmp_path / "d.pt"
    torch.save(adam[0].state_dict(), path)
    data = path.read_bytes()
    for name, ref in open_dump(path).weights.items():
        raw = adam[0].state_dict()[name].numpy().tobytes()
        assert ref.dense
        assert data[ref.offset : ref.offset + ref.nbytes] == raw
        assert ref.crc32 == zlib.crc32(raw)
        buffer = bytearray(min(6, ref.nbytes - 1))
        with path.open("rb", buffering=0) as file:
            ref.read_into(file, 1, memoryview(buffer))
        assert bytes(buffer) == raw[1 : 1 + len(buffer)]


def test_views_strides_and_types(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    tensors = {
        "part": base[1:3], "transposed": base.t(), "every_second": base[:, ::2], "expanded": torch.ones(1).expand(5),
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last), "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3.5), "bool": torch.tensor([True, False]), "complex": torch.randn(3, dtype=torch.cfloat),
        "bf16": torch.randn(7).bfloat16(), "fp8": torch.randn(7).to(torch.float8_e4m3fn),
        "u16": torch.arange(4).to(torch.uint16),
        "special": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]), "parameter": nn.Parameter(torch.rand(2)),
    }  # fmt: skip
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
        refs = open_dump(path).weights
        same(refs, {k: v.detach() for k, v in tensors.items()})
        assert [n for n, r in refs.items() if not r.dense] == [
            "transposed",
            "every_second",
            "expanded",
            "channels_last",
        ]
        assert refs["channels_last"].packed
        assert refs["transposed"].packed
        assert not refs["every_second"].packed
        assert not refs["expanded"].packed
    zipped = open_dump(tmp_path / "True.pt").weights
    assert zipped["part"].crc32 is None
    assert zipped["part"].record.crc32 is not None


def test_the_other_byte_order(tmp_path):
    values = {
        "a": torch.arange(5.0),
        "b": torch.arange(3),
        "c": torch.randn(2, dtype=torch.cdouble),
        "d": torch.ones(3).bool(),
    }
    torch.save(values, tmp_path / "little.pt")
    sizes = {f"little/data/{i}": size for i, size in enumerate((4, 8, 8, 1))}
    with zipfile.ZipFile(tmp_path / "little.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name in sizes:
                data = np.frombuffer(data, f"u{sizes[name]}").byteswap().tobytes()
            new.writestr(name, b"big" if name.endswith("byteorder") else data)
    truth = torch.load(tmp_path / "big.pt", weights_only=True)
    assert truth["a"].tolist() == [0, 1, 2, 3, 4]
    refs = open_dump(tmp_path / "big.pt").weights
    same(refs, values)
    assert [refs[name].dense for name in "abcd"] == [False, False, False, True]


def test_files_without_checksums(tmp_path, adam):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(adam[0].state_dict(), tmp_path / "d.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    dump = open_dump(tmp_path / "d.pt")
    assert {ref.crc32 for ref in dump.weights.values()} == {None}
    same(dump.weights, adam[0].state_dict())


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net", "my_own_key"])
def test_wrappers(tmp_path, adam, key):
    data = {key: adam[0].state_dict(), "optimizer": adam[1].state_dict(), "loss": torch.tensor(0.5), "args": {"lr": 1}}
    torch.save(data, tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")
    same(dump.weights, adam[0].state_dict())
    assert dump.loss == 0.5
    assert dump.schema is None
    assert len(dump.optimizer_state) == 12


def test_plain_values_of_other_code(tmp_path, adam):
    import argparse

    data = dump_of(*adam, acc=np.float64(0.75), loss=np.float32(0.1), args=argparse.Namespace(lr=1), where=Path("x"))
    del data["schema"]
    torch.save(data, tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")
    assert (dump.acc, dump.loss) == (0.75, float(np.float32(0.1)))
    data["model_state_dict"] = {**data["model_state_dict"], "extra": {"version": 3}, "sparse": torch.eye(3).to_sparse()}
    torch.save(data, tmp_path / "d.pt")
    note = open_dump(tmp_path / "d.pt").notes[0]
    assert "extra.version (int)" in note
    assert "sparse (sparse)" in note


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tmp_path, adam, protocol):
    data = {"b": b"\x00bytes" * 60, "n": 1 << 70, "s": {1, 2}, "model": adam[0].state_dict()}
    torch.save(data, tmp_path / "d.pt", pickle_protocol=protocol)
    same(open_dump(tmp_path / "d.pt").weights, adam[0].state_dict())


def test_two_models_are_not_guessed_from(tmp_path):
    torch.save({"gen": net().state_dict(), "disc": net().state_dict()}, tmp_path / "d.pt")
    with pytest.raises(DamagedDump, match="which of 'gen', 'disc' is the model"):
        open_dump(tmp_path / "d.pt")


def test_lists_in_optimizer_state(tmp_path):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.LBFGS(model.parameters())
    for _ in range(2):
        optimizer.step(
            lambda: (model.zero_grad(), (loss := model(torch.ones(4, 3)).square().sum()).backward(), loss)[-1]
        )
    torch.save(dump_of(model, optimizer, optimizer_param_names=[["weight", "bias"]]), tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")
    assert torch.equal(dump.optimizer_state["weight/d"].load(), optimizer.state_dict()["state"][0]["d"])
    assert "weight/old_dirs/0" in dump.optimizer_state
    assert dump.scalars["weight/n_iter"] > 0


def test_safetensors(tmp_path, adam):
    state = {k: v.contiguous() for k, v in adam[0].state_dict().items()}
    save_file(state, tmp_path / "d.safetensors", {"format": "pt"})
    dump = open_dump(tmp_path / "d.safetensors")
    truth = load_file(tmp_path / "d.safetensors")
    assert set(dump.weights) == set(truth)
    same(dump.weights, {name: truth[name] for name in dump.weights})
    assert all(ref.dense and ref.crc32 is None for ref in dump.weights.values())


@pytest.mark.parametrize("format", ["pt", "safetensors"])
def test_what_the_dumper_wrote(tmp_path, format):
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = torch.rand(3, 1, 8, 8), torch.zeros(3)
    include = ("weights", "grads", "optimizer", "stats")
    with BatchDumper(tmp_path, interval=1, include=include, format=format) as dumper:
        dumper.start(model, optimizer)
        model(x).square().mean().backward()
        optimizer.step()
        dumper.step(model, optimizer, loss=0.5, acc=0.25, batch=(x, y))
    first, last = find_dumps(tmp_path)
    assert (first.epoch, first.batch, last.epoch, last.batch) == (1, 0, 1, 1)
    dump = open_dump(last)
    assert dump.weights.keys() == model.state_dict().keys()
    same({n: dump.weights[n] for n in model.state_dict()}, model.state_dict())
    same({n: dump.grads[n] for n, _ in model.named_parameters()}, {n: p.grad for n, p in model.named_parameters()})
    moments = {n: optimizer.state[p]["exp_avg"] for n, p in model.named_parameters()}
    same({n: dump.optimizer_state[f"{n}/exp_avg"] for n in moments}, moments)
    assert dump.scalars["3.weight/step"] == 1.0
    assert dump.settings["3.weight"]["lr"] == 0.01
    assert (dump.schema, dump.step, dump.loss, dump.acc, dump.optimizer) == (2, 1, 0.5, 0.25, "Adam")
    assert dump.fingerprint["size"] == 3
    assert len(dump.fingerprint["sample_hashes"]) == 3
    stat = dump.stats["weights"]["3.weight"]
    assert stat["norm"] == pytest.approx(float(model[3].weight.detach().double().norm()), rel=1e-12)
    assert int(stat["histogram"].load().sum()) == stat["elements"] - stat["zeros"] - stat["nan"] - stat["inf"]
    assert not dump.notes
    assert open_dump(first).loss is None


# --- names of the optimizer's parameters


def names_of(groups, shapes, weights):
    return name_parameters(Groups(groups, None), shapes, weights)


def test_order_and_shapes_name_parameters():
    weights = {"c.weight": (4, 1), "bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,), "f.weight": (2, 4)}
    shapes = {0: (4, 1), 1: (4,), 2: (4,), 3: (2, 4)}
    naming = names_of([[0, 1, 2, 3]], shapes, weights)
    assert naming.names == {0: "c.weight", 1: "bn.weight", 2: "bn.bias", 3: "f.weight"}
    assert "assumed" in naming.notes[0]
    assert len(naming.notes) == 1


def test_several_assignments_are_left_open():
    weights = {"a": (4, 4), "b": (4, 4), "c": (2, 4)}
    naming = names_of([[0, 1]], {0: (4, 4), 1: (2, 4)}, weights)  # a or b?
    assert naming.names == {1: "c"}
    assert "1 of 2 parameters" in naming.notes[1]


def test_groups_of_weights_and_biases_are_told_apart():
    model = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 5), nn.Linear(5, 2))
    names = [n for n, _ in model.named_parameters()]
    by_dim = [
        [n for n in names if model.get_parameter(n).dim() > 1],
        [n for n in names if model.get_parameter(n).dim() == 1],
    ]
    order = [n for group in by_dim for n in group]
    indices = [[order.index(n) for n in group] for group in by_dim]
    weights = {n: tuple(p.shape) for n, p in model.named_parameters()}
    naming = names_of(indices, {i: weights[n] for i, n in enumerate(order)}, weights)
    assert naming.names == dict(enumerate(order))


def test_frozen_layers_and_wrong_shapes():
    weights = {"a": (3, 3), "b": (5,), "c": (7,)}
    assert names_of([[0]], {0: (5,)}, weights).names == {0: "b"}
    naming = names_of([[0, 1]], {0: (9, 9), 1: (1,)}, weights)
    assert naming.names == {}
    assert "none does" in naming.notes[0]


def test_written_names_win_over_order(tmp_path, adam):
    model, _ = adam
    swapped = [model[3].bias, *(p for p in model.parameters() if p is not model[3].bias)]
    _, optimizer = trained(
        model, torch.optim.AdamW([(n, p) for p in swapped for n, q in model.named_parameters() if q is p])
    )
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")  # torch itself wrote param_names
    same(
        {n: dump.optimizer_state[f"{n}/exp_avg"] for n, _ in model.named_parameters()},
        {n: optimizer.state[p]["exp_avg"] for n, p in model.named_parameters()},
    )
    assert not dump.notes


def test_unmatched_state_keeps_its_number(tmp_path, adam):
    torch.save({"optimizer": adam[1].state_dict()}, tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")
    assert "#3/exp_avg" in dump.optimizer_state
    assert dump.settings["#0"]["lr"] == 0.01
    assert not dump.weights


def test_tied_weights_count_once(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight
            self.c = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return self.c(self.b(self.a(x)))

    model = Tied()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 4)).sum().backward()
    optimizer.step()
    torch.save(dump_of(model, optimizer), tmp_path / "d.pt")
    dump = open_dump(tmp_path / "d.pt")
    assert set(dump.optimizer_state) == {f"{n}.weight/{k}" for n in "ac" for k in ("exp_avg", "exp_avg_sq")}


# --- finding


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 100)


def found(place):
    return [f.path.relative_to(place).as_posix() for f in find_dumps(place)]


OURS = [f"batch_dumps/epoch_00{e}/batch_00{b}.pt" for e in (1, 2) for b in ("00", "10", "20")]


def test_our_layout_from_every_place(tmp_path):
    run = tmp_path / "work" / "run_a"
    touch(run, *reversed(OURS), "batch_dumps/epoch_001/.batch_0030.pt.x1", "batch_dumps/epoch_001/batch_0030.pt.tmp")
    touch(run, "model.pt")
    assert found(run) == OURS
    assert found(run / "batch_dumps") == [n.removeprefix("batch_dumps/") for n in OURS]
    assert found(run / "batch_dumps/epoch_002") == ["batch_0000.pt", "batch_0010.pt", "batch_0020.pt"]
    assert found(tmp_path) == [f"work/run_a/{n}" for n in OURS]
    files = find_dumps(run)
    assert [(f.epoch, f.batch, f.order) for f in files] == [
        (e, b, i) for i, (e, b) in enumerate((e, b) for e in (1, 2) for b in (0, 10, 20))
    ]
    touch(tmp_path / "work" / "run_b", OURS[0])
    with pytest.raises(BadInput, match=r"2 runs: name one of .*run_a, .*run_b"):
        find_dumps(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["epoch=0-step=10.ckpt", "epoch=1-step=20.ckpt", "epoch=10-step=110.ckpt", "last.ckpt"],
        ["checkpoint-500/model.safetensors", "checkpoint-1000/model.safetensors", "checkpoint-10000/model.safetensors"],
        ["step_00010.pt", "step_00020.pt", "step_100000.pt"],
        ["model_9.pth", "model_10.pth", "model_11.pth"],
        ["epoch_1_batch_5.bin", "epoch_1_batch_10.bin", "epoch_2_batch_1.bin"],
    ],
)
def test_other_peoples_names_in_order(tmp_path, names):
    touch(
        tmp_path, *reversed(names), "notes.txt", ".hidden.pt", "a.tmp", "checkpoint-500/optimizer.pt", "rng_state_0.pth"
    )
    assert found(tmp_path) == names


def test_numbers_in_names():
    assert (named(Path("epoch=1-step=10.ckpt")).epoch, named(Path("epoch=1-step=10.ckpt")).step) == (1, 10)
    assert named(Path("epoch_2_batch_7.pt")).batch == 7
    assert named(Path("global_step1000/mp_rank_00_model_states.pt")).step == 1000
    assert named(Path("step_00010.pt")) == DumpFile(Path("step_00010.pt"), step=10)
    assert named(Path("vit_patch16_224.pth")) == DumpFile(Path("vit_patch16_224.pth"))


def test_a_checkpoint_in_the_making_is_left_out(tmp_path, adam):
    torch.save(adam[0].state_dict(), tmp_path / "step_1.pt")
    data = (tmp_path / "step_1.pt").read_bytes()
    (tmp_path / "step_2.pt").write_bytes(data[: len(data) // 2])
    assert found(tmp_path) == ["step_1.pt"]
    old = time.time() - 100
    os.utime(tmp_path / "step_2.pt", (old, old))  # not in the making: damaged, and to be named
    assert found(tmp_path) == ["step_1.pt", "step_2.pt"]


def test_nothing_to_find(tmp_path):
    with pytest.raises(BadInput, match="there is no"):
        find_dumps(tmp_path / "none")
    with pytest.raises(BadInput, match="no dumps in"):
        find_dumps(tmp_path)
    (tmp_path / "run" / "batch_dumps").mkdir(parents=True)
    touch(tmp_path, "run/model.pt")
    with pytest.raises(BadInput, match="no dumps in"):
        find_dumps(tmp_path / "run")
    touch(tmp_path, "a/x.pt", "b/y.pt")
    with pytest.raises(BadInput, match="3 folders"):
        find_dumps(tmp_path)


# --- files that cannot be compared; more in test_dump_hostile.py


def test_the_name_tells_what_the_file_does_not(tmp_path, adam):
    path = tmp_path / "epoch=3-step=70.ckpt"
    torch.save({"state_dict": adam[0].state_dict()}, path)
    dump = open_dump(find_dumps(path)[0])
    assert (dump.epoch, dump.step, dump.batch) == (3, 70, None)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        ({"schema": 3}, RefusedDump, "newer modelcmp"),
        ({"schema": "x"}, DamagedDump, "schema 'x'"),
        ({"schema": 0}, DamagedDump, "schema 0"),
    ],
)
def test_schemas(tmp_path, adam, data, kind, words):
    torch.save(dump_of(*adam) | data, tmp_path / "d.pt")
    with pytest.raises(kind, match=words):
        open_dump(tmp_path / "d.pt")


@pytest.mark.parametrize("content", [[1, 2], 3.5, {}, {"loss": 1.0, "epoch": 2}, {"model_state_dict": {}, "schema": 2}])
def test_no_tensors(tmp_path, content):
    torch.save(content, tmp_path / "d.pt")
    with pytest.raises(DamagedDump, match=r"no tensors|not a dict"):
        open_dump(tmp_path / "d.pt")


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", DamagedDump, "is empty"),
        (b"\xff\xd8\xff\xe0" + b"\1" * 100, ForeignFile, "a JPEG picture"),
        (b"import torch\nprint(1)\n" * 10, ForeignFile, "a text"),
        (b"\0" * 100, DamagedDump, "begins with zeros"),
        (b"version https://git-lfs.github.com/spec/v1\n", ForeignFile, "git lfs pull"),
        (b"\x1f\x8b\x08\0\0\0", ForeignFile, "unpack it"),
    ],
)
def test_foreign_files(tmp_path, content, kind, words):
    path = tmp_path / "d.pt"
    path.write_bytes(content)
    with pytest.raises(kind, match=words) as error:
        open_dump(path)
    assert str(path) in str(error.value)


def test_more_foreign_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.pt", "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    with pytest.raises(ForeignFile, match="no checkpoint"):
        open_dump(tmp_path / "z.pt")
    with pytest.raises(ForeignFile, match="a folder"):
        open_dump(tmp_path)
    with pytest.raises(DumpError, match="No such file"):
        open_dump(tmp_path / "gone.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}." + b"\0" * 10_000_000)
    with pytest.raises(RefusedDump, match="compressed"):
        open_dump(tmp_path / "b.pt")


def test_torchscript_is_refused(tmp_path):
    traced = torch.jit.trace(nn.Linear(2, 2), torch.rand(1, 2))
    torch.jit.save(traced, tmp_path / "d.pt")
    with pytest.raises(RefusedDump, match="TorchScript"):
        open_dump(tmp_path / "d.pt")


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu121", "2.9.0", "2.9.1.dev1", "unknown"])
def test_old_torch_is_refused(version, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(RefusedDump, match="CVE"):
        open_dump(tmp_path / "there_is_no_such_file.pt")


def test_new_torch_is_not():
    for version in ("2.10.0", "2.15.0+cpu", "3.0.0", "2.10.0a0+git123"):
        check_torch(version)


def header(entries, size=0):
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 99_000_000) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        header({"a": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, 12),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 9),
        header({"a": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}}, 8),
        header({"a": [1]}),
        struct.pack("<Q", 200_000) + b'{"a":' + b"[" * 199_995,
        header({}),
    ],
)
def test_senseless_safetensors(tmp_path, content):
    path = tmp_path / "d.safetensors"
    path.write_bytes(content)
    with pytest.raises(DamagedDump, match=r"d\.safetensors"):
        open_dump(path)


def test_a_file_cut_off_after_it_was_opened(tmp_path, adam):
    path = tmp_path / "d.pt"
    torch.save(adam[0].state_dict(), path)
    ref = open_dump(path).weights["3.weight"]
    os.truncate(path, ref.offset + 8)
    with pytest.raises(DamagedDump, match="inside a tensor"):
        ref.load()
