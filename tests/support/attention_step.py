"""Native attention over memory in blocks, by itself: keys and values are put there, and queries look at them."""

import ctypes
from dataclasses import dataclass

import torch

from plugtron.execution.lowering.program import Kind
from plugtron.execution.native import KV_DTYPES
from plugtron.kernels.native.binding import NativeLayer, NativeTokens, Op, Program
from plugtron.quantization.int8_rows import quantize_int8

BLOCK = 16


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A row of `length` tokens, of which the last `new` are computed."""

    heads: int
    kv_heads: int
    head_dim: int
    length: int
    new: int
    window: int = 0


class AttentionStep:
    """Random keys and values of a row in int8, the blocks in no order, and the queries of a step."""

    def __init__(self, shape, seed):
        self.shape = shape
        generator = torch.Generator().manual_seed(seed)
        blocks = -(-shape.length // BLOCK)
        self.table = (torch.randperm(blocks, generator=generator) + 1).view(1, -1)
        numbers = torch.randn(2, blocks + 1, shape.kv_heads, BLOCK, shape.head_dim, generator=generator)
        (self.keys, self.key_scales), (self.values, self.value_scales) = map(quantize_int8, numbers)
        width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim
        self.rows = torch.randn(shape.new, width, generator=generator)

    def run(self, kernels, threads=1):
        """What native attention makes of it, [new, heads * head_dim]."""
        shape, result = self.shape, torch.empty(self.shape.new, self.shape.heads * self.shape.head_dim)
        queries, width = shape.heads * shape.head_dim, self.rows.shape[1]
        places = dict.fromkeys(("source_stride", "key_stride", "value_stride"), width) | {"target_stride": queries}
        places |= {"key_offset": queries, "value_offset": queries + shape.kv_heads * shape.head_dim, "target_buffer": 1}
        heads = {"heads": shape.heads, "kv_heads": shape.kv_heads, "head_dim": shape.head_dim}
        ops = [Op(kind=kind, scale=shape.head_dim**-0.5, **heads, **places) for kind in (Kind.ROTATE, Kind.ATTEND)]
        positions = torch.arange(shape.length - shape.new, shape.length)
        owners = torch.zeros(shape.new, dtype=torch.int64)
        tokens = NativeTokens(
            count=shape.new,
            logit_count=shape.new,
            block_size=BLOCK,
            table_width=self.table.shape[1],
            positions=positions.data_ptr(),
            owners=owners.data_ptr(),
            block_tables=self.table.data_ptr(),
        )
        layer = NativeLayer(
            keys=self.keys.data_ptr(),
            values=self.values.data_ptr(),
            key_scales=self.key_scales.data_ptr(),
            value_scales=self.value_scales.data_ptr(),
            window=shape.window,
            stored=KV_DTYPES[torch.int8],
        )
        buffers = (ctypes.c_void_p * 2)(self.rows.data_ptr(), result.data_ptr())
        Program(kernels, ops, [], threads).run(range(2), (NativeLayer * 1)(layer), tokens, buffers)
        return result

    def written(self):
        """The numbers that a step puts in memory: keys, then values, [new, kv_heads, head_dim]."""
        heads = self.rows.unflatten(1, (-1, self.shape.head_dim))
        return heads.split([self.shape.heads, self.shape.kv_heads, self.shape.kv_heads], 1)[1:]

    def history(self, codes, scales):
        """The row's keys or values [length, kv_heads, ...] and their scales."""
        found = [part[self.table[0]].transpose(1, 2).flatten(0, 1)[: self.shape.length] for part in (codes, scales)]
        return found[0], found[1]

    def expected(self):
        """The same by attention's definition, over what memory holds after the step, in float64."""
        shape = self.shape
        numbers = [self.history(self.keys, self.key_scales), self.history(self.values, self.value_scales)]
        keys, values = (
            (codes.double() * scales.double().unsqueeze(-1)).repeat_interleave(shape.heads // shape.kv_heads, 1)
            for codes, scales in numbers
        )
        queries = self.rows[:, : shape.heads * shape.head_dim].unflatten(1, (shape.heads, -1)).double()
        score = torch.einsum("thd,lhd->htl", queries, keys) * shape.head_dim**-0.5
        own = torch.arange(shape.length - shape.new, shape.length).view(-1, 1)
        at = torch.arange(shape.length)
        seen = (at <= own) & ((at > own - shape.window) | (shape.window == 0))
        weights = score.masked_fill(~seen, float("-inf")).softmax(-1)
        return torch.einsum("htl,lhd->thd", weights, values).flatten(1)
