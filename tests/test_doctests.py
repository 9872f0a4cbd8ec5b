"""The examples in the docstrings."""

import doctest
import functools
import importlib
import pkgutil

import pytest

import modelcmp

MODULES = ["modelcmp", *(m.name for m in pkgutil.walk_packages(modelcmp.__path__, "modelcmp."))]


@functools.cache
def tried(name):
    return doctest.testmod(importlib.import_module(name))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert tried(name).failed == 0


def test_there_are_examples():
    assert sum(tried(n).attempted for n in MODULES) > 40
