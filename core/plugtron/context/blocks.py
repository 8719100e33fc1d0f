"""The blocks of paged KV memory: which are free, how many sequences hold each, and which hold a known prefix.

A block that nobody holds any more, but whose content is indexed, is kept until its place is needed: the one that was
let go of longest ago goes first. Everything here is O(1) per block.
"""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["BlockPool"]


class BlockPool:
    """Numbers 1 to `count` - 1; block 0 is scratch, as in every context."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, 0, -1))
        self._holders = [0] * count
        self._block_of: dict[bytes, int] = {}
        self._key_of: dict[int, bytes] = {}
        self._evictable: OrderedDict[int, None] = OrderedDict()

    @property
    def available(self) -> int:
        """How many blocks can be taken: the free ones, and those that are kept for their content alone."""
        return len(self._free) + len(self._evictable)

    @property
    def total(self) -> int:
        """How many blocks there are."""
        return len(self._holders) - 1

    @property
    def kept(self) -> int:
        """How many blocks nobody holds that are kept for their content."""
        return len(self._evictable)

    @property
    def held(self) -> int:
        """How many blocks some sequence holds, shared ones counted once."""
        return self.total - self.available

    def take(self) -> int:
        """Take a block, for writing; there must be one available."""
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._evictable.popitem(last=False)
            del self._block_of[self._key_of.pop(block)]
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Hold a block that is held already, or that is kept for its content."""
        self._evictable.pop(block, None)
        self._holders[block] += 1

    def release(self, block: int) -> None:
        """Let go of a block."""
        self._holders[block] -= 1
        assert self._holders[block] >= 0, f"block {block} was released more often than held"
        if self._holders[block]:
            return
        if block in self._key_of:
            self._evictable[block] = None
        else:
            self._free.append(block)

    def forget(self, block: int) -> bool:
        """Forget what a block holds, if one sequence alone holds it; say so."""
        if self._holders[block] != 1:
            return False
        key = self._key_of.pop(block, None)
        if key is not None:
            del self._block_of[key]
        return True

    def find(self, key: bytes) -> int | None:
        """The block whose content is known by `key`."""
        return self._block_of.get(key)

    def publish(self, block: int, key: bytes) -> None:
        """Make a full block findable; the first of several with one content stays."""
        if key not in self._block_of and block not in self._key_of:
            self._block_of[key] = block
            self._key_of[block] = key
