"""What the verdict says of pairs of dumps that are built here from arrays, measured with float64 NumPy."""

import math

import numpy as np
import pytest
import torch

from modelcmp.diffing.records import Alignment, DumpPair, Match, Side, TensorPair, Tolerance
from modelcmp.diffing.run import diff
from modelcmp.diffing.sums import FIELDS, Sums
from modelcmp.diffing.verdict import judge
from modelcmp.diffing.verdict.distance import Series
from modelcmp.diffing.verdict.jumps import jumps
from modelcmp.diffing.verdict.losses import sign_test
from modelcmp.diffing.verdict.trends import trend

RNG = np.random.default_rng(0)


def dump(step, weights, *, grads=None, state=None, buffers=None, loss=None, batch=None, settings=None, acc=None):
    """One dump: arrays by name for each kind, a fingerprint made of a word."""
    kinds = {"grad": grads or {}, "optimizer": state or {}, "weight": weights, "buffer": buffers or {}}
    print_ = (
        {"inputs": batch, "samples": f"set of {batch}", "targets": f"y{batch}"} if isinstance(batch, str) else batch
    )
    side = Side(f"{step}.pt", 1, step, step, loss, acc, print_, settings or {})
    return side, {(kind, name): np.asarray(x) for kind, part in kinds.items() for name, x in part.items()}


def ordered(x):
    """Floats as integers in their order; both zeros are 0."""
    bits = x.view({2: np.int16, 4: np.int32, 8: np.int64}[x.itemsize]).astype(object)
    lowest = -(2 ** (8 * x.itemsize - 1))
    return np.array([b if b >= 0 else lowest - b for b in bits.ravel()], dtype=object)


def measured(a, b, a0, b0):
    """A row of sums by their definitions."""
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    fine = np.isfinite(x) & np.isfinite(y)
    p, q = x[fine], y[fine]
    row = dict.fromkeys(FIELDS, math.nan) | {
        "elements": x.size, "measured": fine.sum(), "equal": ((x == y) | np.isnan(x) & np.isnan(y)).sum(),
        "nan_a": np.isnan(x).sum(), "nan_b": np.isnan(y).sum(), "inf_a": np.isinf(x).sum(), "inf_b": np.isinf(y).sum(),
        "aa": p @ p, "bb": q @ q, "ab": p @ q, "dd": (p - q) @ (p - q), "ss": (p + q) @ (p + q),
        "ds": (p - q) @ (p + q), "max_abs": np.abs(p - q).max(initial=0.0),
    }  # fmt: skip
    if a.dtype == b.dtype and a.dtype.kind == "f":
        row["ulp_max"] = max((abs(m - n) for m, n, f in zip(ordered(a), ordered(b), fine, strict=True) if f), default=0)
    if a0 is not None:
        u, v = (x - a0.ravel())[fine], (y - b0.ravel())[fine]
        row |= {"uu": u @ u, "vv": v @ v, "uv": u @ v}
    return row


def pairs(run_a, run_b):
    """Pairs of dumps of two lists of dumps, as the pipeline makes them."""
    made = []
    for (side_a, a), (side_b, b) in zip(run_a, run_b, strict=True):
        keys = [k for k in a if k in b]
        tensors = tuple(
            TensorPair(n, n, kind, "mlp" if n.startswith("fc") else "backbone", a[kind, n].shape, str(a[kind, n].dtype),
                       str(b[kind, n].dtype), "" if a[kind, n].shape == b[kind, n].shape else "shapes differ")
            for kind, n in keys
        )  # fmt: skip
        first = run_a[0][1], run_b[0][1]
        rows = [
            measured(a[k], b[k], *(r.get(k) if k[0] == "weight" else None for r in first))
            if a[k].shape == b[k].shape else dict.fromkeys(FIELDS, math.nan) for k in keys
        ]  # fmt: skip
        sums = Sums({f: np.array([float(r[f]) for r in rows]) for f in FIELDS})
        made.append(DumpPair(side_a.step if side_a.step is not None else len(made), side_a, side_b, tensors, sums))
    return made


EXACT, NAMED = Tolerance(), Alignment(())


def verdict(run_a, run_b, tolerance=EXACT, floor=None, alignment=NAMED):
    held = None if floor is None else pairs(run_a, floor)
    return judge(pairs(run_a, run_b), alignment=alignment, tolerance=tolerance, floor=held)


def found(v, what):
    return [f for f in v.findings if f.what == what]


# -- small runs in float32 NumPy ------------------------------------------------------------------

NAMES = ("conv.weight", "conv.bias", "mid.weight", "fc.weight", "fc.bias")
SHAPES = ((8, 16), (8,), (8, 16), (16, 8), (16,))


def start(seed=7):
    rng = np.random.default_rng(seed)
    return {n: rng.normal(0, 0.3, s).astype(np.float32) for n, s in zip(NAMES, SHAPES, strict=True)}


def gradient(weights, step):
    """A smooth function of the weights that is new at each step."""
    rng = np.random.default_rng(1000 + step)
    return {n: (0.1 * w + rng.normal(0, 1, w.shape)).astype(np.float32) for n, w in weights.items()}


def sgd(steps=8, lr=0.01, momentum=0.0, decay=0.0, decoupled=0.0, changed=None, every=1, told=(), seed=7):
    """Dumps of plain SGD; ``changed``: names whose lr is another; ``told``: parts that the dumps hold."""
    weights, buffers = start(seed), {}
    run = [dump(0, weights)]
    for step in range(1, steps + 1):
        loss = float(sum((w**2).sum() for w in weights.values()))
        grads, new = gradient(weights, step), {}
        for n, w in weights.items():
            g = grads[n] + np.float32(decay) * w
            buffers[n] = np.float32(momentum) * buffers[n] + g if n in buffers else g
            rate = np.float32((changed or {}).get(n, lr))
            new[n] = w * np.float32(1 - rate * decoupled) - rate * buffers[n]
        weights = new
        state = {f"{n}/momentum_buffer": b for n, b in buffers.items()} if "state" in told else {}
        settings = {n: {"lr": (changed or {}).get(n, lr), "momentum": momentum} for n in NAMES} if "lr" in told else {}
        run.append(dump(step, weights, grads=grads if "grads" in told else {}, state=state, loss=loss,
                        batch=f"b{step}", settings=settings))  # fmt: skip
    return run[::every]


def test_a_rerun_is_identical():
    v = verdict(sgd(told=("grads", "state")), sgd(told=("grads", "state")))
    assert (v.status, v.first) == ("identical", None)
    assert v.words.startswith("Identical (0 ULP) over 9 dumps: 5 weights, 5 gradients, 5 optimizer states, losses and")
    assert v.words.endswith(" and batches. Unknown: settings (not in the dumps).")  # unknown is said, and once
    assert not found(v, "unknown")


@pytest.mark.parametrize("told", [(), ("grads",), ("grads", "state")])
def test_a_learning_rate_that_is_one_percent_off(told):
    v = verdict(sgd(momentum=0.9, told=told), sgd(momentum=0.9, told=told, changed={"mid.weight": 0.0101}))
    assert v.status == "diverged"
    assert (v.first.what, v.first.step, v.first.tensor) == ("update", 1, "mid.weight")
    assert v.first.numbers["update_ratio"] == pytest.approx(1.01, rel=1e-5)
    assert "learning rate" in v.words
    assert "1 % higher" in v.words
    assert ("or its gradient" in v.words) == (told == ())  # where no gradients are known, they may be it as well


def test_rounding_elsewhere_does_not_hide_a_learning_rate():
    a, b = sgd(), sgd(changed={"mid.weight": 0.0101})
    for name in ("conv.weight", "fc.weight", "fc.bias"):
        w = b[1][1]["weight", name]
        b[1][1]["weight", name] = np.nextafter(w, w + RNG.normal(0, 1, w.shape).astype(np.float32))
    v = verdict(a, b)
    assert (v.first.what, v.first.step) == ("update", 1)
    assert "B's updates of mid.weight are 1.01" in v.words


