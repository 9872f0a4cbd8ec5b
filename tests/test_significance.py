"""Statistics over seeds against SciPy, closed forms, published examples and simulation."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import networkx
import numpy as np
import pytest
import scipy.stats as st
from sklearn.metrics import f1_score

from modelcmp.errors import BadInput, UnknownName
from modelcmp.reports.significance_words import sentences
from modelcmp.sweeps.statistics.describe import spread
from modelcmp.sweeps.statistics.effect import hedges_g, small_sample
from modelcmp.sweeps.statistics.exact import mcnemar_p, newcombe, rank_sum_p, sign_p
from modelcmp.sweeps.statistics.holm import holm
from modelcmp.sweeps.statistics.letters import alike, inseparable, letters
from modelcmp.sweeps.statistics.power import power_of, seeds_needed
from modelcmp.sweeps.statistics.significance import significance
from modelcmp.sweeps.statistics.student import paired_t, welch_t
from modelcmp.training.evaluation.predictions import Predictions, predictions_path, save_predictions
from modelcmp.training.grouping import Group, Run
from modelcmp.training.results import RunResult

KEY = "train_seconds"  # a figure that any number can stand for


def group(name, values, seeds=None, lost=(), key=KEY, **settings):
    """Runs of one figure; ``lost`` are the states of further runs without it."""
    seeds = range(len(values)) if seeds is None else seeds
    runs = []
    for seed, value in zip(seeds, values, strict=True):
        told = {"seed": seed, **settings}
        found = {"train_seconds": float(value)} if key == KEY else {"test": {key[5:]: float(value)}}
        runs.append(Run(RunResult(name, name, "finished", settings=told, **found), Path(f"{name}-{seed}")))
    for i, status in enumerate(lost):
        runs.append(Run(RunResult(name, name, status, settings={"seed": 1000 + i}), Path(f"{name}-lost-{i}")))
    return Group(name, tuple(runs), {})


def only(groups, **given):
    (found,) = significance(groups, **{"key": KEY, **given}).differences
    return found


# -- against SciPy --------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_paired_is_scipys(n, confidence):
    random = np.random.default_rng(n)
    a, b = random.normal(5, 1, n), random.normal(4, 2, n)
    found, truth = paired_t(a, b, confidence), st.ttest_rel(a, b)
    assert found.p == pytest.approx(truth.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(truth.confidence_interval(confidence)), rel=1e-9)
    assert found.method == "paired t"


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 5), (10, 4)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_welch_is_scipys(n, m, confidence):
    random = np.random.default_rng(n)
    a, b = random.normal(5, 1, n), random.normal(4, 3, m)
    found, truth = welch_t(a, b, confidence), st.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(truth.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(truth.confidence_interval(confidence)), rel=1e-9)


def test_spread_is_scipys():
    values = [0.91, 0.93, 0.90, 0.955]
    found = spread(group("cnn", values, lost=("diverged", "failed", "diverged")), KEY)
    low, high = st.t.interval(0.95, 3, np.mean(values), st.sem(values))
    assert (found.mean, found.std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.seeds == (0, 1, 2, 3)
    assert spread(group("cnn", [0.5]), KEY).std is None
    assert spread(group("cnn", []), KEY).mean is None


def test_lost_runs_are_counted_and_say_nothing():
    test = {"accuracy": 0.1}
    dead = Run(RunResult("cnn", "cnn", "diverged", settings={"seed": 9}, test=test), Path("dead"))
    whole = group("cnn", [0.9, 0.8], key="test_accuracy")
    found = significance([Group("cnn", (*whole.runs, dead), {}), group("mlp", [0.7, 0.6], key="test_accuracy")])
    assert found.spreads[0].mean == pytest.approx(0.85)
    assert dict(found.spreads[0].missing) == {"diverged": 1}
    assert any("Of 3 runs of cnn 1 diverged" in note for note in found.notes)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 6), (5, 12), (40, 61), (7, 7), (300, 240)])
def test_mcnemar_is_the_binomial_test(only_a, only_b):
    assert mcnemar_p(only_a, only_b) == pytest.approx(st.binomtest(only_a, only_a + only_b).pvalue, rel=1e-9)


def test_newcombe_is_the_published_interval():
    """Fagerland, Lydersen, Laake, Statistics in Medicine 33, 2014: airway hyper-responsiveness, n = 21."""
    assert newcombe(1, 1, 7, 12, 0.95) == pytest.approx((-0.507, -0.026), abs=5e-4)
    low, high = newcombe(12, 7, 1, 1, 0.95)
    assert (low, high) == pytest.approx((0.026, 0.507), abs=5e-4)


def test_newcombe_holds_the_truth():
    random, cells = np.random.default_rng(0), [0.80, 0.09, 0.05, 0.06]
    found = [newcombe(*map(int, random.multinomial(200, cells)), 0.95) for _ in range(4000)]
    assert 0.94 <= np.mean([low <= 0.04 <= high for low, high in found]) <= 0.97


def test_exact_tests_are_scipys():
    for n in range(2, 9):
        assert sign_p(n) == pytest.approx(st.binomtest(n, n).pvalue)
        assert sign_p(n) == pytest.approx(st.wilcoxon(range(1, n + 1), method="exact").pvalue)
        truth = st.mannwhitneyu(range(n), range(100, 104), method="exact").pvalue
        assert rank_sum_p(n, 4) == pytest.approx(truth)


def test_hedges_g_by_hand():
    a, b = [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0]
    pooled = math.sqrt((3 * np.var(a, ddof=1) + 2 * np.var(b, ddof=1)) / 5)
    factor = math.gamma(2.5) / (math.sqrt(2.5) * math.gamma(2))
    assert hedges_g(a, b, paired=False) == pytest.approx((2.5 - 4.0) / pooled * factor)
    assert [small_sample(df) for df in (5, 10, 50)] == pytest.approx(
        [1 - 3 / (4 * df - 1) for df in (5, 10, 50)], rel=3e-3
    )
    average = math.sqrt((np.var(a[:3], ddof=1) + np.var(b, ddof=1)) / 2)
    assert hedges_g(a[:3], b, paired=True) == pytest.approx((2.0 - 4.0) / average * small_sample(2))
    assert hedges_g([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], paired=True) is None
    assert hedges_g([1.0, 2.0], [2.0, 5.0], paired=True) is None


def test_hedges_g_is_unbiased():
    random = np.random.default_rng(1)
    found = [hedges_g(random.normal(0.8, 1, 4), random.normal(0, 1, 4), paired=False) for _ in range(8000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)  # uncorrected it would be 0.92


def test_power_is_scipys_and_published():
    """Cohen's tables (G*Power): d = 0.5 at 80 % wants 64 a group, 34 pairs; d = 0.8 wants 26."""
    for n, effect, paired in itertools.product((2, 5, 30), (0.3, 1.0, 2.5), (True, False)):
        df, shift = (n - 1, effect * math.sqrt(n)) if paired else (2 * n - 2, effect * math.sqrt(n / 2))
        limit = st.t.isf(0.025, df)
        truth = st.nct.sf(limit, df, shift) + np.nan_to_num(st.nct.cdf(-limit, df, shift))  # NaN far out
        assert power_of(n, effect, 0.05, paired=paired) == pytest.approx(truth, abs=1e-9)
    assert seeds_needed(0.5, 1.0, paired=False) == 64
    assert seeds_needed(-0.5, 1.0, paired=True) == 34
    assert seeds_needed(0.8, 1.0, paired=False) == 26
    assert seeds_needed(0.01, 1.0, paired=True) is None
    assert seeds_needed(0.0, 1.0, paired=True) is None
    assert seeds_needed(1.0, 0.0, paired=True) == 6
    assert seeds_needed(1.0, 0.0, paired=False) == 4  # 2 / 70


