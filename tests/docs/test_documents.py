"""What the documents say is true: snippets run, specs are valid, the plugin shown is the one that is tested."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support import reference, sampling_page, support_table
from support.commands import plugtron, python
from support.public_types import PUBLIC
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

from plugtron.plugin import hookspecs
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source, read
from plugtron.spec.prompt_file import parse_prompts
from plugtron.spec.resolution import resolve

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
WALKTHROUGH = (ROOT / "docs" / "walkthrough.md").read_text()
CHECKPOINTS = ROOT / "tests" / "data" / "megatron"
HERE = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def snippets(language, document=README):
    return re.findall(rf"```{language}\n(.*?)```", document, flags=re.DOTALL)


@pytest.mark.parametrize(("snippet", "said"), [(0, "Paris"), (1, "Snow")])
def test_python_of_the_readme_runs(snippet, said, default_model):
    lines = snippets("python")[snippet]
    done = python("-c", lines, check=0)
    assert said in done.stdout


def test_plugin_of_the_readme_is_the_tested_one():
    package = ROOT / "tests" / "dists" / "acme-samplers"
    assert (package / "acme_samplers" / "__init__.py").read_text() in snippets("python")[2]
    assert snippets("toml")[0] in (package / "pyproject.toml").read_text()


def test_spec_of_the_readme_is_valid():
    resolve(Source(values=yaml.safe_load(snippets("yaml")[0])), PluginManager(builtins_only=True))


def test_prompts_and_results_of_the_readme(default_model, tmp_path):
    lines = snippets("json")[0]
    assert len(parse_prompts(lines.splitlines(), "README.md")) == 4
    sampling = {"n": 2, "logprobs": 1, "stop": ["e"]}
    spec = {"model": {"checkpoint": "smollm2-135m-instruct"}, "prompts": ["a"], "sampling": sampling}
    (tmp_path / "run.json").write_text(
        json.dumps({"version": 1, **spec, "sampling": {**spec["sampling"], "stop": ["e"]}})
    )
    done = plugtron("run", tmp_path / "run.json", check=0)
    described = set(re.findall(r"`(\w+)`", README[README.index("| field | |") : README.index("## Models")]))
    for line in done.stdout.splitlines():
        result = json.loads(line)
        assert {*result, *result["timings"], *result["logprobs"][0]} <= described


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "specs").iterdir()), ids=lambda path: path.name)
def test_shipped_specs_are_valid(path):
    resolve(read(path), PluginManager(builtins_only=True))


def test_example_of_assembly_runs(default_model):
    done = python(ROOT / "examples" / "assemble.py", check=0, timeout=120)
    assert "The capital of France is Paris" in done.stdout


def test_every_hook_has_an_example():
    for name, function in vars(hookspecs).items():
        if name.startswith("plugtron_"):
            assert re.search(rf"@plugtron\.hookimpl\n\s+def {name}\(", function.__doc__), name


def test_commands_of_the_readme_exist():
    for verb in re.findall(r"^    plugtron (\w+)", README, flags=re.MULTILINE):
        plugtron(verb, "--help", check=0)
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


@pytest.mark.parametrize("snippet", snippets("python", WALKTHROUGH), ids=range(len(snippets("python", WALKTHROUGH))))
def test_python_of_the_walkthrough_runs(snippet):
    done = python("-c", snippet, cwd=ROOT, check=0)
    if "generate([132, 281" in snippet:
        assert "[122, 294, 294, 212, 299, 254, 91, 176]" in done.stdout


def test_python_of_structured_output_runs(default_model):
    (snippet,) = snippets("python", (ROOT / "docs" / "structured-output.md").read_text())
    done = python("-c", snippet, check=0)
    assert done.stdout.splitlines()[-1] in ("yes", "no")


def test_python_of_the_page_on_controllers_runs(default_model):
    (snippet,) = snippets("python", (ROOT / "docs" / "controllers.md").read_text())
    done = python("-c", snippet, check=0)
    paris, greedy, rome = done.stdout.split()[:3]
    assert float(paris) > float(rome)
    assert greedy == "True"


def test_commands_of_the_walkthrough_run():
    (commands,) = snippets("bash", WALKTHROUGH)
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=ROOT, env=HERE, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("122 294 294 212 299 254 91 176") == 4


def test_methods_named_in_the_walkthrough_exist():
    from plugtron.contracts import ModelWrapper, Sampler
    from plugtron_controllers.text_generation import SimpleTextGenerationController

    (flow,) = re.findall(r"```\n( engine\.generate.*?)```", WALKTHROUGH, flags=re.DOTALL)
    owners = (SimpleTextGenerationController, ModelWrapper, Sampler)
    for name in re.findall(r"\b(?:controller|wrapper|sampler)\.(\w+)|\b(\w+_(?:step|row|status|logits))\b", flow):
        assert any(hasattr(owner, "".join(name)) for owner in owners), name


REFERENCE = [("175", [294] * 8 + [245]), ("132 281 246 3 147", [122, 294, 294, 212, 299, 254, 91, 176, 156])]


@pytest.mark.parametrize("flags", [["--tensor-model-parallel-size=2"], ["--pipeline-model-parallel-size=2"]], ids=str)
def test_static_inference_example_under_torchrun(flags, tmp_path):
    """Megatron's own tokens, from the command line, in one process and in two."""
    output, file = tmp_path / "out.json", tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"text": prompt}) + "\n" for prompt, _ in REFERENCE))
    script = [ROOT / "examples" / "gpt_static_inference.py", "--load", CHECKPOINTS / "gpt_learned", "--ckpt-step", "7"]
    more = ["--tokenizer-type", "NullTokenizer", "--prompt-file", file]
    more += ["--num-tokens-to-generate", "9", "--return-log-probs", "--output-path", output]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for command in ([*script, *more], [*launcher, *script, *more, *flags]):
        python(*command, check=0)
        results = json.loads(output.read_text())
        assert [(entry["prompt"], entry["tokens"]) for entry in results] == REFERENCE
        assert all(len(entry["logprobs"]) == 9 for entry in results)
        output.unlink()