def test_several_learning_rates_differ():
    v = verdict(sgd(), sgd(changed={"mid.weight": 0.02, "fc.weight": 0.011}))
    assert "learning rates differ in 2 tensors" in v.first.words
    assert v.first.numbers["update_ratio_max"] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize(("decay", "decoupled"), [(0.05, 0), (0, 0.05)])
def test_weight_decay_that_is_missing_in_plain_weights(decay, decoupled):
    v = verdict(sgd(decay=decay, decoupled=decoupled), sgd())
    assert (v.first.what, v.first.step) == ("update", 1)
    assert v.first.numbers["shrinks_by"] == pytest.approx(0.05 * 0.01, rel=0.02)
    assert "A decays weights, B does not" in v.words
    back = verdict(sgd(), sgd(decay=decay, decoupled=decoupled))
    assert "B decays weights, A does not" in back.words


def test_weight_decay_with_the_learning_rate_known():
    v = verdict(sgd(decoupled=0.05, told=("lr",)), sgd(told=("lr",)))
    assert v.first.numbers["weight_decay"] == pytest.approx(0.05, rel=0.02)


def test_weight_decay_in_momentum_buffers():
    v = verdict(sgd(momentum=0.9, decay=0.05, told=("state", "grads")), sgd(momentum=0.9, told=("state", "grads")))
    assert (v.first.what, v.first.step) == ("optimizer", 1)
    assert v.first.numbers["weight_decay_difference"] == pytest.approx(0.05, rel=1e-3)
    assert "larger in A" in v.first.words


def test_weight_decay_in_adams_first_moments():
    """exp_avg takes 1 - beta1 of a gradient."""
    a, b = planted(9)
    for n in NAMES:
        key = "optimizer", f"{n}/exp_avg"
        b[2][1][key] = a[2][1][key] + np.float32(0.1 * 0.05) * a[1][1]["weight", n]
    v = verdict(a, b)
    assert (v.first.what, v.first.step) == ("optimizer", 2)
    assert v.first.numbers["weight_decay_difference"] == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("told", [(), ("state",)])
def test_a_wrong_momentum(told):
    v = verdict(sgd(momentum=0.9, told=told), sgd(momentum=0.8, told=told))
    assert v.first.step == 2  # the first step has no momentum yet
    assert v.first.numbers["momentum_difference"] == pytest.approx(0.1, rel=1e-3)
    assert "momentum differs by 0.1" in v.words


def test_a_learning_rate_that_changes_later():
    late = sgd(4, told=("grads",))
    other = sgd(4, told=("grads",))
    arrays = other[3][1]
    for n in NAMES:  # at step 3, B moves 10 % farther
        arrays["weight", n] = other[2][1]["weight", n] - np.float32(0.011) * arrays["grad", n]
    v = verdict(late[:4], other[:4])
    assert (v.first.what, v.first.step) == ("update", 3)
    assert v.first.numbers["lr_difference"] == pytest.approx(0.001, rel=0.01)


