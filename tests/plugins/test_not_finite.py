"""NaN in one request's memory is nobody else's, however the request ends and whoever gets the memory next."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.context.paged import PagedInferenceContext
from plugtron.context.static import StaticInferenceContext
from plugtron.contracts import AttentionState, ModelInfo, ScheduledSequence, StepPlan
from plugtron.parallel.runtime import Runtime

#: Whoever has this token in the prompt computes NaN from there on.
BAD = 7
GREEDY = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
CLEAN = [[token] * length for token, length in ((1, 14), (2, 5), (3, 9), (4, 2), (5, 13), (6, 3), (8, 11), (9, 6))]


@pytest.fixture(scope="module")
def broken_model(random_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    for file in random_model("llama_untied")[1].iterdir():
        if file.suffix == ".safetensors":
            weights = load_file(file)
            weights["model.embed_tokens.weight"][BAD] = torch.nan
            save_file(weights, folder / file.name, metadata={"format": "pt"})
        elif file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def opened(folder, engine, execution, **options):
    overrides = {"execution": execution, "engine.options.max_batch_size": 4, **options}
    return LLM(folder, engine=engine, overrides={**overrides, "engine.options.max_sequence_length": 40})


PAGED = {
    "engine.options.blocks": 12,
    "engine.options.block_size": 4,
    "engine.options.max_step_tokens": 24,
    "engine.options.prefix_caching": False,
}


@pytest.fixture(scope="module")
def expected(broken_model):
    with opened(broken_model, "static", "eager") as llm:
        return [request.tokens for request in llm.generate(CLEAN, GREEDY)]


def step_with(llm, requests, steps):
    for request in requests:
        llm.session.add_request(request)
    for _ in range(steps):
        llm.session.step()


@pytest.mark.parametrize("execution", ["eager", "native"])
@pytest.mark.parametrize("engine", ["static", "dynamic"])
@pytest.mark.parametrize("ending", ["failure", "abort", "deadline", "beside", "preemption"])
def test_nan_reaches_nobody(ending, engine, execution, broken_model, expected):
    options = PAGED if engine == "dynamic" else {}
    with opened(broken_model, engine, execution, **options) as llm:
        bad = [InferenceRequest(prompt=[1, BAD] * 15, params=GREEDY) for _ in range(3)]
        if ending == "deadline":
            for request in bad:
                request.deadline = 1e-9
        if ending == "preemption":  # they come first, and give way to what is more important
            clean = [InferenceRequest(prompt=prompt, params=GREEDY, priority=1) for prompt in CLEAN]
            step_with(llm, bad, 1)
            for _ in llm.session.run(clean):
                pass
        else:
            step_with(llm, bad, 2 if ending == "abort" and engine == "dynamic" else 0)
            if ending == "abort":
                for request in bad:
                    llm.session.abort_request(request.id)
            while ending != "beside" and llm.session.has_unfinished_requests:
                llm.session.step()
            clean = llm.generate(CLEAN, GREEDY)
        assert [request.error for request in clean] == [None] * len(CLEAN)
        assert [request.tokens for request in clean] == expected
        if ending in ("failure", "beside"):
            assert all("the logits are not finite" in request.error for request in bad)


def test_nothing_of_it_stays_on_disk(broken_model, own):
    """Not even the blocks that were full, and written, before the first logits were looked at."""
    options = {**PAGED, "engine.options.prefix_caching": True, "engine.options.prefix_cache_disk": "64MiB"}
    with opened(broken_model, "dynamic", "native", **options) as llm:
        written = set()
        bad = InferenceRequest(prompt=[1, BAD] * 15, params=GREEDY)
        llm.session.add_request(bad)
        while llm.session.has_unfinished_requests:
            llm.session.step()
            written |= set((own / "prefixes").iterdir())
        assert "the logits are not finite" in bad.error
        assert len(written) >= 24 // 4
        assert not list((own / "prefixes").iterdir())
        assert llm.generate([2] * 17, GREEDY).error is None
    assert len(list((own / "prefixes").iterdir())) == (17 + 5) // 4


@pytest.mark.parametrize("kind", ["static", "paged"])
def test_memory_is_clean_for_its_next_owner(kind):
    """Whoever freed it and why; and what a row reads behind its last block is nobody's."""
    info = ModelInfo(
        vocab_size=8,
        padded_vocab_size=8,
        hidden_size=4,
        max_positions=64,
        states=(AttentionState(kv_heads=1, head_dim=4, dtype=torch.float32),),
    )
    runtime = Runtime.create()
    if kind == "static":
        context = StaticInferenceContext(info, runtime, slots=2, max_length=16)
    else:
        context = PagedInferenceContext(info, runtime, slots=2, max_length=16, blocks=6, block_size=4)
        for slot in range(2):
            context.attach(slot, [1] * 16)
    for slot, length in ((0, 16), (1, 6)):
        assert context.allocate(slot, length)
    view = context.view(StepPlan(step=0, rows=(ScheduledSequence(0, 0, 16, 16), ScheduledSequence(1, 0, 6, 6))))
    layer = context.layers[0]
    layer.keys[view.write_blocks, :, view.write_offsets] = torch.nan
    layer.values[view.write_blocks, :, view.write_offsets] = torch.nan
    for slot in range(2):
        context.release(slot)
        if kind == "paged":
            context.attach(slot, [2] * 16)
    for slot, length in ((1, 3), (0, 9)):
        assert context.allocate(slot, length)
    view = context.view(StepPlan(step=1, rows=(ScheduledSequence(1, 0, 3, 3), ScheduledSequence(0, 0, 9, 9))))
    for cache in (layer.keys, layer.values):
        assert not cache[view.block_tables].isnan().any()
