"""Other weights between two steps: what is drawn afterwards is theirs, and says so."""

import json
import shutil

import pytest
from support import models

from plugtron import LLM, SamplingParams
from plugtron.errors import CheckpointError, EngineError, ParallelError, RequestError
from plugtron.request import InferenceRequest

PROMPTS = [list(range(3, 40)), list(range(3, 30)), [7, 9, 11]]
GREEDY = SamplingParams(temperature=0, max_tokens=12)
DRAWN = SamplingParams(temperature=1.0, top_k=20, seed=5, max_tokens=12)
BATCH = [GREEDY, DRAWN, GREEDY]

LAYOUTS = {
    "static": {},
    "dynamic": {"engine": "dynamic"},
    "eager": {"engine": "dynamic", "overrides": {"execution": "eager"}},
    "int8": {"engine": "dynamic", "quantization": "int8"},
    "two ranks": {"engine": "dynamic", "tensor_parallel": 2},
    "two stages": {"pipeline_parallel": 2},
}


def opened(folder, **arguments):
    return LLM(folder, dtype="float32", seed=1, **arguments)


def tokens(llm):
    return [request.tokens for request in llm.generate(PROMPTS, BATCH)]


def after(session, request, count):
    """Step until the first answer of a request has so many tokens."""
    session.add_request(request)
    while len(request.tokens) < count:
        session.step()


def finish(session):
    while session.has_unfinished_requests:
        session.step()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_new_weights_are_used(checkpoints, layout):
    first, second = checkpoints
    with opened(second, **LAYOUTS[layout]) as llm:
        expected = tokens(llm)
    with opened(first, **LAYOUTS[layout]) as llm:
        before = tokens(llm)
        assert before != expected
        assert llm.control.update_weights(second) == 1
        assert tokens(llm) == expected  # and nothing of the prefixes that were computed before
        with pytest.raises(RequestError, match=r"version: must be at least 0 \(got -1\)"):
            llm.control.update_weights(first, version=-1)
        assert llm.control.update_weights(first, version=7) == 7
        request = llm.generate(PROMPTS[0], GREEDY)
        assert request.tokens == before[0]
        assert request.sequences[0].weights_versions == [7] * 12
        assert request.to_dict()["sequences"][0]["weights_versions"] == [7] * 12


@pytest.mark.parametrize("layout", ["dynamic", "two ranks"])
def test_running_requests_go_on_with_them(checkpoints, layout):
    first, second = checkpoints
    with opened(first, **LAYOUTS[layout]) as llm:
        request = InferenceRequest(prompt=PROMPTS[0], params=GREEDY)
        after(llm.session, request, 5)
        waiting = InferenceRequest(prompt=PROMPTS[1], params=GREEDY)
        llm.session.add_request(waiting)
        begun = list(request.tokens)
        llm.control.update_weights(second)
        finish(llm.session)
    assert request.tokens[: len(begun)] == begun
    assert request.sequences[0].weights_versions == [0] * len(begun) + [1] * (12 - len(begun))
    assert waiting.sequences[0].weights_versions == [1] * 12
    with opened(second, **LAYOUTS[layout]) as llm:
        rest = SamplingParams(temperature=0, max_tokens=12 - len(begun))
        assert llm.generate(PROMPTS[0] + begun, rest).tokens == request.tokens[len(begun) :]
        assert llm.generate(PROMPTS[1], GREEDY).tokens == waiting.tokens


def test_keys_and_values_may_stay(checkpoints):
    first, second = checkpoints
    with opened(second) as llm:
        expected = llm.generate(PROMPTS[0], GREEDY).tokens
    for engine in ("static", "dynamic"):
        with opened(first, engine=engine) as llm:
            request = InferenceRequest(prompt=PROMPTS[0], params=GREEDY)
            after(llm.session, request, 5)
            steps = llm.session.engine.stats.steps
            llm.control.update_weights(second, recompute=False)
            finish(llm.session)
            assert llm.session.engine.stats.steps == steps + 12 - 5
            assert request.sequences[0].weights_versions == [0] * 5 + [1] * 7
            # What it left behind is of both weights, and of no use to others.
            assert llm.generate(PROMPTS[0], GREEDY).tokens == expected


