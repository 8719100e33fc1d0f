"""Stages and draws in one pass of native kernels, beside the same stages applied one by one in torch."""

import math

import pytest
import torch

from plugtron.contracts import Candidates, RowOp, RowStage, Sampler
from plugtron.kernels.native.build import library
from plugtron.kernels.native.chain import NativeChain
from plugtron.testing.requests import sequence_of
from plugtron_controllers.chain import Chain
from plugtron_controllers.fused import FusedDraw
from plugtron_controllers.sampling import draw
from plugtron_samplers.allowed_tokens import AllowedTokens
from plugtron_samplers.dry import Dry
from plugtron_samplers.dynamic_temperature import DynamicTemperature
from plugtron_samplers.epsilon_cutoff import EpsilonCutoff
from plugtron_samplers.eta_cutoff import EtaCutoff
from plugtron_samplers.logit_bias import LogitBias
from plugtron_samplers.min_p import MinP
from plugtron_samplers.min_tokens import MinTokens
from plugtron_samplers.mirostat import Mirostat
from plugtron_samplers.no_repeat_ngram import NoRepeatNgram
from plugtron_samplers.penalties import Penalties
from plugtron_samplers.temperature import Temperature
from plugtron_samplers.top_k import TopK
from plugtron_samplers.top_n_sigma import TopNSigma
from plugtron_samplers.top_p import TopP
from plugtron_samplers.typical_p import TypicalP
from plugtron_samplers.xtc import XTC

CPU = torch.device("cpu")
GREEDY = {"temperature": 0}
EDITS = {"logit_bias": {1: "-inf", 2: 1.5}, "min_tokens": 99, "stop_token_ids": [3], "no_repeat_ngram_size": 2}
EDITS |= {"repetition_penalty": 1.2, "presence_penalty": 0.2, "frequency_penalty": 0.1}
EDITS |= {"dry_multiplier": 0.6, "dry_allowed_length": 1, "allowed_token_ids": list(range(0, 280, 2))}
CUTS = {
    "top_n_sigma": 3.0,
    "min_p": 0.002,
    "typical_p": 0.95,
    "top_p": 0.97,
    "epsilon_cutoff": 1e-5,
    "eta_cutoff": 1e-5,
}
REST = {"temperature": 0.8, "dynatemp_range": 0.5, "dynatemp_exponent": 1.3}
XTCS = {"xtc_probability": 0.6, "xtc_threshold": 0.02}
MIROSTAT = {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.4}
#: What the rows of a batch ask for; each alone, too.
ROWS = [
    GREEDY,
    {},
    EDITS | GREEDY,
    EDITS | CUTS | REST | XTCS | MIROSTAT | {"top_k": 64},
    EDITS | CUTS | REST | XTCS | MIROSTAT,
    REST | {"top_k": 40, "top_p": 0.9},
    {"temperature": 1.7, "top_k": 700},
    {"top_p": 0.8},
    {"typical_p": 0.6},
    {"top_k": 1, "temperature": 3.0},
    {"top_n_sigma": 0.7} | XTCS,
    {"epsilon_cutoff": 0.003},
    {"eta_cutoff": 0.02, "temperature": 2.0},
    MIROSTAT | {"min_p": 0.0001},
    {"top_k": 100_000},
    {name: value for name, value in EDITS.items() if name != "allowed_token_ids"} | GREEDY,
    {"logit_bias": {0: "-inf", 7: 2.0, 299: 3.0}} | GREEDY,
    {"repetition_penalty": 1.9, "dry_multiplier": 2.0, "dry_allowed_length": 1} | GREEDY,
]


class Shift(Sampler):
    """A stage that kernels know nothing of."""

    def uses(self, params):
        return True

    def apply(self, candidates):
        return Candidates(
            logits=candidates.logits + 0.25,
            ids=candidates.ids,
            slots=candidates.slots,
            positions=candidates.positions,
            slot_ids=candidates.slot_ids,
        )


def stages(vocabulary):
    """The stages of the default chain that need no texts, in its order."""
    edits = [AllowedTokens(vocabulary, CPU), MinTokens((3,), CPU), NoRepeatNgram(vocabulary, CPU)]
    edits += [LogitBias(vocabulary, CPU), Penalties(vocabulary, CPU), Dry(None, vocabulary, CPU)]
    heat = [DynamicTemperature(CPU), Temperature(CPU), TopNSigma(CPU)]
    cuts = [TopK(CPU), MinP(CPU), TypicalP(CPU), TopP(CPU), EpsilonCutoff(CPU), EtaCutoff(CPU), XTC(CPU), Mirostat(CPU)]
    return edits + heat + cuts


class Run:
    """A chain over some of ROWS, each in the slot of its number, step by step over logits that it is given."""

    def __init__(self, rows, vocabulary, *, fused, samplers=stages, threads=2):
        self.rows, self.chain = tuple(rows), Chain(samplers(vocabulary), vocabulary)
        self.seeds, self.greedy = (
            torch.arange(len(ROWS)) + 40,
            torch.tensor([row.get("temperature") == 0 for row in ROWS]),
        )
        if fused:
            self.chain.fused = FusedDraw(NativeChain(library(), threads), self.seeds, self.greedy)
        for row in rows:
            prompt = [int(token) % min(vocabulary, 9) for token in range(row, row + 30)]
            self.chain.add(row, sequence_of(ROWS[row], slot=row, prompt=prompt, seed=row + 40))

    def tokens(self, logits, at):
        """Tokens alone, of which nobody asks what their draws saw."""
        slots = torch.tensor(self.rows)
        given = Candidates(
            logits=logits[slots], ids=None, slots=slots, positions=torch.full((len(slots),), at), slot_ids=self.rows
        )
        tokens, _, failures = self.chain.run(
            given, lambda left: draw(left, self.seeds[left.slots], self.greedy[left.slots]), keep=False
        )
        assert not failures
        return tokens.tolist()

    def step(self, logits, at):
        """Tokens, and the logits that their draws saw."""
        slots = torch.tensor(self.rows)
        given = Candidates(
            logits=logits[slots], ids=None, slots=slots, positions=torch.full((len(slots),), at), slot_ids=self.rows
        )
        before = given.logits.clone()
        tokens, seen, failures = self.chain.run(
            given, lambda left: draw(left, self.seeds[left.slots], self.greedy[left.slots])
        )
        assert torch.equal(given.logits.view(torch.int32), before.view(torch.int32))  # also where it is no number
        assert not failures
        found = []
        for slot in self.rows:
            left, row = seen(slot)
            found.append(whole(left, row, logits.shape[1]))
        return tokens.tolist(), torch.stack(found)


