"""Guessing changes how many steps there are, and nothing else."""

import random
from itertools import pairwise

import pytest
from support import models

from plugtron import LLM
from plugtron.checkpoint import SafetensorsReader
from plugtron.contracts import Sampler
from plugtron.parallel import Runtime
from plugtron_controllers import SpeculativeController
from plugtron_controllers.speculative.ngram import NGramDrafter
from plugtron_controllers.speculative.pace import Pace
from plugtron_engines import StaticEngine
from plugtron_wrappers.llama import LlamaWrapper

SMALL = {"block_size": 4, "blocks": 24, "max_step_tokens": 16}
ENGINES = {
    "static": {"overrides": {"engine.options.max_batch_size": 4}},
    "dynamic": {"engine": "dynamic"},
    "preemption": {
        "engine": "dynamic",
        "overrides": {
            "engine.options.block_size": 4,
            "engine.options.blocks": 24,
            "engine.options.max_step_tokens": 16,
        },
    },
}
PARAMS = {
    "greedy": {"temperature": 0},
    "seeded": {"temperature": 0.5, "seed": 11, "top_p": 0.95},
    "histories": {"temperature": 0.7, "seed": 3, "repetition_penalty": 1.2, "min_tokens": 9, "logprobs": 2},
}


def prompts(count):
    """Prompts with repetitions, as text has them."""
    chance = random.Random(7)
    found = []
    for _ in range(count):
        piece = [chance.randrange(models.VOCAB) for _ in range(chance.randint(2, 6))]
        found.append((piece * 4)[: chance.randint(3, 20)])
    return found


def run(folder, asked, controller, *, count=24, **options):
    overrides = {"controller": controller, **options.pop("overrides", {})}
    with LLM(folder, dtype="float32", overrides=overrides, **options) as llm:
        requests = llm.generate(prompts(40), {"max_tokens": count, "ignore_eos": True, **asked})
        return requests, llm.session.engine.stats


def outcome(requests):
    assert [request.error for request in requests] == [None] * len(requests)
    return [
        [(one.tokens, one.finish_reason, [entry.to_dict() for entry in one.log_probs]) for one in request.sequences]
        for request in requests
    ]


