"""The static context: every slot owns one block as long as the longest sequence."""

from __future__ import annotations

import numpy as np
import torch

from plugtron.context.layers import allocate_kv_cache
from plugtron.context.layout import lay_out
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.decoder import ModelInfo
from plugtron.contracts.memory import AttentionMetadata, LayerState, as_bytes
from plugtron.contracts.step import StepPlan
from plugtron.parallel.runtime import Runtime
from plugtron.utils.free_memory import release_memory

__all__ = ["StaticInferenceContext"]


class StaticInferenceContext(InferenceContext):
    """Slot s owns block s + 1; block 0 is scratch, as in every context.

    Args:
        info: the model; `states` says what each of this rank's layers keeps.
        slots: sequences at once.
        max_length: tokens per sequence.
    """

    def __init__(self, info: ModelInfo, runtime: Runtime, *, slots: int, max_length: int) -> None:
        self.slots = slots
        self.max_length = self.block_size = max_length
        self.last_tokens = torch.zeros(slots, dtype=torch.int64, device=runtime.device)
        self._info, self._runtime = info, runtime
        self._device = runtime.device
        # How many tokens each slot has written.
        self._lengths = np.zeros(slots, dtype=np.int64)
        self._tables = np.arange(1, slots + 1).reshape(slots, 1)
        self.layers = self._allocated()

    def _allocated(self) -> tuple[LayerState, ...]:
        return allocate_kv_cache(
            self._info,
            self._runtime,
            blocks=self.slots + 1,
            block_size=self.max_length,
            remedy="lower engine.options.max_batch_size or max_sequence_length",
            scattered=True,
        )

    def release_memory(self) -> None:
        """Give back the memory of the layers, in which no slot has anything that is needed again."""
        self.layers = ()
        self._lengths[:] = 0
        release_memory(self._device)

    def restore_memory(self) -> None:
        """Take the memory of the layers again, with nothing in it.

        Raises:
            SpecError: there is not as much; the context stays without.
        """
        self.layers = self._allocated()

    def allocate(self, slot: int, length: int) -> bool:
        """A slot's memory is its own for good; only a length beyond the limit is refused."""
        return 0 <= slot < self.slots and length <= self.max_length

    def release(self, slot: int, *, clear: bool = False) -> None:
        """Nothing is shared, so nothing has to be given back; what was written is zeroed for the next owner."""
        del clear
        length, self._lengths[slot] = int(self._lengths[slot]), 0
        for state in self.layers if self.clears and length else ():
            for cache in state.parts:
                as_bytes(cache)[slot + 1, :, :length].zero_()

    def view(self, plan: StepPlan) -> AttentionMetadata:
        """Describe a step to attention."""
        columns = plan.columns
        self._lengths[list(columns.slots)] = np.add(columns.num_computed, columns.num_new)
        return lay_out(plan, layers=self.layers, tables=self._tables, block_size=self.max_length, device=self._device)
