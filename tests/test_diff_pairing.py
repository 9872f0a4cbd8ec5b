"""Which dump is compared with which."""

from pathlib import Path

import pytest

from modelcmp.diffing.pairing import Headed, pair_up
from modelcmp.dumps.finding import DumpFile
from modelcmp.errors import BadInput


def files(run, places):
    """Dumps named by epoch and batch."""
    return [DumpFile(Path(run, f"epoch_{e:03d}", f"batch_{b:04d}.pt"), e, b) for e, b in places]


def heads(*runs):
    """What the dumps of runs say, each given as [(file, step, loss, inputs)]."""
    table = {f.path: Headed(f, *rest) for run in runs for f, *rest in run}
    return lambda file: table[file.path]


def unread(file):
    raise AssertionError("names tell enough: no file need be opened")


def names(pairing):
    return [(a.path.stem, b.path.stem) for a, b in pairing.pairs]


def test_epoch_and_batch_need_no_reading():
    a, b = files("a", [(1, 10), (1, 20), (2, 10)]), files("b", [(1, 20), (2, 10), (2, 20)])
    found = pair_up(a, b, "batch", unread)
    assert [(x.epoch, x.batch) for x, _ in found.pairs] == [(1, 20), (2, 10)]
    assert [f.batch for f in found.only_a] == [10]
    assert [(f.epoch, f.batch) for f in found.only_b] == [(2, 20)]
    assert found.how == "epoch and batch"


def test_two_files_are_a_pair_whatever_their_names():
    a, b = [DumpFile(Path("x.pt"))], [DumpFile(Path("other.safetensors"))]
    assert len(pair_up(a, b, "batch", unread).pairs) == 1


def test_steps_count_on_where_epochs_are_cut_otherwise():
    a, b = files("a", [(1, 1), (1, 2), (2, 1), (2, 2)]), files("b", [(1, n) for n in range(1, 5)])
    head = heads([(f, n + 1, None, None) for n, f in enumerate(a)], [(f, n + 1, None, None) for n, f in enumerate(b)])
    found = pair_up(a, b, "step", head)
    assert [(x.batch, y.batch) for x, y in found.pairs] == [(1, 1), (2, 2), (1, 3), (2, 4)]
    assert not found.only_a
    assert not found.only_b


def made(run, steps, batches, losses=None):
    """A run whose n-th dump has the n-th step and saw the n-th batch."""
    losses = losses or [None] * len(steps)
    these = files(run, [(1, s) for s in steps])
    return these, [(f, s, loss, b) for f, s, loss, b in zip(these, steps, losses, batches, strict=True)]


def test_auto_takes_the_plain_way_where_it_fits():
    a, told_a = made("a", [1, 2, 3], "xyz")
    b, told_b = made("b", [1, 2, 3], "xyz")
    assert pair_up(a, b, "auto", heads(told_a, told_b)).how == "auto: epoch and batch"


@pytest.mark.parametrize("offset", [1, -1, 400])
def test_auto_finds_an_offset_by_the_batches(offset):
    """Counting from 0 in one code base, or going on after a resume."""
    a, told_a = made("a", [401, 402, 403, 404, 405], "vwxyz")
    b, told_b = made("b", [s + offset for s in (401, 402, 403, 404, 405)], "vwxyz")
    found = pair_up(a, b, "auto", heads(told_a, told_b))
    assert [y.batch - x.batch for x, y in found.pairs] == [offset] * 5
    assert str(abs(offset)) in found.how
    assert ("ahead" in found.how) == (offset > 0)


def test_auto_finds_an_offset_by_the_losses():
    a, told_a = made("a", [1, 2, 3, 4], [None] * 4, [2.5, 2.25, 2.125, 2.0])
    b, told_b = made("b", [0, 1, 2, 3], [None] * 4, [2.5, 2.25, 2.125, 2.0])
    found = pair_up(a, b, "auto", heads(told_a, told_b))
    assert [(x.batch, y.batch) for x, y in found.pairs] == [(1, 0), (2, 1), (3, 2), (4, 3)]


def test_auto_finds_gradient_accumulation():
    """B counts each of four small batches as a step."""
    a, told_a = made("a", [1, 2, 3, 4], [None] * 4, [2.4, 2.3, 2.2, 2.1])
    b, told_b = made("b", [4, 8, 12, 16], [None] * 4, [2.41, 2.31, 2.21, 2.11])
    found = pair_up(a, b, "auto", heads(told_a, told_b))
    assert [(x.batch, y.batch) for x, y in found.pairs] == [(1, 4), (2, 8), (3, 12), (4, 16)]
    assert "B counts 4 for each of A" in found.how


@pytest.mark.parametrize(("epochs", "batches"), [(0, -1), (-1, 0), (-1, -1), (0, 1)])
def test_auto_needs_no_steps(epochs, batches):
    """Other people's dumps hold epoch, batch and loss: one code base counts from 0."""
    places = [(e, b) for e in (1, 2) for b in (1, 2, 3)]
    a, b = files("a", places), files("b", [(e + epochs, n + batches) for e, n in places])
    losses = [2.5, 2.4, 2.3, 2.2, 2.1, 2.0]
    told = [[(f, None, loss, None) for f, loss in zip(these, losses, strict=True)] for these in (a, b)]
    found = pair_up(a, b, "auto", heads(*told))
    assert [(y.epoch - x.epoch, y.batch - x.batch) for x, y in found.pairs] == [(epochs, batches)] * 6
    assert "B counts" in found.how


def test_auto_finds_small_batches_without_steps():
    a, b = files("a", [(1, n) for n in (1, 2, 3)]), files("b", [(1, n) for n in (2, 4, 6)])
    told = [[(f, None, loss, None) for f, loss in zip(these, (2.5, 2.4, 2.3), strict=True)] for these in (a, b)]
    found = pair_up(a, b, "auto", heads(*told))
    assert [(x.batch, y.batch) for x, y in found.pairs] == [(1, 2), (2, 4), (3, 6)]


def test_steps_that_nobody_says_are_no_way_to_pair():
    a, b = files("a", [(1, 1), (1, 2)]), files("b", [(1, 1), (1, 2)])
    with pytest.raises(BadInput, match="--align auto"):
        pair_up(a, b, "step", lambda f: Headed(f))


def test_files_without_numbers_are_paired_by_name():
    a = [DumpFile(Path("a", n)) for n in ("best.pt", "last.pt")]
    b = [DumpFile(Path("b", n)) for n in ("last.safetensors", "other.pt")]
    found = pair_up(a, b, "batch", lambda f: Headed(f))
    assert names(found) == [("last", "last")]
    assert [f.path.name for f in found.only_a + found.only_b] == ["best.pt", "other.pt"]


def test_an_unknown_way_is_refused():
    with pytest.raises(BadInput, match="batch, step, auto"):
        pair_up([], [], "epoch", unread)
