"""Drafts of MTP layers change how many steps there are, and nothing else; layers that were trained are mostly right."""

import random
import shutil

import pytest
import torch
from support.mtp_logits import CHECKPOINTS, NAMES, final_states, ready, reference, whole, wrapper_of

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.context import bytes_per_token
from plugtron.contracts import ScheduledSequence, StepPlan
from plugtron.errors import SpecError
from plugtron_controllers import SpeculativeController
from plugtron_controllers.speculative.mtp import MTPDrafter, mtp_drafter
from plugtron_engines import StaticEngine

DYNAMIC = {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7}
ENGINES = {
    "static": ("static", {"engine.options.max_batch_size": 4}),
    "eager": ("static", {"execution": "eager"}),
    "dynamic": ("dynamic", DYNAMIC),
    "preemption": ("dynamic", {**DYNAMIC, "engine.options.blocks": 16}),
    "ahead": ("dynamic", {"engine.options.async_scheduling": True}),
}
ASKED = {
    "greedy": {"temperature": 0},
    "seeded": {"temperature": 0.8, "seed": 11, "top_p": 0.95},
    "histories": {"temperature": 0.7, "seed": 3, "repetition_penalty": 1.1, "logprobs": 2},
}


def drafting(**options):
    return {"name": "speculative", "options": {"mtp": True, "max_rows": 64, **options}}


def prompts():
    """Texts of the kind that the layers were trained on, with what they have in common at the beginning, and noise."""
    known = [entry["prompt_tokens"] for entry in reference("mtp")]
    chance = random.Random(2)
    mixed = [known[1][: chance.randint(8, 20)] + known[0][chance.randint(0, 6) :] for _ in range(5)]
    return [*known, *mixed, *([chance.randrange(96) for _ in range(size)] for size in (1, 2, 3))]


def run(folder, asked, controller, engine="static", overrides=None, **options):
    overrides = {"controller": controller, **(overrides or {})}
    with LLM(folder, dtype="float32", engine=engine, overrides=overrides, **options) as llm:
        requests = llm.generate(prompts(), {"max_tokens": 24, "ignore_eos": True, **asked})
        return requests, llm.session.engine.stats


def outcome(requests):
    assert [request.error for request in requests] == [None] * len(requests)
    return [(one.tokens, [entry.to_dict() for entry in one.log_probs]) for each in requests for one in each.sequences]


def tokens_of(results):
    """What another execution, or more ranks, give as well; their log probabilities differ in the last digits."""
    return [tokens for tokens, _ in results]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """The legacy checkpoint with other numbers in its layer: its drafts are never right for long."""
    folder = shutil.copytree(CHECKPOINTS / "mtp_tp2_legacy", tmp_path_factory.mktemp("mtp") / "untrained")
    for file in folder.glob("iter_*/mp_rank_*/*.pt"):
        saved = torch.load(file, weights_only=False)
        for name, tensor in saved["model"].items():
            if name.startswith("mtp.") and tensor is not None and tensor.dim() == 2:
                tensor.normal_(generator=torch.Generator().manual_seed(len(name)))
        torch.save(saved, file)
    return folder


@pytest.fixture(scope="module")
def plain():
    return {
        name: {which: outcome(run(CHECKPOINTS / name, asked, "text_generation")[0]) for which, asked in ASKED.items()}
        for name in NAMES
    }


@pytest.mark.parametrize(
    "engine", ["static", *(pytest.param(name, marks=pytest.mark.wide) for name in ENGINES if name != "static")]
)
@pytest.mark.parametrize("name", NAMES)
def test_drafts_change_no_token(name, engine, plain):
    kind, overrides = ENGINES[engine]
    for which, asked in ASKED.items():
        requests, stats = run(CHECKPOINTS / name, asked, drafting(), kind, overrides)
        assert tokens_of(outcome(requests)) == tokens_of(plain[name][which]), which
        assert engine == "eager" or outcome(requests) == plain[name][which], which
        assert stats.accepted_tokens == sum(one.accepted_tokens for each in requests for one in each.sequences)
        if which == "greedy":
            assert stats.acceptance_rate > 0.3
        if engine == "preemption":
            assert stats.preemptions > 0


