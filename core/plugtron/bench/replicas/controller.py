"""A controller without a model: its steps let the time of a cost model pass, and draw made-up tokens."""

from __future__ import annotations

import zlib
from array import array
from dataclasses import dataclass

import torch

from plugtron.bench.replicas.step_cost import StepCost
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.controller import PendingStep, TextGenerationController
from plugtron.contracts.decoder import AttentionState, ModelInfo
from plugtron.contracts.step import ScheduledSequence, StepPlan, StepResult
from plugtron.engine.live_sequence import LiveSequence
from plugtron.parallel.runtime import Runtime
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, InferenceSequence, Prompt, RequestOutput
from plugtron.request.sampling_params import SamplingParams

__all__ = ["VOCABULARY", "Clock", "SimulatedController"]

#: Ids that made-up requests are made of, and made-up tokens are.
VOCABULARY = 1 << 15


@dataclass(slots=True)
class Clock:
    """The time of a replica, in seconds from the first arrival on."""

    now: float = 0.0


class SimulatedController(TextGenerationController):
    """Does what an engine asks of a controller, and nothing else.

    Equal prompts have equal answers, as greedy ones do, so that memory holds equal blocks.

    Args:
        clock: goes on with every step.
        positions: how long a sequence may get.
    """

    def __init__(self, runtime: Runtime, cost: StepCost, clock: Clock, *, positions: int) -> None:
        self.runtime = runtime
        self.tokenizer = None
        self.model = ModelInfo(
            vocab_size=VOCABULARY,
            padded_vocab_size=VOCABULARY,
            hidden_size=1,
            max_positions=positions,
            # As little as an engine can reserve memory for: nothing is ever written to it.
            states=(AttentionState(kv_heads=1, head_dim=1, dtype=torch.uint8),),
        )
        self._cost = cost
        self._clock = clock
        self._live: dict[int, LiveSequence] = {}
        self._first_token: dict[int, int] = {}
        self._outputs: list[RequestOutput] = []
        self._longest = positions
        self.block_size = 1

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Take note of how long sequences may get; nothing is read from memory, so that nothing need be cleared."""
        self._longest, self.block_size = context.max_length, context.block_size
        context.clears = False

    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a prompt, which must be ids."""
        del params, chat
        if not prompt or isinstance(prompt, str) or isinstance(prompt[0], dict):
            raise ValueError("a simulated replica has no tokenizer: give the prompt as token ids")
        return list(prompt)  # pyright: ignore[reportReturnType] - all entries are messages or none is

    def check(self, request: InferenceRequest) -> None:
        """Refuse nothing: what is drawn is made up."""

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence; its request has waited until now."""
        assert sequence.slot is not None
        sequence.request.started = self._clock.now
        self._live[sequence.slot] = LiveSequence.begin(sequence, None, (), self._longest)
        self._first_token[sequence.slot] = zlib.crc32(array("q", sequence.request.prompt_tokens).tobytes())

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence."""
        assert sequence.slot is not None
        del self._live[sequence.slot], self._first_token[sequence.slot]

    def next_row(self, sequence: InferenceSequence) -> ScheduledSequence:
        """The prompt first, then the token drawn last."""
        assert sequence.slot is not None
        start, prompt = sequence.computed, sequence.request.prompt_tokens
        if start >= len(prompt):
            return ScheduledSequence(sequence.slot, start, 1, self._longest)
        return ScheduledSequence(sequence.slot, start, len(prompt) - start, self._longest, tuple(prompt[start:]))

    def start_step(self, plan: StepPlan) -> PendingStep:
        """Let the time of a step pass."""
        drawing = tuple([row.slot for row in plan.rows if row.num_logits])
        self._clock.now += self._cost.seconds(len(drawing), sum([row.num_new for row in plan.rows if row.tokens]))
        return PendingStep(plan=plan, slot_ids=drawing)

    def finish_step(self, pending: PendingStep) -> StepResult:
        """Add a token to every sequence that draws."""
        drawn: dict[int, tuple[int, ...]] = {}
        for row in pending.plan.rows:
            live = self._live[row.slot]
            live.sequence.computed = row.end
            if not row.num_logits:
                continue
            token = (self._first_token[row.slot] + row.end) % VOCABULARY
            reason = live.push(token, self._clock.now)
            drawn[row.slot] = (token,)
            self._outputs.append(RequestOutput(live.sequence.request, 0, "", (token,), reason))
        return StepResult(step=pending.plan.step, tokens=drawn, log_probs={}, failures={})

    def take_outputs(self) -> list[RequestOutput]:
        """Return what has been added since the last call."""
        taken, self._outputs = self._outputs, []
        return taken
