"""Phi-3's longrope: short factors by default, long ones where they are asked for; as folders write and wrote it."""

import pytest
from support import models, reference
from support.folders import change, same
from support.logits import all_logits

from plugtron import LLM, SamplingParams
from plugtron.errors import CheckpointError

LONG = {"model.wrapper": {"name": "phi3", "options": {"long_factors": True}}}
GREEDY = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)


def reread(model, folder):
    return type(model).from_pretrained(folder, attn_implementation="eager")


def test_long_factors_are_what_transformers_uses_beyond_the_original_length(random_model, tmp_path):
    model, folder = random_model("phi3_longrope")
    rope = model.config.rope_parameters | {"original_max_position_embeddings": 24}
    changed = change(folder, tmp_path / "changed", rope_parameters=rope, original_max_position_embeddings=24)
    model = reread(model, changed)
    prompts = models.prompts()
    with LLM(changed, dtype="float32", overrides=LONG) as llm:
        assert llm.session.parts.wrapper.info.max_positions == 1024
        found = all_logits(llm, prompts[-1])
        answers = llm.generate(prompts, GREEDY)
    assert same(found, reference.logits(model, prompts[-1]))
    for answer in answers:
        expected, gaps = reference.greedy_along(model, answer.prompt_tokens, answer.tokens)
        assert answer.tokens == expected
        assert min(gaps) > 1e-4


def test_without_them_texts_end_at_the_original_length(random_model, tmp_path):
    model, folder = random_model("phi3_longrope")
    rope = model.config.rope_parameters | {"original_max_position_embeddings": 24}
    changed = change(folder, tmp_path / "changed", rope_parameters=rope, original_max_position_embeddings=24)
    prompts = models.prompts()
    with LLM(changed, dtype="float32") as llm:
        assert llm.session.parts.wrapper.info.max_positions == 24
        assert same(all_logits(llm, prompts[4]), reference.logits(reread(model, changed), prompts[4]))
        assert "24" in str(llm.generate(prompts[-1], GREEDY).error)


@pytest.mark.parametrize("kind", ["su", "longrope"])
def test_the_configuration_that_published_folders_have(kind, random_model, tmp_path):
    model, folder = random_model("phi3_longrope")
    factors = {name: model.config.rope_parameters[name] for name in ("short_factor", "long_factor")}
    older = change(
        folder,
        tmp_path / "older",
        without=("rope_parameters",),
        rope_scaling={"type": kind, **factors},
        rope_theta=10000.0,
        partial_rotary_factor=0.75,
    )
    prompt = models.prompts()[-1]
    with LLM(older, dtype="float32") as llm:
        found = all_logits(llm, prompt)
    assert same(found, reference.logits(model, prompt))
    if kind == "longrope":  # transformers knows the older name, but no longer finds the original length then
        assert same(found, reference.logits(reread(model, older), prompt))


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"type": "linear", "factor": 2.0}, r"rotary scaling 'linear' \(accepted: default, longrope\)"),
        ({"type": "longrope", "long_factor": [1.0] * 6}, "short_factor of longrope is missing"),
        (
            {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0] * 8},
            "short_factor .* 6 positive numbers",
        ),
    ],
)
def test_what_is_not_computed_is_refused(scaling, message, random_model, tmp_path):
    _, folder = random_model("phi3_longrope")
    changes = {"rope_scaling": scaling, "partial_rotary_factor": 0.75}
    with pytest.raises(CheckpointError, match=message):
        LLM(change(folder, tmp_path / "changed", without=("rope_parameters",), **changes))


def test_long_factors_of_a_model_that_has_none(random_model):
    with pytest.raises(CheckpointError, match="long_factors is for models whose rotary scaling is longrope"):
        LLM(random_model("phi3")[1], overrides=LONG)
