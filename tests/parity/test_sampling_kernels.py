"""The kernels of sampling against the torch code that they stand for: native ones, and Triton's in its interpreter."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis.strategies import booleans, integers, sampled_from

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.contracts.sampler import Candidates
from plugtron.kernels.native.build import library
from plugtron.kernels.native.sampling import NativeSampling
from plugtron.kernels.sampling import SamplingChoice
from plugtron.kernels.triton.draw import PIECE
from plugtron.kernels.triton.sampling import TritonSampling
from plugtron.request.request import InferenceSequence
from plugtron_controllers.sampling import draw
from plugtron_samplers.top_k import TopK
from plugtron_samplers.top_p import TopP

CPU = torch.device("cpu")
#: Where each is tried, and how often: Triton's interpreter takes its time.
KINDS = {
    "native": (CPU, lambda: NativeSampling(library(), 2), 60),
    "triton": (torch.device("cuda" if torch.cuda.is_available() else "cpu"), TritonSampling, 6),
}


def few(examples):
    return settings(max_examples=examples, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.fixture(params=KINDS, scope="module")
def kind(request):
    device, make, examples = KINDS[request.param]
    return SimpleNamespace(device=device, kernels=make(), few=few(examples))


def candidates(device, rows, width, seed, *, narrowed=False, rounded=False, spread=3.0):
    """Logits of a model in bfloat16 are often equal. Narrowed ones have ids in any order."""
    generator = torch.Generator().manual_seed(seed)
    # A row's neighbors may be further apart than a row is long: padding of the vocabulary is cut off.
    logits = torch.randn(rows, width + seed % 3, generator=generator) * spread
    logits = logits.bfloat16().float() if rounded else logits
    logits[0, ::2] = float("-inf")
    ids = torch.stack([torch.randperm(60_000, generator=generator)[:width] for _ in range(rows)]) if narrowed else None
    return Candidates(
        logits=logits.to(device)[:, :width],
        ids=None if ids is None else ids.to(device),
        slots=torch.arange(rows, device=device),
        positions=torch.randint(0, 2**40, (rows,), generator=generator).to(device),
        slot_ids=tuple(range(rows)),
    )


def test_draw(kind):
    @kind.few
    @given(
        width=sampled_from([1, 50, 300, PIECE + 3]),
        narrowed=booleans(),
        spread=sampled_from([0.0, 0.1, 3.0, 30.0]),
        seed=integers(0, 999),
    )
    def same(width, narrowed, spread, seed):
        there = candidates(kind.device, 3, width, seed, narrowed=narrowed, spread=spread)
        seeds = torch.randint(0, 2**62, (3,), generator=torch.Generator().manual_seed(seed)).to(kind.device)
        greedy = torch.tensor([False, True, False], device=kind.device)
        there.logits[1, width // 2] = 200.0
        drawn = kind.kernels.draw(there.logits, there.ids, seeds, there.positions, greedy)
        assert drawn.tolist() == draw(there, seeds, greedy).tolist()

    same()


def test_draw_of_what_is_no_number(kind):
    there = candidates(kind.device, 4, 40, 1)
    there.logits[0] = float("-inf")
    there.logits[1, 7] = float("nan")
    there.logits[2, 39] = float("inf")
    for greedy in (False, True):
        drawn = kind.kernels.draw(
            there.logits, None, torch.zeros(4, dtype=torch.int64, device=kind.device), there.positions,
            torch.full((4,), greedy, device=kind.device),
        ).tolist()  # fmt: skip
        assert drawn[:3] == [-1, -2, -2]  # nothing left; not finite
        assert drawn[3] >= 0


def samplers(kind, sampler, name, values):
    """One over the kernels, one over torch, that know what each row asks for."""
    both = [sampler(kind.device, kind), sampler(kind.device)]
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
    logits = torch.full((len(left.logits), width), float("-inf"), device=left.logits.device)
    return logits.scatter_(1, left.ids, left.logits)


def test_top_k(kind):
    @kind.few
    @given(
        width=sampled_from([1, 60, 700]),
        values=sampled_from([(1, 5, 0, 100), (40, 0, 3, 2), (700, 1, 1, 20)]),
        rounded=booleans(),
        seed=integers(0, 999),
    )
    def same(width, values, rounded, seed):
        there = candidates(kind.device, 4, width, seed, rounded=rounded)
        over_kernels, over_torch = samplers(kind, TopK, "top_k", values)
        assert torch.equal(over_kernels.apply(there).logits, whole(over_torch.apply(there), width))

    same()


def test_top_p(kind):
    @kind.few
    @given(
        width=sampled_from([1, 60, 700]),
        values=sampled_from([(0.9, 0.5, 1.0, 0.01), (0.99, 1.0, 0.1, 0.7), (1e-320, 0.5, 1e-320, 1e-9)]),
        rounded=booleans(),
        spread=sampled_from([0.1, 3.0]),
        seed=integers(0, 999),
    )
    def same(width, values, rounded, spread, seed):
        there = candidates(kind.device, 4, width, seed, rounded=rounded, spread=spread)
        over_kernels, over_torch = samplers(kind, TopP, "top_p", values)
        found, expected = over_kernels.apply(there).logits, over_torch.apply(there).logits
        # Where the sums come to the limit itself, the last one may stay or go.
        assert ((found != expected).sum(1) <= 1).all()
        assert torch.equal(found.argmax(1), expected.argmax(1))

    same()


def test_what_is_no_number_is_not_hidden(kind):
    there = candidates(kind.device, 2, 40, 1)
    there.logits[1, 3] = float("nan")
    for sampler, name, value in ((TopK, "top_k", 2), (TopP, "top_p", 0.5)):
        over_kernels, _ = samplers(kind, sampler, name, (value, value))
        assert over_kernels.apply(there).logits[1, 3].isnan()


def test_a_model_draws_the_same_with_and_without_them(random_model):
    """Over a native step and over an eager one, whose logits differ in their last bits."""
    params = SamplingParams(temperature=0.9, top_p=0.9, top_k=60, min_p=0.01, max_tokens=24, ignore_eos=True, seed=5)
    found = []
    for execution in ("native", "eager"):
        overrides = {"execution": execution}
        with LLM(random_model("llama_untied")[1], dtype="float32", device="cpu", overrides=overrides) as llm:
            parts = llm.session.parts
            assert (SamplingChoice(parts.runtime, parts.options).kernels is None) == (execution == "eager")
            found.append([answer.tokens for answer in llm.generate([[1, 2, 3], [9, 8]], params)])
    assert found[0] == found[1]
