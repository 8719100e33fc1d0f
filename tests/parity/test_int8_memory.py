"""Keys and values in 8-bit integers, `model.kv_dtype: int8`: the kernels, the torch step, and what a model loses."""

from pathlib import Path

import pytest
import torch
from parity.test_native import PROCESSORS
from support import models
from support.attention_step import AttentionStep, Shape
from support.logits import all_logits

from plugtron import LLM, SamplingParams
from plugtron.context import PagedInferenceContext, bytes_per_token
from plugtron.contracts.decoder import AttentionState, ModelInfo
from plugtron.errors import PlugtronError, SpecError
from plugtron.kernels.native.build import library
from plugtron.parallel.runtime import Runtime
from plugtron.quantization.int8_rows import LARGEST_CODE, quantize_int8

INT8 = {"model.kv_dtype": "int8"}
#: With sinks, windows, chunks, soft caps, slopes, biases, norms of queries and keys, one head for all, and experts.
DEFAULT = (
    "llama_untied", "mistral_window", "qwen3", "gpt2", "gemma2", "gemma3", "bloom", "falcon_multi_query", "gpt_oss",
    "llama4",
)  # fmt: skip
NAMES = [pytest.param(name, marks=() if name in DEFAULT else pytest.mark.wide) for name in models.MODELS]
SHAPES = {
    "a token": Shape(heads=9, kv_heads=3, head_dim=64, length=300, new=1),
    "a first token": Shape(heads=4, kv_heads=4, head_dim=64, length=1, new=1),
    "a prompt": Shape(heads=9, kv_heads=3, head_dim=64, length=300, new=40),
    "80": Shape(heads=4, kv_heads=4, head_dim=80, length=290, new=3),
    "96": Shape(heads=6, kv_heads=1, head_dim=96, length=40, new=1),
    "128": Shape(heads=14, kv_heads=2, head_dim=128, length=530, new=1),
    "256": Shape(heads=2, kv_heads=1, head_dim=256, length=70, new=18),
    "odd": Shape(heads=3, kv_heads=1, head_dim=7, length=35, new=2),
    "a window": Shape(heads=4, kv_heads=2, head_dim=128, length=600, new=20, window=33),
}


def test_rounding():
    rows = torch.tensor([[1.0, -4.0], [0.0, 0.0], [1e-38, -1e-39], [float("inf"), 1.0], [1.0, float("nan")]])
    codes, scales = quantize_int8(rows)
    assert codes.tolist()[:3] == [[32, -LARGEST_CODE], [0, 0], [0, 0]]
    assert scales.tolist()[:3] == [pytest.approx(4 / LARGEST_CODE), 0.0, 0.0]
    assert scales[3:].isnan().all()


@pytest.fixture(scope="module", params=PROCESSORS)
def kernels(request):
    """The kernels for each processor."""
    processor, flags = PROCESSORS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", flags)
        return library(processor)


@pytest.mark.parametrize("name", SHAPES)
def test_attention(name, kernels):
    """Over codes and scales as torch writes them, which kernels do too, to the bit."""
    step = AttentionStep(SHAPES[name], seed=len(name))
    found = step.run(kernels)
    for numbers, codes, scales in zip(
        step.written(), (step.keys, step.values), (step.key_scales, step.value_scales), strict=True
    ):
        own_codes, own_scales = (part[-SHAPES[name].new :] for part in step.history(codes, scales))
        expected_codes, expected_scales = quantize_int8(numbers)
        assert torch.equal(own_codes, expected_codes)
        assert torch.equal(own_scales, expected_scales)
    expected = step.expected()
    # What sixteen bits of a query lose of a score.
    assert ((found - expected).abs().amax() < 2e-4 * expected.abs().amax()).all()
    assert torch.equal(step.run(kernels, threads=2), found)


def test_numbers_that_are_none_stay_so(kernels):
    step = AttentionStep(SHAPES["a token"], seed=1)
    step.rows[:, 9 * 64 + 5] = float("nan")  # of the first key
    found = step.run(kernels).unflatten(1, (9, -1))
    assert found[:, :3].isnan().all()
    assert found[:, 3:].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_native_step_gives_what_torch_gives(name, random_model):
    """A hair's difference now and then rounds a key or a value the other way; and near what float32 memory gives."""
    prompt, found = models.prompts()[-1], []
    for execution, kv_dtype in (("native", "int8"), ("eager", "int8"), ("native", "auto")):
        overrides = {"execution": execution, "model.kv_dtype": kv_dtype}
        with LLM(random_model(name)[1], dtype="float32", overrides=overrides) as llm:
            found.append(all_logits(llm, prompt))
    native, eager, exact = found
    assert ((native - eager).norm(dim=-1) / eager.norm(dim=-1)).median() < 0.02
    # Of a few tokens: random weights make much of any rounding.
    assert 0 < ((native - exact).norm(dim=-1) / exact.norm(dim=-1))[:4].median() < 0.05


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_a_row_does_not_depend_on_the_others(engine, random_model):
    """The same bits alone, in a batch, in chunks, over blocks, and after others have been preempted."""
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, logprobs=0)
    prompts, folder = models.prompts(), random_model("qwen3")[1]
    options = {"max_step_tokens": 7, "block_size": 4, "blocks": 40} if engine == "dynamic" else {"max_batch_size": 3}
    overrides = {f"engine.options.{name}": value for name, value in options.items()}
    with LLM(folder, overrides={"engine.options.max_batch_size": 1, **INT8}) as llm:
        alone = [llm.generate(prompt, params) for prompt in prompts]
    with LLM(folder, engine=engine, overrides={**overrides, **INT8}) as llm:
        together = llm.generate(prompts, params)
    for one, other in zip(alone, together, strict=True):
        assert one.tokens == other.tokens
        assert [entry.value for entry in one.log_probs] == [entry.value for entry in other.log_probs]


