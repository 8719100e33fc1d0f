"""The dynamic engine: continuous batching. Sequences join and leave at every step, over paged memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from plugtron.context.memory_size import available_tokens
from plugtron.context.paged import PagedInferenceContext
from plugtron.contracts.controller import PendingStep, TextGenerationController
from plugtron.contracts.engine import Engine
from plugtron.contracts.parts import Parts
from plugtron.contracts.step import StepPlan
from plugtron.errors import SpecError
from plugtron.intake import Intake
from plugtron.options import Options
from plugtron.request import InferenceRequest, InferenceSequence, RequestOutput
from plugtron.scheduler import Scheduler
from plugtron_engines.limits import sequence_limit
from plugtron_engines.options import DynamicOptions
from plugtron_engines.planning import Planner, rank
from plugtron_engines.reports import Reports

__all__ = ["DynamicEngine"]


class DynamicEngine(Engine):
    """Plans each step anew from all that is there: who goes on, who begins, who has to wait for memory.

    Args:
        seed: what requests without a seed of their own derive theirs from.

    Raises:
        SpecError: the model cannot go as far as `max_sequence_length`, or memory holds no sequence at all.
    """

    def __init__(
        self, controller: TextGenerationController, options: DynamicOptions | None = None, *, seed: int | None = None
    ) -> None:
        options = options or DynamicOptions()
        info, runtime = controller.models[0], controller.runtime
        limit = sequence_limit(options.max_sequence_length, info)
        blocks = options.blocks or _blocks(options, limit, controller)
        limit = min(limit, blocks * options.block_size)
        if limit < 2:
            raise SpecError(f"engine.options.blocks: {blocks} of {options.block_size} tokens hold no sequence")
        self.controller = controller
        self.context = PagedInferenceContext(
            info,
            runtime,
            slots=options.max_batch_size,
            max_length=limit,
            blocks=blocks,
            block_size=options.block_size,
            share_prefixes=options.share_prefixes,
        )
        controller.prep_for_inference(self.context)
        self._stages = runtime.pipeline.size
        self._scheduler = Scheduler(options.max_batch_size)
        self._intake = Intake(controller, self._scheduler, seed=seed, limit=limit)
        self._planner = Planner(self.context, options.max_step_tokens)
        self._reports = Reports()
        self._under_way: deque[PendingStep] = deque()
        self._steps = 0

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> DynamicEngine:
        """Build from a spec."""
        assert isinstance(options, DynamicOptions)
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
        """Take a request up for the next step."""
        return self._intake.add(request)

    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step."""
        return self._intake.abort(request_id)

    def step(self) -> Sequence[RequestOutput]:
        """Start a step of all that can go on, and finish the one that was started first.

        Over several pipeline stages as many steps are under way, each with sequences of its own.
        """
        self._intake.apply()
        if self._intake.closed:
            return []  # nobody will take part in a step any more
        self._retire_ended()
        try:
            self._start()
            if len(self._under_way) == self._stages or (self._under_way and not self._can_start()):
                self._finish()
        except BaseException as error:
            # Part of the batch may have moved on and part not: none of it can be trusted to go on.
            self._under_way.clear()
            for sequence in self._scheduler.active.values():
                sequence.request.fail(f"a step failed: {type(error).__name__}: {error}")
            self._retire_ended()
            raise
        self._retire_ended()
        return self._reports.collect(self.controller.take_outputs(), self._scheduler.take_completed())

    def close(self) -> None:
        """End the other ranks that this engine leads, if any."""
        self._intake.close()

    def _idle(self) -> list[InferenceSequence]:
        """The sequences with a slot that are in no step."""
        busy = {row.slot for pending in self._under_way for row in pending.plan.rows}
        return [sequence for slot, sequence in self._scheduler.active.items() if slot not in busy]

    def _can_start(self) -> bool:
        return bool(self._idle()) or bool(self._scheduler.waiting and self._scheduler.has_room)

    def _start(self) -> None:
        if len(self._under_way) == self._stages:
            return
        # With several stages a step takes its share of the sequences, so that the other stages get theirs.
        there = len(self._scheduler.active) + len(self._scheduler.waiting)
        rows = self._planner.plan(self._idle(), self._admit, -(-there // self._stages))
        if rows:
            plan = StepPlan(step=self._steps, rows=tuple(rows))
            self._steps += 1
            self._under_way.append(self.controller.start_step(plan))

    def _finish(self) -> None:
        pending = self._under_way.popleft()
        self.controller.finish_step(pending)
        for row in pending.plan.rows:
            sequence = self._scheduler.active.get(row.slot)
            if sequence is not None and row.end // self.context.block_size > self.context.known(row.slot):
                self.context.publish(row.slot, sequence.all_tokens[: row.end])

    def _admit(self) -> InferenceSequence | None:
        """Give the next waiting sequence a slot, and what memory has of its prompt already."""
        if not self._scheduler.waiting or not self._scheduler.has_room:
            return None
        first = min(self._scheduler.waiting, key=rank)
        prompt = first.request.prompt_tokens
        room = self.context.pool.available * self.context.block_size
        if self._scheduler.active and (len(prompt) >= room or not self._prompt_is_ready(first)):
            return None
        sequence = self._scheduler.admit(first)
        assert sequence.slot is not None
        elder = self._elder(sequence)
        if elder is None or not self.context.fork(elder, sequence.slot, len(prompt) - 1):
            sequence.computed = self.context.attach(sequence.slot, prompt)
        else:
            sequence.computed = len(prompt) - 1
        try:
            self.controller.start_sequence(sequence)
        # Partly plugins' code, such as a tokenizer's: what it raises fails this request alone.
        except Exception as error:
            sequence.request.fail(f"{type(error).__name__}: {error}")
            return None  # the next one's turn is the next step
        return sequence

    def _prompt_is_ready(self, sequence: InferenceSequence) -> bool:
        """Whether nobody is just computing the prompt that this one of several answers begins with."""
        others = [other for other in sequence.request.sequences if other.slot is not None]
        return not others or any(other.computed >= len(other.request.prompt_tokens) for other in others)

    def _elder(self, sequence: InferenceSequence) -> int | None:
        """The slot of another answer to the same prompt, with the whole prompt in memory."""
        length = len(sequence.request.prompt_tokens)
        for other in sequence.request.sequences:
            if other.slot is not None and other.slot not in self._planner.preempted and other.computed >= length:
                return other.slot
        return None

    def _retire_ended(self) -> None:
        busy = {row.slot for pending in self._under_way for row in pending.plan.rows}
        for slot, sequence in list(self._scheduler.active.items()):
            # A slot stays its owner's until the step that writes to its memory is over.
            if sequence.finish_reason is None or slot in busy:
                continue
            self.controller.end_sequence(sequence)
            if slot in self._planner.preempted:
                self._planner.preempted.discard(slot)
            else:
                self.context.release(slot)
            self._scheduler.retire(sequence)
            self._intake.finish_if_over(sequence.request)


def _blocks(options: DynamicOptions, limit: int, controller: TextGenerationController) -> int:
    """Blocks for a full batch of the longest sequences, as far as half the free memory goes, equal on all ranks."""
    runtime, info = controller.runtime, controller.models[0]
    wanted = options.max_batch_size * -(-limit // options.block_size)
    there = available_tokens(info, dtype=runtime.dtype, device=runtime.device) // 2 // options.block_size
    return max(min(runtime.model.all_gather_json(min(wanted, there))), 1)
