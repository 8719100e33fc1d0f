"""Which functions of torch are row steps."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from plugtron.execution.lowering.calls import RowCode

__all__ = ["BINARY", "UNARY", "function_name", "unary_code"]

#: Of two values, a value and a parameter, or a value and a number.
BINARY: Mapping[str, RowCode] = {
    "add": RowCode.ADD,
    "sub": RowCode.SUBTRACT,
    "mul": RowCode.MULTIPLY,
    "truediv": RowCode.DIVIDE_NUMBER,
}
UNARY: Mapping[str, RowCode] = {
    "silu": RowCode.SILU,
    "relu": RowCode.RELU,
    "tanh": RowCode.TANH,
    "sigmoid": RowCode.SIGMOID,
    "square": RowCode.SQUARE,
    "exp": RowCode.EXPONENTIAL,
}
_NAMES: Mapping[Callable[..., Any], str] = {
    operator.add: "add", operator.iadd: "add", torch.add: "add",
    operator.sub: "sub", operator.isub: "sub", torch.sub: "sub",
    operator.mul: "mul", operator.imul: "mul", torch.mul: "mul",
    operator.truediv: "truediv", operator.itruediv: "truediv", torch.div: "truediv",
    operator.pow: "pow", torch.pow: "pow", operator.neg: "neg", torch.neg: "neg",
    F.silu: "silu", F.relu: "relu", torch.relu: "relu", torch.tanh: "tanh", torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid", F.tanh: "tanh", torch.square: "square", torch.exp: "exp", F.gelu: "gelu",
    torch.clamp: "clamp", torch.split: "split", torch.chunk: "chunk", operator.getitem: "getitem",
}  # fmt: skip
_METHODS = {
    "add", "sub", "mul", "pow", "neg", "relu", "tanh", "sigmoid", "square", "exp", "clamp", "split", "chunk",
}  # fmt: skip
_METHOD_NAMES = {"div": "truediv", "add_": "add", "mul_": "mul", "sub_": "sub"}


def function_name(node: fx.Node) -> str:
    """Our name of a function or method; "" when it is none of those that are known."""
    if node.op == "call_method":
        name = str(node.target)
        return name if name in _METHODS else _METHOD_NAMES.get(name, "")
    return _NAMES.get(node.target, "") if callable(node.target) else ""


def unary_code(name: str, node: fx.Node) -> tuple[RowCode, tuple[float, ...]] | None:
    """The step that a function of one value is, and its numbers; None: it is none."""
    others, kwargs = node.args[1:], dict(node.kwargs)
    if kwargs.pop("inplace", False):
        return None
    if name == "gelu":
        form = kwargs.pop("approximate", others[0] if others else "none")
        return None if kwargs else ({"none": RowCode.GELU, "tanh": RowCode.GELU_TANH}[str(form)], ())
    if name == "clamp":
        low, high = kwargs.pop("min", None), kwargs.pop("max", None)
        low, high = (others[0] if others else low), (others[1] if len(others) > 1 else high)
        bounds = (-math.inf if low is None else low), (math.inf if high is None else high)
        known = all(isinstance(bound, int | float) for bound in bounds)
        return (RowCode.CLAMP, tuple(float(str(bound)) for bound in bounds)) if known and not kwargs else None
    if name == "neg":
        return RowCode.MULTIPLY_NUMBER, (-1.0,)
    if name == "pow":
        return (RowCode.SQUARE, ()) if others == (2,) and not kwargs else None
    return (UNARY[name], ()) if name in UNARY and not others and not kwargs else None
