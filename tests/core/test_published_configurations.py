"""Configurations as they were published, before transformers 5 too, and those that ask for what is not computed."""

from pathlib import Path

import pytest

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import Temperature
from plugtron_wrappers.cohere.cohere import Cohere
from plugtron_wrappers.cohere.cohere2 import Cohere2
from plugtron_wrappers.exaone.exaone4 import Exaone4
from plugtron_wrappers.glm.glm4 import GLM4
from plugtron_wrappers.llama.huggingface import config_from_huggingface
from plugtron_wrappers.ministral.ministral3 import Ministral3
from plugtron_wrappers.nemotron.nemotron import Nemotron
from plugtron_wrappers.options import FamilyOptions

SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
}


def description(architecture, **fields):
    return ModelDescription(
        format="huggingface", architecture=architecture, path=Path("model"), configuration={**SIZES, **fields}
    )


def described(family, **fields):
    return family.describe(description(family.name, **fields), None, FamilyOptions())


def test_what_is_left_out_is_as_transformers_has_it():
    config = described(Nemotron)
    assert (config.rotary.width, config.num_kv_heads, config.activation) == (4, 8, "relu_squared")
    config = described(GLM4)
    assert (config.rotary.width, config.head_dim, config.num_kv_heads, config.qkv_bias) == (64, 128, 2, True)
    assert described(Cohere).rotary.base == 500_000
    config = described(Cohere2)
    assert config.windows == (4096, 4096, 4096, None)
    assert (config.rotates, config.rotary.base, config.tied) == ((True, True, True, False), 10_000, True)
    assert described(Exaone4, num_key_value_heads=8).windows == (4096, 4096, 4096, None)
    config = described(Ministral3)
    assert config.temperatures == (Temperature(beta=0.1, period=16384),) * 4
    assert (config.rotary.scaling, config.rotary.factor, config.rotary.attention_factor) == ("yarn", 16, 1)
    config = config_from_huggingface(description("SeedOssForCausalLM"), frozenset())
    assert (config.qkv_bias, config.output_bias, config.head_dim, config.num_kv_heads) == (True, False, 128, 8)
    config = config_from_huggingface(description("MinistralForCausalLM"), frozenset())
    assert config.windows == (4096,) * 4


def test_forms_of_before():
    config = described(Nemotron, rope_theta=5000.0, partial_rotary_factor=0.25, head_dim=16, rope_scaling=None)
    assert (config.rotary.base, config.rotary.width) == (5000, 4)
    config = described(Nemotron, rope_parameters={"rope_theta": 5000.0, "partial_rotary_factor": 0.25}, head_dim=16)
    assert (config.rotary.base, config.rotary.width) == (5000, 4)
    config = described(
        Cohere2,
        head_dim=8,
        rope_theta=50_000,
        sliding_window_pattern=2,
        layer_switch=4,
        order_of_interleaved_layers="local_attn_first",
        position_embedding_type="rope_gptj",
        rotary_pct=1.0,
        use_gated_activation=True,
        use_parallel_block=True,
    )
    assert (config.rotary.base, config.rotary.interleaved) == (50_000, True)
    assert config.windows == (4096, None, 4096, None)
    config = described(
        Exaone4,
        num_key_value_heads=8,
        sliding_window=16,
        sliding_window_pattern="LLLG",
        layer_types=["sliding_attention", "sliding_attention", "full_attention", "full_attention"],
    )
    assert config.rotates == (True, True, False, False)
    config = described(Exaone4, num_key_value_heads=8, sliding_window=None, sliding_window_pattern=None)
    assert (config.windows, config.rotates) == ((None,) * 4, (True,) * 4)


@pytest.mark.parametrize(
    ("family", "fields", "text"),
    [
        (Nemotron, {"partial_rotary_factor": 0.4}, "3 of the 8 channels"),
        (Nemotron, {"hidden_act": "xielu"}, "hidden_act 'xielu'"),
        (GLM4, {"hidden_act": "gelu"}, "hidden_act"),
        (Cohere, {"position_embedding_type": "alibi"}, "position_embedding_type"),
        (Cohere, {"rotary_pct": 0.5}, "rotary_pct"),
        (Cohere, {"sliding_window": 16}, "sliding_window"),
        (Cohere2, {"sliding_window": None}, "sliding_window must say"),
        (Cohere2, {"layer_types": ["full_attention"]}, "layer_types has 1 entries for 4 layers"),
        (Exaone4, {"num_key_value_heads": 8, "sliding_window_pattern": "LLLG"}, "sliding_window_pattern 'LLLG'"),
        (Ministral3, {"rope_parameters": {"rope_type": "longrope"}}, "longrope"),
        (Ministral3, {"attention_bias": True}, "attention_bias"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(family, fields, text):
    with pytest.raises(CheckpointError, match=rf"model/config\.json: .*{text}"):
        described(family, **fields)