def test_random_differences_get_no_reason():
    """No learning rate, decay, momentum or swap is read into noise of any size."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = sgd(4, momentum=0.9, told=("state",)), sgd(4, momentum=0.9, told=("state",))
        k, size = int(rng.integers(1, 5)), 10.0 ** rng.uniform(-6, 0)
        for key, x in b[k][1].items():
            b[k][1][key] = (x + size * rng.normal(0, 1, x.shape)).astype(np.float32)
        v = verdict(a, b)
        assert (v.first.what, v.first.step) == ("optimizer", k), v.words


# -- the first difference, in causal order ----------------------------------------------------------


def planted(step, *kinds):
    """A run of five dumps; B differs from ``step`` on in the given kinds, in all tensors or the given scalars."""

    def at(k, other):
        d = lambda kind: 1.5 if other and kind in kinds and k >= step else 1.0  # noqa: E731
        away = np.float32(d("weight") - 1)
        weights = {n: w + np.float32(0.01 * k) + away * start(11)[n] for n, w in start().items()}
        grads = {n: w * np.float32(d("grad")) for n, w in start(8).items()} if k else {}
        state = {f"{n}/exp_avg": w * np.float32(d("optimizer")) for n, w in start(9).items()} if k else {}
        settings = {n: {"lr": 0.1 * d("settings")} for n in NAMES}
        return dump(k, weights, grads=grads, state=state, buffers={"bn.mean": np.ones(4) * d("buffer")},
                    loss=d("loss") if k else None, batch=f"b{k}{d('batch')}" if k else None,
                    settings=settings)  # fmt: skip

    return [at(k, False) for k in range(5)], [at(k, True) for k in range(5)]


ORDER = ["batch", "loss", "grad", "settings", "optimizer", "weight", "buffer"]


@pytest.mark.parametrize("earliest", range(len(ORDER)))
def test_causal_order_within_a_step(earliest):
    v = verdict(*planted(3, *ORDER[earliest:]))
    assert (v.status, v.first.what, v.first.step) == ("diverged", ORDER[earliest], 3)
    whats = [f.what for f in v.findings if f.what in ORDER]
    assert whats == ORDER[earliest:]
    if ORDER[earliest] != "settings":  # the rest follows from it
        assert {f.what for f in v.findings if f.serious} <= {ORDER[earliest], "settings"}


def test_time_comes_before_cause():
    a, early = planted(2, "weight")
    _, late = planted(3, "batch")
    v = verdict(a, [*early[:3], *late[3:]])
    assert (v.first.what, v.first.step) == ("weight", 2)


def test_before_training_weights_come_before_settings():
    v = verdict(*planted(0, "weight", "settings"))
    assert v.first.what == "weight"
    assert "from the start on, step 0 (before training)" in v.words
    assert "Also: B's learning rate is 0.15, A's 0.1; 50 % higher" in v.words


def test_backward_begins_at_the_last_layer():
    a, b = planted(3, "nothing")
    for name in ("conv.weight", "mid.weight"):
        b[3][1]["grad", name] = b[3][1]["grad", name] + np.float32(0.5)
        b[3][1]["weight", name] = b[3][1]["weight", name] + np.float32(0.5)
    v = verdict(a, b)
    assert v.first.tensor == "mid.weight"  # mid comes after conv in the model: its gradient is there first
    assert v.first.numbers["tensors"] == 2
    assert "the backward pass" in v.words
    assert found(v, "weight")[0].tensor == "conv.weight"


def test_between_two_dumps():
    v = verdict(sgd(20, every=5), sgd(20, every=5, changed={"mid.weight": 0.02}))
    assert "between step 0 (identical) and step 5 (epoch 1, batch 5)" in v.words
    v = verdict(sgd(20)[10::5], sgd(20, changed={"mid.weight": 0.02})[10::5])
    assert "from the first dump on, step 10" in v.words


def test_loss_alone_says_forward_and_only_where_weights_are_known_to_agree():
    a, b = planted(3, "loss")
    assert "on the same batch with equal weights: the forward pass differs" in verdict(a, b).words
    assert "forward" not in verdict([a[0], *a[3:]], [b[0], *b[3:]]).words  # weights in between are not known
    for side, _ in (*a, *b):
        object.__setattr__(side, "fingerprint", None)
    v = verdict(a, b)
    assert "the batch (not recorded) or the forward pass differs" in v.words
    assert "Unknown: batches (no fingerprints)." in v.words


def test_loss_that_differs_by_rounding():
    a, b = planted(9)
    object.__setattr__(b[3][0], "loss", 1.0000001)
    v = verdict(a, b)
    assert "by rounding, on the same batch" in v.first.words
    assert found(v, "noise")[0].numbers["epsilons"] < 1
    object.__setattr__(b[3][0], "loss", 1.001)
    assert "more than rounding" in found(verdict(a, b), "noise")[0].words


# -- batches --------------------------------------------------------------------------------------


def seen(*batches):
    """Runs of equal weights; a batch is (inputs, samples, targets) or a word."""
    prints = [b if isinstance(b, str) else dict(zip(("inputs", "samples", "targets"), b, strict=True)) for b in batches]
    return [dump(0, start()), *(dump(k, start(), loss=1.0, batch=b) for k, b in enumerate(prints, 1))]


@pytest.mark.parametrize(
    ("a", "b", "words", "step"),
    [
        ("pqrs", ["p", ("q2", "set of q", "yq2"), "r", "s"], "same examples in another order", 2),
        ("pqrs", "psrq", "the batches of steps 2 and 4 are swapped (2 of 4 batches differ)", 2),
        ("pqrstu", "prstuv", "B sees A's batch of 1 dump later from here on", 2),
        ("pqrstu", "ppqrst", "B sees A's batch of 1 dump earlier from here on", 2),
        ("pqrs", "prqx", "B sees A's batch of step 3: shuffled otherwise", 2),
        ("pqrst", "ptqsr", "B sees A's batch of step 5: shuffled otherwise", 2),
        ("pq", ["p", ("x", "set of x", "yq")], "same targets and other inputs: augmentation or preprocessing", 2),
        ("pq", ["p", ("q", "set of q", "other")], "inputs of the batch are the same, its targets are not", 2),
        ("pq", "px", "other data", 2),
        ("pqr", "pzq", "A's batch comes to B at step 3", 2),
    ],
)
def test_in_which_way_batches_differ(a, b, words, step):
    v = verdict(seen(*a), seen(*b))
    assert (v.first.what, v.first.step) == ("batch", step)
    assert words in v.first.words


def test_examples_spread_over_other_batches():
    def run(order):
        parts = [order[i : i + 2] for i in range(0, 8, 2)]
        prints = [{"inputs": f"{p}", "targets": f"y{p}", "samples": f"{sorted(p)}", "sample_hashes": p} for p in parts]
        return [dump(k, start(), loss=1.0, batch=p) for k, p in enumerate(prints, 1)]

    v = verdict(run(list("abcdefgh")), run(list("hcebgadf")))
    assert "spread over other batches: 100 % of A's are found in B's" in v.first.words
    one = run(list("abcdefgh"))
    other = run(list("abcxefgh"))
    assert "1 of 2 examples of the batch are the same" in verdict(one, other).first.words


def test_sizes_of_batches():
    def of(n):
        return [dump(1, start(), loss=1.0, batch={"inputs": f"{n}", "samples": f"s{n}", "targets": f"t{n}", "size": n})]

    assert "A's batch holds 32 examples, B's 31" in verdict(of(32), of(31)).words


def test_fingerprints_of_one_run_are_not_assumed_to_be_the_other_ones():
    a, b = planted(9)
    for side, _ in b:
        object.__setattr__(side, "fingerprint", None)
    v = verdict(a, b)
    assert v.status == "identical"
    assert "Unknown: batches (no fingerprints in 4 of 4 dumps of B)." in v.words


# -- settings ---------------------------------------------------------------------------------------


def with_settings(a, b, **more):
    one, two = ([dump(0, start(), settings=dict.fromkeys(NAMES, s), **more)] for s in (a, b))
    return verdict(one, two)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"weight_decay": 0.01}, {"weight_decay": 0}, "B's weight decay is 0, A's 0.01 (all 5 parameters)"),
        ({"lr": 0.1}, {"lr": 0.101}, "B's learning rate is 0.101, A's 0.1; 1 % higher"),
        ({"betas": (0.9, 0.999)}, {"betas": [0.9, 0.99]}, "B's betas are (0.9, 0.99), A's (0.9, 0.999)"),
        ({"nesterov": False}, {"nesterov": True}, "B's Nesterov momentum is True, A's False"),
        ({"eps": 1e-8}, {"eps": 1e-6}, "B's eps is 1e-06, A's 1e-08"),
    ],
)
def test_settings_that_differ(a, b, words):
    v = with_settings(a, b)
    assert (v.status, v.first.what, v.first.step) == ("diverged", "settings", 0)
    assert words in v.words


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"lr": 0.1 * 3}, {"lr": 0.3}),  # the same up to rounding
        ({"lr": 0.1, "initial_lr": 1.0}, {"lr": 0.1, "initial_lr": 2.0}),
        ({"lr": 0.1}, {"lr": 0.1, "maximize": False}),  # older files do not have it: unknown
        ({"betas": (0.9, 0.99)}, {"betas": [0.9, 0.99]}),
    ],
)
def test_settings_that_do_not(a, b):
    v = with_settings(a, b)
    assert v.status == "identical"
    assert not found(v, "settings")


def test_how_it_is_computed_is_a_remark():
    v = with_settings({"foreach": None}, {"foreach": True})
    assert v.status == "identical"
    assert not found(v, "settings")[0].serious


def test_a_parameter_that_one_optimizer_lacks():
    a, b = ([dump(0, start(), settings={n: {"lr": 0.1} for n in names})] for names in (NAMES, NAMES[:3]))
    v = verdict(a, b)
    assert "B's optimizer does not have fc.weight and fc.bias" in v.words
    assert "A's optimizer does not have" in verdict(b, a).words


def test_a_schedule_is_said_once():
    a, b = ([dump(k, start(), settings={n: {"lr": s / (k + 1)} for n in NAMES}) for k in range(5)] for s in (1.0, 2.0))
    assert len(found(verdict(a, b), "settings")) == 1


def test_other_numbers_of_optimizer_steps():
    a, b = planted(9)
    object.__setattr__(b[2][0], "scalars", {"fc.weight/step": 1.0, "fc.bias/step": 1.0})
    object.__setattr__(a[2][0], "scalars", {"fc.weight/step": 2.0, "fc.bias/step": 2.0})
    v = verdict(a, b)
    assert (v.first.what, v.first.step) == ("optimizer", 2)
    assert "step of fc.weight and 1 more is 1 in B and 2 in A" in v.words


# -- frozen, swapped, NaN ----------------------------------------------------------------------------


def test_frozen_in_one_run():
    v = verdict(sgd(), sgd(changed={"mid.weight": 0.0}))
    assert (v.first.what, v.first.step, v.first.tensor) == ("frozen", 1, "mid.weight")
    assert "mid.weight moves in A and never in B (8 dumps)" in v.words
    v = verdict(sgd(changed={"mid.weight": 0.0}), sgd())
    assert "moves in B and never in A" in v.words


def test_frozen_in_both_is_no_finding():
    both = {"changed": {"mid.weight": 0.0}}
    v = verdict(sgd(**both), sgd(**both, lr=0.02))
    assert not found(v, "frozen")


def test_optimizer_state_under_another_name():
    a, b = planted(9)
    for _, arrays in b[1:]:
        x, y = ("optimizer", "conv.weight/exp_avg"), ("optimizer", "mid.weight/exp_avg")
        arrays[x], arrays[y] = arrays[y], arrays[x]
    v = verdict(a, b)
    assert (v.first.what, v.first.step) == ("swap", 1)
    assert "the optimizer state of conv.weight and mid.weight is permuted" in v.words


def test_optimizer_state_swapped_a_step_ago():
    """m' = b m_q + (1 - b) g for parameter p, and the other way round."""
    a, b = planted(9)
    g, x, y = (RNG.normal(0, 1, (8, 16)) for _ in range(3))
    for arrays, (p, q) in ((a[3][1], (x, y)), (b[3][1], (y, x))):
        arrays["optimizer", "conv.weight/exp_avg"] = (0.9 * p + 0.1 * g).astype(np.float32)
        arrays["optimizer", "mid.weight/exp_avg"] = (0.9 * q + 0.1 * g * 2).astype(np.float32)
    v = verdict(a, b)
    assert (v.first.what, v.first.step) == ("swap", 3)
    assert "conv.weight with mid.weight" in v.words


def test_two_states_that_differ_by_other_lengths_are_not_swapped():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = planted(9)
        for name in ("conv.weight", "mid.weight"):
            x = b[3][1]["optimizer", f"{name}/exp_avg"]
            b[3][1]["optimizer", f"{name}/exp_avg"] = x + rng.normal(0, 0.1, x.shape).astype(np.float32)
        assert verdict(a, b).first.what == "optimizer"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("kind", "words"), [("grad", "the gradient of mid.weight"), ("weight", "mid.weight")])
