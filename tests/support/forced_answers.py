"""A plugin whose sampler makes a model say a text, token by token: what a request's answers are is then known."""

from dataclasses import replace

from plugtron import Component, Need, Params, hookimpl
from plugtron.contracts import Sampler


class ForcedParams(Params):
    forced_answer: str | None = None


@hookimpl
def plugtron_samplers():
    needs = frozenset({Need.TOKENIZER})
    return [Component(name="forced_answer", target="forced_answers:Forced", params=ForcedParams, needs=needs)]


class Forced(Sampler):
    params = ForcedParams
    reads_host_tokens = True

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.sequences = {}

    @classmethod
    def assemble(cls, parts, options):
        return cls(parts.tokenizer)

    def add(self, slot, sequence):
        ids = self.tokenizer.encode(sequence.request.params.extra["forced_answer"], add_special=False)
        self.sequences[slot] = (sequence, [*ids, self.tokenizer.eos_ids[0]])

    def remove(self, slot):
        del self.sequences[slot]

    def apply(self, candidates):
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self.sequences:
                sequence, ids = self.sequences[slot]
                logits[row] = float("-inf")
                logits[row, ids[len(sequence.tokens)]] = 0
        return replace(candidates, logits=logits)
