"""Each stage of the chain on logits made by hand, and the rules that hold for all of them."""

import math

import pytest
import torch

from plugtron import SamplingParams
from plugtron.contracts import Candidates
from plugtron.errors import RequestError
from plugtron.plugin.component import Kind
from plugtron.plugin.manager import PluginManager
from plugtron.request.request import InferenceRequest, InferenceSequence
from plugtron_samplers.allowed_tokens import AllowedTokens
from plugtron_samplers.logit_bias import LogitBias
from plugtron_samplers.min_p import MinP
from plugtron_samplers.min_tokens import MinTokens
from plugtron_samplers.penalties import Penalties
from plugtron_samplers.temperature import Temperature
from plugtron_samplers.top_k import TopK
from plugtron_samplers.top_p import TopP

CPU = torch.device("cpu")
VOCAB = 6
LOGITS = [1.0, 3.0, 2.0, 2.0, -1.0, 0.0]
STAGES = {
    "allowed_tokens": (lambda: AllowedTokens(VOCAB, CPU), {"allowed_token_ids": [1, 4]}),
    "min_tokens": (lambda: MinTokens([1], CPU), {"min_tokens": 2, "stop_token_ids": [2]}),
    "logit_bias": (lambda: LogitBias(VOCAB, CPU), {"logit_bias": {0: 5.0, 3: -1.0}}),
    "penalties": (lambda: Penalties(VOCAB, CPU), {"repetition_penalty": 2.0, "presence_penalty": 0.5}),
    "temperature": (lambda: Temperature(CPU), {"temperature": 0.5}),
    "min_p": (lambda: MinP(CPU), {"min_p": 0.2}),
    "top_k": (lambda: TopK(CPU), {"top_k": 2}),
    "top_p": (lambda: TopP(CPU), {"top_p": 0.7}),
}


def sequence(params, prompt=(1, 4), tokens=()):
    request = InferenceRequest(prompt=list(prompt), params=params, prompt_tokens=list(prompt))
    return InferenceSequence(request=request, index=0, seed=0, tokens=list(tokens))


def candidates(rows, logits=None):
    logits = torch.tensor([logits or LOGITS] * len(rows))
    return Candidates(
        logits=logits,
        ids=None,
        slots=torch.tensor(rows),
        positions=torch.zeros(len(rows), dtype=torch.int64),
        slot_ids=rows,
    )


def full(result, row):
    """A row's logits by token id, -inf for what is gone."""
    logits = torch.full((VOCAB,), -math.inf)
    ids = torch.arange(VOCAB) if result.ids is None else result.ids[row]
    logits[ids] = result.logits[row]
    return logits.tolist()


def run(name, params=None, logits=None, **how):
    make, values = STAGES[name]
    stage = make()
    stage.add(0, sequence(params or SamplingParams(**values), **how))
    return full(stage.apply(candidates((0,), logits)), 0)


NO = -math.inf


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("allowed_tokens", [NO, 3.0, NO, NO, -1.0, NO]),
        ("min_tokens", [1.0, NO, NO, 2.0, -1.0, 0.0]),
        ("logit_bias", [6.0, 3.0, 2.0, 1.0, -1.0, 0.0]),
        ("penalties", [1.0, 1.5, 2.0, 2.0, -2.0, 0.0]),
        ("temperature", [2.0, 6.0, 4.0, 4.0, -2.0, 0.0]),
        ("min_p", [NO, 3.0, 2.0, 2.0, NO, NO]),
        ("top_k", [NO, 3.0, 2.0, NO, NO, NO]),  # of the two equals, the lower id
        ("top_p", [NO, 3.0, 2.0, NO, NO, NO]),
    ],
)
def test_one_row(name, expected):
    assert run(name) == expected


def test_penalties_follow_the_answer():
    make, _ = STAGES["penalties"]
    stage = make()
    params = SamplingParams(presence_penalty=0.5, frequency_penalty=0.25)
    stage.add(0, sequence(params, tokens=[2]))
    stage.accept((0,), torch.tensor([2]))
    stage.accept((0,), torch.tensor([0]))
    assert full(stage.apply(candidates((0,))), 0) == [1.0 - 0.75, 3.0, 2.0 - 1.0, 2.0, -1.0, 0.0]


def test_attributes_of_megatron_users():
    """min_length is another word for min_tokens; a name that nobody declares is refused."""
    manager = PluginManager(builtins_only=True)
    params = manager.add_attributes(SamplingParams(temperature=0), {"min_length": 2, "stop_token_ids": [2]})
    assert (params.temperature, params.stop_token_ids, params.min_tokens, params.extra) == (0, [2], 2, {})
    same = SamplingParams(temperature=0, min_tokens=2, stop_token_ids=[2])
    assert run("min_tokens", params) == run("min_tokens", same)
    for attributes, complaint in (
        ({"min_lenght": 4}, r"^min_lenght: no installed sampler declares it .* Did you mean 'min_length'\?"),
        ({"min_length": -1}, r"^min_tokens: must be at least 0"),
        ({"top_p": 7}, r"^top_p: must be"),
    ):
        with pytest.raises(RequestError, match=complaint):
            manager.add_attributes(params, attributes)


def test_min_tokens_ends():
    assert run("min_tokens", tokens=[5, 5]) == LOGITS
    ignoring = SamplingParams(min_tokens=2, stop_token_ids=[2], ignore_eos=True)
    assert run("min_tokens", ignoring)[1] == 3.0


@pytest.mark.parametrize("name", STAGES)
def test_rows_are_independent(name):
    """A row comes out the same alone, beside one with other values, and beside one that does not use the stage."""
    make, values = STAGES[name]
    others = {"top_k": 4, "top_p": 0.2, "min_p": 0.9, "temperature": 3.0, "min_tokens": 1, "logit_bias": {1: 1.0}}
    others |= {"allowed_token_ids": [0, 1, 2], "repetition_penalty": 1.3}
    stage = make()
    stage.add(3, sequence(SamplingParams(**values)))
    stage.add(5, sequence(SamplingParams(**{key: others[key] for key in values if key in others})))
    alone = full(stage.apply(candidates((3,))), 0)
    assert full(stage.apply(candidates((5, 3))), 1) == alone
    assert full(stage.apply(candidates((1, 3, 5))), 1) == alone
    assert full(stage.apply(candidates((1, 3))), 0) == LOGITS  # slot 1 does not use the stage
    stage.remove(5)
    stage.add(5, sequence(SamplingParams(**values)))
    assert full(stage.apply(candidates((5,))), 0) == alone


@pytest.mark.parametrize("name", STAGES)
def test_stages_take_narrowed_candidates(name):
    make, values = STAGES[name]
    stage = make()
    stage.add(0, sequence(SamplingParams(**values)))
    whole = candidates((0,))
    ids = torch.tensor([[4, 1, 3, 2, 0, 5]])
    shuffled = Candidates(
        logits=whole.logits.gather(1, ids),
        ids=ids,
        slots=whole.slots,
        positions=whole.positions,
        slot_ids=whole.slot_ids,
    )
    assert full(stage.apply(shuffled), 0) == full(stage.apply(whole), 0)


def test_components_declare_what_their_classes_consume():
    for offer in PluginManager(builtins_only=True).registry.offers(Kind.SAMPLER):
        target = offer.load()
        assert target.params is offer.params_model()
        for name, field in target.params.model_fields.items():
            assert field.description, f"{name} has no description"
            assert field.default is None, name
            assert isinstance(field.json_schema_extra, dict), name
            assert field.json_schema_extra["source"], name