def test_nan_in_one_run(kind, words, bad):
    a, b = planted(9)
    b[3][1][kind, "mid.weight"][2, 3] = bad
    v = verdict(a, b)
    name = "NaN" if np.isnan(bad) else "Inf"
    assert (v.status, v.first.what, v.first.step, v.first.tensor) == ("diverged", "nan", 3, "mid.weight")
    assert f"{name} appears in B first in {words} (1 place); A stays finite" in v.words
    assert verdict(a, b, Tolerance(1, 1)).status == "diverged"  # no tolerance is wide enough for NaN


def test_nan_in_both_runs():
    a, b = planted(9)
    for run in (a, b):
        object.__setattr__(run[2][0], "loss", math.nan)
    v = verdict(a, b)
    assert v.status == "identical"
    assert "NaN appears in both runs at once, first in the loss" in found(v, "nan")[0].words
    object.__setattr__(b[2][0], "loss", 1.0)
    object.__setattr__(b[4][0], "loss", math.nan)
    v = verdict(a, b)
    assert "NaN appears in A first in the loss (nan), in B at step 4 in the loss" in v.words


def test_infinite_buffers_from_the_start_are_meant():
    a, b = planted(9)
    for run in (a, b):
        for _, arrays in run:
            arrays["buffer", "mask"] = np.array([0.0, -np.inf])
    assert not found(verdict(a, b), "nan")


# -- initial weights ---------------------------------------------------------------------------------


def test_one_ulp_at_the_start():
    a, b = planted(9)
    for _, arrays in b:
        w = arrays["weight", "mid.weight"] = arrays["weight", "mid.weight"].copy()
        w[1, 2] = np.nextafter(w[1, 2], np.float32(9))
    v = verdict(a, b)
    assert (v.status, v.first.what, v.first.step, v.first.tensor) == ("diverged", "weight", 0, "mid.weight")
    assert "start from weights that differ by at most 1 ULP in mid.weight (1 of 5 tensors)" in v.words


def test_independent_initialisations():
    ones = {"norm.weight": np.ones(128, np.float32), "norm.bias": np.zeros(128, np.float32)}
    a, b = ([dump(k, start(s) | ones, loss=2.0 - k * s / 10, acc=0.5) for k in range(3)] for s in (1, 2))
    v = verdict(a, b)
    assert (v.status, v.first.what) == ("not comparable", "initialisation")
    assert v.first.numbers["relative_l2"] == pytest.approx(math.sqrt(2), abs=0.1)
    assert abs(v.first.numbers["cosine"]) < 0.15
    assert "Weights not comparable" in v.words
    assert "losses (1.8 and 1.6 at step 2)" in v.words


def test_a_new_head_on_a_shared_backbone_is_comparable():
    a, b = ([dump(k, start(1) | {n: start(s)[n] for n in ("fc.weight", "fc.bias")}) for k in range(3)] for s in (1, 2))
    v = verdict(a, b)
    assert v.status == "diverged"
    assert "fc.weight (the head) is initialised independently" in v.words
    assert "the other 2 weight matrices equal" in v.words


def test_trained_apart_from_one_start_is_comparable():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a = [dump(100, start(seed))]
        b = [dump(100, {n: (w + rng.normal(0, 0.45, w.shape)).astype(np.float32) for n, w in start(seed).items()})]
        assert verdict(a, b).status == "diverged"


def test_independent_at_any_size_and_scale():
    for seed in range(15):
        rng = np.random.default_rng(seed)
        one, two = ({f"l{i}.weight": rng.normal(0, s, (int(2 ** rng.integers(3, 7)),) * 2).astype(np.float32)
                     for i in range(5)} for s in (1.0, 0.2))  # fmt: skip
        two = {n: rng.normal(0, 0.2, w.shape).astype(np.float32) for n, w in one.items()}
        assert verdict([dump(0, one)], [dump(0, two)]).status == "not comparable"


# -- over time: jumps, trends, losses -----------------------------------------------------------------


def series_of(values, steps=None):
    values = np.asarray(values, dtype=np.float64)
    return Series((), np.arange(len(values), dtype=np.float64) if steps is None else np.asarray(steps, float), values)


def test_a_jump_on_exponential_growth_is_found_where_it_is():
    growth = 1e-8 * 2 ** (np.arange(60) / 5)
    growth[33:] *= 10
    assert jumps(series_of(growth)) == [33]


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 2.0])
def test_no_jump_on_growth_however_fast(rate):
    assert jumps(series_of(1e-30 * 10 ** (rate * np.arange(40)))) == []
    assert jumps(series_of(np.sqrt(np.arange(1, 60)))) == []
    assert jumps(series_of(1e-8 * 10 ** (8 * (1 - np.exp(-np.arange(60) / 10))))) == []


def test_no_jump_between_unevenly_spaced_dumps():
    steps = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 60, 61, 62, 63.0])
    assert jumps(series_of(1e-12 * 10 ** (steps / 20), steps)) == []


def test_noise_rarely_jumps():
    """Growth with a lognormal noise of 5 %: at most one false jump in 200 series of 50 dumps."""
    rng = np.random.default_rng(1)
    noisy = [np.exp(0.2 * np.arange(50) + rng.normal(0, 0.05, 50)) for _ in range(200)]
    assert sum(bool(jumps(series_of(x))) for x in noisy) <= 1
    rough = [np.exp(0.2 * np.arange(50) + rng.normal(0, 0.5, 50)) for _ in range(200)]  # doubles often, by chance
    assert sum(bool(jumps(series_of(x))) for x in rough) <= 25


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 1e9], [1e-9] * 4])
def test_few_points_tell_nothing(values):
    assert jumps(series_of(values)) == []
    assert trend(series_of(values)) is None


def test_a_jump_names_the_tensor():
    a, b = planted(9), planted(9)
    long_a = [dump(k, {n: w + np.float32(0.01 * k) for n, w in start().items()}) for k in range(16)]
    off = {n: n == "mid.weight" for n in NAMES}
    long_b = [dump(k, {n: w + np.float32(0.01 * k + 1e-5 + (k >= 12) * off[n]) for n, w in start().items()})
              for k in range(16)]  # fmt: skip
    (jump,) = found(verdict(long_a, long_b), "jump")
    assert (jump.step, jump.tensor) == (12, "mid.weight")
    assert jump.numbers["factor"] > 100
    assert not found(verdict(a[0], b[0]), "jump")


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_doubling_time(noise):
    rng = np.random.default_rng(2)
    values = 1e-8 * 2 ** (np.arange(90) / 14) * np.exp(rng.normal(0, noise, 90))
    found_ = trend(series_of(values))
    assert found_.shape == "exponential"
    assert found_.numbers["doubling_steps"] == pytest.approx(14, rel=0.03)
    assert found_.words.startswith("doubles every 1")


def test_outliers_do_not_move_the_doubling_time():
    values = 1e-8 * 2 ** (np.arange(60) / 10)
    values[[7, 23, 41, 55]] *= 1000
    assert trend(series_of(values)).numbers["doubling_steps"] == pytest.approx(10, rel=0.03)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (1e-4 * np.arange(1, 60), "grows about linearly with the steps"),
        (1e-4 * np.sqrt(np.arange(1, 60)), "grows about as the square root of the steps"),
        (1e-4 * np.arange(1, 60) ** 2.0, "grows as the steps to the power 2.0"),
        (np.minimum(1e-8 * 2 ** (np.arange(90) / 3.0), 1e-3), "doubled every 3 steps at first and stays near 0.001"),
        (1e-2 * 2 ** (-np.arange(60) / 7), "halves every 7 steps"),
    ],
)
def test_courses(values, words):
    assert trend(series_of(values)).words.startswith(words)


def test_no_trend_in_noise_or_in_what_stays():
    rng = np.random.default_rng(3)
    assert sum(trend(series_of(np.exp(rng.normal(0, 0.3, 40)))) is not None for _ in range(100)) == 0
    assert trend(series_of(np.full(50, 1e-3))) is None


def test_a_lower_loss_is_told_from_chance():
    rng = np.random.default_rng(4)
    share, p, n = sign_test(rng.normal(0.5, 1, 200))
    assert share > 0.6
    assert p < 1e-3
    assert n > 100
    false = 0
    for _ in range(300):  # gaps that go together in time, with no bias: naive tests fail one in three times
        gaps, x = [], 0.0
        for _ in range(100):
            x = 0.8 * x + rng.normal()
            gaps.append(x)
        false += sign_test(np.array(gaps))[1] < 0.01
    assert false <= 9


