"""The static engine: the scheduling policy "admit only into an empty batch"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plugtron import Options
from plugtron.context import StaticInferenceContext
from plugtron.contracts import Parts, StepResult, TextGenerationController
from plugtron.engine import BatchingEngine, sequence_limit
from plugtron.request import InferenceSequence
from plugtron_engines.options import StaticOptions

__all__ = ["StaticEngine"]


class StaticEngine(BatchingEngine):
    """Fills a batch from the queue, runs it to its end, and fills the next.

    Args:
        seed: what requests without a seed of their own derive theirs from.

    Raises:
        SpecError: the model cannot go as far as `max_sequence_length`.
    """

    def __init__(
        self, controller: TextGenerationController, options: StaticOptions | None = None, *, seed: int | None = None
    ) -> None:
        options = options or StaticOptions()
        info, slots = controller.model, options.max_batch_size
        limit = sequence_limit(options.max_sequence_length, info.max_positions)
        super().__init__(controller, slots=slots, limit=limit, seed=seed)
        self.controller = controller
        self.context = StaticInferenceContext(info, controller.runtime, slots=slots, max_length=limit)
        controller.prep_for_inference(self.context)
        self._steps: Iterator[StepResult] = iter(())

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> StaticEngine:
        """Build from a spec."""
        assert isinstance(options, StaticOptions)
        assert parts.controller is not None
        return cls(parts.controller, options, seed=parts.seed)

    def _advance(self) -> None:
        """Run one step of the current batch; begin the next batch when there is none."""
        if not self._scheduler.active and self._scheduler.waiting:
            self._begin_batch()
        computed = sum(sequence.computed for sequence in self._scheduler.active.values())
        if self._scheduler.active and next(self._steps, None) is not None:
            now = sum(sequence.computed for sequence in self._scheduler.active.values())
            self._account.step(now - computed)

    def _begin_batch(self) -> None:
        batch: list[InferenceSequence] = []
        while self._scheduler.waiting and self._scheduler.has_room:
            sequence = self._scheduler.admit()
            assert sequence.slot is not None
            reserved = self.context.allocate(sequence.slot, self.context.max_length)
            assert reserved, "a slot of the static context is always its own"
            self._start_sequence(sequence)
            batch.append(sequence)
        self._steps = self.controller.generate_all_output_tokens_static_batch(batch)

    def _replace_weights(self, path: Path) -> None:
        self.controller.update_weights(path)

    def _release_memory(self, *, weights: bool) -> None:
        self.controller.release_memory(weights=weights)
        self.context.release_memory()

    def _restore_memory(self) -> None:
        def restore() -> None:
            self.context.restore_memory()
            self.controller.restore_memory()

        self.controller.runtime.model.run_on_all_ranks(restore)

    def _abandon_steps(self) -> None:
        self._steps = iter(())

    def _retire_ended(self) -> None:
        for sequence in [entry for entry in self._scheduler.active.values() if entry.finish_reason is not None]:
            # Its step may still be under way: nobody gets the slot before the batch is over, and the controller passes
            # over slots that have been let go of.
            assert sequence.slot is not None
            self.context.release(sequence.slot, clear=sequence.request.error is not None)
            self._end_sequence(sequence)

    def _blocks(self) -> tuple[int, int, int]:
        return self.context.slots, len(self._scheduler.active), 0
