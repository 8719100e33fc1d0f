"""Spec files: every mistake at once with its line, overrides, the written-out form that loads back equal."""

import json
import subprocess
import sys

import pytest

from plugtron.errors import SpecError
from plugtron.plugin.manager import PluginManager
from plugtron.spec.dump import dump
from plugtron.spec.load import Source, read
from plugtron.spec.overrides import apply, split
from plugtron.spec.resolution import resolve, spec_of
from plugtron.spec.schema import json_schema

GOOD = {"version": 1, "model": {"checkpoint": "smollm2-135m-instruct"}, "prompts": ["hello"]}


@pytest.fixture(scope="module")
def manager():
    return PluginManager(builtins_only=True)


@pytest.fixture
def write(tmp_path):
    def written(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


FIVE_MISTAKES = """\
version: 1
model: {checkpoint: smollm2-135m-instruct, dtyp: float32}
engine:
  name: static
  options:
    max_batchsize: 4
samplers: [default, top_kk]
sampling:
  temperature: -1
  max_token: 4
prompts: ["hello"]
"""


def test_five_mistakes_give_five_errors_in_order_without_torch(write):
    path = write(FIVE_MISTAKES)
    script = (
        "import sys\nfrom plugtron.cli import main\ntry:\n    main()\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, "check", path], capture_output=True, text=True)
    assert done.returncode == 2
    accepted_model = "accepted: checkpoint, dtype, kv_dtype, quantization, wrapper"
    assert done.stderr.splitlines() == [
        f"{path}:2: model.dtyp: no such option ({accepted_model}). Did you mean 'dtype'?",
        f"{path}:6: engine.options.max_batchsize: no such option (accepted: max_batch_size, max_sequence_length). "
        "Did you mean 'max_batch_size'?",
        f"{path}:7: samplers.1: no sampler 'top_kk' (installed: allowed_tokens, bad_words, dry, "
        "dynamic_temperature, encoder_penalty, epsilon_cutoff, eta_cutoff, grammar, logit_bias, min_p, min_tokens, "
        "mirostat, no_repeat_ngram, penalties, temperature, top_k, top_n_sigma, top_p, typical_p, xtc). "
        "Did you mean 'top_k'?",
        f"{path}:9: sampling.temperature: must be at least 0 (got -1)",
        f"{path}:10: sampling.max_token: no such parameter. Did you mean 'max_tokens'?",
    ]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("run.yaml", "version: 1\nmodel:\n  checkpoint: x\n  dtype: int7\n", 4),
        ("run.toml", 'version = 1\n[model]\ncheckpoint = "x"\ndtype = "int7"\n', 4),
        ("run.json", '{"version": 1,\n "model": {"checkpoint": "x",\n\t"dtype": "int7"}}', 3),
    ],
)
def test_lines_in_every_format(name, text, line, write, manager):
    with pytest.raises(SpecError) as caught:
        resolve(read(write(text, name)), manager)
    problem = next(problem for problem in caught.value.problems if problem.place == "model.dtype")
    assert problem.line == line
    assert problem.message == "must be 'auto', 'float32', 'bfloat16' or 'float16' (got 'int7')"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nmodel: [", "run.yaml:2: not YAML: "),
        ("- a\n", "run.yaml:1: a spec is a mapping"),
        ("", "run.yaml:1: a spec is a mapping"),
        ("version: 1\nversion: 1\n", "run.yaml:2: version: stands here a second time"),
        ("version: 2\nmodel: {checkpoint: smollm2-135m-instruct}\n", "run.yaml:1: version: must be 1 (got 2)"),
        ("version: 1\n", "model: is required"),
        ("version: 1\nmodel: {checkpoint: smollm2-135m-instrukt}\n", "Did you mean 'smollm2-135m-instruct'?"),
        ("version: 1\nmodel: {checkpoint: ./nowhere.gguf}\n", "an alias (smollm2-135m-instruct), a path"),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nparallel: {pipeline: 0}\n",
            "parallel.pipeline: must be at least 1 (got 0)",
        ),
        ("model: {checkpoint: smollm2-135m-instruct}\nparallel: {tensor: 0}\n", "parallel.tensor: must be at least 1"),
        ("model: {checkpoint: smollm2-135m-instruct, quantization: int5}\n", "model.quantization: "),
        ("? [a, b]\n: 1\n", "run.yaml:1: a key is a name, not a list or a mapping"),
        (
            "version: 1\nseed: 2020-99-99\n",
            "run.yaml:2: '2020-99-99' reads as YAML's timestamp, and is none (month must be in 1..12)",
        ),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nengine: auto\n",
            "engine: no engine 'auto' (installed: dynamic, static)",
        ),
        ("model: {checkpoint: smollm2-135m-instruct}\nprompts:\n- {promt: a}\n", "Did you mean 'prompt'?"),
        ("model: {checkpoint: smollm2-135m-instruct}\nplugins: {require: [5]}\n", "plugins.require.0: must be a text"),
        (f"model: {{checkpoint: {'x' * 300}}}\n", "no model 'xxx"),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nprompts: 5\n",
            "prompts: must be a list of prompts, or {file: prompts.jsonl} (got 5)",
        ),
        ("model: {checkpoint: smollm2-135m-instruct}\nprompts: [{}]\n", "prompts.0: needs exactly one of prompt"),
        ("model: {checkpoint: smollm2-135m-instruct}\nprompts: {fil: a}\n", "prompts.fil: no such option"),
        ("model: {checkpoint: smollm2-135m-instruct}\nengine: {name: statik}\n", "Did you mean 'static'?"),
        ("model: {checkpoint: smollm2-135m-instruct}\nengine: {nam: static}\n", "engine.name: is required"),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nsamplers: [top_k]\nsampling: {top_p: 0.5}\n",
            "sampling.top_p: no part",
        ),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nsampling: {temperature: 0, n: 2}\n",
            "sampling: n: 2 answers with",
        ),
        (
            "model: {checkpoint: smollm2-135m-instruct}\nprompts:\n- {prompt: a, sampling: {topk: 1}}\n",
            "run.yaml:3: prompts.0.sampling.topk: no such parameter. Did you mean 'top_k'?",
        ),
    ],
)
def test_mistakes(text, message, write, manager):
    with pytest.raises(SpecError) as caught:
        resolve(read(write(text)), manager)
    assert message in str(caught.value)


