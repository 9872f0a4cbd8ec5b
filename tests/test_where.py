"""--where: the same as pandas' query on the same rows, and nothing but figures, comparisons and logic."""

import contextlib

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcmp.errors import BadInput, UnknownName
from modelcmp.where import parse

KEYS = ("macs", "params", "ai")


def resolve(name):
    if name not in (*KEYS, "bound"):
        raise UnknownName("metric", name, "known: " + ", ".join(KEYS))
    return name


numbers = st.one_of(st.integers(-50, 50), st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 3)))
figures = st.one_of(st.sampled_from(KEYS), numbers.map(str))
sums = st.recursive(
    figures,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=4,
)
comparisons = st.tuples(sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.sampled_from(KEYS)).map(" ".join)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "&", "|"]), inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda t: f"not ({t})"),
        inner.map(lambda t: f"~({t})"),
    ),
    max_leaves=5,
)
rows = st.lists(st.fixed_dictionaries({key: st.one_of(st.none(), numbers) for key in KEYS}), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(conditions, rows)
def test_means_what_pandas_means(text, found):
    table = pandas.DataFrame(found, columns=list(KEYS), dtype=float)
    assert list(table.query(text, engine="python").index) == [
        i for i, row in enumerate(found) if parse(text, resolve).holds(row)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch /tmp/x') == 0",
        "macs.__class__.__mro__ == 1",
        "().__class__.__bases__[0] == 1",
        "(lambda: 1)() == 1",
        "[x for x in (1, 2)] == 1",
        "f'{macs}' == '1'",
        "open('/etc/passwd') == 1",
        "(macs := 5) > 2",
        "@macs > 1",
        "`macs` > 1",
        "macs if ai else params",
        "macs[0] > 1",
        "macs < 5; import os",
        "macs < 5\nimport os",
        "{1: 2} == macs",
        "macs is 5",
        "await macs",
        "*macs",
        "10j < macs",
        "b'x' == macs",
        "... == macs",
        "[1] * 2000000000 == 1",
        "[1, 2] == macs",
        "macs + [1] > 2",
        "~macs < 5e9",
        "(macs < 5) + 1 > 1",
        "(macs < 5) == (ai < 3)",
    ],
)
def test_nothing_else_can_run(text):
    with pytest.raises(BadInput):
        parse(text, resolve)


@pytest.mark.parametrize("text", ["", "macs", "1", "macs <", "macs and ai > 1", "not macs", "True", "macs < 5 or ai"])
def test_a_condition_compares(text):
    with pytest.raises(BadInput, match="where"):
        parse(text, resolve)


def test_unknown_names_are_suggested():
    with pytest.raises(UnknownName, match="macz"):
        parse("macz < 5", resolve)


@pytest.mark.parametrize(
    "text", ["9**9**9**9 > macs", "macs > " + "9" * 400 + "**9", "2.0**macs**macs**macs > 1", "(0-2)**0.5 < macs"]
)
def test_huge_figures_end_in_an_error_and_not_in_a_wait(text):
    with pytest.raises(BadInput):
        parse(text, resolve).holds({"macs": 1e9, "params": 1, "ai": 1.0})


@pytest.mark.parametrize(
    "text", ["(" * 900 + "macs" + ")" * 900 + " > 1", "macs > 1 and " * 400 + "ai > 1", "-" * 1900 + "1 < macs"]
)
def test_deep_and_long_conditions_end_in_an_error_or_an_answer(text):
    with contextlib.suppress(BadInput):
        assert parse(text, resolve).holds({"macs": 1e9, "params": 1, "ai": 1.0})


def test_text_is_compared_with_text():
    row = {"bound": "balanced", "macs": 1, "params": 1, "ai": None}
    assert parse("bound == 'balanced'", resolve).holds(row)
    assert parse("class in ['balanced', 'compute-bound']", resolve).holds(row)
    assert not parse("bound not in ('balanced', 'x')", resolve).holds(row)
    for text in ("bound < 5", "bound * 2 == 'x'", "bound in 'balanced'", "bound + 'x' == 'y'"):
        with pytest.raises(BadInput, match="cannot be evaluated"):
            parse(text, resolve).holds(row)


@pytest.mark.parametrize(("text", "words"), [
    ("bound < 3", 'bound is text here ("none"): compare it like bound == "none"'),
    ("3 >= bound", 'compare it like bound == "none"'),
    ("bound < macs", 'bound is text here ("none") and macs is a number here (7): they have no order'),
    ("macs < 'a'", "macs is a number here (7): compare it like macs == 7"),
    ("'a' < 3", '"a" and 3 have no order'),
    ("bound * 2 > 1", 'bound is text here ("none"): nothing can be computed with it'),
    ("-bound > 1", 'bound is text here ("none"): nothing can be computed with it'),
    ("bound in 'none'", """'in' wants a list: bound in ["none", "none"]"""),
    ("(macs - 9) ** 0.5 > 1", "macs - 9 is below 0"), ("10 ** macs ** macs ** macs > 1", "a figure grows too large"),
])  # fmt: skip
def test_what_cannot_be_compared_is_said_in_our_words(text, words):
    with pytest.raises(BadInput) as error:
        parse(text, resolve).holds({"bound": "none", "macs": 7, "params": 1, "ai": 1.0})
    assert words in str(error.value)
    assert "instances" not in str(error.value)


@pytest.mark.parametrize("text", ["macs", "macs <", "not macs"])
def test_the_example_is_the_callers(text):
    with pytest.raises(BadInput, match="write it like 'lr < 1'"):
        parse(text, resolve, "lr < 1")


def test_prefixes_scale():
    row = {"macs": 4_999_999_999, "params": 29_999_999, "ai": 1.5}
    assert parse("macs < 5G and params < 30M and ai < 0.0016k", resolve).holds(row)
    assert parse("'5G' == '5G' and macs < 5G", resolve).holds(row)
    with pytest.raises(BadInput):
        parse("macs < 5Gx", resolve)


def test_division_by_zero_is_unknown():
    assert not parse("macs / ai > 1", resolve).holds({"macs": 1, "ai": 0, "params": 0})
    assert parse("macs / ai != 1", resolve).holds({"macs": 1, "ai": 0, "params": 0})
