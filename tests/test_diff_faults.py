"""Planted faults, end to end: train twice, dump, diff; the verdict must name what, where and when."""

import hashlib
import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from modelcmp.diffing.records import Tolerance
from modelcmp.diffing.request import Request
from modelcmp.diffing.run import diff
from modelcmp.dumps.dumper import BatchDumper

STEPS, SIZE = 12, 8


class Net(nn.Module):
    """A convolution, a norm, two linear layers of one shape and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.one = nn.Linear(16, 16)
        self.two = nn.Linear(16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))  # (B, 4, 4, 4)
        x = nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)  # (B, 16)
        return self.head(torch.relu(self.two(torch.relu(self.one(x)))))


def sgd(momentum=0.9, decay=1e-2, lr=0.05, two=0.05):
    def make(model):
        special = {id(p) for p in model.two.parameters()}
        groups = [{"params": [p for p in model.parameters() if id(p) not in special]},
                  {"params": list(model.two.parameters()), "lr": two}]  # fmt: skip
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, weight_decay=decay)

    return make


def adamw(decay=1e-2, **more):
    return lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=decay, **more)


def batches():
    """Order of examples, a row a step: the same in every run."""
    return [list(range(SIZE * i, SIZE * (i + 1))) for i in range(STEPS)]


def plain(_model, _optimizer, _step):
    """Nothing goes wrong."""


class Bare:
    """Somebody's own dumps: bare ``torch.save`` of a few keys, without settings."""

    def __init__(self, folder, parts):
        self.folder, self.parts, self.step_ = folder, parts, 0
        self.folder.mkdir(parents=True)

    def start(self, model, optimizer):
        self._save(model, {"step": 0})

    def step(self, model, optimizer, *, loss, acc, batch):
        self.step_ += 1
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        told = {"step": self.step_, "loss": float(loss), "acc": acc, "batch_fingerprint": fingerprint(*batch)}
        self._save(model, told | ({"grads": grads} if "grads" in self.parts else {}))

    def _save(self, model, told):
        weights = {n: t.clone() for n, t in model.state_dict().items()}
        state = {"model_state_dict": weights, "epoch": 1, "batch": told["step"], **told}
        torch.save(state, self.folder / f"batch_{told['step']:04d}.pt")

    def close(self):
        pass


def fingerprint(x, y):
    def digest(*tensors):
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()[:16]

    each = [digest(row) for row in x]
    return {"inputs": digest(x), "targets": digest(y), "samples": "".join(sorted(each)), "sample_hashes": each,
            "size": len(x)}  # fmt: skip


def train(folder, *, make=None, order=None, born=None, fault=plain, augment=None, include=("weights", "optimizer"),
          seed=0, interval=1, bare=None, steps=STEPS):  # fmt: skip
    """Train from one seed on fixed data, with one thing changed; dump each step."""
    torch.manual_seed(seed)
    model = Net()
    if born is not None:
        born(model)
    optimizer = (make or sgd())(model)
    generator = torch.Generator().manual_seed(1)
    x_all = torch.randn(STEPS * SIZE, 1, 4, 4, generator=generator)
    y_all = torch.randint(0, 3, (STEPS * SIZE,), generator=generator)
    dumper = Bare(folder / "batch_dumps" / "epoch_001", bare) if bare is not None else BatchDumper(
        folder, interval=interval, include=include
    )  # fmt: skip
    dumper.start(model, optimizer)
    for step, rows in zip(range(1, steps + 1), itertools.cycle(order or batches()), strict=False):
        x, y = x_all[rows], y_all[rows]
        if augment is not None:
            x = augment(x, step)
        optimizer.zero_grad()
        out = model(x)
        loss = cross_entropy(out, y)
        loss.backward()
        fault(model, optimizer, step)
        optimizer.step()
        acc = float((out.argmax(1) == y).float().mean())
        dumper.step(model, optimizer, loss=loss.detach(), acc=acc, batch=(x, y))
    dumper.close()
    return folder


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Sums in one order: reruns are the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def verdict(tmp_path):
    """The verdict on a plain run and one with a fault; what both share comes first."""

    def judged(both=None, request=None, **fault):
        both = both or {}
        a, b = train(tmp_path / "a", **both), train(tmp_path / "b", **{**both, **fault})
        return diff(a, b, request or Request()).verdict

    return judged


