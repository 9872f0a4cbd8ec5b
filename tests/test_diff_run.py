"""Two runs compared, from files to records."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import modelcmp
from modelcmp.diffing.records import Tolerance
from modelcmp.diffing.request import Request
from modelcmp.diffing.run import Differ, diff
from modelcmp.errors import BadInput, DumpError


class Count:
    """Hears of progress."""

    def __init__(self):
        self.left = self.done = 0

    def planned(self, pairs):
        self.left += pairs

    def advanced(self):
        self.done += 1


def network(seed=0):
    torch.manual_seed(seed)
    head = (nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 3))
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), *head)


def write(folder, batch, model, optimizer=None, names=None, **more):
    """A dump in the plain form that other people write."""
    path = Path(folder, "batch_dumps", "epoch_001", f"batch_{batch:04d}.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"model_state_dict": model.state_dict(), "epoch": 1, "batch": batch, "step": batch, **more}
    if optimizer is not None:
        state |= {"optimizer_state_dict": optimizer.state_dict(), "optimizer": type(optimizer).__name__}
        state["optimizer_param_names"] = names or [[n for n, _ in model.named_parameters()]]
    torch.save(state, path)
    return path


def trained(folder, steps=4, make=None, lr=0.01, seed=0, data_seed=1):
    """A run that dumps every step; returns the gradients that each step used."""
    model = network(seed)
    optimizer = (make or torch.optim.Adam)(model.parameters(), lr=lr)
    draw, used = torch.Generator().manual_seed(data_seed), []
    write(folder, 0, model, optimizer, loss=None, acc=None)
    for step in range(1, steps + 1):
        x, y = torch.randn(16, 1, 8, 8, generator=draw), torch.randint(0, 3, (16,), generator=draw)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        used.append({n: p.grad.clone() for n, p in model.named_parameters()})
        write(folder, step, model, optimizer, loss=float(loss.detach()), acc=0.5)
    return used


def flat(tensors):
    return torch.cat([t.detach().double().flatten() for t in tensors]).numpy()


def load(path):
    return torch.load(path, weights_only=True)


def column(pair, key, kind="weight"):
    return {t.name: pair.columns[key][i] for i, t in enumerate(pair.tensors) if t.kind == kind}


@pytest.fixture
def runs(tmp_path):
    a = trained(tmp_path / "a")
    b = trained(tmp_path / "b", lr=0.011)
    return tmp_path, a, b


def test_every_measure_of_real_dumps(runs):
    """Against NumPy on tensors that torch.load reads."""
    folder, *_ = runs
    watcher = Count()
    result = diff(folder / "a", folder / "b", watcher=watcher)
    assert watcher.left == watcher.done == len(result.pairs) == 5
    first, last = (
        [load(folder / run / f"batch_dumps/epoch_001/batch_{n:04d}.pt")["model_state_dict"] for run in "ab"]
        for n in (0, 4)
    )
    names = [n for n, p in network().named_parameters()]
    for name in names:
        a, b, a0 = (t[name].double().numpy().ravel() for t in (*last, first[0]))
        assert column(result.pairs[-1], "l2")[name] == pytest.approx(np.linalg.norm(a - b), rel=1e-12)
        assert column(result.pairs[-1], "distance_a")[name] == pytest.approx(np.linalg.norm(a - a0), rel=1e-12)
    a, b = (flat(side[n] for n in names) for side in last)
    assert result.pairs[-1].total("weight")["l2"] == pytest.approx(np.linalg.norm(a - b), rel=1e-12)
    assert {t.name for t in result.pairs[0].tensors if t.kind == "buffer"} == {
        "1.running_mean", "1.running_var", "1.num_batches_tracked"
    }  # fmt: skip
    assert result.pairs[0].total("weight")["equal_share"] == 1
    assert result.pairs[1].a.loss == result.pairs[1].b.loss
    assert {t.name for t in result.pairs[0].tensors if t.group == "mlp"} == {"3.weight", "3.bias", "5.weight", "5.bias"}


@pytest.mark.parametrize(
    "make",
    [
        torch.optim.Adam,
        lambda p, lr: torch.optim.AdamW(p, lr=lr, betas=(0.8, 0.99)),
        lambda p, lr: torch.optim.NAdam(p, lr=lr),
        lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
        lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, dampening=0.5, nesterov=False),
    ],
    ids=["Adam", "AdamW", "NAdam", "SGD", "dampened SGD"],
)
def test_gradients_are_recovered_from_moments(tmp_path, make):
    """The norms that the moments give are those of the gradients that training used, from the first step on."""
    used_a = trained(tmp_path / "a", 3, make)
    used_b = trained(tmp_path / "b", 3, make, lr=0.02)
    result = diff(tmp_path / "a", tmp_path / "b")
    for step in (1, 2, 3):
        pair = result.pairs[step]
        assert all(t.recovered for t in pair.tensors if t.kind == "grad")
        for name, norm in column(pair, "a_norm", "grad").items():
            assert norm == pytest.approx(float(used_a[step - 1][name].double().norm()), rel=1e-4)
        apart = {n: float((used_a[step - 1][n].double() - used_b[step - 1][n]).norm()) for n in used_a[0]}
        for name, l2 in column(pair, "l2", "grad").items():
            assert l2 == pytest.approx(apart[name], rel=1e-3, abs=1e-6)
    assert len(column(result.pairs[1], "l2", "grad")) == 8


def test_no_gradient_is_made_up(tmp_path):
    """Dumps ten steps apart, and an optimizer whose moments are made otherwise, tell none."""
    for run in "ab":
        trained(tmp_path / run, 3)
        (tmp_path / run / "batch_dumps/epoch_001/batch_0002.pt").unlink()
    result = diff(tmp_path / "a", tmp_path / "b")
    assert len(column(result.pairs[1], "l2", "grad")) == 8
    assert not column(result.pairs[2], "l2", "grad")


def test_gradients_in_the_dump_come_first(tmp_path):
    model = network()
    for run, size in (("a", 1.0), ("b", 2.0)):
        write(tmp_path / run, 1, model, grads={"5.bias": torch.full((3,), size)})
    pair = diff(tmp_path / "a", tmp_path / "b").pairs[0]
    assert column(pair, "l2", "grad") == {"5.bias": pytest.approx(3**0.5)}
    assert not any(t.recovered for t in pair.tensors)


def test_optimizer_state_is_matched_by_name(tmp_path):
    """The same state under other numbers is the same state."""
    names = [n for n, _ in network().named_parameters()]
    for run, order in (("a", 1), ("b", -1)):
        model = network()
        parameters = dict(model.named_parameters())
        optimizer = torch.optim.Adam([parameters[n] for n in names[::order]])
        for p in parameters.values():
            p.grad = torch.full_like(p, p.numel())
        optimizer.step()
        write(tmp_path / run, 1, model, optimizer, [names[::order]])
    result = diff(tmp_path / "a", tmp_path / "b")
    assert all(share == 1 for share in column(result.pairs[0], "equal_share", "optimizer").values())
    assert len(column(result.pairs[0], "equal_share", "optimizer")) == 16
    assert result.pairs[0].b.settings["5.bias"]["lr"] == 0.001


def test_layouts_and_types(tmp_path):
    """Channels-last beside contiguous is no difference; another type is said, and has no ULPs."""
    torch.manual_seed(0)
    conv, fc, half = torch.randn(8, 4, 3, 3), torch.randn(5, 7), torch.randn(9).half()
    first = {"conv": conv, "fc": fc, "half": half, "brain": fc.bfloat16(), "steps": torch.tensor(7)}
    second = {
        "conv": conv.to(memory_format=torch.channels_last), "fc": fc.bfloat16(),
        "half": torch.nextafter(half, half + 1),
        "brain": torch.nextafter(fc.bfloat16(), torch.tensor(99, dtype=torch.bfloat16)), "steps": torch.tensor(8),
    }  # fmt: skip
    torch.save(first, tmp_path / "a.pt")
    torch.save(second, tmp_path / "b.pt")
    (pair,) = diff(tmp_path / "a.pt", tmp_path / "b.pt").pairs
    rows = {t.name: i for i, t in enumerate(pair.tensors)}
    assert pair.columns["equal_share"][rows["conv"]] == 1
    rounded = float((fc.double() - fc.bfloat16().double()).norm())
    assert pair.columns["l2"][rows["fc"]] == pytest.approx(rounded, rel=1e-12)
    assert np.isnan(pair.columns["ulp_max"][rows["fc"]])
    assert (pair.tensors[rows["fc"]].dtype, pair.tensors[rows["fc"]].dtype_b) == ("float32", "bfloat16")
    assert pair.columns["ulp_max"][rows["half"]] == 1
    assert pair.columns["ulp_max"][rows["brain"]] == 1
    assert pair.columns["max_abs"][rows["steps"]] == 1
    assert pair.tensors[rows["steps"]].kind == "buffer"


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.uint8, torch.bool])
def test_unusual_types_are_measured(tmp_path, dtype):
    a, b = torch.tensor([0.5, 1, 2]).to(dtype), torch.tensor([0.5, 1, 0]).to(dtype)
    torch.save({"w": a}, tmp_path / "a.pt")
    torch.save({"w": b}, tmp_path / "b.pt")
    (pair,) = diff(tmp_path / "a.pt", tmp_path / "b.pt").pairs
    wanted = float((torch.view_as_real(a - b) if dtype.is_complex else a.double() - b.double()).norm())
    assert pair.columns["l2"][0] == wanted > 0


def test_shapes_that_differ_are_reported_and_the_rest_compared(tmp_path):
    torch.save({"w": torch.ones(3, 4), "v": torch.ones(2)}, tmp_path / "a.pt")
    safetensors.torch.save_file({"w": torch.ones(3, 5), "v": torch.ones(2)}, tmp_path / "b.safetensors")
    (pair,) = diff(tmp_path / "a.pt", tmp_path / "b.safetensors").pairs
    problems = {t.name: t.problem for t in pair.tensors}
    assert problems["v"] == ""
    assert "(3, 4)" in problems["w"]
    assert "(3, 5)" in problems["w"]
    assert pair.total("weight")["l2"] == 0


def test_a_filter_chooses_by_group_and_by_name(runs):
    folder, *_ = runs
    head = diff(folder / "a", folder / "b", Request(filters=("mlp",)))
    assert {t.owner.split(".")[0] for t in head.pairs[0].tensors} == {"3", "5"}
    conv = diff(folder / "a", folder / "b", Request(filters=(r"^0\.",)))
    assert {t.owner for t in conv.pairs[-1].tensors} == {"0.weight", "0.bias"}
    with pytest.raises(BadInput, match="layer9"):
        diff(folder / "a", folder / "b", Request(filters=("layer9",)))


def test_a_damaged_dump_is_named_and_the_rest_compared(runs):
    folder, *_ = runs
    broken = folder / "b/batch_dumps/epoch_001/batch_0002.pt"
    data = bytearray(broken.read_bytes())
    place = data.find(network(0).state_dict()["0.weight"].numpy().tobytes()[:8])
    data[len(data) // 2 if place < 0 else place + 5] ^= 16
    broken.write_bytes(data)
    os.utime(broken, (time.time() - 999,) * 2)
    result = diff(folder / "a", folder / "b")
    assert len(result.pairs) == 4
    (skipped,) = result.skipped
    assert skipped.path == str(broken)
    assert "damaged" in skipped.reason
    with pytest.raises(DumpError, match="batch_0002"):
        diff(folder / "a", folder / "b", Request(strict=True))


def test_ways_are_not_measured_from_a_damaged_first_dump(runs):
    folder, *_ = runs
    first = folder / "a/batch_dumps/epoch_001/batch_0000.pt"
    weight = load(first)["model_state_dict"]["3.weight"].numpy().tobytes()
    data = bytearray(first.read_bytes())
    data[data.find(weight) + 103] ^= 64
    first.write_bytes(data)
    result = diff(folder / "a", folder / "b")
    assert [p.step for p in result.pairs] == [1, 2, 3, 4]
    assert column(result.pairs[0], "distance_a")["3.weight"] == 0
    one, last = (load(first.with_name(f"batch_000{n}.pt"))["model_state_dict"]["3.weight"].double() for n in (1, 4))
    assert column(result.pairs[-1], "distance_a")["3.weight"] == pytest.approx(float((last - one).norm()), rel=1e-12)


def test_a_flip_in_a_storage_that_tensors_share_is_found(tmp_path):
    """Weights of a flattened model are views of one storage: no tensor has a checksum of its own."""
    flat = torch.randn(5000)
    state = {"v": flat[:2000].view(50, 40), "w": flat[2000:]}
    for run in ("a", "b"):
        torch.save(state, tmp_path / f"{run}.pt")
    assert diff(tmp_path / "a.pt", tmp_path / "b.pt").verdict.status == "identical"
    data = bytearray((tmp_path / "b.pt").read_bytes())
    data[data.find(flat.numpy().tobytes()) + 9000] ^= 1
    (tmp_path / "b.pt").write_bytes(data)
    with pytest.raises(DumpError, match=r"b\.pt is damaged"):
        diff(tmp_path / "a.pt", tmp_path / "b.pt", Request(strict=True))


def test_a_growing_run_is_taken_up_where_it_was(runs):
    folder, *_ = runs
    late = folder / "b/batch_dumps/epoch_001/batch_0004.pt"
    late.rename(folder / "later.pt")
    differ, watcher = Differ(folder / "a", folder / "b", Request()), Count()
    before = differ.update(watcher)
    assert len(before.pairs) == 4
    assert [Path(p).name for p in before.unmatched_a] == ["batch_0004.pt"]
    (folder / "later.pt").rename(late)
    after = differ.update(watcher)
    assert watcher.done == len(after.pairs) == 5
    assert after.pairs[:4] == before.pairs
    whole = diff(folder / "a", folder / "b")
    assert whole.pairs[-1].total() == pytest.approx(after.pairs[-1].total(), nan_ok=True)


def test_a_file_that_is_being_written_is_taken_up_when_it_is_whole(runs):
    folder, *_ = runs
    late = folder / "b/batch_dumps/epoch_001/batch_0004.pt"
    whole = late.read_bytes()
    late.write_bytes(whole[: len(whole) // 2])
    differ = Differ(folder / "a", folder / "b", Request())
    assert len(differ.update(Count()).pairs) == 4
    late.write_bytes(whole)
    result = differ.update(Count())
    assert len(result.pairs) == 5
    assert not result.skipped


def test_tolerance_and_floor_reach_the_verdict(runs):
    folder, *_ = runs
    assert diff(folder / "a", folder / "b").verdict.status == "diverged"
    assert diff(folder / "a", folder / "b", Request(tolerance=Tolerance(rtol=10, atol=10))).verdict.status == (
        "within tolerance"
    )
    noisy = diff(folder / "a", folder / "b", Request(floors=(folder / "b",)))
    assert noisy.floor is not None
    assert len(noisy.floor) == 5
    assert noisy.verdict.status == "within noise"
    assert diff(folder / "a", folder / "a").verdict.status == "identical"


def test_threads_change_nothing(runs):
    folder, *_ = runs
    one, four = (diff(folder / "a", folder / "b", Request(threads=n)) for n in (1, 4))
    for x, y in zip(one.pairs, four.pairs, strict=True):
        assert all(np.array_equal(x.columns[k], y.columns[k], equal_nan=True) for k in x.columns)


def test_statistics_tell_where_there_are_no_tensors(tmp_path):
    """Hashes say whether tensors are the same, norms how long they are; how far apart they are stays unknown."""
    for run, lr in (("a", 0.01), ("b", 0.02)):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        with modelcmp.BatchDumper(tmp_path / run, interval=10, include=("weights", "stats")) as dumper:
            dumper.start(model, optimizer)
            for _ in range(2):
                model(torch.ones(2, 1, 8, 8)).sum().backward()
                optimizer.step()
                dumper.step(model, optimizer)
    result = diff(tmp_path / "a", tmp_path / "b")
    assert [p.step for p in result.pairs] == [0, 1, 2]
    assert not result.pairs[0].differing.any()
    late = {t.name: i for i, t in enumerate(result.pairs[1].tensors) if t.kind == "weight"}
    assert result.pairs[1].differing[late["5.bias"]]
    assert np.isnan(result.pairs[1].columns["l2"][late["5.bias"]])
    norm = result.pairs[1].columns["b_norm"][late["5.bias"]]
    moved = network().state_dict()["5.bias"].double() - 0.02 * 2  # of each of two examples, one
    assert norm == pytest.approx(float(moved.norm()), rel=1e-6)
    assert result.verdict.status == "diverged"


def test_statistics_are_held_against_whole_tensors(tmp_path):
    """One run has statistics alone: hashes of the other's tensors tell whether they are the same."""
    for run, include in (("full", ("weights",)), ("same", ("stats",)), ("other", ("stats",))):
        model = network(seed=run == "other")
        with modelcmp.BatchDumper(tmp_path / run, interval=1, include=include) as dumper:
            dumper.step(model)
    same, other = (diff(tmp_path / "full", tmp_path / run).pairs[0] for run in ("same", "other"))
    assert len(same.tensors) == 11
    assert not same.differing.any()
    assert {t.name for t, differs in zip(other.tensors, other.differing, strict=True) if differs} >= {"0.weight"}


