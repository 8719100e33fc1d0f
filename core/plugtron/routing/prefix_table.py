"""What a router remembers of the prompts that it has sent where."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence

from plugtron.context.prefix import first_key, next_key

__all__ = ["PrefixTable"]


class PrefixTable:
    """Which replicas were sent which beginnings of prompts, by block. It is not told what they still hold.

    Args:
        block_size: tokens of a block, as replicas share them.
        most: keys that are remembered; the least recently used are evicted first.
    """

    def __init__(self, *, block_size: int, most: int) -> None:
        self._block_size = block_size
        self._most = most
        self._holders: OrderedDict[bytes, dict[int, None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._holders)

    def keys(self, tokens: Sequence[int], salt: str) -> list[bytes]:
        """What a prompt's blocks are known by, those that memory could serve: not that of its last token."""
        size, key = self._block_size, first_key(salt.encode())
        found: list[bytes] = []
        for end in range(size, len(tokens), size):
            key = next_key(key, tokens[end - size : end])
            found.append(key)
        return found

    def holders(self, keys: Sequence[bytes]) -> Collection[int]:
        """The replicas that were sent the longest beginning that any was."""
        longest: Collection[int] = ()
        for key in keys:
            there = self._holders.get(key)
            if there is None:
                break
            longest = there
        return longest

    def note(self, keys: Sequence[bytes], replica: int) -> None:
        """Remember where a prompt is sent; of two blocks the later one is the first to go."""
        for key in reversed(keys):
            self._holders.setdefault(key, {})[replica] = None
            self._holders.move_to_end(key)
        while len(self._holders) > self._most:
            self._holders.popitem(last=False)

    def forget(self, replica: int) -> None:
        """Forget what a replica was sent: it is gone, and its memory with it."""
        for key, there in list(self._holders.items()):
            there.pop(replica, None)
            if not there:
                del self._holders[key]
