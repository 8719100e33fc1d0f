"""What the static engine says to one request at a time: what all engines have to say."""

import pytest
from support.dynamic import CHECKPOINT

from plugtron import LLM


@pytest.fixture(scope="module")
def answers():
    """What the static engine says to one request at a time."""
    known = {}
    with LLM(CHECKPOINT, dtype="float32", overrides={"engine.options.max_batch_size": 1}) as llm:

        def answer(prompt, params):
            key = (tuple(prompt), params.model_dump_json())
            if key not in known:
                known[key] = [sequence.tokens for sequence in llm.generate(prompt, params).sequences]
            return known[key]

        yield answer
