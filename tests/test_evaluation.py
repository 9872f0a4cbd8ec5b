"""Figures of predictions, against scikit-learn, closed forms and simulation."""

import json
import math
import time
import warnings
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from sklearn import metrics as sk

from modelcmp.errors import BadInput, ModelcmpError, OutputError
from modelcmp.training.evaluation.bootstrap import bootstrap
from modelcmp.training.evaluation.calibration import calibration_error
from modelcmp.training.evaluation.predictions import Predictions, load_predictions, save_predictions
from modelcmp.training.evaluation.scores import CLASS_FIGURES, FIGURES, evaluate
from modelcmp.training.summary import RANK_KEYS

NAN = float("nan")


def binary(targets, logits):
    return Predictions(targets, logits, ("no", "yes"), True, np.arange(len(targets)))


def several(targets, logits, k=None):
    names = tuple(f"c{i}" for i in range(k or np.shape(logits)[1]))
    return Predictions(targets, logits, names, False, np.arange(len(targets)))


def drawn(n, k, seed=0, signal=1.5):
    random = np.random.default_rng(seed)
    targets = random.integers(0, k, n)
    logits = random.normal(size=(n, k))
    logits[np.arange(n), targets] += signal
    return several(targets, np.round(8 * logits) / 8)  # many exact ties


def binormal(n, seed, distance=1.0):
    """Scores of unit variance whose means lie ``distance`` apart: AUC is Phi(distance / sqrt 2)."""
    random = np.random.default_rng(seed)
    targets = random.integers(0, 2, n)
    return binary(targets, distance * (targets - 0.5) + random.normal(size=n))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# --- against scikit-learn ------------------------------------------------------------------------


@pytest.mark.parametrize("k", [3, 10])
def test_figures_of_several_classes_are_those_of_scikit_learn(k):
    p = drawn(700, k, seed=k)
    found, probabilities = evaluate(p, resamples=0), softmax(p.logits.astype(float))
    tied = np.round(probabilities, 9)  # rows that hold the same logits in another order are ties
    labels = probabilities.argmax(axis=1)
    truth = np.eye(k)[p.targets]
    expected = {
        "loss": sk.log_loss(p.targets, probabilities),
        "accuracy": sk.accuracy_score(p.targets, labels),
        "precision": sk.precision_score(p.targets, labels, average="macro"),
        "recall": sk.recall_score(p.targets, labels, average="macro"),
        "f1": sk.f1_score(p.targets, labels, average="macro"),
        "auc": np.mean([sk.roc_auc_score(truth[:, i], tied[:, i]) for i in range(k)]),
        "average_precision": sk.average_precision_score(truth, tied),
        "brier": np.square(probabilities - truth).sum(axis=1).mean(),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-6)
    assert found["confusion"] == sk.confusion_matrix(p.targets, labels).tolist()
    assert list(found["per_class"]) == list(p.classes)
    for i, row in enumerate(found["per_class"].values()):
        assert row["auc"] == pytest.approx(sk.roc_auc_score(truth[:, i], tied[:, i]), rel=1e-6)
        assert row["support"] == (p.targets == i).sum()


def test_figures_of_a_positive_class_are_those_of_scikit_learn():
    p = binormal(900, seed=1)
    found, probability = evaluate(p, resamples=0), 1 / (1 + np.exp(-p.logits.astype(float)))
    labels = probability > 0.5
    expected = {
        "loss": sk.log_loss(p.targets, probability),
        "accuracy": sk.accuracy_score(p.targets, labels),
        "precision": sk.precision_score(p.targets, labels),
        "recall": sk.recall_score(p.targets, labels),
        "f1": sk.f1_score(p.targets, labels),
        "auc": sk.roc_auc_score(p.targets, probability),
        "average_precision": sk.average_precision_score(p.targets, probability),
        "brier": sk.brier_score_loss(p.targets, probability),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-6)
    assert found["top5"] is None
    assert found["per_class"]["yes"]["precision"] == found["precision"]
    negative = sk.precision_score(p.targets, labels, pos_label=0)
    assert found["per_class"]["no"]["precision"] == pytest.approx(negative)


