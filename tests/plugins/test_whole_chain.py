"""Requests with every parameter of the default chain, in whole runs: engines, batches, preemption and ranks agree."""

import math

import pytest
import torch

from plugtron import LLM, SamplingParams
from plugtron.contracts import Candidates
from plugtron.testing.models import write_model
from plugtron.testing.requests import sequence_of
from plugtron_controllers.chain import Chain
from plugtron_controllers.sampling import draw
from plugtron_samplers.mirostat import Mirostat
from plugtron_samplers.top_k import TopK

CPU = torch.device("cpu")
NO = -math.inf

PROMPTS = ["the cat sat on the mat. the cat", "abcabcabcab", "once upon", "12 12 12 12"]
BANS = {"bad_words": ["a", "th", "  ", "é"], "no_repeat_ngram_size": 3, "logit_bias": {101: "-inf", 120: 2.0}}
REPEATS = {
    "encoder_no_repeat_ngram_size": 4,
    "encoder_repetition_penalty": 0.9,
    "dry_multiplier": 0.7,
    "dry_allowed_length": 1,
    "dry_range": 20,
    "repetition_penalty": 1.1,
}
CUTS = {"top_k": 200, "min_p": 1e-4, "top_p": 0.98, "top_n_sigma": 3.5, "typical_p": 0.97, "epsilon_cutoff": 1e-4}
CUTS |= {"eta_cutoff": 1e-4, "xtc_probability": 0.4, "xtc_threshold": 0.01}
WARMTH = {"temperature": 1.3, "dynatemp_range": 0.4, "dynatemp_exponent": 1.2, "presence_penalty": 0.1}
MIROSTAT = {"mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.3}
EVERYTHING = BANS | REPEATS | CUTS | WARMTH | MIROSTAT | {"min_tokens": 3, "frequency_penalty": 0.05}
EVERYTHING["allowed_token_ids"] = list(range(10, 250))
#: The same token again and again, until that is penalized too much.
AGAIN = {"temperature": 0, "logit_bias": {65: 60.0}, "dry_multiplier": 0.1}
#: The third and the last look at no text of the host's, and may be guessed for.
EACH = [EVERYTHING, EVERYTHING | {"temperature": 0}, WARMTH | MIROSTAT | REPEATS | CUTS, AGAIN]
PLAIN = {"seed": 5, "max_tokens": 24, "ignore_eos": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model with a tokenizer of bytes."""
    return write_model(tmp_path_factory.mktemp("bytes"), "plain")


def asked():
    return [SamplingParams.from_flat(PLAIN | each) for each in EACH]


def answers(llm):
    requests = llm.generate(PROMPTS, asked())
    assert [request.error for request in requests] == [None] * len(requests)
    return [request.tokens for request in requests]


@pytest.fixture(scope="module")
def expected(folder):
    """Each alone."""
    with LLM(folder, dtype="float32", overrides={"engine.options.max_batch_size": 1}) as llm:
        return answers(llm)


def test_both_engines_and_preempted_sequences(folder, expected):
    with LLM(folder, dtype="float32") as llm:
        assert answers(llm) == expected
        text = llm.generate(PROMPTS[0], asked()[0]).text
        assert text
        assert not any(word in text for word in BANS["bad_words"])
    for options in ({}, {"blocks": 30, "block_size": 4, "async_scheduling": True}, {"blocks": 30, "block_size": 4}):
        overrides = {f"engine.options.{name}": value for name, value in options.items()}
        with LLM(folder, dtype="float32", engine="dynamic", overrides=overrides) as llm:
            requests = llm.generate(PROMPTS, asked())
            assert [request.tokens for request in requests] == expected
            assert bool(options) == any(request.preemptions for request in requests)


def test_speculation(folder, expected):
    with LLM(folder, dtype="float32", engine="dynamic", overrides={"controller": "speculative"}) as llm:
        requests = llm.generate(PROMPTS, asked())
        assert [request.tokens for request in requests] == expected
        drafted = [request.sequences[0].drafted_tokens for request in requests]
        assert drafted[:2] == [0, 0]
        assert any(drafted[2:])


@pytest.mark.wide
@pytest.mark.parametrize("sizes", [{"tensor_parallel": 2}, {"pipeline_parallel": 2}], ids=str)
@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_over_ranks(folder, expected, sizes, engine):
    with LLM(folder, dtype="float32", engine=engine, **sizes) as llm:
        assert answers(llm) == expected


def test_rows_of_large_vocabularies_run_in_blocks():
    """Each as alone, and what its draw has seen is found."""
    vocabulary, slots = 100_000, (4, 0, 7, 2, 5)
    logits = torch.randn(len(slots), vocabulary, generator=torch.Generator().manual_seed(1))
    positions = torch.arange(len(slots))

    def run(rows):
        chain = Chain([TopK(CPU), Mirostat(CPU)], vocabulary)
        for row in rows:
            asked = {"top_k": 3 + row} if row != 1 else {}
            chain.add(slots[row], sequence_of(asked | MIROSTAT, slot=slots[row]))
        chosen = tuple(slots[row] for row in rows)
        given = Candidates(
            logits=logits[rows], ids=None, slots=torch.tensor(chosen), positions=positions[rows], slot_ids=chosen
        )
        tokens, seen, failures = chain.run(
            given, lambda left: draw(left, left.slots, torch.zeros_like(left.slots).bool())
        )
        assert not failures
        kept = []
        for slot in chosen:
            left, row = seen(slot)
            kept.append(int((left.logits[row] > NO).sum()))
        return list(zip(tokens.tolist(), kept, strict=True))

    together = run([0, 1, 2, 3, 4])
    assert together == [run([row])[0] for row in range(len(slots))]
    # Without a top_k nothing but the likeliest is within the bound: the others have 10 bits and more.
    assert [kept for _, kept in together] == [3, 1, 5, 6, 7]