def test_the_loss_that_is_lower():
    rng = np.random.default_rng(5)
    a = [dump(k, {}, loss=2.0 + rng.normal(0, 0.1)) for k in range(60)]
    b = [dump(k, {}, loss=side.loss - 0.1 - rng.normal(0, 0.05)) for k, (side, _) in enumerate(a)]
    (bias,) = found(verdict(a, b), "bias")
    assert bias.words.startswith("The loss is lower in B in 100 % of 60 dumps")
    assert bias.numbers["median_gap"] == pytest.approx(0.1, abs=0.03)
    assert not bias.serious


# -- floors and tolerances ------------------------------------------------------------------------------


def apart(sizes, losses=None):
    """A run whose weights are at a relative L2 of ``sizes`` from the zeroth one, and its losses from 1."""
    base = {n: np.abs(w) for n, w in start().items()}
    return [
        dump(k, {n: w * np.float64(1 + s) for n, w in base.items()}, loss=1.0 + (losses[k] if losses else 0.0))
        for k, s in enumerate(sizes)
    ]


ZERO = [0.0] * 20


def test_within_and_above_a_floor():
    floor = [1e-6] * 20
    v = verdict(apart(ZERO), apart([2e-6] * 20), floor=apart(floor))
    assert v.status == "within noise"
    assert "at most 2 times the floor in 20 of 20 dumps" in v.words
    grown = [2e-6] * 10 + [4e-5] * 10
    v = verdict(apart(ZERO), apart(grown), floor=apart(floor))
    assert v.status == "diverged"
    assert found(v, "floor")[0].step == 10
    assert found(v, "floor")[0].numbers["factor"] == pytest.approx(40, rel=0.01)
    assert "the weights' relative L2 is up to 40 times the noise floor from step 10 on" in v.words


def test_two_dumps_above_the_floor_are_not_enough():
    spike = [2e-6] * 20
    spike[5] = spike[6] = 1e-3
    assert verdict(apart(ZERO), apart(spike), floor=apart([1e-6] * 20)).status == "within noise"
    spike[7] = 1e-3
    assert verdict(apart(ZERO), apart(spike), floor=apart([1e-6] * 20)).status == "diverged"


def test_the_floor_is_the_largest_of_the_dumps_before():
    floor = [1e-9] * 20
    floor[4] = 1e-6  # ten dumps from there on
    sizes = [0.0] * 4 + [2e-6] * 10 + [0.0] * 6
    assert verdict(apart(ZERO), apart(sizes), floor=apart(floor)).status == "within noise"
    sizes[14:] = [2e-6] * 6
    assert found(verdict(apart(ZERO), apart(sizes), floor=apart(floor)), "floor")[0].step == 14


def test_a_floor_of_zero_and_losses():
    v = verdict(apart(ZERO), apart([1e-9] * 20), floor=apart(ZERO))
    assert v.status == "diverged"
    assert "above a noise floor of 0 from step 0 on" in v.words
    v = verdict(apart(ZERO), apart(ZERO, [0.5] * 20), floor=apart(ZERO, [0.1] * 20))
    assert "the difference of the losses is up to 5 times the noise floor" in v.words


def test_a_floor_that_ends_early_or_knows_nothing():
    a, b, c = apart(ZERO), apart([2e-6] * 20), apart([1e-6] * 20)

    def held(to, count):
        return judge(pairs(a, to), alignment=Alignment(()), tolerance=Tolerance(), floor=pairs(a[:count], c[:count]))

    v = held(b, 12)
    assert v.status == "within noise"
    assert (
        "8 dumps past step 11, where the floor ends, are held against its last value" in found(v, "unknown")[-1].words
    )
    assert "in 20 of 20 dumps, 8 of them past its end" in v.words
    assert held(apart([2e-6] * 15 + [2e-5] * 5), 12).status == "diverged"
    for count in (2, 6, 9):  # too short: what is past its end may be anything
        v = held(b, count)
        assert v.status == "diverged"
        assert f"The noise floor covers only {count} of 20 dumps: too few to call the rest noise." in v.words
    assert held(apart([2e-6] * 6 + [0.0] * 14), 6).status == "within noise"  # nothing differs past its end


def test_a_floor_with_nothing_in_common():
    a, b = apart(ZERO), apart([2e-6] * 20)
    v = judge(pairs(a, b), alignment=Alignment(()), tolerance=Tolerance(), floor=[])
    assert v.status == "diverged"
    assert [f.words for f in found(v, "unknown")] == [
        "The noise floor has no dump in common with A: it judges nothing."
    ]
    assert "The noise floor has no dump in common with A" in v.words
    assert judge(pairs(a, a), alignment=Alignment(()), tolerance=Tolerance(), floor=[]).status == "identical"


def test_a_measure_that_the_floor_does_not_have_is_no_noise():
    a, b = apart(ZERO), apart([2e-6] * 20, [0.5] * 20)
    v = verdict(a, b, floor=[dump(k, {n: x for (_, n), x in d[1].items()}) for k, d in enumerate(apart([1e-6] * 20))])
    assert v.status == "diverged"
    assert "the floor has nothing to hold the difference of the losses against" in v.words.replace("The", "the")


def test_several_floor_runs_count_by_their_largest():
    a, b = apart(ZERO), apart([5e-6] * 20)
    both = [p for pair in zip(pairs(a, apart([1e-6] * 20)), pairs(a, apart([4e-6] * 20)), strict=True) for p in pair]
    judged = judge(pairs(a, b), alignment=Alignment(()), tolerance=Tolerance(), floor=both)
    assert judged.status == "within noise"


def test_nan_is_never_noise():
    a, b = apart(ZERO), apart([1e-6] * 20)
    b[9][1]["weight", "fc.bias"][0] = np.nan
    assert verdict(a, b, floor=apart([1e-6] * 20)).status == "diverged"


@pytest.mark.parametrize(("rtol", "status"), [(1e-5, "within tolerance"), (1e-7, "diverged")])
def test_tolerance(rtol, status):
    v = verdict(apart(ZERO), apart([0.0] * 5 + [2e-6] * 15), Tolerance(rtol=rtol))
    assert v.status == status
    assert v.words.startswith("Within tolerance (rtol 1e-5" if rtol == 1e-5 else "Diverged at step 5")


def test_the_first_difference_beyond_a_tolerance():
    v = verdict(apart(ZERO), apart([1e-9] * 7 + [1e-3] * 13), Tolerance(rtol=1e-6))
    assert (v.status, v.first.step) == ("diverged", 7)
    v = verdict(apart(ZERO), apart(ZERO, [1e-9] * 20), Tolerance(atol=1e-8))
    assert v.status == "within tolerance"


def test_a_size_that_rounding_explains_and_one_that_it_does_not():
    def run(e):
        rng = np.random.default_rng(0)
        return [dump(k, {n: (w + np.float32(0.01 * k) + e * (k > 2) * rng.normal(0, 1, w.shape)).astype(np.float32)
                         for n, w in start().items()}) for k in range(6)]  # fmt: skip

    v = verdict(run(0), run(3e-8))
    assert "as rounding does" in v.words
    assert "`--floor`" in v.words
    v = verdict(run(0), run(1e-4))
    assert "more than rounding" in v.words
    assert "`--floor`" in v.words
    assert v.status == "diverged"


# -- what cannot be compared ------------------------------------------------------------------------------


def test_nothing_in_common():
    v = judge([], alignment=Alignment(()), tolerance=Tolerance())
    assert v.status == "nothing in common"
    assert "no dump of A has a partner" in v.words
    v = verdict([dump(1, {"x": np.ones(3)})], [dump(1, {"y": np.ones(3)})], alignment=Alignment((), ("x",), ("y",)))
    assert v.status == "nothing in common"
    assert "no tensor of A has a partner in B (A has 1 tensor, B 1)" in v.words


def test_losses_alone_can_be_compared():
    a, b = ([dump(k, {}, loss=1.0 + s * (k > 3)) for k in range(8)] for s in (0, 1))
    v = verdict(a, b)
    assert (v.status, v.first.what, v.first.step) == ("diverged", "loss", 4)


