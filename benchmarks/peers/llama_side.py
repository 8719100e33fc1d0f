"""llama.cpp through its Python binding, for the CPU benchmark: python llama_side.py FILE FLASH(0|1).

A loop of its own fills 16 slots: the binding's high-level class has one sequence.
"""

# What this file imports is in the peer's own environment alone.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from importlib.metadata import version

import llama_cpp
import numpy as np
from serve import serve

SLOTS, LENGTH, BATCH = 16, 2048, 2048


class Slots:
    """A context of 16 sequences, and batches of tokens for it."""

    def __init__(self, file: str, flash: bool) -> None:
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(file.encode(), llama_cpp.llama_model_default_params())
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = SLOTS * LENGTH, BATCH, 512, SLOTS
        params.n_threads = params.n_threads_batch = 2
        params.flash_attn_type = int(flash)
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)

    def step(self, tokens: list[tuple[int, int, int, bool]]) -> list[int]:
        """Run (token, position, slot, wants logits); returns the likeliest token where logits are wanted."""
        self.batch.n_tokens = len(tokens)
        for at, (token, position, slot, wanted) in enumerate(tokens):
            self.batch.token[at], self.batch.pos[at], self.batch.n_seq_id[at] = token, position, 1
            self.batch.seq_id[at][0], self.batch.logits[at] = slot, wanted
        if llama_cpp.llama_decode(self.context, self.batch):
            raise RuntimeError("llama_decode failed")
        return [self._likeliest(at) for at, entry in enumerate(tokens) if entry[3]]

    def logits(self, count: int) -> np.ndarray:
        """Those of the last step, whose every token wanted them."""
        rows = [llama_cpp.llama_get_logits_ith(self.context, at) for at in range(count)]
        return np.stack([np.ctypeslib.as_array(row, shape=(self.vocabulary,)) for row in rows])

    def _likeliest(self, at: int) -> int:
        pointer = llama_cpp.llama_get_logits_ith(self.context, at)
        return int(np.ctypeslib.as_array(pointer, shape=(self.vocabulary,)).argmax())

    def clear(self, slot: int) -> None:
        """Forget a sequence."""
        llama_cpp.llama_memory_seq_rm(self.memory, slot, -1, -1)


def main() -> None:
    """Load the model and answer."""
    slots = Slots(sys.argv[1], sys.argv[2] == "1")

    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        waiting = list(zip(prompts, lengths, strict=True))[::-1]
        free, made = list(range(SLOTS)), 0
        running: dict[int, list[int]] = {}  # slot: its last token, its position, how many are to come
        while waiting or running:
            entries = [(last, position, slot, True) for slot, (last, position, _) in running.items()]
            while waiting and free and len(entries) + len(waiting[-1][0]) <= BATCH:
                prompt, length = waiting.pop()
                slot = free.pop()
                running[slot] = [0, len(prompt) - 1, length]
                last = len(prompt) - 1
                entries += [(token, at, slot, at == last) for at, token in enumerate(prompt)]
            for (_, _, slot, _), token in zip([e for e in entries if e[3]], slots.step(entries), strict=True):
                made += 1
                running[slot] = [token, running[slot][1] + 1, running[slot][2] - 1]
                if running[slot][2] == 0:
                    del running[slot]
                    slots.clear(slot)
                    free.append(slot)
        return made

    def follow(text: list[int], logits: str | None) -> list[int]:
        found = slots.step([(token, at, 0, True) for at, token in enumerate(text)])
        if logits is not None:
            np.save(logits, slots.logits(len(text)))
        slots.clear(0)
        return found

    weight_bytes = llama_cpp.llama_model_size(slots.model)
    serve(generate, follow, {"llama-cpp-python": version("llama_cpp_python")}, weight_bytes)


if __name__ == "__main__":
    main()
