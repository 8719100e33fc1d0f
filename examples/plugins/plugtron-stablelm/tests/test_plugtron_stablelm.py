"""Beside transformers, on small random models; natively, and without a piece that runs through torch."""

import json
import warnings

import pytest
import torch
from transformers import StableLmConfig, StableLmForCausalLM

from plugtron import LLM, SamplingParams
from plugtron.errors import CheckpointError

SIZES = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
SHAPES = {
    "plain": {"num_key_value_heads": 4},
    "biases": {"num_key_value_heads": 2, "use_qkv_bias": True, "tie_word_embeddings": True},
    "parallel": {"num_key_value_heads": 4, "use_parallel_residual": True, "layer_norm_eps": 1e-3},
}
PROMPTS = [[5, 17, 2, 90, 31, 8], [7], list(range(20, 44))]
GREEDY = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)


@pytest.fixture
def saved(tmp_path):
    def save(shape):
        torch.manual_seed(0)
        config = StableLmConfig(**SIZES, **SHAPES[shape], bos_token_id=None, eos_token_id=None)
        model = StableLmForCausalLM(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        model.save_pretrained(tmp_path / "model")
        return model, tmp_path / "model"

    return save


def answers(folder, **options):
    with warnings.catch_warnings(action="error", category=UserWarning), LLM(folder, dtype="float32", **options) as llm:
        return [request.tokens for request in llm.generate(PROMPTS, GREEDY)]


@torch.inference_mode()
def expected(model):
    found = []
    for prompt in PROMPTS:
        tokens = list(prompt)
        for _ in range(GREEDY.max_tokens):
            best = model(torch.tensor([tokens])).logits[0, -1].topk(2)
            assert best.values[0] - best.values[1] > 1e-3
            tokens.append(int(best.indices[0]))
        found.append(tokens[len(prompt) :])
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_tokens_are_those_of_transformers(shape, saved):
    model, folder = saved(shape)
    wanted = expected(model)
    assert answers(folder) == wanted  # a warning would name a piece that runs through torch
    assert answers(folder, overrides={"execution": "eager"}) == wanted


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"qk_layernorm": True}, "qk_layernorm must be False"),
        ({"hidden_act": "relu"}, "hidden_act must be 'silu'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters.rope_type must be 'default'"),
        ({"num_attention_heads": 5}, "hidden_size 64 is no multiple of 5 heads"),
    ],
)
def test_what_is_not_implemented_is_refused(changed, text, saved):
    _, folder = saved("plain")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(CheckpointError) as raised:
        answers(folder)
    assert text in str(raised.value)
    assert "config.json" in str(raised.value)