def test_shapes_that_differ():
    a, b = [dump(0, start())], [dump(0, start() | {"fc.weight": np.ones((3, 3), np.float32)})]
    v = verdict(a, b)
    assert (v.status, v.first.what, v.first.tensor) == ("diverged", "shape", "fc.weight")
    assert "fc.weight: shapes differ" in v.words


def test_types_and_lonely_tensors_are_remarks():
    half = {n: w.astype(np.float16) for n, w in start().items()}
    full = {n: w.astype(np.float32) for n, w in half.items()}
    v = verdict([dump(0, full)], [dump(0, half)], alignment=Alignment((), ("extra",), (), (("p", ("q", "r")),)))
    assert v.status == "identical"
    assert (
        "A stores conv.weight, conv.bias, mid.weight and 2 more as float32, B as float16" in found(v, "dtype")[0].words
    )
    assert "only in A: extra (1 tensor)" in v.words
    assert "p (q and r)" in found(v, "missing")[1].words


def test_what_a_coarser_type_rounds_is_no_difference():
    full = start()
    half = {n: w.astype(np.float16) for n, w in full.items()}
    v = verdict([dump(0, full)], [dump(0, half)])
    assert (v.status, v.first) == ("within tolerance", None)
    assert "as far as the coarser of two stored types tells" in v.words
    off = half | {"fc.bias": (full["fc.bias"] * 1.01).astype(np.float16)}
    v = verdict([dump(0, full)], [dump(0, off)])
    assert (v.status, v.first.tensor, v.first.numbers["tensors"]) == ("diverged", "fc.bias", 1)


def test_types_that_hide_small_differences_prove_no_equal_weights():
    a, b = planted(3, "loss")
    for run in (a, b):
        for _, arrays in run:
            arrays |= {k: x.astype(np.float16) for k, x in arrays.items() if k[0] == "weight"}
    v = verdict(a, b)
    assert v.first.what == "loss"
    assert "forward" not in v.words


@pytest.mark.parametrize("cut", [slice(3, None), slice(0, None, 3)])
def test_settings_come_first_where_the_step_before_is_not_known(cut):
    a, b = planted(3, "loss", "settings", "weight")
    assert verdict(a[cut], b[cut]).first.what == "settings"
    assert verdict(a, b).first.what == "loss"


def known_by(pair, **columns):
    """The same pair where nothing but a few columns is known."""
    rows = pair.sums.rows
    sums = Sums.unknown(rows).columns | {k: np.full(rows, v) if np.isscalar(v) else v for k, v in columns.items()}
    return DumpPair(pair.step, pair.a, pair.b, pair.tensors, Sums(sums))


def test_hashes_and_norms():
    pair = pairs([dump(0, start())], [dump(0, start())])[0]

    def judged(**columns):
        return judge([known_by(pair, **columns)], alignment=Alignment(()), tolerance=Tolerance())

    assert judged(hash_equal=1.0).words.startswith("Identical (equal elements or hashes): 5 weights")
    v = judged(hash_equal=np.array([1, 1, 0, 1, 1.0]))
    assert (v.status, v.first.tensor) == ("diverged", "mid.weight")
    v = judged(aa=pair.sums["aa"], bb=pair.sums["bb"])
    assert v.words.startswith("Identical (as far as recorded)")
    assert "only norms were compared" in v.words
    assert judged(aa=pair.sums["aa"], bb=pair.sums["bb"] * 1.1).status == "diverged"


def test_foreign_dumps_without_steps():
    a, b = (
        [dump(None, {n: w * np.float32(1 + s * (k > 1)) for n, w in start().items()}) for k in range(4)] for s in (0, 1)
    )
    v = verdict(a, b)
    assert v.status == "diverged"
    assert "dump 2" in v.words


def test_a_single_pair_of_files():
    v = verdict([dump(None, start())], [dump(None, start() | {"fc.bias": np.ones(16, np.float32)})])
    assert v.words.startswith("Diverged in the only pair of dumps: fc.bias differs (relative L2 ")


def test_every_finding_is_a_sentence():
    for v in (verdict(*planted(3, *ORDER)), verdict(sgd(), sgd(lr=0.02)), verdict(sgd(seed=1), sgd(seed=2))):
        for f in v.findings:
            assert f.words.endswith(".")
            assert "  " not in f.words
            assert "nan" not in f.words.replace("finite", "")
        assert v.first in v.findings


# -- what is said where little is known -------------------------------------------------------------------


def plain(weights, notes=()):
    """A state dict that says nothing of training."""
    side, arrays = dump(None, weights)
    return Side(side.path, None, None, None, None, None, None, {}, notes=notes), arrays


def gaps(run_a, run_b, **more):
    return judge(pairs(run_a, run_b), alignment=NAMED, tolerance=EXACT, **more)


def test_pairs_that_could_not_be_read_are_said():
    v = gaps(sgd(4), sgd(4), left_out=26, unmatched=(7, 1))
    assert v.status == "identical"
    first, _, rest = v.words.partition(". ")
    assert "over 5 dumps" in first
    assert "26 of 31 pairs could not be compared" in first
    assert "7 dumps of A and 1 dump of B have no partner" in first
    assert "26 of 31" not in rest
    assert found(v, "missing")[0].numbers == {"pairs": 26}
    v = gaps(sgd(4), sgd(4, lr=0.02), left_out=26)
    assert v.words.count("26 of 31 pairs could not be compared") == 1
    v = gaps([], [], left_out=3)
    assert (v.status, "3 of 3 pairs could not be compared" in v.words) == ("nothing in common", True)
    few = gaps(sgd(20), sgd(20), unmatched=(1, 0))
    assert "no partner" not in few.words
    assert found(few, "missing")[0].words == "1 dump of A has no partner."


def test_files_that_are_cut_short_are_counted(tmp_path):
    for run in ("a", "b"):
        folder = tmp_path / run / "batch_dumps" / "epoch_001"
        folder.mkdir(parents=True)
        for k in range(5):
            torch.save({"step": k, "model_state_dict": {"w": torch.ones(9) * k}}, folder / f"batch_{k:04d}.pt")
    for k in (3, 4):
        path = tmp_path / "b" / "batch_dumps" / "epoch_001" / f"batch_{k:04d}.pt"
        path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "b" / "batch_dumps" / "epoch_001" / "batch_0001.pt").unlink()
    words = diff(tmp_path / "a", tmp_path / "b").verdict.words
    assert "2 of 4 pairs could not be compared" in words
    assert "1 dump of A has no partner" in words


def test_tensors_that_could_not_be_read_are_counted():
    note = "not compared, as they are no plain tensors: sp (sparse), m (without data (saved from the meta device))"
    names = (f"{note}, q (quantised)",)
    words = gaps([plain(start(), names)], [plain(start(), (f"{note}, x (nested)", "other"))]).words
    assert words == "Identical (0 ULP): 5 weights; 4 tensors could not be compared."
    long = (f"{note}, q (quantised), n (nested), o (sparse) and 7 more",)
    assert "; 12 tensors could not be compared." in gaps([plain(start(), long)], [plain(start(), long)]).words


def test_nothing_but_shapes_that_differ():
    a, b = [plain({"fc.bias": np.ones(9)})], [plain({"fc.bias": np.ones(5)})]
    v = judge(pairs(a, b), alignment=Alignment((Match("fc.bias", "fc.bias", 1, ""),)), tolerance=EXACT)
    assert (v.status, v.first.what, v.first.tensor) == ("diverged", "shape", "fc.bias")
    assert v.first.words == "fc.bias: shapes differ."
    held = Alignment((Match("x", "y", 1, ""),), ("p", "q"), ("r",))
    v = judge(pairs([dump(0, {})], [dump(0, {})]), alignment=held, tolerance=EXACT)
    assert "A has 3 tensors, B 2" in v.words  # also those that have partners and are not in the dumps


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_the_only_pair_comes_first_and_has_no_ulps(bad):
    off = start()
    off["fc.bias"][0] = bad
    v = verdict([plain(start())], [plain(off)])
    assert (v.first.what, v.first.tensor, v.first.step) == ("nan", "fc.bias", None)
    assert "ULP" not in v.words + "".join(f.words for f in v.findings)
    assert not found(v, "weight")[0].serious
    assert "relative_l2" not in found(v, "weight")[0].numbers  # unknown is not zero
    off["conv.bias"] = np.nextafter(off["conv.bias"], np.float32(9))
    off["mid.weight"] = off["mid.weight"] + np.float32(0.5)
    v = verdict([plain(start())], [plain(off)])
    assert v.first.what == "nan"
    assert v.first == v.findings[0]
    weight = found(v, "weight")[0]
    assert weight.tensor == "conv.bias"
    assert 0 < weight.numbers["relative_l2"] < 1e-6  # NaN elsewhere takes nothing from it
    assert "relative L2" in weight.words