#: As people run Megatron-LM's example of that name: most of it says again what the checkpoint says.
MEGATRON = [
    "--load",
    "LOAD",
    "--use-checkpoint-args",
    "--tokenizer-type",
    "NullTokenizer",
    "--vocab-size",
    "319",
    "--bf16",
    "--tensor-model-parallel-size",
    "1",
    "--pipeline-model-parallel-size",
    "1",
    "--micro-batch-size",
    "1",
    "--transformer-impl",
    "local",
    "--num-layers",
    "4",
    "--hidden-size",
    "64",
    "--num-attention-heads",
    "8",
    "--seq-length",
    "64",
    "--max-position-embeddings",
    "64",
    "--no-load-optim",
    "--no-load-rng",
    "--attention-backend",
    "unfused",
    "--ckpt-format",
    "torch_dist",
    "--use-mcore-models",
    "--inference-max-requests",
    "4",
    "--inference-max-seq-length",
    "48",
    "--num-tokens-to-generate",
    "9",
    "--temperature",
    "1.0",
    "--top_k",
    "1",
    "--top_p",
    "0.0",
    "--skip-prompt-log-probs",
    "--incoming-requests-per-sec",
    "-1",
    "--num-tokens-to-prompt",
    "8",
    "32",
]


def static_inference(*arguments, check=0):
    return python(ROOT / "examples" / "gpt_static_inference.py", *arguments, check=check)


def test_a_command_line_of_megatrons(tmp_path):
    words = [str(CHECKPOINTS / "gpt_learned") if word == "LOAD" else word for word in MEGATRON]
    words.remove("--vocab-size")
    words.remove("319")
    words.remove("--bf16")
    prompts = [prompt for prompt, _ in REFERENCE]
    done = static_inference(*words, "--prompts", *prompts)
    assert [json.loads(line)["tokens"] for line in done.stdout.splitlines()] == [tokens for _, tokens in REFERENCE]
    (note,) = done.stderr.splitlines()
    assert note.startswith("note: the checkpoint says how the model is made; not used here: --attention-backend, ")
    assert "--transformer-impl, --use-checkpoint-args" in note
    assert static_inference(*words, "--bf16", "--prompts", *prompts).stdout
    assert "unrecognized arguments: --num-layer 2" in static_inference(*words, "--num-layer", 2, check=2).stderr
    both = static_inference(*words, "--prompts", "1", "--prompt-file", "x", check=2)
    assert "give --prompts or --prompt-file, one of them" in both.stderr


