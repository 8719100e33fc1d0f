"""Linear layers and embeddings whose weights are shared out over the tensor-parallel ranks.

Each module says, parameter by parameter, which part of which checkpoint tensor this rank holds; the loader reads
those bytes and no others. Collectives: after the embedding, and after each row-parallel layer.

Shapes: T tokens, I and O the layer's whole input and output width, tp the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from plugtron.errors import ParallelError
from plugtron.parallel.runtime import Runtime
from plugtron.parallel.zeros import zeros

__all__ = [
    "ColumnParallelLinear",
    "LinearMethod",
    "Part",
    "ReplicatedLinear",
    "RowParallelLinear",
    "Rows",
    "ShardedModule",
    "VocabParallelEmbedding",
    "VocabParallelHead",
    "divide",
    "parameter",
]


class LinearMethod(Protocol):
    """A weight [O, I] that is held in a form of its own, which knows how to multiply with it."""

    @property
    def shape(self) -> tuple[int, int]:
        """O and I."""
        ...

    @property
    def nbytes(self) -> int:
        """What it takes."""
        ...

    def __call__(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Map [T, I] to [T, O]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one checkpoint tensor gives to one parameter of this rank: its whole shape, from where, to where."""

    shape: tuple[int, ...]
    source: tuple[slice, ...] = ()
    target: tuple[slice, ...] = ()


class ShardedModule(nn.Module):
    """A module that knows where its parameters come from.

    `parts` maps a parameter's name to one part per checkpoint tensor that it is put together from. `product`: what
    multiplies in place of a linear layer's `weight`, where that is held otherwise; None: the weight itself does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, tuple[Part, ...]] = {}
        self.product: LinearMethod | None = None

    def multiply(self, hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Map [T, I] to [T, O]."""
        return F.linear(hidden, weight, bias) if self.product is None else self.product(hidden, bias)


def parameter(runtime: Runtime, *shape: int) -> nn.Parameter:
    """An unread parameter on the runtime's device; rows that no checkpoint tensor fills stay zero."""
    return nn.Parameter(zeros(shape, runtime.dtype, runtime.device), requires_grad=False)


def divide(what: str, amount: int, runtime: Runtime) -> int:
    """Return this rank's share of `amount` things that cannot be split.

    Raises:
        ParallelError: there is no equal share.
    """
    size = runtime.tensor.size
    if amount % size:
        possible = ", ".join(str(ranks) for ranks in range(1, amount + 1) if amount % ranks == 0)
        raise ParallelError(
            f"parallel.tensor {size}: {amount} {what} cannot be divided over {size} ranks (possible: {possible})"
        )
    return amount // size


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of one checkpoint tensor: how many it has in all, and which of them this rank holds."""

    total: int
    start: int
    count: int


class ColumnParallelLinear(ShardedModule):
    """y = x Wᵀ + b, each rank computing some of the outputs: [T, I] → [T, O / tp]. No communication.

    Several checkpoint tensors (query, key, value) may be stacked into one weight, for one matrix product.
    """

    def __init__(self, inputs: int, stacked: Sequence[Rows], runtime: Runtime, *, bias: bool = False) -> None:
        super().__init__()
        outputs = sum(rows.count for rows in stacked)
        self.weight = parameter(runtime, outputs, inputs)
        self.bias = parameter(runtime, outputs) if bias else None
        parts, row = [], 0
        for rows in stacked:
            source, target = slice(rows.start, rows.start + rows.count), slice(row, row + rows.count)
            parts.append(Part(shape=(rows.total, inputs), source=(source,), target=(target,)))
            row += rows.count
        self.parts["weight"] = tuple(parts)
        if bias:
            self.parts["bias"] = tuple(
                Part(shape=part.shape[:1], source=part.source, target=part.target) for part in parts
            )

    @classmethod
    def even(
        cls, inputs: int, outputs: Sequence[int], runtime: Runtime, *, what: str, bias: bool
    ) -> ColumnParallelLinear:
        """Stack tensors that each give every rank an equal share of their rows."""
        rank = runtime.tensor.rank
        shares = [(total, divide(what, total, runtime)) for total in outputs]
        stacked = [Rows(total=total, start=rank * share, count=share) for total, share in shares]
        return cls(inputs, stacked, runtime, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, I] to [T, O / tp]."""
        return self.multiply(hidden, self.weight, self.bias)


