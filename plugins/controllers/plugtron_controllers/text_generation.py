"""The text generation controller: logits through the sampler chain to one token per sequence, and on to text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from plugtron import Options
from plugtron.contracts import (
    Candidates,
    HostCopy,
    InferenceContext,
    ModelWrapper,
    Parts,
    PendingStep,
    Sampler,
    ScheduledSequence,
    StepBatch,
    StepOutput,
    StepPlan,
    StepResult,
    Tokenizer,
)
from plugtron.engine import LiveSequence, check_request, logits_per_step, tokenize
from plugtron.kernels import SamplingChoice, on_one_thread
from plugtron.request import (
    ChatOptions,
    FinishReason,
    InferenceRequest,
    InferenceSequence,
    Prompt,
    RequestOutput,
    SamplingParams,
)
from plugtron.utils import transfer
from plugtron_controllers.admission import check_fields, check_stages
from plugtron_controllers.asked import ask, has_draft
from plugtron_controllers.chain import Chain
from plugtron_controllers.checked import name_of
from plugtron_controllers.drawing import Drawing, Found
from plugtron_controllers.drawn_step import DrawnStep
from plugtron_controllers.embeddings import Embeddings, check_embedding, pool, room_for
from plugtron_controllers.failures import NOT_DRAWN, exchange_failures, leaves_nothing
from plugtron_controllers.fused import FusedDraw
from plugtron_controllers.logprobs import pack_log_probs, unpack_log_probs
from plugtron_controllers.model_controller import ModelController
from plugtron_controllers.params import GenerationParams
from plugtron_controllers.prompt_logprobs import add_prompt_log_probs, check_prompt_logprobs, first_to_score
from plugtron_controllers.sampling import draw, draw_greedily, warm_up

__all__ = ["SimpleTextGenerationController"]

#: What the chain and the draw take for each candidate: a few copies in float32.
_BYTES_A_CANDIDATE = 16


class SimpleTextGenerationController(ModelController):
    """Draws one token per sequence and step.

    Samplers run and draws are made on the one rank of the model group where the logits come together; tokens, log
    probabilities and failures go from there to the others, so that nothing a sampler does can make ranks disagree.
    """

    params = GenerationParams

    def __init__(
        self, wrapper: ModelWrapper, tokenizer: Tokenizer | None = None, samplers: Sequence[Sampler] = ()
    ) -> None:
        self.runtime = wrapper.runtime
        self.tokenizer = tokenizer
        self.model = wrapper.info
        self._eos_ids = wrapper.info.eos_ids if tokenizer is None else tokenizer.eos_ids
        self._wrapper = wrapper
        self._chain = Chain(samplers, wrapper.info.vocab_size)
        self._drawing = Drawing(
            self._chain, lambda candidates: self.process_logits(candidates), lambda left: self.sample_from_logits(left)
        )
        self._sampling = SamplingChoice(wrapper.runtime, wrapper.options)
        self._live: dict[int, LiveSequence] = {}
        # Which slots draw at random, and how many of the most likely ids those report that want log probabilities.
        self._random: set[int] = set()
        self._wanted: dict[int, int] = {}
        self._embeddings = Embeddings(wrapper.info)
        # Those for which a sampler reads the tokens that the host has.
        self._read: set[int] = set()
        self._outputs: list[RequestOutput] = []
        self._context: InferenceContext | None = None
        self._now = 0.0  # when the tokens of this step came
        # Per slot and on the device, for the draw; they are sized when the context is known.
        self._seeds = torch.zeros(0, dtype=torch.int64)
        self._greedy = torch.zeros(0, dtype=torch.bool)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> SimpleTextGenerationController:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper, parts.tokenizer, parts.samplers)

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Have the model's weights loaded, and say what steps work in: the model, the chain and the draw."""
        rows = logits_per_step(rows)
        own = self._wrapper.preload(rows, tokens, longest)
        return None if own is None else own + rows * self.model.padded_vocab_size * _BYTES_A_CANDIDATE

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model ready to run over `context`."""
        self._wrapper.prep_model_for_inference(context)
        self._context = context
        self._seeds = torch.zeros(context.slots, dtype=torch.int64, device=self.runtime.device)
        self._greedy = torch.zeros(context.slots, dtype=torch.bool, device=self.runtime.device)
        # Who draws otherwise is asked to.
        own = type(self).sample_from_logits is SimpleTextGenerationController.sample_from_logits
        if own and self.runtime.samples and self._sampling.chain is not None:
            self._chain.fused = FusedDraw(self._sampling.chain, self._seeds, self._greedy)
        kernels = self._sampling.kernels if self.runtime.samples and self.runtime.device.type != "cpu" else None
        if kernels is not None:
            nothing = torch.zeros(1, self.model.padded_vocab_size, device=self.runtime.device)
            warm_up(kernels, nothing[:, : self.model.vocab_size], self._seeds[:1], self._greedy[:1])

    def restore_memory(self) -> None:
        """Get the model ready once more; what sequences have drawn stays with them."""
        assert self._context is not None
        self._wrapper.prep_model_for_inference(self._context)

    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a text, of ids (checked), or of the messages of a chat."""
        truncated = params.truncate_prompt_tokens is not None
        limit = None if self._context is None or truncated else self._context.max_length
        return tokenize(prompt, self.tokenizer, self.model.vocab_size, chat, limit)

    def check(self, request: InferenceRequest) -> None:
        """Refuse what no stage consumes, and what the stages themselves refuse."""
        stages = self._chain.samplers
        consumed = {name for part in (self, *stages) for name in part.params.model_fields}
        check_request(request, consumed, self.tokenizer, self.model.vocab_size)
        check_fields(request, self.params)
        check_prompt_logprobs(request, self.model.vocab_size)
        check_embedding(request, self._wrapper)
        check_stages(request, stages)

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""
        assert sequence.slot is not None
        assert self._context is not None
        params = sequence.request.params
        live = LiveSequence.begin(sequence, self.tokenizer, self._eos_ids, self._context.max_length)
        self._live[sequence.slot] = live
        self._embeddings.add(sequence.slot, sequence)
        self._seeds[sequence.slot] = sequence.seed
        self._greedy[sequence.slot] = params.greedy
        if not params.greedy:
            self._random.add(sequence.slot)
        if params.logprobs is not None:
            self._wanted[sequence.slot] = params.logprobs
        if any(sampler.reads_host_tokens and sampler.uses(params) for sampler in self._chain.samplers):
            self._read.add(sequence.slot)
        if self.runtime.samples:
            self._chain.add(sequence.slot, sequence)

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence."""
        assert sequence.slot is not None
        if self._live.pop(sequence.slot, None) is not None:  # None: it could not even be started
            self._random.discard(sequence.slot)
            self._read.discard(sequence.slot)
            self._wanted.pop(sequence.slot, None)
            self._embeddings.remove(sequence.slot)
            self._chain.remove(sequence.slot)

    def first_logit(self, sequence: InferenceSequence) -> int:
        """The last token's, or the first whose log probabilities, or hidden states, are still wanted."""
        first = self._embeddings.first(sequence)
        if first is None:
            first = first_to_score(sequence)
        return sequence.length - 1 if first is None else first

    def next_row(self, sequence: InferenceSequence) -> ScheduledSequence:
        """The prompt first, in pieces where its log probabilities are reported; then the token drawn last."""
        assert sequence.slot is not None
        assert self._context is not None
        start, prompt, room = sequence.computed, sequence.request.prompt_tokens, self._context.max_length
        if start >= len(prompt):
            return ScheduledSequence(slot=sequence.slot, num_computed=start, num_new=1, reserved=room)
        end, first = len(prompt), self.first_logit(sequence)
        if first_to_score(sequence) is not None:
            scoring = sum(first_to_score(live.sequence) is not None for live in self._live.values())
            end = min(end, max(start, first) + max(1, logits_per_step(self._context.slots) // scoring))
        return ScheduledSequence(
            slot=sequence.slot,
            num_computed=start,
            num_new=end - start,
            reserved=room,
            tokens=tuple(prompt[start:end]),
            num_logits=max(0, end - max(start, first)),
        )

    def start_step(self, plan: StepPlan) -> PendingStep:
        """Run the model, the chain and the draw, as far as they are this rank's."""
        assert self._context is not None
        plan, pieces = self._embeddings.ask(self.want_hidden_states(plan))
        if self.runtime.samples:
            self._chain.prepare(tuple([row.slot for row in plan.rows if row.num_logits]))
        batch = self._wrapper.prep_inference_input(plan, self._context)
        if plan.hidden:
            output = self._wrapper.run_with_hidden_states(batch)
            self.take_hidden_states(plan, output)
        else:
            output = StepOutput(self._wrapper.run_one_forward_step(batch))
        gathered = None if output.logits is None else self.runtime.tensor.gather(output.logits, axis=1)
        pending = self._choose(plan, batch, gathered)
        if pieces:
            elsewhere = output.hidden is None
            pooled = room_for(pieces, self.model, self.runtime.device) if elsewhere else pool(pieces, output)
            pending = replace(pending, pieces=pieces, pooled=pooled)
        works = [self.runtime.model.broadcast(result, self.runtime.sampling_rank) for result in pending.results]
        pending = replace(pending, broadcasts=tuple(work for work in works if work is not None))
        # What comes from a later stage is not waited for here: this one has other steps to start meanwhile.
        if pending.broadcasts and self.runtime.pipeline.size > 1:
            return pending
        return self._receive(pending, batch.slots if len(pending.slot_ids) == len(plan.rows) else None)

    def _receive(self, pending: DrawnStep, slots: torch.Tensor | None = None) -> DrawnStep:
        """Wait for the tokens, leave them where the next step finds them, and send them on to the host."""
        assert self._context is not None
        for arrival in pending.broadcasts:
            arrival.wait()
        drawn = self._on_device(pending.slot_ids) if slots is None else slots
        tokens = pending.tokens
        if tokens.shape[1] > 1:  # a slot's last draw is followed by places for those that were not made
            tokens = tokens.gather(1, (tokens != NOT_DRAWN).sum(dim=1, keepdim=True) - 1)
        self._context.last_tokens[drawn] = tokens.squeeze(1).clamp(min=0)
        return replace(pending, broadcasts=(), host_copies=tuple(HostCopy(result) for result in pending.results))

    def finish_step(self, pending: PendingStep) -> StepResult:
        """Wait for the tokens, and add them to their sequences."""
        assert isinstance(pending, DrawnStep), "it is this controller's own"
        if not pending.host_copies:
            pending = self._receive(pending)
        rows, *packed = [result.numbers() for result in pending.host_copies]
        result = self._result(pending, rows, packed.pop(0) if pending.log_probs is not None else [])
        if failures := self._embeddings.take(pending.pieces, packed):
            result = replace(result, failures={**result.failures, **failures})
        self._now = time.perf_counter()
        for row in pending.plan.rows:
            live = self._live.get(row.slot)
            if live is None:
                continue  # it has been aborted and let go of while its step was under way
            sequence = live.sequence
            drafted, accepted = row.num_logits > 1 and has_draft(row, sequence), 0
            sequence.computed = row.end
            if drafted:
                # The keys and values of rejected draft tokens stay, and are overwritten by the next step.
                accepted = max(0, len(result.tokens.get(row.slot, ())) - 1)
                sequence.computed = row.num_computed + 1 + accepted
            if sequence.finish_reason is None:  # its request may have failed in this very step
                self._apply(live, row.end, result)
                if drafted:
                    self.note_acceptance(sequence, row.num_new - 1, accepted)
        return result

    def _result(self, pending: DrawnStep, rows: list[list[int]], packed: list[list[float]]) -> StepResult:
        """Put together what came of a step, from what the device has sent."""
        by_slot = dict(zip(pending.slot_ids, rows, strict=True))
        drawn = {slot: tuple([token for token in row if token >= 0]) for slot, row in by_slot.items()}
        failed = {slot: token for slot, row in by_slot.items() for token in row if token < 0 and token != NOT_DRAWN}
        log_probs, prompts = unpack_log_probs(pending.reports, drawn, packed, self.tokenizer)
        return StepResult(
            step=pending.plan.step,
            tokens={slot: tokens for slot, tokens in drawn.items() if tokens},
            log_probs=log_probs,
            failures=exchange_failures(failed, pending.failures, self.runtime, self._stages),
            prompt_log_probs=prompts,
        )

    def note_acceptance(self, sequence: InferenceSequence, drafted: int, accepted: int) -> None:
        """Count the draft tokens of a step, and those of them that were accepted."""
        sequence.drafted_tokens += drafted
        sequence.accepted_tokens += accepted

    def next_slots(self, pending: PendingStep) -> tuple[int, ...] | None:
        """Those that have not ended and want more than the token under way; None over several stages."""
        assert isinstance(pending, DrawnStep), "it is this controller's own"
        if not pending.host_copies or not self._read.isdisjoint(pending.slot_ids):
            return None
        live = [(slot, self._live[slot]) for slot in pending.slot_ids if slot in self._live]
        return tuple(
            slot
            for slot, each in live
            if each.sequence.finish_reason is None and len(each.sequence.tokens) + 1 < each.most
        )

    def _stages(self, slot: int) -> str:
        """Which samplers a slot's draws go through, for a message."""
        live = self._live.get(slot)
        used = frozenset() if live is None else self._chain.stages_of(live.sequence.request.params)
        names = ", ".join(name_of(sampler) for sampler in self._chain.samplers if sampler in used)
        return f" (samplers that it goes through: {names})" if names else ""

    def take_outputs(self) -> list[RequestOutput]:
        """Return what has been added since the last call."""
        taken, self._outputs = self._outputs, []
        return taken

    def sample_from_logits(self, candidates: Candidates) -> torch.Tensor:
        """Draw one id per row: the most likely for greedy rows, by Gumbel-max for the others."""
        if self._random.isdisjoint(candidates.slot_ids):
            return draw_greedily(candidates)
        seeds, greedy = self._seeds[candidates.slots], self._greedy[candidates.slots]
        kernels = self._sampling.kernels
        if kernels is None:
            return draw(candidates, seeds, greedy)
        return kernels.draw(candidates.logits, candidates.ids, seeds, candidates.positions, greedy)

    def update_generation_status(self, sequence: InferenceSequence, tokens: Sequence[int]) -> FinishReason | None:
        """Add tokens until the sequence ends; say whether it has."""
        assert sequence.slot is not None
        live = self._live[sequence.slot]
        for token in tokens:
            reason = live.push(token, self._now)
            if reason is not None:
                return reason
        return None

    def detokenize_generations(self, sequence: InferenceSequence) -> str:
        """Return the text of all ids, stop texts included; `sequence.text` has them cut."""
        return "" if self.tokenizer is None else self.tokenizer.decode(sequence.tokens)

    def _on_device(self, numbers: Sequence[int]) -> torch.Tensor:
        return transfer(self.runtime.device, np.array(numbers, dtype=np.int64))[0]

    def process_logits(self, candidates: Candidates) -> Candidates:
        """Change what the chain is given, such as by what other logits say: here, nothing.

        Called on the rank that draws, once for each position that is drawn for. `candidates.logits` may be written to a
        new tensor, not in place.
        """
        return candidates

    def want_hidden_states(self, plan: StepPlan) -> StepPlan:
        """Return a plan with `hidden` for the slots of which hidden states are wanted: here, none but embeddings'."""
        return plan

    def take_hidden_states(self, plan: StepPlan, output: StepOutput) -> None:
        """Take the hidden states of a step whose plan has `hidden`, before its draws: here, nothing."""

    def _choose(self, plan: StepPlan, batch: StepBatch, logits: torch.Tensor | None) -> DrawnStep:
        """Chain and draw, on the rank that draws; elsewhere an empty place for what comes from there."""
        asked = ask(plan, self._live)
        reports = asked.reports(self._wanted)
        if logits is None:
            shape = len(asked.draws), asked.most
            found = Found(torch.zeros(shape, dtype=torch.int64, device=self.runtime.device), {}, {})
        else:
            # Padding of the vocabulary lies at the end, and is never a candidate.
            logits = logits[:, : self.model.vocab_size]
            # Where kernels read all logits, torch has nothing to do that is worth another thread.
            fused = not reports and self._chain.is_fused(asked.slot_ids)
            with on_one_thread(batch.slots if fused else logits):
                found = self._drawing.run(asked, reports, batch, logits, self._live)
        return DrawnStep(
            plan=plan,
            slot_ids=asked.slot_ids,
            tokens=found.tokens,
            failures=found.failures,
            reports=reports,
            log_probs=pack_log_probs(found.log_probs, reports, self.runtime.device),
        )

    def _apply(self, live: LiveSequence, end: int, result: StepResult) -> None:
        """Add what a step gave to a sequence. What a tokenizer or a stop condition raises fails that request."""
        sequence = live.sequence
        request = sequence.request
        assert sequence.slot is not None
        slot, before = sequence.slot, len(sequence.tokens)
        if slot in result.prompt_log_probs:
            add_prompt_log_probs(request, result.prompt_log_probs[slot])
        tokens = result.tokens.get(slot, ())
        if tokens:
            try:
                self.update_generation_status(sequence, tokens)
            except Exception as error:
                request.fail(f"{type(error).__name__}: {error}")
        if slot in result.failures and sequence.finish_reason is None:
            request.fail(result.failures[slot], refused=leaves_nothing(result.failures[slot]))
        elif not live.most and (end >= len(request.prompt_tokens) or request.embedding is not None):
            live.end(FinishReason.LENGTH)
        added = tokens[: len(sequence.tokens) - before]
        log_probs = result.log_probs.get(slot, ())[: len(added)]
        sequence.log_probs.extend(log_probs)
        if tokens or sequence.finish_reason is not None:
            self._outputs.append(
                RequestOutput(request, sequence.index, live.take_fresh(), added, sequence.finish_reason, log_probs)
            )
