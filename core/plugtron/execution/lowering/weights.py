"""The weights of a program, packed in the order in which the kernels use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby

import torch
from torch import Tensor, nn

from plugtron.contracts.execution import StoredBlocks
from plugtron.execution.packed import Store
from plugtron.execution.rounding import quantized_part, rounded
from plugtron.execution.stored import dense_blocks, expert_blocks
from plugtron.kernels.native.packing import WeightFormat, format_of, pack, pack_dense
from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.method import QuantizationMethod, WeightPart, hold_rows
from plugtron.quantization.packed_weight import PackedWeight
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["PackedRows", "WeightPacker"]

#: Rows that are quantized at once.
_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class PackedRows:
    """A weight's rows that are held in one form, and the number of their tensor in the store."""

    rows: int
    form: WeightFormat
    tensor: int


class WeightPacker:
    """Packs weights into a store.

    Args:
        store: where packed weights go.
        quantization: what weights are held in; None: in `dtype`.
        dtype: what weights are held in that are not quantized, float32 or bfloat16.
        blocks: weights that are stored in quantized blocks, and are used as they are.
    """

    def __init__(
        self, store: Store, *, quantization: QuantizationMethod | None, dtype: torch.dtype, blocks: StoredBlocks
    ) -> None:
        self._store = store
        self._quantization = quantization
        self._dtype = dtype
        self._blocks = blocks

    def vector(self, numbers: Tensor) -> int:
        """Keep a vector as float32."""
        return self._store.add(torch.float32, None, [numbers])

    def exact(self, weight: Tensor) -> list[PackedRows]:
        """Keep a weight [O, I] in float32, as it is rounded to the dtype."""
        packed = pack_dense(weight.detach().to(self._dtype).float())
        return [self._packed(len(weight), WeightFormat.F32, packed)]

    def as_torch_has_it(self, module: nn.Module, weight: nn.Parameter) -> Tensor:
        """A parameter for what runs through torch, in float32; the weights of products as others multiply with them."""
        if weight in self._blocks:
            return dense_blocks(self._blocks, weight)
        part, data = quantized_part(module), weight.detach()
        if part is None:
            return data.float()
        held = rounded(self._quantization, part, data)
        return data.to(self._dtype).float() if held is None else held.float()

    def experts(self, weights: nn.Parameter) -> PackedRows:
        """Keep the weights [E, O, I] of experts one after the other, all in one form."""
        stored = expert_blocks(self._blocks, weights)
        stored_forms = {format_of(part) for parts in stored for part in parts}
        if len(stored_forms) == 1:
            tensors = chain.from_iterable(pack(QuantizedWeight.stacked(parts)) for parts in stored)
            return self._packed(weights.shape[1], stored_forms.pop(), tensors)
        dense = dense_blocks(self._blocks, weights)
        packed = [self._pieces(nn.Parameter(weight, requires_grad=False), "layer") for weight in dense]
        forms = {form for pieces in packed for _, form, _ in pieces}
        assert len(forms) == 1, "the form of rows depends on their length alone"
        everything = chain.from_iterable(tensors for pieces in packed for _, _, tensors in pieces)
        return self._packed(weights.shape[1], forms.pop(), everything)

    def weight(self, weight: nn.Parameter, part: WeightPart | None) -> list[PackedRows]:
        """Keep a weight [O, I], in as many pieces as it has forms. `part`: None: it is not to be quantized."""
        return [self._packed(rows, form, tensors) for rows, form, tensors in self._pieces(weight, part)]

    def _packed(self, rows: int, form: WeightFormat, tensors: Iterable[Tensor]) -> PackedRows:
        return PackedRows(rows=rows, form=form, tensor=self._store.add(torch.uint8, None, tensors))

    def _pieces(
        self, weight: nn.Parameter, part: WeightPart | None
    ) -> list[tuple[int, WeightFormat, Iterable[Tensor]]]:
        """A weight's rows, in order: as many of them together as have one form."""
        if weight in self._blocks:
            stacked = (
                (form, QuantizedWeight.stacked(list(same))) for form, same in groupby(self._blocks[weight], format_of)
            )
            return [(len(piece.values), form, pack(piece)) for form, piece in stacked]
        first, *others = weight.detach().split(_ROWS)
        held = self._hold(part, first)
        if isinstance(held, QuantizedWeight):
            return [(len(weight), format_of(held), self._quantized(part, held, others))]
        kept = weight.detach() if held is None else torch.cat([held, *(self._dense(part, rows) for rows in others)])
        form = WeightFormat.F32 if self._dtype == torch.float32 else WeightFormat.BF16
        return [(len(weight), form, pack_dense(kept.to(self._dtype)))]

    def _quantized(self, part: WeightPart | None, first: QuantizedWeight, others: Iterable[Tensor]) -> Iterator[Tensor]:
        for held in chain([first], (self._hold(part, rows) for rows in others)):
            assert isinstance(held, QuantizedWeight), "all rows of a weight have one form"
            yield from pack(held)

    def _hold(self, part: WeightPart | None, rows: Tensor) -> QuantizedWeight | Tensor | None:
        held = None if self._quantization is None or part is None else hold_rows(self._quantization, part, rows)
        assert not isinstance(held, Float8Weight | PackedWeight), "which have been refused"
        return held

    def _dense(self, part: WeightPart | None, rows: Tensor) -> Tensor:
        held = self._hold(part, rows)
        assert isinstance(held, Tensor), "all rows of a weight have one form"
        return held
