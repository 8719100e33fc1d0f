"""Converted checkpoints: the same tokens when loaded back, and in transformers where a class of it fits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import models, reference
from support.commands import plugtron
from transformers import AutoModelForCausalLM, AutoTokenizer

from plugtron import LLM, SamplingParams
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.convert import convert as convert_resolved
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve

DATA = Path(__file__).parents[1] / "data"
CHECKPOINTS = DATA / "megatron"
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
CLASSES = {
    "gated_attention_tp2_legacy": "PlugtronForCausalLM",
    "gpt_learned": "PlugtronForCausalLM",
    "gpt_learned_legacy": "PlugtronForCausalLM",
    "gpt_oss": "PlugtronForCausalLM",
    "gpt_rope_swiglu": "LlamaForCausalLM",
    "gpt_rope_swiglu_legacy": "LlamaForCausalLM",
    "gpt_saved_tp2": "LlamaForCausalLM",
    "gpt_saved_tp2_legacy": "LlamaForCausalLM",
    "interleaved_legacy": "LlamaForCausalLM",
    "llama4_legacy": "PlugtronForCausalLM",
    "moe_deepseek_legacy": "PlugtronForCausalLM",
    "off_by_one_ep2_legacy": "PlugtronForCausalLM",
    "partial_rotary_legacy": "PlugtronForCausalLM",
    "qk_norm_layer_legacy": "PlugtronForCausalLM",
    "rope_scaling_legacy": "LlamaForCausalLM",
    "singleton_moe": "MixtralForCausalLM",
}


def convert_here(checkpoint, out):
    """In this process, which spares its start."""
    values = {"version": 1, "model": {"checkpoint": str(checkpoint)}, "device": "cpu"}
    convert_resolved(resolve(Source(values=values), PluginManager()), out)


def convert(*arguments, check=0):
    return plugtron("convert", *arguments, check=check)


@pytest.mark.parametrize("name", CLASSES)
def test_the_converted_model_gives_the_same_tokens(name, tmp_path):
    convert_here(CHECKPOINTS / name, tmp_path / "out")
    architecture = json.loads((tmp_path / "out" / "config.json").read_text())["architectures"]
    assert architecture == [CLASSES[name]]
    folders = (CHECKPOINTS / folder for folder in (name, name.removesuffix("_legacy")))
    file = next(folder / "reference.json" for folder in folders if (folder / "reference.json").is_file())
    expected = json.loads(file.read_text())["reference"]
    prompts = [entry["prompt_tokens"] for entry in expected]
    with LLM(tmp_path / "out", dtype="float32") as llm:
        found = llm.generate(prompts, GREEDY)
    assert [request.tokens for request in found] == [entry["greedy_tokens"] for entry in expected]
    if architecture != ["PlugtronForCausalLM"]:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="float32")
        for entry in expected:
            choices, _ = reference.greedy_along(model, entry["prompt_tokens"], entry["greedy_tokens"])
            assert choices == entry["greedy_tokens"]


def test_a_softmax_that_transformers_lacks_is_not_lost(tmp_path):
    options = "model.wrapper={name: gpt, options: {configuration: {softmax_type: off-by-one}}}"
    convert(CHECKPOINTS / "gpt_rope_swiglu", tmp_path / "out", "--set", options)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == ["PlugtronForCausalLM"]


@pytest.mark.parametrize("name", ["llama_biases", "mistral_window", "qwen2", "qwen3", "gpt2", "mixtral"])
def test_what_transformers_wrote_comes_out_as_it_was(name, random_model, tmp_path):
    """config.json in other words, and the very same tensors."""
    model, folder = random_model(name)
    convert_here(folder, tmp_path / "out")
    before, after = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", attn_implementation="eager")
    assert type(again) is type(model)
    prompt = models.prompts()[-1]
    assert torch.equal(reference.logits(again, prompt), reference.logits(model, prompt))


def test_a_gguf_file_with_its_tokenizer(default_model, tmp_path):
    convert(default_model, tmp_path / "out")
    text = "The capital of France is"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    params = SamplingParams(temperature=0, max_tokens=8)
    with LLM(default_model) as before, LLM(tmp_path / "out") as after:
        expected, found = before.generate(text, params), after.generate(text, params)
        chat = [{"role": "user", "content": "Hello"}]
        assert before.chat(chat, params).prompt_tokens == after.chat(chat, params).prompt_tokens
    assert (found.tokens, found.text) == (expected.tokens, expected.text)
    assert tokenizer.encode(text) == expected.prompt_tokens


def test_padding_of_the_vocabulary_is_not_written(tmp_path):
    options = "model.wrapper={name: gpt, options: {configuration: {vocab_size: 300}}}"
    convert(CHECKPOINTS / "gpt_learned", tmp_path / "out", "--set", options, "--set", "tokenizer=ids")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert config["vocab_size"] == len(weights["model.embed_tokens.weight"]) == 300


def test_sentencepiece_and_gpt2_tokenizers_are_written(tmp_path):
    bpe = DATA / "gpt2-bpe"
    kinds = {
        f"{{name: sentencepiece, options: {{path: {DATA / 'tokenizer.model'}}}}}": [22557, 1526],
        f"{{name: gpt2, options: {{vocab_file: {bpe}/vocab.json, merge_file: {bpe}/merges.txt}}}}": [15496, 995],
    }
    for number, (kind, ids) in enumerate(kinds.items()):
        out = tmp_path / str(number)
        convert(CHECKPOINTS / "gpt_rope_swiglu", out, "--set", f"tokenizer={kind}")
        with LLM(out) as llm:
            assert llm.session.parts.tokenizer.encode("Hello world") == ids


def test_a_place_that_is_taken_and_a_checkpoint_that_is_none(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert "is there already" in convert(CHECKPOINTS / "gpt_learned", tmp_path / "out", check=2).stderr
    assert "no model 'nothing'" in convert("nothing", tmp_path / "other", check=2).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_killed_conversion_leaves_nothing_that_looks_finished(default_model, tmp_path):
    command = [sys.executable, "-m", "plugtron", "convert", str(default_model), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as job:
        deadline = time.monotonic() + 600
        while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    left = list(tmp_path.rglob("*"))
    assert not (tmp_path / "out").exists()
    assert not any(path.name == "config.json" for path in left)
    done = convert(default_model, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # and what was left is gone
    assert done.stderr.count("was left by a conversion that was killed: it has been removed") == 1


def test_a_terminated_conversion_leaves_nothing(default_model, tmp_path):
    command = [sys.executable, "-m", "plugtron", "convert", str(default_model), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as job:
        while not list(tmp_path.glob(".out.converting-*/.writing")):
            assert job.poll() is None
            time.sleep(0.01)
        job.terminate()
        assert job.wait() == 128 + signal.SIGTERM
        assert "Traceback" not in job.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    model = CHECKPOINTS / "gpt_learned"
    long = convert(model, tmp_path / ("x" * 256), check=2)
    assert long.stderr.splitlines()[-1].endswith("cannot be written: File name too long")
    assert "Traceback" not in long.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        done = convert(CHECKPOINTS / "gpt_learned", folder / "out", check=2)
        assert "cannot be written: the weights cannot be written: " in done.stderr
        assert "Traceback" not in done.stderr
        assert list(folder.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["llama_tied", "llama_biases", "qwen3"])
@pytest.mark.parametrize("quantization", ["int4", "int8"])
def test_quantized_folders_give_what_quantizing_at_every_start_gives(name, quantization, random_model, tmp_path):
    _, folder = random_model(name)
    convert(folder, tmp_path / "out", "--quantization", quantization)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["quantization_config"] == {"quant_method": "plugtron", "bits": int(quantization[3]), "group_size": 32}
    prompt, params = models.prompts()[-1], SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=0)
    found = {}
    for source, chosen in ((folder, quantization), (tmp_path / "out", "as_stored"), (tmp_path / "out", None)):
        with LLM(source, quantization=chosen, dtype="float32") as llm:
            found[chosen] = llm.generate(prompt, params)
    assert found["as_stored"].error is None
    assert found[None].error is None
    # Word embeddings that are a head too have its eight bits, where quantizing at the start keeps them as they were.
    if not config["tie_word_embeddings"]:
        assert found["as_stored"].tokens == found[quantization].tokens
        values = [[entry.value for entry in found[key].log_probs] for key in ("as_stored", quantization)]
        assert values[0] == values[1]


def test_parts_of_a_quantized_matrix(random_model, tmp_path):
    _, folder = random_model("llama_untied")
    convert(folder, tmp_path / "out", "--quantization", "int4")
    reader, name = SafetensorsReader(tmp_path / "out"), "model.layers.0.mlp.down_proj.weight"
    whole = reader.read(name)
    assert reader.tensors[name].shape == tuple(whole.shape)
    assert torch.equal(reader.read(name, (slice(3, 9), slice(5, 70))), whole[3:9, 5:70])
    assert torch.equal(reader.read_blocks(name, (slice(3, 9), slice(32, 96))).dense(), whole[3:9, 32:96])
    assert reader.read_blocks(name, (slice(3, 9), slice(5, 70))) is None
    assert reader.read_blocks("model.norm.weight") is None


def test_what_cannot_be_written_quantized_is_refused(random_model, tmp_path):
    done = convert(random_model("gpt2")[1], tmp_path / "out", "--quantization", "int4", check=2)
    assert "GPT2LMHeadModel stores several linear layers in one tensor" in done.stderr
    assert not (tmp_path / "out").exists()