GRADS = {"include": ("weights", "optimizer", "grads")}
BARE = {"bare": ("grads",)}
WEIGHTS = {"bare": ()}


def where(verdict):
    return verdict.status, verdict.first.what, verdict.first.step


@pytest.mark.parametrize("both", [{}, GRADS, WEIGHTS, {"make": adamw()}, {"interval": 5}])
def test_a_rerun_is_identical(verdict, both):
    v = verdict(both)
    assert (v.status, v.first) == ("identical", None)
    assert v.words.startswith("Identical (0 ULP) over")


@pytest.mark.parametrize("both", [{}, BARE])
def test_one_batch_in_another_order(verdict, both):
    order = batches()
    order[6] = order[6][::-1]
    v = verdict(both, order=order)
    assert where(v) == ("diverged", "batch", 7)
    assert (
        "at step 7 (epoch 1, batch 7): the batch holds the same examples in another order (1 of 12 batches" in v.words
    )


def test_two_batches_swapped(verdict):
    order = batches()
    order[3], order[8] = order[8], order[3]
    v = verdict(order=order)
    assert where(v) == ("diverged", "batch", 4)
    assert "the batches of steps 4 and 9 are swapped" in v.words


def test_a_batch_left_out(verdict):
    v = verdict(order=[*batches()[:4], *batches()[5:], batches()[4]])
    assert where(v) == ("diverged", "batch", 5)
    assert "B sees A's batch of 1 dump later from here on: a batch was left out in B" in v.words


def test_shuffled_with_another_seed(verdict):
    examples = [i for batch in batches() for i in batch]
    mixed = [examples[i] for i in torch.randperm(len(examples), generator=torch.Generator().manual_seed(3)).tolist()]
    v = verdict(order=[mixed[SIZE * i : SIZE * (i + 1)] for i in range(STEPS)])
    assert where(v) == ("diverged", "batch", 1)
    assert "spread over other batches: 100 % of A's are found in B's, shuffled otherwise" in v.words


def test_an_augmentation_that_differs(verdict):
    v = verdict(augment=lambda x, step: x.flip(-1) if step >= 5 else x)
    assert where(v) == ("diverged", "batch", 5)
    assert "same targets and other inputs: augmentation or preprocessing differs (8 of 12 batches differ)" in v.words


@pytest.mark.parametrize("both", [{}, GRADS])
def test_a_learning_rate_one_percent_off_that_is_recorded(verdict, both):
    v = verdict(both, make=sgd(two=0.0505))
    assert where(v) == ("diverged", "settings", 0)
    assert "B's learning rate is 0.0505, A's 0.05; 1 % higher (two.weight and two.bias)" in v.words
    assert "tensors part at step 1" in v.words.lower()


@pytest.mark.parametrize("both", [BARE, WEIGHTS, {"include": ("weights", "grads")}])
def test_a_learning_rate_one_percent_off_that_is_not(verdict, both):
    v = verdict(both, make=sgd(two=0.0505))
    assert where(v) == ("diverged", "update", 1)
    assert "B's updates of two.weight and two.bias are 1.01" in v.words
    assert v.first.numbers["update_ratio"] == pytest.approx(1.01, rel=1e-4)


@pytest.mark.parametrize("make", [sgd, adamw])
def test_weight_decay_missing_in_the_settings(verdict, make):
    v = verdict({"make": make()}, make=make(decay=0))
    assert where(v) == ("diverged", "settings", 0)
    assert "B's weight decay is 0, A's 0.01 (all 10 parameters)" in v.words


