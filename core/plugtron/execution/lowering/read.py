"""From the traces of a decoder to calls. What the native step does not know becomes a call of torch."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from plugtron.errors import PluginError
from plugtron.execution.lowering.calls import (
    AttentionCall,
    Call,
    LinearCall,
    ModuleAt,
    ParameterAt,
    RowCall,
    RowCode,
    Rows,
    SourceCall,
    TorchCall,
    Value,
)  # fmt: skip
from plugtron.execution.lowering.experts import Routed, read_experts, read_router
from plugtron.execution.lowering.row_functions import BINARY, function_name, unary_code
from plugtron.execution.lowering.sample import Sampler, SampleStep
from plugtron.execution.tracing import HEAD, Trace, block_of
from plugtron.nn.activations import Activation
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.norms_over_ranks import RMSNormOverRanks
from plugtron.nn.operation import CustomOperation
from plugtron.nn.router import Router
from plugtron.parallel.layers import RowParallelLinear

__all__ = ["Calls", "read"]

#: attention.h has room for as many queries to a key-value head.
_MOST_GROUPED = 128


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The shape of rows, of which the width alone is known before a step."""

    width: int


class Calls:
    """All calls of a stage, in order; `hidden` is what it begins with, `result` what it ends with.

    `before_head`: what the last layer ends with, where there is a head behind it. `ends`: what each layer ends with.
    """

    def __init__(self, hidden: Value) -> None:
        self.hidden = self.result = hidden
        self.before_head: Value | None = None
        self.ends: list[Value] = []
        self.calls: list[Call] = []


def read(traces: Iterable[Trace], hidden_size: int, step: SampleStep) -> Calls:
    """Turn the traces of a stage, in order, into calls; what only torch knows is tried out on a step of zeros."""
    calls = Calls(Value(width=hidden_size))
    for trace in traces:
        if trace.number == HEAD:
            calls.before_head = calls.result
            calls.result = Value(width=hidden_size, rows=Rows.SELECTED, base=calls.result, gathered=True)
        calls.result = _PartReader(trace, calls, step).read(calls.result)
        if trace.number != HEAD:
            calls.ends.append(calls.result)
    return calls