@pytest.mark.parametrize("engine", ["static", "preemption"])
def test_layers_that_know_nothing_change_no_token(engine, untrained, plain):
    kind, overrides = ENGINES[engine]
    requests, stats = run(untrained, ASKED["seeded"], drafting(), kind, overrides)
    assert outcome(requests) == plain["mtp_tp2_legacy"]["seeded"]
    assert 0 < stats.drafted_tokens > 2 * stats.accepted_tokens


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_over_two_ranks(name, plain):
    for kind in ("static", "dynamic"):
        for which in ("greedy", "seeded"):
            requests, stats = run(CHECKPOINTS / name, ASKED[which], drafting(), kind, tensor_parallel=2)
            assert tokens_of(outcome(requests)) == tokens_of(plain[name][which])
            assert stats.acceptance_rate > 0.3


@pytest.mark.wide
def test_beside_captured_steps(plain):
    """The model's steps are Triton's, in its interpreter where there is no GPU, and the layers' are torch's."""
    overrides = {
        "execution": "graph",
        "device": "cpu",
        "engine.options.max_sequence_length": 64,
        "controller": drafting(),
    }
    with LLM(CHECKPOINTS / "mtp", dtype="float32", engine="dynamic", overrides=overrides) as llm:
        requests = llm.generate(prompts()[:3], {"max_tokens": 6, "ignore_eos": True, "temperature": 0})
        assert llm.session.engine.stats.accepted_tokens > 0
    assert tokens_of(outcome(requests)) == [tokens[:6] for tokens in tokens_of(plain["mtp"]["greedy"][:3])]


def test_more_sequences_than_are_drafted_for(plain):
    """Sequences go in and out of drafts as others end; those of shared prefixes lack the states of what is shared."""
    overrides = {**DYNAMIC, "engine.options.max_step_tokens": 64}
    requests, stats = run(CHECKPOINTS / "mtp", ASKED["greedy"], drafting(max_rows=4), "dynamic", overrides)
    assert outcome(requests) == plain["mtp"]["greedy"]
    assert stats.accepted_tokens > 0


def test_shared_prefixes_and_several_answers():
    entry = reference("mtp")[1]
    with LLM(CHECKPOINTS / "mtp", dtype="float32", engine="dynamic", overrides=DYNAMIC) as llm:
        asked = {"temperature": 0.8, "seed": 4, "max_tokens": 20, "n": 3}
        expected = outcome([llm.generate(entry["prompt_tokens"], asked)])
    with LLM(
        CHECKPOINTS / "mtp", dtype="float32", engine="dynamic", overrides={**DYNAMIC, "controller": drafting()}
    ) as llm:
        for _ in range(2):
            request = llm.generate(entry["prompt_tokens"], asked)
            assert outcome([request]) == expected
        assert request.sequences[0].cached_tokens > 0
        assert sum(one.accepted_tokens for one in request.sequences) > 0


