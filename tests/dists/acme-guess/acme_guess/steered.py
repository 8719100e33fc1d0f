"""Guidance: the model runs a second time, over memory of its own, without the prompt but for its first token."""

from dataclasses import replace

from acme_guess.params import SteeredParams

from plugtron.context import StaticInferenceContext
from plugtron.contracts import ScheduledSequence, StepPlan
from plugtron_controllers import SimpleTextGenerationController


class Steered(SimpleTextGenerationController):
    """Logits become l + away * (l - b), b being those of the second run."""

    params = SteeredParams

    def __init__(self, wrapper, tokenizer=None, samplers=()):
        super().__init__(wrapper, tokenizer, samplers)
        self.wrapper = wrapper
        self.sequences = {}
        self.bare = {}

    @classmethod
    def assemble(cls, parts, options):
        del options
        return cls(parts.wrapper, parts.tokenizer, parts.samplers)

    def prep_for_inference(self, context):
        super().prep_for_inference(context)
        self.second = StaticInferenceContext(
            self.model, self.runtime, slots=context.slots, max_length=context.max_length
        )

    def start_sequence(self, sequence):
        super().start_sequence(sequence)
        if sequence.request.params.asked().get("acme_away"):
            self.sequences[sequence.slot] = sequence

    def end_sequence(self, sequence):
        if self.sequences.pop(sequence.slot, None) is not None:
            self.second.release(sequence.slot)
        super().end_sequence(sequence)

    def start_step(self, plan):
        rows = []
        for row in plan.rows:
            sequence = self.sequences.get(row.slot)
            if sequence is not None and row.end == sequence.length:
                # All of it anew in each step: short, not fast.
                tokens = (sequence.request.prompt_tokens[0], *sequence.tokens)
                rows.append(ScheduledSequence(row.slot, 0, len(tokens), self.second.max_length, tokens))
        self.bare = {}
        if rows:
            batch = self.wrapper.prep_inference_input(StepPlan(step=plan.step, rows=tuple(rows)), self.second)
            logits = self.wrapper.run_one_forward_step(batch)
            gathered = None if logits is None else self.runtime.tensor.gather(logits, axis=1)
            if gathered is not None:
                self.bare = {row.slot: gathered[at, : self.model.vocab_size] for at, row in enumerate(rows)}
        return super().start_step(plan)

    def next_slots(self, pending):
        return None if self.sequences else super().next_slots(pending)

    def process_logits(self, candidates):
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self.bare:
                away = self.sequences[slot].request.params.asked()["acme_away"]
                logits[row] += away * (logits[row] - self.bare[slot])
        return replace(candidates, logits=logits)