def test_flags_of_megatrons_that_matter(tmp_path):
    prompt, tokens = REFERENCE[1]
    base = ["--load", CHECKPOINTS / "gpt_learned", "--num-tokens-to-generate", 9]
    text = "".join(f" {token}" for token in tokens)
    stopped = static_inference(*base, "--prompts", prompt, "--stop-words", " 212 299")
    assert json.loads(stopped.stdout)["text"] == text[: text.index(" 212 299")]
    ended = static_inference(*base, "--prompts", prompt, "--termination-id", tokens[4])
    assert json.loads(ended.stdout)["tokens"] == tokens[:5]
    file, output = tmp_path / "prompts.jsonl", tmp_path / "out.json"
    lines = [{"text": prompt, "chatgpt_output_token_length": count} for count in (2, 3, 4)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    from_file = ["--prompt-file", file, "--num-tokens-from-file", "--prompt-file-num-truncate", 2]
    more = ["--inference-repeat-n", 2, "--top-n-logprobs", 2, "--return-log-probs", "--output-path", output]
    static_inference(*base, *from_file, *more, "--output-format", "megatron")
    results = list(json.loads(output.read_text()).values())
    assert [result["generated_tokens"] for result in results] == [tokens[:2], tokens[:3]]
    assert [len(result["generated_top_n_logprobs"]) for result in results] == [2, 3]
    assert results[0].keys() >= {"input_prompt", "generated_text", "tpot", "latency", "logprobs"}
    shown = static_inference(*base, "--prompts", prompt, "--stream").stdout
    assert shown == f"Request 0: {prompt}{text}\n"


def test_static_inference_example_with_gpt2_files(random_model, tmp_path):
    """A checkpoint in GPT-2's shape, vocabulary and all, with text in and text out, as transformers has it."""
    model, folder = gpt2_in_megatrons_format(tmp_path)
    files = ROOT / "tests" / "data" / "gpt2-bpe"
    script = [ROOT / "examples" / "gpt_static_inference.py", "--load", folder, "--num-tokens-to-generate", "12"]
    script += ["--tokenizer-type", "GPT2BPETokenizer", "--vocab-file", files / "vocab.json"]
    script += ["--merge-file", files / "merges.txt", "--prompts", "Hello world", "Once upon a time"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = python(*launcher, *script, "--tensor-model-parallel-size", "2", check=0, timeout=120)
    tokenizer = GPT2TokenizerFast(vocab=str(files / "vocab.json"), merges=str(files / "merges.txt"))
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 2
    for entry in results:
        choices, gaps = reference.greedy_along(model, tokenizer.encode(entry["prompt"]), entry["tokens"])
        assert entry["tokens"] == choices
        assert min(gaps) > 1e-4
        assert entry["text"] == tokenizer.decode(entry["tokens"])
        assert len(set(entry["tokens"])) > 4


def gpt2_in_megatrons_format(folder):
    """A small GPT-2 of transformers' with random weights, and the same as Megatron's training would have saved it."""
    torch.manual_seed(0)
    config = GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=64, vocab_size=50257)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            inputs = parameter.shape[0] if ".c_" in name and parameter.dim() == 2 else 25
            parameter.normal_(1.0 if ".ln_" in name and "weight" in name else 0.0, 3.0 * inputs**-0.5)
    state = model.state_dict()
    saved = {
        "embedding.word_embeddings.weight": torch.cat([state["transformer.wte.weight"], torch.full((47, 64), 9.0)]),
        "embedding.position_embeddings.weight": state["transformer.wpe.weight"],
        "decoder.final_layernorm.weight": state["transformer.ln_f.weight"],
        "decoder.final_layernorm.bias": state["transformer.ln_f.bias"],
    }
    names = {"ln_1": "input_layernorm", "ln_2": "pre_mlp_layernorm", "attn.c_attn": "self_attention.linear_qkv"}
    names |= {"attn.c_proj": "self_attention.linear_proj", "mlp.c_fc": "mlp.linear_fc1", "mlp.c_proj": "mlp.linear_fc2"}
    for layer in range(2):
        for theirs, ours in names.items():
            for kind in ("weight", "bias"):
                tensor = state[f"transformer.h.{layer}.{theirs}.{kind}"]
                tensor = tensor.T if tensor.dim() == 2 else tensor
                if theirs == "attn.c_attn":  # a head's query, key and value are neighbors
                    tensor = tensor.unflatten(0, (3, 4, 16)).transpose(0, 1).flatten(0, 2)
                saved[f"decoder.layers.{layer}.{ours}.{kind}"] = tensor.contiguous()
    arguments = argparse.Namespace(
        num_layers=2, hidden_size=64, num_attention_heads=4, ffn_hidden_size=256, max_position_embeddings=64,
        position_embedding_type="learned_absolute", normalization="LayerNorm", layernorm_epsilon=1e-5,
        add_bias_linear=True, bias_gelu_fusion=True, untie_embeddings_and_output_weights=False,
        padded_vocab_size=50304, params_dtype=torch.float32, tokenizer_type="GPT2BPETokenizer",
        vocab_file="/gone/vocab.json", merge_file="/gone/merges.txt",
    )  # fmt: skip
    place = folder / "iter_0000100" / "mp_rank_00"
    place.mkdir(parents=True)
    torch.save({"args": arguments, "checkpoint_version": 3.0, "model": saved}, place / "model_optim_rng.pt")
    (folder / "latest_checkpointed_iteration.txt").write_text("100")
    return model, folder


def test_slurm_script_is_sound():
    script = ROOT / "examples" / "slurm" / "run.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run([Path(sys.executable).parent / "shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "job", [{}, {"SLURM_JOB_ID": "5"}, {"SLURM_JOB_ID": "5", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": ""}]
)
def test_slurm_script_outside_a_job(job):
    without = {name: value for name, value in HERE.items() if not name.startswith("SLURM_")}
    script = ROOT / "examples" / "slurm" / "run.sbatch"
    done = subprocess.run(["bash", script, "x.yaml"], env={**without, **job}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith("run this with sbatch\n")


def test_slurm_script_runs_a_rank_on_each_node(tmp_path):
    """Two nodes, both here: srun and scontrol are stand-ins of three lines, all the rest is the real thing."""
    for name, text in (
        ("scontrol", "echo localhost; seq --format 'node%.0f' 50000"),  # more than a pipe holds
        ("srun", 'shift; "$@" & "$@" & wait -n; wait'),
    ):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": str(os.getpid())}
    job["SLURM_GPUS_ON_NODE"] = "0"  # which means a rank on each node, not none
    script = ROOT / "examples" / "slurm" / "run.sbatch"
    spec = ROOT / "examples" / "specs" / "megatron.yaml"
    done = subprocess.run(
        ["bash", script, spec, "--set", "parallel.tensor=2"],
        cwd=ROOT,
        env={**HERE, **job, "PATH": f"{tmp_path}:{HERE['PATH']}"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["tokens"][0] for line in done.stdout.splitlines()] == [122, 294]


def test_public_modules_and_examples_of_the_extension_page_exist():
    page = (ROOT / "docs" / "extension.md").read_text()
    named = set(re.findall(r"`(plugtron(?:[._]\w+)?)`", page))
    assert set(PUBLIC) <= named
    for path in re.findall(r"`((?:tests|plugins|core)/[\w./-]+)`", page):
        assert (ROOT / path).exists(), path
    hooks = {name for name in vars(hookspecs) if name.startswith("plugtron_")}
    shown = set(re.findall(r"`(plugtron_\w+)`", page)) | {f"plugtron{name}" for name in re.findall(r"`(_\w+)`", page)}
    assert hooks == shown


def test_snippets_on_families_are_the_tested_ones():
    page = (ROOT / "docs" / "families.md").read_text()
    dists = ROOT / "tests" / "dists"
    assert snippets("python", page)[0] in (dists / "acme-neox" / "acme_neox" / "wrapper.py").read_text()
    source = (dists / "acme-operation" / "acme_operation" / "sine.cpp").read_text()
    assert snippets("cpp", page)[0].partition("\n\n")[2] in source
    for name in ("acme-neox", "acme-gemma2"):
        lines = (dists / name / name.replace("-", "_") / "wrapper.py").read_text().count("\n")
        assert f"`tests/dists/{name}`" in page
        assert f"{lines} lines" in page


def test_table_of_support():
    """Made again: PYTHONPATH=tests python -m support.support_table > docs/support.md"""
    assert (ROOT / "docs" / "support.md").read_text() == support_table.table()


def test_page_of_sampling_parameters():
    """Made again: PYTHONPATH=tests python -m support.sampling_page > docs/sampling.md"""
    assert (ROOT / "docs" / "sampling.md").read_text() == sampling_page.page()
