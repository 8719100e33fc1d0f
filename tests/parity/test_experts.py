"""Mixtures of experts: the native step against torch, stacked tensors, blocks of four bits."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import models, reference
from support.logits import all_logits
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.safetensors import SafetensorsReader

GREEDY = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True)


def rewritten(folder, target, change, **fields):
    """A copy of a folder with other tensors, and other fields in its configuration."""
    target.mkdir(exist_ok=True)
    save_file(change(load_file(folder / "model.safetensors")), target / "model.safetensors")
    configuration = json.loads((folder / "config.json").read_text()) | fields
    (target / "config.json").write_text(json.dumps(configuration))
    return target


def stacked(tensors):
    """Experts as transformers 5 has them in memory, from one tensor for each."""
    found = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for layer in {name.split(".mlp.")[0] for name in tensors if ".mlp.experts." in name}:
        experts = f"{layer}.mlp.experts"
        count = sum(name.startswith(experts) for name in tensors) // 3
        each = [
            {part: tensors[f"{experts}.{e}.{part}_proj.weight"] for part in ("gate", "up", "down")}
            for e in range(count)
        ]
        found[f"{experts}.gate_up_proj"] = torch.stack([torch.cat([one["gate"], one["up"]]) for one in each])
        found[f"{experts}.down_proj"] = torch.stack([one["down"] for one in each])
    return found


@pytest.mark.parametrize("name", ["qwen2_moe_mixed", "qwen3_moe"])
def test_stacked_experts_are_the_same_model(name, random_model, tmp_path):
    _, folder = random_model(name)
    assert ".experts.0." in "".join(load_file(folder / "model.safetensors"))
    prompt = models.prompts()[4]
    with LLM(folder, dtype="float32") as one, LLM(rewritten(folder, tmp_path, stacked), dtype="float32") as other:
        assert torch.equal(all_logits(one, prompt), all_logits(other, prompt))


def test_granite_under_the_names_of_transformers_5(random_model, tmp_path):
    _, folder = random_model("granite_moe")
    changes = {
        "input_linear.weight": "experts.gate_up_proj",
        "output_linear.weight": "experts.down_proj",
        "router.layer.weight": "router.weight",
    }

    def renamed(tensors):
        found = {}
        for name, tensor in tensors.items():
            old = next((old for old in changes if name.endswith(old)), "")
            found[name.removesuffix(old) + changes.get(old, "")] = tensor
        assert found.keys() != tensors.keys()
        return found

    prompt = models.prompts()[4]
    with LLM(folder, dtype="float32") as one, LLM(rewritten(folder, tmp_path, renamed), dtype="float32") as other:
        assert torch.equal(all_logits(one, prompt), all_logits(other, prompt))


def packed_fours(tensors):
    """Experts of gpt-oss in MXFP4, random ones."""
    random = torch.Generator().manual_seed(5)
    found = {}
    for name, tensor in tensors.items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            found[name] = tensor
            continue
        count, inputs, outputs = tensor.shape
        shape = count, outputs, inputs // 32
        found[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), generator=random, dtype=torch.uint8)
        found[f"{name}_scales"] = torch.randint(121, 126, shape, generator=random, dtype=torch.uint8)
    return found


@pytest.mark.parametrize("execution", ["eager", "native"])
def test_blocks_of_four_bits(execution, random_model, tmp_path):
    """As gpt-oss is published; transformers itself unpacks them for comparison."""
    _, folder = random_model("gpt_oss")
    folder = rewritten(folder, tmp_path, packed_fours, quantization_config={"quant_method": "mxfp4"})
    tensors = load_file(folder / "model.safetensors")
    model = models.make("gpt_oss")
    reader = SafetensorsReader(folder)
    for name, parameter in model.named_parameters():
        if name.endswith(("gate_up_proj", "down_proj")):
            dense = convert_moe_packed_tensors(tensors[f"{name}_blocks"], tensors[f"{name}_scales"]).float()
            parameter.data = dense
            part = reader.read(name, (slice(1, 2), slice(3, 9), slice(20, 45)))
            assert torch.equal(part, dense.transpose(1, 2)[1:2, 3:9, 20:45])
        else:
            parameter.data = tensors[name]
    prompt = models.prompts()[-1]
    expected = reference.logits(model, prompt)
    with LLM(folder, dtype="float32", overrides={"execution": execution}) as llm:
        found = all_logits(llm, prompt)
    assert (found - expected).abs().max() <= 1e-4 * max(1.0, expected.abs().max().item())