def test_a_long_row_does_not_depend_on_the_others(default_model):
    """Alone its history is divided among the threads; beside others it is not."""
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0)
    prompts = [[(7 * token + first) % 40_000 for token in range(505)] for first in (100, 200, 300)]
    overrides = {"engine.options.max_sequence_length": 640, "engine.options.max_batch_size": 4, "threads": 2, **INT8}
    with LLM(default_model, quantization="as_stored", engine="dynamic", overrides=overrides) as llm:
        alone = llm.generate(prompts[0], params)
        beside = llm.generate(prompts, params)[0]
    assert alone.tokens == beside.tokens
    assert [entry.value for entry in alone.log_probs] == [entry.value for entry in beside.log_probs]


def test_a_block_goes_with_its_scales():
    """Copied into a fork, cleared for a new owner, and counted."""
    state = AttentionState(kv_heads=2, head_dim=16, dtype=torch.int8)
    info = ModelInfo(vocab_size=1, padded_vocab_size=1, hidden_size=1, max_positions=8, states=(state, state))
    assert bytes_per_token(info) == 2 * 2 * 2 * (16 + 4)
    context = PagedInferenceContext(
        info, Runtime.create(device="cpu"), slots=2, max_length=8, blocks=2, block_size=4, prefix_caching=False
    )
    assert sum(part.nbytes for layer in context.layers for part in layer.parts) == 3 * 4 * bytes_per_token(info)
    context.attach(0, [1, 2])
    context.allocate(0, 2)
    for layer in context.layers:
        for part in layer.parts:
            part.fill_(3)
    assert context.fork(0, 1, 2)
    context.release(0)
    context.attach(0, [1, 2])
    context.allocate(0, 2)
    for layer in context.layers:
        for part in layer.parts:
            assert {float(part[block].float().mean()) for block in (1, 2)} == {0.0, 3.0}


@pytest.mark.wide
def test_ranks_give_what_one_gives(random_model):
    """Heads and layers, shared out; up to where a rounding may have gone the other way."""
    folder, prompts = random_model("llama_untied")[1], models.prompts()[2:5]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=1)
    found = []
    for ranks in ({}, {"tensor_parallel": 2}, {"pipeline_parallel": 2}):
        with LLM(folder, dtype="float32", engine="dynamic", overrides=INT8, **ranks) as llm:
            found.append([answer.tokens[:8] for answer in llm.generate(prompts, params)])
    assert found[0] == found[1] == found[2]


def test_what_does_not_take_it_is_refused_by_name(random_model):
    folder = random_model("llama_untied")[1]
    with pytest.raises(SpecError, match=r"model\.kv_dtype: int8: execution graph does not read it \(accepted here: "):
        LLM(folder, overrides={"execution": "graph", **INT8})
    with LLM(folder, overrides={"attention": "torch", "execution": "eager", **INT8}) as llm:
        llm.session.parts.wrapper.options.attention.takes_int8 = False
        with pytest.raises(PlugtronError, match=r"model.kv_dtype int8: attention plugtron\.kernels.* does not take it"):
            llm.session.parts.wrapper._backend.load(llm.session.parts.wrapper)


def test_what_the_default_model_loses(default_model):
    """Of a text: half a percent of perplexity, and few of the most likely tokens."""
    found = []
    for kv_dtype in ("auto", "int8"):
        with LLM(default_model, quantization="as_stored", overrides={"model.kv_dtype": kv_dtype}) as llm:
            text = (Path(__file__).parents[2] / "LICENSE").read_text()
            tokens = torch.tensor(llm.session.parts.tokenizer.encode(text)[:1000])
            log_probs = all_logits(llm, tokens.tolist()).log_softmax(-1)
        surprise = -log_probs[:-1].gather(1, tokens[1:].unsqueeze(1)).mean()
        found.append((log_probs.argmax(-1), surprise.exp()))
    (exact, perplexity), (rounded, other) = found
    assert (other / perplexity - 1).abs() < 5e-3
    assert (exact == rounded).float().mean() > 0.95