def test_one_logit_is_two_logits_whose_other_is_zero():
    one = binormal(300, seed=2)
    two = Predictions(one.targets, np.stack([np.zeros(300), one.logits], 1), one.classes, True, one.positions)
    a, b = evaluate(one, resamples=50), evaluate(two, resamples=50)
    defined = [k for k in FIGURES if k != "top5"]
    assert {k: a[k] for k in defined} == pytest.approx({k: b[k] for k in defined}, rel=1e-9)
    assert a["intervals"]["auc"] == pytest.approx(b["intervals"]["auc"])


def test_top_five_without_ties_is_that_of_scikit_learn():
    random = np.random.default_rng(3)
    targets, logits = random.integers(0, 20, 500), random.normal(size=(500, 20))
    found = evaluate(several(targets, logits), resamples=0)["top5"]
    assert found == pytest.approx(sk.top_k_accuracy_score(targets, logits, k=5, labels=range(20)))
    assert evaluate(drawn(50, 5), resamples=0)["top5"] is None


@pytest.mark.parametrize("make", [lambda: drawn(400, 4), lambda: binormal(400, seed=5)])
def test_weighted_figures_of_one_draw_of_each_example_are_the_estimates(make):
    """The second implementation, of the bootstrap, agrees with scikit-learn's, ties included."""
    from modelcmp.training.evaluation import bootstrap as module

    p = make()
    once = np.ones((len(p), 1), np.int32)
    found = {**module.simple_figures(p)(once), **module.rank_figures(p)(once)}
    expected = evaluate(p, resamples=0)
    assert {k: v.item() for k, v in found.items()} == pytest.approx({k: expected[k] for k in found})
    assert set(found) == set(FIGURES) - {"top5"}


def test_weighted_ranks_are_those_of_scikit_learn_with_sample_weights():
    from modelcmp.training.evaluation import bootstrap as module

    p = binary([0, 1, 0, 1, 1, 0, 1, 0], [0.1, 0.1, 0.3, 0.3, 0.9, -1.0, -1.0, 0.9])
    counts = np.random.default_rng(4).multinomial(8, np.full(8, 1 / 8), size=40).T.astype(np.int32)
    found = module.rank_figures(p)(counts)
    for r, weights in enumerate(counts.T):
        drawn_classes = {t for t, w in zip(p.targets.tolist(), weights, strict=True) if w}
        if len(drawn_classes) == 2:
            auc = sk.roc_auc_score(p.targets, p.logits, sample_weight=weights)
            area = sk.average_precision_score(p.targets, p.logits, sample_weight=weights)
            assert (found["auc"][r], found["average_precision"][r]) == pytest.approx((auc, area))
        else:
            assert math.isnan(found["auc"][r])


# --- closed forms --------------------------------------------------------------------------------


