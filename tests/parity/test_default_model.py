"""The default model, read from the same GGUF file by transformers: real weights, real text."""

import pytest
import torch
from support import reference
from support.logits import all_logits
from transformers import AutoModelForCausalLM, AutoTokenizer

from plugtron import LLM, SamplingParams

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n",
    "Once upon a time, in a land far away, there lived",
    "Q: What is 2 + 2?\nA:",
    "The three laws of thermodynamics are",
    "import numpy as np\n\n# compute the mean of",
    "Dear Sir or Madam,\n\nI am writing to",
    "In 1969, the first",
]
GREEDY = SamplingParams(temperature=0, max_tokens=128, ignore_eos=True)


@pytest.fixture(scope="module")
def transformers_model(default_model):
    return AutoModelForCausalLM.from_pretrained(
        default_model.parent, gguf_file=default_model.name, dtype=torch.float32
    ).eval()


@pytest.fixture(scope="module")
def transformers_tokenizer(default_model):
    return AutoTokenizer.from_pretrained(default_model.parent, gguf_file=default_model.name)


@pytest.mark.parametrize("device", DEVICES)
def test_greedy_tokens_alone_and_in_a_batch(device, default_model, transformers_model):
    with LLM(default_model, dtype="float32", device=device) as llm:
        together = llm.generate(PROMPTS, GREEDY)
        alone = llm.generate(PROMPTS[0], GREEDY)
    for request in [*together, alone]:
        expected, gaps = reference.greedy_along(transformers_model, request.prompt_tokens, request.tokens)
        assert len(request.tokens) == 128
        # Real text has ties now and then; equal means equal up to the first place where the best two nearly are.
        ties = [at for at, gap in enumerate(gaps) if gap < 1e-4]
        first = ties[0] if ties else 128
        assert request.tokens[:first] == expected[:first]
        assert len(ties) <= 1


def test_logits(default_model, transformers_model):
    with LLM(default_model, dtype="float32") as llm:
        prompt = llm.session.parts.tokenizer.encode(PROMPTS[2])
        found = all_logits(llm, prompt)
    expected = reference.logits(transformers_model, prompt)
    assert (found - expected).abs().max() <= 1e-4 * max(1.0, expected.abs().max().item())


def test_tokenizer(default_model, transformers_tokenizer):
    texts = [
        *PROMPTS,
        "naïve café 北京 🙂🙃 12345 \t\n  x",
        "<|im_start|>user\nhi<|im_end|>\n",
        "",
        " ",
        "a\u0301\u200d",
    ]
    with LLM(default_model) as llm:
        tokenizer = llm.session.parts.tokenizer
        for text in texts:
            ids = tokenizer.encode(text)
            assert ids == transformers_tokenizer.encode(text), text
            assert tokenizer.decode(ids, skip_special=False) == text
            detokenizer = tokenizer.incremental(skip_special=False)
            assert "".join([*map(detokenizer.push, ids), detokenizer.finish()]) == text


def test_chat_template(default_model, transformers_tokenizer):
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    expected = transformers_tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    with LLM(default_model) as llm:
        answer = llm.chat(messages, SamplingParams(temperature=0, max_tokens=20))
    assert answer.prompt_tokens == expected
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    assert answer.tokens[-1] in (0, 2)