@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("both", [BARE, WEIGHTS])
def test_weight_decay_missing_in_the_updates(verdict, make, both):
    v = verdict({**both, "make": make()}, make=make(decay=0))
    assert where(v) == ("diverged", "update", 1)
    assert "A decays weights, B does not" in v.words


def test_weight_decay_shows_in_the_gradients_that_moments_tell(verdict):
    def adam(decay):
        return lambda model: torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=decay)

    v = verdict({"make": adam(0.01)}, make=adam(0.0))
    (grad,) = [f for f in v.findings if f.what == "grad"]
    assert grad.numbers["weight_decay_difference"] == pytest.approx(0.01, rel=0.01)


def test_a_wrong_momentum_in_the_settings(verdict):
    v = verdict(make=sgd(momentum=0.8))
    assert where(v) == ("diverged", "settings", 0)
    assert "B's momentum is 0.8, A's 0.9" in v.words
    # gradients recovered from the buffers agree in step 2, up to the rounding of recovering them
    assert [f.step for f in v.findings if f.what == "grad"] == [3]
    assert "tensors part at step 2" in v.words.lower()


def test_a_wrong_momentum_in_the_updates(verdict):
    v = verdict({**WEIGHTS, "make": sgd(decay=0)}, make=sgd(decay=0, momentum=0.8))
    assert where(v) == ("diverged", "update", 2)
    assert "momentum differs by 0.1" in v.words


@pytest.mark.parametrize("both", [{}, GRADS, WEIGHTS])
def test_one_ulp_at_the_start(verdict, both):
    @torch.no_grad()
    def nudge(model):
        w = model.conv.weight
        w[2, 0, 1, 1] = torch.nextafter(w[2, 0, 1, 1], torch.tensor(9.0))

    v = verdict(both, born=nudge)
    assert where(v) == ("diverged", "weight", 0)
    assert "start from weights that differ by at most 1 ULP in conv.weight (1 of 10 tensors)" in v.words


@pytest.mark.parametrize("both", [{}, GRADS, WEIGHTS])
def test_a_frozen_layer(verdict, both):
    v = verdict(both, born=lambda model: model.one.requires_grad_(False))
    assert where(v) == ("diverged", "frozen", 1)
    assert "one.weight and one.bias move in A and never in B (12 dumps)" in v.words


def test_a_layer_that_the_optimizer_does_not_have(verdict):
    def without(model):
        names = [p for n, p in model.named_parameters() if not n.startswith("one")]
        return torch.optim.SGD(names, lr=0.05, momentum=0.9)

    v = verdict({"make": lambda model: torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)}, make=without)
    assert where(v) == ("diverged", "settings", 0)
    assert "B's optimizer does not have one.weight and one.bias" in v.words
    assert "frozen" in v.words


@pytest.mark.parametrize("make", [sgd(), adamw()])
@pytest.mark.parametrize("both", [{}, GRADS])
def test_a_parameter_order_swap_in_the_optimizer(verdict, make, both):
    """As when a state dict is loaded into an optimizer that lists its parameters in another order."""

    def swap(model, optimizer, step):
        if step == 5:
            p, q = model.one.weight, model.two.weight
            optimizer.state[p], optimizer.state[q] = optimizer.state[q], optimizer.state[p]

    v = verdict({**both, "make": make}, fault=swap)
    assert where(v) == ("diverged", "swap", 5)
    assert "one.weight with two.weight" in v.words


