"""The native step: what torch computes with the same quantised weights and activations, whatever the batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import models, reference
from support.logits import all_logits
from transformers.pytorch_utils import Conv1D

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.gguf import GGUFReader
from plugtron.kernels.native.binding import NativeTokens, Op, Program
from plugtron.kernels.native.build import library
from plugtron.kernels.quantised import QuantisedWeight

NATIVE = [name for name in models.MODELS if "mixtral" not in name]
#: What a step can be compiled for here: this processor, and one without the instructions for int8.
PROCESSORS = ["native", "x86-64-v3"]


def quantised(numbers):
    """Numbers [..., I] as they are after int8 in groups of 32."""
    groups = numbers.unflatten(-1, (-1, 32))
    scales = groups.abs().amax(-1, keepdim=True) / 127
    return torch.where(scales > 0, (groups / scales).round() * scales, 0.0).flatten(-2)


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
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 32, 1), (3, 96, 17), (8, 576, 48), (21, 64, 100)])
def test_linear(rows, inputs, outputs, bits, processor):
    torch.manual_seed(rows)
    weight = QuantisedWeight.of(torch.randn(outputs, inputs), bits)
    hidden, bias = torch.randn(rows, inputs), torch.randn(outputs)
    hidden[:, :32] = 0.0  # a group without a scale
    packed, logits = weight.packed(), torch.empty(rows, outputs)
    ops = [
        Op(kind=1, source=0, inputs=inputs),
        Op(kind=2, target=4, inputs=inputs, outputs=outputs, bits=bits, packed=packed.data_ptr(), bias=bias.data_ptr()),
    ]
    tokens = NativeTokens(count=rows, logit_count=rows, block_size=1, table_width=1)
    program = Program(library(processor), ops, 2)
    for _ in range(3):
        program.run(None, tokens, hidden.data_ptr(), logits.data_ptr())
        expected = quantised(hidden).double() @ weight.dense().double().T + bias
        assert (logits - expected).abs().max() < 1e-5 * expected.abs().max()


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


def test_without_a_compiler_torch_runs_and_says_so(random_model):
    _, folder = random_model("llama_untied")
    program = (
        "import sys; from plugtron import LLM, SamplingParams\n"
        f"llm = LLM({str(folder)!r}, dtype='float32', quantization='int8')\n"
        "print(llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)).tokens)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PATH": "/nowhere", "HOME": "/tmp"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("quantization int8 runs through torch, and slowly: there is no C++ compiler") == 1
    assert len(json.loads(done.stdout)) == 8


def test_the_default_model_agrees_with_itself_in_float32(default_model):
    """Teacher forced over a text, with the file's own blocks and a head of eight bits."""
    with LLM(default_model, dtype="float32") as llm:
        text = (Path(__file__).parents[2] / "LICENSE").read_text()
        prompt = llm.assembly.parts.tokenizer.encode(text)[:400]
        exact = all_logits(llm, prompt)
    with LLM(default_model, quantization="int4") as llm:
        found = all_logits(llm, prompt)
    assert (found.argmax(-1) == exact.argmax(-1)).float().mean() > 0.94
