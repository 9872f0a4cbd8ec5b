"""Diffs of runs that never were. In B every tensor is A's plus a part at right angles to it, so that all measures have
closed forms: with d the ratio of that part to A's norm n, l2 = d n, angle = atan d, relative L2 = d / sqrt(1 + d^2)."""

from __future__ import annotations

import math

import numpy as np

from modelcmp.diffing.records import (
    Alignment,
    DumpPair,
    Finding,
    Match,
    RunDiff,
    Side,
    Skipped,
    TensorPair,
    Tolerance,
    Verdict,
)
from modelcmp.diffing.sums import FIELDS, Sums

NAMES = (
    "conv1.weight", "bn1.weight", "bn1.bias", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "layer2.0.conv1.weight",
    "layer2.0.downsample.0.weight", "fc.weight", "fc.bias",
)  # fmt: skip
SHAPE = (8, 25)
NORM, MOVED = 4.0, 0.5


def tensor(name, kind="weight", shape=SHAPE, **fields):
    """A tensor of the head where its name begins with "fc", else of the backbone."""
    group = "mlp" if name.startswith("fc") else "backbone"
    values = {"name_b": name, "kind": kind, "group": group, "shape": shape, "dtype": "float32", "dtype_b": "float32"}
    return TensorPair(name, **(values | fields))


def weights(names=NAMES):
    """The tensors of a model."""
    return tuple(tensor(n) for n in names)


def sums(d, *, norm=NORM, moved=MOVED, broken=(), nowhere=()):
    """Sums of tensors whose difference is ``d`` times their norm; ``broken`` ones hold three NaN in B."""
    d = np.asarray(d, dtype=float)
    n = np.full_like(d, norm)
    elements = np.full_like(d, float(np.prod(SHAPE)))
    aa, dd, uu = n**2, (d * n) ** 2, np.full_like(d, float(moved) ** 2)
    zero = np.zeros_like(d)
    found = {
        "elements": elements, "measured": elements.copy(), "equal": np.where(d == 0, elements, 10.0),
        "nan_a": zero.copy(), "nan_b": zero.copy(), "inf_a": zero.copy(), "inf_b": zero.copy(),
        "aa": aa, "bb": aa + dd, "ab": aa.copy(), "dd": dd, "ss": 4 * aa + dd, "ds": -dd,
        "uu": uu, "vv": uu + dd, "uv": uu.copy(),
        "max_abs": d * n / 2, "ulp_max": np.ceil(d * 2**23), "max_index": np.where(d == 0, 0.0, 27.0),
        "ulp_median": np.ceil(d * 2**20), "hash_equal": np.full_like(d, np.nan),
    }  # fmt: skip
    for i in broken:
        found["nan_b"][i], found["measured"][i] = 3.0, elements[i] - 3
    for i in nowhere:
        found["nan_b"][i], found["measured"][i] = elements[i], 0.0
        for key in ("aa", "bb", "ab", "dd", "ss", "ds", "uu", "vv", "uv"):
            found[key][i] = 0.0
        found["max_abs"][i] = math.nan
    assert set(found) == set(FIELDS)
    return Sums(found)


