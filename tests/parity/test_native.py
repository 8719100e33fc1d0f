"""The native step: what torch computes with the same quantized weights and activations, whatever the batch."""

import ctypes
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from support import models, reference
from support.fuzzing import examples
from support.logits import all_logits
from support.rounded_products import RoundedProducts, rounded_groups
from transformers.pytorch_utils import Conv1D

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.gguf.reader import GGUFReader
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.errors import PlugtronError
from plugtron.execution.lowering.calls import RowCode
from plugtron.execution.lowering.program import Flag, Kind, RowFlag
from plugtron.kernels.native.binding import NativeTokens, Op, Program, RowStep
from plugtron.kernels.native.build import library
from plugtron.kernels.native.packing import WeightFormat, format_of, pack, pack_dense
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.runtime import Runtime
from plugtron.quantization.weight import QuantizedWeight, ScaleCodes
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_wrappers.llama import LlamaWrapper

#: What a step can be compiled for here: this processor, one without AVX-512, one without AVX, and those with AVX-512
#: VNNI and with its bfloat16, in an emulation that runs anywhere (-O0: optimized, it compiles for minutes). What is
#: compiled for the tests alone is hardly optimized, which takes half the time.
_VNNI = "-O0 -D__AVX512F__ -D__AVX512BW__ -D__AVX512VNNI__ -D__AVX512VL__"
EMULATION = f"-I{Path(__file__).parents[1] / 'support' / 'emulated'}"
PROCESSORS = {
    "native": ("native", ""),
    "AVX2": ("x86-64-v3", "-O1"),
    "neither": ("x86-64", "-O1"),
    "VNNI": ("x86-64-v3", f"{EMULATION} {_VNNI}"),
    "bfloat16": ("x86-64-v3", f"{EMULATION} {_VNNI} -D__AVX512BF16__"),
}


