"""The compiled measures against NumPy in float64 and mpmath, on ordinary and on adversarial vectors."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelcmp.diffing.measures import MEASURES, derive
from modelcmp.diffing.sums import ADDED, FIELDS, Sums
from modelcmp.diffing.tally import Tally

BITS = {2: np.int16, 4: np.int32, 8: np.int64}


def measured(a, b, first=None, chunk=5000):
    """All columns of one pair of vectors, read in chunks."""
    tally = Tally(ways=first is not None)
    for low in range(0, a.size, chunk):
        x, y = a[low : low + chunk], b[low : low + chunk]
        tally.add(x, y, x.view(BITS[x.itemsize]), y.view(BITS[y.itemsize]))
        if first is not None:
            tally.add_ways(x, y, first[0][low : low + chunk], first[1][low : low + chunk])
    return {key: float(values[0]) for key, values in derive(Sums.of([tally.row()])).items()}


def exact(a, b):
    """L2, relative L2, cosine and angle with 120 digits."""
    with mpmath.workdps(120):
        x, y = [[mpmath.mpf(float(v)) for v in side] for side in (a, b)]
        dot = mpmath.fsum(p * q for p, q in zip(x, y, strict=True))
        l2 = mpmath.sqrt(mpmath.fsum((p - q) ** 2 for p, q in zip(x, y, strict=True)))
        na, nb = (mpmath.sqrt(mpmath.fsum(p * p for p in side)) for side in (x, y))
        cosine = dot / (na * nb)
        apart = mpmath.sqrt(mpmath.fsum((p / na - q / nb) ** 2 for p, q in zip(x, y, strict=True)))
        together = mpmath.sqrt(mpmath.fsum((p / na + q / nb) ** 2 for p, q in zip(x, y, strict=True)))
        return float(l2), float(l2 / max(na, nb)), float(cosine), float(2 * mpmath.atan2(apart, together))


def pairs():
    rng = np.random.default_rng(7)
    a = rng.standard_normal(300)
    noise = rng.standard_normal(300)
    across = noise - a * (a @ noise) / (a @ a)
    yield "ordinary", a, noise, np.float32
    yield "near-parallel", a, a + 1e-6 * noise, np.float32
    yield "parallel but for 1e-13", a, a + 1e-13 * noise, np.float64
    yield "near-orthogonal", a, across + 1e-9 * a, np.float64
    yield "antiparallel", a, -a + 1e-7 * noise, np.float64
    yield "scaled", a, 1.01 * a, np.float32
    yield "tiny", a * 1e-38, noise * 1e-38, np.float32
    yield "denormal", a * 1e-43, noise * 1e-43, np.float32
    yield "huge", a * 1e38 / 4, noise * 1e38 / 4, np.float32
    yield "huge doubles", a * 1e300, noise * 1e300, np.float64
    yield "tiny doubles", a * 1e-300, noise * 1e-300, np.float64
    yield "one tiny difference", np.append(a, 1e-200), np.append(a, 3e-200), np.float64
    yield "very different lengths", a, noise * 1e-12, np.float64
    yield "one element", a[:1], 2 * a[:1], np.float32


@pytest.mark.parametrize(("a", "b", "dtype"), [p[1:] for p in pairs()], ids=[p[0] for p in pairs()])
def test_norms_and_angles_are_exact(a, b, dtype):
    a, b = a.astype(dtype), b.astype(dtype)
    l2, relative, cosine, angle = exact(a, b)
    got = measured(a, b, chunk=77)
    assert got["l2"] == pytest.approx(l2, rel=1e-13)
    assert got["relative_l2"] == pytest.approx(relative, rel=1e-13)
    assert got["cosine"] == pytest.approx(cosine, abs=1e-15)
    assert got["angle_rad"] == pytest.approx(angle, rel=1e-6, abs=1e-7 * relative)


def test_the_angle_tells_what_the_cosine_cannot():
    a = np.zeros(1000)
    a[0] = 1
    b = a.copy()
    b[1] = 1e-10
    got = measured(a, b)
    assert got["cosine"] == 1.0
    assert got["angle_rad"] == pytest.approx(1e-10, rel=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ulps_are_counted_in_the_stored_type(dtype):
    rng = np.random.default_rng(3)
    a = rng.standard_normal(9000).astype(dtype)
    b, steps = a.copy(), rng.integers(0, 40, 9000)
    for n in range(40):
        b = np.where(steps > n, np.nextafter(b, dtype(np.inf)), b)
    wide = (a, b) if dtype != np.float16 else (a.astype(np.float32), b.astype(np.float32))
    tally = Tally()
    tally.add(*wide, a.view(BITS[a.itemsize]), b.view(BITS[b.itemsize]))
    row = tally.row()
    assert row["ulp_max"] == 39
    assert row["ulp_median"] == np.median(steps)
    assert row["equal"] == (steps == 0).sum()


def test_ulps_across_zero():
    smallest = np.nextafter(np.float32(0), np.float32(1))
    got = measured(np.array([0, 0, smallest], np.float32), np.array([-0.0, smallest, -smallest], np.float32))
    assert got["equal_share"] == pytest.approx(1 / 3)
    assert got["ulp_max"] == 2


def test_the_farthest_doubles_are_nearly_all_patterns_apart():
    top = np.finfo(np.float64).max
    assert measured(np.array([-top]), np.array([top]))["ulp_max"] == pytest.approx(2**64 - 2**53, rel=1e-9)


@pytest.mark.parametrize("distance", [0, 1, 63, 64, 65, 1000, 123_456_789])
def test_medians_are_exact_or_within_a_sixtieth(distance):
    a = np.array([0], np.int32).view(np.float32)
    b = np.array([distance], np.int32).view(np.float32)
    assert measured(a, b)["ulp_median"] == pytest.approx(distance, rel=0 if distance < 64 else 1 / 62)


@pytest.mark.parametrize("count", [9, 10, 5000])
def test_the_median_of_an_even_count_is_between_the_middle_two(count):
    steps = np.random.default_rng(count).integers(1, 1 << 24, count).astype(np.int32)
    got = measured(np.zeros(count, np.float32), steps.view(np.float32))["ulp_median"]
    assert got == pytest.approx(np.median(steps), rel=1 / 60)


def test_nan_and_infinity_are_counted_apart():
    rng = np.random.default_rng(5)
    a = rng.standard_normal(10_000).astype(np.float32)
    b = a.copy()
    b[17] += 2
    a[5], b[6], a[7], b[7], b[9_999], a[3], b[3] = np.nan, np.nan, np.nan, np.nan, np.inf, -np.inf, -np.inf
    got = measured(a, b)
    fine = np.isfinite(a) & np.isfinite(b)
    assert (got["nan_a"], got["nan_b"], got["inf_a"], got["inf_b"]) == (2, 2, 1, 2)
    assert got["l2"] == pytest.approx(np.linalg.norm(a[fine].astype(float) - b[fine]), rel=1e-14)
    assert got["max_index"] == 17
    assert got["equal_share"] == pytest.approx((10_000 - 4) / 10_000)  # 5, 6, 17 and the last differ


def test_all_nan_is_unknown_not_zero():
    nothing = np.full(10, np.nan, np.float32)
    got = measured(nothing, nothing)
    assert got["equal_share"] == 1
    assert all(np.isnan(got[key]) for key in ("l2", "relative_l2", "max_abs", "ulp_max", "a_norm"))


def test_zeros_have_no_direction():
    zero = np.zeros(5, np.float32)
    got = measured(zero, zero)
    assert (got["l2"], got["relative_l2"], got["equal_share"]) == (0, 0, 1)
    assert np.isnan(got["cosine"])
    assert measured(zero, zero + 1)["relative_l2"] == 1


@pytest.mark.parametrize("place", [0, 2047, 2048, 4999, 5000, 8191])
def test_the_place_of_the_largest_difference(place):
    a = np.random.default_rng(place).standard_normal(8192).astype(np.float32)
    b = a + np.float32(1e-3)
    b[place] = a[place] - 5
    got = measured(a, b)
    assert got["max_index"] == place
    assert got["max_abs"] == abs(float(a[place]) - float(b[place]))


def test_ways_since_the_first_dump():
    rng = np.random.default_rng(11)
    a0, b0, a, b = (rng.standard_normal(6000).astype(np.float32) for _ in range(4))
    got = measured(a, b, (a0, b0))
    u, v = a.astype(float) - a0, b.astype(float) - b0
    assert got["distance_a"] == pytest.approx(np.linalg.norm(u), rel=1e-13)
    assert got["distance_b"] == pytest.approx(np.linalg.norm(v), rel=1e-13)
    assert got["update_cosine"] == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v), rel=1e-12)
    assert got["per_distance"] == pytest.approx(np.linalg.norm(a.astype(float) - b) / np.linalg.norm(u), rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_floats_agree_with_numpy(data):
    size = data.draw(st.integers(1, 50))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    a, b = (data.draw(arrays(dtype, size, elements={"allow_nan": True, "allow_infinity": True})) for _ in "ab")
    got = measured(a, b, chunk=7)
    fine = np.isfinite(a) & np.isfinite(b)
    x, y = a[fine].astype(np.longdouble), b[fine].astype(np.longdouble)
    with np.errstate(over="ignore"):
        l2 = float(np.sqrt(((x - y) ** 2).sum())) if fine.any() else np.nan  # of no place at all: unknown
        assert got["l2"] == pytest.approx(l2, rel=1e-12, nan_ok=True)
    assert got["equal_share"] == pytest.approx(float(((a == b) | (np.isnan(a) & np.isnan(b))).mean()))
    assert got["nan_a"] == np.isnan(a).sum()


def test_groups_are_one_vector():
    """The total is the root of the sum of squares, never a mean of layers."""
    rng = np.random.default_rng(2)
    parts = [(rng.standard_normal(n), rng.standard_normal(n)) for n in (10, 300, 4000)]
    rows = []
    for a, b in parts:
        tally = Tally()
        tally.add(a, b, a.view(np.int64), b.view(np.int64))
        rows.append(tally.row())
    sums = Sums.of(rows)
    whole = {k: float(v[0]) for k, v in derive(sums.summed(np.array([True, True, True]))).items()}
    a, b = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    assert whole["l2"] == pytest.approx(np.linalg.norm(a - b), rel=1e-13)
    assert whole["cosine"] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12)
    assert whole["max_abs"] == np.abs(a - b).max()
    assert whole["elements"] == 4310
    assert np.isnan(sums.summed(np.zeros(3, bool))["dd"][0])


def test_every_field_and_measure_is_filled():
    got = measured(np.ones(3), np.zeros(3))
    assert list(got) == [m.key for m in MEASURES]
    assert set(ADDED) < set(FIELDS)