def side(run, step, *, per_epoch=50, loss=None, acc=None, fingerprint=None, path=None, known=True):
    """What a dump says; batches count from 1."""
    epoch, batch = (1, 0) if step == 0 else ((step - 1) // per_epoch + 1, (step - 1) % per_epoch + 1)
    path = path or f"{run}/batch_dumps/epoch_{epoch:03}/batch_{batch:04}.pt"
    place = (epoch, batch, step) if known else (None, None, None)
    return Side(path, *place, loss, acc, fingerprint, {})


def falling(step, length):
    """A loss that falls exponentially, and an accuracy that rises with it."""
    loss = 0.1 + 2.2 * math.exp(-3 * step / max(length, 1))
    return loss, round((1 - loss / 3) * 128) / 128


def pair(step, d, tensors, *, length=100, drift=0.0, per_epoch=50, known=True, acc=True, loss=True, **of_sums):
    """Two dumps; B's loss is ``drift`` above A's."""
    base, share = falling(step, length)
    wobble = 1 + 0.1 * math.sin(step * 1.7)
    losses = (base * wobble, base * wobble + drift) if loss else (None, None)
    accs = (share, min(1.0, max(0.0, round((share - drift) * 128) / 128))) if acc else (None, None)
    at = {"per_epoch": per_epoch, "known": known}
    a, b = (side(run, step, loss=x, acc=y, **at) for run, x, y in zip("AB", losses, accs, strict=True))
    d = np.broadcast_to(np.asarray(d, float), (len(tensors),))
    return DumpPair(step, a, b, tensors, sums(d, **of_sums))


def diff(pairs, status="diverged", words="The runs part.", first=None, findings=None, **fields):
    """A diff of runs A and B; the alignment is of equal names."""
    tensors = pairs[0].tensors if pairs else ()
    matches = tuple(Match(t.name, t.name_b, 1.0, "same name") for t in tensors if t.kind == "weight")
    verdict = Verdict(status, words, first, tuple(findings if findings is not None else [first] if first else []))
    values = {"filter": "all", "align": "epoch and batch", "alignment": Alignment(matches)}
    return RunDiff("runs/A", "runs/B", pairs=tuple(pairs), verdict=verdict, **(values | fields))


def identical(steps=range(0, 101, 10), tensors=None, **fields):
    """A same-seed rerun."""
    tensors = tensors or weights()
    return diff([pair(s, 0.0, tensors) for s in steps], "identical", "All dumps are identical (0 ULP).", **fields)


def growth(step, start, tensors, rate=0.12, origin=1e-7):
    """Differences that begin in the head at a step and grow exponentially, each layer a little later."""
    late = np.arange(len(tensors))[::-1] % 40 * 0.8
    size = origin * np.exp(rate * np.maximum(step - start - late, 0))
    return np.where(step >= start + late, np.minimum(size, 0.6), 0.0)


def diverging(steps=range(0, 101, 5), start=50, tensors=None, **fields):
    """Runs that part at a step."""
    tensors = tensors or weights()
    length = max(steps)
    of_pair = {k: fields.pop(k) for k in ("acc", "loss", "per_epoch") if k in fields}
    made = []
    for s in steps:
        d = growth(s, start, tensors, rate=12 / length)
        drift = float(d.max()) * 0.3 * (1 + math.sin(s * 0.9) / 2)
        made.append(pair(s, d, tensors, length=length, drift=drift, **of_pair))
    at = next((p for p in made if p.step >= start and p.sums["dd"].any()), made[-1])
    found = Finding(
        "weight", f"{tensors[-1].name} differs first, at step {at.step}: relative L2 1.0e-07, 1 ULP at most.",
        at.step, at.a.epoch, at.a.batch, tensors[-1].name, {"relative_l2": 1e-7},
    )  # fmt: skip
    words = f"The runs part at step {at.step} in {tensors[-1].name}, and grow apart exponentially (e-fold in 8 steps)."
    return diff(made, "diverged", words, found, **fields)


def one_pair(**fields):
    """Two one-file checkpoints, which say no step."""
    tensors = weights()
    d = [0.0, 1e-7, 3e-6, 1e-4, 2e-3, 0.04, 0.5, 0.3, 0.0]
    only = pair(0, d, tensors, known=False, acc=False, loss=False, moved=math.nan)
    words = "7 of 9 tensors differ; layer2.0.downsample.0.weight most, by a relative L2 of 0.45."
    found = Finding("weight", "bn1.weight is the first that differs.", None, None, None, "bn1.weight")
    return diff([only], "diverged", words, found, **({"align": "one file each"} | fields))


def strangers(steps=range(0, 101, 10), **fields):
    """Independent initialisations: at right angles, with norms that go apart."""
    tensors = weights()
    made = []
    for s in steps:
        p = pair(s, 1.0, tensors, drift=0.05 * math.sin(s / 9), moved=0.02 * s)
        bb = NORM**2 * (1 + np.linspace(-0.4, 0.8, len(tensors)) * s / 100)
        both = {"bb": bb, "ab": bb * 0, "dd": p.sums["aa"] + bb, "ss": p.sums["aa"] + bb, "ds": p.sums["aa"] - bb}
        vv = (0.024 * s) ** 2 * np.ones(len(tensors))
        made.append(DumpPair(p.step, p.a, p.b, tensors, Sums(p.sums.columns | both | {"vv": vv, "uv": vv * 0})))
    words = "The weights are not comparable: relative L2 is 1.41 and the cosine 0.00 at the first dump, as of " \
        "independent initialisations."  # fmt: skip
    return diff(made, "not comparable", words, **fields)


def turning_nan(start=60, steps=range(0, 101, 5), **fields):
    """B's head turns into NaN at a step, its loss too."""
    tensors = weights()
    head = [i for i, t in enumerate(tensors) if t.group == "mlp"]
    made = []
    for s in steps:
        p = pair(s, growth(s, 30, tensors), tensors, broken=head[:1] if s >= start else (),
                 nowhere=head[1:] if s >= start else ())  # fmt: skip
        if s >= start:
            p = DumpPair(s, p.a, side("B", s, loss=math.nan, acc=0.1), tensors, p.sums)
        made.append(p)
    found = Finding("nan", f"fc.weight holds 3 NaN in B from step {start} on.", start, 2, start - 50, "fc.weight")
    return diff(made, "diverged", f"NaN in B from step {start} on.", found, **fields)


def long_names(count=400):
    """Tensors with names that no table has room for."""
    stem = "module.backbone.encoder.stages.{0}.blocks.{1}.attention.self.query_key_value_projection.dense.{2}"
    return weights([stem.format(i // 100, i // 2, ("weight", "bias")[i % 2]) for i in range(count)])


def everything():
    """All kinds of tensors, batches, remarks and mishaps at once."""
    tensors = (
        *weights(), tensor("fc.weight", "grad", recovered=True), tensor("fc.weight/exp_avg", "optimizer"),
        tensor("bn1.running_mean", "buffer", name_b="module.bn1.running_mean"),
        tensor("head.weight", problem="shapes differ: (10, 4) and (12, 4)", shape=(10, 4)),
    )  # fmt: skip
    made = []
    for i, s in enumerate((10, 20, 30)):
        d = [0, 0, 0, 0, 0, 0, 0, 1e-7 * s, 0, 2e-6, 3e-6, 4e-6, math.nan]
        p = pair(s, d, tensors, drift=0.01 * i)
        known = {"inputs": "aa", "targets": "bb", "samples": "cc"}
        other = [known, {"inputs": "dd", "targets": "ee", "samples": "cc"}, None][i]
        a = side("A", s, loss=p.a.loss, acc=p.a.acc, fingerprint=known)
        b = side("B", s, loss=p.b.loss, acc=p.b.acc, fingerprint=other)
        made.append(DumpPair(s, a, b, tensors, p.sums))
    first = Finding("batch", "The batch of step 20 has the same examples in another order.", 20, 1, 20)
    remark = Finding("frozen", "conv1.weight does not move in either run.", None, None, None, "conv1.weight",
                     serious=False)  # fmt: skip
    alignment = Alignment(
        (Match("conv1.weight", "conv1.weight", 1.0, "same name"), Match("fc.weight", "head.1.weight", 0.6, "renamed")),
        ("aux.weight",), ("extra.weight", "extra.bias"), (("norm.weight", ("n1.weight", "n2.weight")),),
    )  # fmt: skip
    floor = tuple(pair(s, 1e-8, tensors) for s in (10, 20, 30))
    return diff(
        made, "diverged", "Another order of one batch.", first, [first, remark], alignment=alignment, floor=floor,
        unmatched_a=tuple(f"A/batch_dumps/epoch_001/batch_{i:04}.pt" for i in range(40, 60)), unmatched_b=("B/x.pt",),
        skipped=(Skipped("B/batch_dumps/epoch_001/batch_0040.pt", "it is truncated: 12 bytes"),),
        tolerance=Tolerance(1e-9, 0.0), warnings=("A's dumps have no accuracy in 3 places",),
    )  # fmt: skip
