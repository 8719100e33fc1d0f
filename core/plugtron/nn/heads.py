"""How attention heads are shared out over the ranks."""

from __future__ import annotations

from dataclasses import dataclass

from plugtron.errors import ParallelError
from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import Rows, divide
from plugtron.parallel.runtime import Runtime

__all__ = ["Heads", "local_kv_heads"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """This rank's query and key-value heads, and which of all are its first."""

    heads: int
    kv_heads: int
    first: int
    first_kv: int

    @classmethod
    def of(cls, config: DecoderConfig, runtime: Runtime) -> Heads:
        """The share of this rank.

        Raises:
            ParallelError: there is no equal share.
        """
        heads = divide("attention heads", config.num_heads, runtime)
        kv_heads, first_kv = local_kv_heads(config.num_kv_heads, runtime)
        return cls(heads=heads, kv_heads=kv_heads, first=runtime.tensor.rank * heads, first_kv=first_kv)

    def projections(self, config: DecoderConfig) -> tuple[Rows, Rows, Rows]:
        """Which rows this rank holds of the projections to queries, keys and values."""
        dim = config.head_dim
        query = Rows(total=config.num_heads * dim, start=self.first * dim, count=self.heads * dim)
        kv = Rows(total=config.num_kv_heads * dim, start=self.first_kv * dim, count=self.kv_heads * dim)
        return query, kv, kv


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
