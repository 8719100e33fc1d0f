"""The beam search controller: a request with `beam_width` is answered with the most likely sequences that it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import torch

from plugtron import Options
from plugtron.contracts import (
    InferenceContext,
    ModelWrapper,
    Parts,
    PendingStep,
    Sampler,
    ScheduledSequence,
    StepPlan,
    StepResult,
    Tokenizer,
)
from plugtron.errors import EngineError, RequestError
from plugtron.request import InferenceRequest, InferenceSequence, LogProbs
from plugtron_controllers.beams.memory import BeamMemory
from plugtron_controllers.beams.search import Answer, BeamSearch
from plugtron_controllers.drawn_step import DrawnStep
from plugtron_controllers.failures import NOT_DRAWN
from plugtron_controllers.options import BeamOptions
from plugtron_controllers.params import BeamParams
from plugtron_controllers.text_generation import SimpleTextGenerationController

__all__ = ["BeamSearchController"]

#: What a request with beams may ask for besides.
_BESIDE = {"max_tokens", "n", "stop_token_ids", "ignore_eos", "logprobs", "echo", "truncate_prompt_tokens"}
_TEXT = {"skip_special_tokens", "spaces_between_special_tokens", "include_stop_str_in_output"}


@dataclass(slots=True)
class _Group:
    """The search of one request, and its beams' slots in `BeamMemory`; none before it has begun, or when it is over."""

    request: InferenceRequest
    search: BeamSearch
    width: int
    slots: list[int] = field(default_factory=list)
    begun: bool = False