@pytest.fixture(scope="module", params=PROCESSORS)
def kernels(request):
    """The kernels for each processor."""
    processor, flags = PROCESSORS[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXXFLAGS", flags)
        return library(processor)


#: Bits, whether values are signed, which have no minimums, how scales are held, and how many inputs share one.
FORMS = {
    WeightFormat.INT4: (4, False, "half", 32),
    WeightFormat.INT4_F32_SCALES: (4, False, "wide", 32),
    WeightFormat.INT8: (8, True, "half", 32),
    WeightFormat.INT8_F32_SCALES: (8, False, "wide", 32),
    WeightFormat.INT8_G16: (8, True, "wide", 16),
    WeightFormat.INT5: (5, True, "half", 32),
    WeightFormat.INT5_MINIMUM: (5, False, "half", 32),
    WeightFormat.INT4_CODES: (4, False, "codes", 32),
    WeightFormat.INT5_CODES: (5, False, "codes", 32),
    WeightFormat.INT6_CODES: (6, True, "codes", 16),
}


def magnitude(weight):
    """The sizes [O, I] of the terms that a product with a weight is a sum of: a scaled value and a minimum each."""
    if weight.is_mxfp4:
        return weight.dense().abs()
    scales = weight.scales.float().abs()
    minimums = 128 * scales if weight.minimums is None else weight.minimums.float().abs()
    group = weight.values.shape[1] // scales.shape[1]
    return weight.values * scales.repeat_interleave(group, 1) + minimums.repeat_interleave(group, 1)


def random_weight(form, outputs, inputs, random):
    """A weight of a form, every value of it possible."""
    if form == WeightFormat.MXFP4:
        values = torch.randint(0, 16, (outputs, inputs), generator=random, dtype=torch.uint8)
        scales = torch.randint(117, 130, (outputs, inputs // 32), generator=random, dtype=torch.uint8)
        scales[::7] = torch.randint(0, 3, scales[::7].shape, generator=random, dtype=torch.uint8)  # the least
        return QuantizedWeight(bits=4, values=values, scales=scales, minimums=None)
    bits, signed, numbers, group = FORMS[form]
    if numbers == "codes":
        return coded_weight(bits, signed, group, outputs, inputs, random)
    dtype = torch.float16 if numbers == "half" else torch.float32
    scales, minimums = (torch.randn(2, outputs, inputs // group, generator=random) / 2**bits).to(dtype)
    return QuantizedWeight(
        bits=bits,
        values=random_values(bits, signed, outputs, inputs, random),
        scales=scales,
        minimums=None if signed else minimums,
    )


def coded_weight(bits, signed, group, outputs, inputs, random):
    """A weight whose scales are small integers times factors."""
    codes = [torch.randint(-128 if signed else 0, 128 if signed else 64, (outputs, inputs // group), generator=random)]
    factors = [torch.randn(outputs, inputs // 256, generator=random).half() / 2 ** (bits + 5)]
    if not signed:
        codes.append(torch.randint(0, 64, codes[0].shape, generator=random))
        factors.append(torch.randn(factors[0].shape, generator=random).half() / 64)
    kept = ScaleCodes(
        scales=codes[0].to(torch.int8),
        factors=factors[0],
        minimums=None if signed else codes[1].to(torch.int8),
        minimum_factors=None if signed else factors[1],
    )
    scales, minimums = kept.products()
    values = random_values(bits, signed, outputs, inputs, random)
    return QuantizedWeight(bits=bits, values=values, scales=scales, minimums=minimums, codes=kept)


def random_values(bits, signed, outputs, inputs, random):
    """What a file may hold; signed ones lie around 128."""
    values = torch.randint(0, 2**bits, (outputs, inputs), generator=random, dtype=torch.uint8)
    return values + (128 - 2 ** (bits - 1)) if signed else values


class QuantizedProducts(RoundedProducts):
    """Has a transformers model multiply with quantized weights (8 bits in the head), and activations alike.

    Routers, the gates of shared experts, and projections that every rank has whole stay what they are, as do rows that
    are no whole groups.
    """

    def __init__(self, model, bits):
        super().__init__(model)
        with torch.no_grad():
            for name, module in list(model.named_modules()):
                if name.endswith(("router", "gate", "project_in", "project_out")):
                    continue
                if isinstance(module, torch.nn.Linear | Conv1D):
                    own = 8 if name == "lm_head" else bits
                    # In a new parameter: a tied head is the embedding, and what that looks up stays as it is.
                    module.weight = self._hold(module.weight, own, turned=isinstance(module, Conv1D))
                elif name.endswith("experts"):
                    turned = getattr(module, "is_transposed", "Llama4" in type(module).__name__)
                    for part in ("gate_up_proj", "down_proj"):
                        setattr(module, part, self._hold(getattr(module, part), bits, turned=turned))

    def _hold(self, weight, bits, *, turned):
        """Quantize a weight [..., O, I], or [..., I, O] if that is how it is stored."""
        plain = weight.transpose(-1, -2) if turned else weight
        if plain.shape[-1] % 32:
            return weight
        dense = QuantizedWeight.of(plain.reshape(-1, plain.shape[-1]), bits).dense().view(plain.shape)
        held = torch.nn.Parameter((dense.transpose(-1, -2) if turned else dense).contiguous())
        self.take(held)
        return held


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("name", models.every())
def test_logits(name, bits, random_model, recwarn):
    _, folder = random_model(name)
    prompt = models.prompts()[-1]
    model = models.make(name)
    with QuantizedProducts(model, bits) as products:
        expected = reference.logits(model, prompt)
    assert products.complete
    with LLM(folder, dtype="float32", quantization=f"int{bits}") as llm:
        found = all_logits(llm, prompt)
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    # A sum in another order now and then rounds an activation the other way, which random weights make much of; what
    # is wrong shows in half the tokens.
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < 5e-2
    assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.85


@pytest.mark.parametrize("engine", ["static", "dynamic"])
@pytest.mark.parametrize("quantization", ["int8", "int4", None])
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_long_row_does_not_depend_on_the_others(dtype, default_model):
    """Alone its history is divided among the threads; beside others it is not."""
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0)
    prompts = [[(7 * token + first) % 40_000 for token in range(505)] for first in (100, 200, 300)]
    overrides = {"engine.options.max_sequence_length": 640, "engine.options.max_batch_size": 4, "threads": 2}
    with LLM(default_model, dtype=dtype, quantization="as_stored", engine="dynamic", overrides=overrides) as llm:
        alone = llm.generate(prompts[0], params)
        beside = llm.generate(prompts, params)[0]
    assert alone.tokens == beside.tokens
    assert [entry.value for entry in alone.log_probs] == [entry.value for entry in beside.log_probs]


def product(kernels, threads, hidden, packed, form, outputs, bias):
    """What a native linear layer makes of rows, twice over, the second time on what the first has left behind."""
    rows, inputs = hidden.shape
    logits = torch.empty(rows, outputs)
    form_of_rows = RowFlag.PUT_DENSE if form in (WeightFormat.F32, WeightFormat.BF16) else RowFlag.PUT_GROUPED
    steps = [
        RowStep(code=RowCode.LOAD, first=0, stride=inputs),
        RowStep(code=RowCode.PUT, width=inputs, flags=form_of_rows),
    ]
    ops = [
        Op(kind=Kind.ROWS, inputs=32, outputs=inputs, count=2, flags=Flag.BY_COLUMNS),
        Op(
            kind=Kind.LINEAR,
            target_buffer=1,
            target_stride=outputs,
            inputs=inputs,
            outputs=outputs,
            format=form,
            packed=packed.data_ptr(),
            bias=bias.data_ptr(),
        ),
    ]
    positions, owners = torch.zeros(rows, dtype=torch.int64), torch.arange(rows)
    tokens = NativeTokens(
        count=rows,
        logit_count=rows,
        block_size=1,
        table_width=1,
        positions=positions.data_ptr(),
        owners=owners.data_ptr(),
    )
    program = Program(kernels, ops, steps, threads)
    buffers = (ctypes.c_void_p * 2)(hidden.data_ptr(), logits.data_ptr())
    for _ in range(2):
        program.run(range(2), None, tokens, buffers)
    return logits


SHAPES = {
    "rows": integers(1, 40),
    "outputs": integers(1, 100),
    "threads": integers(1, 2),
    "seed": integers(0, 2**31),
}


@settings(max_examples=examples(25, 100), deadline=None)
@given(groups=integers(1, 20), form=sampled_from(list(WeightFormat)[: WeightFormat.F32]), **SHAPES)
def test_linear(kernels, rows, groups, outputs, form, threads, seed):
    random = torch.Generator().manual_seed(seed)
    inputs = (256 if "CODES" in form.name else 32) * groups
    weight = random_weight(form, outputs, inputs, random)
    assert format_of(weight) == form
    hidden, bias = torch.randn(rows, inputs, generator=random), torch.randn(outputs, generator=random)
    hidden[:, :32] = 0.0  # a group without a scale
    hidden[:, 32:64] *= 1e-38  # and one whose scale has no inverse
    packed = torch.cat(list(pack(weight)))
    rounded = rounded_groups(hidden).double()
    expected = rounded @ weight.dense().double().T + bias
    found = product(kernels, threads, hidden, packed, form, outputs, bias)
    # What float32 may lose is a share of the terms, which may cancel out, not of their sum.
    allowed = 5e-7 * (rounded.abs() @ magnitude(weight).double().T + 1)
    assert ((found - expected).abs() < allowed).all()


@settings(max_examples=examples(25, 100), deadline=None)
@given(inputs=integers(1, 300), dtype=sampled_from([torch.float32, torch.bfloat16]), **SHAPES)
def test_dense_linear(kernels, rows, inputs, outputs, dtype, threads, seed):
    random = torch.Generator().manual_seed(seed)
    # Activations that bfloat16 holds too: processors that multiply it round them to it.
    hidden = torch.randn(rows, inputs, generator=random).bfloat16().float()
    weight, bias = torch.randn(outputs, inputs, generator=random).to(dtype), torch.randn(outputs, generator=random)
    form = WeightFormat.F32 if dtype == torch.float32 else WeightFormat.BF16
    found = product(kernels, threads, hidden, torch.cat(list(pack_dense(weight))), form, outputs, bias)
    expected = hidden.double() @ weight.double().T + bias
    allowed = 5e-7 * (hidden.abs().double() @ weight.abs().double().T + 1)
    assert ((found - expected).abs() < allowed).all()


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.3.ffn_down.weight", "token_embd.weight"])
def test_blocks_of_a_file_are_quantized_without_a_loss(name, default_model):
    reader = GGUFReader(default_model)
    kind = reader.tensors[name].dtype
    dense = reader.read(name, (slice(0, 400),)).float()
    again = QuantizedWeight.of(dense, {"Q4_1": 4, "Q8_0": 8}[kind]).dense()
    assert torch.equal(again, dense)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("llama_untied", {"dtype": "float16"}, "keys and values in float16"),
    ],
)
def test_what_is_not_native_runs_through_torch_and_says_so(name, options, reason, random_model):
    _, folder = random_model(name)
    with pytest.warns(UserWarning, match=f"quantization int8 runs through torch, and slowly: {reason}"):
        llm = LLM(folder, quantization="int8", **options)
    with llm:
        assert len(llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)).tokens) == 8


@pytest.mark.parametrize(
    ("ranks", "quantization", "engine"), [(2, "int8", "dynamic"), (2, "int4", "static"), (3, "int4", "dynamic")]
)
def test_ranks_give_what_one_gives(ranks, quantization, engine, default_model, random_model, recwarn):
    """The list of operations is cut where ranks sum up; shares of a row are whole groups, quantized as in the whole."""
    params = SamplingParams(temperature=0, max_tokens=32, ignore_eos=True, logprobs=2)
    model = default_model if ranks == 3 else random_model("llama_untied")[1]
    prompts = models.prompts()[2:5]
    found = []
    for size, chosen in [(1, "static"), (ranks, engine)]:
        with LLM(model, quantization=quantization, dtype="float32", engine=chosen, tensor_parallel=size) as llm:
            found += [llm.generate(prompts, params), [llm.generate(prompts[0], params)]]
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    for answers in found[1:]:
        for one, other in zip(found[0], answers, strict=False):
            pairs = enumerate(zip(one.tokens, other.tokens, strict=True))
            different = next((at for at, (left, right) in pairs if left != right), None)
            # Where two tokens are as good, they may differ.
            if different is not None:
                best, second = sorted(one.log_probs[different].top.values())[-1:-3:-1]
                assert best - second < 1e-4
                assert different >= 8


def test_an_execution_that_is_asked_for(random_model):
    _, folder = random_model("llama_untied")
    prompt, params = models.prompts()[-1], SamplingParams(temperature=0, max_tokens=32, ignore_eos=True)
    found = []
    for execution in ("eager", "native"):
        with LLM(folder, dtype="float32", overrides={"execution": execution}) as llm:
            assert type(llm.session.parts.wrapper._execution).__name__ == f"{execution.capitalize()}Execution"
            found.append(llm.generate(prompt, params).tokens)
    assert found[0] == found[1]
    with pytest.raises(
        PlugtronError, match=r"execution native: keys and values in float16 \(accepted here: auto, eager\)"
    ):
        LLM(folder, dtype="float16", overrides={"execution": "native"})


@pytest.mark.parametrize("processor", ["skylake-avx512", "sapphirerapids", "x86-64-v2"])
def test_kernels_compile_for_processors_that_are_not_here(processor, monkeypatch):
    monkeypatch.setenv("CXXFLAGS", "-O0")
    assert library(processor).is_file()


def test_a_second_engine_may_have_longer_sequences(random_model):
    wrapper = LlamaWrapper(Runtime.create(), SafetensorsReader(random_model("llama_untied")[1]))
    controller = SimpleTextGenerationController(wrapper, None)
    prompt, params = models.prompts()[-1], SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
    expected = StaticEngine(controller, StaticOptions(max_sequence_length=256)).generate([prompt], params)[0].tokens
    wrapper = LlamaWrapper(Runtime.create(), SafetensorsReader(random_model("llama_untied")[1]))
    controller = SimpleTextGenerationController(wrapper, None)
    StaticEngine(controller, StaticOptions(max_sequence_length=16)).generate([[1, 2, 3]], params)
    longer = StaticEngine(controller, StaticOptions(max_sequence_length=256))
    assert longer.generate([prompt], params)[0].tokens == expected


class LouderDecoder(TransformerDecoder):
    """An author's own: a block of plugtron's, overridden."""

    def head(self, hidden):
        return 2 * super().head(hidden)


class LouderWrapper(LlamaWrapper):
    def build(self, layers):
        return LouderDecoder(self.config, layers, self.runtime)


def test_what_is_derived_from_a_known_block_is_read_anew(random_model):
    _, folder = random_model("llama_untied")
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True, logprobs=0)
    found = []
    for wrapper_class in (LlamaWrapper, LouderWrapper):
        wrapper = wrapper_class(Runtime.create(), SafetensorsReader(folder))
        engine = StaticEngine(SimpleTextGenerationController(wrapper, None))
        (request,) = engine.generate([[1, 2, 3]], params)
        found.append((type(wrapper.execution).__name__, request.log_probs[0].value))
    assert [name for name, _ in found] == ["NativeExecution", "NativeExecution"]
    assert found[0][1] < found[1][1]


def test_the_default_model_agrees_with_itself_in_float32(default_model):
    """Teacher forced over a text, with the file's own blocks and a head of eight bits."""
    with LLM(default_model, dtype="float32") as llm:
        text = (Path(__file__).parents[2] / "LICENSE").read_text()
        prompt = llm.session.parts.tokenizer.encode(text)[:400]
        exact = all_logits(llm, prompt)
    with LLM(default_model, quantization="int4") as llm:
        found = all_logits(llm, prompt)
    assert (found.argmax(-1) == exact.argmax(-1)).float().mean() > 0.94