@pytest.mark.parametrize("paired", [True, False])
def test_seeds_needed_is_the_smallest_number(paired):
    for effect, alpha in itertools.product((0.15, 0.7, 3.0, 40.0), (0.05, 0.005)):
        n = seeds_needed(effect, 1.0, alpha, paired=paired)
        powers = [power_of(m, effect, alpha, paired=paired) for m in range(2, 1001)]
        assert n == next((m for m, p in enumerate(powers, 2) if p >= 0.8), None)


def test_holm_is_the_step_down_procedure():
    random = np.random.default_rng(3)
    for _ in range(200):
        ps = list(random.uniform(0, 0.1, 6))
        for alpha in (0.01, 0.05):
            order, rejected = sorted(range(6), key=lambda i, ps=ps: ps[i]), set()
            for rank, i in enumerate(order):
                if ps[i] > alpha / (6 - rank):
                    break
                rejected.add(i)
            assert {i for i, p in enumerate(holm(ps)) if p <= alpha} == rejected


# -- simulation -----------------------------------------------------------------------------------


def simulated(random, paired, k, n):
    """Groups without a true difference: effects of seeds shared, or spreads that are unequal."""
    if paired:
        shared = random.normal(100, 2, n)
        return [group(f"m{i}", shared + random.normal(0, 1, n)) for i in range(k)]
    return [group(f"m{i}", random.normal(100, 1 + 2 * (i % 2), n), range(99 * i, 99 * i + n)) for i in range(k)]


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("paired", [True, False])
def test_nothing_is_separable_where_nothing_differs(paired, k):
    """Of two models 3,000 simulations, so that 6 % are two and a half standard errors above 5 %; of five 1,200."""
    random, found = np.random.default_rng([paired, k]), []
    for n in (3, 5, 10):
        found += [
            significance(simulated(random, paired, k, n), KEY).differences for _ in range(1000 if k == 2 else 400)
        ]
    assert {d.method for row in found[::100] for d in row} == {"paired t" if paired else "Welch t"}
    assert sum(any(d.separable for d in row) for row in found) <= 0.06 * len(found)
    assert any(d.separable for row in found for d in row)  # the test can find something


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("method", [paired_t, welch_t])
def test_level_of_one_pair(method, n):
    random, sims = np.random.default_rng(n), 10_000
    a, b = random.normal(0, 1, (sims, n)).tolist(), random.normal(0, 3, (sims, n)).tolist()
    found = np.mean([method(x, y, 0.95).p <= 0.05 for x, y in zip(a, b, strict=True)])
    assert 0.044 <= found <= (0.055 if method is paired_t else 0.06)  # Welch's degrees of freedom are estimated


