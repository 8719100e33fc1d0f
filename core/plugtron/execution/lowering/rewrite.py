"""Improving the order of calls: norms early, and sums in place."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.execution.lowering.calls import (
    AttentionCall,
    Call,
    CombineCall,
    LinearCall,
    RowCall,
    RowCode,
    TorchCall,
    Value,
)

__all__ = ["Residuals", "hoist_norms", "keep_from_rotation", "merge_residuals", "outputs_of", "root_of"]


def outputs_of(call: Call) -> list[Value]:
    """What a call makes."""
    return list(call.writes.values()) if isinstance(call, TorchCall) else [call.output]


def root_of(value: Value) -> Value:
    """What a view is of."""
    while value.base is not None:
        value = value.base
    return value


def hoist_norms(calls: Sequence[Call]) -> list[Call]:
    """Move each norm to where its input is made.

    Several norms of one hidden state (parallel residuals) then are done together, and a sum may take its place.
    """
    ordered: list[Call] = []
    for call in calls:
        if not isinstance(call, RowCall) or call.code != RowCode.NORMALIZE:
            ordered.append(call)
            continue
        needed = {root_of(value) for value in call.inputs}
        makers = [at for at, other in enumerate(ordered) if needed & {root_of(made) for made in outputs_of(other)}]
        at = makers[-1] + 1 if makers else 0
        while at < len(ordered) and _is_norm_of(ordered[at], needed):
            at += 1
        ordered.insert(at, call)
    return ordered


def _is_norm_of(call: Call, values: set[Value]) -> bool:
    is_norm = isinstance(call, RowCall) and call.code == RowCode.NORMALIZE
    return is_norm and {root_of(value) for value in call.inputs} <= values


def keep_from_rotation(calls: Sequence[Call]) -> list[Call]:
    """Copy queries and keys that others read, too: attention rotates them in place."""
    kept: list[Call] = []
    for call in calls:
        if isinstance(call, AttentionCall):
            for number, value in enumerate(call.inputs[:2]):
                if any(_overlap(value, read) for other in calls if other is not call for read in other.inputs):
                    copy = Value(width=value.width, rows=value.rows)
                    kept.append(RowCall(code=RowCode.MULTIPLY_NUMBER, operands=(value,), output=copy, numbers=(1.0,)))
                    call.inputs[number] = copy
        kept.append(call)
    return kept


def _overlap(one: Value, other: Value) -> bool:
    """Whether two values have columns in common."""
    if root_of(one) is not root_of(other):
        return False
    first, second = _columns(one), _columns(other)
    return first.start < second.stop and second.start < first.stop


def _columns(value: Value) -> range:
    """The columns that a value is of what it is a view of."""
    offset, own = 0, value
    while own.base is not None:
        offset, own = offset + own.offset, own.base
    return range(offset, offset + value.width)


class Residuals:
    """Which values take the place of others: `of` maps them to those whose memory they have."""

    def __init__(self) -> None:
        self.of: dict[Value, Value] = {}

    def storage(self, value: Value) -> Value:
        """The value whose memory another one has, views included."""
        value = root_of(value)
        while value in self.of:
            value = self.of[value]
        return value


def merge_residuals(calls: Sequence[Call], result: Value) -> tuple[list[Call], Residuals]:
    """Have a product add itself to a residual, where nobody reads that any more.

    Args:
        result: what has to be there in the end.
    """
    residuals = Residuals()
    kept = list(calls)
    for call in calls:
        if not isinstance(call, RowCall) or call.code != RowCode.ADD or len(call.inputs) != 2:
            continue
        for residual, product in (call.inputs, reversed(call.inputs)):
            maker = _maker(kept, product)
            if maker is not None and _may_add(kept, call, maker, residual, product, result):
                maker.residual, maker.output = residual, call.output
                residuals.of[call.output] = root_of(residual)
                kept.remove(call)
                break
    return kept, residuals


def _maker(calls: Sequence[Call], product: Value) -> LinearCall | CombineCall | None:
    for call in calls:
        if isinstance(call, LinearCall | CombineCall) and call.output is product and call.residual is None:
            return call
    return None


def _may_add(calls: list[Call], total: RowCall, maker: Call, residual: Value, product: Value, result: Value) -> bool:
    """Whether a product may be added to the residual in place: it is all there, and the sum is its last use."""
    if residual.base is not None or residual.width != product.width or residual.rows != product.rows:
        return False
    if root_of(result) in (residual, product):
        return False
    at = calls.index(maker)
    made = [number for number, call in enumerate(calls) if residual in outputs_of(call)]
    if made and made[0] > at:
        return False
    for number, call in enumerate(calls):
        if call is total:
            continue
        read = {root_of(value) for value in call.inputs}
        if product in read or (residual in read and number >= at):
            return False
    return True
