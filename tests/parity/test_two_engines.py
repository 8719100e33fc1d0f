"""One wrapper under two engines, each with memory of its own: what was captured for one is not run over the other."""

import pytest
import torch

from plugtron import LLM, SamplingParams
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.options import DynamicOptions, StaticOptions
from plugtron_engines.static import StaticEngine

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("execution", ["auto", "graph"])
def test_engines_take_turns(execution, random_model):
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    prompts = [[5, 6, 7], [9]]
    overrides = {"execution": execution, "device": DEVICE, "engine.options.max_sequence_length": 48}
    with LLM(random_model("llama_untied")[1], dtype="float32", overrides=overrides) as llm:
        expected = [answer.tokens for answer in llm.generate(prompts, params)]
        wrapper = llm.session.parts.wrapper
        engines = [
            StaticEngine(SimpleTextGenerationController(wrapper), StaticOptions(max_sequence_length=32)),
            DynamicEngine(SimpleTextGenerationController(wrapper), DynamicOptions(max_sequence_length=64, blocks=12)),
        ]
        for engine in (*engines, engines[0]):
            assert [answer.tokens for answer in engine.generate(prompts, params)] == expected
        assert [answer.tokens for answer in llm.generate(prompts, params)] == expected
