"""Which models a user's file offers, read off its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def factories(path: Path) -> list[str] | None:
    """Public module classes and functions returning one, that need no arguments and that no other of them uses.

    A block that a network of the same file is made of is no model of its own, nor is a class that a
    function of the file builds. None where the file is no Python.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    modules = {name for name in classes if _is_module(name, classes, set())}
    functions = {n.name: n for n in tree.body if isinstance(n, _Function) and _returns_module(n, modules)}
    ours: dict[str, ast.stmt] = {name: classes[name] for name in modules} | dict(functions)
    used = {inner for name, node in ours.items() for inner in _called(node) if inner != name}
    offered = [n.name for n in tree.body if isinstance(n, ast.ClassDef | _Function) and n.name in ours]
    return [n for n in offered if not n.startswith("_") and n not in used and _is_free(ours[n], classes)]


def _is_module(name: str, classes: dict[str, ast.ClassDef], seen: set[str]) -> bool:
    """Whether a class derives from nn.Module, or from another of torch's or the user's modules."""
    if name in seen or name not in classes:
        return False
    bases = [_last_name(base) for base in classes[name].bases]
    return any(
        (base.endswith(("Module", "Sequential", "Net", "Model", "Transformer")) and base not in classes)
        or _is_module(base, classes, seen | {name})
        for base in bases
    )


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _returns_module(function: _Function, modules: set[str]) -> bool:
    """By its annotation, or by what it returns: a module class called, torch's containers or a factory's result."""
    if function.returns is not None and _last_name(function.returns) in {"Module", *modules}:
        return True
    known = {"Sequential", "create_model", "get_model", *modules}
    built = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _last_name(node.value.func) in known
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return any(_is_built(node.value, known, built) for node in ast.walk(function) if isinstance(node, ast.Return))


def _is_built(value: ast.expr | None, known: set[str], built: set[str]) -> bool:
    if isinstance(value, ast.Call):
        return _last_name(value.func) in known
    return isinstance(value, ast.Name) and value.id in built


def _called(node: ast.stmt) -> Iterator[str]:
    """Names that a definition calls or derives from."""
    if isinstance(node, ast.ClassDef):
        yield from (_last_name(base) for base in node.bases)
    yield from (_last_name(call.func) for call in ast.walk(node) if isinstance(call, ast.Call))


def _is_free(node: ast.stmt, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether it can be called without arguments."""
    if isinstance(node, _Function):
        return _required(node.args) == 0
    assert isinstance(node, ast.ClassDef)
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return _required(inner.args) == 1
    inherited = [classes[_last_name(base)] for base in node.bases if _last_name(base) in classes]
    return all(_is_free(base, classes) for base in inherited)


def _required(arguments: ast.arguments) -> int:
    """How many arguments have no default."""
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional + sum(default is None for default in arguments.kw_defaults)