def test_perfect_inverted_and_constant_scores():
    targets = np.array([0, 1] * 20)
    perfect, inverted, constant = (
        evaluate(binary(targets, z)) for z in (40.0 * targets - 20, 20 - 40.0 * targets, 0.0 * targets)
    )
    for key in ("accuracy", "precision", "recall", "f1", "auc", "average_precision"):
        assert perfect[key] == 1.0
    assert perfect["loss"] == pytest.approx(math.log1p(math.exp(-20)))
    assert perfect["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert (inverted["accuracy"], inverted["auc"], inverted["f1"]) == (0.0, 0.0, 0.0)
    assert inverted["calibration_error"] == pytest.approx(1.0)
    assert inverted["brier"] == pytest.approx(1.0)
    assert constant["auc"] == constant["average_precision"] == constant["accuracy"] == 0.5
    assert constant["loss"] == pytest.approx(math.log(2))
    assert constant["recall"] == 0.0  # p = 0.5 is not above the threshold
    assert any("never predicted: yes" in note for note in constant["notes"])
    assert constant["brier"] == 0.25
    assert any("no example is wrong" in note and "7.2 %" in note for note in perfect["notes"])  # 1 - 0.05 ** (1 / 40)


def test_ties_share_their_rank():
    """Of the 4 pairs one is won, two are tied, one is lost."""
    found = evaluate(binary([0, 0, 1, 1], [1.0, 2.0, 1.0, 2.0]), resamples=0)
    assert found["auc"] == pytest.approx((1 + 2 * 0.5) / 4)


def test_saturated_probabilities_keep_their_order():
    """Sigmoids of 40 and 50 are both 1.0 in double precision; their order still counts."""
    p = binary([0, 1, 0, 1], [40.0, 50.0, 45.0, 60.0])
    assert evaluate(p, resamples=0)["auc"] == 1.0
    rows = several([0, 1, 0, 1], [[0, 40.0], [0, 50], [0, 45], [0, 60]])
    assert evaluate(rows, resamples=0)["auc"] == 1.0


def test_log_odds_are_exact_where_one_class_dominates():
    p = several([0], [[100.0, 0.0, 0.0]])
    assert p.log_odds()[0] == pytest.approx([100 - math.log(2), -100, -100], rel=1e-12)
    assert evaluate(several([1], [[100.0, 0.0, 0.0]]), resamples=0)["loss"] == pytest.approx(100.0)


def test_uniform_logits_have_the_loss_and_brier_score_of_ignorance():
    k = 8
    found = evaluate(several(np.arange(k), np.zeros((k, k))), resamples=0)
    assert found["loss"] == pytest.approx(math.log(k))
    assert found["brier"] == pytest.approx(1 - 1 / k)
    assert found["accuracy"] == pytest.approx(1 / k)
    assert found["top5"] == pytest.approx(5 / k)  # of equal logits the first five
    assert found["calibration_error"] == pytest.approx(0, abs=1e-12)  # says 1/8 and is right in 1/8
    assert found["auc"] == 0.5


def test_calibration_error_of_two_bins_by_hand():
    """Sure of 0.9 and right 6 times of 10; sure of 0.6 and right 5 times of 10: (0.3 + 0.1) / 2."""
    logit = [math.log(9)] * 10 + [math.log(1.5)] * 10
    targets = [1] * 6 + [0] * 4 + [1] * 5 + [0] * 5
    assert evaluate(binary(targets, logit), resamples=0)["calibration_error"] == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(("other", "error"), [(0.75, (0.3 + 0.25) / 2), (0.72, (0.3 - 0.22) / 2)])
def test_errors_cancel_within_a_bin_of_a_fifteenth_and_not_across(other, error):
    """Sure of 0.7 and always right, sure of more and right in half: 0.72 shares the bin up to 11/15, 0.75 does not."""
    logit = [math.log(0.7 / 0.3)] * 10 + [math.log(other / (1 - other))] * 10
    targets = [1] * 10 + [1] * 5 + [0] * 5
    assert evaluate(binary(targets, logit), resamples=0)["calibration_error"] == pytest.approx(error, abs=1e-6)


def test_overconfident_predictions_have_the_calibration_error_of_their_gap():
    random = np.random.default_rng(6)
    confidence = 1 / (1 + np.exp(-2.0))
    right = random.random(50_000) < 0.7
    found = evaluate(binary(right.astype(int), np.full(50_000, 2.0)), resamples=0)
    assert found["calibration_error"] == pytest.approx(confidence - 0.7, abs=0.01)


# --- what is undefined ---------------------------------------------------------------------------


def test_one_class_only_has_no_auc():
    found = evaluate(binary([1, 1, 1], [1.0, -1.0, 2.0]))
    assert found["auc"] is found["average_precision"] is found["roc"] is found["pr"] is None
    assert found["intervals"]["auc"] is None
    assert found["recall"] == pytest.approx(2 / 3)
    assert any("all examples are of class yes" in note for note in found["notes"])
    negatives = evaluate(binary([0, 0, 0], [1.0, -1.0, 2.0]))
    assert negatives["precision"] is negatives["recall"] is negatives["f1"] is None
    assert negatives["accuracy"] == pytest.approx(1 / 3)


def test_means_are_over_the_classes_that_are_there():
    p = drawn(300, 4, seed=7)
    keep = p.targets != 2
    targets, logits = p.targets[keep], p.logits[keep]
    found = evaluate(several(targets, logits, 4), resamples=20)
    labels = logits.argmax(axis=1)
    assert found["recall"] == pytest.approx(sk.recall_score(targets, labels, labels=[0, 1, 3], average="macro"))
    probabilities = softmax(logits.astype(float))
    each = [sk.roc_auc_score(targets == c, np.round(probabilities[:, c], 9)) for c in (0, 1, 3)]
    assert found["auc"] == pytest.approx(np.mean(each))
    assert found["per_class"]["c2"] == dict.fromkeys(CLASS_FIGURES) | {"support": 0}
    assert any("no examples of c2" in note for note in found["notes"])
    assert found["intervals"]["auc"][0] < found["auc"] < found["intervals"]["auc"][1]


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_logits_that_are_not_finite_give_no_figure_and_say_so(bad):
    for p in (binary([0, 1, 1], [0.0, bad, 1.0]), several([0, 1, 1], [[0, 0], [0, bad], [1, 0]])):
        found = evaluate(p)
        assert all(found[key] is None for key in FIGURES)
        assert found["examples"] == 3
        assert "1 of 3 examples have logits that are not finite, the first at position 1" in found["notes"][0]
        json.dumps(found, allow_nan=False)


def test_a_single_example_has_figures_but_no_intervals():
    found = evaluate(several([1], [[0.0, 3.0, 1.0]]))
    assert found["accuracy"] == 1.0
    assert found["intervals"] == {}
    assert "one example has no intervals" in found["notes"]


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(BadInput, match="no examples"):
        evaluate(binary([], []))
    with pytest.raises(BadInput, match="between 0 and 1"):
        evaluate(binary([0, 1], [0.0, 1.0]), confidence=95)


@pytest.mark.parametrize(("fields", "message"), [
    (([0, 3], np.zeros((2, 3)), "abc", False, [0, 1]), "targets from 0 to 3 for 3 classes"),
    (([0, 1], np.zeros((2, 4)), "abc", False, [0, 1]), r"shape \(2, 4\) do not fit 3"),
    (([0, 1], np.zeros(2), "abc", False, [0, 1]), "one logit, or a positive class, is for two classes"),
    (([0, 1], np.zeros((2, 2)), "aa", False, [0, 1]), "different names"),
    (([0, 1, 1], np.zeros((2, 2)), "ab", False, [0, 1]), "3 targets and 2 positions for 2 logits"),
])  # fmt: skip
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(BadInput, match=message):
        Predictions(fields[0], fields[1], tuple(fields[2]), *fields[3:])


# --- curves --------------------------------------------------------------------------------------


def test_a_thinned_curve_keeps_its_ends_its_area_and_few_points():
    p = binormal(20_000, seed=8)
    found = evaluate(p, resamples=0)
    fpr, tpr, recall, precision = (
        *(found["roc"][k] for k in ("fpr", "tpr")),
        *(found["pr"][k] for k in ("recall", "precision")),
    )
    assert len(fpr) == len(tpr) <= 200
    assert len(recall) == len(precision) <= 200
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert (recall[0], recall[-1]) == (0, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(NormalDist().cdf(1 / math.sqrt(2)), abs=0.01)
    assert np.trapezoid(precision, recall) == pytest.approx(found["average_precision"], abs=0.005)
    assert np.diff(fpr).min() >= 0 <= np.diff(recall).min()


def test_the_area_of_averaged_curves_is_the_mean_area():
    found = evaluate(drawn(3000, 6, seed=9), resamples=0)
    roc, pr = found["roc"], found["pr"]
    assert roc["average"] == pr["average"] == "macro"
    assert np.trapezoid(roc["tpr"], roc["fpr"]) == pytest.approx(found["auc"], abs=0.005)
    assert np.mean(pr["precision"]) == pytest.approx(found["average_precision"], abs=0.01)
    assert set(roc["per_class"]) == set(pr["per_class"]) == set(found["classes"])


def test_many_classes_keep_small_curves_or_none():
    found = evaluate(drawn(400, 100), resamples=0)
    assert max(len(c["fpr"]) for c in found["roc"]["per_class"].values()) <= 40
    crowd = evaluate(drawn(600, 300), resamples=0)
    assert crowd["confusion"] is None
    assert crowd["roc"]["per_class"] == {}
    assert len(crowd["roc"]["fpr"]) == 200
    assert any("more than 256 classes" in note for note in crowd["notes"])


# --- intervals -----------------------------------------------------------------------------------


def test_intervals_cover_the_truth_as_often_as_they_say():
    """300 samples of a population whose figures are known: 95 % intervals hold them in about 95 % of the samples."""
    reference = evaluate(binormal(400_000, seed=10), resamples=0)
    assert reference["auc"] == pytest.approx(NormalDist().cdf(1 / math.sqrt(2)), abs=0.002)
    assert reference["accuracy"] == pytest.approx(NormalDist().cdf(0.5), abs=0.003)
    names = ("accuracy", "loss", "precision", "recall", "f1", "auc", "average_precision", "brier")
    covered = dict.fromkeys(names, 0)
    for seed in range(300):
        made = bootstrap(binormal(200, seed=1000 + seed), 200, seed, 0.95).intervals
        for name in names:
            covered[name] += made[name][0] <= reference[name] <= made[name][1]
    # 285 expected, standard deviation 4; bootstrap intervals of 200 examples are slightly short
    assert all(268 <= count <= 297 for count in covered.values()), covered


def test_intervals_of_less_confidence_cover_less():
    covered = 0
    for seed in range(300):
        low, high = bootstrap(binormal(200, seed=3000 + seed), 200, seed, 0.5).intervals["accuracy"]
        covered += low <= NormalDist().cdf(0.5) <= high
    assert 120 <= covered <= 185  # 150 expected, standard deviation 9; shares of 200 are coarse


def test_intervals_of_the_calibration_error_cover_a_gap_of_known_size():
    """Sure of 0.88 and right in 0.7: the gap is the calibration error, and its upward bias is taken back."""
    truth = 1 / (1 + math.exp(-2)) - 0.7
    covered = 0
    for seed in range(200):
        right = (np.random.default_rng(seed).random(200) < 0.7).astype(int)
        low, high = bootstrap(binary(right, np.full(200, 2.0)), 200, seed, 0.95).intervals["calibration_error"]
        covered += low <= truth <= high
    assert 178 <= covered <= 199


def test_intervals_of_the_calibration_error_are_not_misled_by_its_bias():
    """Logits 1.2 times too large: percentiles of resamples hold the true error in half of the samples only."""

    def overconfident(n, seed):
        random = np.random.default_rng(seed)
        logits = 1.5 * random.normal(size=n)
        return binary((random.random(n) < 1 / (1 + np.exp(-logits))).astype(int), 1.2 * logits)

    truth = calibration_error(overconfident(500_000, 99))
    covered = 0
    for seed in range(100):
        low, high = bootstrap(overconfident(1000, seed), 100, seed, 0.95).intervals["calibration_error"]
        covered += low <= truth <= high
    assert covered >= 75  # 87 expected


def test_the_width_of_an_interval_is_that_of_the_binomial():
    found = evaluate(binormal(2000, seed=11))
    low, high = found["intervals"]["accuracy"]
    deviation = math.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 2000)
    assert (high - low) / 2 == pytest.approx(1.96 * deviation, rel=0.12)
    assert found["bootstrap"]["resamples"] == found["bootstrap"]["rank_resamples"] == 1000


def test_the_same_seed_gives_the_same_intervals_and_another_does_not():
    p = drawn(200, 3)
    a, b, c = (evaluate(p, resamples=100, seed=s)["intervals"] for s in (1, 1, 2))
    assert a == b != c


def test_a_large_split_is_evaluated_in_little_time():
    p = drawn(10_000, 10)
    start = time.process_time()
    found = evaluate(p)
    assert time.process_time() - start < 5  # about 1 where nothing else runs
    assert found["bootstrap"]["rank_resamples"] == 1000
    assert all(low <= found[name] <= high for name, (low, high) in found["intervals"].items())


def test_many_classes_get_fewer_resamples_where_they_sort_and_the_result_says_so():
    found = evaluate(drawn(4000, 300), resamples=400)
    assert found["bootstrap"]["rank_resamples"] == 150_000_000 // (4000 * 300) == 125
    assert found["intervals"]["auc"] is not None


def test_evaluating_warns_of_nothing_and_gives_data_that_json_holds():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for p in (
            drawn(30, 4),
            binormal(20, seed=12),
            binary([1, 1], [0.0, 0.0]),
            several([0, 1], [[9e30, 0], [0, 9e30]]),
        ):
            json.dumps(evaluate(p, resamples=50), allow_nan=False)


def test_the_documentation_defines_every_figure():
    text = (Path(__file__).parent.parent / "docs" / "evaluation.md").read_text("utf-8")
    assert [key for key in FIGURES if f"| `{key}` |" not in text] == []
    assert [key for key in evaluate(drawn(20, 3), resamples=10) if f"`{key}`" not in text] == []
    assert [k for k, e in RANK_KEYS.items() if not e.figure and f"`{k}`" not in text] == []


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: drawn(40, 3), lambda: binormal(40, seed=13)])
def test_predictions_come_back_as_they_were(make, tmp_path):
    p, path = make(), tmp_path / "test.npz"
    save_predictions(p, path)
    back = load_predictions(path)
    for name in ("targets", "logits", "positions"):
        assert (getattr(back, name) == getattr(p, name)).all()
        assert getattr(back, name).dtype == getattr(p, name).dtype
    assert (back.classes, back.binary) == (p.classes, p.binary)
    assert evaluate(back, resamples=20) == evaluate(p, resamples=20)


def test_a_torn_or_foreign_file_is_named(tmp_path):
    path = tmp_path / "test.npz"
    save_predictions(drawn(400, 3), path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(
        tmp_path / "object.npz",
        **dict.fromkeys(("schema", "targets", "logits", "classes", "binary", "positions"), np.array([{}], object)),
    )
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(3))
    path.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:900] + bytes(b ^ 255 for b in whole[900:960]) + whole[960:])
    for name in (
        "test.npz",
        "other.npz",
        "object.npz",
        "text.npz",
        "empty.npz",
        "array.npy",
        "flipped.npz",
        "none.npz",
    ):
        with pytest.raises(ModelcmpError, match=name.replace(".", r"\.")):
            load_predictions(tmp_path / name)
    with pytest.raises(OutputError, match="no folder"):
        save_predictions(drawn(4, 3), tmp_path / "missing" / "a.npz")


def test_padded_duplicates_are_dropped_and_order_is_restored():
    p = Predictions([2, 0, 1, 2], np.eye(4, 3), ("a", "b", "c"), False, [7, 0, 3, 7])
    once = p.in_order()
    assert once.positions.tolist() == [0, 3, 7]
    assert once.targets.tolist() == [0, 1, 2]
    assert once.logits.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