@pytest.fixture(scope="module")
def plain(random_model):
    folder = random_model("llama_untied")[1]
    return {name: outcome(run(folder, asked, "text_generation")[0]) for name, asked in PARAMS.items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_lookup_changes_no_token(engine, random_model, plain):
    folder = random_model("llama_untied")[1]
    many = {"name": "speculative", "options": {"max_rows": 64}}
    for name, asked in PARAMS.items():
        requests, stats = run(folder, asked, many, **ENGINES[engine])
        assert outcome(requests) == plain[name], name
        assert (name != "greedy" or stats.accepted_tokens > 0) and stats.accepted_tokens <= stats.drafted_tokens
        assert stats.accepted_tokens == sum(one.accepted_tokens for request in requests for one in request.sequences)
        if engine == "preemption":
            assert stats.preemptions > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_draft_model_changes_no_token(engine, random_model, plain):
    folder = random_model("llama_untied")[1]
    itself = {"name": "speculative", "options": {"draft_model": str(folder), "max_rows": 64}}
    other = {"name": "speculative", "options": {"draft_model": str(random_model("qwen3")[1]), "max_rows": 64}}
    for name, asked in PARAMS.items():
        assert outcome(run(folder, asked, other, **ENGINES[engine])[0]) == plain[name], name
    requests, stats = run(folder, PARAMS["greedy"], itself, **ENGINES[engine])
    assert outcome(requests) == plain["greedy"]
    assert stats.acceptance_rate == 1.0


@pytest.mark.parametrize("ranks", [{"tensor_parallel": 2}, {"pipeline_parallel": 2, "engine": "dynamic"}])
def test_over_ranks(ranks, random_model, plain):
    folder = random_model("llama_untied")[1]
    for options in ({}, {"draft_model": str(folder)}):
        controller = {"name": "speculative", "options": {"max_rows": 64, **options}}
        for name in ("greedy", "histories"):
            found = outcome(run(folder, PARAMS[name], controller, **ranks)[0])
            assert [[one[:2] for one in request] for request in found] == [
                [one[:2] for one in request] for request in plain[name]
            ]


@pytest.fixture(scope="module")
def texts():
    chance = random.Random(1)
    pieces = [
        "The sea was calm.",
        "def f(x):\n    return x\n",
        "1, 2, 3, 4,",
        "red green blue red green",
        "To be or not",
    ]
    return [" ".join(chance.choices(pieces, k=chance.randint(1, 4))) + f" {at}" for at in range(200)]


@pytest.mark.wide
@pytest.mark.parametrize("asked", [{"temperature": 0}, {"temperature": 0.8, "seed": 1}])
def test_two_hundred_prompts_of_the_default_model(asked, texts, default_model):
    def answers(controller, engine, **options):
        overrides = {"controller": controller, **options}
        with LLM(default_model, engine=engine, overrides=overrides) as llm:
            return outcome(llm.generate(texts, {"max_tokens": 32, **asked}))

    lookup = {"name": "speculative", "options": {"max_rows": 64}}
    expected = answers("text_generation", "dynamic")
    for engine, options in (("static", {}), ("dynamic", {}), ("dynamic", {"engine.options.blocks": 60})):
        assert answers(lookup, engine, **options) == expected, (engine, options)


def test_ends_lengths_and_answers(random_model):
    """A stop among guesses that were right ends the answer there."""
    folder = random_model("llama_untied")[1]
    itself = {"name": "speculative", "options": {"draft_model": str(folder), "max_rows": 64}}
    greedy = run(folder, PARAMS["greedy"], "text_generation")[0]
    stop = greedy[0].tokens[10]
    for asked in ({"temperature": 0, "stop_token_ids": [stop]}, {"temperature": 0.5, "seed": 2, "n": 3}):
        for count in (1, 2, 24):
            expected = outcome(run(folder, asked, "text_generation", count=count)[0])
            assert outcome(run(folder, asked, itself, count=count, engine="dynamic")[0]) == expected


def test_another_vocabulary_is_refused(random_model, default_model):
    folder = random_model("llama_untied")[1]
    with pytest.raises(Exception, match=r"draft_model: it has 49152 tokens, and the model"):
        run(folder, {}, {"name": "speculative", "options": {"draft_model": str(default_model)}})


def test_lookup_takes_the_longest_match():
    drafter = NGramDrafter(2, 4)
    text = [1, 2, 3, 4, 5, 9, 2, 3, 4, 6, 7, 1, 2, 3, 4]

    class Sequence:
        slot = 0
        tokens = text[6:]

        class request:  # noqa: N801 - an attribute of sequences
            prompt_tokens = text[:6]

    drafter.start(Sequence)
    assert drafter.propose([(Sequence, 3)]) == {0: (5, 9, 2)}  # four tokens of it, where 6 follows only three


def test_guesses_grow_while_right_and_pause_while_wrong():
    pace = Pace(8)
    counts = []
    for length in range(4):
        counts.append(pace.count(length))
        pace.note(counts[-1], counts[-1], length)
    assert counts == [3, 7, 8, 8]
    tried, length = [], 0
    while length < 300:
        if pace.count(length):
            tried.append(length)
            pace.note(pace.count(length), 0, length + 1)
        length += 1
    assert [later - earlier for earlier, later in pairwise(tried)] == [2, 3, 5, 9, 17, 33, 65, 65, 65]


def test_a_stage_that_reads_tokens_gets_no_guesses(random_model):
    class Reading(Sampler):
        reads_host_tokens = True
        seen: list = []  # noqa: RUF012 - what this test looks at

        def uses(self, params):
            return True

        def add(self, slot, sequence):
            self.sequence = sequence

        def apply(self, candidates):
            self.seen.append((len(self.sequence.tokens), candidates.positions.tolist()))
            return candidates

    reader = SafetensorsReader(random_model("llama_untied")[1])
    wrapper = LlamaWrapper(Runtime.create(dtype="float32"), reader)
    sampler = Reading()
    engine = StaticEngine(SpeculativeController(wrapper, None, [sampler], NGramDrafter(1, 3)))
    engine.generate([[5, 6, 5, 6, 5, 6]], None)
    assert [(tokens, [6 + tokens]) for tokens, _ in sampler.seen] == sampler.seen
    engine.close()
