"""Both samplers on logits made by hand."""

import math

import torch
from acme_samplers.bad_words import BadWords
from acme_samplers.typical import TypicalP
from acme_samplers.vocabulary import Vocabulary

from plugtron import InferenceRequest, SamplingParams
from plugtron.contracts import Candidates, Tokenizer
from plugtron.request import InferenceSequence

CPU = torch.device("cpu")
TEXTS = ["", " bad", "b", "ad", "badly", " ", "good", "d", "a", "ä".encode()[:1], "ä".encode()[1:] + b"h"]


class Texts(Tokenizer):
    """A tokenizer that has nothing but texts; id 0 is special."""

    vocab_size, bos_id, eos_ids, chat_template = len(TEXTS), None, (0,), None

    def encode(self, text, *, add_special=True):
        raise NotImplementedError

    def token_bytes(self, token):
        text = TEXTS[token]
        return text if isinstance(text, bytes) else text.encode()

    def is_special(self, token):
        return token == 0


def sequence(tokens=(), **extra):
    request = InferenceRequest(prompt=[1], params=SamplingParams(extra=extra), prompt_tokens=[1])
    return InferenceSequence(request=request, index=0, seed=0, tokens=list(tokens))


def candidates(logits, slots, ids=None):
    number = torch.tensor(slots)
    return Candidates(logits=logits, ids=ids, slots=number, positions=number, slot_ids=tuple(slots))


def kept(tokens, words, ids=None):
    """Which tokens may follow some, in the second of two rows; the first has no bad words."""
    sampler = BadWords(Vocabulary(Texts()), CPU)
    sampler.add(3, sequence(tokens, acme_bad_words=words))
    width = len(TEXTS) if ids is None else len(ids)
    both = None if ids is None else torch.tensor([ids, ids])
    found = sampler.apply(candidates(torch.zeros(2, width), [0, 3], both)).logits
    assert (found[0] == 0).all()
    return [column if ids is None else ids[column] for column in range(width) if found[1, column] == 0]


def test_a_word_is_forbidden_whichever_tokens_spell_it():
    everything = set(range(len(TEXTS)))
    assert set(kept([], ["bad"])) == everything - {1, 4}
    assert set(kept([2], ["bad"])) == everything - {1, 4, 3}  # b|ad
    assert set(kept([2, 8], ["bad"])) == everything - {1, 4, 7}  # b|a|d
    assert set(kept([2, 0, 8], ["bad"])) == everything - {1, 4, 7}  # a special token is no text
    assert set(kept([6, 5], ["bad"])) == everything - {1, 4}
    assert set(kept([5, 2], [" bad", "good"])) == everything - {1, 3, 6}
    assert kept([2], ["bad"], ids=[3, 6, 0]) == [6, 0]


def test_a_word_may_be_cut_within_a_character():
    assert 10 not in kept([9], ["äh"])
    assert 10 in kept([9], ["äx"])


def test_typical_candidates_are_nearest_to_the_entropy():
    sampler = TypicalP(CPU)
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0])
    sampler.add(1, sequence(acme_typical_p=0.4))
    found = sampler.apply(candidates(probabilities.log().repeat(2, 1), [0, 1])).logits
    assert torch.equal(found[0], probabilities.log())
    entropy = -sum(p * math.log(p) for p in probabilities.tolist() if p)
    nearest = sorted(range(4), key=lambda token: abs(-math.log(probabilities[token]) - entropy))
    assert nearest[:2] == [1, 0]
    assert [token for token in range(5) if found[1, token] > -math.inf] == [0, 1]


def test_one_candidate_stays_and_1_keeps_all():
    sampler = TypicalP(CPU)
    sampler.add(0, sequence(acme_typical_p=1e-6))
    assert (sampler.apply(candidates(torch.tensor([[3.0, 1.0, 0.0]]), [0])).logits > -math.inf).sum() == 1
    assert not sampler.uses(SamplingParams(extra={"acme_typical_p": 1.0}))
    assert not sampler.uses(SamplingParams())
    assert sampler.uses(SamplingParams(extra={"acme_typical_p": 0.9}))