def test_the_static_engine_computes_nothing_again(checkpoints):
    first, second = checkpoints
    with opened(first) as llm:
        expected = llm.generate(PROMPTS[0], GREEDY).tokens
        request = InferenceRequest(prompt=PROMPTS[0], params=GREEDY)
        after(llm.session, request, 5)
        with pytest.raises(EngineError, match="cannot compute the requests that are running again"):
            llm.control.update_weights(second)
        finish(llm.session)
        assert request.tokens == expected
        assert request.sequences[0].weights_versions == [0] * 12


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_wrong_checkpoint_changes_nothing(checkpoints, tmp_path, ranks):
    first, second = checkpoints
    broken = tmp_path / "broken"
    shutil.copytree(second, broken)
    data = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(data[: len(data) // 2])
    other = tmp_path / "other"
    models.make("llama_untied", rms_norm_eps=1e-3).save_pretrained(other)
    wider = tmp_path / "wider"
    shutil.copytree(second, wider)
    models.make("llama_untied", intermediate_size=256).save_pretrained(wider)
    (wider / "config.json").write_text((second / "config.json").read_text())
    family = tmp_path / "family"
    models.make("qwen2").save_pretrained(family)
    wrong = {
        broken: "model.safetensors",
        other: "configured otherwise than the model that runs: rms_norm_eps",
        wider: "256",
        family: "huggingface/Qwen2ForCausalLM, and the model that runs is huggingface/LlamaForCausalLM",
        tmp_path / "nowhere": "is not there",
    }
    with opened(first, engine="dynamic", tensor_parallel=ranks) as llm:
        before = tokens(llm)
        request = InferenceRequest(prompt=PROMPTS[0], params=GREEDY)
        after(llm.session, request, 5)
        for folder, reason in wrong.items():
            with pytest.raises((CheckpointError, ParallelError), match=reason):
                llm.control.update_weights(folder)
        finish(llm.session)
        assert request.tokens == before[0]
        assert request.sequences[0].weights_versions == [0] * 12
        assert tokens(llm) == before
        assert llm.control.update_weights(second) == 1


def test_what_says_nothing_of_the_model_may_differ(checkpoints, tmp_path):
    first, second = checkpoints
    folder = tmp_path / "named"
    shutil.copytree(second, folder)
    configuration = json.loads((folder / "config.json").read_text())
    configuration |= {"transformers_version": "9.9", "_name_or_path": "somebody/else", "use_cache": False}
    (folder / "config.json").write_text(json.dumps(configuration))
    with opened(first) as llm:
        llm.control.update_weights(folder)


def test_a_draft_model_keeps_its_weights(checkpoints):
    first, second = checkpoints
    speculative = {"controller": {"name": "speculative", "options": {"draft_model": str(first)}}}
    with opened(second, engine="dynamic") as llm:
        expected = tokens(llm)
    with opened(first, engine="dynamic", overrides=speculative) as llm:
        tokens(llm)
        llm.control.update_weights(second)
        assert tokens(llm) == expected


@pytest.mark.parametrize(
    ("controller", "asked"),
    [("beam_search", {"beam_width": 2}), ("guidance", {"guidance_scale": 2.0, "negative_prompt": [5, 6]})],
)
def test_controllers_with_memory_of_their_own_wait(checkpoints, controller, asked):
    first, second = checkpoints
    with opened(second, engine="dynamic", overrides={"controller": controller}) as llm:
        params = llm.add_attributes(GREEDY, asked)
        expected = llm.generate(PROMPTS[0], params).tokens
    with opened(first, engine="dynamic", overrides={"controller": controller}) as llm:
        request = InferenceRequest(prompt=PROMPTS[0], params=llm.add_attributes(GREEDY, asked))
        llm.session.add_request(request)
        llm.session.step()
        for refused in (lambda: llm.control.update_weights(second), llm.control.sleep):
            with pytest.raises(EngineError, match="are running, which are not computed again: let them end"):
                refused()
        finish(llm.session)
        llm.control.update_weights(second)
        assert llm.generate(PROMPTS[0], params).tokens == expected
        llm.control.sleep(weights=True)
        llm.control.wake()
        assert llm.generate(PROMPTS[0], params).tokens == expected
