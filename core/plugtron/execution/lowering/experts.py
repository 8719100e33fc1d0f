"""A mixture of experts, as calls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from plugtron.execution.lowering.calls import (
    Call,
    CombineCall,
    ExpertsCall,
    LinearCall,
    ModuleAt,
    RouteCall,
    RowCall,
    RowCode,
    Rows,
    Value,
)  # fmt: skip
from plugtron.nn.experts import Experts
from plugtron.nn.router import Router

__all__ = ["Routed", "read_experts", "read_router"]


@dataclass(frozen=True, kw_only=True)
class Routed:
    """What a router says: both, its choice (0), or how strongly each is chosen (1)."""

    router: ModuleAt
    entry: int | None = None


def read_router(calls: list[Call], at: ModuleAt, hidden: Value) -> Routed:
    """Score experts, and choose."""
    assert isinstance(at.module, Router)
    scores = Value(width=len(at.module.weight))
    calls.append(LinearCall(linear=at, source=hidden, output=scores, exact=True))
    # What it comes to is the step's own: no value that others read.
    calls.append(RouteCall(router=at, inputs=[scores], output=Value(width=0)))
    return Routed(router=at)


def read_experts(calls: list[Call], at: ModuleAt, hidden: Value, chosen: object, weights: object) -> Value | None:
    """Take rows to their experts and back; None where it is not the last router that chose."""
    experts = at.module
    assert isinstance(experts, Experts)
    last = next((call.router for call in reversed(calls) if isinstance(call, RouteCall)), None)
    if last is None or (chosen, weights) != (Routed(router=last, entry=0), Routed(router=last, entry=1)):
        return None
    own = Value(width=hidden.width, rows=Rows.PAIRS, base=hidden, gathered=True)
    even = experts.config.weighs_inputs
    if even:
        weighed = Value(width=hidden.width, rows=Rows.PAIRS)
        calls.append(RowCall(code=RowCode.WEIGH, operands=(own,), output=weighed))
        own = weighed
    into = Value(width=experts.into.shape[1], rows=Rows.PAIRS)
    calls.append(ExpertsCall(experts=at, parameter="into", source=own, output=into))
    inner = _activate(calls, experts, into)
    down = Value(width=hidden.width, rows=Rows.PAIRS)
    calls.append(ExpertsCall(experts=at, parameter="down", source=inner, output=down, reduced=True))
    output = Value(width=hidden.width)
    calls.append(CombineCall(router=last, source=down, output=output, even=even))
    return output


def _activate(calls: list[Call], experts: Experts, into: Value) -> Value:
    code = RowCode[experts.activation.name.upper()]
    width = into.width // 2 if experts.gated else into.width

    def row(kind: RowCode, *operands: Value, numbers: tuple[float, ...] = ()) -> Value:
        output = Value(width=width, rows=Rows.PAIRS)
        calls.append(RowCall(code=kind, operands=operands, output=output, numbers=numbers))
        return output

    if not experts.gated:
        return row(code, into)
    gate = Value(width=width, rows=Rows.PAIRS, base=into)
    up = Value(width=width, rows=Rows.PAIRS, base=into, offset=width)
    config = experts.config
    if (limit := config.limit) is not None:
        gate = row(RowCode.CLAMP, gate, numbers=(-math.inf, limit))
        up = row(RowCode.CLAMP, up, numbers=(-limit, limit))
    if config.up_offset:
        up = row(RowCode.ADD_NUMBER, up, numbers=(config.up_offset,))
    return row(RowCode.MULTIPLY, row(code, gate), up)