def test_the_figure_is_of_the_tensor_that_is_named():
    off = start() | {"conv.bias": start()["conv.bias"] * np.float32(1.5)}
    off["fc.weight"] = -off["fc.weight"]
    weight = found(verdict([plain(start())], [plain(off)]), "weight")[0]
    assert weight.tensor == "conv.bias"
    assert weight.numbers["relative_l2"] == pytest.approx(0.5 / 1.5, rel=1e-6)
    assert f"relative L2 {weight.numbers['relative_l2']:.3g}" in weight.words
    every = [np.concatenate([w[n].ravel() for n in ("conv.bias", "fc.weight")]).astype(float) for w in (start(), off)]
    total = np.linalg.norm(every[0] - every[1]) / max(map(np.linalg.norm, every))
    assert weight.numbers["total_relative_l2"] == pytest.approx(total, rel=1e-6)


def test_a_loss_that_is_nan_is_not_explained():
    for bad, other in ((math.nan, 0.0), (math.inf, 2.0)):
        a, b = planted(9)
        object.__setattr__(a[3][0], "loss", other)
        object.__setattr__(b[3][0], "loss", bad)
        object.__setattr__(a[3][0], "acc", 0.25)
        object.__setattr__(b[3][0], "acc", 0.5)
        v = verdict(a, b)
        assert v.first.what == "nan"
        assert "forward" not in "".join(f.words for f in v.findings)
        (acc,) = found(v, "acc")
        assert "relative" not in acc.words
        assert "relative" not in acc.numbers


def test_plain_files_say_nothing_of_steps_batches_and_settings():
    off = start() | {"fc.bias": start()["fc.bias"] * np.float32(1.5)}
    same, other = verdict([plain(start())], [plain(start())]), verdict([plain(start())], [plain(off)])
    assert same.words == "Identical (0 ULP): 5 weights."
    assert other.words.startswith("Diverged in the only pair of dumps: fc.bias differs")
    assert other.first.words.startswith("fc.bias differs")
    for v in (same, other, verdict([plain(start(1))], [plain(start(2))])):
        said = v.words + "".join(f.words for f in v.findings)
        assert not [w for w in ("nown", "dump 0", "Dump 0", "step 0") if w in said]
        assert {f.step for f in v.findings} <= {None}


def test_gradients_alone_in_the_only_pair():
    a, b = ([(plain({})[0], {("grad", "w"): np.full(9, x)})] for x in (1.0, 2.0))
    v = verdict(a, b)
    assert (v.status, v.first.what, v.first.tensor) == ("diverged", "grad", "w")


# -- a tolerance proves no equality -------------------------------------------------------------------------


def faint(size, other, **more):
    """Runs whose gradients before a norm are of ``size`` and differ by their sign in B from step 3 on."""
    a, b = planted(9)
    for run, sign in ((a, 1), (b, other)):
        for _, arrays in run[3:]:
            arrays["grad", "conv.bias"] = np.full(8, sign * size, np.float32)
            arrays["optimizer", "conv.bias/exp_avg"] = np.full(8, sign * size, np.float32)
            arrays["optimizer", "conv.bias/exp_avg_sq"] = np.full(8, (abs(sign) * size) ** 2, np.float32)
            arrays["optimizer", "mid.weight/exp_avg_sq"] = np.full(128, 0.1, np.float32)
    return verdict(a, b, **more)


def test_gradients_at_the_level_of_rounding_decide_nothing():
    assert faint(1e-8, -2, tolerance=Tolerance(rtol=0.5)).status == "within tolerance"
    v = faint(1e-2, -2, tolerance=Tolerance(rtol=0.5))
    assert (v.status, v.first.what) == ("diverged", "grad")
    assert "the backward pass" in faint(1e-2, -2).words
    v = faint(1e-8, -2)  # exactly they do differ, and nothing is concluded from it
    assert v.status == "diverged"
    assert "backward" not in v.words
    assert "as rounding leaves it" in v.first.words


def test_the_opposite_direction_is_not_the_same():
    a, b = planted(9)
    b[3][1].update({k: x * np.float32(-2) for k, x in b[3][1].items() if k[0] == "grad"})
    assert "same direction" not in verdict(a, b).words
    a, b = sgd(3), sgd(3, lr=-0.02)
    assert "same direction" not in verdict(a, b).words


def test_no_pass_is_blamed_where_only_a_tolerance_makes_the_rest_equal():
    a, b = planted(3, "grad")
    for k, (side, _) in enumerate(b):
        object.__setattr__(side, "loss", side.loss and side.loss + 1e-4 * k)
    v = verdict(a, b, Tolerance(rtol=0.01))
    assert (v.first.what, v.first.step) == ("grad", 3)
    assert "backward" not in v.words
    a, b = planted(3, "loss")
    for _, arrays in b:
        arrays["weight", "mid.weight"] = arrays["weight", "mid.weight"] * np.float32(1.0001)
    v = verdict(a, b, Tolerance(rtol=0.01))
    assert (v.first.what, v.first.step) == ("loss", 3)
    assert "forward" not in v.words


def test_what_is_beyond_the_tolerance_is_named():
    v = verdict(*planted(3, "loss"), Tolerance(rtol=0.1))
    assert "Beyond the tolerance at step 3: the loss, whose difference is 0.5 and 0.15 allowed." in v.words
    v = verdict(*planted(0, "settings", "weight")[:2], Tolerance(rtol=1e-3, atol=1e-3))
    b = {n: w + np.float32(0.5) * start(11)[n] for n, w in start().items()}
    size = np.linalg.norm(start()["conv.weight"].astype(float) - b["conv.weight"])
    allowed = 1e-3 + 1e-3 * np.linalg.norm(b["conv.weight"].astype(float))
    assert f"Beyond the tolerance at step 0: conv.weight, where ‖a − b‖ is {size:.3g} and {allowed:.3g}" in v.words
    off = start()
    off["fc.bias"][0] = np.nan
    v = verdict([plain(start())], [plain(off)], Tolerance(1, 1))
    assert "Beyond the tolerance: fc.bias, where ‖a − b‖ is NaN or infinite." in v.words


# -- what must not be claimed -----------------------------------------------------------------------


def told(losses, weights=None, accs=None, grads=None, first=0):
    """The state before training (but with ``first`` 1), then dumps of given losses and what else there is."""
    run = [dump(0, weights(0) if weights else {})] if first == 0 else []
    return run + [
        dump(k, weights(k) if weights else {}, loss=x, batch=f"b{k}", acc=accs[k - 1] if accs else None,
             grads=grads(k) if grads else {})
        for k, x in enumerate(losses, 1)
    ]  # fmt: skip


def test_equal_losses_alone_are_no_equal_runs():
    losses = [1.0, 0.9, 0.8]
    v = verdict(told(losses, first=1), told(losses, first=1))
    assert v.status == "identical"
    assert v.words.startswith("Identical losses and batches over 3 dumps; no tensor could be compared.")
    v = verdict([dump(1, {}, loss=1.0)], [dump(1, {}, loss=1.0)])
    assert v.words.startswith("Identical losses; no tensor could be compared.")
    v = verdict([dump(1, {}, acc=0.5)], [dump(1, {}, acc=0.5)])
    assert v.words.startswith("Identical accuracies; no tensor could be compared.")
    mean = {"bn.running_mean": np.ones(3, np.float32)}
    v = verdict([dump(1, {}, buffers=mean, loss=1.0)], [dump(1, {}, buffers=mean, loss=1.0)])
    assert v.words.startswith(
        "Identical 1 buffer and losses; no weight, gradient or optimizer state could be compared."
    )