class RowParallelLinear(ShardedModule):
    """y = x Wᵀ + b, each rank holding some of the inputs: [T, I / tp] → [T, O], summed over the ranks."""

    def __init__(self, inputs: int, outputs: int, runtime: Runtime, *, what: str, bias: bool = False) -> None:
        super().__init__()
        share = divide(what, inputs, runtime)
        self._group = runtime.tensor
        self.weight = parameter(runtime, outputs, share)
        start = runtime.tensor.rank * share
        self.parts["weight"] = (Part(shape=(outputs, inputs), source=(slice(None), slice(start, start + share))),)
        self.bias = parameter(runtime, outputs) if bias else None
        if bias:
            self.parts["bias"] = (Part(shape=(outputs,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, I / tp] to [T, O]."""
        # The bias is added once, after the sum, not once per rank.
        if self._group.size == 1:
            return self.multiply(hidden, self.weight, self.bias)
        output = self._group.all_reduce(self.multiply(hidden, self.weight))
        return output if self.bias is None else output + self.bias


class ReplicatedLinear(ShardedModule):
    """y = x Wᵀ + b, whole on every rank: [T, I] → [T, O]. Its weight is never quantized."""

    def __init__(self, inputs: int, outputs: int, runtime: Runtime, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = parameter(runtime, outputs, inputs)
        self.parts["weight"] = (Part(shape=(outputs, inputs)),)
        self.bias = parameter(runtime, outputs) if bias else None
        if bias:
            self.parts["bias"] = (Part(shape=(outputs,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, I] to [T, O]."""
        return F.linear(hidden, self.weight, self.bias)


def _vocabulary_part(vocab_size: int, hidden_size: int, runtime: Runtime) -> tuple[int, Part]:
    """How many rows each rank holds, and which are this one's; what the ranks do not divide is padded with zeros."""
    share = -(-vocab_size // runtime.tensor.size)
    start = min(runtime.tensor.rank * share, vocab_size)
    end = min(start + share, vocab_size)
    return share, Part(shape=(vocab_size, hidden_size), source=(slice(start, end),), target=(slice(0, end - start),))


class VocabParallelEmbedding(ShardedModule):
    """Rows of an embedding, shared out over the ranks: [T] → [T, H]."""

    def __init__(self, vocab_size: int, hidden_size: int, runtime: Runtime) -> None:
        super().__init__()
        self._group = runtime.tensor
        share, part = _vocabulary_part(vocab_size, hidden_size, runtime)
        self._start = part.source[0].start
        self.weight = parameter(runtime, share, hidden_size)
        self.parts["weight"] = (part,)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ids [T] to vectors [T, H]."""
        if self._group.size == 1:
            return F.embedding(tokens, self.weight)
        local = tokens - self._start
        mine = (local >= 0) & (local < len(self.weight))
        vectors = F.embedding(local.clamp(0, len(self.weight) - 1), self.weight)
        return self._group.all_reduce(vectors * mine.unsqueeze(1))


class VocabParallelHead(ShardedModule):
    """Rows of the output head, shared out over the ranks: [N, H] → [N, V / tp].

    A vocabulary that the ranks do not divide is padded with zero rows, whose logits are masked before a draw.

    Args:
        tied: the embedding that the head is, too; None: it has a weight of its own.
    """

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int,
        runtime: Runtime,
        *,
        bias: bool = False,
        tied: VocabParallelEmbedding | None = None,
    ) -> None:
        super().__init__()
        share, part = _vocabulary_part(vocab_size, hidden_size, runtime)
        if tied is None:
            self.weight = parameter(runtime, share, hidden_size)
            self.parts["weight"] = (part,)
        else:
            self.weight = tied.weight
        self.bias = parameter(runtime, share) if bias else None
        if bias:
            self.parts["bias"] = (Part(shape=(vocab_size,), source=part.source, target=part.target),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map vectors [N, H] to this rank's logits [N, V / tp]."""
        return self.multiply(hidden, self.weight, self.bias)
