"""The paged context: sequences hold as many blocks as they need, and share those of a common prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from plugtron.context.base import InferenceContext
from plugtron.context.blocks import BlockPool
from plugtron.context.layers import layer_states
from plugtron.context.memory import MemoryView
from plugtron.context.prefix import first_key, next_key
from plugtron.contracts.step import StepPlan
from plugtron.contracts.wrapper import ModelInfo
from plugtron.parallel.runtime import Runtime

__all__ = ["PagedInferenceContext"]


@dataclass(slots=True)
class _Holding:
    """What a slot holds: its blocks in order, and the keys of the empty prefix and of the first blocks so far known.

    The blocks that have a key are in the prefix index, unless others with the same content came first.
    """

    blocks: list[int]
    keys: list[bytes]

    @property
    def known(self) -> int:
        """How many blocks have a key."""
        return len(self.keys) - 1


class PagedInferenceContext(InferenceContext):
    """Memory of `blocks` blocks of `block_size` tokens for at most `slots` sequences at once.

    Args:
        blocks: how many, scratch not counted; the same on every rank.
        share_prefixes: keep and find blocks by their content.
    """

    def __init__(
        self,
        info: ModelInfo,
        runtime: Runtime,
        *,
        slots: int,
        max_length: int,
        blocks: int,
        block_size: int,
        share_prefixes: bool = True,
    ) -> None:
        self.slots = slots
        self.max_length = max_length
        self.block_size = block_size
        self.last_tokens = torch.zeros(slots, dtype=torch.int64, device=runtime.device)
        self.pool = BlockPool(blocks + 1)
        self._share_prefixes = share_prefixes
        self._device = runtime.device
        self._held: dict[int, _Holding] = {}
        self._layers = layer_states(
            info, runtime, blocks=blocks + 1, block_size=block_size, remedy="lower engine.options.blocks"
        )

    def attach(self, slot: int, tokens: Sequence[int], salt: bytes = b"") -> int:
        """Give a fresh slot the blocks that hold a beginning of its tokens already; return how many tokens that is.

        The last token is never served: its logits are what a step is for.
        """
        assert slot not in self._held, "a slot is attached once, before anything is allocated"
        holding = self._held[slot] = _Holding([], [first_key(salt)])
        while self._share_prefixes and (holding.known + 1) * self.block_size < len(tokens):
            key = self._next_key(holding, tokens)
            block = self.pool.find(key)
            if block is None:
                break
            self.pool.share(block)
            holding.blocks.append(block)
            holding.keys.append(key)
        return holding.known * self.block_size

    def known(self, slot: int) -> int:
        """How many blocks of a slot have been published."""
        return self._held[slot].known

    def needed(self, slot: int, length: int) -> int:
        """How many more blocks a slot needs to hold `length` tokens."""
        return max(-(-length // self.block_size) - len(self._held[slot].blocks), 0)

    def allocate(self, slot: int, length: int) -> bool:
        """Reserve memory for the first `length` tokens of a slot: all of it, or none and False."""
        missing = self.needed(slot, length)
        if length > self.max_length or missing > self.pool.available:
            return False
        self._held[slot].blocks += [self.pool.take() for _ in range(missing)]
        return True

    def fork(self, source: int, target: int, length: int) -> bool:
        """Let a fresh slot begin with the first `length` tokens of another: full blocks are shared, a rest copied.

        Returns:
            False, and nothing done, when there is no block for the copy.
        """
        assert target not in self._held, "a slot is forked into once, before anything is allocated"
        full, rest = divmod(length, self.block_size)
        if rest and not self.pool.available:
            return False
        theirs = self._held[source]
        blocks = theirs.blocks[:full]
        for block in blocks:
            self.pool.share(block)
        if rest:
            copy = self.pool.take()
            for state in self._layers:
                state.keys[copy] = state.keys[theirs.blocks[full]]
                state.values[copy] = state.values[theirs.blocks[full]]
            blocks.append(copy)
        self._held[target] = _Holding(blocks, theirs.keys[: full + 1])
        return True

    def publish(self, slot: int, tokens: Sequence[int]) -> None:
        """Make the full blocks of `tokens`, which are all in memory, findable for others."""
        holding = self._held[slot]
        while self._share_prefixes and (holding.known + 1) * self.block_size <= len(tokens):
            key = self._next_key(holding, tokens)
            self.pool.publish(holding.blocks[holding.known], key)
            holding.keys.append(key)

    def release(self, slot: int) -> None:
        """Give back what a slot holds; of a prefix that stays findable, its end is the first to go."""
        for block in reversed(self._held.pop(slot).blocks):
            self.pool.release(block)

    def view(self, plan: StepPlan) -> MemoryView:
        """Describe a step to attention."""
        blocks = [tuple(self._held[row.slot].blocks[: -(-row.end // self.block_size)]) for row in plan.rows]
        return MemoryView.of(plan, layers=self._layers, blocks=blocks, block_size=self.block_size, device=self._device)

    def _next_key(self, holding: _Holding, tokens: Sequence[int]) -> bytes:
        """The key of the first block that has none yet."""
        start = holding.known * self.block_size
        return next_key(holding.keys[-1], tokens[start : start + self.block_size])
