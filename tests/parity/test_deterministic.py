"""`deterministic: true`: a request's bits are the same whatever else is in its steps."""

import pytest
import torch

from plugtron import LLM, SamplingParams
from plugtron.errors import PlugtronError

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def bits(answer):
    """Tokens, and log probabilities as they are."""
    return [
        (token, each.token, tuple(each.top.items()))
        for token, each in zip(answer.tokens, answer.log_probs, strict=True)
    ]


def answers(folder, prompts, tokens, **options):
    """What requests come to alone and together, and together in small chunks of prompts and other blocks."""

    def params(count):
        return SamplingParams(temperature=0, ignore_eos=True, max_tokens=count, logprobs=2)

    engine = {"prefix_caching": False, "max_sequence_length": 128}
    small = {**engine, "max_step_tokens": 7, "block_size": 4}
    found = []
    for form in (engine, small):
        overrides = {"deterministic": True, **{f"engine.options.{name}": value for name, value in form.items()}}
        with LLM(folder, engine="dynamic", overrides=overrides, **options) as llm:
            if form is engine:
                found.append([bits(llm.generate(prompt, params(tokens))) for prompt in prompts])
            lengths = [max(tokens - at, 1) for at in range(len(prompts))]
            found.append([bits(answer) for answer in llm.generate(prompts, [params(length) for length in lengths])])
    return found


def prompts(*lengths):
    return [[(seed * 31 + at * 7) % 300 for at in range(length)] for seed, length in enumerate(lengths)]


def assert_same(alone, others):
    assert len({token for answer in alone for token, *_ in answer}) > 4
    for together in others:
        for one, expected in zip(together, alone, strict=True):
            assert one == expected[: len(one)]


@pytest.mark.parametrize(
    ("dtype", "quantization", "ranks"),
    [("float32", None, 1), ("float32", "int4", 1), ("bfloat16", None, 1), ("bfloat16", "int8", 2)],
)
def test_native_steps(dtype, quantization, ranks, random_model):
    alone, *others = answers(
        random_model("llama_tied")[1], prompts(40, 1, 18, 70), 8,
        device="cpu", dtype=dtype, quantization=quantization, tensor_parallel=ranks,
    )  # fmt: skip
    assert_same(alone, others)


@pytest.mark.gpu
@pytest.mark.parametrize("quantization", [None, "int4", "int8", "fp8"])
def test_captured_steps(quantization, random_model):
    alone, *others = answers(
        random_model("llama_tied")[1], prompts(40, 1, 18, 70), 8,
        device="cuda", dtype="bfloat16", quantization=quantization,
    )  # fmt: skip
    assert_same(alone, others)


def test_steps_over_kernels_give_what_eager_ones_do(random_model):
    """In tiles throughout, through products of its own; numpy, which interprets them, has an order of its own."""
    folder = random_model("llama_tied")[1]
    params = SamplingParams(temperature=0, max_tokens=3, ignore_eos=True)
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 64}
    found = []
    for more in ({"execution": "eager"}, {"execution": "graph", "deterministic": True}):
        with LLM(folder, dtype="float32", engine="dynamic", overrides={**overrides, **more}) as llm:
            found.append([answer.tokens for answer in llm.generate(prompts(9, 3), params)])
    assert found[0] == found[1]


def test_torch_is_refused(random_model):
    overrides = {"deterministic": True, "device": DEVICE, "execution": "graph"}
    with pytest.raises(PlugtronError, match=r"execution graph: equal bits of a Router, whose sums are torch's"):
        LLM(random_model("mixtral")[1], overrides=overrides)
    with pytest.raises(PlugtronError, match=r"deterministic: .*execution eager is asked for"):
        LLM(random_model("llama_tied")[1], overrides={"deterministic": True, "execution": "eager"})
