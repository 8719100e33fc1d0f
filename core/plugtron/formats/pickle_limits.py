"""A look at a pickle before it is read: that nothing in it takes far more memory, stack or time than it is long.

The unpickler of the standard library trusts what it reads: nine bytes make it reserve gigabytes for its memo, a
megabyte of nested tuples overflows the stack when they are hashed, and tuples that hold one another twice, thirty
levels deep, are hashed for hours. Here the pickle's operations are gone through without building anything; the stack
has only how deep each value is and how large.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["check_pickle"]

#: How deep values that can be hashed may be nested, and how many values they may unfold to.
_DEEPEST, _LARGEST = 100, 1_000_000
#: Numbers that the memo's entries may have although there are not as many entries before them.
_SPARE = 1 << 16
_MARK = None


class _Value(NamedTuple):
    """How deep something is nested, and how many values it unfolds to. What cannot be hashed counts as one."""

    depth: int = 0
    size: int = 1


_ONE = _Value()
_TO_MARK = frozenset(
    {"APPENDS", "SETITEMS", "ADDITEMS", "LIST", "DICT", "TUPLE", "FROZENSET", "INST", "OBJ", "POP_MARK"}
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "REDUCE": 2, "NEWOBJ": 2, "NEWOBJ_EX": 3}


def check_pickle(data: bytes) -> None:
    """Go through a pickle's operations.

    Raises:
        ValueError: it is no pickle, or asks for more than a checkpoint needs.
    """
    machine = _Machine()
    try:
        for operation, argument, _ in pickletools.genops(data):
            machine.step(operation, argument)
    except (IndexError, KeyError) as error:
        raise ValueError(f"its operations do not go together ({error!r})") from None


class _Machine:
    def __init__(self) -> None:
        self._stack: list[_Value | None] = []
        self._memo: dict[int, _Value] = {}

    def step(self, operation: pickletools.OpcodeInfo, argument: object) -> None:
        name = operation.name
        if name == "MARK":
            self._stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._remember(len(self._memo) if name == "MEMOIZE" else int(str(argument)))
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[int(str(argument))])
        elif name in _TO_MARK:
            self._take_to_mark(name)
        elif name in _TUPLES:
            self._stack.append(_unfolded(self._pop(_TUPLES[name])))
        elif name == "SETITEM":
            key, _ = self._pop(2)
            _unfolded([key])
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name == "POP":
            self._stack.pop()
        else:
            self._pop(len(operation.stack_before) - (1 if name in ("APPEND", "BUILD") else 0))
            if name not in ("APPEND", "BUILD"):
                self._stack.extend([_ONE] * len(operation.stack_after))

    def _remember(self, number: int) -> None:
        if not 0 <= number <= len(self._memo) + _SPARE:
            raise ValueError(f"entry {number} of a memo that has {len(self._memo)}")
        top = self._stack[-1]
        self._memo[number] = _ONE if top is None else top

    def _pop(self, count: int) -> list[_Value]:
        if count <= 0:
            return []
        taken = self._stack[-count:]
        if len(taken) < count or any(value is _MARK for value in taken):
            raise ValueError("its stack runs out")
        del self._stack[-count:]
        return [value for value in taken if value is not None]

    def _take_to_mark(self, name: str) -> None:
        begin = len(self._stack) - 1
        while self._stack[begin] is not _MARK:
            begin -= 1
            if begin < 0:
                raise ValueError("a mark is missing")
        taken = [value for value in self._stack[begin + 1 :] if value is not None]
        del self._stack[begin:]
        if name in ("SETITEMS", "DICT"):
            _unfolded_each(taken[::2])
        elif name in ("ADDITEMS", "FROZENSET"):
            _unfolded_each(taken)
        if name in ("TUPLE", "FROZENSET", "INST", "OBJ"):
            self._stack.append(_unfolded(taken))
        elif name in ("LIST", "DICT"):
            self._stack.append(_ONE)


def _unfolded(parts: Iterable[_Value]) -> _Value:
    """What holds these values."""
    depth, size = 0, 1
    for part in parts:
        depth, size = max(depth, part.depth), size + part.size
    if depth >= _DEEPEST or size > _LARGEST:
        raise ValueError(f"values nested {depth} deep that unfold to {size}")
    return _Value(depth + 1, size)


def _unfolded_each(keys: Iterable[_Value]) -> None:
    for key in keys:
        _unfolded([key])
