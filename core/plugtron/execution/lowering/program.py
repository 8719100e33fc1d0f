"""The program of a native step, as it is kept between starts: operations, row steps, buffers, and where it is cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import IntEnum, IntFlag
from typing import Any, Self

from plugtron.execution.lowering.calls import RowCode
from plugtron.kernels.native.packing import WeightFormat

__all__ = ["Break", "Buffer", "Flag", "Kind", "NativeProgram", "Record", "RowFlag", "operation_name"]


class Kind(IntEnum):
    """What an operation does, numbered as in kernels/native/operation.h."""

    ROWS = 0
    LINEAR = 1
    ROTATE = 2
    ATTEND = 3
    ROUTE = 4
    EXPERTS = 5
    COMBINE = 6
    CALL = 7


class Flag(IntFlag):
    """Of operations, likewise."""

    NONE = 0
    ADD_TO = 1
    SELECTED = 2
    SHARED = 4
    INTERLEAVED = 8
    BY_COLUMNS = 16
    PAIRS = 32
    EVEN = 64
    GROWS = 128


class RowFlag(IntFlag):
    """Of row steps, numbered as in kernels/native/row_steps.h."""

    NONE = 0
    SCALAR = 1
    GATHER = 2
    CENTERED = 4
    WHOLE = 8
    PUT_GROUPED = 16
    PUT_DENSE = 32


@dataclass(frozen=True, kw_only=True)
class Record:
    """An operation or a row step: `fields` are numbers, `tensors` the numbers of tensors in their store."""

    fields: dict[str, float]
    tensors: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Memory for rows of `width` floats; `rows`: what they are (see calls.Rows)."""

    width: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Break:
    """What happens between operations, before the one with the number `before`.

    `cut`: that piece of the decoder runs through torch; `layers`: the buffer has the hidden states after so many
    layers, for who wants them; else the rows of a buffer are summed up over the ranks.
    """

    before: int
    buffer: int = 0
    width: int = 0
    cut: int | None = None
    layers: int | None = None

    @property
    def is_sum(self) -> bool:
        """Whether ranks sum something up."""
        return self.cut is None and self.layers is None


@dataclass(frozen=True, kw_only=True)
class NativeProgram:
    """All of it. The result is in buffer `result`, `result_width` wide; the hidden states come in buffer 0.

    Where there is a head, buffer `before_head` has in the end what the last layer has left.
    `sources` names operations from outside: the number of an operation, and the C++ file that its function is in.
    """

    operations: list[Record]
    row_steps: list[Record]
    buffers: list[Buffer]
    breaks: list[Break]
    result: int
    result_width: int
    result_selected: bool
    before_head: int | None
    pairs_per_token: int
    experts: int
    sources: dict[str, str]

    @property
    def cuts(self) -> int:
        """How many pieces run through torch."""
        return sum(each.cut is not None for each in self.breaks)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            KeyError, TypeError, AttributeError: it is something else.
        """
        lists = {
            "operations": [Record(**each) for each in stored["operations"]],
            "row_steps": [Record(**each) for each in stored["row_steps"]],
            "buffers": [Buffer(**each) for each in stored["buffers"]],
            "breaks": [Break(**each) for each in stored["breaks"]],
        }
        return cls(**{**stored, **lists})


#: Row steps that compute nothing.
_MOVES = (RowCode.LOAD, RowCode.PARAMETER, RowCode.STORE, RowCode.PUT)


def operation_name(program: NativeProgram, number: int) -> str:
    """What an operation does, for reading."""
    fields = program.operations[number].fields
    kind = Kind(int(fields["kind"]))
    if kind is Kind.ROWS:
        first = int(fields["first"])
        steps = program.row_steps[first : first + int(fields["count"])]
        codes = [RowCode(int(step.fields["code"])) for step in steps]
        return ", ".join(code.name.lower() for code in codes if code not in _MOVES) or "prepare"
    if kind not in (Kind.LINEAR, Kind.EXPERTS):
        return kind.name.lower()
    form = WeightFormat(int(fields["format"])).name.lower()
    return f"{kind.name.lower()} {fields['inputs']} x {fields['outputs']}, {form}"
