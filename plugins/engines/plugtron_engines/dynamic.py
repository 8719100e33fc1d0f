"""The dynamic engine: continuous batching. Sequences join and leave at every step, over paged memory."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from pathlib import Path

from plugtron import Options
from plugtron.context import PagedInferenceContext
from plugtron.contracts import EngineStats, Parts, PendingStep, ScheduledSequence, StepPlan, TextGenerationController
from plugtron.engine import BatchingEngine, sequence_limit
from plugtron.errors import SpecError
from plugtron.request import InferenceSequence
from plugtron_engines.disk import prefix_disk
from plugtron_engines.options import DynamicOptions
from plugtron_engines.planning import Planner
from plugtron_engines.sizing import blocks_of_memory

__all__ = ["DynamicEngine"]


class DynamicEngine(BatchingEngine):
    """Plans each step anew from all that is there: who goes on, who begins, who has to wait for memory.

    Args:
        seed: what requests without a seed of their own derive theirs from.

    Raises:
        SpecError: the model cannot go as far as `max_sequence_length`, memory holds no sequence at all,
            `async_scheduling` is asked for over pipeline stages, or `prefix_cache_disk` cannot be.
    """

    def __init__(
        self, controller: TextGenerationController, options: DynamicOptions | None = None, *, seed: int | None = None
    ) -> None:
        options = options or DynamicOptions()
        info, runtime = controller.model, controller.runtime
        if options.async_scheduling and runtime.pipeline.size > 1:
            raise SpecError(
                "engine.options.async_scheduling: over pipeline stages as many steps are under way already (accepted: "
                "null, false)"
            )
        self._options = options
        disk = prefix_disk(options, controller)
        limit = sequence_limit(options.max_sequence_length, info.max_positions)
        blocks = blocks_of_memory(options, limit, controller)
        limit = min(limit, blocks * options.block_size)
        if limit < 2:
            raise SpecError(f"engine.options.blocks: {blocks} of {options.block_size} tokens hold no sequence")
        super().__init__(controller, slots=options.max_batch_size, limit=limit, seed=seed)
        self.controller = controller
        self.context = PagedInferenceContext(
            info,
            runtime,
            slots=options.max_batch_size,
            max_length=limit,
            blocks=blocks,
            block_size=options.block_size,
            prefix_caching=options.prefix_caching,
        )
        self.context.disk = disk
        controller.prep_for_inference(self.context)
        self._stages = runtime.pipeline.size
        asynchronous = options.async_scheduling
        self._runs_ahead = runtime.device.type != "cpu" if asynchronous is None else asynchronous
        self._planner = Planner(self.context, controller, options.max_step_tokens, self._account)
        self._under_way: deque[PendingStep] = deque()
        self._steps = 0

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> DynamicEngine:
        """Build from a spec."""
        assert isinstance(options, DynamicOptions)
        assert parts.controller is not None
        return cls(parts.controller, options, seed=parts.seed)

    @property
    def stats(self) -> EngineStats:
        """What the engine counts of its work."""
        return replace(super().stats, disk_tokens=self.context.disk_tokens)

    def _advance(self) -> None:
        """Start a step of all that can go on, and finish the one that was started first.

        Over several pipeline stages as many steps are under way, each with sequences of its own. Over one, the step
        after the one under way may be started before that is finished, with the same sequences.
        """
        self._retire_ended()
        started = self._start()
        self._start_ahead()
        if self._under_way and (len(self._under_way) >= self._stages or not started):
            self._finish()
        # Nobody waits for a step that was started for sequences which have ended since; their ends are reported now.
        while self._under_way and not self._living():
            self._finish()

    def _abandon_steps(self) -> None:
        self._under_way.clear()

    def _interrupt(self) -> None:
        """Finish the steps that are under way; sequences keep their slots, as those do that have to give way."""
        while self._under_way:
            self._finish()
        self._retire_ended()
        self._planner.preempt(self._scheduler.active.values())

    def _replace_weights(self, path: Path) -> None:
        self.controller.update_weights(path)
        self.context.forget_prefixes()

    def _release_memory(self, *, weights: bool) -> None:
        self.controller.release_memory(weights=weights)
        self.context.release_memory()

    def _restore_memory(self) -> None:
        def restore() -> None:
            if self.context.disk is not None:  # the weights are read again, from files that may have changed
                self.context.disk = prefix_disk(self._options, self.controller)
            self.context.restore_memory()
            self.controller.restore_memory()

        self.controller.runtime.model.run_on_all_ranks(restore)

    def _blocks(self) -> tuple[int, int, int]:
        return self.context.pool.total, self.context.pool.held, self.context.pool.kept

    def _busy(self) -> set[int]:
        """The slots that are in some step."""
        return {row.slot for pending in self._under_way for row in pending.plan.rows}

    def _living(self) -> int:
        """How many active sequences have not ended."""
        return sum(sequence.finish_reason is None for sequence in self._scheduler.active.values())

    def _idle(self) -> list[InferenceSequence]:
        """The sequences with a slot that are in no step."""
        if not self._under_way:
            return list(self._scheduler.active.values())
        busy = self._busy()
        return [sequence for slot, sequence in self._scheduler.active.items() if slot not in busy]

    def _start(self) -> bool:
        """Start a step, if there is a stage for it and a sequence that can go on."""
        if len(self._under_way) >= self._stages:
            return False
        # With several stages a step takes its share of the sequences, so that the other stages get theirs.
        there = min(len(self._scheduler.active) + len(self._scheduler.waiting), self.context.slots)
        rows = self._planner.plan(self._idle(), self._admit, -(-there // self._stages))
        if not rows:
            return False
        self._launch(rows)
        return True

    def _start_ahead(self) -> None:
        """Start the step after the only one under way, when all there is to do is to go on with what that one draws."""
        if not self._runs_ahead or len(self._under_way) != 1:
            return
        pending, scheduler = self._under_way[0], self._scheduler
        # Who waits gets the room there is, and that of who has ended, first.
        admits = scheduler.waiting and (self._may_admit() or self._living() < len(scheduler.active))
        if admits or self._planner.preempted or scheduler.active.keys() != set(pending.slot_ids):
            return
        slots = self.controller.next_slots(pending)
        rows = self._planner.plan_ahead(pending.plan.rows, frozenset(slots)) if slots else None
        if rows:
            self._launch(rows)

    def _launch(self, rows: list[ScheduledSequence]) -> None:
        plan = StepPlan(step=self._steps, rows=tuple(rows))
        self._steps += 1
        self._account.step(sum(row.num_new for row in rows))
        begin = time.perf_counter()
        self._under_way.append(self.controller.start_step(plan))
        self._account.spent(start=time.perf_counter() - begin)

    def _finish(self) -> None:
        pending = self._under_way.popleft()
        begin = time.perf_counter()
        self.controller.finish_step(pending)
        self._account.spent(finish=time.perf_counter() - begin)
        columns, block = pending.plan.columns, self.context.block_size
        for slot, start, size in zip(columns.slots, columns.num_computed, columns.num_new, strict=True):
            # Whether a block has been filled: most rows of most steps are quickly done with.
            if start % block + size >= block and slot in self._scheduler.active:
                sequence = self._scheduler.active[slot]
                self.context.publish(slot, sequence.all_tokens[: sequence.computed])

    def _admit(self) -> InferenceSequence | None:
        """Give the next waiting sequence a slot, and what memory has of its prompt already."""
        if not self._may_admit():
            return None
        sequence = self._scheduler.admit()
        prompt, salt = sequence.request.prompt_tokens, sequence.request.cache_salt
        assert sequence.slot is not None
        elder = self._elder(sequence)
        if elder is None or not self.context.fork(elder, sequence.slot, len(prompt) - 1):
            known = prompt[: self.controller.first_logit(sequence) + 1]
            sequence.computed = self.context.attach(sequence.slot, known, salt.encode())
        else:
            sequence.computed = len(prompt) - 1
        sequence.cached_tokens = sequence.computed
        # One that could not be started ends this round of admissions; the next one's turn is the next step.
        return sequence if self._start_sequence(sequence) else None

    def _may_admit(self) -> bool:
        """Whether there is a slot, and room in memory, for the next waiting sequence."""
        if not self._scheduler.waiting or not self._scheduler.has_room:
            return False
        if not self._scheduler.active:
            return True
        first = self._scheduler.waiting.first
        room = self.context.pool.available * self.context.block_size
        return len(first.request.prompt_tokens) < room and self._prompt_is_ready(first)

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
        ended = [sequence for sequence in self._scheduler.active.values() if sequence.finish_reason is not None]
        busy = self._busy() if ended else ()
        for sequence in ended:
            # A slot stays its owner's until the step that writes to its memory is over.
            assert sequence.slot is not None
            if sequence.slot in busy:
                continue
            if not self._planner.forget(sequence.slot):
                self.context.release(sequence.slot, clear=sequence.request.error is not None)
            self._end_sequence(sequence)
