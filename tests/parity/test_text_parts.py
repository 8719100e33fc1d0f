"""The text part of models that see: the same as the model of text alone that it is."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import models
from support.logits import all_logits

from plugtron import LLM
from plugtron.errors import CheckpointError

#: name: the architecture that sees, and what its text_config is called.
SEEING = {
    "llama4": ("Llama4ForConditionalGeneration", "llama4_text"),
    "ministral3": ("Mistral3ForConditionalGeneration", "ministral3"),
}


def seeing(folder, target, root, architecture, model_type):
    """Write the folder of a model whose text part is that of another folder."""
    target.mkdir()
    text = json.loads((folder / "config.json").read_text()) | {"model_type": model_type}
    whole = {"architectures": [architecture], "text_config": text, "vision_config": {"hidden_size": 8}}
    (target / "config.json").write_text(json.dumps({**whole, "tie_word_embeddings": False}))
    head = "language_model.lm_head." if root.startswith("language_model.") else "lm_head."
    tensors = {
        name.replace("lm_head.", head) if name.startswith("lm_head.") else root + name.removeprefix("model."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    tensors["vision_model.patch.weight"] = torch.ones(3)
    save_file(tensors, target / "model.safetensors")
    return target


@pytest.mark.parametrize("root", ["model.language_model.", "language_model.model."])
@pytest.mark.parametrize("name", SEEING)
def test_the_text_part(name, root, random_model, tmp_path):
    _, folder = random_model(name)
    prompt = models.prompts()[-1]
    with LLM(folder, dtype="float32") as llm:
        expected = all_logits(llm, prompt)
    whole = seeing(folder, tmp_path / "whole", root, *SEEING[name])
    with (
        pytest.warns(UserWarning, match="the text part alone is run; left out: vision_config"),
        LLM(whole, dtype="float32") as llm,
    ):
        assert torch.equal(all_logits(llm, prompt), expected)


def test_a_text_part_of_another_family_is_refused(random_model, tmp_path):
    whole = seeing(
        random_model("ministral3")[1], tmp_path / "whole", "model.language_model.", SEEING["ministral3"][0], "mistral"
    )
    with pytest.raises(CheckpointError, match=r"text_config: model_type 'mistral' \(accepted: 'ministral3'\)"):
        LLM(whole)
