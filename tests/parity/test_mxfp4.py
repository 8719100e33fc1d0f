"""Experts in MXFP4, as gpt-oss is published: used as they are stored."""

import contextlib

import pytest
import torch
from safetensors.torch import load_file
from support import models, reference
from support.folders import EXPERTS, mxfp4_folder
from support.logits import all_logits
from support.rounded_products import RoundedProducts
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.kernels.native.packing import WeightFormat


@pytest.fixture(scope="module")
def folder(random_model, tmp_path_factory):
    """gpt-oss as it is published."""
    return mxfp4_folder(random_model("gpt_oss")[1], tmp_path_factory.mktemp("gpt_oss") / "mxfp4")


@pytest.fixture(scope="module")
def dense(folder):
    """What transformers makes of it: its model, by transformers' own unpacking."""
    tensors, model = load_file(folder / "model.safetensors"), models.make("gpt_oss")
    for name, parameter in model.named_parameters():
        if name.endswith(EXPERTS):
            parameter.data = convert_moe_packed_tensors(tensors[f"{name}_blocks"], tensors[f"{name}_scales"]).float()
        else:
            parameter.data = tensors[name]
    return model


def test_blocks_stand_for_what_transformers_unpacks(folder, dense):
    reader, name = SafetensorsReader(folder), "model.layers.1.mlp.experts.gate_up_proj"
    expected = dense.get_parameter(name).transpose(1, 2)
    assert torch.equal(reader.read(name, (slice(1, 2), slice(3, 9), slice(20, 45))), expected[1:2, 3:9, 20:45])
    blocks = reader.read_blocks(name, (slice(2, 4), slice(3, 9), slice(32, 64)))
    assert torch.equal(blocks.dense(), expected[2:4, 3:9, 32:64].flatten(0, 1))
    assert reader.read_blocks(name, (slice(2, 4), slice(3, 9), slice(20, 64))) is None


@pytest.mark.parametrize("execution", ["eager", "native"])
def test_logits(execution, folder, dense, recwarn):
    """Against transformers' model; natively activations round to int8 before the experts' products, and only there."""
    prompt = models.prompts()[-1]
    products = RoundedProducts(dense)
    for name, parameter in dense.named_parameters():
        if name.endswith(EXPERTS):
            products.take(parameter)
    with products if execution == "native" else contextlib.nullcontext():
        expected = reference.logits(dense, prompt)
    assert products.complete == (execution == "native")
    with LLM(folder, dtype="float32", overrides={"execution": execution}) as llm:
        assert llm.session.resolved.spec.model.quantization.name == "as_stored"
        found = all_logits(llm, prompt)
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < (5e-2 if execution == "native" else 1e-5)
    assert (found.argmax(-1) == expected.argmax(-1)).float().mean() > 0.85


def test_a_native_step_reads_blocks(folder):
    """Of experts 4 bits, and 8 for every 32 of them."""
    with LLM(folder) as llm:
        packed = llm.session.parts.wrapper.execution._packed
    experts = [each for each in packed.program.operations if "experts" in each.fields and "packed" in each.tensors]
    assert len(experts) == 2 * 4
    for each in experts:
        assert each.fields["format"] == WeightFormat.MXFP4
        weights = each.fields["experts"] * each.fields["inputs"] * each.fields["outputs"]
        assert packed.tensors[each.tensors["packed"]].nbytes == weights * 4.25 / 8


def test_two_ranks_give_what_one_gives(folder):
    params = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True, logprobs=2)
    found = []
    for size in (1, 2):
        with LLM(folder, dtype="float32", tensor_parallel=size) as llm:
            found.append(llm.generate(models.prompts()[2:5], params))
    for one, other in zip(*found, strict=True):
        pairs = enumerate(zip(one.tokens, other.tokens, strict=True))
        different = next((at for at, (left, right) in pairs if left != right), None)
        # Where two tokens are as good, they may differ.
        if different is not None:
            best, second = sorted(one.log_probs[different].top.values())[-1:-3:-1]
            assert best - second < 1e-4
            assert different >= 8
