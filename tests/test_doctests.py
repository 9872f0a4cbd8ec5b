"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import modelcmp

MODULES = ["modelcmp", *(m.name for m in pkgutil.walk_packages(modelcmp.__path__, "modelcmp."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples():
    assert sum(doctest.testmod(importlib.import_module(n)).attempted for n in MODULES) > 40
