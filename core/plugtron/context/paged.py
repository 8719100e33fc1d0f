"""The paged context: sequences hold as many blocks as they need, and share those of a common prefix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch

from plugtron.context.block_bytes import get_block, set_block
from plugtron.context.blocks import BlockPool
from plugtron.context.layers import allocate_kv_cache
from plugtron.context.layout import lay_out
from plugtron.context.prefix import first_key, next_key
from plugtron.context.prefix_disk import PrefixDisk
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.decoder import ModelInfo
from plugtron.contracts.memory import AttentionMetadata, LayerState, as_bytes
from plugtron.contracts.step import StepPlan
from plugtron.parallel.runtime import Runtime
from plugtron.utils.free_memory import release_memory
from plugtron.utils.transfers import transfer

__all__ = ["PagedInferenceContext"]

#: Blocks that are read from disk before the ranks agree on them.
_AT_ONCE = 64


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
        prefix_caching: keep and find blocks by their content.

    Attributes:
        disk: where blocks are kept and found by their content, too; None: nowhere.
        disk_tokens: how many tokens have been read from there.
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
        prefix_caching: bool = True,
    ) -> None:
        self.slots = slots
        self.max_length = max_length
        self.block_size = block_size
        self.last_tokens = torch.zeros(slots, dtype=torch.int64, device=runtime.device)
        self.pool = BlockPool(blocks + 1)
        self.disk: PrefixDisk | None = None
        self.disk_tokens = 0
        self._prefix_caching = prefix_caching
        self._info, self._runtime = info, runtime
        self._device = runtime.device
        # How often all that memory holds has gone out of date.
        self._era = 0
        self._held: dict[int, _Holding] = {}
        # Which blocks may hold what a sequence has left behind.
        self._used = np.zeros(blocks + 1, dtype=bool)
        # What `_held` says of blocks, for the device; scratch beyond a slot's last block.
        self._tables = np.zeros((slots, -(-max_length // block_size)), dtype=np.int64)
        self.layers = self._allocated()

    def _allocated(self) -> tuple[LayerState, ...]:
        return allocate_kv_cache(
            self._info,
            self._runtime,
            blocks=len(self._used),
            block_size=self.block_size,
            remedy="lower engine.options.blocks",
        )

    def forget_prefixes(self) -> None:
        """Serve nothing that memory holds to sequences that begin from now on: it is of other weights."""
        self._era += 1
        self.disk = None  # which knows the weights of before

    def release_memory(self) -> None:
        """Give back the memory of the layers, which no slot holds any of."""
        assert not self._held, "all slots have let go of their blocks"
        self.layers = ()
        release_memory(self._device)

    def restore_memory(self) -> None:
        """Take the memory of the layers again, with nothing in it.

        Raises:
            SpecError: there is not as much; the context stays without.
        """
        self.layers = self._allocated()
        self.pool = BlockPool(len(self._used))
        self._used[:] = False

    def attach(self, slot: int, tokens: Sequence[int], salt: bytes = b"") -> int:
        """Give a fresh slot the blocks that hold a beginning of its tokens already; return how many tokens that is.

        The last token is never served: its logits are what a step is for. Prefixes of different salts are never shared;
        those of different models cannot be, because a context is one model's.
        """
        assert slot not in self._held, "a slot is attached once, before anything is allocated"
        holding = self._held[slot] = _Holding([], [first_key(salt, self._era)])
        while self._prefix_caching and (holding.known + 1) * self.block_size < len(tokens):
            key = self._next_key(holding, tokens)
            block = self.pool.find(key)
            if block is None:
                break
            self.pool.share(block)
            self._append(slot, block)
            holding.keys.append(key)
        if self.disk is not None:
            self._read_on(self.disk, slot, tokens)
            for key in reversed(holding.keys[1:]):  # of a prefix its end is the first to go
                self.disk.use(key)
        return holding.known * self.block_size

    def _read_on(self, disk: PrefixDisk, slot: int, tokens: Sequence[int]) -> None:
        """Go on from what a slot has with the blocks that every rank of the model has on disk."""
        holding = self._held[slot]
        while True:
            most = min((len(tokens) - 1) // self.block_size - holding.known, self.pool.available, _AT_ONCE)
            if most <= 0:
                return
            keys = self._next_keys(holding, tokens, most)
            found = list(takewhile(lambda content: content is not None, map(disk.read, keys)))
            count = min(self._runtime.model.all_gather_json(len(found)))
            for key, content in zip(keys[:count], found, strict=False):
                block = self.pool.take()
                assert content is not None
                set_block(self.layers, block, content)
                self._append(slot, block)
                self.pool.publish(block, key)
                holding.keys.append(key)
            self.disk_tokens += count * self.block_size
            if count < most:
                return

    def allocate(self, slot: int, length: int) -> bool:
        """Reserve memory for the first `length` tokens of a slot: all of it, or none and False."""
        missing = -(-length // self.block_size) - len(self._held[slot].blocks)
        if missing <= 0:
            return True
        if length > self.max_length or missing > self.pool.available:
            return False
        taken = [self.pool.take() for _ in range(missing)]
        for block in taken:
            self._append(slot, block)
        self._clear([block for block in taken if self._used[block]])
        return True

    def could_hold(self, length: int, slots: Iterable[int | None]) -> bool:
        """Whether `length` tokens would find memory if these slots had none; what others share is not looked at."""
        theirs = sum(len(self._held[slot].blocks) for slot in slots if slot in self._held)
        return -(-length // self.block_size) <= self.pool.available + theirs

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
        self._held[target] = _Holding([], theirs.keys[: full + 1])
        for block in theirs.blocks[:full]:
            self.pool.share(block)
            self._append(target, block)
        if rest:
            copy = self.pool.take()
            for state in self.layers:
                for cache in state.parts:
                    cache[copy] = cache[theirs.blocks[full]]
            self._append(target, copy)
        return True

    def publish(self, slot: int, tokens: Sequence[int]) -> None:
        """Make the full blocks of `tokens`, which are all in memory, findable for others."""
        holding = self._held[slot]
        before = holding.known
        while self._prefix_caching and (holding.known + 1) * self.block_size <= len(tokens):
            key = self._next_key(holding, tokens)
            self.pool.publish(holding.blocks[holding.known], key)
            holding.keys.append(key)
        if self.disk is not None:
            for number in reversed(range(before, holding.known)):
                key = holding.keys[number + 1]
                if not self.disk.has(key):
                    self.disk.write(key, get_block(self.layers, holding.blocks[number]))

    def release(self, slot: int, *, clear: bool = False) -> None:
        """Give back what a slot holds; of a prefix that stays findable, its end is the first to go."""
        holding = self._held.pop(slot)
        for number, block in reversed(list(enumerate(holding.blocks))):
            if clear and self.pool.forget(block) and self.disk is not None and number < holding.known:
                self.disk.remove(holding.keys[number + 1])
            self._used[block] = True
            self.pool.release(block)
        self._tables[slot] = 0  # beyond its last block a row reads scratch, not somebody else's

    def view(self, plan: StepPlan) -> AttentionMetadata:
        """Describe a step to attention."""
        return lay_out(plan, layers=self.layers, tables=self._tables, block_size=self.block_size, device=self._device)

    def _clear(self, blocks: list[int]) -> None:
        """Zero blocks that were used before, for a new owner whose reads may go beyond what it has written."""
        if not blocks or not self.clears:
            return
        (chosen,) = transfer(self._device, np.array(blocks))
        for state in self.layers:
            for cache in state.parts:
                as_bytes(cache).index_fill_(0, chosen, 0)

    def _append(self, slot: int, block: int) -> None:
        blocks = self._held[slot].blocks
        self._tables[slot, len(blocks)] = block
        blocks.append(block)

    def _next_keys(self, holding: _Holding, tokens: Sequence[int], count: int) -> list[bytes]:
        """The keys of the first `count` blocks that have none yet."""
        ahead = _Holding([], holding.keys[:])
        for _ in range(count):
            ahead.keys.append(self._next_key(ahead, tokens))
        return ahead.keys[-count:]

    def _next_key(self, holding: _Holding, tokens: Sequence[int]) -> bytes:
        """The key of the first block that has none yet."""
        start = holding.known * self.block_size
        return next_key(holding.keys[-1], tokens[start : start + self.block_size])
