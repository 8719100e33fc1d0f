"""Run on every rank of a job: generate with several models in turn; print what rank 0 has, as JSON.

drawn_over_ranks.py '{"tensor_parallel": 2}' '{"CHECKPOINT": [[[1, 2, 3], ...], [{"temperature": 0}, ...]], ...}'

Of each model a list for each set of parameters, in it for each prompt [error, tokens, log probabilities], and of those
[value, {token: value}].
"""

import json
import sys

from plugtron import LLM, SamplingParams


def drawn(llm, prompts, params):
    """What one set of parameters comes to."""
    answers = llm.generate(prompts, SamplingParams.from_flat(params))
    return [
        [answer.error, answer.tokens, [[entry.value, entry.top] for entry in answer.log_probs or ()]]
        for answer in answers
    ]


def main(sizes, asked):
    """Run them all; print on rank 0."""
    found, leads = {}, False
    for checkpoint, (prompts, each) in asked.items():
        with LLM(checkpoint, dtype="float32", **sizes) as llm:
            found[checkpoint] = [drawn(llm, prompts, params) for params in each]
            leads = llm.session.parts.runtime.rank == 0
    if leads:
        print(json.dumps(found))


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
