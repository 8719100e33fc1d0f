"""Controllers that are wrong, each in a way of its own."""

from dataclasses import replace

import torch
from offered import offered

from plugtron import Component, Need, hookimpl
from plugtron.context import PagedInferenceContext
from plugtron.request import FinishReason
from plugtron.testing.checks.generation import PROMPTS
from plugtron_controllers.params import GenerationParams
from plugtron_controllers.text_generation import SimpleTextGenerationController as Controller


class Right(Controller):
    """Draws as plugtron's own does."""


class DrawsTheSecond(Right):
    def sample_from_logits(self, candidates):
        return candidates.logits.topk(2, dim=1).indices[:, 1]


class KnowsOneEngine(Right):
    """Takes another context than the static one for something else."""

    def sample_from_logits(self, candidates):
        second = isinstance(self._context, PagedInferenceContext)
        return candidates.logits.topk(2, dim=1).indices[:, int(second)]


class MixesRows(Right):
    def sample_from_logits(self, candidates):
        return (candidates.logits - candidates.logits.mean(0) * (len(candidates.logits) > 1)).argmax(1)


class SeedsBySlot(Right):
    """Draws with a seed for each slot, not for each sequence."""

    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        self._seeds[sequence.slot] = sequence.slot


class OneLength(Right):
    """Ends all sequences at the length that the first asked for."""

    most = None

    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        live = self._live[sequence.slot]
        self.most = live.most = self.most or live.most


class SaysStop(Right):
    def update_generation_status(self, sequence, tokens):
        reason = super().update_generation_status(sequence, tokens)
        sequence.finish_reason = reason and FinishReason.STOP
        return reason


class RunsPastStops(Right):
    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        self._live[sequence.slot].stop_ids = frozenset()


class IgnoresStopTexts(Right):
    def start_sequence(self, sequence):
        params = sequence.request.params
        sequence.request.params = params.model_copy(update={"stop": None})
        super().start_sequence(sequence)
        sequence.request.params = params


class StreamsStopTexts(Right):
    """What is streamed has the stop text that the result has not."""

    def take_outputs(self):
        outputs = super().take_outputs()
        return [
            each._replace(text=each.text + str(each.request.stop_reason)) if each.finish_reason == "stop" else each
            for each in outputs
        ]


class StreamsNoText(Right):
    def take_outputs(self):
        return [output._replace(text="") for output in super().take_outputs()]


class OneAlternative(Right):
    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        if sequence.slot in self._wanted:
            self._wanted[sequence.slot] = 1


class PositiveLogProbabilities(Right):
    def finish_step(self, pending):
        result = super().finish_step(pending)
        for slot in result.log_probs:
            entries = self._live[slot].sequence.log_probs
            entries[-1] = replace(entries[-1], value=-entries[-1].value)
        return result


class ForgetsLogProbabilities(Right):
    def end_sequence(self, sequence):
        super().end_sequence(sequence)
        sequence.log_probs = sequence.log_probs[1:]


class KeepsSequences(Right):
    """Does not let go of what has ended: a slot that has been used goes on with other draws, and then again."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.started, self.used = 0, set()

    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        self.used.discard(sequence.slot)
        if self.started // (3 * len(PROMPTS)) % 2:
            self.used.add(sequence.slot)
        self.started += 1

    def sample_from_logits(self, candidates):
        best = candidates.logits.topk(2, dim=1).indices
        return torch.stack([pair[int(slot in self.used)] for slot, pair in zip(candidates.slot_ids, best, strict=True)])


class TakesAnything(Right):
    def tokenize_prompt(self, prompt, params, *, chat=None):
        return [token % 200 for token in prompt]


class FailsNeighbors(Right):
    def check(self, request):
        super().check(request)
        if 10**6 in request.prompt_tokens:
            raise ValueError("wrong")

    def tokenize_prompt(self, prompt, params, *, chat=None):
        if 10**6 in prompt:
            self.broken = True
        if getattr(self, "broken", False):
            raise ValueError("the controller is broken")
        return super().tokenize_prompt(prompt, params, chat=chat)


class StumblesOverAborts(Right):
    """Gives the others another token when one is let go of before its end."""

    stumbled = False

    def end_sequence(self, sequence):
        super().end_sequence(sequence)
        self.stumbled |= sequence.finish_reason == FinishReason.ABORT

    def sample_from_logits(self, candidates):
        return candidates.logits.topk(2, dim=1).indices[:, int(self.stumbled)]


class OneForAll(Right):
    """Draws one number for all answers of a request."""

    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        self._seeds[sequence.slot] = sequence.request.sequences[0].seed


NAMES = offered(globals(), Controller)


@hookimpl
def plugtron_controllers():
    return [
        Component(
            name=name,
            target=f"{__name__}:{value}",
            params=GenerationParams,
            summary="wrong",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        )
        for name, value in NAMES.items()
    ]