class BeamSearchController(SimpleTextGenerationController):
    """Keeps the beams of a request in memory of its own, and steps all of them when the engine steps the request.

    To the engine a request with beams is a sequence that stays at the end of its prompt until the search is over, and
    then has all its tokens. Requests without `beam_width` are drawn for as ever.

    Args:
        beams: at once, over all requests; further requests wait.
    """

    params = BeamParams

    def __init__(
        self,
        wrapper: ModelWrapper,
        tokenizer: Tokenizer | None = None,
        samplers: Sequence[Sampler] = (),
        *,
        beams: int = 16,
    ) -> None:
        super().__init__(wrapper, tokenizer, samplers)
        self._model = wrapper
        self._beams = beams
        self._memory: BeamMemory | None = None
        self._groups: dict[int | None, _Group] = {}
        self._slots: dict[int, InferenceSequence] = {}
        self._steps = count()

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> BeamSearchController:
        """Build from a spec."""
        assert isinstance(options, BeamOptions)
        assert parts.wrapper is not None
        return cls(parts.wrapper, parts.tokenizer, parts.samplers, beams=options.max_beams)

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """What the beams need comes on top."""
        known = super().preload(rows, tokens, longest)
        return None if known is None else known + BeamMemory.bytes(self.model, beams=self._beams, longest=longest)

    def prep_for_inference(self, context: InferenceContext) -> None:
        """Get the model and the beams' memory ready."""
        super().prep_for_inference(context)
        self._memory = BeamMemory(self.model, self.runtime, beams=self._beams, longest=context.max_length)
        self._memory.context.clears = context.clears

    def update_weights(self, path: Path) -> None:
        """Have the model read them; what it has of beams is of the weights before."""
        self._check_idle()
        super().update_weights(path)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the beams' memory, too."""
        self._check_idle()
        assert self._memory is not None
        super().release_memory(weights=weights)
        self._memory.context.release_memory()

    def restore_memory(self) -> None:
        """Take it again."""
        assert self._memory is not None
        self._memory.context.restore_memory()
        super().restore_memory()

    def _check_idle(self) -> None:
        if self._groups:
            raise EngineError("requests with beam_width are running, which are not computed again: let them end")

    def check(self, request: InferenceRequest) -> None:
        """Refuse what a search of the most likely answers has no use for."""
        super().check(request)
        asked = request.params.asked()
        width = asked.get("beam_width")
        if width is None:
            return
        if width > self._beams:
            raise RequestError(f"beam_width: {width} is more than the {self._beams} of controller.options.max_beams")
        if request.params.answers > width:
            raise RequestError(f"n: {request.params.answers} answers are more than beam_width, {width}")
        allowed = {*_BESIDE, *_TEXT, "beam_width", "length_penalty", "early_stopping"}
        neutral = {"temperature": (0, 1.0)}
        for name, value in asked.items():
            if name not in allowed and value not in neutral.get(name, ()):
                raise RequestError(f"{name}: a beam search does without it (accepted: {', '.join(sorted(allowed))})")
        if request.params.logprobs:
            raise RequestError(f"logprobs: {request.params.logprobs} with beams (accepted: 0)")

    def start_sequence(self, sequence: InferenceSequence) -> None:
        """Take up a sequence; the first of a request begins its search."""
        super().start_sequence(sequence)
        request, params = sequence.request, sequence.request.params.asked()
        if "beam_width" not in params:
            return
        assert sequence.slot is not None
        live = self._live[sequence.slot]
        self._slots[sequence.slot] = sequence
        if request.id not in self._groups:
            search = BeamSearch(
                params["beam_width"],
                live.most,
                live.stop_ids,
                length_penalty=params.get("length_penalty", 1.0),
                early_stopping=params.get("early_stopping", False),
            )
            self._groups[request.id] = _Group(request, search, params["beam_width"])

    def end_sequence(self, sequence: InferenceSequence) -> None:
        """Let go of a sequence; with the last of a request its answers go."""
        super().end_sequence(sequence)
        assert sequence.slot is not None
        self._slots.pop(sequence.slot, None)
        group = self._groups.get(sequence.request.id)
        if group is not None and sequence.request.is_finished:
            self._give_back(group)
            del self._groups[sequence.request.id]

    def start_step(self, plan: StepPlan) -> PendingStep:
        """Step the beams of the requests that are at the end of their prompts, too."""
        groups: dict[int | None, _Group] = {}
        for row in plan.rows:
            sequence = self._slots.get(row.slot)
            if sequence is not None and row.end == len(sequence.request.prompt_tokens):
                groups[sequence.request.id] = self._groups[sequence.request.id]
        self._step([group for group in groups.values() if not group.search.done and self._begin(group)])
        return super().start_step(plan)

    def _begin(self, group: _Group) -> bool:
        """Give a search its first slot, if there is room for all that it will have."""
        assert self._memory is not None
        if not group.begun and self._memory.reserve(group.width):
            group.begun, group.slots = True, [self._memory.begin()]
        return group.begun

    def _step(self, groups: list[_Group]) -> None:
        """Take a step of each search: one forward pass for all beams."""
        if not groups:
            return
        assert self._memory is not None
        context = self._memory.context
        rows = [
            _row(group, slot, tokens)
            for group in groups
            for slot, tokens in zip(group.slots, (beam.tokens for beam in group.search.running), strict=True)
        ]
        for row in rows:
            reserved = context.allocate(row.slot, row.end)
            assert reserved, "room for it has been set aside"
        batch = self._model.prep_inference_input(StepPlan(step=next(self._steps), rows=tuple(rows)), context)
        logits = self._model.run_one_forward_step(batch)
        ids, values = self._likeliest(logits, len(rows), max(group.search.candidates for group in groups))
        first = 0
        for group in groups:
            size = len(group.slots)
            length = rows[first].end
            most = group.search.candidates
            parents = group.search.advance(
                [row[:most] for row in ids[first : first + size]], [row[:most] for row in values[first : first + size]]
            )
            first += size
            if group.search.done:
                self._give_back(group)
            else:
                group.slots = self._memory.follow(group.slots, parents, length)

    def _likeliest(
        self, logits: torch.Tensor | None, rows: int, most: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        """The most likely tokens of each row and their log probabilities, on every rank."""
        runtime = self.runtime
        gathered = None if logits is None else runtime.tensor.gather(logits, axis=1)
        most = min(most, self.model.vocab_size)
        found = torch.zeros(rows, 2 * most, dtype=torch.float64, device=runtime.device)
        if gathered is not None:
            for row in range(rows):  # by themselves: sums in torch depend on where in memory a row begins
                log_probs = gathered[row, : self.model.vocab_size].clone().log_softmax(dim=0)
                best, ids = log_probs.topk(most)
                found[row, :most], found[row, most:] = best, ids
        work = runtime.model.broadcast(found, runtime.sampling_rank)
        if work is not None:
            work.wait()
        numbers = found.tolist()
        return [[int(token) for token in row[most:]] for row in numbers], [row[:most] for row in numbers]

    def _result(self, pending: DrawnStep, rows: list[list[int]], packed: list[list[float]]) -> StepResult:
        """In place of what was drawn for requests with beams: nothing yet, or all tokens of an answer."""
        rows = [
            [NOT_DRAWN] * len(row) if slot in self._slots else row
            for slot, row in zip(pending.slot_ids, rows, strict=True)
        ]
        result = super()._result(pending, rows, packed)
        answers = {slot: self._answer(self._slots[slot]) for slot in pending.slot_ids if slot in self._slots}
        found = {slot: answer.beam for slot, answer in answers.items() if answer is not None}
        return replace(
            result,
            tokens={**result.tokens, **{slot: beam.tokens for slot, beam in found.items()}},
            log_probs={
                **result.log_probs,
                **{
                    slot: tuple(map(self._log_prob, beam.tokens, beam.values))
                    for slot, beam in found.items()
                    if self._slots[slot].request.params.logprobs is not None
                },
            },
        )

    def _answer(self, sequence: InferenceSequence) -> Answer | None:
        search = self._groups[sequence.request.id].search
        return search.answers[sequence.index] if search.done else None

    def _log_prob(self, token: int, value: float) -> LogProbs:
        text = None if self.tokenizer is None else self.tokenizer.token_bytes(token).decode("utf-8", errors="replace")
        return LogProbs(token=token, value=value, top={}, texts={} if text is None else {token: text})

    def finish_step(self, pending: PendingStep) -> StepResult:
        """Finish a step; requests whose search goes on stay at the end of their prompts."""
        result = super().finish_step(pending)
        for row in pending.plan.rows:
            sequence = self._slots.get(row.slot)
            if sequence is not None and sequence.finish_reason is None:
                sequence.computed = min(row.end, len(sequence.request.prompt_tokens) - 1)
        return result

    def next_slots(self, pending: PendingStep) -> tuple[int, ...] | None:
        """None while there are beams."""
        return None if self._slots else super().next_slots(pending)

    def _give_back(self, group: _Group) -> None:
        assert self._memory is not None
        if group.begun:
            self._memory.end(group.slots, group.width)
            group.begun, group.slots = False, []


def _row(group: _Group, slot: int, tokens: tuple[int, ...]) -> ScheduledSequence:
    """What a beam computes: its last token, or the prompt."""
    prompt = group.request.prompt_tokens
    end = len(prompt) + len(tokens)
    new = tokens[-1:] or tuple(prompt)
    return ScheduledSequence(slot, end - len(new), len(new), end, new)
