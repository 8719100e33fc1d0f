"""Run on every rank of a job: generate with several models in turn; print what rank 0 has, as JSON.

over_ranks.py '{"tensor_parallel": 2}' '{"CHECKPOINT": [[1, 2, 3], ...], ...}'
"""

import json
import sys

from plugtron import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)


def answers(checkpoint, prompts, sizes):
    """Greedy tokens in a batch and alone, and all log probabilities of the first token."""
    with LLM(checkpoint, dtype="float32", **sizes) as llm:
        together = llm.generate(prompts, GREEDY)
        alone = [llm.generate(prompt, GREEDY) for prompt in prompts]
        first = llm.generate(prompts, GREEDY.model_copy(update={"max_tokens": 1, "logprobs": 320}))
        leads = llm.session.parts.runtime.rank == 0
    return leads, {
        "errors": [request.error for request in (*together, *alone, *first)],
        "together": [request.tokens for request in together],
        "alone": [request.tokens for request in alone],
        "first": [[request.log_probs[0].top[token] for token in range(320)] for request in first],
    }


if __name__ == "__main__":
    sizes, asked = map(json.loads, sys.argv[1:])
    found = {checkpoint: answers(checkpoint, prompts, sizes) for checkpoint, prompts in asked.items()}
    if all(leads for leads, _ in found.values()):
        print(json.dumps({checkpoint: answer for checkpoint, (_, answer) in found.items()}))
