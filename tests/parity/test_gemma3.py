"""Gemma 3: the text part of models that see, and configurations as folders have had them."""

import shutil

import pytest
from safetensors.torch import load_file, save_file
from support import models, reference
from support.folders import change, same
from support.logits import all_logits
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from plugtron import LLM
from plugtron.errors import CheckpointError

VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}


@pytest.fixture(scope="module")
def seeing(random_model, tmp_path_factory):
    """The model that sees whose text part is gemma3, and its folder."""
    text, _ = random_model("gemma3")
    config = Gemma3Config(text_config=text.config.to_dict(), vision_config=VISION, mm_tokens_per_image=4)
    model = Gemma3ForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
    model.model.language_model.load_state_dict(text.model.state_dict())
    folder = tmp_path_factory.mktemp("seeing")
    model.save_pretrained(folder)
    return model, folder


@pytest.mark.parametrize("root", ["model.language_model.", "language_model.model."])
def test_the_text_part_of_a_model_that_sees(root, seeing, tmp_path):
    model, folder = seeing
    shutil.copytree(folder, tmp_path / "named")
    tensors = load_file(folder / "model.safetensors")
    assert any("vision_tower" in name for name in tensors)
    renamed = {
        name.replace("language_model.model.", root).replace("model.language_model.", root): tensor
        for name, tensor in tensors.items()
    }
    assert f"{root}norm.weight" in renamed
    save_file(renamed, tmp_path / "named" / "model.safetensors", {"format": "pt"})
    prompt = models.prompts()[-1]
    with (
        pytest.warns(UserWarning, match="the text part alone is run; left out: vision_config") as caught,
        LLM(tmp_path / "named", dtype="float32") as llm,
    ):
        found = all_logits(llm, prompt)
    assert len(caught) == 1
    assert same(found, reference.logits(model, prompt))


def test_what_a_text_part_leaves_out_is_what_transformers_means(seeing, tmp_path):
    _, folder = seeing
    changed = change(folder, tmp_path / "bare", text_config={"model_type": "gemma3_text"})
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match=r"expected \[262208, 2304\]"):
        LLM(changed)


def test_the_configuration_that_published_folders_have(random_model, tmp_path):
    """Flat fields for both rotations, and how often a layer without a window comes."""
    model, folder = random_model("gemma3")
    config = model.config
    assert config.layer_types == ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]
    older = change(
        folder,
        tmp_path / "older",
        without=("rope_parameters", "layer_types"),
        rope_theta=1_000_000,
        rope_local_base_freq=10_000,
        sliding_window_pattern=6,
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    )
    reread = type(model).from_pretrained(older, attn_implementation="eager")
    assert reread.config.rope_parameters["full_attention"]["factor"] == 8.0
    prompt = models.prompts()[-1]
    with LLM(older, dtype="float32") as llm:
        found = all_logits(llm, prompt)
    assert same(found, reference.logits(reread, prompt))
    assert not same(found, reference.logits(model, prompt))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "rope_parameters.rope_type 'linear'"),
        ({"layer_types": ["full_attention"]}, "layer_types has 1 entries for 7 layers"),
    ],
)
def test_what_is_not_computed_is_refused(changes, message, random_model, tmp_path):
    _, folder = random_model("gemma3")
    with pytest.raises(CheckpointError, match=message):
        LLM(change(folder, tmp_path / "changed", **changes))
