"""An execution, a quantization method, an attention and a verb from a distribution that pip installed."""

import json

import pytest

SPEC = """\
version: 1
model: {checkpoint: MODEL, dtype: float32}
sampling: {temperature: 0, max_tokens: 8}
prompts: ["The capital of France is"]
"""


@pytest.fixture
def run(acme, tmp_path, default_model):
    path = tmp_path / "run.yaml"
    path.write_text(SPEC.replace("MODEL", str(default_model)))

    def run(*overrides, check=0):
        options = [word for override in overrides for word in ("--set", override)]
        done = acme.plugtron("run", path, *options, check=check)
        return (json.loads(done.stdout)["tokens"] if check == 0 else None), done.stderr

    return run


@pytest.fixture
def plain(run):
    return run("execution=eager")[0]


def test_an_execution_of_a_package_runs_the_steps(run, plain):
    tokens, said = run("execution=acme_loud")
    assert tokens == plain
    assert said.count("a step of 1 tokens") == 7
    _, said = run("execution=acme_loud", "deterministic=true", check=1)
    assert "it would run this one (execution acme_loud is asked for)" in said


def test_an_attention_of_a_package_attends(run, plain):
    tokens, said = run("attention=acme_loop")
    assert tokens == plain
    assert "the step runs through torch, and slowly: an attention that is named" in said
    _, said = run("attention=acme_loop", "execution=native", check=1)
    assert "execution native: an attention that is named, which torch steps alone use (accepted" in said


@pytest.mark.parametrize("execution", ["native", "eager"])
def test_a_quantization_of_a_package_holds_the_weights(execution, run):
    fine = run("model.quantization={name: acme_int3, options: {group: 2}}", f"execution={execution}")[0]
    coarse = run("model.quantization={name: acme_int3, options: {group: 64}}", f"execution={execution}")[0]
    assert fine != coarse
    _, said = run("model.quantization={name: acme_int3, options: {grup: 2}}", check=2)
    assert "model.quantization.options.grup: no such option (accepted: group). Did you mean 'group'?" in said


def test_a_bare_name_is_plugtrons_own_whoever_else_offers_it(run):
    assert run("model.quantization=int8")[0] == run("model.quantization=int8@plugtron")[0]
    assert run("model.quantization=int8@acme-kinds")[0] != run("model.quantization=int8")[0]


def test_a_verb_of_a_package(acme):
    assert acme.plugtron("acme_count", "one two", "--twice", check=0).stdout == "4\n"
    overview = acme.plugtron("--help", check=0).stdout
    assert "acme_count" in overview.partition("Commands of plugins:")[2]
    misspelt = acme.plugtron("acme_cont", "x", check=2)
    assert "Did you mean 'acme_count'?" in misspelt.stderr
