"""Greedy answers of a model, here or on every rank of a job."""

from plugtron import LLM, SamplingParams


def greedy(folder, prompts, count, options):
    """The tokens of each prompt's answer, in a batch; `options` are those of LLM."""
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    with LLM(folder, **{"dtype": "float32", **options}) as llm:
        answers = llm.generate(prompts, params)
    assert [answer.error for answer in answers] == [None] * len(prompts)
    return [answer.tokens for answer in answers]