def test_complex_and_real_numbers_are_not_compared(tmp_path):
    torch.save({"w": torch.ones(4), "v": torch.ones(3)}, tmp_path / "a.pt")
    torch.save({"w": torch.ones(4, dtype=torch.complex64), "v": torch.ones(3)}, tmp_path / "b.pt")
    (pair,) = diff(tmp_path / "a.pt", tmp_path / "b.pt").pairs
    assert {t.name: t.problem for t in pair.tensors} == {"w": "types differ: float32 and complex64", "v": ""}


@pytest.mark.parametrize("loss", [10**400, "high", [1.0], float("inf")])
def test_an_odd_loss_is_unknown_and_said(tmp_path, loss):
    for run in "ab":
        torch.save({"model_state_dict": {"w": torch.ones(3)}, "loss": loss}, tmp_path / f"{run}.pt")
    result = diff(tmp_path / "a.pt", tmp_path / "b.pt")
    assert result.verdict.status == "identical"
    if loss != float("inf"):
        assert result.pairs[0].a.loss is None
        assert any("loss is no number" in words for words in result.warnings)


def test_memory_does_not_grow_with_the_dump(tmp_path):
    """A quarter of a gigabyte a dump, of which at most some chunks are in memory."""
    import subprocess
    import sys

    big = {"w": torch.ones(60_000_000)}
    torch.save(big, tmp_path / "a.pt")
    big["w"] += 1
    torch.save(big, tmp_path / "b.pt")
    del big
    code = (
        "import resource, sys, torch; from pathlib import Path\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "torch.ones(1).add(1); before = peak()\n"
        "from modelcmp.diffing.run import diff\n"
        "result = diff(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "print(result.pairs[0].total('weight')['max_abs'], peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.pt"), str(tmp_path / "b.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    apart, extra_mb = map(float, done.stdout.split())
    assert apart == 1
    assert extra_mb < 230  # neither file is


def test_paths_and_replacements_are_told(tmp_path):
    with pytest.raises(BadInput, match="there is no"):
        diff(tmp_path / "a", tmp_path / "b")
    torch.save({"x": torch.ones(3)}, tmp_path / "a.pt")
    torch.save({"y": torch.ones(2, 2)}, tmp_path / "b.pt")
    result = diff(tmp_path / "a.pt", tmp_path / "b.pt")
    assert result.verdict.status == "nothing in common"
    assert replace(result).alignment.only_a == ("x",)
