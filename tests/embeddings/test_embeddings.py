"""Embeddings and hidden states, beside transformers' on the same weights."""

import asyncio
import json

import pytest
import torch
from support import gguf_models, models, reference
from support.commands import plugtron

from plugtron import LLM, SamplingParams
from plugtron.contracts import ScheduledSequence, StepPlan
from plugtron.engine import AsyncEngine
from plugtron.request import InferenceRequest

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PROMPTS = models.prompts(7)
SMALL_STEPS = {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7}
EAGER = {"overrides": {"execution": "eager"}}
WAYS = {
    "static": {},
    "chunked prefill": {"engine": "dynamic", "overrides": SMALL_STEPS},
    "eager": EAGER,
    "dynamic": {"engine": "dynamic"},
    **{name: {"overrides": {"controller": name}} for name in ("speculative", "guidance", "beam_search")},
    "tensor": {"tensor_parallel": 2},
    "tensor, eager": {"tensor_parallel": 2, **EAGER},
    "pipeline": {"pipeline_parallel": 2, "engine": "dynamic"},
    "pipeline, eager": {"pipeline_parallel": 2, **EAGER},
    "tensor and pipeline": {"tensor_parallel": 2, "pipeline_parallel": 2, "engine": "dynamic"},
}
USUAL = ("static", "chunked prefill", "eager")
FORMS = [(pooling, normalize) for pooling in ("last", "mean", "cls") for normalize in (True, False)]


def decoder_of(model):
    decoder = model.get_decoder()
    return getattr(decoder, "model", decoder)  # Llama 4's is the model with its head


@torch.inference_mode()
def last_hidden_state(model, prompt):
    return decoder_of(model)(torch.tensor([prompt])).last_hidden_state[0].double()


def expected(model, prompt, pooling, normalize):
    states = last_hidden_state(model, prompt)
    vector = {"last": states[-1], "mean": states.mean(0), "cls": states[0]}[pooling]
    return vector / vector.norm() if normalize else vector


def compare(requests, model, pooling="last", normalize=True):
    for request in requests:
        assert request.error is None
        wanted = expected(model, request.prompt_tokens, pooling, normalize)
        torch.testing.assert_close(torch.tensor(request.embedding).double(), wanted, atol=1e-4, rtol=1e-4)
        assert (request.tokens, request.finish_reason) == ([], "length")


@pytest.mark.parametrize("way", [pytest.param(way, marks=[] if way in USUAL else [pytest.mark.wide]) for way in WAYS])
def test_they_are_transformers(way, random_model):
    model, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32", **WAYS[way]) as llm:
        for pooling, normalize in FORMS:
            compare(llm.embed(PROMPTS, pooling=pooling, normalize=normalize), model, pooling, normalize)


def test_ranks_and_stages_agree_on_them(random_model):
    model, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32", engine="dynamic", tensor_parallel=2, pipeline_parallel=2) as llm:
        compare(llm.embed(PROMPTS[:3], pooling="mean"), model, "mean")
        assert "parallel.pipeline 2" in llm.embed(PROMPTS[1], hidden_layers=[1]).error


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_one_that_is_preempted(pooling, random_model):
    model, folder = random_model("llama_untied")
    long = SamplingParams(temperature=0, max_tokens=20, ignore_eos=True)
    overrides = {**SMALL_STEPS, "engine.options.blocks": 17, "engine.options.max_step_tokens": 5}
    with LLM(folder, dtype="float32", engine="dynamic", overrides=overrides) as llm:
        generated = [InferenceRequest(prompt=PROMPTS[1], params=long) for _ in range(3)]
        embedded = InferenceRequest(prompt=PROMPTS[5], params=SamplingParams(pooling=pooling))
        for _ in llm.session.run([*generated, embedded]):
            pass
    compare([embedded], model, pooling)
    assert embedded.preemptions == (0 if pooling == "cls" else 1)


