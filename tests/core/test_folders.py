"""Folders and files as people have them: configurations, names of tensors, shards."""

import json
import shutil
from pathlib import Path

import gguf
import pytest
from safetensors.torch import load_file, save_file
from support import models
from support.gguf_files import write_llama

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.gguf.reader import GGUFReader
from plugtron.checkpoint.huggingface_config import architecture_of
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.errors import CheckpointError
from plugtron.tokenizer.pre_tokenizers import PATTERNS

GREEDY = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True)
PROMPT = [3, 5, 7, 11]
F32 = dict.fromkeys(
    ("token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"), "F32"
)


@pytest.fixture
def folder(random_model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(random_model("llama_untied")[1], copy)
    return copy


@pytest.fixture(scope="module")
def expected(random_model):
    return answer(random_model("llama_untied")[1])


def answer(path, **overrides):
    with LLM(path, dtype="float32", overrides=overrides) as llm:
        request = llm.generate(PROMPT, GREEDY)
        assert request.error is None
        return request.tokens


def change(folder, remove=(), **fields):
    config = json.loads((folder / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in remove} | fields
    (folder / "config.json").write_text(json.dumps(config))


def longest(folder):
    with LLM(folder) as llm:
        return llm.session.parts.wrapper.info.max_positions


@pytest.mark.parametrize(
    ("scaling", "positions"),
    [
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 256),
        ({"rope_type": "yarn", "factor": 4.0}, 256),
        ({"rope_type": "linear", "factor": 4.0}, 256),
        ({"rope_type": "default", "factor": None}, 64),
        ({"rope_type": "dynamic", "factor": 2.0}, 64),
        ({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}, 64),
    ],
)  # fmt: skip
def test_a_rotary_scaling_lengthens_the_context(scaling, positions, folder):
    change(folder, max_position_embeddings=64, rope_parameters=None, rope_theta=10000.0, rope_scaling=scaling)
    assert longest(folder) == positions


def test_the_original_length_may_stand_at_the_top(folder):
    rope = {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": {"rope_type": "yarn", "factor": None}}
    change(folder, max_position_embeddings=256, original_max_position_embeddings=64, **rope)
    assert longest(folder) == 256


@pytest.mark.parametrize("name", ["qwen2", "mistral"])
def test_fields_that_a_class_does_not_have_mean_nothing(name, random_model, tmp_path):
    source = random_model(name)[1]
    shutil.copytree(source, tmp_path / "model")
    expected = answer(source)
    change(tmp_path / "model", attention_bias=True, mlp_bias=True)
    assert answer(tmp_path / "model") == expected


def test_harmless_fields_do_not_stop_a_run(folder, expected):
    change(
        folder,
        _num_labels=2,
        max_length=20,
        temperature=0.6,
        auto_map={"AutoConfig": "x.Y"},
        tokenizer_class="LlamaTokenizer",
        partial_rotary_factor=1.0,
        _flash_attn_2_enabled=True,
        quantization_config=None,
        some_note="ours",
    )
    assert answer(folder) == expected


def test_all_refused_fields_are_named_at_once(folder):
    change(folder, attn_logit_softcapping=50.0, logit_scale=0.1, use_qk_norm=True, num_experts=8)
    with pytest.raises(CheckpointError, match=r"attn_logit_softcapping .*logit_scale .*use_qk_norm .*num_experts"):
        LLM(folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."])
def test_names_with_a_prefix_more(prefix, folder, expected):
    weights = load_file(folder / "model.safetensors")
    save_file({f"{prefix}{name}": tensor for name, tensor in weights.items()}, folder / "model.safetensors")
    assert answer(folder) == expected
    assert answer(folder, execution="eager") == expected


def test_names_with_a_prefix_less(folder, expected):
    weights = load_file(folder / "model.safetensors")
    bare = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    save_file(bare, folder / "model.safetensors")
    assert answer(folder) == expected


def test_a_stale_index_beside_the_whole_file(folder, expected):
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert answer(folder) == expected


def test_a_class_by_its_model_type(folder, expected):
    change(folder, architectures=None)
    assert answer(folder) == expected
    change(folder, remove=["architectures"], model_type="unheard")
    with pytest.raises(CheckpointError, match=r"or model_type one of .*llama.* \(got 'unheard'\)"):
        SafetensorsReader.describe(folder)


def test_every_class_has_its_model_type():
    """As transformers has them."""
    for model_class, config_class, *_ in models.MODELS.values():
        found = architecture_of(Path("config.json"), {"model_type": config_class.model_type})
        assert found == model_class.__name__


@pytest.mark.parametrize(
    ("config", "file", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, None, r"gptq \(4 bits\)"),
        ({"quant_method": "awq", "w_bit": 4}, None, r"awq \(4 bits\)"),
        ({"load_in_4bit": True}, None, "bitsandbytes"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, None, "compressed-tensors"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, None, "fp8"),
        (None, "quantize_config.json", "gptq"),
        (None, "quant_config.json", "awq"),
    ],
)
def test_quantized_folders_are_named_as_what_they_are(config, file, method, folder):
    change(folder, quantization_config=config)
    if file:
        (folder / file).write_text("{}")
    with pytest.raises(CheckpointError, match=rf"quantized with {method}, which is not read; use"):
        SafetensorsReader.describe(folder)


def split(path, count):
    """Divide a GGUF file as llama-gguf-split does: tensors over files, metadata in the first."""
    reader = gguf.GGUFReader(path)
    paths = [path.with_name(f"split-{at:05}-of-{count:05}.gguf") for at in range(1, count + 1)]
    for at, shard in enumerate(paths):
        writer = gguf.GGUFWriter(shard, "llama")
        if at == 0:
            for key, field in reader.fields.items():
                if not key.startswith("GGUF.") and key != "general.architecture":
                    writer.add_key_value(key, field.contents(), field.types[0])
        writer.add_uint16("split.no", at)
        writer.add_uint16("split.count", count)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in reader.tensors[at::count]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return paths


def test_split_gguf_files(tmp_path):
    whole = tmp_path / "whole.gguf"
    write_llama(whole, F32)
    expected = answer(whole)
    shards = split(whole, 3)
    for shard in shards:
        assert answer(shard) == expected
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=r"is file 3 of 3, and split-00002-of-00003\.gguf is not beside it"):
        GGUFReader.describe(shards[2])
    shards[2].rename(tmp_path / "other.gguf")
    with pytest.raises(CheckpointError, match=r"is file 3 of 3: keep the names .* NAME-00003-of-00003\.gguf"):
        GGUFReader.describe(tmp_path / "other.gguf")


def test_a_gguf_file_of_any_name(tmp_path):
    write_llama(tmp_path / "whole.gguf", F32)
    expected = answer(tmp_path / "whole.gguf")
    (tmp_path / "whole.gguf").rename(tmp_path / "model")
    assert answer(tmp_path / "model") == expected


def test_gguf_files_that_are_not_as_they_should_be(tmp_path):
    path = tmp_path / "model.gguf"
    write_llama(path, F32)
    good = path.read_bytes()

    def refused(data, text):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=text):
            GGUFReader.describe(path)

    refused(good[:4] + b"\0\0\0\3" + good[8:], "a big-endian GGUF file")
    for alignment in (0, 24, 7):
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_uint32("general.alignment", alignment)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        refused(path.read_bytes(), "general.alignment must be a power of two")


def test_pre_tokenizers_of_llama_cpp():
    from tokenizers import Regex, pre_tokenizers

    for name, patterns in PATTERNS.items():
        stages = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
        pieces = pre_tokenizers.Sequence(stages).pre_tokenize_str("It's 12345 naïve 北京\n\n  x")
        assert "".join(text for text, _ in pieces) == "It's 12345 naïve 北京\n\n  x", name
    assert len(PATTERNS) > 70
