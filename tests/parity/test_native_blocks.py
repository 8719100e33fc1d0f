"""`quantization: as_stored`: what a GGUF file's blocks hold, computed with as it is."""

import gguf
import pytest
import torch
from support import models
from support.gguf_files import random_blocks, write_llama, write_tensor
from support.logits import all_logits

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.gguf.quantized import BLOCKS
from plugtron.checkpoint.gguf.reader import GGUFReader
from plugtron.errors import CheckpointError

MATRICES = ("token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
#: As llama.cpp mixes them, and worse.
MIXES = {
    **{dtype: dict.fromkeys(MATRICES, dtype) for dtype in BLOCKS},
    "mixed": dict(zip(MATRICES, ["Q8_0", "Q6_K", "Q4_K", "Q4_K", "Q6_K", "Q5_0", "Q4_1", "Q4_0", "Q5_K"], strict=True)),
}


@pytest.mark.parametrize("dtype", BLOCKS)
def test_blocks_stand_for_what_the_gguf_library_reads(dtype, tmp_path):
    raw = random_blocks(40, 768, dtype, seed=1)
    write_tensor(tmp_path / "one.gguf", "some.weight", raw, dtype)
    expected = torch.from_numpy(gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[dtype]))
    reader = GGUFReader(tmp_path / "one.gguf")
    assert torch.equal(reader.read_blocks("some.weight").dense(), expected)
    part = reader.read_blocks("some.weight", (slice(3, 9), slice(256, 512)))
    assert torch.equal(part.dense(), expected[3:9, 256:512])
    assert reader.read_blocks("some.weight", (slice(3, 9), slice(8, 512))) is None


@pytest.mark.parametrize("mix", MIXES)
def test_logits(mix, tmp_path, recwarn):
    """Against float32 weights from the same file: what is left is the rounding of activations to eight bits."""
    write_llama(tmp_path / "model.gguf", MIXES[mix])
    prompt = models.prompts()[-1]
    with LLM(tmp_path / "model.gguf", dtype="float32") as llm:
        expected = all_logits(llm, prompt)
    with LLM(tmp_path / "model.gguf", dtype="float32", quantization="as_stored") as llm:
        found = all_logits(llm, prompt)
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    # Now and then such a rounding turns what attention looks at in a model of random weights.
    assert error.median() < 0.05
    assert (error < 0.15).float().mean() > 0.9


def test_the_default_model_loses_nothing_to_either(default_model):
    params = SamplingParams(temperature=0, max_tokens=32, ignore_eos=True, logprobs=0)
    found = []
    for quantization in ("int4", "native"):
        with LLM(default_model, quantization=quantization) as llm:
            found.append(llm.generate("The capital of France is", params))
    assert found[0].tokens == found[1].tokens
    assert [entry.value for entry in found[0].log_probs] == [entry.value for entry in found[1].log_probs]


def test_a_matrix_that_is_not_in_blocks_stays_what_it_is(tmp_path, recwarn):
    """In the run's dtype, beside those that are, in one and the same step."""
    write_llama(tmp_path / "model.gguf", MIXES["Q8_0"] | {"ffn_down": "F32", "attn_k": "F32"})
    prompt = models.prompts()[-1]
    found = []
    for quantization in (None, "as_stored"):
        with LLM(tmp_path / "model.gguf", dtype="float32", quantization=quantization) as llm:
            found.append(all_logits(llm, prompt))
    assert not recwarn.list
    error = (found[1] - found[0]).norm(dim=-1) / found[0].norm(dim=-1)
    assert error.median() < 0.05


def test_a_checkpoint_without_blocks_is_refused(random_model):
    _, folder = random_model("llama_untied")
    with pytest.raises(CheckpointError, match=r"as_stored: .* holds no quantized blocks.*int8, int4, null"):
        LLM(folder, quantization="as_stored")