def test_pairs_without_a_common_tensor_are_counted():
    a = told([1.0, 0.9, 0.8], lambda _: start())
    v = verdict(a, [a[0], *told([1.0, 0.9, 0.8], first=1)])
    assert v.status == "identical"
    assert "Not all was compared: 3 of 4 pairs of dumps have no tensor in common." in v.words
    assert "no tensor in common" not in verdict(a, a).words


def scaled_run(factor, grad, accs=(0.5, 0.5, 0.5), steps=3):
    """Losses and gradients times a factor each; weights agree in any two."""
    grads = (lambda k: {n: np.float32(grad) * w for n, w in start(k).items()}) if grad else None
    moved = lambda k: {n: w * np.float32(1 + 0.1 * k) for n, w in start().items()}  # noqa: E731
    return told([factor * x for x in (1.0, 0.9, 0.83)][:steps], moved, accs, grads)


def test_a_loss_that_is_summed():
    v = verdict(scaled_run(1, 1), scaled_run(64, 64))
    assert (v.first.what, v.first.step) == ("loss", 1)
    assert "B's loss is 64 times A's, gradients too: summed instead of averaged, or scaled" in v.words
    assert v.first.numbers["loss_ratio"] == 64
    v = verdict(scaled_run(64, 64), scaled_run(1, 1))
    assert "A's loss is 64 times B's, gradients too: " in v.words
    v = verdict(scaled_run(1, None), scaled_run(1.5, None))  # constant, though no whole number
    assert "B's loss is 1.5 times A's, with equal accuracy: summed" in v.words
    v = verdict(scaled_run(1, 1), scaled_run(4, 1))
    assert "gradients agree: only what was recorded is summed" in v.words
    v = verdict(scaled_run(1, 1, None), scaled_run(3.3, 3.3, None))  # gradients tell without an accuracy
    assert "B's loss is 3.3 times A's, gradients too" in v.words
    v = verdict(scaled_run(1, 1), scaled_run(64, 2))
    assert "B's loss is 64 times A's, gradients are 2 times as long: summed" in v.words


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (scaled_run(1, None), scaled_run(2, None, (0.4, 0.5, 0.5))),  # other outputs
        (scaled_run(1, None, steps=1), scaled_run(1.3, None, steps=1)),  # neither whole nor known to be constant
        (scaled_run(1, None), scaled_run(1.001, None)),  # hardly a factor
        (scaled_run(1, None, None), scaled_run(2, None, None)),  # nothing else agrees
        (told([1.0], lambda _: start(), (0.5,), start),
         told([2.0], lambda _: start(), (0.5,), lambda k: start(k + 9))),  # gradients point elsewhere
    ],
)  # fmt: skip
def test_a_loss_ratio_that_is_no_scale(a, b):
    words = verdict(a, b).words
    assert "the loss differs" in words
    assert "times A's" not in words


def test_equal_accuracy_names_the_loss_function():
    v = verdict(scaled_run(1, None), scaled_run(1.001, None))
    assert "the accuracy does not, on the same batch with equal weights: the loss function differs (label" in v.words
    v = verdict(scaled_run(1, None), scaled_run(1.001, None, (0.4, 0.5, 0.5)))
    assert "the loss function" not in v.words


def test_the_first_difference_has_its_own_figure():
    a, b = planted(3, "grad")  # gradients are half as long again
    object.__setattr__(b[3][0], "loss", 1.001)
    for side, _ in (*a, *b):
        object.__setattr__(side, "acc", 0.5)
    v = verdict(a, b)
    (noise,) = found(v, "noise")
    assert (v.first.what, noise.numbers["relative"]) == ("loss", pytest.approx(0.001 / 1.001))
    assert "the difference of the losses (relative 0.000999) is 8.38e+03 times" in noise.words.replace("e3", "e+03")
    a, b = sgd(3), sgd(3)
    b[1][1]["weight", "mid.weight"] = b[1][1]["weight", "mid.weight"] + np.float32(1e-3) * start(3)["mid.weight"]
    words = found(verdict(a, b), "noise")[0].words
    assert "the difference of all weights (relative L2 " in words
    assert ", most in mid.weight) is " in words


def drifting(sizes, names=NAMES):
    """Weights that are off by a size at each step, in some tensors."""
    rng = np.random.default_rng(5)
    wide = {n: w.astype(np.float64) for n, w in start().items()}
    way = {n: rng.normal(0, 1, w.shape) for n, w in start().items()}
    return [
        dump(k, {n: w * (1 + 0.01 * k) + (e * way[n] if n in names else 0) for n, w in wide.items()})
        for k, e in enumerate(sizes)
    ]


def test_rounding_is_offered_only_where_growth_is_its_own():
    exact, tiny = drifting([0] * 16), 1e-16
    at_once = verdict(exact, drifting([0, tiny, *(1e-4 * k for k in range(1, 15))])).words
    assert "as rounding does" not in at_once
    assert "in 5 of 5 weights: not rounding, the update rule differs from the second step on (betas" in at_once
    steadily = verdict(exact, drifting([0, tiny, *(tiny * k**3 * 10 for k in range(2, 16))])).words
    assert "as rounding does" not in steadily
    assert "rounding stays small or grows exponentially: the update rule or its input differs" in steadily
    assert "as rounding does" in verdict(exact, drifting([0, *(tiny * 4.0**k for k in range(15))])).words  # chaos
    assert "as rounding does" in verdict(exact, drifting([0, *(tiny * k for k in range(1, 16))])).words  # accumulates
    # one tensor alone, such as a bias before a norm under Adam, goes far from rounding
    one = drifting([0, tiny, *(1e-4 * k for k in range(1, 15))], ("fc.bias",))
    assert "as rounding does" in verdict(exact, one).words


def typed_run(kind, losses, offset=0.0, stuck=(), batch="b{}"):
    def weights(k):
        return {n: (np.float32(w * (1 + (0 if n in stuck else offset * k)))).astype(kind) for n, w in start().items()}

    run = told(losses, weights)
    for k, (side, _) in enumerate(run[1:], 1):
        name = batch.format(k)
        object.__setattr__(side, "fingerprint", {"inputs": name, "samples": name, "targets": f"y{k}"})
    return run


def test_training_in_another_type_comes_before_what_it_explains():
    a = typed_run(np.float16, [1.0, 0.9, 0.8], 0.01, ("fc.weight",), "half{}")
    b = typed_run(np.float32, [1.0001, 0.9001, 0.8001], 1e-4, (), "b{}")
    v = verdict(a, b)
    assert (v.status, v.first.what, v.first.step) == ("diverged", "dtype", 0)
    assert v.words.startswith("Diverged from the start on, step 0 (before training): A trains in float16, B in float32")
    (batch,) = found(v, "batch")
    assert not batch.serious
    assert "as inputs of another type are (3 of 3 batches differ)" in batch.words
    assert "frozen" not in v.words
    (still,) = found(v, "frozen")
    assert (still.serious, still.tensor) == (False, "fc.weight")
    assert "updates below its type's spacing round to nothing" in still.words


def test_a_type_explains_neither_all_nor_what_it_only_stores():
    b = typed_run(np.float32, [1.0001, 0.9, 0.8], 0.05)
    v = verdict(typed_run(np.float16, [1.0, 0.9, 0.8], 0.05, ("fc.weight",)), b)
    assert found(v, "frozen")[0].serious  # B moves it by much more than a spacing of A's numbers
    assert "frozen" in v.words
    v = verdict(
        typed_run(np.float16, [1.0, 0.9, 0.8], 0.01, (), "half{}"), typed_run(np.float32, [1.0, 0.9, 0.7], 0.01)
    )
    assert v.first.what == "batch"  # losses agree at first: it is only stored as float16
    v = verdict(typed_run(np.float16, [1.0, 0.9], 0.01, (), "half{}"), typed_run(np.float32, [1.5, 0.9], 0.01))
    assert v.first.what == "batch"  # far more than the type explains
