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
    StepPlan,
    StepResult,
    TextGenerationController,
    Tokenizer,
)
from plugtron.engine import LiveSequence, check_request, tokenize
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
from plugtron_controllers.admission import check_stages
from plugtron_controllers.chain import Chain
from plugtron_controllers.checked import name_of
from plugtron_controllers.drawn_step import DrawnStep
from plugtron_controllers.logprobs import exchange_failures, pack_log_probs, unpack_log_probs
from plugtron_controllers.params import GenerationParams
from plugtron_controllers.sampling import draw, draw_greedily, log_probabilities

__all__ = ["SimpleTextGenerationController"]

#: What the chain and the draw take for each candidate: a few copies in float32.
_BYTES_A_CANDIDATE = 16


class SimpleTextGenerationController(TextGenerationController):
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
        self._sampling = SamplingChoice(wrapper.runtime, wrapper.options)
        self._live: dict[int, LiveSequence] = {}
        # Which slots draw at random, and how many of the most likely ids those report that want log probabilities.
        self._drawing: set[int] = set()
        self._wanted: dict[int, int] = {}
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
        own = self._wrapper.preload(rows, tokens, longest)
        return None if own is None else own + rows * self.model.padded_vocab_size * _BYTES_A_CANDIDATE

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model ready to run over `context`."""
        self._wrapper.prep_model_for_inference(context)
        self._context = context
        self._seeds = torch.zeros(context.slots, dtype=torch.int64, device=self.runtime.device)
        self._greedy = torch.zeros(context.slots, dtype=torch.bool, device=self.runtime.device)
        self._warm_up()

    def _warm_up(self) -> None:
        """Draw once on a GPU, so that nobody's first draw waits for a compiler."""
        kernels = self._sampling.kernels if self.runtime.samples and self.runtime.device.type != "cpu" else None
        if kernels is None:
            return
        info = self.model
        nothing = torch.zeros(1, info.padded_vocab_size, device=self.runtime.device)[:, : info.vocab_size]
        for ids in (None, torch.zeros_like(nothing, dtype=torch.int64)):
            kernels.draw(nothing, ids, self._seeds[:1], self._seeds[:1], self._greedy[:1])
        for by_probability in (False, True):
            kernels.keep_most_likely(nothing, nothing[:, :1], by_probability=by_probability)

    def tokenize_prompt(self, prompt: Prompt, params: SamplingParams, *, chat: ChatOptions | None = None) -> list[int]:
        """Return the ids of a text, of ids (checked), or of the messages of a chat."""
        del params
        limit = None if self._context is None else self._context.max_length
        return tokenize(prompt, self.tokenizer, self.model.vocab_size, chat, limit)

    def check(self, request: InferenceRequest) -> None:
        """Refuse what no stage consumes, and what the stages themselves refuse."""
        stages = self._chain.samplers
        consumed = {name for part in (self, *stages) for name in part.params.model_fields}
        check_request(request, consumed, self.tokenizer, self.model.vocab_size)
        check_stages(request, stages)

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence that has just been given its slot."""
        assert sequence.slot is not None
        assert self._context is not None
        params = sequence.request.params
        live = LiveSequence.begin(sequence, self.tokenizer, self._eos_ids, self._context.max_length)
        self._live[sequence.slot] = live
        self._seeds[sequence.slot] = sequence.seed
        self._greedy[sequence.slot] = params.greedy
        if not params.greedy:
            self._drawing.add(sequence.slot)
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
            self._drawing.discard(sequence.slot)
            self._read.discard(sequence.slot)
            self._wanted.pop(sequence.slot, None)
            self._chain.remove(sequence.slot)

    def next_row(self, sequence: InferenceSequence) -> ScheduledSequence:
        """The whole prompt first, then the token drawn last."""
        assert sequence.slot is not None
        assert self._context is not None
        tokens = () if sequence.computed else tuple(sequence.request.prompt_tokens)
        room = self._context.max_length
        return ScheduledSequence(
            slot=sequence.slot, num_computed=sequence.computed, num_new=len(tokens) or 1, reserved=room, tokens=tokens
        )

    def start_step(self, plan: StepPlan) -> PendingStep:
        """Run the model, the chain and the draw, as far as they are this rank's."""
        assert self._context is not None
        batch = self._wrapper.prep_inference_input(plan, self._context)
        logits = self._wrapper.run_one_forward_step(batch)
        gathered = None if logits is None else self.runtime.tensor.gather(logits, axis=1)
        pending = self._choose(plan, batch, gathered)
        results = [pending.tokens, *([] if pending.log_probs is None else [pending.log_probs])]
        works = [self.runtime.model.broadcast(result, self.runtime.sampling_rank) for result in results]
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
        self._context.last_tokens[drawn] = pending.tokens.clamp(min=0)
        results = (pending.tokens,) if pending.log_probs is None else (pending.tokens, pending.log_probs)
        return replace(pending, broadcasts=(), host_copies=tuple(HostCopy(result) for result in results))

    def finish_step(self, pending: PendingStep) -> StepResult:
        """Wait for the tokens, and add them to their sequences."""
        assert isinstance(pending, DrawnStep), "it is this controller's own"
        if not pending.host_copies:
            pending = self._receive(pending)
        tokens, *log_probs = [result.numbers() for result in pending.host_copies]
        result = StepResult(
            step=pending.plan.step,
            tokens={slot: (token,) for slot, token in zip(pending.slot_ids, tokens, strict=True) if token >= 0},
            log_probs=unpack_log_probs(pending, tokens, log_probs[0], self.tokenizer) if log_probs else {},
            failures=exchange_failures(pending, tokens, self.runtime, self._stages),
        )
        self._now = time.perf_counter()
        columns = pending.plan.columns
        for slot, start, size, draws in zip(
            columns.slots, columns.num_computed, columns.num_new, columns.num_logits, strict=True
        ):
            live = self._live.get(slot)
            if live is None:
                continue  # it has been aborted and let go of while its step was under way
            live.sequence.computed = start + size
            if draws and live.sequence.finish_reason is None:  # its request may have failed in this very step
                self._apply(live, result)
        return result

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
        if self._drawing.isdisjoint(candidates.slot_ids):
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

    def _choose(self, plan: StepPlan, batch: StepBatch, logits: torch.Tensor | None) -> DrawnStep:
        """Chain and draw, on the rank that draws; elsewhere an empty place for what comes from there."""
        assert max(plan.columns.num_logits) <= 1, "this controller draws once per row and step"
        wanting = [row for row, wants in enumerate(plan.columns.num_logits) if wants]
        rows = tuple([plan.columns.slots[row] for row in wanting])
        wanted = {slot: self._wanted[slot] for slot in rows if slot in self._wanted} if self._wanted else {}
        if logits is None:
            tokens = torch.zeros(len(rows), dtype=torch.int64, device=self.runtime.device)
            packed = pack_log_probs({}, wanted, self.runtime.device)
            return DrawnStep(plan=plan, slot_ids=rows, tokens=tokens, failures={}, wanted=wanted, log_probs=packed)
        slots, lengths = batch.slots, batch.memory.seq_lens
        if len(rows) < len(plan.rows):
            drawing = self._on_device(wanting)
            slots, lengths = slots[drawing], lengths[drawing]
        candidates = Candidates(
            # Padding of the vocabulary lies at the end, and is never a candidate.
            logits=logits[:, : self.model.vocab_size],
            ids=None,
            slots=slots,
            positions=lengths,
            slot_ids=rows,
        )
        with on_one_thread(logits):
            tokens, seen, failures = self._chain.run(candidates, self.sample_from_logits)
        log_probs = {}
        for slot, top in wanted.items():
            processed = seen(slot)
            if processed is not None:
                index = rows.index(slot)
                raw = self._live[slot].sequence.request.params.logprobs_mode != "processed"
                source, place = (candidates, index) if raw else processed
                log_probs[slot] = log_probabilities(source, place, tokens[index], top)
        packed = pack_log_probs(log_probs, wanted, self.runtime.device)
        return DrawnStep(plan=plan, slot_ids=rows, tokens=tokens, failures=failures, wanted=wanted, log_probs=packed)

    def _apply(self, live: LiveSequence, result: StepResult) -> None:
        """Add what a step gave to a sequence. What a tokenizer or a stop condition raises fails that request."""
        sequence = live.sequence
        assert sequence.slot is not None
        slot, before = sequence.slot, len(sequence.tokens)
        tokens, log_probs = result.tokens.get(slot, ()), result.log_probs.get(slot, ())
        if tokens:
            sequence.log_probs.extend(log_probs)
            try:
                self.update_generation_status(sequence, tokens)
            except Exception as error:
                sequence.request.fail(f"{type(error).__name__}: {error}")
        else:
            sequence.request.fail(result.failures[slot])
        added = tokens[: len(sequence.tokens) - before]
        self._outputs.append(
            RequestOutput(sequence.request, sequence.index, live.take_fresh(), added, sequence.finish_reason, log_probs)
        )