def test_a_spec_from_python_reports_the_same(manager):
    with pytest.raises(SpecError, match="engin: no such option"):
        spec_of({**GOOD, "engin": "static"})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.options.max_batchsize=4", "--set: engine.options.max_batchsize: no such option"),
        ("engin=static", "--set: engin: no such option"),
        ("version.a=1", "--set: version.a: version has no inside"),
        ("samplers.9=top_k", "--set: samplers.9: no entry 9 in a list of 1"),
        ("noequals", "--set: noequals: write PATH=VALUE"),
        ("seed=2020-99-99", "--set: seed=2020-99-99: the value '2020-99-99' is not YAML"),
        (
            "plugins.require.0=x",
            "--set: plugins.require.0: the spec has no plugins.require; write plugins.require=[...]",
        ),
        ("seed=[", "--set: seed=[: the value '[' is not YAML"),
    ],
)
def test_overrides_name_what_exists(override, message, manager):
    with pytest.raises(SpecError) as caught:
        values = {**GOOD, "samplers": ["default"]}
        resolve(apply(Source(values=values), split([override])), manager)
    assert message in str(caught.value)


def test_overrides(manager):
    source = Source(values={**GOOD, "engine": {"name": "static", "options": {"max_batch_size": 3}}})
    resolved = resolve(apply(source, split(["engine.options.max_sequence_length=64", "sampling.top_k=5"])), manager)
    assert resolved.spec.engine.options == {"max_batch_size": 3, "max_sequence_length": 64}
    assert resolved.spec.sampling == {"temperature": 1.0, "max_tokens": 256, "top_k": 5}
    renamed = Source(values={**GOOD, "engine": {"name": "other", "options": {"unknown": 3}}})
    assert resolve(apply(renamed, {"engine.name": "static"}), manager).spec.engine.options["max_batch_size"] == 8


def test_inside_of_a_component_that_the_spec_leaves_out(manager):
    resolved = resolve(apply(Source(values=dict(GOOD)), {"engine.options.max_batch_size": 2}), manager)
    assert resolved.spec.engine.options["max_batch_size"] == 2


def test_written_out_loads_back_equal(manager, write, default_model):
    spec = {**GOOD, "engine": {"name": "static", "options": {"max_batch_size": 3}}, "samplers": ["default", "top_k"]}
    spec["prompts"] = ["a", [1, 2], {"messages": [{"role": "user", "content": "é"}], "sampling": {"top_k": 3}}]
    spec["sampling"] = {"logit_bias": {5: 1.0}, "temperature": 0.5}
    first = resolve(Source(values=spec), manager)
    text = dump(first)
    assert "plugtron 0.1.0" in text
    second = resolve(read(write(text, "again.yaml")), manager)
    assert second.spec == first.spec
    chosen = [(component.offer, component.options) for component in first.components]
    assert [(component.offer, component.options) for component in second.components] == chosen


def test_schema_is_json_schema(manager):
    schema = json_schema(manager.registry)
    json.dumps(schema)
    forms = schema["properties"]["engine"]["anyOf"]
    options = next(form["properties"]["options"] for form in forms if form.get("title") == "static@plugtron")
    assert options["properties"]["max_batch_size"]["default"] == 8
    assert options["additionalProperties"] is False


def test_json_with_a_key_twice(write, manager):
    with pytest.raises(SpecError, match="seed: stands twice in one mapping"):
        read(write('{"seed": 1, "seed": 2}', "run.json"))
