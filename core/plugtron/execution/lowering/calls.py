"""What a decoder computes, call by call: the native step's operations before they have weights and buffers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from torch import fx, nn

__all__ = [
    "AttentionCall", "Call", "CombineCall", "ExpertsCall", "LinearCall", "ModuleAt", "ParameterAt", "RouteCall",
    "RowCall", "RowCode", "Rows", "SourceCall", "TorchCall", "Value",
]  # fmt: skip


class Rows(IntEnum):
    """What the rows of a value are: tokens, those of them that want logits, or tokens with one of their experts."""

    TOKENS = 0
    SELECTED = 1
    PAIRS = 2


@dataclass(eq=False, kw_only=True)
class Value:
    """Rows of `width` floats; of width 0: something that only torch knows.

    `base`: it is columns `offset` and on of that; `gathered`: those of its rows that a value of `rows` has.
    """

    width: int
    rows: Rows = Rows.TOKENS
    base: Value | None = None
    offset: int = 0
    gathered: bool = False


@dataclass(frozen=True, kw_only=True)
class ModuleAt:
    """A module by the part of the decoder that it is in and its name there, and how it looks (its weights unread)."""

    part: int
    path: str
    module: nn.Module


@dataclass(frozen=True, kw_only=True)
class ParameterAt:
    """A parameter of one dimension, likewise."""

    part: int
    path: str
    width: int


class RowCode(IntEnum):
    """What a row step does, numbered as in kernels/native/row_steps.h."""

    LOAD = 0
    PARAMETER = 1
    STORE = 2
    PUT = 3
    NORMALIZE = 4
    ADD = 5
    SUBTRACT = 6
    MULTIPLY = 7
    ADD_NUMBER = 8
    MULTIPLY_NUMBER = 9
    DIVIDE_NUMBER = 10
    CLAMP = 11
    WEIGH = 12
    SILU = 13
    GELU = 14
    GELU_TANH = 15
    GELU_QUICK = 16
    RELU = 17
    RELU_SQUARED = 18
    TANH = 19
    SIGMOID = 20
    SQUARE = 21
    EXPONENTIAL = 22


Operand: TypeAlias = "Value | ParameterAt"


@dataclass(eq=False, kw_only=True)
class RowCall:
    """Something that looks at one row at a time. `numbers`: what the code wants beside operands."""

    code: RowCode
    operands: tuple[Operand, ...]
    output: Value
    numbers: tuple[float, ...] = ()
    norm: ModuleAt | None = None

    @property
    def inputs(self) -> list[Value]:
        """The values among the operands."""
        return [operand for operand in self.operands if isinstance(operand, Value)]


@dataclass(eq=False, kw_only=True)
class LinearCall:
    """A product with a weight. `residual`: what it is added to, in place.

    `exact`: its weight stays in float32. `reduced`: ranks have parts of it, which are summed up.
    """

    linear: ModuleAt
    source: Value
    output: Value
    exact: bool = False
    reduced: bool = False
    residual: Value | None = None

    @property
    def inputs(self) -> list[Value]:
        """What it reads."""
        return [self.source, *([] if self.residual is None else [self.residual])]


@dataclass(eq=False, kw_only=True)
class AttentionCall:
    """Attention between its projections; queries and keys are rotated in place."""

    core: ModuleAt
    inputs: list[Value]
    output: Value


@dataclass(eq=False, kw_only=True)
class RouteCall:
    """The choice of experts, from their scores."""

    router: ModuleAt
    inputs: list[Value]
    output: Value


@dataclass(eq=False, kw_only=True)
class ExpertsCall:
    """A product of each row with its own expert's weight, `parameter` of the module [experts, outputs, inputs]."""

    experts: ModuleAt
    parameter: str
    source: Value
    output: Value
    reduced: bool = False

    @property
    def inputs(self) -> list[Value]:
        """What it reads."""
        return [self.source]


@dataclass(eq=False, kw_only=True)
class CombineCall:
    """The sum of what a token's experts have made of it, weighed unless it is `even`.

    `residual`: what it is added to, in place.
    """

    router: ModuleAt
    source: Value
    output: Value
    even: bool = False
    reduced: bool = True
    residual: Value | None = None

    @property
    def inputs(self) -> list[Value]:
        """What it reads."""
        return [self.source, *([] if self.residual is None else [self.residual])]


@dataclass(eq=False, kw_only=True)
class SourceCall:
    """An operation from outside that comes with a C++ source."""

    operation: ModuleAt
    inputs: list[Value]
    output: Value


@dataclass(eq=False, kw_only=True)
class TorchCall:
    """What runs through torch: nodes of a part's graph. `inputs` and `outputs` are by node; see `TorchStep`."""

    part: int
    root: nn.Module
    nodes: list[fx.Node]
    reads: dict[fx.Node, Value] = field(default_factory=dict)
    writes: dict[fx.Node, Value] = field(default_factory=dict)

    @property
    def inputs(self) -> list[Value]:
        """What it reads."""
        return list(self.reads.values())


Call: TypeAlias = RowCall | LinearCall | AttentionCall | RouteCall | ExpertsCall | CombineCall | SourceCall | TorchCall
