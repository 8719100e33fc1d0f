"""From calls to items, each an operation or a cut, and where their results live."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from plugtron.execution.lowering.calls import Call, ExpertsCall, LinearCall, RowCall, Rows, TorchCall, Value
from plugtron.execution.lowering.read import Calls
from plugtron.execution.lowering.rewrite import (
    Residuals,
    hoist_norms,
    keep_from_rotation,
    merge_residuals,
    outputs_of,
    root_of,
)
from plugtron.nn.norms import Norm

__all__ = ["Item", "Plan", "RowGroup", "Use", "make_plan"]

#: As row_steps.h and step.cpp have them; one register is left for what is only loaded.
_REGISTERS, _OPERANDS = 24, 8
#: Numbers that are quantized together.
_GROUP = 32


@dataclass(eq=False, kw_only=True)
class RowGroup:
    """Row calls that are one operation, over rows of one kind and width. `puts`: what is made ready for products."""

    rows: Rows
    width: int
    calls: list[RowCall] = field(default_factory=list)
    puts: list[Value] = field(default_factory=list)

    @property
    def made(self) -> list[Value]:
        """What it computes, in order."""
        return [call.output for call in self.calls]

    @property
    def read(self) -> list[Value]:
        """What it reads, besides what it computes itself."""
        made = set(self.made)
        values = [value for call in self.calls for value in call.inputs] + self.puts
        return list(dict.fromkeys(value for value in values if value not in made))

    @property
    def registers(self) -> int:
        """How many it needs."""
        parameters = sum(len(call.operands) - len(call.inputs) for call in self.calls)
        return len(self.made) + len(self.read) + parameters

    @property
    def unit(self) -> int:
        """How many columns have to stay together where threads share columns out; 0: all of them."""
        modules = [call.norm.module for call in self.calls if call.norm is not None]
        norms = {module.width for module in modules if isinstance(module, Norm)}
        if not norms:
            return _GROUP
        width = max(norms)
        aligned = not self.puts or width % _GROUP == 0
        return width if len(norms) == 1 and width < self.width and aligned else 0


Item: TypeAlias = "RowGroup | Call"


@dataclass(frozen=True, kw_only=True)
class Use:
    """A buffer: what its rows are, and how wide."""

    width: int
    rows: Rows


@dataclass(kw_only=True)
class Plan:
    """Items in order. `buffers` says where each value's memory is, `operands` where what products read is made ready.

    Buffer 0 is what the step begins with. `before_head` is what the last layer ends with, and stays to the step's end;
    `ends` is what each layer ends with, which is in its buffer at that moment.
    """

    items: list[Item]
    hidden: Value
    result: Value
    before_head: Value | None = None
    ends: list[Value] = field(default_factory=list)
    residuals: Residuals
    buffers: dict[Value, int] = field(default_factory=dict)
    uses: list[Use] = field(default_factory=list)
    operands: dict[Value, int] = field(default_factory=dict)

    def buffer(self, value: Value) -> int:
        """The number of the buffer that a value, or what it is a view of, lives in."""
        return self.buffers[self.residuals.storage(value)]

    @property
    def cuts(self) -> list[TorchCall]:
        """What runs through torch."""
        return [item for item in self.items if isinstance(item, TorchCall)]


def make_plan(calls: Calls) -> Plan:
    """Put neighboring calls together, and find a place for everything."""
    ordered, residuals = merge_residuals(keep_from_rotation(hoist_norms(calls.calls)), calls.result)
    plan = Plan(
        items=_items(ordered),
        hidden=calls.hidden,
        result=calls.result,
        before_head=calls.before_head,
        ends=calls.ends,
        residuals=residuals,
    )
    _place_operands(plan)
    _place_buffers(plan)
    return plan


def _items(calls: Iterable[Call]) -> list[Item]:
    items: list[Item] = []
    groups: dict[Value, RowGroup] = {}  # those that compute a value
    for call in calls:
        if isinstance(call, RowCall):
            group = _group_for(items, call.output.rows, call.output.width, call)
            group.calls.append(call)
            groups[call.output] = group
            continue
        if isinstance(call, LinearCall | ExpertsCall):
            source = call.source
            if source in groups:
                if source not in groups[source].puts:
                    groups[source].puts.append(source)
            else:
                group = _group_for(items, source.rows, source.width, None)
                group.puts.append(source)
                groups[source] = group
        items.append(call)
    return items


def _group_for(items: list[Item], rows: Rows, width: int, call: RowCall | None) -> RowGroup:
    """The group that a row call may join: the last item, if its rows are the same; or a new one."""
    last = items[-1] if items else None
    if isinstance(last, RowGroup) and last.rows == rows and last.width == width:
        operands = 1 if call is None else len(call.operands)
        if last.registers + operands < _REGISTERS - 1 and not _reads_part_of(last, call):
            return last
    group = RowGroup(rows=rows, width=width)
    items.append(group)
    return group


def _reads_part_of(group: RowGroup, call: RowCall | None) -> bool:
    """Whether a call reads some columns of what a group computes: it has to be in memory for that."""
    inputs = [] if call is None else call.inputs
    return any(value.base is not None and root_of(value) in group.made for value in inputs)


def _span(plan: Plan) -> dict[Value, tuple[int, int]]:
    """The live range of each value that needs a buffer: first and last item, for values read outside their own item."""
    spans: dict[Value, tuple[int, int]] = {}

    def touch(value: Value, at: int) -> None:
        storage = plan.residuals.storage(value)
        first, last = spans.get(storage, (at, at))
        spans[storage] = min(first, at), max(last, at)

    made: dict[Value, int] = {}
    for at, item in enumerate(plan.items):
        if isinstance(item, RowGroup):
            made.update(dict.fromkeys(item.made, at))
            read = item.read
        else:
            read = [] if isinstance(item, LinearCall | ExpertsCall) else item.inputs
            residual = getattr(item, "residual", None)
            read = [*read, *([residual] if residual is not None else [])]
            for value in outputs_of(item):
                if value.width:
                    touch(value, at)
        for value in read:
            if not value.width:
                continue
            if root_of(value) in made:
                touch(value, made[root_of(value)])
            touch(value, at)
    for value in plan.ends:
        if root_of(value) in made:
            touch(value, made[root_of(value)])
    for value in (plan.result, plan.before_head):
        if value is None:
            continue
        if root_of(value) in made:
            touch(value, made[root_of(value)])
        touch(value, len(plan.items))
    return spans


def _place_buffers(plan: Plan) -> None:
    """Share memory out: what is no longer read makes room for what is made later."""
    spans = _span(plan)
    hidden, result = plan.residuals.storage(plan.hidden), plan.residuals.storage(plan.result)
    plan.buffers[hidden] = 0
    plan.uses.append(Use(width=hidden.width, rows=hidden.rows))
    if result is not hidden:
        plan.buffers[result] = 1
        plan.uses.append(Use(width=result.width, rows=result.rows))
    free_from: dict[int, int] = {}  # of each buffer that may be used again
    for value, (first, last) in sorted(spans.items(), key=lambda entry: entry[1]):
        if value in plan.buffers:
            continue
        fitting = [
            number for number, free in free_from.items() if free < first and plan.uses[number].rows == value.rows
        ]
        number = min(fitting, key=lambda at: abs(plan.uses[at].width - value.width), default=len(plan.uses))
        if number == len(plan.uses):
            plan.uses.append(Use(width=value.width, rows=value.rows))
        else:
            plan.uses[number] = Use(width=max(plan.uses[number].width, value.width), rows=value.rows)
        plan.buffers[value], free_from[number] = number, last


def _place_operands(plan: Plan) -> None:
    """The same for what products read."""
    last_use = {item.source: at for at, item in enumerate(plan.items) if isinstance(item, LinearCall | ExpertsCall)}
    busy_until = [-1] * _OPERANDS
    for at, item in enumerate(plan.items):
        for value in item.puts if isinstance(item, RowGroup) else ():
            # Operands of pairs are larger: they have the last place, and no other.
            places: Sequence[int] = [_OPERANDS - 1] if value.rows == Rows.PAIRS else range(_OPERANDS - 1)
            number = next(place for place in places if value.rows == Rows.PAIRS or busy_until[place] < at)
            plan.operands[value], busy_until[number] = number, last_use[value]
