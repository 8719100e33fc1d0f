"""transformers, for the CPU benchmark: python transformers_side.py FOLDER DTYPE. Batches of equal lengths."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
import transformers
from serve import serve
from transformers import AutoModelForCausalLM


def main() -> None:
    """Load the model and answer."""
    folder, dtype = sys.argv[1:]
    torch.set_num_threads(2)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    @torch.inference_mode()
    def generate(prompts: list[list[int]], lengths: list[int]) -> int:
        """Left-padded batches of 16, each as long as its longest answer."""
        for begin in range(0, len(prompts), 16):
            some, most = prompts[begin : begin + 16], max(lengths[begin : begin + 16])
            width = max(map(len, some))
            ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in some])
            mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in some])
            model.generate(ids, attention_mask=mask, max_new_tokens=most, min_new_tokens=most, do_sample=False)
        return sum(lengths)

    @torch.inference_mode()
    def follow(text: list[int], file: str | None) -> list[int]:
        logits = model(torch.tensor([text])).logits[0].float()
        if file is not None:
            np.save(file, logits.numpy())
        return logits.argmax(-1).tolist()

    weight_bytes = sum(parameter.nbytes for parameter in model.parameters())
    serve(generate, follow, {"transformers": transformers.__version__, "torch": torch.__version__}, weight_bytes)


if __name__ == "__main__":
    main()
