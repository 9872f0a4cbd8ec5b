"""Reads the plain data in a pickle without running anything from it.

A pickle is a program for a small stack machine, and two of its instructions can call any function there is. This
machine knows the others, and in place of functions it has a fixed list of names (:mod:`.pickled_names`), each of which
stands for a value that is built here: a dict, a number, the description of a tensor. A name that is not on the list is
refused and reported; nothing is ever imported or called by name. ``torch.load(weights_only=True)`` follows the same
idea, but builds tensors, takes four times as long, and has had holes (CVE-2025-32434, CVE-2026-24747).

The instructions: https://docs.python.org/3/library/pickletools.html (protocols 2 to 5, as ``torch.save`` writes them).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from .pickled_names import Unread, call, entries, look_up, plain, storage

Step = Callable[["Machine"], None]
_STEPS: dict[int, Step] = {}
_STOP = ord(".")
_COUNT = struct.Struct("<I").unpack_from


class Machine:
    """The stack machine: ``run`` gives the value that the pickle in ``data`` describes.

    Values are None, bool, int, float, str, bytes, list, tuple, dict, set and the descriptions of
    :mod:`.pickled_names`. Raises ForbiddenName at a name that is not on the list, and IndexError, KeyError, TypeError,
    ValueError or struct.error where the pickle is broken (IndexError and struct.error where it ends early).
    """

    __slots__ = ("at", "data", "marks", "memo", "stack")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value; afterwards ``at`` is the first byte behind the pickle."""
        data, steps = self.data, _STEPS
        while True:
            code = data[self.at]
            self.at += 1
            if code == _STOP:
                return self.stack.pop()
            step = steps.get(code)
            if step is None:
                raise ValueError(f"instruction {chr(code)!r} in its pickle")
            step(self)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start, self.at = self.at, self.at + count
        if self.at > len(self.data):
            raise IndexError("its pickle ends early")
        return self.data[start : self.at]

    def line(self) -> str:
        """The text up to the next line end."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise IndexError("its pickle ends early")
        text = self.data[self.at : end].decode("utf-8")
        self.at = end + 1
        return text

    def since_mark(self) -> list[Any]:
        """The values above the last mark, taken off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _step(code: str) -> Callable[[Step], Step]:
    """Register what an instruction does; it is named by its byte."""

    def register(step: Step) -> Step:
        _STEPS[ord(code)] = step
        return step

    return register


def _constant(code: str, make: Callable[[], Any]) -> None:
    _STEPS[ord(code)] = lambda m: m.stack.append(make())


def _number(code: str, form: str) -> None:
    size, unpack = struct.calcsize(form), struct.Struct(form).unpack_from

    def step(m: Machine) -> None:
        m.stack.append(unpack(m.data, m.at)[0])
        m.at += size

    _STEPS[ord(code)] = step


def _sized(code: str, form: str, make: Callable[[bytes], Any]) -> None:
    """A value that follows its length."""
    size, unpack = struct.calcsize(form), struct.Struct(form).unpack_from

    def step(m: Machine) -> None:
        length = unpack(m.data, m.at)[0]
        m.at += size
        m.stack.append(make(m.take(length)))

    _STEPS[ord(code)] = step


