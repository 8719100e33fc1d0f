"""Self-attention with grouped queries over KV memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from plugtron.contracts.attention import AttentionBackend, Scores
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.errors import ParallelError
from plugtron.kernels.attention import TorchAttention
from plugtron.nn.config import DecoderConfig
from plugtron.nn.heads import Heads
from plugtron.nn.norms import RMSNorm, make_norm
from plugtron.nn.norms_over_ranks import RMSNormOverRanks
from plugtron.nn.rotary import Rotation, rotate
from plugtron.parallel.layers import ColumnParallelLinear, Part, RowParallelLinear, Rows, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["Attention", "AttentionShape", "CoreAttention", "alibi_slopes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """This rank's heads, and how their queries and keys rotate.

    `rotary` counts the channels of each head that rotate, the first ones; `interleaved`: neighbors rotate against each
    other, else the first half against the second. `rotation` is the number of the decoder's rotation. `temperature` is
    the place among its parts of what queries are multiplied with by position; None: nothing.
    """

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    rotary: int = 0
    rotation: int = 0
    interleaved: bool = False
    temperature: int | None = None
    soft_cap: float | None = None

    @classmethod
    def of(cls, config: DecoderConfig, layer: int, runtime: Runtime) -> AttentionShape:
        """This rank's share of a layer's attention."""
        local, rotary = Heads.of(config, runtime), config.rotary_of(layer)
        temperature = config.temperatures[layer] if config.temperatures else None
        return cls(
            heads=local.heads,
            kv_heads=local.kv_heads,
            head_dim=config.head_dim,
            scale=config.attention_scales[layer] if config.attention_scales else config.head_dim**-0.5,
            rotary=0 if rotary is None else rotary.width or config.head_dim,
            rotation=0 if rotary is None else config.rotaries.index(rotary),
            interleaved=rotary is not None and rotary.interleaved,
            temperature=None
            if temperature is None
            else 2 * len(config.rotaries) + config.different_temperatures.index(temperature),
            soft_cap=config.attention_soft_cap,
        )


class CoreAttention(ShardedModule):
    """Attention between its projections: queries and keys are rotated, keys and values kept, and queries look at them.

    Args:
        slopes: [heads of this rank], what scores gain with every position; None: nothing.
        sinks: of all ranks' heads, those of this one have a learned sink; or the sinks of this rank's heads themselves,
            [heads of this rank]; None: there are none.
    """

    def __init__(
        self,
        shape: AttentionShape,
        runtime: Runtime,
        *,
        slopes: Tensor | None = None,
        sinks: Rows | Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.backend: AttentionBackend = TorchAttention()
        self.slopes = slopes
        self.sinks = parameter(runtime, sinks.count) if isinstance(sinks, Rows) else sinks
        if isinstance(sinks, Rows):
            source = slice(sinks.start, sinks.start + sinks.count)
            self.parts["sinks"] = (Part(shape=(sinks.total,), source=(source,)),)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rotation: Rotation | None,
        state: LayerState,
        memory: AttentionMetadata,
    ) -> Tensor:
        """Map queries [T, heads · D], keys and values [T, kv_heads · D] to [T, heads · D]."""
        shape = self.shape
        query, key, value = (part.unflatten(-1, (-1, shape.head_dim)) for part in (query, key, value))
        if shape.rotary:
            assert rotation is not None, "the decoder has it"
            turn = rotation[2 * shape.rotation], rotation[2 * shape.rotation + 1]
            query, key = (rotate(part, turn, interleaved=shape.interleaved) for part in (query, key))
        if shape.temperature is not None:
            assert rotation is not None, "the decoder has it"
            query = query * rotation[shape.temperature]
        self.backend.write(key, value, state, memory)
        scores = Scores(scale=shape.scale, soft_cap=shape.soft_cap, slopes=self.slopes, sinks=self.sinks)
        return self.backend.attend(query, state, memory, scores).flatten(1)


class Attention(ShardedModule):
    """Queries, keys and values in one matrix product; heads shared out over the ranks.

    Shapes: T tokens, H hidden.
    """

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        local, head_dim = Heads.of(config, runtime), config.head_dim
        self._widths = [local.heads * head_dim, local.kv_heads * head_dim, local.kv_heads * head_dim]
        self.qkv = ColumnParallelLinear(config.hidden_size, local.projections(config), runtime, bias=config.qkv_bias)
        self.output = RowParallelLinear(
            config.num_heads * head_dim,
            config.hidden_size,
            runtime,
            what="attention heads",
            bias=config.output_bias,
        )
        queries = Rows(total=config.num_heads, start=local.first, count=local.heads)
        keys = Rows(total=config.num_kv_heads, start=local.first_kv, count=local.kv_heads)
        self.query_norm, self.key_norm = (_head_norm(config, heads, runtime) for heads in (queries, keys))
        slopes = _slopes(config)[local.first : local.first + local.heads] if config.alibi else None
        self.core = CoreAttention(
            AttentionShape.of(config, layer, runtime),
            runtime,
            slopes=None if slopes is None else slopes.to(runtime.device),
            sinks=_sinks(config, queries, runtime),
        )
        gate = local.projections(config)[:1]
        self.gate = (
            ColumnParallelLinear(config.hidden_size, gate, runtime, bias=config.qkv_bias)
            if config.attention_gate
            else None
        )

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]; writes this step's keys and values."""
        query, key, value = self.qkv(hidden).split(self._widths, dim=-1)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        attended = self.core(query, key, value, rotation, state, memory)
        if self.gate is not None:
            attended = attended * self.gate(hidden).sigmoid()
        return self.output(attended)


def _sinks(config: DecoderConfig, heads: Rows, runtime: Runtime) -> Rows | Tensor | None:
    if config.fixed_sink is not None:
        return torch.full((heads.count,), config.fixed_sink, device=runtime.device)
    return heads if config.sinks else None


def _head_norm(config: DecoderConfig, heads: Rows, runtime: Runtime) -> nn.Module | None:
    """The norm of queries or keys: of each head, or of all heads of all ranks together; None: there is none.

    Raises:
        ParallelError: ranks share heads whose mean is subtracted from all of them.
    """
    dim = config.head_dim
    if config.qk_l2_norm:
        return RMSNorm(dim, config.norm_epsilon, runtime, weighted=False)
    if not config.qk_norm:
        return None
    if not config.qk_norm_whole:
        return make_norm(config, dim, runtime, heads=heads if config.qk_norm_by_head else None)
    if runtime.tensor.size == 1:
        return make_norm(config, heads.count * dim, runtime)
    if config.norm != "rms":
        raise ParallelError(
            f"parallel.tensor {runtime.tensor.size}: layer norms over all heads together are on one rank (possible: 1)"
        )
    channels = Rows(total=heads.total * dim, start=heads.start * dim, count=heads.count * dim)
    return RMSNormOverRanks(channels, config.norm_epsilon, runtime)


def _slopes(config: DecoderConfig) -> Tensor:
    return torch.tensor(config.alibi_slopes) if config.alibi_slopes else alibi_slopes(config.num_heads)


def alibi_slopes(heads: int) -> Tensor:
    """The slopes of all heads, [heads] float32 (arXiv:2108.12409): a geometric series over a power of 2 of them.

    Where there are more heads than that, the others have every second one of the series twice as long.
    """
    power = 2 ** math.floor(math.log2(heads))
    exponents = torch.arange(1, power + 1) * (-8 / power)
    more = torch.arange(1, 2 * (heads - power) + 1, 2) * (-4 / power)
    return torch.cat([exponents, more]).exp2()
