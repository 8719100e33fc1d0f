"""Every parameter with every engine, controller and layout of ranks, beside the static engine and one row at a time."""

import math
from dataclasses import asdict

import pytest
from support import request_matrix as matrix

from plugtron import LLM, SamplingParams
from plugtron.plugin.component import Kind
from plugtron.plugin.manager import PluginManager
from plugtron.spec.model import DEFAULT_CHAIN
from plugtron.testing.models import write_model

PROMPT = "the cat sat on the mat. the cat"
REGISTRY = PluginManager(builtins_only=True).registry
CHAIN = [name for stage in DEFAULT_CHAIN for name in REGISTRY.find(Kind.SAMPLER, stage).params_model().model_fields]
PAIRS = {f"{engine.name}, {controller.name}": (engine, controller) for engine, controller in matrix.pairs(REGISTRY)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model with a tokenizer of bytes."""
    return write_model(tmp_path_factory.mktemp("matrix"), "plain")


def outcomes(folder, engine, controller, ranks, one_by_one=False, request_of=matrix.request_of):
    """What becomes of a request for each parameter of the controller, all of them at once: {parameter: request}."""
    names = matrix.parameters_of(controller, CHAIN)
    overrides = {"controller": controller.name}
    if one_by_one:
        overrides["engine.options.max_batch_size"] = 3  # beams, and several answers
    asked = [SamplingParams.from_flat(request_of(name)) for name in names]
    with LLM(folder, dtype="float32", engine=engine.name, overrides=overrides, **ranks) as llm:
        if one_by_one:
            requests = [llm.generate(PROMPT, each) for each in asked]
        else:
            requests = llm.generate([PROMPT] * len(asked), asked)
    return dict(zip(names, requests, strict=True))


@pytest.fixture(scope="module")
def expected(folder):
    """What becomes of each request alone, on one rank: {controller: {parameter: request}}."""
    static = REGISTRY.find(Kind.ENGINE, "static")
    return {
        controller.name: outcomes(folder, static, controller, {}, one_by_one=True)
        for controller in REGISTRY.offers(Kind.CONTROLLER)
        if controller.distribution == "plugtron"
    }


def same_numbers(found, wanted):
    """Lists of numbers, as deep as they are."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same_numbers(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same_numbers, found, wanted))
    if isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-3, abs_tol=1e-3)
    return found == wanted


def what_is_told(request):
    """A request's results without its times."""
    told = request.to_dict()
    del told["timings"], told["index"]
    for sequence in told["sequences"]:
        del sequence["cached_tokens"]
    return told


def check(found, wanted):
    assert found.keys() == wanted.keys()
    for name, request in found.items():
        other = wanted[name]
        assert (name, request.error) == (name, None)
        for mine, theirs in zip(request.sequences, other.sequences, strict=True):
            assert (name, mine.tokens, mine.text) == (name, theirs.tokens, theirs.text)
            assert (name, mine.finish_reason, mine.stop_reason) == (name, theirs.finish_reason, theirs.stop_reason)
            assert same_numbers([asdict(each) for each in mine.log_probs], [asdict(each) for each in theirs.log_probs])
        keys = ("prompt_tokens", "prompt_logprobs", "embedding", "hidden_states")
        mine, theirs = request.to_dict(), other.to_dict()
        assert same_numbers({key: mine[key] for key in keys}, {key: theirs[key] for key in keys}), name


def test_every_parameter_has_a_case():
    declared = {name for _, controller in PAIRS.values() for name in controller.params_model().model_fields}
    assert declared | set(CHAIN) == set(matrix.CASES)


def test_each_parameter_changes_the_outcome(folder, expected):
    """So that nothing here passes where a parameter is ignored."""
    dynamic = REGISTRY.find(Kind.ENGINE, "dynamic")
    for controller in (each for _, each in PAIRS.values()):
        without = outcomes(folder, dynamic, controller, {}, request_of=matrix.request_without)
        wanted = expected[controller.name]
        assert not [name for name, request in wanted.items() if request.error]
        assert [
            name
            for name, request in without.items()
            if not request.error and what_is_told(request) == what_is_told(wanted[name])
        ] == []


@pytest.mark.parametrize(
    "ranks", [pytest.param(name, marks=pytest.mark.wide if sizes else ()) for name, sizes in matrix.RANKS.items()]
)
@pytest.mark.parametrize("pair", PAIRS)
def test_all_at_once(folder, expected, pair, ranks):
    engine, controller = PAIRS[pair]
    found = outcomes(folder, engine, controller, matrix.RANKS[ranks])
    refused = [name for name, layout in matrix.REFUSED if layout == ranks]
    assert all(f"{name}: parallel." in found.pop(name).error for name in refused)
    check(found, {name: request for name, request in expected[controller.name].items() if name not in refused})


def test_controllers_agree_on_what_they_share(expected):
    plain = expected["text_generation"]
    for name, found in expected.items():
        check({each: found[each] for each in plain}, plain), name
