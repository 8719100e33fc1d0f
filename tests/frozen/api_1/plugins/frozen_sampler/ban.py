from dataclasses import replace

import torch

from frozen_sampler import BanParams
from plugtron.contracts import Sampler


class Ban(Sampler):
    params = BanParams

    def __init__(self, tokenizer):
        self.texts = [tokenizer.decode([token]) for token in range(tokenizer.vocab_size)]
        self.banned = {}

    @classmethod
    def assemble(cls, parts, options):
        return cls(parts.tokenizer)

    def check(self, request):
        if request.params.extra.get("frozen_ban") == "":
            raise ValueError("frozen_ban: an empty text is in every token")

    def add(self, slot, sequence):
        text = sequence.request.params.extra["frozen_ban"]
        self.banned[slot] = torch.tensor([text in token for token in self.texts])

    def remove(self, slot):
        del self.banned[slot]

    def apply(self, candidates):
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self.banned:
                ids = slice(None) if candidates.ids is None else candidates.ids[row]
                logits[row][self.banned[slot][ids]] = float("-inf")
        return replace(candidates, logits=logits)
