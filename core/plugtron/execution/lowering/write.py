"""From a plan to a program: weights are taken part by part, then all operations are written down."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor, nn

from plugtron.execution.lowering.calls import (
    AttentionCall,
    CombineCall,
    ExpertsCall,
    LinearCall,
    ParameterAt,
    RouteCall,
    RowCall,
    Rows,
    SourceCall,
    TorchCall,
    Value,
)  # fmt: skip
from plugtron.execution.lowering.plan import Item, Plan, RowGroup
from plugtron.execution.lowering.program import Break, Buffer, Flag, Kind, NativeProgram, Record, RowFlag
from plugtron.execution.lowering.rewrite import outputs_of, root_of
from plugtron.execution.lowering.row_steps import row_steps
from plugtron.execution.lowering.torch_step import kept_parameters
from plugtron.execution.lowering.weights import PackedRows, WeightPacker
from plugtron.execution.rounding import quantized_part
from plugtron.kernels.native.packing import WeightFormat
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.nn.norms import Norm
from plugtron.nn.operation import CustomOperation
from plugtron.nn.router import Router
from plugtron.parallel.group import Group

__all__ = ["ProgramWriter"]

_SCORES = ("softmax", "softmax_chosen", "softmax_renormalized", "sigmoid")
_DENSE = (WeightFormat.F32, WeightFormat.BF16)


class ProgramWriter:
    """Writes a plan's program.

    Args:
        plan: what is to be written.
        packer: packs its weights.
        group: the ranks that share each layer.
    """

    def __init__(self, plan: Plan, packer: WeightPacker, group: Group) -> None:
        self._plan = plan
        self._packer = packer
        self._group = group
        self._packed: dict[LinearCall | ExpertsCall, list[PackedRows]] = {}
        self._vectors: dict[tuple[object, str], int] = {}
        self._operations: list[Record] = []
        self._row_steps: list[Record] = []
        self._breaks: list[Break] = []
        self._sources: dict[str, str] = {}
        #: Parameters of what runs through torch, by name.
        self.parameters: dict[str, Tensor] = {}

    def take(self, part: int, root: nn.Module) -> None:
        """Pack the weights of one part, which may be let go of then."""
        for item in self._plan.items:
            if isinstance(item, RowGroup):
                for call in item.calls:
                    self._take_row(call, part, root)
            elif isinstance(item, LinearCall) and item.linear.part == part:
                self._take_linear(item, root.get_submodule(item.linear.path))
            elif isinstance(item, ExpertsCall) and item.experts.part == part:
                self._take_experts(item, root.get_submodule(item.experts.path))
            elif isinstance(item, RouteCall) and item.router.part == part:
                router = root.get_submodule(item.router.path)
                assert isinstance(router, Router)
                self._keep(item, "bias", router.choice_bias)
            elif isinstance(item, AttentionCall) and item.core.part == part:
                core = root.get_submodule(item.core.path)
                assert isinstance(core, CoreAttention)
                self._keep(item, "slopes", core.slopes)
                self._keep(item, "sinks", core.sinks)
            elif isinstance(item, TorchCall) and item.part == part:
                self.parameters |= kept_parameters(item, root, self._packer.as_torch_has_it)

    def finish(self) -> NativeProgram:
        """Return the program, all parts having been taken."""
        flags = self._put_flags()
        self._note_layers([self._plan.hidden])
        for item in self._plan.items:
            self._write(item, flags)
            self._note_layers(item.made if isinstance(item, RowGroup) else outputs_of(item))
        routes = [item for item in self._plan.items if isinstance(item, RouteCall)]
        routers = [item.router.module for item in routes if isinstance(item.router.module, Router)]
        result, before_head = self._plan.result, self._plan.before_head
        return NativeProgram(
            operations=self._operations,
            row_steps=self._row_steps,
            buffers=[Buffer(width=use.width, rows=int(use.rows)) for use in self._plan.uses],
            breaks=self._breaks,
            result=self._plan.buffer(result),
            result_width=result.width,
            result_selected=result.rows == Rows.SELECTED,
            before_head=None if before_head is None else self._plan.buffer(before_head),
            pairs_per_token=max((router.config.top_k for router in routers), default=0),
            experts=max((router.config.count for router in routers), default=0),
            sources=self._sources,
        )

    def _note_layers(self, made: Collection[Value]) -> None:
        """Say where the hidden states after a layer are, where they have just been made."""
        for number, end in enumerate(self._plan.ends, start=1):
            if end in made:
                buffer = self._plan.buffer(end)
                self._breaks.append(Break(before=len(self._operations), buffer=buffer, width=end.width, layers=number))

    def _keep(self, owner: object, name: str, numbers: Tensor | None) -> None:
        if numbers is not None:
            self._vectors[owner, name] = self._packer.vector(numbers)

    def _take_row(self, call: RowCall, part: int, root: nn.Module) -> None:
        if call.norm is not None and call.norm.part == part:
            norm = root.get_submodule(call.norm.path)
            assert isinstance(norm, Norm)
            self._keep(call, "weight", None if norm.weight is None else norm.weight.float() + norm.offset)
            self._keep(call, "bias", norm.bias)
        for operand in call.operands:
            if isinstance(operand, ParameterAt) and operand.part == part:
                self._keep(operand, "weight", root.get_parameter(operand.path))

    def _take_linear(self, call: LinearCall, module: nn.Module) -> None:
        weight = module.get_parameter("weight")
        if call.exact:
            self._packed[call] = self._packer.exact(weight)
        else:
            self._packed[call] = self._packer.weight(weight, quantized_part(module))
        first, row = self._group.rank == 0, 0
        for number, piece in enumerate(self._packed[call]):
            bias = getattr(module, "bias", None) if first or not call.reduced else None
            self._keep(call, f"bias.{number}", None if bias is None else bias[row : row + piece.rows])
            row += piece.rows

    def _take_experts(self, call: ExpertsCall, module: nn.Module) -> None:
        assert isinstance(module, Experts)
        self._packed[call] = [self._packer.experts(module.get_parameter(call.parameter))]
        bias = module.into_bias if call.parameter == "into" else module.down_bias
        # What is added after the sum over ranks, one of them adds.
        if call.parameter == "into" or self._group.rank == 0:
            self._keep(call, "bias", bias)

    def _put_flags(self) -> Mapping[Value, RowFlag]:
        """In which forms products want what they read."""
        flags: dict[Value, RowFlag] = {}
        for call, pieces in self._packed.items():
            for piece in pieces:
                wanted = RowFlag.PUT_DENSE if piece.form in _DENSE else RowFlag.PUT_GROUPED
                flags[call.source] = flags.get(call.source, RowFlag.NONE) | wanted
        return flags

    def _write(self, item: Item, flags: Mapping[Value, RowFlag]) -> None:
        if isinstance(item, RowGroup):
            self._rows(item, flags)
        elif isinstance(item, LinearCall):
            self._linear(item)
        elif isinstance(item, AttentionCall):
            self._attention(item)
        elif isinstance(item, RouteCall):
            self._route(item)
        elif isinstance(item, ExpertsCall):
            self._experts(item)
        elif isinstance(item, CombineCall):
            self._combine(item)
        elif isinstance(item, SourceCall):
            self._source(item)
        else:
            assert isinstance(item, TorchCall)
            self._breaks.append(Break(before=len(self._operations), cut=self._plan.cuts.index(item)))

    def _append(self, kind: Kind, fields: Mapping[str, float], tensors: Mapping[str, int | None] | None = None) -> None:
        kept = {name: number for name, number in (tensors or {}).items() if number is not None}
        plain = {name: int(value) if isinstance(value, int) else value for name, value in fields.items()}
        self._operations.append(Record(fields={"kind": int(kind), **plain}, tensors=kept))

    def _place(self, name: str, value: Value) -> dict[str, int]:
        """Where a value is."""
        offset, own = 0, value
        while own.base is not None:
            offset, own = offset + own.offset, own.base
        stride = root_of(value).width
        return {f"{name}_buffer": self._plan.buffer(value), f"{name}_offset": offset, f"{name}_stride": stride}

    @staticmethod
    def _of(rows: Rows) -> Flag:
        return {Rows.TOKENS: Flag.NONE, Rows.SELECTED: Flag.SELECTED, Rows.PAIRS: Flag.PAIRS}[rows]

    def _rows(self, group: RowGroup, flags: Mapping[Value, RowFlag]) -> None:
        first, unit = len(self._row_steps), group.unit
        self._row_steps += row_steps(group, self._plan, self._place, self._vectors, flags)
        fields = {
            "flags": self._of(group.rows) | (Flag.BY_COLUMNS if unit else Flag.NONE),
            "inputs": unit,
            "outputs": group.width,
            "first": first,
            "count": len(self._row_steps) - first,
        }
        self._append(Kind.ROWS, fields)

    def _linear(self, call: LinearCall) -> None:
        """A product in as many parts as the weight has forms.

        Where ranks share the inputs, one of them adds its part to the residual, the others put theirs in its place:
        what all of them sum up afterwards is the residual and every part.
        """
        flags = self._of(call.output.rows)
        if call.reduced:
            flags |= Flag.SHARED
        if call.residual is not None and (self._group.rank == 0 or not call.reduced):
            flags |= Flag.ADD_TO
        target = self._place("target", call.output)
        for number, piece in enumerate(self._packed[call]):
            fields = {
                "flags": flags,
                **target,
                "operand": self._plan.operands[call.source],
                "inputs": call.source.width,
                "outputs": piece.rows,
                "format": piece.form,
            }
            bias = self._vectors.get((call, f"bias.{number}"))
            self._append(Kind.LINEAR, fields, {"packed": piece.tensor, "bias": bias})
            target["target_offset"] += piece.rows
        if call.reduced:
            self._reduce(call.output)

    def _reduce(self, value: Value) -> None:
        if self._group.size > 1:
            self._breaks.append(Break(before=len(self._operations), buffer=self._plan.buffer(value), width=value.width))

    def _attention(self, call: AttentionCall) -> None:
        core = call.core.module
        assert isinstance(core, CoreAttention)
        shape, (query, key, value) = core.shape, call.inputs
        places = {**self._place("source", query), **self._place("key", key), **self._place("value", value)}
        fields = {
            **places,
            "layer": call.core.part,
            **{name: getattr(shape, name) for name in ("heads", "kv_heads", "head_dim", "rotary", "rotation")},
            "temperature": shape.temperature or 0,
            "flags": (Flag.INTERLEAVED if shape.interleaved else Flag.NONE)
            | (Flag.NONE if shape.temperature is None else Flag.GROWS),
        }
        self._append(Kind.ROTATE, fields)
        scores = {"scale": shape.scale, "cap": shape.soft_cap or 0.0, **self._place("target", call.output)}
        tensors = {name: self._vectors.get((call, name)) for name in ("slopes", "sinks")}
        self._append(Kind.ATTEND, {**fields, **scores}, tensors)

    def _route(self, call: RouteCall) -> None:
        fields = {**self._place("source", call.inputs[0]), **self._routing(call.router.module)}
        self._append(Kind.ROUTE, fields, {"bias": self._vectors.get((call, "bias"))})

    @staticmethod
    def _routing(router: nn.Module) -> dict[str, float]:
        assert isinstance(router, Router)
        config = router.config
        return {
            "experts": config.count,
            "chosen": config.top_k,
            "score": _SCORES.index(config.score),
            "groups": config.groups,
            "top_groups": config.top_groups,
            "scale": float(config.scale),
        }

    def _experts(self, call: ExpertsCall) -> None:
        (piece,) = self._packed[call]
        fields = {
            "flags": Flag.PAIRS | (Flag.SHARED if call.reduced else Flag.NONE),
            "experts": len(call.experts.module.get_parameter(call.parameter)),
            **self._place("target", call.output),
            "operand": self._plan.operands[call.source],
            "inputs": call.source.width,
            "outputs": piece.rows,
            "format": piece.form,
        }
        self._append(Kind.EXPERTS, fields, {"packed": piece.tensor, "bias": self._vectors.get((call, "bias"))})

    def _combine(self, call: CombineCall) -> None:
        adds = call.residual is not None and self._group.rank == 0
        fields = {
            "flags": (Flag.ADD_TO if adds else Flag.NONE) | (Flag.EVEN if call.even else Flag.NONE),
            **self._place("source", call.source),
            **self._place("target", call.output),
            **self._routing(call.router.module),
            "outputs": call.output.width,
        }
        self._append(Kind.COMBINE, fields)
        self._reduce(call.output)

    def _source(self, call: SourceCall) -> None:
        module = call.operation.module
        assert isinstance(module, CustomOperation)
        names = zip(("source", "key", "value"), ("inputs", "heads", "kv_heads"), call.inputs, strict=False)
        fields: dict[str, float] = {"chosen": len(call.inputs), "outputs": call.output.width}
        for place, width, value in names:
            fields |= {**self._place(place, value), width: value.width}
        fields |= {**self._place("target", call.output), "flags": self._of(call.output.rows)}
        self._sources[str(len(self._operations))] = f"{module.operation.native}:{module.operation.name}"
        self._append(Kind.CALL, fields)
