"""What a dump holds, against torch's, safetensors' and zipfile's own reading; and that training never pays for it."""

import json
import math
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

import modelcmp
from modelcmp.dumps import torch_file, writer, writing
from modelcmp.dumps.hashing import batch_fingerprint, split_batch, tensor_hash
from modelcmp.dumps.opcodes import Stored
from modelcmp.dumps.stats import LOWEST, tensor_stats
from modelcmp.errors import BadInput, ModelcmpError, OutputError


class Net(nn.Module):
    """Tied weights, a buffer, a frozen parameter, odd types and an empty tensor."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.last.weight = self.first.weight
        self.norm = nn.BatchNorm1d(6)
        self.frozen = nn.Parameter(torch.arange(4.0), requires_grad=False)
        for name, value in {
            "none": torch.empty(0, 3), "wide": torch.tensor([2**63 + 1], dtype=torch.uint64),
            "small": torch.tensor([1.5, -2.0], dtype=torch.float8_e4m3fn), "flags": torch.tensor([True, False, True]),
            "brief": torch.tensor([[1.25]], dtype=torch.bfloat16), "turned": torch.arange(6.0).reshape(2, 3).t(),
        }.items():  # fmt: skip
            self.register_buffer(name, value)

    def forward(self, x):
        return self.last(self.norm(self.first(x)))


def trained(steps=1, optimizer=torch.optim.AdamW):
    """A model after some steps, its optimizer, gradients and last batch."""
    torch.manual_seed(0)
    model = Net()
    optimizer = optimizer([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(steps):
        x, y = torch.randn(5, 6), torch.randint(0, 6, (5,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    return model, optimizer, loss, (x, y)


def same(a, b):
    """Nested data with tensors, to the bit."""
    if isinstance(a, torch.Tensor):
        raw = [np.atleast_1d(t.detach().contiguous().flatten().view(torch.uint8).numpy()) for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and bool((raw[0] == raw[1]).all())
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    return repr(a) == repr(b)  # NaN is NaN


def dump_one(folder, model, optimizer, **more):
    """The path of the dump of a single step."""
    step = {key: more.pop(key) for key in ("loss", "acc", "batch") if key in more}
    with modelcmp.BatchDumper(folder, 1, **more) as dumper:
        dumper.step(model, optimizer, **step)
    (path,) = (folder / "batch_dumps").rglob("batch_0001.*")
    return path


def step(dumper, model, optimizer, times=1):
    """Some steps, all on the disk."""
    for _ in range(times):
        dumper.step(model, optimizer)
    dumper.flush()


def many(call, times, *arguments, **named):
    for _ in range(times):
        call(*arguments, **named)


def read(path):
    return torch.load(path, weights_only=True)


def names(folder):
    root = folder / "batch_dumps"
    return sorted(str(p.relative_to(root).with_suffix("")) for p in root.rglob("*") if p.is_file())


# -- what a file holds --------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adafactor])
def test_torch_reads_back_every_bit(tmp_path, optimizer):
    model, optimizer, loss, batch = trained(3, optimizer)
    path = dump_one(
        tmp_path, model, optimizer, include=("weights", "optimizer", "grads"), loss=loss, acc=0.5, batch=batch
    )
    dump = read(path)
    assert same(dump["model_state_dict"], dict(model.state_dict()))
    assert same(dump["optimizer_state_dict"], optimizer.state_dict())
    assert same(dump["grads"], {n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert (dump["schema"], dump["epoch"], dump["batch"], dump["step"]) == (2, 1, 1, 1)
    assert (dump["loss"], dump["acc"], dump["optimizer"]) == (loss.item(), 0.5, type(optimizer).__name__)
    assert dump["optimizer_param_names"] == [["first.weight", "first.bias", "norm.weight", "norm.bias"]]
    again = Net()
    again.load_state_dict(dump["model_state_dict"])
    type(optimizer)([p for p in again.parameters() if p.requires_grad]).load_state_dict(dump["optimizer_state_dict"])
    assert same(torch.load(path, weights_only=True, mmap=True), dump)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None  # its checksums are true ones
        sizes = [entry.file_size for entry in archive.infolist() if "/data/" in entry.filename]
    moments = [t for entry in optimizer.state.values() for t in entry.values() if t.shape == (6, 6)]
    assert sizes.count(6 * 6 * 4) == 2 + len(moments)  # the weight that has two names is there once
    assert dump["model_state_dict"]["last.weight"].data_ptr() == dump["model_state_dict"]["first.weight"].data_ptr()


def test_safetensors_reads_back_every_bit(tmp_path):
    model, optimizer, _, batch = trained(2)
    path = dump_one(
        tmp_path, model, optimizer, include=("weights", "optimizer", "stats"), format="safetensors", acc=1, batch=batch
    )
    tensors = load_file(path)
    weights = {f"model/{n}": t.contiguous() for n, t in model.state_dict().items() if n != "last.weight"}
    assert same({n: t for n, t in tensors.items() if n.startswith("model/")}, weights)
    for number, name in enumerate(("first.weight", "first.bias", "norm.weight", "norm.bias")):
        for key, value in optimizer.state_dict()["state"][number].items():
            assert same(tensors[f"optimizer/{name}/{key}"], value)
    with safe_open(path, "pt") as file:
        text = json.loads(file.metadata()["modelcmp"])
    assert text["tied"] == {"model/last.weight": "model/first.weight"}
    assert (text["schema"], text["acc"], text["loss"], text["optimizer"]) == (2, 1.0, None, "AdamW")
    assert text["param_groups"][0]["names"][0] == "first.weight"
    assert text["param_groups"][0]["lr"] == 0.01
    assert text["batch_fingerprint"] == batch_fingerprint(*batch)
    assert int(tensors["stats/weights/flags"].sum()) == 2  # one histogram a tensor: its ones


def test_another_type_for_what_is_stored_but_not_for_counters_or_statistics(tmp_path):
    model, optimizer, *_ = trained(300 // 100)
    for state in optimizer.state.values():
        state["step"].fill_(257.0)  # 256 in bfloat16
    dump = read(dump_one(tmp_path, model, optimizer, dtype=torch.bfloat16, include=("weights", "optimizer", "stats")))
    assert same(dump["model_state_dict"]["first.bias"], model.first.bias.detach().bfloat16())
    assert dump["model_state_dict"]["norm.num_batches_tracked"].dtype == torch.int64
    assert float(dump["optimizer_state_dict"]["state"][0]["step"]) == 257.0
    assert dump["stats"]["weights"]["first.bias"]["hash"] == tensor_hash(model.first.bias)


def test_names_are_those_of_the_plain_model(tmp_path):
    model, optimizer, *_ = trained()
    want = list(model.state_dict())
    wrapped = nn.DataParallel(torch.compile(model))
    assert list(read(dump_one(tmp_path / "whole", wrapped, optimizer))["model_state_dict"]) == want
    model.first = torch.compile(model.first)
    dump = read(dump_one(tmp_path / "part", model, optimizer))
    assert list(dump["model_state_dict"]) == want
    assert dump["optimizer_param_names"][0][0] == "first.weight"


def test_parameter_names_follow_identity_not_position(tmp_path):
    model, *_ = trained()
    groups = [{"params": [model.norm.bias, model.first.bias]}, {"params": [model.first.weight], "lr": 0.5}]
    dump = read(dump_one(tmp_path, model, torch.optim.SGD(groups, lr=0.1)))
    assert dump["optimizer_param_names"] == [["norm.bias", "first.bias"], ["first.weight"]]


def test_more_than_four_gigabytes_and_many_entries(tmp_path):
    size, path = 2**32 + 4096, tmp_path / "big.pt"
    (first, second), body = torch_file.arrange([(torch.uint8, (size,)), (torch.uint8, (3,))])
    entries = [torch_file.Entry(b"archive/data/0", 0, size, 0)]
    entries.append(torch_file.Entry(b"archive/data/1", 0, 3, first + size))
    record = {"x": Stored("0", torch.uint8, (size,), size), "y": Stored("1", torch.uint8, (3,), 3)}
    rest = {"data.pkl": torch_file.description(record), "byteorder": b"little", "version": b"3\n"}
    rest |= {f"extra/{i}": b"" for i in range(2**16)}
    with path.open("wb") as file:  # holes, no blocks
        file.write(torch_file._local(entries[0]))
        file.seek(first + size)
        file.write(torch_file._local(entries[1]) + b"abc")
        assert file.tell() == body
        assert second + 3 == body
        file.write(torch_file._tail(entries, rest, body))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 2**16 + 5
        assert archive.getinfo("archive/data/0").file_size == size
        assert archive.read("archive/extra/65535") == b""
    loaded = torch.load(path, weights_only=True, mmap=True)
    assert loaded["x"].shape == (size,)
    assert bytes(loaded["y"].tolist()) == b"abc"


@pytest.mark.parametrize("format", ["pt", "safetensors"])
def test_what_no_plain_file_can_hold_is_left_out_and_said_once(tmp_path, format):
    model, optimizer, *_ = trained()
    plain = {"number": np.float32(0.25), "large": 2**40, "pair": (1, [None, True])}
    optimizer.param_groups[0] |= plain | {"odd": object(), "array": np.ones(3), "inside": [1, {2}]}
    dumper = modelcmp.BatchDumper(tmp_path, 1, format=format)
    with pytest.warns(UserWarning, match="no dump can hold: left out") as said:
        step(dumper, model, optimizer, 3)
    dumper.close()
    kinds = {"odd": "object", "array": "ndarray", "inside": "set"}
    words = [f"dumping: {key!r} is of the type {kind}, which no dump can hold: left out" for key, kind in kinds.items()]
    assert [str(w.message) for w in said] == words
    path = tmp_path / "batch_dumps" / "epoch_001" / f"batch_0003.{format}"
    if format == "pt":
        group = read(path)["optimizer_state_dict"]["param_groups"][0]
        assert group["pair"] == plain["pair"]
    else:
        with safe_open(path, "pt") as file:
            group = json.loads(file.metadata()["modelcmp"])["param_groups"][0]
    assert (group["number"], group["large"], group["lr"]) == (0.25, 2**40, 0.01)
    assert not {"odd", "array", "inside"} & set(group)


class Unusual(nn.Linear):
    """Views that share memory, a sparse buffer, and state that is no tensor."""

    def __init__(self):
        super().__init__(4, 3)
        z = torch.complex(torch.arange(3.0), torch.ones(3))
        self.register_buffer("z", z)
        self.register_buffer("conjugate", z.conj())
        self.register_buffer("imaginary", z.imag)
        self.register_buffer("negative", z.conj().imag)
        self.register_buffer("sparse", torch.eye(4).to_sparse())

    def get_extra_state(self):
        return {"calls": 7, "scale": [0.5, None]}

    def set_extra_state(self, state):
        self.extra = state


def test_views_that_share_memory_and_state_that_is_no_tensor(tmp_path):
    model = Unusual()
    found = read(dump_one(tmp_path, model, None, include=("weights", "stats")))
    weights = found["model_state_dict"]
    assert weights["z"].imag.tolist() == [1, 1, 1]
    assert weights["conjugate"].imag.tolist() == [-1, -1, -1]
    assert weights["imaginary"].tolist() == [1, 1, 1]
    assert weights["negative"].tolist() == [-1, -1, -1]
    assert found["stats"]["weights"]["negative"]["max"] == -1
    weights["sparse"] = weights["sparse"].to_sparse()
    again = Unusual()
    again.load_state_dict(weights)
    assert again.extra == {"calls": 7, "scale": [0.5, None]}
    tensors = load_file(dump_one(tmp_path / "s", model, None, format="safetensors"))  # tensors alone
    assert set(tensors) == {f"model/{name}" for name in weights if name != "_extra_state"}


# -- statistics and fingerprints ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64])
def test_statistics_against_numpy(dtype):
    torch.manual_seed(1)
    values = (torch.randn(3000, dtype=torch.float64) * 10.0 ** torch.linspace(-3, 3, 3000)).to(dtype)
    if dtype.is_floating_point:
        values[[5, 77, 1200]] = torch.tensor([math.nan, math.inf, -math.inf], dtype=dtype)
    values[[1, 2]] = 0
    found, x = tensor_stats(values.reshape(30, 100)), values.double().numpy()
    finite = x[np.isfinite(x)]
    assert found["norm"] == pytest.approx(math.sqrt(math.fsum(finite**2)), rel=1e-12)
    assert found["mean"] == pytest.approx(math.fsum(finite) / len(finite), rel=1e-9)
    assert (found["min"], found["max"], found["elements"]) == (finite.min(), finite.max(), 3000)
    assert (found["zeros"], found["nan"], found["inf"]) == ((x == 0).sum(), np.isnan(x).sum(), np.isinf(x).sum())
    exponents = np.clip(np.frexp(finite[finite != 0])[1] - 1 - LOWEST, 0, 63)
    assert found["histogram"].tolist() == np.bincount(exponents, minlength=64).tolist()


def test_statistics_of_nothing_are_unknown_not_zero():
    found = tensor_stats(torch.tensor([math.nan, math.inf]))
    assert math.isnan(found["mean"])
    assert math.isnan(found["min"])
    assert math.isnan(tensor_stats(torch.empty(0))["max"])


def test_a_hash_sees_one_bit_the_type_and_the_shape():
    x = torch.randn(50, 3)
    bit = x.clone()
    bit.view(torch.int32)[7, 1] ^= 1
    assert tensor_hash(x) == tensor_hash(x.t().contiguous().t())
    assert len({tensor_hash(t) for t in (x, bit, x.reshape(3, 50), x.view(torch.int32), x.flip(0))}) == 5


def test_the_same_examples_in_another_order():
    x, y = torch.randn(8, 3, 4), torch.arange(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    a, b = batch_fingerprint(x, y), batch_fingerprint(x[order], y[order])
    assert a["samples"] == b["samples"]
    assert a["inputs"] != b["inputs"]
    assert a["targets"] != b["targets"]
    assert [a["sample_hashes"][i] for i in order] == b["sample_hashes"]
    x[5, 0, 0] += 1e-6
    c = batch_fingerprint(x, None)
    assert [i for i in range(8) if a["sample_hashes"][i] != c["sample_hashes"][i]] == [5]
    assert (c["targets"], c["size"], a["samples"] != c["samples"]) == (None, 8, True)


def prints(batch):
    return batch_fingerprint(*split_batch(batch))


def test_a_fingerprint_is_of_tensors_not_of_what_they_are_in():
    ids, mask, y = torch.arange(12).reshape(4, 3), torch.rand(4, 3), torch.tensor([2, 0, 1, 3])
    a = prints((ids, y))
    assert (a["size"], len(set(a["sample_hashes"]))) == (4, 4)
    same_batches = (
        {"pixel_values": ids, "labels": y}, ([ids], y), {"x": ids, "y": y}, {"y": y, "x": ids}, (ids, y, ["a.png"]),
        (ids.int(), y.int()), (ids, y.to(torch.uint8)), [{"x": ids, "y": y}, "name"], (ids, {"label": y}),
        {"x": ids, "y": y, "path": ["a.png"], "count": 4},
    )  # fmt: skip
    for batch in same_batches:
        assert prints(batch) == a, batch
    pair = prints((ids, mask, y))
    assert prints({"ids": ids, "mask": mask, "labels": y}) == prints(((ids, mask), y)) == pair
    scores = prints((ids, y.float()))
    assert prints((ids, y.double())) == scores
    of_targets, of_inputs = (y + 1, y[:, None], y.float()), (ids + 1, ids.float(), ids.T, [ids, mask])
    for batch in (*((ids, other) for other in of_targets), *((other, y) for other in of_inputs)):
        found = prints(batch)
        assert (found["inputs"], found["targets"]) != (a["inputs"], a["targets"])
    assert prints((ids.float(), y))["inputs"] != prints((ids.double(), y))["inputs"]
    assert prints((ids,)) == prints(ids) == prints((ids, "name")) == prints({"x": ids}) == a | {"targets": None}
    assert prints(("a", "b"))["size"] == 0


def test_the_same_batch_in_the_same_file_whatever_the_loop(tmp_path):
    x, y = np.arange(12.0).reshape(4, 3), np.array([2, 0, 1, 3], dtype=np.int32)
    batches = ((torch.from_numpy(x), torch.from_numpy(y).long()), {"pixels": x, "labels": y}, (x, y, ["a.png"]))
    found = [
        read(dump_one(tmp_path / str(i), nn.Linear(1, 1), None, batch=batch))["batch_fingerprint"]
        for i, batch in enumerate(batches)
    ]
    assert found[0] == found[1] == found[2] == prints(batches[0])


# -- when, and under which name -----------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_an_ordinary_loop_over_epochs(tmp_path, first):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 2, epochs=2) as dumper:
        dumper.start(model, optimizer)
        for epoch in range(first, first + 3):
            for _ in range(5):
                dumper.step(model, optimizer, epoch=epoch)
    assert names(tmp_path) == [
        "epoch_001/batch_0000", "epoch_001/batch_0002", "epoch_001/batch_0004",
        "epoch_002/batch_0002", "epoch_002/batch_0004",
    ]  # fmt: skip
    assert read(tmp_path / "batch_dumps" / "epoch_002" / "batch_0004.pt")["step"] == 9


def test_other_ways_to_count(tmp_path):
    model = nn.Linear(2, 2)
    with modelcmp.BatchDumper(tmp_path / "one", 2) as dumper:
        for _ in range(5):
            dumper.step(model)
    assert names(tmp_path / "one") == ["epoch_001/batch_0002", "epoch_001/batch_0004"]
    with modelcmp.BatchDumper(tmp_path / "next", 2) as dumper:
        for _ in range(2):
            dumper.next_epoch()  # at the beginning or at the end, it is the same
            for _ in range(3):
                dumper.step(model)
    assert names(tmp_path / "next") == ["epoch_001/batch_0002", "epoch_002/batch_0002"]
    with modelcmp.BatchDumper(tmp_path / "index", 10) as dumper:
        for _ in range(2):
            for i in range(4, 24, 5):  # an optimizer step every five batches, a new epoch where the index falls
                dumper.step(model, batch_index=i)
    assert names(tmp_path / "index") == [f"epoch_00{e}/batch_00{b}" for e in (1, 2) for b in (10, 20)]
    with modelcmp.BatchDumper(tmp_path / "late", 2) as dumper:
        dumper.go_on(epoch=4, batch=3, step=40)
        dumper.step(model, epoch=4)
    assert read(tmp_path / "late" / "batch_dumps" / "epoch_004" / "batch_0004.pt")["step"] == 41


def test_statistics_each_step_and_tensors_at_the_interval(tmp_path):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 4, include=("weights", "grads", "stats"), stats_interval=2) as dumper:
        for _ in range(4):
            dumper.step(model, optimizer)
    small, full = (read(tmp_path / "batch_dumps" / "epoch_001" / f"batch_000{i}.pt") for i in (2, 4))
    assert "model_state_dict" not in small
    assert small["stats"]["grads"]["first.bias"]["hash"] == tensor_hash(model.first.bias.grad)
    assert set(small["stats"]["optimizer"]) >= {"first.weight/exp_avg", "first.weight/exp_avg_sq"}
    assert same(full["stats"], small["stats"])
    assert same(full["grads"]["first.bias"], model.first.bias.grad)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"interval": 0}, "interval is a whole number of at least 1, not 0"),
        ({"include": ("weigths",)}, "include: no 'weigths': did you mean 'weights'"),
        ({"include": ()}, "nothing to dump"),
        ({"dtype": torch.int32}, "dtype: no 'int32'"),
        ({"format": "zip"}, "format: no 'zip'"),
        ({"disk_budget_bytes": "ten"}, "no amount of memory"),
        ({"queue_size": True}, "queue_size is a whole number"),
        ({"interval": None}, "interval is a whole number of at least 1, not None"),
        ({"interval": 2.0}, "interval is a whole number of at least 1, not 2.0"),
        ({"disk_budget_bytes": True}, "disk_budget_bytes is a number of bytes"),
        ({"disk_budget_bytes": -1}, "disk_budget_bytes is a number of bytes"),
        ({"include": None}, "nothing to dump"),
        ({"include": 5}, "include: no 5"),
    ],
)
def test_senseless_options_are_refused(tmp_path, options, words):
    with pytest.raises(BadInput, match=words):
        modelcmp.BatchDumper(tmp_path, **options)


def test_only_the_first_of_several_processes_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 1) as dumper:
        dumper.start(model, optimizer)
        dumper.step(model, optimizer)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [np.int64, torch.tensor, int])
def test_numbers_of_numpy_and_torch(tmp_path, number):
    with modelcmp.BatchDumper(tmp_path, number(2)) as dumper:
        dumper.go_on(epoch=number(2), batch=number(0), step=number(5))
        for i in range(4):
            dumper.step(nn.Linear(1, 1), epoch=number(2), batch_index=number(i))
    assert names(tmp_path) == ["epoch_002/batch_0002", "epoch_002/batch_0004"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_index": "a"}, "batch_index is a whole number of at least 0, not 'a'"),
        ({"batch_index": 2.5}, "batch_index is a whole number of at least 0, not 2.5"),
        ({"batch_index": -1}, "batch_index is a whole number of at least 0, not -1"),
        ({"epoch": torch.tensor([1, 2])}, "epoch is a whole number"),
        ({"epoch": True}, "epoch is a whole number of at least 0, not True"),
    ],
)
def test_a_place_that_is_no_number_is_said_at_once(tmp_path, given, words):
    with pytest.raises(BadInput, match=words):
        modelcmp.BatchDumper(tmp_path, 1).step(nn.Linear(1, 1), **given)


@pytest.mark.parametrize("place", [(0, 0, 0), (1, -1, 0), (1, 0, -1), (1, None, 0)])
def test_a_checkpoint_that_can_be_none(tmp_path, place):
    with pytest.raises(BadInput, match="is a whole number of at least"):
        modelcmp.BatchDumper(tmp_path).go_on(**dict(zip(("epoch", "batch", "step"), place, strict=True)))


@pytest.mark.parametrize("loss", [torch.ones(3), np.ones(3), "much", 10**400, torch.tensor(1 + 2j)])
def test_a_loss_that_is_no_number_is_left_out_and_said_once(tmp_path, loss):
    dumper = modelcmp.BatchDumper(tmp_path, 1)
    model = nn.Linear(1, 1)
    with pytest.warns(UserWarning, match="loss is a single number, not a") as said:
        many(dumper.step, 2, model, loss=loss, acc=np.ones(1, np.float32))
    dumper.close()
    assert len(said) == 1
    assert dumper.stopped == ""
    dump = read(tmp_path / "batch_dumps" / "epoch_001" / "batch_0002.pt")
    assert (dump["loss"], dump["acc"]) == (None, 1.0)


# -- in the background --------------------------------------------------------------------------------


@pytest.fixture
def gate(monkeypatch):
    """Writing waits for it."""
    opened, real = threading.Event(), writer.write_file

    def slow(*arguments):
        assert opened.wait(30)
        return real(*arguments)

    monkeypatch.setattr(writer, "write_file", slow)
    yield opened
    opened.set()


def test_a_dump_is_of_the_moment_of_the_step_and_memory_is_bounded(tmp_path, gate):
    model, optimizer, *_ = trained()
    before = [deepcopy(dict(model.state_dict()))]
    dumper = modelcmp.BatchDumper(tmp_path, 1, queue_size=2)
    for _ in range(2):
        dumper.step(model, optimizer)
        with torch.no_grad():
            model.first.bias.add_(1)
        before.append(deepcopy(dict(model.state_dict())))
    third = threading.Thread(target=dumper.step, args=(model, optimizer))
    third.start()
    third.join(0.3)
    assert third.is_alive()  # two are in memory: the third waits
    gate.set()
    third.join(30)
    assert not third.is_alive()
    dumper.close()
    for i, want in enumerate(before):
        dump = read(tmp_path / "batch_dumps" / "epoch_001" / f"batch_000{i + 1}.pt")
        assert same(dump["model_state_dict"], want)


def test_an_error_stops_dumping_not_training(tmp_path):
    model, optimizer, *_ = trained()
    (tmp_path / "run").write_text("a file where the folder should be")
    dumper = modelcmp.BatchDumper(tmp_path / "run", 1)
    with pytest.warns(UserWarning, match="dumping has stopped, training went on: cannot write"):
        step(dumper, model, optimizer)
    dumper.step(model, optimizer)
    with pytest.raises(OutputError) as error:
        dumper.close()
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ZeroDivisionError):  # is not hidden by what went wrong with the dump
        _fails_while_dumping(tmp_path / "run", model)


def _fails_while_dumping(folder, model):
    with warnings.catch_warnings(), modelcmp.BatchDumper(folder, 1) as dumper:
        warnings.simplefilter("ignore")
        dumper.step(model)
        dumper.flush()
        raise ZeroDivisionError


def test_what_is_no_model_is_said_at_once(tmp_path):
    with pytest.raises(BadInput, match=r"of a torch\.nn\.Module, not of dict"):
        modelcmp.BatchDumper(tmp_path, 1).step({})
    with pytest.raises(BadInput, match="not Linear"):
        modelcmp.BatchDumper(tmp_path, 1).step(nn.Linear(1, 1), nn.Linear(1, 1))


def test_a_disk_that_is_full_leaves_no_torn_file(tmp_path, monkeypatch):
    model, optimizer, *_ = trained()
    dumper = modelcmp.BatchDumper(tmp_path, 1)
    dumper.step(model, optimizer)
    dumper.flush()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "write", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        step(dumper, model, optimizer)
    with pytest.raises(OutputError):
        dumper.close()
    assert names(tmp_path) == ["epoch_001/batch_0001"]


def test_the_newest_stay_and_statistics_of_all(tmp_path):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 2, keep_last=2, include=("weights", "stats"), stats_interval=2) as dumper:
        dumper.start(model, optimizer)
        for _ in range(8):
            dumper.step(model, optimizer)
    dumps = {name: read(tmp_path / "batch_dumps" / f"{name}.pt") for name in names(tmp_path)}
    assert [int(name[-1]) for name, dump in dumps.items() if "model_state_dict" in dump] == [0, 6, 8]
    assert [int(name[-1]) for name, dump in dumps.items() if "stats" in dump] == [0, 2, 4, 6, 8]


def test_the_disk_budget_ends_dumping_without_an_error(tmp_path):
    model, optimizer, *_ = trained()
    one = dump_one(tmp_path / "one", model, optimizer).stat().st_size
    dumper = modelcmp.BatchDumper(tmp_path / "many", 1, disk_budget_bytes=f"{3.5 * one / 1000}k", queue_size=6)
    with pytest.warns(UserWarning, match="disk budget"):
        step(dumper, model, optimizer, 4)
    dumper.step(model, optimizer)
    dumper.close()
    assert "training goes on" in dumper.stopped
    assert len(names(tmp_path / "many")) == 3
    with modelcmp.BatchDumper(tmp_path / "kept", 1, keep_last=3, disk_budget_bytes=int(3.5 * one)) as dumper:
        for _ in range(6):
            dumper.step(model, optimizer)
    assert names(tmp_path / "kept") == [f"epoch_001/batch_000{i}" for i in (4, 5, 6)]


def test_a_folder_holds_one_run(tmp_path):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 1) as dumper:
        for _ in range(5):
            dumper.step(model, optimizer)
    with modelcmp.BatchDumper(tmp_path, 1, format="safetensors") as dumper:
        dumper.go_on(epoch=1, batch=2, step=2)  # from a checkpoint
        dumper.step(model, optimizer)
    files = sorted(p.name for p in (tmp_path / "batch_dumps").rglob("batch_*"))
    assert files == ["batch_0001.pt", "batch_0002.pt", "batch_0003.safetensors"]
    with modelcmp.BatchDumper(tmp_path, 4) as dumper:  # the fourth is the first to be dumped, the third is stale
        dumper.go_on(epoch=1, batch=2, step=2)
        step(dumper, model, optimizer, 2)
    assert names(tmp_path) == [f"epoch_001/batch_000{i}" for i in (1, 2, 4)]
    with modelcmp.BatchDumper(tmp_path, 2) as dumper:  # goes on in a later epoch
        for _ in range(2):
            dumper.step(model, optimizer, epoch=3)
    assert names(tmp_path) == [f"epoch_001/batch_000{i}" for i in (1, 2, 4)] + ["epoch_003/batch_0002"]


@pytest.mark.parametrize("start", [True, False])
def test_another_run_removes_all_of_the_first_at_its_first_dump(tmp_path, start):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 5) as dumper:
        dumper.start(model, optimizer)
        step(dumper, model, optimizer, 12)
    first = [f"epoch_001/batch_00{i}" for i in ("00", "05", "10")]
    assert names(tmp_path) == first
    with modelcmp.BatchDumper(tmp_path, 8) as dumper:
        if start:
            dumper.start(model, optimizer)
        step(dumper, model, optimizer, 7)
        assert names(tmp_path) == (first[:1] if start else first)
        step(dumper, model, optimizer)
    assert names(tmp_path) == [*first[: int(start)], "epoch_001/batch_0008"]


def test_the_state_before_training_has_statistics_too(tmp_path):
    model, optimizer, *_ = trained()
    with modelcmp.BatchDumper(tmp_path, 1, include=["stats"]) as dumper:
        dumper.start(model, optimizer)
    dump = read(tmp_path / "batch_dumps" / "epoch_001" / "batch_0000.pt")
    assert dump["stats"]["weights"]["first.bias"]["hash"] == tensor_hash(model.first.bias)
    assert "model_state_dict" not in dump


def test_after_close_there_is_no_step(tmp_path):
    model, optimizer, *_ = trained()
    dumper = modelcmp.BatchDumper(tmp_path, 1)
    step(dumper, model, optimizer)
    dumper.close()
    for call in (dumper.step, dumper.start):
        with pytest.raises(ModelcmpError, match="BatchDumper is closed: make another"):
            call(model, optimizer)
    dumper.flush()
    dumper.close()
    assert names(tmp_path) == ["epoch_001/batch_0001"]


def test_one_dumper_at_a_time_writes_into_a_folder(tmp_path):
    model, optimizer, *_ = trained()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    first, second = modelcmp.BatchDumper(tmp_path / "a", 1), modelcmp.BatchDumper(tmp_path / "link", 2)
    step(first, model, optimizer)
    with pytest.raises(BadInput, match=r"another BatchDumper writes into .*: close"):
        second.step(model, optimizer)
    first.close()
    step(second, model, optimizer, 2)
    assert names(tmp_path / "a") == ["epoch_001/batch_0002"]
    del second  # one that is forgotten is in nobody's way, and what it has taken is written
    with modelcmp.BatchDumper(tmp_path / "a", 1) as third:
        third.step(model, optimizer)
    assert names(tmp_path / "a") == ["epoch_001/batch_0001"]


SCRIPT = """
import sys, torch, modelcmp
model = torch.nn.Sequential(*[torch.nn.Linear(300, 300) for _ in range(4)])
dumper = modelcmp.BatchDumper(sys.argv[1], 1)
for i in range(int(sys.argv[2])):
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(i + 1)
    dumper.step(model)
    print(i, flush=True)
