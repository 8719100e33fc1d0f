"""Weights, and keys and values, in eight bits of floating point."""

import pytest
import torch
from support import models

from plugtron import LLM, SamplingParams
from plugtron.errors import PlugtronError, SpecError
from plugtron.quantization.float8 import FLOAT8, LARGEST, quantize_rows, scaled_product, takes_products, to_float8

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def test_rounding():
    found = to_float8(torch.tensor([0.3, -1000.0, float("inf"), float("nan"), LARGEST]))
    assert found.dtype == FLOAT8
    assert found.float()[:3].tolist() == [0.3125, -LARGEST, LARGEST]
    assert found.float()[3].isnan()
    values, scales = quantize_rows(torch.tensor([[1.0, -2.0], [0.0, 0.0]]))
    assert (values.float() * scales).tolist() == [[1.0, -2.0], [0.0, 0.0]]


def test_product_of_rounded_rows():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(70, 64, generator=generator).to(DEVICE)
    weight = torch.randn(48, 64, generator=generator).to(DEVICE)
    (own, own_scales), (values, scales) = quantize_rows(x), quantize_rows(weight)
    assert takes_products(values)
    assert not takes_products(values[:10])
    found, expected = scaled_product(own, own_scales, values, scales).float(), x @ weight.t()
    assert 0.005 < (found - expected).norm() / expected.norm() < 0.05
    # What is left when both sides have been rounded is the result's own dtype.
    rounded = (own.float() * own_scales) @ (values.float() * scales).t()
    assert (found - rounded).norm() / rounded.norm() < 0.004


@pytest.mark.parametrize(
    ("model", "overrides"), [({"quantization": "fp8"}, {}), ({}, {"model.kv_dtype": "fp8"})], ids=["weights", "memory"]
)
@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_a_cpu_computes_with_it_through_torch(model, overrides, engine, random_model):
    """Near what float32 gives, and not the same."""
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True, logprobs=models.VOCAB)
    prompts, found = models.prompts(2), []
    for chosen in (({}, {}), (model, overrides)):
        with LLM(random_model("llama_untied")[1], dtype="float32", engine=engine, device="cpu",
                 overrides={"execution": "eager", **chosen[1]}, **chosen[0]) as llm:  # fmt: skip
            found.append([answer.log_probs[0].top for answer in llm.generate(prompts, params)])
    for plain, rounded in zip(*found, strict=True):
        both = torch.tensor([[plain[token], rounded[token]] for token in range(models.VOCAB)])
        assert not torch.equal(both[:, 0], both[:, 1])
        assert torch.corrcoef(both.t())[0, 1] > 0.95


def test_it_is_said_that_a_cpu_has_no_kernels_for_it(random_model):
    folder = random_model("llama_untied")[1]
    with pytest.warns(UserWarning, match="the step runs through torch, and slowly: keys and values in float8_e4m3fn"):
        LLM(folder, device="cpu", overrides={"model.kv_dtype": "fp8"}).close()
    with pytest.raises(PlugtronError, match=r"execution native: weights in fp8 \(accepted here: auto, eager\)"):
        LLM(folder, device="cpu", quantization="fp8", overrides={"execution": "native"})
    with pytest.raises(SpecError, match=r"no quantization 'fp4' \(installed: as_stored, fp8, int4, int8\)"):
        LLM(folder, device="cpu", quantization="fp4")
