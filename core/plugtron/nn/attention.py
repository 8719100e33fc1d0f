"""Self-attention with grouped queries over KV memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from plugtron.contracts.attention import AttentionBackend
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.errors import ParallelError
from plugtron.kernels.attention import TorchAttention
from plugtron.nn.config import DecoderConfig
from plugtron.nn.norms import make_norm
from plugtron.nn.rotary import Rotation, rotate
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, Rows, divide
from plugtron.parallel.runtime import Runtime

__all__ = ["Attention", "AttentionShape", "local_kv_heads"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionShape:
    """This rank's heads; `rotary` counts the channels of each that rotate, the first ones."""

    heads: int
    kv_heads: int
    head_dim: int
    rotary: int
    scale: float


class Attention(nn.Module):
    """Queries, keys and values in one matrix product; heads shared out over the ranks.

    Shapes: T tokens, H hidden, h and k this rank's query and key-value heads, D the width of a head.
    """

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        head_dim, rank = config.head_dim, runtime.tensor.rank
        heads = divide("attention heads", config.num_heads, runtime)
        kv_heads, first_kv = local_kv_heads(config.num_kv_heads, runtime)
        rotary = config.rotary if config.rotates[layer] else None
        self.shape = AttentionShape(
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            rotary=0 if rotary is None else rotary.width or head_dim,
            scale=config.attention_scales[layer] if config.attention_scales else head_dim**-0.5,
        )
        self._widths = [heads * head_dim, kv_heads * head_dim, kv_heads * head_dim]
        kv = Rows(total=config.num_kv_heads * head_dim, start=first_kv * head_dim, count=kv_heads * head_dim)
        query = Rows(total=config.num_heads * head_dim, start=rank * heads * head_dim, count=heads * head_dim)
        self.qkv = ColumnParallelLinear(config.hidden_size, [query, kv, kv], runtime, bias=config.qkv_bias)
        self.output = RowParallelLinear(
            config.num_heads * head_dim, config.hidden_size, runtime, what="attention heads", bias=config.output_bias
        )
        self.backend: AttentionBackend = TorchAttention()
        self.query_norm = make_norm(config, head_dim, runtime) if config.qk_norm else None
        self.key_norm = make_norm(config, head_dim, runtime) if config.qk_norm else None

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]; writes this step's keys and values."""
        query, key, value = (
            part.unflatten(-1, (-1, self.shape.head_dim)) for part in self.qkv(hidden).split(self._widths, dim=-1)
        )
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if self.shape.rotary and rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        self.backend.write(key, value, state, memory)
        return self.output(self.backend.attend(query, state, memory, self.shape.scale).flatten(1))


def local_kv_heads(total: int, runtime: Runtime) -> tuple[int, int]:
    """Return how many key-value heads this rank holds, and which is its first. Few heads are replicated.

    Raises:
        ParallelError: neither do the ranks divide the heads, nor the heads the ranks.
    """
    size, rank = runtime.tensor.size, runtime.tensor.rank
    if total % size == 0:
        return total // size, rank * (total // size)
    if size % total == 0:
        return 1, rank * total // size
    raise ParallelError(
        f"parallel.tensor {size}: {total} key-value heads can be neither divided over {size} ranks nor replicated "
        f"(one number must be a multiple of the other)"
    )