def test_sleep_embeddings_and_new_weights(untrained):
    """What forgets keys and values, or needs hidden states of its own, leaves the output as it is."""
    entry = reference("mtp_tp2_legacy")[0]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    overrides = {"controller": drafting()}
    with LLM(CHECKPOINTS / "mtp_tp2_legacy", dtype="float32", engine="dynamic", overrides=overrides) as llm:
        alone = llm.embed(entry["prompt_tokens"], pooling="mean").embedding
        request = InferenceRequest(prompt=entry["prompt_tokens"], params=params)
        embedded = InferenceRequest(prompt=entry["prompt_tokens"], params=SamplingParams(pooling="mean"))
        llm.session.add_request(request)
        for number in range(3):
            llm.session.step()
            llm.control.sleep(weights=number == 1)
            llm.control.wake()
        llm.session.add_request(embedded)
        while llm.session.has_unfinished_requests:
            llm.session.step()
        assert request.tokens == entry["greedy_tokens"]
        assert embedded.embedding == pytest.approx(alone, abs=1e-5)
        before = llm.generate(entry["prompt_tokens"], params)
        llm.control.update_weights(untrained)
        after = llm.generate(entry["prompt_tokens"], params)
        assert before.tokens == after.tokens == entry["greedy_tokens"]
        assert after.sequences[0].accepted_tokens < before.sequences[0].accepted_tokens


class Recorder(MTPDrafter):
    """Remembers what was proposed after which tokens."""

    def propose(self, wanted):
        drafts = super().propose(wanted)
        self.seen = [*getattr(self, "seen", []), *((each.sequence.all_tokens, drafts[0]) for each in wanted)]
        return drafts


@pytest.mark.parametrize("name", NAMES)
def test_keys_and_values_are_those_of_the_accepted_tokens(name):
    """Each draft is what the layers would say that had never read a draft token."""
    wrapper = wrapper_of(CHECKPOINTS / name)
    drafter = Recorder(wrapper.mtp_modules(6))
    wrapper.agree()
    engine = StaticEngine(SpeculativeController(wrapper, None, [], drafter, tokens=6))
    for entry in reference(name):
        engine.generate([entry["prompt_tokens"]], SamplingParams(temperature=0, max_tokens=24, ignore_eos=True))
    engine.close()
    other = wrapper_of(CHECKPOINTS / name)
    modules, context, contexts = ready(other)
    assert any(len(draft) > len(modules) for _, draft in drafter.seen)
    for tokens, draft in drafter.seen:
        assert draft == fresh_draft(other, modules, context, contexts, tokens, len(draft)), tokens


def fresh_draft(wrapper, modules, context, contexts, tokens, count):
    hidden, known, last = final_states(wrapper, context, tokens[:-1]), list(tokens), len(tokens) - 1
    for number in range(count):
        depth = min(number, len(modules) - 1) + 1
        module, own = modules[depth - 1], contexts[depth - 1]
        if number < len(modules):
            plan, places = whole(known[depth:], 1), torch.arange(depth, len(known))
        else:
            at = last + number - len(modules)
            row = ScheduledSequence(0, at, 1, at + 1, (known[-1],))
            plan, places, hidden = StepPlan(step=0, rows=(row,), hidden={0: 1}), torch.tensor([at + depth]), hidden[-1:]
        output = module.predict(module.prep_inference_input(plan, own), places, hidden)
        hidden = output.hidden
        known.append(int(output.logits[-1].argmax()))
    return tuple(known[len(tokens) :])


def test_memory_is_counted():
    wrapper = wrapper_of(CHECKPOINTS / "mtp")
    drafter = mtp_drafter(wrapper, 4)
    wrapper.agree()
    needed = drafter.preload(3, 16, 64)
    assert needed > 2 * (3 + 1) * 64 * bytes_per_token(wrapper.mtp_modules(1)[0].info)
    assert drafter.preload(3, 32, 64) > needed


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="mtp and draft_model exclude each other"):
        run(CHECKPOINTS / "mtp", {}, drafting(draft_model="smollm2-135m-instruct"))
    with pytest.raises(SpecError, match=r"controller\.options\.mtp: .* has no layers of multi-token prediction"):
        run(CHECKPOINTS / "gpt_rope_swiglu", {}, drafting())


@pytest.mark.wide
def test_pipeline_stages_are_refused():
    with pytest.raises(Exception, match=r"controller\.options\.mtp: parallel\.pipeline 2 \(accepted: 1\)"):
        run(CHECKPOINTS / "mtp", {}, drafting(), pipeline_parallel=2)
