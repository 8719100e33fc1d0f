"""Real models of other families than the default one, beside llama.cpp on the same files: `make test-models`."""

import pytest
from support import real_models
from support.logits import all_logits

from plugtron import LLM, SamplingParams

pytestmark = pytest.mark.real

FOLDER = real_models.FOLDER
TEXTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Water boils at a temperature of",
    "Once upon a time, in a small village by the sea, there lived",
    "The three laws of thermodynamics are: first,",
]
COUNT = 32


@pytest.fixture(scope="module", params=real_models.MODELS, ids=lambda model: model.name)
def model(request):
    found = real_models.fetch(request.param, FOLDER)
    if isinstance(found, str):
        pytest.skip(f"{request.param.name}: {found}")
    return found


@pytest.fixture(scope="module")
def continued(model):
    """The texts as tokens, and llama.cpp's greedy continuations."""
    generate = real_models.llama_cpp(FOLDER)
    if isinstance(generate, str):
        pytest.skip(f"xllamacpp: {generate}")
    with LLM(model, quantization="as_stored", overrides={"engine.options.max_sequence_length": 256}) as llm:
        prompts = [llm.generate(text, SamplingParams(max_tokens=0)).prompt_tokens for text in TEXTS]
    return prompts, generate(model, prompts, COUNT)


@pytest.mark.parametrize("quantization", ["as_stored", None])
def test_agreement_with_llama_cpp(quantization, model, continued, record_property):
    """The most likely token at each place of llama.cpp's continuations; its kernels round activations, too."""
    prompts, continuations = continued
    same, total = 0, 0
    options = {"dtype": "float32", "overrides": {"engine.options.max_sequence_length": 256}}
    with LLM(model, quantization=quantization, **options) as llm:
        for prompt, tokens in zip(prompts, continuations, strict=True):
            best = all_logits(llm, [*prompt, *tokens[:-1]])[len(prompt) - 1 :].argmax(-1).tolist()
            same += sum(one == other for one, other in zip(best, tokens, strict=True))
            total += len(tokens)
    record_property("agreement", same / total)
    print(f"{model.stem}, {quantization}: {same} of {total} tokens are llama.cpp's")
    assert same / total > 0.93
