"""The engine on small random models, one of an architecture that plugtron has no family for."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MptConfig

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.errors import SpecError
from plugtron.request import FinishReason

PROMPTS = [[5, 17, 2, 90], [7], list(range(20, 44))]
GREEDY = SamplingParams(temperature=0, max_tokens=8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An MPT."""
    return save(MptConfig(vocab_size=96, d_model=64, n_heads=4, n_layers=2, max_seq_len=128), tmp_path_factory)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    sizes = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return save(LlamaConfig(**sizes, **heads, bos_token_id=None, eos_token_id=None), tmp_path_factory)


def save(config, tmp_path_factory):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return model, folder


def engine(folder, **overrides):
    overrides = {f"engine.options.{name}": value for name, value in overrides.items()}
    return LLM(folder, engine="transformers", dtype="float32", overrides=overrides)


def generated(model, prompt, count=8):
    ids = model.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=count, eos_token_id=None, pad_token_id=0
    )
    return ids[0, len(prompt) :].tolist()


def test_greedy_tokens_are_those_of_generate(model):
    with engine(model[1], max_batch_size=2) as llm:
        answers = llm.generate(PROMPTS, SamplingParams(temperature=0, max_tokens=8, ignore_eos=True))
    assert [answer.tokens for answer in answers] == [generated(model[0], prompt) for prompt in PROMPTS]
    assert all(answer.finish_reason is FinishReason.LENGTH for answer in answers)


def test_greedy_tokens_are_those_of_plugtrons_own_engine(llama):
    with engine(llama[1]) as llm:
        answers = [answer.tokens for answer in llm.generate(PROMPTS, GREEDY)]
    with LLM(llama[1], dtype="float32") as llm:
        assert answers == [answer.tokens for answer in llm.generate(PROMPTS, GREEDY)]


def test_draws_depend_on_the_seed_alone(llama):
    params = SamplingParams(temperature=1.5, top_k=20, top_p=0.9, min_p=0.01, seed=3, max_tokens=8, n=2)
    with engine(llama[1]) as llm:
        alone = llm.generate([PROMPTS[0]], params)[0]
        beside = llm.generate(PROMPTS[::-1], params)[2]
    both = [[sequence.tokens for sequence in answer.sequences] for answer in (alone, beside)]
    assert both[0] == both[1]
    assert both[0][0] != both[0][1]


def test_stops_lengths_and_log_probabilities(llama):
    tokens = generated(llama[0], PROMPTS[0])
    stop = SamplingParams(temperature=0, max_tokens=8, stop_token_ids=[tokens[2]], logprobs=2)
    with engine(llama[1], max_sequence_length=30) as llm:
        answer = llm.generate(PROMPTS[0], stop)
        longest = llm.generate(PROMPTS[2], SamplingParams(temperature=0, max_tokens=-1))
        too_long = llm.generate(list(range(30)), GREEDY)
    assert answer.tokens == tokens[: tokens.index(tokens[2]) + 1]
    assert (answer.finish_reason, answer.stop_reason) == (FinishReason.STOP, tokens[2])
    with torch.inference_mode():
        logits = llama[0](torch.tensor([PROMPTS[0]])).logits[0, -1].log_softmax(-1)
    assert answer.log_probs[0].value == pytest.approx(float(logits[tokens[0]]), abs=1e-4)
    assert list(answer.log_probs[0].top) == logits.topk(2).indices.tolist()
    assert len(longest.tokens) == 30 - len(PROMPTS[2])
    assert "the prompt has 30 tokens" in too_long.error


def test_an_aborted_request_leaves_the_others_alone(llama):
    first, second = (InferenceRequest(prompt=prompt, params=GREEDY) for prompt in PROMPTS[:2])
    with engine(llama[1]) as llm:
        numbers = [llm.session.add_request(request) for request in (first, second)]
        llm.session.step()
        assert llm.session.abort_request(numbers[0])
        while llm.session.has_unfinished_requests:
            llm.session.step()
    assert (first.finish_reason, len(first.tokens)) == (FinishReason.ABORT, 1)
    assert second.tokens == generated(llama[0], PROMPTS[1])


def test_what_it_cannot_do_is_refused(llama):
    with engine(llama[1]) as llm:
        assert "min_tokens: no part of this run uses it" in llm.generate([1], SamplingParams(min_tokens=1)).error
    for overrides, text in (
        ({"samplers": ["top_p"]}, "samplers: this engine brings its own model, and does without: leave it out"),
        ({"execution": "eager"}, "execution: this engine brings its own model"),
        ({"parallel.tensor": 2}, "parallel.tensor: the engine transformers runs in one process"),
        ({"sampling": {"logit_bias": {1: 1.0}}}, "sampling.logit_bias: no part of this run uses it"),
        ({"engine.options.max_sequence_length": 65}, "65 is more than the 64 positions of this model"),
    ):
        with pytest.raises(SpecError) as raised:
            LLM(llama[1], engine="transformers", dtype="float32", overrides=overrides)
        assert text in str(raised.value)