@pytest.mark.parametrize("name", models.every())
@pytest.mark.parametrize("execution", ["eager", "native"])
@pytest.mark.wide
def test_every_family(name, execution, random_model):
    model, folder = random_model(name)
    with LLM(folder, dtype="float32", overrides={"execution": execution}) as llm:
        compare(llm.embed(PROMPTS, pooling="mean", normalize=False), model, "mean", False)


@pytest.mark.parametrize(
    "name",
    [
        "llama_untied",
        *(
            pytest.param(name, marks=pytest.mark.wide)
            for name in ("gpt2_odd", "gemma2", "mixtral", "opt_post_norm", "cohere_normed")
        ),
    ],
)
def test_graph_steps(name, random_model):
    model, folder = random_model(name)
    overrides = {"device": DEVICE, "execution": "graph", "engine.options.max_sequence_length": 64}
    with LLM(folder, dtype="float32", engine="dynamic", overrides=overrides) as llm:
        compare(llm.embed(PROMPTS[:2], pooling="mean"), model, "mean")
        assert "captured steps keep no hidden states" in llm.embed(PROMPTS[0], hidden_layers=[1]).error


@pytest.mark.parametrize("quantization", ["int8", pytest.param("int4", marks=pytest.mark.wide)])
def test_weights_that_are_quantized(quantization, random_model):
    _, folder = random_model("llama_tied")
    found = []
    for execution in ("native", "eager"):
        with LLM(folder, quantization=quantization, dtype="float32", overrides={"execution": execution}) as llm:
            found.append([request.embedding for request in llm.embed(PROMPTS[:4], pooling="mean")])
    # The native step quantizes what it multiplies with, too.
    for one, other in zip(*found, strict=True):
        assert torch.cosine_similarity(torch.tensor(one), torch.tensor(other), dim=0) > 0.999


def test_an_empty_text_is_none_though_it_has_a_token(tmp_path):
    gguf_models.write_model(tmp_path / "model.gguf", gguf_models.make("llama"), vocabulary=True)
    with LLM(tmp_path / "model.gguf") as llm:
        assert llm.embed("w5 w7").error is None
        request = llm.embed("")
        assert (request.prompt_tokens, request.error) == ([1], "the text is empty: there is nothing to embed")


def test_the_async_engine_embeds_beside_answers(random_model):
    model, folder = random_model("llama_untied")

    embedded = InferenceRequest(prompt=PROMPTS[3], params=SamplingParams(pooling="mean"))
    answered = InferenceRequest(prompt=PROMPTS[2], params=SamplingParams(max_tokens=5, ignore_eos=True))

    async def read(driver, request):
        return [output async for output in driver.stream(request)]

    async def main(driver):
        return await asyncio.gather(read(driver, answered), read(driver, embedded))

    with LLM(folder, dtype="float32", engine="dynamic") as llm, AsyncEngine(llm.session) as driver:
        _, outputs = asyncio.run(main(driver))
    assert [(output.text, output.finish_reason) for output in outputs] == [("", "length")]
    assert len(answered.tokens) == 5
    compare([embedded], model, "mean")


def test_one_batch_embeds_and_generates(random_model):
    model, folder = random_model("llama_untied")
    greedy = SamplingParams(temperature=0, max_tokens=9, ignore_eos=True, prompt_logprobs=1, logprobs=2)
    with LLM(folder, dtype="float32", engine="dynamic", overrides={"engine.options.max_step_tokens": 16}) as llm:
        alone = llm.generate(PROMPTS, greedy)
        kinds = [greedy, *(SamplingParams(pooling=pooling, max_tokens=0) for pooling in ("last", "mean", "cls"))]
        requests = [InferenceRequest(prompt=prompt, params=params) for prompt in PROMPTS for params in kinds]
        for _ in llm.session.run(requests):
            pass
    for generated, other in zip(requests[::4], alone, strict=True):
        assert generated.tokens == other.tokens
        assert [entry.token for entry in generated.log_probs] == generated.tokens
        assert [entry.token for entry in generated.prompt_log_probs[1:]] == generated.prompt_tokens[1:]
        assert generated.embedding is None
    for at, pooling in enumerate(("last", "mean", "cls")):
        compare(requests[at + 1 :: 4], model, pooling)


