"""Checkpoints that are not what they should be: one message that names the tensor or field and the file."""

import json
import re
import shutil
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.context.memory_size import check_memory
from plugtron.contracts import AttentionState, ModelInfo
from plugtron.errors import CheckpointError, PluginError, SpecError, TokenizerError
from plugtron.formats.gguf_header import read_header
from plugtron.parallel import Runtime
from plugtron_wrappers.llama import LlamaWrapper


@pytest.fixture
def copy(random_model, tmp_path):
    """A copy of a small model's folder, to be spoiled."""
    shutil.copytree(random_model("llama_untied")[1], tmp_path / "model")
    return tmp_path / "model"


def spoil(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refused(path, *texts):
    with pytest.raises((CheckpointError, SpecError, TokenizerError)) as caught:
        LLM(path).close()
    for text in texts:
        assert text in str(caught.value)


def test_missing_extra_and_misshaped_tensors_are_all_named(copy):
    def change(tensors):
        del tensors["model.layers.1.mlp.down_proj.weight"]
        tensors["model.layers.0.self_attn.sinks"] = torch.zeros(8)
        tensors["model.norm.weight"] = torch.zeros(3)

    spoil(copy, change)
    refused(
        copy,
        "tensor model.layers.1.mlp.down_proj.weight is missing",
        "tensor model.layers.0.self_attn.sinks in model.safetensors has no place in this model",
        "tensor model.norm.weight in model.safetensors has shape [3], expected [64]",
    )


def test_truncated_safetensors(copy):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    refused(copy, "model.safetensors is truncated or no safetensors file")


def test_a_missing_shard(random_model, tmp_path):
    random_model("llama_untied")[0].save_pretrained(tmp_path, max_shard_size="100KB")
    next(tmp_path.glob("model-00002*")).unlink()
    refused(tmp_path, "model.safetensors.index.json names model-00002")


def test_a_shard_outside_the_folder(copy):
    index = {"weight_map": {"model.norm.weight": "../elsewhere.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    (copy / "model.safetensors").unlink()
    refused(copy, "'../elsewhere.safetensors' lies outside the folder")


def test_pickles_are_refused_unread(copy):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"never read")
    refused(copy, "pickled weights (pytorch_model.bin)", "convert them to safetensors")
    refused(copy / "pytorch_model.bin", "is pickled", "convert it to safetensors")


def test_code_in_a_model_folder_is_never_run(copy):
    config = json.loads((copy / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "modeling_evil.py").write_text("raise SystemExit('run')")
    LLM(copy).close()


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("attn_logit_softcapping", 50.0, "attn_logit_softcapping (= '50.0'): not implemented for LlamaForCausalLM"),
        ("hidden_act", "gelu", "hidden_act must be 'silu' (got 'gelu')"),
        ("hidden_size", None, "hidden_size must be a whole number"),
        ("hidden_size", -64, "hidden_size must be greater than 0 (got -64)"),
        ("hidden_size", 96, "expected ["),
        ("num_hidden_layers", 3, "tensor model.layers.3.input_layernorm.weight in model.safetensors has no place"),
        ("num_hidden_layers", 10**9, "num_hidden_layers must be less than 10000"),
        ("num_key_value_heads", "2", "num_key_value_heads must be a whole number (got '2')"),
        ("num_key_value_heads", 3, "8 attention heads cannot share 3 key-value heads"),
        ("rms_norm_eps", "1e-5", "rms_norm_eps must be a number (got '1e-5')"),
        ("tie_word_embeddings", "no", "tie_word_embeddings must be true or false (got 'no')"),
        ("rope_parameters", "x", "rope_parameters must be a mapping (got 'x')"),
        (
            "rope_parameters",
            {"rope_type": "spiral"},
            "rope_type must be 'default', 'linear', 'dynamic', 'llama3', 'yarn' or 'longrope'",
        ),
        ("rope_parameters", {"rope_type": "longrope"}, "rotary scaling 'longrope' is not implemented for this family"),
        ("rope_parameters", {"rope_type": "llama3"}, "rotary scaling 'llama3' needs factor"),
        ("rope_parameters", {"mrope_section": [1]}, "mrope_section no such option"),
        ("rope_scaling", {"type": "linear", "factor": 0}, "factor must be greater than 0"),
        ("eos_token_id", "x", "eos_token_id must be a token id or a list of them (got 'x')"),
        (
            "architectures",
            ["AcmeForCausalLM"],
            "no wrapper runs huggingface/AcmeForCausalLM (known: gguf/bloom, gguf/chatglm",
        ),
        ("architectures", ["A", "B"], "architectures must name one class (got ['A', 'B'])"),
    ],
)
def test_configurations(field, value, text, copy):
    config = json.loads((copy / "config.json").read_text())
    config[field] = value
    (copy / "config.json").write_text(json.dumps(config))
    refused(copy, text)


def test_a_field_can_be_vouched_for(copy):
    config = json.loads((copy / "config.json").read_text())
    config["acme_norm_type"] = config["acme_window"] = "ours"
    (copy / "config.json").write_text(json.dumps(config))
    refused(copy, "acme_norm_type (= 'ours'), acme_window", "ignore_fields: [acme_norm_type, acme_window]")
    options = {"ignore_fields": ["acme_norm_type", "acme_window"]}
    LLM(copy, overrides={"model.wrapper": {"name": "llama", "options": options}}).close()


def test_a_folder_or_file_that_is_no_checkpoint(tmp_path):
    refused(tmp_path, "is no checkpoint that a reader knows (gguf, megatron, safetensors)")
    (tmp_path / "config.json").write_text("{")
    refused(tmp_path, "config.json is not JSON")


@pytest.mark.parametrize("size", [0, 3, 20, 1000, 2_000_000, 50_000_000])
def test_truncated_gguf(size, default_model, tmp_path):
    path = tmp_path / "cut.gguf"
    with default_model.open("rb") as whole:
        path.write_bytes(whole.read(size))
    text = {0: "is empty", 3: "no GGUF file"}.get(size, "is truncated")
    refused(path, str(path), text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1 (accepted: 2, 3)"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "is truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62), "is truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 8, 2**62), "is truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 77), "value of unknown type 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "general.architecture is missing"),
    ],
)
def test_headers_that_lie(data, text, tmp_path):
    path = tmp_path / "lie.gguf"
    path.write_bytes(data)
    refused(path, str(path), text)


