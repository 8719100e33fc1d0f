"""`quantization: as_stored` with mixtures of experts: blocks of GGUF files, computed with as they are."""

import pytest
from support import models
from support.gguf_models import write_model
from support.logits import all_logits

from plugtron import LLM, SamplingParams

WIDE_BLOCKS = {"hidden_size": 256, "moe_intermediate_size": 256, "num_experts": 4, "num_hidden_layers": 2}
EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
GREEDY = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True)
PROMPT = models.prompts()[-1]


def run(path, quantization):
    """Logits, and the bytes of weights that a token takes."""
    with LLM(path, dtype="float32", quantization=quantization) as llm:
        return all_logits(llm, PROMPT), llm.session.parts.wrapper.execution.weight_bytes


@pytest.mark.parametrize(
    "types",
    [
        pytest.param(dict.fromkeys(EXPERTS, "MXFP4"), id="MXFP4"),
        pytest.param({**dict.fromkeys(EXPERTS, "Q4_0"), "ffn_down_exps": "Q6_K"}, id="mixed"),
        *(
            pytest.param(dict.fromkeys(EXPERTS, dtype), id=dtype, marks=pytest.mark.wide)
            for dtype in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
        ),
    ],
)
def test_experts_as_they_are_stored(types, tmp_path, recwarn):
    """Against float32 weights from the same file: what is left is the rounding of activations to eight bits."""
    model, path = models.make("qwen3_moe", **WIDE_BLOCKS), tmp_path / "model.gguf"
    write_model(path, model, types=types)
    expected, dense = run(path, None)
    found, held = run(path, "as_stored")
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    assert held < 0.75 * dense
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < 0.05


@pytest.mark.wide
def test_experts_as_they_are_stored_over_two_ranks(tmp_path):
    """Each of which has a half of every expert: whole blocks, here."""
    model, path = models.make("qwen3_moe", **{**WIDE_BLOCKS, "moe_intermediate_size": 512}), tmp_path / "model.gguf"
    write_model(path, model, types=dict.fromkeys(EXPERTS, "Q4_K"))
    found = []
    for ranks in (1, 2):
        with LLM(path, dtype="float32", quantization="as_stored", tensor_parallel=ranks) as llm:
            found.append([request.tokens for request in llm.generate(models.prompts()[2:5], GREEDY)])
    assert found[0] == found[1]


@pytest.mark.parametrize("second", ["Q6_K", "MXFP4"])
def test_gates_and_ups_in_two_forms_are_read_as_numbers(second, tmp_path):
    """Kernels find all experts of a layer in one form; what else is in blocks stays so."""
    model, path = models.make("qwen3_moe", **WIDE_BLOCKS), tmp_path / "model.gguf"
    write_model(path, model, types={"ffn_gate_exps": "Q4_K", "ffn_up_exps": second, "ffn_down_exps": "Q8_0"})
    expected, dense = run(path, None)
    with pytest.warns(
        UserWarning, match=rf"experts\.into is stored in blocks \({', '.join(sorted(['Q4_K', second]))}\)"
    ):
        found, held = run(path, "as_stored")
    assert held < dense
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < 0.05


def test_fused_queries_keys_and_values_as_they_are_stored(tmp_path):
    model, path = models.make("gpt2", seed=56), tmp_path / "model.gguf"
    write_model(path, model, types={"attn_qkv.weight": "Q8_0"})
    expected, dense = run(path, None)
    found, held = run(path, "as_stored")
    assert held < 0.9 * dense
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.median() < 0.05
