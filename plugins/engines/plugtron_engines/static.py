"""The static engine: the scheduling policy "admit only into an empty batch"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plugtron.context.static import StaticInferenceContext
from plugtron.contracts.controller import TextGenerationController
from plugtron.contracts.engine import Engine
from plugtron.contracts.parts import Parts
from plugtron.contracts.step import StepResult
from plugtron.intake import Intake
from plugtron.options import Options
from plugtron.request import InferenceRequest, InferenceSequence, RequestOutput
from plugtron.scheduler import Scheduler
from plugtron_engines.limits import sequence_limit
from plugtron_engines.options import StaticOptions
from plugtron_engines.reports import Reports

__all__ = ["StaticEngine"]


class StaticEngine(Engine):
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
        info = controller.models[0]
        limit = sequence_limit(options.max_sequence_length, info)
        self.controller = controller
        self.context = StaticInferenceContext(info, controller.runtime, slots=options.max_batch_size, max_length=limit)
        controller.prep_for_inference(self.context)
        self._scheduler = Scheduler(options.max_batch_size)
        self._intake = Intake(controller, self._scheduler, seed=seed, limit=limit)
        self._steps: Iterator[StepResult] = iter(())
        self._reports = Reports()

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> StaticEngine:
        """Build from a spec."""
        assert isinstance(options, StaticOptions)
        assert parts.controller is not None
        return cls(parts.controller, options, seed=parts.seed)

    @property
    def has_unfinished_requests(self) -> bool:
        """Whether anything waits, runs, or has ended without having been reported."""
        return self._intake.has_events or self._scheduler.has_unfinished or bool(self._scheduler.completed)

    @property
    def closed(self) -> bool:
        """Whether the engine, here or at the leader, has been closed."""
        return self._intake.closed

    def add_request(self, request: InferenceRequest) -> int:
        """Take a request up for the next batch."""
        return self._intake.add(request)

    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step."""
        return self._intake.abort(request_id)

    def step(self) -> Sequence[RequestOutput]:
        """Run one step of the current batch; begin the next batch when there is none."""
        self._intake.apply()
        if self._intake.closed:
            return []  # nobody will take part in a step any more
        if not self._scheduler.active and self._scheduler.waiting:
            self._begin_batch()
        if self._scheduler.active:
            try:
                next(self._steps, None)
            except BaseException as error:
                # Part of the batch may have moved on and part not: none of it can be trusted to go on.
                for sequence in self._scheduler.active.values():
                    sequence.request.fail(f"a step failed: {type(error).__name__}: {error}")
                self._retire_ended()
                raise
            self._retire_ended()
        return self._reports.collect(self.controller.take_outputs(), self._scheduler.take_completed())

    def close(self) -> None:
        """End the other ranks that this engine leads, if any."""
        self._intake.close()

    def _begin_batch(self) -> None:
        batch: list[InferenceSequence] = []
        while self._scheduler.waiting and self._scheduler.has_room:
            sequence = self._scheduler.admit()
            assert sequence.slot is not None
            reserved = self.context.allocate(sequence.slot, self.context.max_length)
            assert reserved, "a slot of the static context is always its own"
            try:
                self.controller.start_sequence(sequence)
            # Partly plugins' code, such as a tokenizer's: what it raises fails this request alone.
            except Exception as error:
                sequence.request.fail(f"{type(error).__name__}: {error}")
            batch.append(sequence)
        self._steps = self.controller.generate_all_output_tokens_static_batch(batch)

    def _retire_ended(self) -> None:
        for sequence in [entry for entry in self._scheduler.active.values() if entry.finish_reason is not None]:
            assert sequence.slot is not None
            self.controller.end_sequence(sequence)
            self.context.release(sequence.slot)
            self._scheduler.retire(sequence)
            self._intake.finish_if_over(sequence.request)
