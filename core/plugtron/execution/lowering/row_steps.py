"""The row steps of a group of row calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from plugtron.execution.lowering.calls import ParameterAt, RowCall, RowCode, Value
from plugtron.execution.lowering.plan import Plan, RowGroup
from plugtron.execution.lowering.program import Record, RowFlag
from plugtron.nn.norms import LayerNorm, Norm

__all__ = ["row_steps"]


def row_steps(
    group: RowGroup,
    plan: Plan,
    place: Callable[[str, Value], dict[str, int]],
    vectors: Mapping[tuple[object, str], int],
    flags: Mapping[Value, RowFlag],
) -> list[Record]:
    """Load what a group reads, do what it does, and store what others read.

    Args:
        place: says where a value is.
        vectors: the numbers of vectors in the store, by what they are of.
        flags: in which forms products want what they read.
    """
    steps: list[Record] = []
    registers: dict[Value | ParameterAt, int] = {}

    def append(code: RowCode, tensors: dict[str, int] | None = None, **fields: int) -> None:
        plain = {name: int(value) for name, value in fields.items()}
        steps.append(Record(fields={"code": int(code), **plain}, tensors=tensors or {}))

    def scalar(value: Value | ParameterAt) -> RowFlag:
        return RowFlag.SCALAR if value.width == 1 and group.width > 1 else RowFlag.NONE

    def fresh(value: Value | ParameterAt) -> int:
        return registers.setdefault(value, len(registers))

    for value in group.read:
        own = place("at", value)
        gather = RowFlag.GATHER if _is_gathered(value) else RowFlag.NONE
        append(
            RowCode.LOAD, first=own["at_buffer"], offset=own["at_offset"], stride=own["at_stride"],
            target=fresh(value), flags=scalar(value) | gather,
        )  # fmt: skip
    for call in group.calls:
        for operand in call.operands:
            if isinstance(operand, ParameterAt) and operand not in registers:
                tensors = {"weight": vectors[operand, "weight"]}
                append(RowCode.PARAMETER, tensors, target=fresh(operand), flags=scalar(operand))
        first, second = (*(registers[operand] for operand in call.operands), 0)[:2]
        number, other = (*call.numbers, 0.0, 0.0)[:2]
        fields: dict[str, float] = {"number": number, "other": other}
        if call.norm is not None:
            fields |= _norm_fields(call)
        elif len(call.operands) == 2:
            fields["flags"] = int(scalar(call.operands[1]))
        fields |= {"first": first, "second": second, "target": fresh(call.output)}
        steps.append(Record(fields={"code": int(call.code), **fields}, tensors=_norm_tensors(call, vectors)))
    for value in group.puts:
        append(RowCode.PUT, first=registers[value], target=plan.operands[value], width=group.width, flags=flags[value])
    # Last, so that nobody reads what has taken a value's place.
    for value in group.made:
        if plan.residuals.storage(value) in plan.buffers:
            own = place("at", value)
            append(
                RowCode.STORE, first=registers[value], target=own["at_buffer"], offset=own["at_offset"],
                stride=own["at_stride"],
            )  # fmt: skip
    return steps


def _is_gathered(value: Value) -> bool:
    return value.gathered or (value.base is not None and _is_gathered(value.base))


def _norm_fields(call: RowCall) -> dict[str, float]:
    assert call.norm is not None
    norm = call.norm.module
    assert isinstance(norm, Norm)
    flags = RowFlag.CENTERED if isinstance(norm, LayerNorm) else RowFlag.NONE
    if norm.weight is not None and len(norm.weight) > norm.width:
        flags |= RowFlag.WHOLE
    return {"width": norm.width, "number": norm.epsilon, "flags": int(flags)}


def _norm_tensors(call: RowCall, vectors: Mapping[tuple[object, str], int]) -> dict[str, int]:
    return {name: vectors[call, name] for name in ("weight", "bias") if (call, name) in vectors}