def test_a_cached_prefix_changes_none(random_model):
    model, folder = random_model("llama_untied")
    prompt = [7 + at % 90 for at in range(40)]
    with LLM(folder, dtype="float32", engine="dynamic", overrides={"engine.options.block_size": 4}) as llm:
        assert llm.generate(prompt, {"max_tokens": 1}).error is None
        for pooling, cached in (("last", 36), ("mean", 0), ("cls", 0)):
            request = llm.embed(prompt, pooling=pooling)
            compare([request], model, pooling)
            assert request.cached_tokens == cached


@pytest.mark.parametrize("execution", ["native", "eager"])
def test_states_of_layers_are_transformers(execution, random_model):
    model, folder = random_model("llama_untied")
    overrides = {**SMALL_STEPS, "execution": execution}
    with LLM(folder, dtype="float32", engine="dynamic", overrides=overrides) as llm:
        one, other, plain = (
            InferenceRequest(prompt=PROMPTS[at], params=SamplingParams(pooling="last", hidden_layers=layers))
            for at, layers in ((3, [0, -1]), (4, [1]), (5, None))
        )
        for _ in llm.session.run([one, other, plain]):
            pass
    compare([one, other, plain], model)
    assert plain.hidden_states == {}
    for request, layers in ((one, [0, -1]), (other, [1])):
        with torch.inference_mode():
            known = decoder_of(model)(torch.tensor([request.prompt_tokens]), output_hidden_states=True).hidden_states
        assert list(request.hidden_states) == layers
        for layer, states in request.hidden_states.items():
            torch.testing.assert_close(torch.tensor(states), known[layer][0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", models.every())
@pytest.mark.wide
def test_layers_of_every_family(name, random_model):
    """What each layer leaves in the native step, beside the decoder's own code."""
    _, folder = random_model(name)
    found = []
    for execution in ("native", "eager"):
        with LLM(folder, dtype="float32", overrides={"execution": execution}) as llm:
            layers = range(len(llm.session.parts.wrapper.info.states) + 1)
            request = llm.embed(PROMPTS[3], hidden_layers=layers)
            assert request.error is None
            found.append([torch.tensor(states) for states in request.hidden_states.values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * max(1.0, float(other.abs().max())), rtol=1e-4)


@pytest.mark.wide
def test_layers_over_ranks(random_model):
    _, folder = random_model("llama_untied")
    found = []
    for ranks in ({}, {"tensor_parallel": 2}):
        with LLM(folder, dtype="float32", **ranks) as llm:
            found.append(torch.tensor(llm.embed(PROMPTS[3], hidden_layers=[1, 2]).hidden_states[2]))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


def test_what_cannot_be_embedded_is_refused(random_model, default_model):
    _, folder = random_model("llama_untied")
    beside = SamplingParams(pooling="mean", max_tokens=0)
    with LLM(folder, dtype="float32", overrides={"engine.options.max_sequence_length": 40}) as llm:
        assert llm.embed(PROMPTS[4] * 2 + [1], pooling="mean").error.startswith("the prompt has 47 tokens")
        assert len(llm.embed([3] * 40).embedding) == 64
        assert "without pooling" in llm.generate(PROMPTS[1], {"normalize": True}).error
        assert llm.generate(PROMPTS[1], beside).embedding is not None
        for values, said in (
            ({"pooling": "max"}, "pooling"),
            ({"pooling": "last", "temperature": 0}, "temperature: changes nothing beside pooling"),
            ({"pooling": "last", "max_tokens": 3}, "max_tokens: an embedding has no answer"),
        ):
            with pytest.raises(ValueError, match=said):
                SamplingParams(**values)
        assert "hidden_layers: 9 is none" in llm.embed(PROMPTS[1], hidden_layers=[9]).error
    with LLM(default_model) as llm:
        assert llm.embed("").error.startswith("the prompt is empty")
        assert llm.embed("Paris").error is None


def test_a_controller_asks_a_wrapper_for_them(random_model):
    model, folder = random_model("llama_untied")
    prompt, other = PROMPTS[3], PROMPTS[2]
    rows = (
        ScheduledSequence(0, 0, len(prompt), len(prompt), tuple(prompt), num_logits=0),
        ScheduledSequence(1, 0, len(other), len(other), tuple(other), num_logits=2),
    )
    plan = StepPlan(step=0, rows=rows, hidden={0: len(prompt), 1: 1})
    with LLM(folder, dtype="float32") as llm:
        wrapper, context = llm.session.parts.wrapper, llm.session.engine.context
        assert wrapper.why_no_hidden_states() == ""
        output = wrapper.run_with_hidden_states(wrapper.prep_inference_input(plan, context))
    wanted = torch.cat([last_hidden_state(model, prompt), last_hidden_state(model, other)[-1:]])
    torch.testing.assert_close(output.hidden.double(), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.logits, reference.logits(model, other)[-2:], atol=1e-4, rtol=1e-4)


def test_files_of_texts(default_model, tmp_path):
    file, spec = tmp_path / "texts.jsonl", tmp_path / "spec.json"
    texts = ["The capital of France", "Two and two", ""]
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    spec.write_text(
        json.dumps(
            {
                "version": 1,
                "model": {"checkpoint": str(default_model)},
                "sampling": {"pooling": "mean", "normalize": False},
                "prompts": texts[:2],
                "parallel": {"data": 2},
            }
        )
    )
    found = []
    for arguments in (("embed", file, "--model", default_model, "--pooling", "mean", "--no-normalize"), ("run", spec)):
        done = plugtron(*arguments, check=0)
        found.append([json.loads(line) for line in done.stdout.splitlines()])
    embedded, run = found
    assert [(each["index"], each["num_tokens"]) for each in embedded] == [(0, 4), (1, 3), (2, 0)]
    assert embedded[2]["error"].startswith("the prompt is empty")
    for one, replica in zip(embedded[:2], run, strict=True):
        assert replica["embedding"] == pytest.approx(one["embedding"], abs=1e-4)
        assert (replica["text"], replica["finish_reason"]) == ("", "length")


def test_prompts_of_one_file_embed_and_generate(default_model, tmp_path):
    spec = {
        "version": 1,
        "model": {"checkpoint": str(default_model)},
        "sampling": {"temperature": 0, "max_tokens": 2},
        "prompts": ["The capital of France is", {"prompt": "Paris", "sampling": {"pooling": "last"}}],
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    done = plugtron("run", tmp_path / "spec.json", check=0)
    generated, embedded = map(json.loads, done.stdout.splitlines())
    assert (generated["text"], "embedding" in generated) == (" Paris.", False)
    assert sum(number**2 for number in embedded["embedding"]) == pytest.approx(1)


def test_states_that_are_no_numbers_fail_alone(tmp_path):
    model = models.make("llama_untied")
    with torch.no_grad():
        model.get_input_embeddings().weight[7] = float("nan")
    model.save_pretrained(tmp_path)
    with LLM(tmp_path, dtype="float32", engine="dynamic") as llm:
        bad, good = llm.embed([[5, 7, 6], [5, 6]], pooling="mean")
        assert (bad.finish_reason, bad.embedding) == ("error", None)
        assert bad.error == "the model's hidden states are not finite numbers: there is no embedding"
        compare([good, llm.embed([5, 6, 8], pooling="mean")], model, "mean")
