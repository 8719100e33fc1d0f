"""Stages whose outcome is random, or follows what was drawn: their distributions, and what they depend on."""

import math

import pytest
import torch

from plugtron.contracts import Candidates
from plugtron.testing.requests import sequence_of
from plugtron_controllers.sampling import draw
from plugtron_samplers.mirostat import Mirostat
from plugtron_samplers.xtc import XTC

CPU = torch.device("cpu")
LOGITS = torch.tensor([2.0, 1.5, 1.5, 0.5, 0.0, -1.0, -math.inf])
DRAWS = 4000


def candidates(logits, positions, slots=None):
    slots = list(range(len(logits))) if slots is None else slots
    number = torch.tensor(slots)
    return Candidates(logits=logits, ids=None, slots=number, positions=positions, slot_ids=tuple(slots))


def follows(tokens, expected):
    """Whether draws are those of a distribution: chi-square at one in ten thousand."""
    counts = torch.bincount(tokens, minlength=len(expected)).double()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    wanted = expected[possible] * len(tokens)
    statistic = ((counts[possible] - wanted) ** 2 / wanted).sum()
    freedom = max(int(possible.sum()) - 1, 1)
    # Wilson and Hilferty's approximation of the quantile; 3.72 is the normal one's.
    bound = freedom * (1 - 2 / (9 * freedom) + 3.72 * math.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < bound, (counts, wanted)


def of(logits):
    return logits.double().softmax(0)


def draws_of(stage, params):
    """A draw at each of many positions of one sequence, and the seed."""
    positions, seed = torch.arange(DRAWS), 77
    stage.add(0, sequence_of(params, seed=seed))
    given = candidates(LOGITS.repeat(DRAWS, 1), positions, [0] * DRAWS)
    left = stage.apply(given)
    return draw(left, torch.full((DRAWS,), seed), torch.zeros(DRAWS, dtype=torch.bool)), left


@pytest.mark.parametrize("probability", [1.0, 0.4])
def test_xtc_draws(probability):
    """Its decision and the draw are independent, though both follow from the seed and the position."""
    tokens, left = draws_of(XTC(CPU), {"xtc_probability": probability, "xtc_threshold": 0.1})
    without = LOGITS.clone()
    # Above 0.1 are the first three; the last two of them are equals, and stay with what lies below.
    assert of(LOGITS)[3] < 0.1 < of(LOGITS)[2]
    without[0] = -math.inf
    follows(tokens, probability * of(without) + (1 - probability) * of(LOGITS))
    happened = left.logits[:, 0] == -math.inf
    follows(happened.long(), torch.tensor([1 - probability, probability], dtype=torch.float64))


def test_xtc_depends_on_seed_and_position_alone():
    stage = XTC(CPU)
    params = {"xtc_probability": 0.5, "xtc_threshold": 0.05}
    for slot, seed in ((0, 5), (1, 5), (2, 6)):
        stage.add(slot, sequence_of(params, slot=slot, seed=seed))
    found = [
        [bool(stage.apply(candidates(LOGITS[None], torch.tensor([position]), [slot])).logits[0, 0] == -math.inf)
         for position in range(64)]
        for slot in range(3)
    ]  # fmt: skip
    assert found[0] == found[1] != found[2]
    assert 16 < sum(found[0]) < 48
    several = (
        stage.apply(candidates(LOGITS.repeat(3, 1), torch.tensor([9, 40, 9]), [2, 1, 0])).logits[:, 0] == -math.inf
    )
    assert several.tolist() == [found[2][9], found[1][40], found[0][9]]


def test_xtc_leaves_one_and_all_below():
    stage = XTC(CPU)
    for threshold, kept in ((0.0, {5}), (0.1, {3, 4, 5, 1, 2}), (0.3, set(range(6))), (0.5, set(range(6)))):
        stage.add(0, sequence_of({"xtc_probability": 1.0, "xtc_threshold": threshold}))
        found = stage.apply(candidates(LOGITS[None], torch.tensor([3]), [0])).logits[0]
        assert {token for token in range(7) if found[token] > -math.inf} == kept
        stage.remove(0)


def test_mirostat_draws_are_of_what_is_below_its_bound():
    tokens, _ = draws_of(Mirostat(CPU), {"mirostat": 2, "mirostat_tau": 1.5})
    surprise = -of(LOGITS).log2()
    assert surprise[3] > 3.0 > surprise[2]
    follows(tokens, of(LOGITS.masked_fill(surprise > 3.0, -math.inf)))


def test_mirostat_follows_what_is_drawn():
    """Beside the definition in float64, over logits that change; the average surprise comes to tau."""
    torch.manual_seed(3)
    steps, vocabulary, tau, eta = 200, 500, 4.0, 0.1
    logits = 2 * torch.randn(steps, vocabulary)
    stage, bound, surprises = Mirostat(CPU), 2 * tau, []
    params = {"mirostat": 2, "mirostat_tau": tau, "mirostat_eta": eta}
    stage.add(1, sequence_of(params, slot=1))
    for step in range(steps):
        # Slot 0 has nothing to do with it, and stands before it every other time.
        slots = [0, 1] if step % 2 else [1]
        rows = logits[step].repeat(len(slots), 1)
        left = stage.apply(candidates(rows, torch.full((len(slots),), step), slots))
        surprise = -of(logits[step]).log2()
        dropped = (surprise > bound) & (logits[step] < logits[step].max())
        decided = (surprise - bound).abs() > 1e-3
        assert torch.equal((left.logits[-1] == -math.inf)[decided], dropped[decided])
        token = draw(left, torch.full((len(slots),), 9), torch.zeros(len(slots), dtype=torch.bool))[-1:]
        stage.accept((1,), token)
        seen = -of(left.logits[-1]).log2()[token].item()
        bound -= eta * (seen - tau)
        surprises.append(seen)
    assert sum(surprises[50:]) / 150 == pytest.approx(tau, abs=0.3)


def test_mirostat_learns_and_forgets():
    stage = Mirostat(CPU)
    stage.add(0, sequence_of({"mirostat": 2, "mirostat_tau": 2.0, "mirostat_eta": 1.0}))

    def kept(slot):
        return int((stage.apply(candidates(LOGITS[None], torch.tensor([3]), [slot])).logits > -math.inf).sum())

    assert kept(0) == 4
    stage.accept((0,), torch.tensor([6]))  # as a draw that failed is reported: it says nothing of the surprise
    assert kept(0) == 4
    stage.accept((0,), torch.tensor([3]))
    assert kept(0) == 3
    stage.remove(0)
    stage.add(0, sequence_of({"mirostat": 2, "mirostat_tau": 2.0}))
    assert kept(0) == 4
