"""``--where 'macs < 5e9 and params < 30e6'``: conditions over metrics, in the syntax of pandas' ``query``.

Only arithmetic, comparisons, ``and``/``or``/``not`` and the names of figures are understood. The text is
parsed and walked here, never executed, so that nothing else in it can run.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import BadInput

_LONGEST = 2000
_SHOWN = 60  # characters of a value that an error quotes
_SCALES = {"k": "e3", "K": "e3", "M": "e6", "G": "e9", "T": "e12", "P": "e15"}

#: Quoted text is left alone; pandas reads ``&`` and ``|`` as ``and`` and ``or``; ``5G`` is 5e9.
_TOKEN = re.compile(r"""(?P<text>'[^'\n]*'|"[^"\n]*")|(?P<sign>[&|])|(?P<class>\bclass\b)"""
                    r"""|(?<![\w.])(?P<figure>\d+(?:\.\d*)?|\.\d+)(?P<scale>[kKMGTP])(?!\w)""")  # fmt: skip

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip

#: Of models; a caller whose rows have other figures gives its own.
_EXAMPLE = "macs < 5e9 and params < 30e6"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was found to hold nothing but figures, comparisons and logic."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    def holds(self, row: Row) -> bool:
        """Whether a row of figures passes; a comparison with an unknown figure does not, save ``!=``.

        Raises BadInput where text and numbers are mixed.
        """
        try:
            return bool(_value(self.tree, row))
        except _Unfit as error:
            raise BadInput(f"--where {_short(self.text)} cannot be evaluated: {error}") from error
        except ArithmeticError as error:
            raise BadInput(f"--where {_short(self.text)} cannot be evaluated: a figure grows too large") from error
        except RecursionError as error:
            raise BadInput(f"--where {_short(self.text)} cannot be evaluated: it is nested too deep") from error


class _Unfit(Exception):
    """Values that cannot be compared or computed, and what to write instead."""


def parse(text: str, resolve: Callable[[str], str], example: str = _EXAMPLE) -> Condition:
    """Read a condition; ``resolve`` gives the key of a name or raises UnknownName.

    Errors show ``example`` as what a condition looks like.

    >>> condition = parse("macs < 5G & not params > 30e6", str)
    >>> condition.names, condition.holds({"macs": 1e9, "params": 5_000_000})
    (('macs', 'params'), True)
    >>> parse("__import__('os')", str)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    modelcmp.errors.BadInput: --where does not take a function call ...
    """
    if len(text) > _LONGEST:
        raise BadInput(f"--where is longer than {_LONGEST} characters")
    names: dict[str, None] = {}
    try:
        tree = ast.parse(_TOKEN.sub(_python, text.strip()), mode="eval").body
        checked = _checked(tree, text, resolve, names)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise BadInput(f"--where {_short(text)} is not a condition: write it like {_short(example)}") from error
    _logical(checked, text, example)
    return Condition(text, checked, tuple(names))


def _python(match: re.Match[str]) -> str:
    if match["figure"]:
        return match["figure"] + _SCALES[match["scale"]]
    if match["sign"]:
        return " and " if match["sign"] == "&" else " or "
    return "bound" if match["class"] else match[0]


def _checked(node: ast.expr, text: str, resolve: Callable[[str], str], names: dict[str, None]) -> ast.expr:
    """The same expression with the figures' keys for their names; raises BadInput at whatever is not allowed."""

    def check(inner: ast.expr) -> ast.expr:
        return _checked(inner, text, resolve, names)

    def figure(inner: ast.expr) -> ast.expr:
        found = check(inner)
        if isinstance(found, ast.BoolOp | ast.Compare) or (
            isinstance(found, ast.UnaryOp) and isinstance(found.op, ast.Not)
        ):
            raise BadInput(f"--where {_short(text)}: {ast.unparse(inner)!r} is true or false, a figure is wanted")
        return found

    match node:
        case ast.Name(id=name):
            key = resolve(name)
            names[key] = None
            return ast.Name(key, ast.Load())
        case ast.Constant(value=bool() | str()):
            return node
        case ast.Constant(value=int() | float() as number):
            return ast.Constant(float(number) if isinstance(number, float) or abs(number) > 2**53 else number)
        case ast.BoolOp(op=op, values=values):
            return ast.BoolOp(op, [check(v) for v in values])
        case ast.UnaryOp(op=op, operand=operand) if not isinstance(op, ast.UAdd | ast.Invert):
            return ast.UnaryOp(op, check(operand))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return ast.UnaryOp(ast.Not(), check(operand))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return ast.BinOp(figure(left), op, figure(right))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARISONS for op in ops):
            sides = [
                ast.List([figure(p) for p in o.elts], ast.Load())
                if isinstance(op, ast.In | ast.NotIn) and isinstance(o, ast.List | ast.Tuple)
                else figure(o)
                for op, o in zip(ops, others, strict=True)
            ]
            return ast.Compare(figure(left), ops, list[ast.expr](sides))
    raise BadInput(
        f"--where does not take {_in_words(node)} (in {_short(text)}): use figures, numbers, "
        "+ - * / % **, < <= > >= == !=, in, and, or, not"
    )


