"""KV memory of beams: full blocks are shared between those that have a beginning in common."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.context import PagedInferenceContext, bytes_per_token
from plugtron.contracts import ModelInfo, Runtime

__all__ = ["BeamMemory"]

_BLOCK = 16


class BeamMemory:
    """Hands out slots of a context of its own, twice as many as beams: one that goes on twice needs a second slot.

    Args:
        beams: at once, over all requests.
        longest: tokens of a sequence.
    """

    def __init__(self, info: ModelInfo, runtime: Runtime, *, beams: int, longest: int) -> None:
        self.context = PagedInferenceContext(
            info,
            runtime,
            slots=2 * beams,
            max_length=longest,
            blocks=beams * _blocks(longest),
            block_size=_BLOCK,
            prefix_caching=False,
        )
        self._free = list(range(2 * beams))
        self._left = beams

    @staticmethod
    def bytes(info: ModelInfo, *, beams: int, longest: int) -> int:
        """How much memory that is."""
        return beams * _blocks(longest) * _BLOCK * bytes_per_token(info)

    def reserve(self, beams: int) -> bool:
        """Set room for as many beams aside, if there is."""
        if beams > self._left:
            return False
        self._left -= beams
        return True

    def begin(self) -> int:
        """Return an empty slot."""
        slot = self._free.pop()
        self.context.attach(slot, ())
        return slot

    def follow(self, slots: Sequence[int], parents: Sequence[int], length: int) -> list[int]:
        """Return slots for the beams that continue those of `slots`, which hold `length` tokens.

        The first that continues a beam keeps its slot; slots that nobody continues are given back.
        """
        taken: set[int] = set()
        found: list[int] = []
        for parent in parents:
            slot = slots[parent]
            if slot in taken:
                slot = self._free.pop()
                forked = self.context.fork(slots[parent], slot, length)
                assert forked, "every beam has a block more than it can fill"
            taken.add(slot)
            found.append(slot)
        self._release([slot for slot in slots if slot not in taken])
        return found

    def end(self, slots: Sequence[int], beams: int) -> None:
        """Give back what a request has."""
        self._release(slots)
        self._left += beams

    def _release(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self.context.release(slot)
            self._free.append(slot)


def _blocks(longest: int) -> int:
    """Those of a beam, and one for a copy of its last block."""
    return -(-longest // _BLOCK) + 1