def whole(left, row, width):
    if left.ids is None:
        return left.logits[row]
    logits = torch.full((width,), -math.inf)
    logits[left.ids[row]] = left.logits[row]
    return logits


def logits_of(vocabulary, step, *, rounded=False):
    found = torch.randn(len(ROWS), vocabulary, generator=torch.Generator().manual_seed(step)) * (1 + step % 3 * 2)
    return found.bfloat16().float() if rounded else found


CASES = [(300, True), (9000, False)]


@pytest.mark.parametrize(("vocabulary", "rounded"), CASES)
def test_draws_are_those_of_stages_in_torch(vocabulary, rounded):
    """Tokens are the same; of what the draws saw the sums of a stage may keep or drop one more."""
    fused, plain = (Run(range(len(ROWS)), vocabulary, fused=fused) for fused in (True, False))
    for at in range(6):
        logits = logits_of(vocabulary, at, rounded=rounded)
        (tokens, left), (expected, applied) = fused.step(logits, at), plain.step(logits, at)
        assert tokens == expected
        sampled = ~fused.greedy
        kept, wanted = left[sampled] > -math.inf, applied[sampled] > -math.inf
        assert ((kept != wanted).sum(1) <= 1 + rounded).all()
        both = kept & wanted
        assert torch.allclose(left[sampled][both], applied[sampled][both], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("vocabulary", [300, 5000])
def test_edits_that_are_laid_over_the_logits(vocabulary):
    """The most likely token after edits of single ids: ties, ends of rows, and what is no number among them."""
    rows = [row for row, asked in enumerate(ROWS) if asked.get("temperature") == 0]
    fused, plain = (Run(rows, vocabulary, fused=fused) for fused in (True, False))
    for at in range(8):
        logits = logits_of(vocabulary, at, rounded=at % 2 == 0)
        if at % 2 == 0:
            logits = (logits * 2).round()  # many are equal
        if at == 3:
            logits[rows, vocabulary - 1] = 50.0
        if at == 5:
            logits[rows, 7] = math.nan
        if at == 6:
            logits[rows, 2] = math.inf
        if at == 7:
            logits[rows] = -math.inf
        assert fused.tokens(logits, at) == plain.tokens(logits, at)


def test_a_row_has_the_same_bits_whatever_is_beside_it():
    vocabulary = 5000
    together = Run(range(len(ROWS)), vocabulary, fused=True)
    alone = [Run([row], vocabulary, fused=True, threads=1) for row in range(len(ROWS))]
    for at in range(4):
        logits = logits_of(vocabulary, at, rounded=at % 2 == 0)
        tokens, left = together.step(logits, at)
        for row, single in enumerate(alone):
            token, own = single.step(logits, at)
            assert token == tokens[row : row + 1]
            assert torch.equal(own[0], left[row])


@pytest.mark.parametrize("place", [0, 5, 9, 17])
def test_a_stage_of_somebody_else_anywhere_in_the_chain(place):
    def samplers(vocabulary):
        found = stages(vocabulary)
        return [*found[:place], Shift(), *found[place:]]

    fused, plain = (Run(range(len(ROWS)), 3000, fused=fused, samplers=samplers) for fused in (True, False))
    for at in range(2):
        logits = logits_of(3000, at)
        assert fused.step(logits, at)[0] == plain.step(logits, at)[0]


def test_rows_that_cannot_be_drawn():
    run = Run(range(len(ROWS)), 300, fused=True)
    logits = logits_of(300, 1)
    logits[1], logits[6], logits[7, 20] = -math.inf, -math.inf, math.nan
    logits[8, 4] = math.inf
    tokens, _ = run.step(logits, 3)
    assert [tokens[row] for row in (1, 6, 7, 8)] == [-1, -1, -2, -2]
    assert all(token >= 0 for row, token in enumerate(tokens) if row not in (1, 6, 7, 8))


def test_what_is_no_row_stage_fails_the_rows_that_use_it():
    class Wrong(Temperature):
        def row_stage(self, slots, slot_ids):
            return RowStage(op=RowOp.DIVIDE, numbers=torch.ones(len(slot_ids), 2))

    chain = Chain([Wrong(CPU)], 300)
    chain.fused = FusedDraw(NativeChain(library(), 1), torch.arange(2), torch.zeros(2, dtype=torch.bool))
    for slot, params in enumerate(({"temperature": 0.5}, {})):
        chain.add(slot, sequence_of(params, slot=slot))
    given = Candidates(
        logits=torch.randn(2, 300), ids=None, slots=torch.arange(2), positions=torch.zeros(2).long(), slot_ids=(0, 1)
    )
    tokens, _, failures = chain.run(given, lambda left: left.logits.argmax(1))
    assert list(failures) == [0]
    assert "Wrong failed: ValueError: DIVIDE: numbers must be 1 x 1, torch.float32" in failures[0]
    assert tokens.tolist()[1] >= 0