def test_vocabulary_is_read_only_when_asked_for(default_model):
    assert "tokenizer.ggml.tokens" not in read_header(default_model).metadata
    assert len(read_header(default_model, vocabulary=True).metadata["tokenizer.ggml.tokens"]) == 49152


def test_memory_that_cannot_be_is_refused_at_once(random_model):
    overrides = {"engine.options.max_batch_size": 4096, "engine.options.max_sequence_length": 512}
    folder = random_model("llama_untied")[1]
    LLM(folder, overrides=overrides).close()  # 4 GiB if it were touched
    config = json.loads((folder / "config.json").read_text())
    assert config["max_position_embeddings"] == 512
    with pytest.raises(SpecError, match=r"keys and values of .* tokens take .* GiB"):
        check_memory(
            ModelInfo(
                vocab_size=1,
                padded_vocab_size=1,
                hidden_size=1,
                max_positions=1,
                states=(AttentionState(kv_heads=64, head_dim=128, dtype=torch.bfloat16),) * 100,
            ),
            tokens=10**9,
            device=torch.device("cpu"),
            remedy="lower it",
        )


def test_end_of_sequence_is_known_without_a_tokenizer(copy):
    with LLM(copy, dtype="float32") as llm:
        free = llm.generate([5, 6], SamplingParams(temperature=0, max_tokens=8))
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [free.tokens[2]]}))
    with LLM(copy, dtype="float32") as llm:
        assert llm.generate([5, 6], SamplingParams(temperature=0, max_tokens=8)).tokens == free.tokens[:3]


def map_with(change):
    def weight_map(wrapper, stored_format):
        whole = LlamaWrapper.weight_map(wrapper, stored_format)
        return replace(whole, weights=change(list(whole.weights)))

    return {"weight_map": weight_map}


def build_with(change):
    def build(wrapper, layers):
        decoder = LlamaWrapper.build(wrapper, layers)
        change(decoder)
        return decoder

    return {"build": build}


@pytest.mark.parametrize(
    ("overridden", "message"),
    [
        (map_with(lambda weights: weights[1:]), "no weight fills embedding.weight"),
        (map_with(lambda weights: [*weights, weights[0]]), "2 weights fill embedding.weight"),
        (
            map_with(lambda weights: [*weights, replace(weights[0], parameter="extra.weight")]),
            "the decoder has no extra.weight",
        ),
        (
            map_with(lambda weights: [replace(weights[0], tensors=weights[0].tensors * 2), *weights[1:]]),
            "embedding.weight has 1 parts, and its weight 2 tensors",
        ),
        (
            build_with(lambda decoder: decoder.add_module("scale", torch.nn.Linear(2, 2))),
            "scale.weight is a parameter of a Linear, which is no plugtron.parallel.ShardedModule and is not loaded",
        ),
    ],
)
def test_a_decoder_and_its_weight_map_fit_each_other(overridden, message, random_model):
    """A mistake in a family's code is named; nothing stays zero, and nothing is an assertion."""
    family = type("Family", (LlamaWrapper,), overridden)
    wrapper = family(Runtime.create(), SafetensorsReader(random_model("llama_untied")[1]))
    with pytest.raises(PluginError, match=re.escape(message)):
        wrapper.check()