class _PartReader:
    """Reads one part. What a node comes to is a value, a tuple of them, a parameter, or, for torch alone, nothing."""

    def __init__(self, trace: Trace, calls: Calls, step: SampleStep) -> None:
        self._trace = trace
        self._calls = calls.calls
        self._found: dict[fx.Node, Any] = {}
        self._sampler = Sampler(trace.root, trace.number, step)

    def read(self, hidden: Value) -> Value:
        """Read all nodes, and return what the part comes to."""
        for node in self._trace.graph.nodes:
            if node.op == "placeholder":
                self._found[node] = hidden if not self._found else None
            elif node.op == "output":
                return self._result(node.args[0])
            else:
                self._found[node] = self._known(node)
                if self._found[node] is None and node.op != "get_attr":
                    self._found[node] = self._through_torch(node)
        raise AssertionError("a graph ends with its output")

    def _result(self, node: object) -> Value:
        found = self._found[node] if isinstance(node, fx.Node) else None
        if not isinstance(found, Value) or not found.width:
            what = "the head" if self._trace.number == HEAD else f"layer {self._trace.number}"
            raise PluginError(
                f"{type(self._trace.root).__name__}: {what} must return rows of numbers, [T, H] or [N, V]"
            )
        # A view has no memory of its own.
        return found if found.base is None else self._row(RowCode.MULTIPLY_NUMBER, [found], found, numbers=(1.0,))

    def _values(self, node: fx.Node) -> list[Value] | None:
        """The node's arguments, if all of them are rows of floats."""
        found = [self._found.get(argument) for argument in node.args if isinstance(argument, fx.Node)]
        values = [value for value in found if isinstance(value, Value) and value.width]
        return values if values and len(values) == len(found) else None

    def _known(self, node: fx.Node) -> Any:
        """What a node comes to, having appended calls for it; None: it is not known."""
        if node.op == "get_attr":
            return self._parameter(str(node.target))
        if node.op == "call_module":
            return self._block(node, self._trace.root.get_submodule(str(node.target)))
        number = self._number(node)
        if number is not None:
            return number
        name = function_name(node)
        if name == "getitem":
            return self._item(node)
        if name in ("split", "chunk"):
            return self._columns(node)
        if name in BINARY:
            return self._binary(node, BINARY[name])
        values = self._values(node)
        if not name or values is None or len(values) != 1:
            return None
        code = unary_code(name, node)
        return None if code is None else self._row(code[0], values, values[0], numbers=code[1])

    def _number(self, node: fx.Node) -> Any:
        """A number that is known before a step: the width of rows, and what is computed of numbers; or a shape."""
        given = [self._found.get(argument) for argument in node.all_input_nodes]
        if len(given) == 1 and isinstance(given[0], Value) and given[0].width:
            if node.target is getattr and node.args[1] == "shape":
                return Shape(width=given[0].width)
            is_size = node.op == "call_method" and node.target == "size" and node.args[1:] in ((1,), (-1,))
            return given[0].width if is_size else None
        if len(given) == 1 and isinstance(given[0], Shape):
            return given[0].width if node.target is operator.getitem and node.args[1] in (1, -1) else None
        numbers = given and all(isinstance(each, int | float) for each in given)
        if not numbers or node.op != "call_function" or not callable(node.target):
            return None
        result = node.target(*self._resolved(node.args), **self._resolved(dict(node.kwargs)))
        return result if isinstance(result, int | float) else None

    def _resolved(self, arguments: Any) -> Any:
        """Arguments with the numbers that are known in the places of nodes."""

        def number(node: fx.Node) -> Any:
            found = self._found.get(node)
            return found if isinstance(found, int | float) else node

        return fx.map_arg(arguments, number)

    def _parameter(self, path: str) -> ParameterAt | None:
        owner, _, name = path.rpartition(".")
        found = getattr(self._trace.root.get_submodule(owner), name)
        if not isinstance(found, nn.Parameter) or found.dim() != 1:
            return None
        return ParameterAt(part=self._trace.number, path=path, width=len(found))

    def _row(
        self,
        code: RowCode,
        operands: Sequence[Value | ParameterAt],
        like: Value,
        *,
        numbers: tuple[float, ...] = (),
        norm: ModuleAt | None = None,
    ) -> Value:
        output = Value(width=like.width, rows=like.rows)
        self._calls.append(RowCall(code=code, operands=tuple(operands), output=output, numbers=numbers, norm=norm))
        return output

    def _binary(self, node: fx.Node, code: RowCode) -> Value | None:
        args = self._resolved(node.args)
        first, second = (*args, None)[:2] if len(args) < 3 and not node.kwargs else (None, None)
        if isinstance(first, int | float):
            first, second = (second, first) if code in (RowCode.ADD, RowCode.MULTIPLY) else (None, None)
        left = self._found.get(first) if isinstance(first, fx.Node) else None
        if isinstance(second, int | float) and isinstance(left, Value) and left.width:
            return self._with_number(code, left, float(second))
        right = self._found.get(second) if isinstance(second, fx.Node) else None
        if code == RowCode.DIVIDE_NUMBER:
            return None
        if code in (RowCode.ADD, RowCode.MULTIPLY) and (
            isinstance(left, ParameterAt) or (isinstance(left, Value) and left.width == 1)
        ):
            left, right = right, left
        if not isinstance(left, Value) or not left.width or not isinstance(right, Value | ParameterAt):
            return None
        if right.width not in (left.width, 1) or (isinstance(right, Value) and right.rows != left.rows):
            return None
        return self._row(code, (left, right), left)

    def _with_number(self, code: RowCode, value: Value, number: float) -> Value:
        if code == RowCode.DIVIDE_NUMBER:
            return self._row(code, [value], value, numbers=(number,))
        if code == RowCode.MULTIPLY:
            return self._row(RowCode.MULTIPLY_NUMBER, [value], value, numbers=(number,))
        added = number if code == RowCode.ADD else -number
        return self._row(RowCode.ADD_NUMBER, [value], value, numbers=(added,))

    def _item(self, node: fx.Node) -> Any:
        """An entry of a tuple, or some columns."""
        source, index = self._resolved(node.args)
        found = self._found.get(source) if isinstance(source, fx.Node) else None
        if isinstance(found, tuple) and isinstance(index, int):
            return found[index]
        if isinstance(found, Routed) and found.entry is None and isinstance(index, int):
            return replace(found, entry=index)
        if not isinstance(found, Value) or not found.width or not isinstance(index, tuple) or len(index) != 2:
            return None
        every, columns = index
        if every not in (Ellipsis, slice(None)) or not isinstance(columns, slice):
            return None
        if columns.step not in (None, 1) or not all(
            isinstance(end, int | None) for end in (columns.start, columns.stop)
        ):
            return None
        start, stop, _ = columns.indices(found.width)
        return _view(found, start, stop - start) if stop > start else None

    def _columns(self, node: fx.Node) -> tuple[Value, ...] | None:
        """The parts that split and chunk give."""
        values, how = self._values(node), self._resolved(node.args[1]) if len(node.args) > 1 else None
        dim = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0)
        if values is None or len(values) != 1 or dim not in (-1, 1):
            return None
        width = values[0].width
        if isinstance(how, int):
            step = -(-width // how) if function_name(node) == "chunk" else how
            sizes = [min(step, width - start) for start in range(0, width, step)]
        elif isinstance(how, list | tuple) and all(isinstance(size, int) for size in how):
            sizes = [int(str(size)) for size in how]
        else:
            return None
        starts = [sum(sizes[:number]) for number in range(len(sizes))]
        return tuple(_view(values[0], start, size) for start, size in zip(starts, sizes, strict=True))

    def _block(self, node: fx.Node, module: nn.Module) -> Any:
        """What a block of plugtron.nn comes to."""
        kind, at = block_of(module), ModuleAt(part=self._trace.number, path=str(node.target), module=module)
        found = [self._found.get(argument) for argument in node.args if isinstance(argument, fx.Node)]
        values = [value for value in found if isinstance(value, Value) and value.width]
        if kind is None or not values or node.kwargs:
            return None
        if isinstance(module, RMSNorm | LayerNorm):
            return self._row(RowCode.NORMALIZE, values, values[0], norm=at)
        if isinstance(module, Activation):
            return self._row(RowCode[module.name.upper()], values, values[0])
        if isinstance(module, CoreAttention):
            return self._attention(at, module, values)
        if isinstance(module, Router):
            return read_router(self._calls, at, values[0])
        if isinstance(module, Experts):
            return read_experts(self._calls, at, values[0], *found[1:]) if len(found) == 3 else None
        if isinstance(module, CustomOperation):
            return self._operation(at, module, values)
        if isinstance(module, RMSNormOverRanks):
            return None
        weight = module.get_parameter("weight")
        output = Value(width=len(weight), rows=values[0].rows)
        reduced = isinstance(module, RowParallelLinear)
        self._calls.append(LinearCall(linear=at, source=values[0], output=output, reduced=reduced))
        return output

    def _attention(self, at: ModuleAt, core: CoreAttention, values: list[Value]) -> Value | None:
        shape = core.shape
        if len(values) != 3 or shape.heads // shape.kv_heads > _MOST_GROUPED:
            return None
        output = Value(width=shape.heads * shape.head_dim)
        self._calls.append(AttentionCall(core=at, inputs=values, output=output))
        return output

    def _operation(self, at: ModuleAt, module: CustomOperation, values: list[Value]) -> Value | None:
        if module.operation.native is None or len(values) > 3:
            return None
        samples = [torch.zeros(2, value.width) for value in values]
        output = Value(width=module.operation.reference(*samples).shape[1], rows=values[0].rows)
        self._calls.append(SourceCall(operation=at, inputs=values, output=output))
        return output

    def _through_torch(self, node: fx.Node) -> Value:
        """Leave a node to torch, with those before it that have been left to torch, too."""
        last, read = self._calls[-1] if self._calls else None, self._read_by(node)
        if (
            not isinstance(last, TorchCall)
            or last.part != self._trace.number
            or any(value.base in last.writes.values() for value in read.values())
        ):
            last = TorchCall(part=self._trace.number, root=self._trace.root, nodes=[])
            self._calls.append(last)
        last.reads.update({argument: value for argument, value in read.items() if argument not in last.writes})
        last.nodes.append(node)
        rows = max((value.rows for value in read.values()), default=Rows.TOKENS)
        value = last.writes[node] = Value(width=self._sampler.width(node, self._found), rows=rows)
        return value

    def _read_by(self, node: fx.Node) -> dict[fx.Node, Value]:
        """The values that a node needs, also where it is by way of a tuple of them."""
        read: dict[fx.Node, Value] = {}
        for argument in node.all_input_nodes:
            found = self._found.get(argument)
            read.update({argument: found} if isinstance(found, Value) else self._read_by(argument))
        return read


def _view(value: Value, start: int, width: int) -> Value:
    if width == value.width:
        return value
    if value.base is not None and not value.gathered:
        return Value(width=width, rows=value.rows, base=value.base, offset=value.offset + start)
    return Value(width=width, rows=value.rows, base=value, offset=start)
