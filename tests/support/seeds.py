"""Seeds with which a model's weights prove something: python tests/support/seeds.py NAME [FIRST [COUNT]].

For each: the least gap between a greedy choice and the runner-up, and the fewest distinct tokens of a continuation.
The parity tests want more than 1e-3, and at least 8.
"""

import sys

import torch

from support import models, reference


def continued(model, prompt, count=128):
    """The greedy continuation, as transformers generates it."""
    ids = model.generate(torch.tensor([prompt]), max_new_tokens=count, min_new_tokens=count, do_sample=False)
    return ids[0, len(prompt) :].tolist()


def quality(name, seed):
    """The least gap, and the fewest distinct tokens."""
    entry = models.MODELS[name]
    models.MODELS[name] = (*entry[:3], seed, *entry[4:])
    model = models.make(name)
    least, fewest = float("inf"), 128
    for prompt in models.prompts():
        tokens = continued(model, prompt)
        _, gaps = reference.greedy_along(model, prompt, tokens)
        least, fewest = min(least, *gaps), min(fewest, len(set(tokens[:32])))
        if least < 1e-3 or fewest < 8:
            break
    return least, fewest


if __name__ == "__main__":
    name, first, count = sys.argv[1], *map(int, [*sys.argv[2:], "0", "50"][:2])
    for seed in range(first, first + count):
        least, fewest = quality(name, seed)
        print(seed, f"{least:.1e}", fewest, "good" if least > 2e-3 and fewest >= 8 else "", flush=True)
