"""The native step: what torch computes with the same quantised weights and activations, whatever the batch."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from support import models, reference
from support.logits import all_logits
from transformers.pytorch_utils import Conv1D

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.gguf import GGUFReader
from plugtron.contracts.quantised import QuantisedWeight, WeightFormat
from plugtron.kernels.native.binding import NativeTokens, Op, Program
from plugtron.kernels.native.build import library

NATIVE = [name for name in models.MODELS if "mixtral" not in name]
#: What a step can be compiled for here: this processor, and one without the instructions for int8.
PROCESSORS = ["native", "x86-64-v3"]


def quantised(numbers):
    """Numbers [..., I] as they are after int8 in groups of 32."""
    groups = numbers.unflatten(-1, (-1, 32))
    largest = groups.abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, (groups * (127 / largest)).round() * (largest / 127), 0.0).flatten(-2)


def magnitude(weight):
    """The sizes [O, I] of the terms that a product with a weight is a sum of: a scaled value and a minimum each."""
    scales = weight.scales.float().abs()
    minimums = 128 * scales if weight.minimums is None else weight.minimums.float().abs()
    group = weight.values.shape[1] // scales.shape[1]
    return weight.values * scales.repeat_interleave(group, 1) + minimums.repeat_interleave(group, 1)


def random_weight(form, outputs, inputs, random):
    """A weight of a form, every value of it possible."""
    bits = 4 if form in (WeightFormat.FOUR, WeightFormat.FOUR_WIDE) else 8
    group = 16 if form == WeightFormat.EIGHT_HALVES else 32
    dtype = torch.float16 if form in (WeightFormat.FOUR, WeightFormat.EIGHT) else torch.float32
    scales, minimums = (torch.randn(2, outputs, inputs // group, generator=random) / 2**bits).to(dtype)
    return QuantisedWeight(
        bits=bits,
        values=torch.randint(0, 2**bits, (outputs, inputs), generator=random, dtype=torch.uint8),
        scales=scales,
        minimums=None if form in (WeightFormat.EIGHT, WeightFormat.EIGHT_HALVES) else minimums,
    )


def quantise(model, bits):
    """Have a transformers model compute with quantised weights (8 bits in the head) and activations."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear | Conv1D):
                turned = isinstance(module, Conv1D)  # it stores its weight the other way round
                weight = module.weight.T if turned else module.weight
                dense = QuantisedWeight.of(weight, 8 if name == "lm_head" else bits).dense()
                module.weight = torch.nn.Parameter(dense.T.contiguous() if turned else dense)
                module.register_forward_pre_hook(lambda _, inputs: (quantised(inputs[0]),))
    return model


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", NATIVE)
def test_logits(name, bits, random_model, recwarn):
    _, folder = random_model(name)
    prompt = models.prompts()[-1]
    expected = reference.logits(quantise(models.make(name), bits), prompt)
    with LLM(folder, dtype="float32", quantization=f"int{bits}") as llm:
        found = all_logits(llm, prompt)
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    # A sum in another order now and then rounds an activation the other way, which random weights make much of; what
    # is wrong shows in half the tokens.
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < 5e-2
    assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.85


@pytest.mark.parametrize("engine", ["static", "dynamic"])
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_a_row_does_not_depend_on_the_others(engine, quantization, random_model):
    """The same bits alone, in a batch, in chunks and over blocks."""
    _, folder = random_model("qwen3")
    params = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True, logprobs=0)
    prompts = models.prompts()
    options = {"max_step_tokens": 7, "block_size": 4} if engine == "dynamic" else {"max_batch_size": 3}
    overrides = {f"engine.options.{name}": value for name, value in options.items()}
    with LLM(folder, quantization=quantization, overrides={"engine.options.max_batch_size": 1}) as llm:
        alone = [llm.generate(prompt, params) for prompt in prompts]
    with LLM(folder, quantization=quantization, engine=engine, overrides=overrides) as llm:
        together = llm.generate(prompts, params)
    for one, other in zip(alone, together, strict=True):
        assert one.tokens == other.tokens
        assert [entry.value for entry in one.log_probs] == [entry.value for entry in other.log_probs]


@pytest.mark.parametrize("processor", PROCESSORS)
@settings(max_examples=60, deadline=None)
@given(
    rows=integers(1, 40),
    groups=integers(1, 20),
    outputs=integers(1, 100),
    form=sampled_from(WeightFormat),
    threads=integers(1, 2),
    seed=integers(0, 2**31),
)
def test_linear(processor, rows, groups, outputs, form, threads, seed):
    random = torch.Generator().manual_seed(seed)
    inputs = 32 * groups
    weight = random_weight(form, outputs, inputs, random)
    assert weight.format == form
    hidden, bias = torch.randn(rows, inputs, generator=random), torch.randn(outputs, generator=random)
    hidden[:, :32] = 0.0  # a group without a scale
    packed, logits = weight.packed(), torch.empty(rows, outputs)
    ops = [
        Op(kind=1, source=0, inputs=inputs),
        Op(
            kind=2,
            target=4,
            inputs=inputs,
            outputs=outputs,
            stride=outputs,
            format=weight.format,
            packed=packed.data_ptr(),
            bias=bias.data_ptr(),
        ),
    ]
    tokens = NativeTokens(count=rows, logit_count=rows, block_size=1, table_width=1)
    program = Program(library(processor), ops, threads)
    for _ in range(2):
        program.run(None, tokens, hidden.data_ptr(), logits.data_ptr())
        rounded = quantised(hidden).double()
        expected = rounded @ weight.dense().double().T + bias
        # What float32 may lose is a share of the terms, which may cancel out, not of their sum.
        allowed = 1e-6 * (rounded.abs() @ magnitude(weight).double().T + 1)
        assert ((logits - expected).abs() < allowed).all()


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.3.ffn_down.weight", "token_embd.weight"])
def test_blocks_of_a_file_are_quantised_without_a_loss(name, default_model):
    reader = GGUFReader(default_model)
    kind = reader.tensors[name].dtype
    dense = reader.read(name, (slice(0, 400),)).float()
    again = QuantisedWeight.of(dense, {"Q4_1": 4, "Q8_0": 8}[kind]).dense()
    assert torch.equal(again, dense)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("llama_untied", {"dtype": "float16"}, "keys and values in float16"),
        ("mixtral", {}, "the step of a MixtureOfExperts"),
        ("llama_untied", {"tensor_parallel": 2}, "the native step runs on one rank"),
    ],
)
def test_what_is_not_native_runs_through_torch_and_says_so(name, options, reason, random_model):
    _, folder = random_model(name)
    with pytest.warns(UserWarning, match=f"quantization int8 runs through torch, and slowly: {reason}"):
        llm = LLM(folder, quantization="int8", **options)
    with llm:
        assert len(llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)).tokens) == 8


def test_the_default_model_agrees_with_itself_in_float32(default_model):
    """Teacher forced over a text, with the file's own blocks and a head of eight bits."""
    with LLM(default_model, dtype="float32") as llm:
        text = (Path(__file__).parents[2] / "LICENSE").read_text()
        prompt = llm.assembly.parts.tokenizer.encode(text)[:400]
        exact = all_logits(llm, prompt)
    with LLM(default_model, quantization="int4") as llm:
        found = all_logits(llm, prompt)
    assert (found.argmax(-1) == exact.argmax(-1)).float().mean() > 0.94