@pytest.mark.parametrize(("paired", "n"), [(True, 3), (True, 5), (False, 5), (False, 10)])
def test_intervals_hold_a_known_difference(paired, n):
    random, sims, truth = np.random.default_rng(7 + n), 10_000, 1.5
    a = random.normal(0, 1, (sims, n)) + truth
    b = random.normal(0, 2, (sims, n))
    method = paired_t if paired else welch_t
    found = [method(x, y, 0.95) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert 0.94 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.96


# -- which method ---------------------------------------------------------------------------------


def test_same_seeds_are_paired():
    a, b = [5.0, 6.1, 7.3], [4.0, 5.2, 6.1]
    found = only([group("b", b), group("a", a)], key=KEY)
    assert (found.a, found.method, found.n_a) == ("b", "paired t", 3)  # less time is better
    assert found.p == pytest.approx(st.ttest_rel(b, a).pvalue)
    assert found.effect == pytest.approx(hedges_g(b, a, paired=True))


def test_seeds_in_another_order_are_paired_by_seed():
    a, b = {3: 5.0, 1: 6.1, 2: 7.3}, {1: 4.0, 2: 5.2, 3: 6.1}
    found = only([group("b", b.values(), b), group("a", a.values(), a)])
    assert found.p == pytest.approx(st.ttest_rel([b[s] for s in (1, 2, 3)], [a[s] for s in (1, 2, 3)]).pvalue)


@pytest.mark.parametrize(
    ("seeds", "method", "n"),
    [((0, 1, 2, 9), "paired t", 3), ((0, 7, 8, 9), "Welch t", 4), ((0, 1, 8, 9), "paired t", 2)],
)
def test_pairing_where_half_of_the_seeds_are_shared(seeds, method, n):
    found = only([group("a", [1.0, 2.5, 3.0, 4.0]), group("b", [5.0, 7.0, 6.5, 9.0], seeds)])
    assert (found.method, found.n_a) == (method, n)
    assert bool(found.notes) == (method == "paired t")


def test_runs_without_a_seed_are_never_paired():
    found = only([group("a", [1.0, 2.5], [None, None]), group("b", [5.0, 7.0], [0, 1])])
    assert found.method == "Welch t"


def test_other_test_data_are_not_paired():
    groups = [
        group(name, values, key="test_accuracy", data_digest_test=name)
        for name, values in (("a", [0.8, 0.9, 0.85]), ("b", [0.7, 0.75, 0.6]))
    ]
    found = significance(groups)
    assert found.differences[0].method == "Welch t"
    assert any("different test splits" in note for note in found.notes)


def test_a_repeated_seed_is_no_evidence():
    found = only([group("a", [1.0, 1.0, 2.0], [1, 1, 2]), group("b", [5.0, 7.0], [1, 2])])
    assert (found.n_a, found.p) == (2, pytest.approx(st.ttest_rel([1, 2], [5, 7]).pvalue))


def test_equal_differences_take_the_sign_test():
    a = [0.91, 0.93, 0.95, 0.97, 0.90]
    found = only([group("a", a), group("b", [v + 0.01 for v in a])])
    assert (found.method, found.p, found.separable, found.low) == ("sign", 0.0625, False, None)
    assert found.seeds_needed == 6
    six = only([group("a", [*a, 0.5]), group("b", [v + 0.01 for v in [*a, 0.5]])])
    assert (six.p, six.separable) == (0.03125, True)
    assert (six.low, six.high) == pytest.approx((-0.01, -0.01))
    same = only([group("a", a), group("b", a)])
    assert (same.difference, same.p, same.seeds_needed, same.effect) == (0.0, 1.0, None, 0.0)


def test_groups_without_spread_take_the_rank_sum_test():
    found = only([group("a", [3.0] * 4, range(4)), group("b", [5.0] * 4, range(10, 14))])
    assert (found.method, found.p) == ("rank sum", pytest.approx(2 / 70))
    assert found.separable


@pytest.mark.filterwarnings("ignore:Precision loss")
def test_level_values_of_one_group_are_no_obstacle():
    found = only([group("a", [3.0] * 4, range(4)), group("b", [5.0, 5.1, 4.8], range(10, 13))])
    assert found.p == pytest.approx(st.ttest_ind([3.0] * 4, [5.0, 5.1, 4.8], equal_var=False).pvalue)


# -- several groups -------------------------------------------------------------------------------


def test_three_groups_against_scipy():
    values = {"a": [1.0, 1.2, 0.9, 1.1], "b": [1.1, 1.0, 1.2, 0.9], "c": [5.0, 5.3, 4.9, 5.1]}
    found = significance([group(name, v) for name, v in values.items()], KEY)
    raw = {(d.a, d.b): st.ttest_rel(values[d.a], values[d.b]).pvalue for d in found.differences}
    adjusted = holm(list(raw.values()))
    assert [d.p_adjusted for d in found.differences] == pytest.approx(adjusted)
    assert dict(found.letters) == {"a": "a", "b": "a", "c": "b"}
    assert inseparable(found) == [("a", "b")]
    assert len(found.differences) == 3
    said = sentences(found)
    assert said[0].startswith("a and b cannot be told apart in training time")
    assert said[1] == "a is better than c."


def test_groups_without_the_figure_stand_last():
    found = significance([group("lost", [], lost=("failed",)), group("a", [2.0, 2.2]), group("b", [1.0, 1.3])], KEY)
    assert [s.name for s in found.spreads] == ["b", "a", "lost"]
    assert [d.method for d in found.differences] == ["paired t", "none", "none"]
    assert (found.letters["lost"], found.differences[1].p_adjusted) == ("", None)
    assert any("Of 1 run of lost 1 failed" in note for note in found.notes)


@pytest.mark.parametrize("seed", range(40))
def test_letters_are_the_maximal_cliques(seed):
    random = np.random.default_rng(seed)
    names = [f"m{i}" for i in range(8)]
    pairs = list(itertools.combinations(names, 2))
    apart = [pair for pair in pairs if random.random() < random.choice([0.2, 0.5, 0.8])]
    graph = networkx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(set(pairs) - set(apart))
    found = alike(names, apart)
    assert {frozenset(row) for row in found} == {frozenset(clique) for clique in networkx.find_cliques(graph)}
    shown = letters(names, found)
    assert {pair for pair in pairs if not set(shown[pair[0]]) & set(shown[pair[1]])} == set(apart)


def test_seeds_needed_for_what_is_not_separable():
    a, b = [1.0, 2.0, 3.0, 2.5, 1.5], [1.8, 1.9, 3.9, 3.0, 1.6]
    found = only([group("a", a), group("b", b)])
    std = np.std(np.subtract(a, b), ddof=1)
    assert not found.separable
    assert found.seeds_needed == seeds_needed(np.mean(a) - np.mean(b), std, paired=True) > 5


def test_what_few_seeds_cannot_say():
    five = significance([group("a", [1, 2, 3, 4, 5]), group("b", [2, 3, 4, 5, 7])], KEY)
    assert any("With 5 seeds" in note and "0.0625" in note for note in five.notes)
    six = significance([group("a", [1, 2, 3, 4, 5, 6]), group("b", [2, 3, 4, 5, 7, 8])], KEY)
    assert not any("Wilcoxon" in note for note in six.notes)
    two = significance([group("a", [1, 2]), group("b", [2, 4])], KEY)
    assert any("two seeds hardly show" in note for note in two.notes)


def test_what_is_refused():
    a, b = group("a", [1, 2]), group("b", [2, 4])
    with pytest.raises(BadInput, match="needs two models"):
        significance([a], KEY)
    with pytest.raises(BadInput, match="called 'a'"):
        significance([a, a], KEY)
    with pytest.raises(BadInput, match="alpha"):
        significance([a, b], KEY, alpha=0)
    with pytest.raises(UnknownName, match="test_accuracy"):
        significance([a, b], "accuracy")


# -- predictions ----------------------------------------------------------------------------------

N, K = 300, 4


def figures(p):
    """Those that the tests below compare; what ``evaluate`` finds is tested elsewhere."""
    every = np.arange(len(p))
    right = (p.labels() == p.targets).mean()
    return {"accuracy": right, "loss": p.losses().mean(), "f1": macro_f1(p, every), "auc": macro_auc(p, every)}


def predicted(folder, name, signal, seeds=(0,), shift=0):
    """A group whose runs saved their predictions of the same examples."""
    runs = []
    for seed in seeds:
        random = np.random.default_rng([seed, *name.encode()])
        targets = (np.random.default_rng(11).integers(0, K, N) + shift) % K
        logits = 0.5 * np.random.default_rng(12).normal(size=(N, K)) + random.normal(size=(N, K))
        logits[np.arange(N), targets] += signal
        p = Predictions(targets, logits, tuple("wxyz"), False, np.arange(N))
        path = predictions_path(folder / f"{name}-{seed}", "test")
        path.parent.mkdir(parents=True)
        save_predictions(p, path)
        result = RunResult(name, name, "finished", settings={"seed": seed}, test=figures(p))
        runs.append((Run(result, folder / f"{name}-{seed}"), p))
    return Group(name, tuple(run for run, _ in runs), {}), [p for _, p in runs]


def test_single_runs_take_mcnemar(tmp_path):
    (a, (p,)), (b, (q,)) = predicted(tmp_path, "a", 2.0), predicted(tmp_path, "b", 1.6)
    found = only([a, b], key="test_accuracy")
    right, other = p.labels() == p.targets, q.labels() == q.targets
    assert found.method == "McNemar"
    assert found.p == pytest.approx(st.binomtest(int((right & ~other).sum()), int((right ^ other).sum())).pvalue)
    assert found.difference == pytest.approx(right.mean() - other.mean())
    assert found.low < found.difference < found.high
    assert (found.effect, found.seeds_needed, found.n_a) == (None, None, 1)
    assert any("says nothing of other seeds" in note for note in significance([a, b]).notes)


def test_single_runs_take_the_paired_bootstrap(tmp_path):
    """Of a mean the bootstrap's interval is the normal one of paired differences, nearly."""
    (a, (p,)), (b, (q,)) = predicted(tmp_path, "a", 2.0), predicted(tmp_path, "b", 1.8)
    found = only([a, b], key="test_loss")
    d = p.losses() - q.losses()
    low, high = st.norm.interval(0.95, d.mean(), st.sem(d))
    assert found.method == "paired bootstrap"
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    assert found.p == pytest.approx(2 * st.norm.sf(abs(d.mean()) / st.sem(d)), rel=0.3, abs=0.01)


def macro_f1(p, rows):
    return f1_score(p.targets[rows], p.labels()[rows], average="macro")


def macro_auc(p, rows):
    scores, targets = st.rankdata(p.log_odds()[rows], axis=0), p.targets[rows]
    held = [(scores[targets == c, c].sum(), (targets == c).sum()) for c in range(K)]
    return np.mean([(ranks - n * (n + 1) / 2) / (n * (len(rows) - n)) for ranks, n in held])  # Hanley, McNeil 1982


@pytest.mark.parametrize(("key", "figure"), [("test_f1", macro_f1), ("test_auc", macro_auc)])
def test_bootstrap_of_other_figures_is_that_of_resampled_examples(tmp_path, key, figure):
    (a, (p,)), (b, (q,)) = predicted(tmp_path, "a", 2.0), predicted(tmp_path, "b", 1.4)
    found = only([a, b], key=key)
    random = np.random.default_rng(5)
    drawn = [figure(p, rows) - figure(q, rows) for rows in (random.integers(0, N, N) for _ in range(120))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.a, found.method) == ("a", "paired bootstrap")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.25 * (high - low))