def _logical(node: ast.expr, text: str, example: str) -> None:
    """Refuse a figure where true or false is wanted."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _logical(value, text, example)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _logical(node.operand, text, example)
    elif not isinstance(node, ast.Compare):
        raise BadInput(
            f"--where {_short(text)} does not compare {ast.unparse(node)!r}: write it like {_short(example)}"
        )


def _short(text: str) -> str:
    """The condition as an error quotes it."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _in_words(node: ast.expr) -> str:
    listed = "a list outside of 'in [...]'"
    words: dict[type[ast.expr], str] = {ast.List: listed, ast.Tuple: listed}
    words |= {ast.Call: "a function call", ast.Attribute: "an attribute", ast.Subscript: "an index",
             ast.Lambda: "a lambda", ast.JoinedStr: "an f-string", ast.IfExp: "a conditional"}  # fmt: skip
    if isinstance(node, ast.Constant):
        return repr(node.value)
    return words.get(type(node), type(node).__name__)


def _value(node: ast.expr, row: Row) -> Any:
    """The value of a checked expression; None is unknown and makes unknown what is computed from it."""
    match node:
        case ast.Name(id=key):
            return row[key]
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_value(v, row) for v in values)
        case ast.BoolOp(values=values):
            return any(_value(v, row) for v in values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, row)
        case ast.UnaryOp(operand=operand):
            found = _value(operand, row)
            return None if found is None else -_number(operand, found)
        case ast.BinOp(left=left, op=op, right=right):
            return _computed(type(op), (left, _value(left, row)), (right, _value(right, row)))
        case ast.List(elts=parts):
            return [_value(p, row) for p in parts]
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [(side, _value(side, row)) for side in (left, *others)]
            return all(_compared(type(op), a, b) for op, a, b in zip(ops, sides, sides[1:], strict=False))
    raise AssertionError(node)


Side = tuple[ast.expr, Any]  # what was written, and its value in a row


def _computed(op: type[ast.operator], left: Side, right: Side) -> Any:
    if left[1] is None or right[1] is None:
        return None
    a, b = _number(*left), _number(*right)
    try:
        found = _ARITHMETIC[op](float(a), float(b)) if op is ast.Pow else _ARITHMETIC[op](a, b)
    except ZeroDivisionError:
        return None
    if isinstance(found, complex):
        raise _Unfit(f"{ast.unparse(left[0])} is below 0 and has no such power")
    return found


def _number(node: ast.expr, value: Any) -> Any:
    """The value, which arithmetic needs to be a number."""
    if not isinstance(value, int | float):
        raise _Unfit(f"{_described(node, value)}: nothing can be computed with it")
    return value


def _compared(op: type[ast.cmpop], left: Side, right: Side) -> bool:
    (node, a), (_, b) = left, right
    if a is None or b is None:
        return op in (ast.NotEq, ast.NotIn)
    if op in (ast.In, ast.NotIn) and not isinstance(b, list):
        name = ast.unparse(node)
        raise _Unfit(f"'in' wants a list: {name} in [{_quoted(a)}, {_quoted(b)}]")
    try:
        return _COMPARISONS[op](a, b)
    except TypeError as error:
        raise _Unfit(_mixed(left, right)) from error


def _mixed(left: Side, right: Side) -> str:
    """Why two values have no order, and how to compare the one that was recorded."""
    named = [side for side in (left, right) if isinstance(side[0], ast.Name)]
    node, value = next((side for side in named if isinstance(side[1], str)), (named or [left])[0])
    if len(named) == 2:
        return f"{_described(*left)} and {_described(*right)}: they have no order"
    if not named:
        return f"{_quoted(left[1])} and {_quoted(right[1])} have no order"
    return f"{_described(node, value)}: compare it like {ast.unparse(node)} == {_quoted(value)}"


def _described(node: ast.expr, value: Any) -> str:
    """``early_stopping is text here ("none")``."""
    kind = "text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a list"
    return f"{ast.unparse(node)} is {kind} here ({_quoted(value)})"


def _quoted(value: Any) -> str:
    """A value as a condition writes it, so that it fits between a shell's single quotes."""
    if not isinstance(value, str):
        return str(value)
    text = value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."
    return f'"{text}"'