"""


def test_all_is_written_when_a_process_just_ends(tmp_path):
    subprocess.run([sys.executable, "-c", SCRIPT, tmp_path, "3"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    for i in range(1, 4):
        weights = read(tmp_path / "batch_dumps" / "epoch_001" / f"batch_000{i}.pt")["model_state_dict"]
        assert all(bool((t == i).all()) for t in weights.values())


def test_a_process_that_is_killed_leaves_whole_files_only(tmp_path):
    command = [sys.executable, "-c", SCRIPT, tmp_path, "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 5:
            pass
        time.sleep(0.007)
        child.send_signal(signal.SIGKILL)
    files = list((tmp_path / "batch_dumps").rglob("batch_*.pt"))
    assert len(files) >= 3
    for path in files:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
        assert all(bool((t == int(path.stem[-4:])).all()) for t in read(path)["model_state_dict"].values())
    torn = tmp_path / "batch_dumps" / "epoch_001" / ".batch_0007.pt.xyz"
    torn.write_bytes(b"PK")
    dump_one(tmp_path / "x", nn.Linear(1, 1), None)
    with modelcmp.BatchDumper(tmp_path, 1) as dumper:
        dumper.step(nn.Linear(1, 1))
    assert names(tmp_path) == ["epoch_001/batch_0001"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no file system in memory")
def test_a_file_system_without_direct_writes(monkeypatch):
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        model = nn.Linear(700, 700)
        assert same(read(dump_one(Path(folder), model, None))["model_state_dict"], dict(model.state_dict()))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_tensors_of_a_gpu(tmp_path):
    model = nn.Linear(2000, 2000).cuda()
    want = {name: t.cpu() for name, t in model.state_dict().items()}
    with modelcmp.BatchDumper(tmp_path, 1) as dumper:
        dumper.step(model, loss=model.weight.sum())
        with torch.no_grad():
            model.weight.zero_()
    assert same(read(tmp_path / "batch_dumps" / "epoch_001" / "batch_0001.pt")["model_state_dict"], want)