def _text(data: bytes) -> str:
    return str(data, "utf-8", "surrogatepass")


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _whole(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


_constant("N", lambda: None)
_constant("\x88", lambda: True)
_constant("\x89", lambda: False)
_constant("}", dict)
_constant("]", list)
_constant(")", tuple)
_constant("\x8f", set)
for _code, _form in {"K": "<B", "M": "<H", "J": "<i", "G": ">d"}.items():
    _number(_code, _form)
for _code, _form in {"X": "<I", "\x8c": "<B", "\x8d": "<Q"}.items():
    _sized(_code, _form, _text)
for _code, _form in {"B": "<I", "C": "<B", "\x8e": "<Q", "\x96": "<Q"}.items():
    _sized(_code, _form, bytes)
for _code, _form in {"T": "<I", "U": "<B"}.items():
    _sized(_code, _form, _latin)
for _code, _form in {"\x8a": "<B", "\x8b": "<I"}.items():
    _sized(_code, _form, _whole)


@_step("\x80")
def _protocol(m: Machine) -> None:
    if not 2 <= m.take(1)[0] <= 5:
        raise ValueError("an unknown pickle protocol")


@_step("\x95")
def _frame(m: Machine) -> None:
    m.take(8)


@_step("(")
def _mark(m: Machine) -> None:
    m.marks.append(len(m.stack))


@_step("0")
def _pop(m: Machine) -> None:
    m.stack.pop()


@_step("1")
def _pop_mark(m: Machine) -> None:
    m.since_mark()


@_step("2")
def _again(m: Machine) -> None:
    m.stack.append(m.stack[-1])


@_step("q")
def _put(m: Machine) -> None:
    m.memo[m.data[m.at]] = m.stack[-1]
    m.at += 1


@_step("r")
def _put_long(m: Machine) -> None:
    m.memo[_COUNT(m.data, m.at)[0]] = m.stack[-1]
    m.at += 4


@_step("\x94")
def _memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


@_step("h")
def _get(m: Machine) -> None:
    m.stack.append(m.memo[m.data[m.at]])
    m.at += 1


@_step("j")
def _get_long(m: Machine) -> None:
    m.stack.append(m.memo[_COUNT(m.data, m.at)[0]])
    m.at += 4


@_step("t")
def _tuple(m: Machine) -> None:
    m.stack.append(tuple(m.since_mark()))


@_step("\x85")
def _tuple_1(m: Machine) -> None:
    m.stack[-1:] = [(m.stack[-1],)]


@_step("\x86")
def _tuple_2(m: Machine) -> None:
    m.stack[-2:] = [(m.stack[-2], m.stack[-1])]


@_step("\x87")
def _tuple_3(m: Machine) -> None:
    m.stack[-3:] = [(m.stack[-3], m.stack[-2], m.stack[-1])]


@_step("l")
def _list(m: Machine) -> None:
    m.stack.append(m.since_mark())


@_step("d")
def _dict(m: Machine) -> None:
    items = m.since_mark()
    m.stack.append(entries(items[::2], items[1::2]))


@_step("\x91")
def _frozenset(m: Machine) -> None:
    m.stack.append(frozenset(plain(m.since_mark())))


@_step("a")
def _append(m: Machine) -> None:
    item = m.stack.pop()
    _top(m, list).append(item)


@_step("e")
def _extend(m: Machine) -> None:
    items = m.since_mark()
    _top(m, list).extend(items)


@_step("s")
def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    _top(m, dict).update(entries([key], [value]))


@_step("u")
def _set_items(m: Machine) -> None:
    items = m.since_mark()
    _top(m, dict).update(entries(items[::2], items[1::2]))


@_step("\x90")
def _add_items(m: Machine) -> None:
    items = m.since_mark()
    _top(m, set).update(plain(items))


def _top(m: Machine, kind: type) -> Any:
    """The container to fill; what is filled into something left unread is left too."""
    top = m.stack[-1]
    if isinstance(top, Unread):
        return kind()
    if type(top) is not kind:
        raise TypeError(f"a {type(top).__name__} in place of a {kind.__name__} in its pickle")
    return top


@_step("c")
def _global(m: Machine) -> None:
    module, name = m.line(), m.line()
    m.stack.append(look_up(module, name))


@_step("\x93")
def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.stack.append(look_up(module, name))


@_step("i")
def _instance(m: Machine) -> None:
    function = look_up(m.line(), m.line())
    m.stack.append(call(function, tuple(m.since_mark())))


@_step("o")
def _object(m: Machine) -> None:
    function, *arguments = m.since_mark()
    m.stack.append(call(function, tuple(arguments)))


@_step("R")
def _reduce(m: Machine) -> None:
    arguments = m.stack.pop()
    m.stack[-1] = call(m.stack[-1], arguments)


_STEPS[0x81] = _reduce  # NEWOBJ: class and arguments, as a call


@_step("\x92")
def _new_object(m: Machine) -> None:
    m.stack.pop()  # keyword arguments: no name on the list takes any
    _reduce(m)


@_step("b")
def _build(m: Machine) -> None:
    state = m.stack.pop()
    rebuild = getattr(type(m.stack[-1]), "with_state", None)
    if rebuild is not None:
        rebuild(m.stack[-1], state)


@_step("Q")
def _persistent(m: Machine) -> None:
    m.stack[-1] = storage(m.stack[-1])
