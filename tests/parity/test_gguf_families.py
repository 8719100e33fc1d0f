"""GGUF files of all families, written from random models of transformers: what transformers computes, and no other."""

import re

import gguf
import pytest
import torch
from support import gguf_models, models, reference
from support.folders import same
from support.gguf_models import write_model
from support.greedy import greedy
from support.logits import all_logits

from plugtron import LLM, SamplingParams
from plugtron.errors import CheckpointError, PlugtronError
from plugtron.nn import Temperature

GREEDY = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)
#: Those that say more of what others say, too.
WIDE = {
    "command-r-normed",
    "exaone4-full",
    "falcon-shared-norm",
    "gptneox-sequential",
    "nemotron-biases",
    "qwen2",
    "qwen3",
}
EVERY = [pytest.param(name, marks=[pytest.mark.wide] if name in WIDE else []) for name in gguf_models.MODELS]
LONG = models.prompts()[-1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function from a name in support.gguf_models to (transformers model, GGUF file)."""
    made = {}

    def make(name):
        if name not in made:
            path = tmp_path_factory.mktemp("gguf") / f"{name}.gguf"
            model = gguf_models.make(name)
            write_model(path, model)
            made[name] = (model, path)
        return made[name]

    return make


@pytest.mark.parametrize("name", EVERY)
def test_logits(name, written, recwarn):
    model, path = written(name)
    with LLM(path, dtype="float32") as llm:
        assert same(all_logits(llm, LONG), reference.logits(model, LONG))
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "qwen2moe" else pytest.mark.wide) for name in gguf_models.MODELS]
)
def test_greedy_tokens(name, written):
    model, path = written(name)
    with LLM(path, dtype="float32") as llm:
        found = llm.generate(models.prompts(), GREEDY)
    for request in found:
        expected, gaps = reference.greedy_along(model, request.prompt_tokens, request.tokens)
        assert request.tokens == expected
        assert min(gaps) > 5e-4, "weights that come near a tie prove nothing"
        assert len(set(expected[:32])) >= 6, "weights that stand still prove nothing"


@pytest.mark.wide
@pytest.mark.parametrize("name", ["bloom", "falcon-groups", "gpt-oss", "gpt2", "mixtral", "phi3", "qwen2moe"])
def test_over_ranks(name, written, two_ranks):
    _, path = written(name)
    asked = path, models.prompts()[2:5], GREEDY.max_tokens
    expected = greedy(*asked, {})
    for ways in ({"tensor_parallel": 2}, {"pipeline_parallel": 2}):
        assert two_ranks.run(greedy, *asked, ways)[0] == expected


def test_what_llama_cpp_takes_for_granted(written):
    """Of what small models do not come to: Llama 4's chunks and temperatures."""
    path = written("llama4")[1]
    with LLM(path, dtype="float32") as llm:
        config = llm.session.parts.wrapper.config
    assert config.chunks == (8192, 8192, 8192, None)
    assert config.rotates == (True, True, True, False)
    assert config.temperatures == (None, None, None, Temperature(beta=0.1, period=8192, first=1))


def one_by_one(tensors):
    """Experts as files of 2023 have them, each by itself."""
    found = {}
    for name, tensor in tensors.items():
        if "_exps" not in name:
            found[name] = tensor
            continue
        for number, each in enumerate(tensor):
            found[name.replace("_exps.weight", f".{number}.weight")] = each
    return found


def fused(tensors):
    """Queries, keys and values in one tensor, and experts' gates and ups, as llama.cpp's converter may be told."""
    found = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"(blk\.\d+\.)attn_(q|k|v)\.(weight|bias)", name):
            layer, _, kind = match.groups()
            parts = [tensors[f"{layer}attn_{part}.{kind}"] for part in "qkv"]
            found[f"{layer}attn_qkv.{kind}"] = torch.cat(parts)
        elif "_gate_exps" in name or "_up_exps" in name:
            parts = [tensors[name.replace("_gate_", "_up_").replace("_up_", f"_{part}_")] for part in ("gate", "up")]
            found[name.replace("_gate_", "_up_").replace("_up_", "_gate_up_")] = torch.cat(parts, dim=1)
        else:
            found[name] = tensor
    return found


@pytest.mark.parametrize(
    ("name", "arranged"), [("mixtral", one_by_one), ("mixtral", fused), ("qwen2moe", fused), ("gpt-oss", fused)]
)
def test_other_ways_to_store_the_same(name, arranged, written, tmp_path):
    model, _ = written(name)
    write_model(tmp_path / "arranged.gguf", model, arranged=arranged)
    with LLM(tmp_path / "arranged.gguf", dtype="float32") as llm:
        assert same(all_logits(llm, LONG), reference.logits(model, LONG))


