"""The kernels of sampling against the torch code that they stand for; in Triton's interpreter where there is no GPU."""

import torch
from hypothesis import Phase, given, settings
from hypothesis.strategies import booleans, integers, sampled_from

from plugtron import InferenceRequest, SamplingParams
from plugtron.contracts.sampler import Candidates
from plugtron.kernels.triton.draw import PIECE
from plugtron.request import InferenceSequence
from plugtron_controllers.drawing import draw
from plugtron_samplers.top_k import TopK
from plugtron_samplers.top_p import TopP

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FEW = settings(
    max_examples=6, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes too long


def candidates(rows, width, seed, *, narrowed=False, rounded=False):
    """Logits of a model in bfloat16 are often equal. Narrowed ones have ids in any order."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, width, generator=generator) * 3
    logits = logits.bfloat16().float() if rounded else logits
    logits[0, ::2] = float("-inf")
    ids = torch.stack([torch.randperm(60_000, generator=generator)[:width] for _ in range(rows)]) if narrowed else None
    return Candidates(
        logits=logits.to(DEVICE),
        ids=None if ids is None else ids.to(DEVICE),
        slots=torch.arange(rows, device=DEVICE),
        positions=torch.randint(0, 2**40, (rows,), generator=generator).to(DEVICE),
        rows=tuple(range(rows)),
    )


@FEW
@given(width=sampled_from([1, 50, PIECE + 3]), narrowed=booleans(), seed=integers(0, 99))
def test_draw(width, narrowed, seed):
    there = candidates(3, width, seed, narrowed=narrowed)
    seeds = torch.randint(0, 2**62, (3,), generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    greedy = torch.tensor([False, True, False], device=DEVICE)
    there.logits[1, width // 2] = 30.0
    drawn = [draw(there, seeds, greedy, at_once=at_once).tolist() for at_once in (True, False)]
    assert drawn[0] == drawn[1]


def test_draw_of_what_is_no_number():
    there = candidates(3, 40, 1)
    there.logits[0] = float("-inf")
    there.logits[1, 7] = float("nan")
    drawn = draw(
        there, torch.zeros(3, dtype=torch.int64, device=DEVICE), torch.zeros(3, dtype=torch.bool, device=DEVICE),
        at_once=True,
    ).tolist()  # fmt: skip
    assert drawn[:2] == [-1, -1]
    assert drawn[2] >= 0


def sampler(kind, name, values):
    both = [kind(DEVICE, unsorted=unsorted) for unsorted in (True, False)]
    for each in both:
        for slot, value in enumerate(values):
            params = SamplingParams.model_validate({name: value})
            if each.uses(params):
                request = InferenceRequest(prompt=[1], params=params)
                each.add(slot, InferenceSequence(request=request, index=0, seed=1))
    return both


def whole(left, width):
    """The logits of all candidates, where some have been left out."""
    if left.ids is None:
        return left.logits
    logits = torch.full((len(left.logits), width), float("-inf"), device=DEVICE)
    return logits.scatter_(1, left.ids, left.logits)


@FEW
@given(
    width=sampled_from([1, 60, 700]),
    values=sampled_from([(1, 5, 0, 100), (40, 0, 3, 2), (700, 1, 1, 20)]),
    rounded=booleans(),
    seed=integers(0, 99),
)
def test_top_k(width, values, rounded, seed):
    there = candidates(4, width, seed, rounded=rounded)
    unsorted, by_sorting = sampler(TopK, "top_k", values)
    assert torch.equal(unsorted.apply(there).logits, whole(by_sorting.apply(there), width))


@FEW
@given(
    width=sampled_from([1, 60, 700]),
    values=sampled_from([(0.9, 0.5, 1.0, 0.01), (0.99, 1.0, 0.1, 0.7)]),
    rounded=booleans(),
    seed=integers(0, 99),
)
def test_top_p(width, values, rounded, seed):
    there = candidates(4, width, seed, rounded=rounded)
    unsorted, by_sorting = sampler(TopP, "top_p", values)
    assert torch.equal(unsorted.apply(there).logits, by_sorting.apply(there).logits)
