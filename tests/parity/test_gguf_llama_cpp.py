"""Small random models of all families, written as GGUF files, beside llama.cpp: `make test-models`."""

from pathlib import Path

import pytest
from support import gguf_models, models, real_models
from support.logits import all_logits

from plugtron import LLM

pytestmark = pytest.mark.real

FOLDER = Path(__file__).parents[2] / ".pytest_cache" / "real-models"
#: What llama.cpp does otherwise than the authors of models: it leaves out windows of Phi-3, and of EXAONE 4 of another
#: size than theirs; it rounds where yarn's ramp of gpt-oss begins and ends, takes the long factors of longrope wherever
#: there is room, and wants norms of queries and keys only in a large Command R.
OTHERWISE = {"phi3", "phi3-longrope", "exaone4", "gpt-oss", "command-r-normed"}
COUNT = 48


@pytest.mark.parametrize("name", [name for name in gguf_models.MODELS if name not in OTHERWISE])
def test_agreement_with_llama_cpp(name, tmp_path):
    """The most likely token at each place of llama.cpp's continuations; its memory and activations are coarser."""
    generate = real_models.llama_cpp(FOLDER)
    if isinstance(generate, str):
        pytest.skip(f"xllamacpp: {generate}")
    path, prompts = tmp_path / "model.gguf", models.prompts()[1:]
    gguf_models.write_model(path, gguf_models.make(name), vocabulary=True)
    same, total = 0, 0
    with LLM(path, dtype="float32") as llm:
        for prompt, tokens in zip(prompts, generate(path, prompts, COUNT), strict=True):
            best = all_logits(llm, [*prompt, *tokens[:-1]])[len(prompt) - 1 :].argmax(-1).tolist()
            same += sum(one == other for one, other in zip(best, tokens, strict=True))
            total += len(tokens)
    assert total == COUNT * len(prompts)
    assert same / total > 0.93