def test_a_parameter_order_swap_seen_at_once(verdict, tmp_path):
    """The dump is made between loading the state and the next step: norms agree crosswise."""
    a, b = train(tmp_path / "x", steps=4), train(tmp_path / "y", steps=4)
    for path in sorted((b / "batch_dumps").rglob("*.pt"))[3:]:
        state = torch.load(path, weights_only=True)
        names = [n for group in state["optimizer_param_names"] for n in group]
        p, q = names.index("one.weight"), names.index("two.weight")
        moments = state["optimizer_state_dict"]["state"]
        moments[p], moments[q] = moments[q], moments[p]
        torch.save(state, path)
    v = diff(a, b).verdict
    assert where(v) == ("diverged", "swap", 3)
    assert "the optimizer state of one.weight and two.weight is permuted" in v.words


@pytest.mark.parametrize("both", [{}, GRADS, BARE])
@pytest.mark.parametrize("step", [1, 6])
def test_nan(verdict, both, step):
    @torch.no_grad()
    def poison(model, _optimizer, at):
        if at == step:
            model.two.weight.grad[3, 4] = torch.nan

    v = verdict(both, fault=poison)
    assert where(v) == ("diverged", "nan", step)
    assert v.first.tensor.startswith("two.weight")
    assert "appears in B first in" in v.words
    assert "A stays finite" in v.words


def test_another_initialisation(verdict):
    v = verdict(seed=5)
    assert where(v) == ("not comparable", "initialisation", 0)
    assert "losses (" in v.words


def test_a_new_head_is_comparable(verdict):
    def head(model):
        torch.manual_seed(9)
        model.head = nn.Linear(16, 3)

    v = verdict(born=head)
    assert where(v) == ("diverged", "weight", 0)


def test_dropout_with_other_random_numbers(tmp_path):
    """Equal batches and weights, another loss: the forward pass."""
    for name, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.5), nn.Linear(32, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x, y = torch.randn(16, 8), torch.randint(0, 3, (16,))
        torch.manual_seed(seed)
        with BatchDumper(tmp_path / name, interval=1) as dumper:
            dumper.start(model, optimizer)
            for _ in range(4):
                optimizer.zero_grad()
                loss = cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                dumper.step(model, optimizer, loss=loss.detach(), batch=(x, y))
    v = diff(tmp_path / "a", tmp_path / "b").verdict
    assert where(v) == ("diverged", "loss", 1)
    assert "on the same batch with equal weights: the forward pass differs (dropout or other random numbers" in v.words


def test_gradients_that_are_halved(verdict):
    @torch.no_grad()
    def halve(model, _optimizer, _step):
        for p in model.parameters():
            p.grad.mul_(0.5)

    v = verdict(GRADS, fault=halve)
    assert where(v) == ("diverged", "grad", 1)
    assert "B's gradients are 0.5 times A's, in the same direction" in v.words


def test_between_sparse_dumps(verdict):
    v = verdict({"interval": 5}, fault=lambda m, o, step: m.one.weight.grad.mul_(2) if step == 8 else None)
    assert v.first.step == 10
    assert "between step 5 (identical) and step 10" in v.words


def test_noise_floor(tmp_path):
    """Small random changes of the initial weights are the floor: others of that size are within it, a fault is not."""

    def nudged(seed):
        @torch.no_grad()
        def nudge(model):
            generator = torch.Generator().manual_seed(seed)
            for p in model.parameters():
                p.add_(1e-6 * torch.randn(p.shape, generator=generator))

        return nudge

    a = train(tmp_path / "a")
    request = Request(floors=(train(tmp_path / "floor", born=nudged(1)),))
    v = diff(a, train(tmp_path / "near", born=nudged(2)), request).verdict
    assert v.status == "within noise"
    assert v.first.step == 0
    v = diff(a, train(tmp_path / "far", make=sgd(two=0.0505)), request).verdict
    assert v.status == "diverged"
    assert "times the noise floor from step" in v.words
    assert "B's learning rate is 0.0505" in v.words
    assert diff(a, a, request).verdict.status == "identical"
    assert diff(a, tmp_path / "near", Request(tolerance=Tolerance(1e-3, 1e-3))).verdict.status == "within tolerance"