def test_doubt_of_the_test_set_is_kept_apart(tmp_path):
    (a, ps), (b, qs) = predicted(tmp_path, "a", 2.0, range(4)), predicted(tmp_path, "b", 1.6, range(4))
    found = only([a, b], key="test_loss")
    d = np.mean([p.losses() for p in ps], axis=0) - np.mean([q.losses() for q in qs], axis=0)
    low, high = st.norm.interval(0.95, d.mean(), st.sem(d))
    assert found.method == "paired t"
    assert (found.test_low, found.test_high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert only([a, b], key="test_f1").test_low is None


def test_predictions_of_other_examples_are_refused(tmp_path):
    (a, _), (b, _) = predicted(tmp_path, "a", 2.0), predicted(tmp_path, "b", 1.6, shift=1)
    found = only([a, b], key="test_accuracy")
    assert (found.method, found.p, found.separable) == ("none", None, False)
    assert "different examples" in found.notes[0]


def test_lost_and_foreign_predictions_are_said(tmp_path):
    (a, _), (b, ps) = predicted(tmp_path, "a", 2.0, (0, 1)), predicted(tmp_path, "b", 1.6, (0, 1))
    save_predictions(ps[1], predictions_path(tmp_path / "b-0", "test"))
    found = significance([a, b])
    assert found.differences[0].method == "paired t"
    assert found.differences[0].test_low is None
    assert any("is not what test_accuracy of its run was computed from" in note for note in found.notes)
    predictions_path(tmp_path / "b-0", "test").unlink()
    assert any("no predictions at" in note for note in significance([a, b]).notes)


@pytest.mark.parametrize("signal", [1.6, 0.2])
def test_one_run_against_several_is_never_told_apart(tmp_path, signal):
    """What the examples say of one run of each is a note, and the difference is that of the means."""
    (a, ps), (b, (q,)) = predicted(tmp_path, "a", 2.0, (0, 1, 2)), predicted(tmp_path, "b", signal, (2,))
    made = significance([a, b])
    (found,) = made.differences
    right = [(p.labels() == p.targets) for p in (*ps, q)]
    only_a, only_b = int((right[2] & ~right[3]).sum()), int((right[3] & ~right[2]).sum())
    p = st.binomtest(only_a, only_a + only_b).pvalue
    assert (found.method, found.p, found.low, found.separable) == ("none", None, None, False)
    assert found.difference == pytest.approx(np.mean(right[:3]) - right[3].mean())
    assert f"a less b {100 * (only_a - only_b) / N:.1f} points" in found.notes[-1]
    assert ("p < 0.0001" if p < 1e-4 else f"p = {p:.2g}") in found.notes[-1]
    assert set(made.letters.values()) == {"a"}
    assert any("b cannot be told apart from models of several runs" in note for note in made.notes)


def test_a_single_run_ahead_at_its_seed_is_not_the_better_one(tmp_path):
    """At seed 0 alone the several runs are far behind; their mean is ahead."""
    (a, _), (low, _) = predicted(tmp_path, "a", 3.0, (1, 2, 3)), predicted(tmp_path / "low", "a", 0.0, (0,))
    mixed, (b, _) = Group("a", (*low.runs, *a.runs), {}), predicted(tmp_path, "b", 1.5, (0,))
    found = significance([mixed, b])
    assert found.spreads[0].name == "a"
    assert (found.differences[0].separable, found.differences[0].difference > 0) == (False, True)
    assert "a less b -" in found.differences[0].notes[-1]
    assert sentences(found)[0].startswith("a and b cannot be told apart in test accuracy: a is ahead by")


def test_what_the_shared_seeds_say_against_the_means_is_no_verdict():
    """At the six seeds that both have b is quicker by far; over all its runs it is slower."""
    a = group("a", [5.0, 5.1, 4.9, 5.0, 5.2, 4.8])
    b = group("b", [4.0, 4.2, 3.9, 4.1, 4.2, 3.7, 50.0, 60.0], range(8))
    found = significance([a, b], KEY)
    (d,) = found.differences
    assert (d.a, d.b, d.method) == ("a", "b", "paired t")
    assert d.p == pytest.approx(st.ttest_rel([r.result.train_seconds for r in a.runs], [4, 4.2, 3.9, 4.1, 4.2, 3.7])[1])
    assert d.p < 0.001
    assert (d.separable, d.seeds_needed) == (False, None)
    assert "at these seeds b is ahead, over all runs a" in d.notes[-1]
    assert set(found.letters.values()) == {"a"}
    assert "at the seeds that both have b is ahead" in sentences(found)[0]


def test_what_is_separable_agrees_with_the_order_of_the_means():
    """Shared seeds say one thing, runs of other seeds another."""
    random, verdicts = np.random.default_rng(0), set()
    for _ in range(60):
        groups = []
        for i, name in enumerate("abc"):
            values = [*random.normal(10 + i, 0.1, 5), *random.normal(10, 20, random.integers(0, 4))]
            groups.append(group(name, values, [*range(5), *range(100 * i + 5, 100 * i + len(values))]))
        found = significance(groups, KEY)
        means = {s.name: s.mean for s in found.spreads}
        for d in found.differences:
            verdicts.add(d.separable)
            assert not d.separable or (means[d.a] < means[d.b] and d.difference < 0)
            assert not d.separable or not set(found.letters[d.a]) & set(found.letters[d.b])
    assert verdicts == {True, False}


def built(name, params, seeds):
    runs = [Run(RunResult(name, name, "finished", params=params, settings={"seed": s}), Path(name)) for s in seeds]
    return Group(name, tuple(runs), {})


def test_what_no_seed_moves_simply_differs():
    """By the key, not by the values: times that are equal at every seed stay a sample."""
    found = significance([built("a", 1000, (0, 1)), built("b", 1001, range(5)), built("c", 1000, (3,))], "params")
    apart = {(d.a, d.b): (d.separable, d.p, d.method) for d in found.differences}
    assert apart == {
        ("a", "c"): (False, None, "none"), ("a", "b"): (True, None, "none"), ("c", "b"): (True, None, "none"),
    }  # fmt: skip
    assert dict(found.letters) == {"a": "a", "c": "a", "b": "b"}
    assert found.notes == ("params follows from the configuration, not from the seed: there is nothing to test.",)
    assert sentences(found)[:2] == ["a and c are equal in parameters.", "a is better than b."]
    assert only([group("a", [1.0] * 5), group("b", [2.0] * 5)]).method == "sign"


def test_other_test_data_are_not_paired_by_example_either(tmp_path):
    """Positions and targets agree, and the digests do not: one truth."""

    def told(group, digest):
        runs = [Run(replace(r.result, settings={**r.result.settings, "data_digest_test": digest}), r.folder) for r in
                group.runs]  # fmt: skip
        return Group(group.name, tuple(runs), {})

    (a, _), (b, _) = predicted(tmp_path, "a", 2.0, (0, 1)), predicted(tmp_path, "b", 1.0, (0, 1))
    assert only([told(a, "x"), told(b, "x")], key="test_accuracy").test_low is not None
    assert only([told(a, "x"), told(b, "y")], key="test_accuracy").test_low is None
    one, other = Group("a", a.runs[:1], {}), Group("b", b.runs[:1], {})
    assert only([told(one, "x"), told(other, "x")], key="test_accuracy").method == "McNemar"
    found = only([told(one, "x"), told(other, "y")], key="test_accuracy")
    assert (found.method, found.p, found.separable) == ("none", None, False)
    assert "both were judged on different test splits" in found.notes[0]


def test_figures_without_examples_say_nothing_of_single_runs():
    found = significance([group("a", [1.0]), group("b", [2.0])], KEY)
    assert (found.differences[0].method, found.differences[0].separable) == ("none", False)
    assert dict(found.letters) == {"a": "a", "b": "a"}