def test_a_shared_gate_without_its_outer_axis(written, tmp_path):
    """As llama.cpp's converter once wrote it."""
    model, _ = written("qwen2moe")

    def flat(tensors):
        return {name: tensor.squeeze(0) if "_shexp" in name else tensor for name, tensor in tensors.items()}

    write_model(tmp_path / "flat.gguf", model, arranged=flat)
    with LLM(tmp_path / "flat.gguf", dtype="float32") as llm:
        assert same(all_logits(llm, LONG), reference.logits(model, LONG))


def test_experts_in_blocks_of_mxfp4(written, tmp_path):
    """As gpt-oss is published: transformers has the numbers that the gguf library makes of them."""
    model, path = gguf_models.make("gpt-oss"), tmp_path / "fours.gguf"
    write_model(path, model, types={f"{name}_exps.weight": "MXFP4" for name in ("ffn_gate", "ffn_up", "ffn_down")})
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}

    def numbers(layer, name):
        tensor = stored[f"blk.{layer}.ffn_{name}_exps.weight"]
        return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type))

    for layer, own in enumerate(model.model.layers):
        into = torch.stack([numbers(layer, "gate"), numbers(layer, "up")], dim=2).flatten(1, 2)
        own.mlp.experts.gate_up_proj.data = into.transpose(1, 2)
        own.mlp.experts.down_proj.data = numbers(layer, "down").transpose(1, 2)
    with LLM(path, dtype="float32") as llm:
        assert same(all_logits(llm, LONG), reference.logits(model, LONG))


def test_long_factors(written):
    model, path = written("phi3-longrope")
    overrides = {"model.wrapper.options.long_factors": True}
    with LLM(path, dtype="float32", overrides=overrides) as llm:
        found = all_logits(llm, LONG)
    with LLM(path, dtype="float32") as llm:
        assert not same(found, all_logits(llm, LONG))
    model.model.rotary_emb.original_inv_freq = model.model.rotary_emb.inv_freq
    model.config.rope_parameters["short_factor"] = model.config.rope_parameters["long_factor"]
    again = type(model)._from_config(model.config, attn_implementation="eager").eval()
    again.load_state_dict(model.state_dict())
    assert same(found, reference.logits(again, LONG))


@pytest.mark.parametrize(
    ("name", "extra", "message"),
    [
        ("qwen3moe", {"expert_group_count": 4}, r"qwen3moe\.expert_group_count \(= 4\) is not implemented"),
        ("qwen3moe", {"expert_used_count": 9}, r"expert_used_count 9 is more than the 8 experts"),
        ("qwen3moe", {"expert_gating_func": 7}, r"expert_gating_func must be a whole number from 0 to 3"),
        ("granite", {"rope.scaling.finetuned": False}, r"layers that do not rotate are not implemented"),
        ("granite", {"logit_scale": "x"}, r"logit_scale must be a number"),
        ("olmo2", {"attention.sliding_window": 16}, r"olmo2\.attention\.sliding_window \(OLMo 3\)"),
        ("llama4", {"attention.sliding_window": 0}, r"a llama4 without experts or chunks is not implemented"),
        (
            "cohere2",
            {"attention.sliding_window_pattern": [True]},
            r"sliding_window_pattern has 1 entries for 4 layers",
        ),
        ("starcoder2", {"rope.dimension_count": 4}, r"rotary over part of a head is not implemented"),
        ("glm4", {"rope.dimension_count": 64}, r"rope\.dimension_count \(= 64\) must be an even number up to 24"),
        ("mistral3", {"rope.freq_base": 1.0}, r"rope\.freq_base \(= 1\) must be above 1 where the scaling is yarn"),
        ("command-r", {"logit_scale": 0.0}, r"logit_scale must be a number"),
    ],
)
def test_what_is_not_computed_is_refused(name, extra, message, written, tmp_path):
    model, _ = written(name)
    write_model(tmp_path / "changed.gguf", model, **extra)
    with pytest.raises(PlugtronError, match=message):
        LLM(tmp_path / "changed.gguf")


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("gemma2", "block_count", r"gemma2\.block_count is missing"),
        ("gptneox", "attention.layer_norm_epsilon", r"gptneox\.attention\.layer_norm_epsilon is missing"),
        ("qwen2moe", "expert_count", r"qwen2moe\.expert_count is missing"),
        ("granite", "logit_scale", r"granite\.logit_scale is missing"),
    ],
)
def test_a_missing_key(name, key, message, written, tmp_path):
    model, _ = written(name)
    write_model(tmp_path / "less.gguf", model, without=[key])
    with pytest.raises(CheckpointError, match=message):
        LLM(tmp_path / "less.gguf")
